"""SIGTERM and Ctrl-C at any moment: the exit code, no traceback, and a second one stops at once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

# The command line, with a command that works for a while, and then tidies up for a while.
WORKING = """
import sys, time
from isthmus import cli
from isthmus.commands import studies

work, tidy = map(float, sys.argv[1:])

def command(options):
    try:
        print("working", flush=True)
        time.sleep(work)
    finally:
        print("tidying", flush=True)
        time.sleep(tidy)

studies._list = command
sys.argv = ["isthmus", "studies"]
cli.main()
"""

# One that is done, and whose exit takes a while.
LEAVING = """
import atexit, sys, time
from isthmus import cli

def leave():
    print("leaving", flush=True)
    time.sleep(30)

atexit.register(leave)
sys.argv = ["isthmus", "--version"]
cli.main()
"""


@contextmanager
def process(*command, ignoring=False):
    """A process that is gone when the block is over."""

    def prepare():
        if ignoring:  # as what & starts in a shell
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, *map(str, command)], preexec_fn=prepare, **pipes) as one:
        try:
            yield one
        finally:
            if one.poll() is None:
                one.kill()


def said(one):
    """How a process ended, and what it said at last."""
    out, err = one.communicate(timeout=30)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    return one.returncode, out.splitlines(), err.splitlines()


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_one_signal_tidies_up_and_tells_how_to_go_on(sent, code, word):
    with process("-c", WORKING, 60, 0) as one:
        assert one.stdout.readline() == "working\n"
        one.send_signal(sent)
        ended, out, err = said(one)
    assert ended == code
    assert out == ["tidying"]
    (line,) = err
    assert line.startswith(f"isthmus: {word}; finished models are kept, and the same command resumes from there")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(first, second):
    with process("-c", WORKING, 60, 60) as one:
        assert one.stdout.readline() == "working\n"
        one.send_signal(first)
        assert one.stdout.readline() == "tidying\n"
        one.send_signal(second)
        ended, _, err = said(one)
    assert ended == -second, "which a shell shows as 130 or 143"
    assert err == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_python_exits_prints_nothing(sent):
    with process("-c", LEAVING) as one:
        assert one.stdout.readline().startswith("isthmus ")
        assert one.stdout.readline() == "leaving\n"
        one.send_signal(sent)
        ended, _, err = said(one)
    assert (ended, err) == (-sent, [])


def test_what_a_script_starts_in_the_background_ignores_ctrl_c():
    with process("-c", WORKING, 0.5, 0, ignoring=True) as one:
        assert one.stdout.readline() == "working\n"
        one.send_signal(signal.SIGINT)
        ended, out, err = said(one)
    assert (ended, out, err) == (0, ["tidying"], [])


def test_sigterm_at_any_moment_prints_no_traceback():
    with process("-m", "isthmus", "studies") as one:
        begun = time.perf_counter()
        assert said(one)[0] == 0
        seconds = time.perf_counter() - begun
    moments = random.Random(0)
    for _ in range(6):
        with process("-m", "isthmus", "studies") as one:
            time.sleep(moments.uniform(0, seconds))
            one.terminate()
            ended, _, err = said(one)
        assert ended in (0, 143, -signal.SIGTERM)
        assert len(err) <= 1
