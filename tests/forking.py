"""`isthmus` in processes of its own, forked by one that has imported torch: each would take two seconds for that.

A forked process runs `isthmus.cli.main`, as `python -m isthmus` does, with the arguments, environment, folder and pipes
of its own, and ends as any: with its exit code, or by the signal that it was sent.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

_IMPORTED = (
    *("isthmus.cli", "isthmus.commands.fitting.training_run", "isthmus.commands.fitting.photograph_fit"),
    *("isthmus.explore.serving.server", "isthmus.explore.shelf_loader", "isthmus.report.html_page"),
    *("isthmus.studies.run.scheduler", "isthmus.estimators.autoencoder", "sklearn.datasets", "skimage.restoration"),
)
_LENGTH = 8  # of a number that is told, in characters


class Forked:
    """A running command, with what a `subprocess.Popen` has of text and pipes. first: code that it runs before it."""

    def __init__(self, server: socket.socket, arguments: tuple[object, ...], first: str = "") -> None:
        ends = [os.pipe() for _ in range(3)]
        task = {"arguments": [*map(str, arguments)], "first": first, "folder": os.getcwd(), "variables": {**os.environ}}
        socket.send_fds(server, [json.dumps(task).encode()], [writing for _, writing in ends])
        for _, writing in ends:
            os.close(writing)
        self.stdout, self.stderr = (os.fdopen(reading, encoding="utf-8") for reading, _ in ends[:2])
        self._told = ends[2][0]
        self.pid, self.returncode = int(os.read(self._told, _LENGTH)), None

    def __enter__(self) -> Forked:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("isthmus", timeout)
            self.returncode = int(os.read(self._told, _LENGTH))
            os.close(self._told)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        said: list[str] = ["", ""]

        def read(i: int) -> None:
            said[i] = (self.stdout, self.stderr)[i].read()

        threads = [threading.Thread(target=read, args=(i,), daemon=True) for i in range(2)]
        for thread in threads:
            thread.start()
        self.wait(timeout)
        for thread in threads:
            thread.join(timeout)
        self.stdout.close()
        self.stderr.close()
        return said[0], said[1]

    def send_signal(self, sent: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sent)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def forking() -> Iterator[Callable[..., Forked]]:
    """`forked(*arguments, first="")`: the command in a process of its own."""
    ours, its = socket.socketpair()
    with ours, subprocess.Popen([sys.executable, __file__, str(its.fileno())], pass_fds=[its.fileno()]):
        its.close()
        yield lambda *arguments, first="": Forked(ours, arguments, first)
        ours.close()  # which ends it


def _serve(asking: socket.socket) -> None:
    for name in _IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # what a child does not look at, it does not copy
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
    while True:
        asked, files, _, _ = socket.recv_fds(asking, 1 << 20, 3)
        if not asked:
            return
        if os.fork() == 0:
            asking.close()
            _wait_for_command(json.loads(asked), *files)
            return
        for file in files:
            os.close(file)


def _wait_for_command(task: dict, out: int, err: int, told: int) -> None:
    """Fork the command, tell its number, and, when it has ended, how."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(told)
        _run(task, out, err)
        return
    for file in (out, err):
        os.close(file)
    with contextlib.suppress(BrokenPipeError):  # who started it is gone
        os.write(told, f"{pid:{_LENGTH}}".encode())
        os.write(told, f"{os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):{_LENGTH}}".encode())
    os._exit(0)


def _run(task: dict, out: int, err: int) -> None:
    for file, number in ((out, 1), (err, 2)):
        os.dup2(file, number)
        os.close(file)
    # buffered as those of a process that begins with pipes
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(task["variables"])
    os.chdir(task["folder"])
    sys.argv = ["isthmus", *task["arguments"]]
    exec(task["first"], {})
    from isthmus.cli import main

    main()  # which ends the process as Python ends, its threads and all


if __name__ == "__main__":
    sys.path[0] = ""  # as of `python -m`
    _serve(socket.socket(fileno=int(sys.argv[1])))
