"""Workers that a prefix starts: the same bytes as here, from a shell that has neither this folder nor its variables."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import isthmus
from isthmus.cli import run_command
from isthmus.console import Lines
from isthmus.errors import RequestError
from isthmus.locks import HELD, Owner, lock
from isthmus.report.html_page import write_report
from isthmus.studies.plan.context import Request
from isthmus.studies.run import engines
from isthmus.studies.run.engines import worker
from isthmus.studies.run.engines.launched import Launched, launched
from isthmus.studies.run.scheduler import run_study
from isthmus.studies.spec.parser import load_study
from isthmus.training.hardware import processor_of, resolve_device
from tests.studies.test_engines import MODEL, STUDY, results_of

MODULE = importlib.import_module(Launched.__module__)  # `engines.launched` is the function
TEXT = STUDY + "".join(MODEL.format(name=name, width=width, epochs=3) for name, width in (("a", 2), ("b", 3), ("c", 4)))
COMMON = ["run", "small.toml", "--threads", "1", "--device", "cpu"]
# as sshd does: in another folder, with few variables, the words joined for a shell
SSH = """#!/bin/sh
echo "$1" >> "{log}"
shift
cd / && exec env -i PATH="{path}" HOME=/ sh -c "$*"
"""


@pytest.fixture
def ssh(tmp_path, monkeypatch):
    """A program `ssh` that starts a command on "another machine"; the file that has the hosts it was given."""
    (tmp_path / "bin").mkdir()
    script, log = tmp_path / "bin" / "ssh", tmp_path / "hosts"
    script.write_text(SSH.format(log=log, path=os.environ["PATH"]), "utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    return log


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where commands are given, with a name that a shell would take apart."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "small.toml").write_text(TEXT, "utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), *sys.path])))
    return folder


def made(out):
    """The bytes of each model's weights."""
    return {path.parent.name: path.read_bytes() for path in sorted(out.glob("small/models/*/model.safetensors"))}


def has_namespaces():
    """Whether a process can be put into a network of its own here."""
    command = ["unshare", "--map-root-user", "--net", "true"]
    return shutil.which("unshare") and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--launch", "ssh {host}", "--hosts", "one,two"],
        ["--launch", "unshare --map-root-user --net", "--workers", "2"],
        ["--launch", "nice", "--workers", "5"],
        ["--launch", "sh -c 'echo welcome; echo 1; exec \"$@\"' sh", "--workers", "2"],
    ],
    ids=["ssh", "network-namespace", "more-than-there-are-models", "a-greeting"],
)
def test_models_are_byte_for_byte_those_of_one_machine(options, folder, ssh, capfd):
    if "unshare" in options[1] and not has_namespaces():
        pytest.skip("no namespaces for this user")
    common = ["run", "small.toml", "--threads", "1", "--device", "cpu"]
    assert run_command([*common, "--out", "here"]) == 0
    assert run_command([*common, "--out", "there", *options]) == 0
    assert len(made(folder / "here")) == 3
    assert made(folder / "there") == made(folder / "here")
    assert (folder / "there" / "small" / "report.html").is_file()
    assert "cannot be used" not in capfd.readouterr().err
    if "ssh" in options[1]:
        assert sorted(ssh.read_text("utf-8").split()) == ["one", "two"]


# as SLURM's, within an allocation: what follows the options is run on one of its nodes
SRUN = """#!/bin/sh
echo "$@" >> "{log}"
while [ "${{1#--}}" != "$1" ]; do shift; done
cd / && exec "$@"
"""


def report_of(folder):
    """The report of a run, written again as if everything had taken a second, and by one command."""
    same = {"seconds": 1.0, "command": "isthmus run"}
    path = folder / "results.json"
    table = json.loads(path.read_text("utf-8"), object_hook=lambda t: {key: same.get(key, t[key]) for key in t})
    path.write_text(json.dumps(table), "utf-8")
    return write_report(folder).read_text("utf-8").replace(f"explore {folder.parent.name}/", "explore out/")


@pytest.mark.slow
def test_slurm_runs_a_study_to_the_same_bytes_results_and_report(folder, ssh, monkeypatch, tools):
    log = ssh.with_name("steps")
    script = ssh.with_name("bin") / "srun"
    script.write_text(SRUN.format(log=log), "utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert run_command([*COMMON, "--out", "here"]) == 0
    assert run_command([*COMMON, "--out", "there", "--engine", "slurm"]) == 0
    assert len(made(folder / "here")) == 3
    assert made(folder / "there") == made(folder / "here")
    steps = log.read_text("utf-8").splitlines()
    assert len(steps) == 2
    assert all(
        step.startswith("--nodes=1 --ntasks=1 --cpus-per-task=1 --exact env OMP_NUM_THREADS=1") for step in steps
    )
    assert results_of(folder / "there" / "small") == results_of(folder / "here" / "small")
    assert (folder / "there" / "small" / "report.html").is_file()
    assert report_of(folder / "there" / "small") == report_of(folder / "here" / "small")


@pytest.mark.slow
def test_a_worker_that_cannot_be_reached_or_used_is_named(folder, ssh, capfd):
    common = ["run", "small.toml", "--threads", "1", "--device", "cpu", "--out", "there"]
    ssh.with_name("bin").joinpath("ssh").write_text("#!/bin/sh\necho no route to $1 >&2\nexit 255\n", "utf-8")
    assert run_command([*common, "--launch", "ssh {host}", "--hosts", "nowhere"]) == 1
    err = capfd.readouterr().err
    assert "no route to nowhere" in err
    assert "with exit code 255; another one takes it up" in err
    assert "it was the second time" in err
    hidden = "unshare --map-root-user --mount sh -c 'mount -t tmpfs none . && cd / && exec \"$@\"' sh"
    if has_namespaces():
        assert run_command([*common, "--launch", hidden]) == 2
        assert "is not the folder of this run there; all must share a disk" in capfd.readouterr().err
    (folder / "sitecustomize.py").write_text("import isthmus; isthmus.__version__ = '0.0.0'\n", "utf-8")
    assert run_command([*common, "--launch", "env"]) == 2
    assert f"it has isthmus 0.0.0 in place of {isthmus.__version__}" in capfd.readouterr().err
    assert not made(folder / "there"), "what waited for it was not trained"


def test_what_a_worker_is_asked_before_it_is_given_anything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(worker, "_PATIENCE", 0.2)
    equal = worker.kept_equal()
    with lock(tmp_path):
        held = f"{HELD}/{Owner.current()}"
        assert worker._unlike(str(tmp_path), held, equal) == ""
        other = worker._unlike(str(tmp_path), held, {**equal, "torch": "1.0", "code": "else"})
        assert other == f"it has code {equal['code']} in place of else, torch {equal['torch']} in place of 1.0"
        there, here = "cuda, NVIDIA H200", processor_of(resolve_device("cpu"))
        other = worker._unlike(str(tmp_path), held, {**worker.kept_equal("cpu"), "processor": there}, "cpu")
        assert other == f"it has processor {here} in place of {there}"
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        other = worker._unlike(str(tmp_path), held, equal, "cuda")
        assert other.startswith('device "cuda" is not on this machine; here: ')
        nowhere = worker._unlike(str(tmp_path / "none"), held, equal)
        assert f"does not have the folder {tmp_path / 'none'}, in which the command was given" in nowhere
    assert "is not the folder of this run there" in worker._unlike(str(tmp_path), str(tmp_path / held), equal)


def test_the_command_that_starts_a_worker(monkeypatch):
    monkeypatch.setenv("ISTHMUS_DATA", "/my data")
    monkeypatch.setenv("PYTHONPATH", "/x")
    run = ["-m", "isthmus.studies.run.engines.worker"]
    command = Launched("env -u X nice -n{threads}", [""]).command("", 3)
    assert command[:5] == ["env", "-u", "X", "nice", "-n3"]
    assert command[5:7] == ["env", "OMP_NUM_THREADS=3"]
    assert command[-3:] == [sys.executable, *run]
    assert {"ISTHMUS_DATA=/my data", "PYTHONPATH=/x"} < set(command)
    monkeypatch.setattr(shutil, "which", lambda program: program)
    assert "'ISTHMUS_DATA=/my data'" in Launched("ssh -p 22 {host}", ["one"]).command("one", 1)
    assert launched("ssh {host}", ["a", "b"], 2).places == ("a", "a", "b", "b")
    assert launched("srun", [], 3).places == ("", "", "")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    engine = engines.engine("slurm")
    assert (len(engine.places), engine.slots(9, 1), engine.slots(1, 1)) == (4, 4, 1)
    assert engine.command("", 2)[:4] == ["srun", "--nodes=1", "--ntasks=1", "--cpus-per-task=2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--launch", "no-such-program {host}", "--hosts", "a"], "there is no program no-such-program on this machine"),
        (["--launch", "ssh {host}"], "--hosts must be given with --launch that has {host} in it"),
        (["--launch", "env", "--hosts", "a,b"], "--hosts must be given with --launch that has {host} in it, got 'a,b'"),
        (["--launch", "env 'a"], "is not a command (No closing quotation)"),
        (["--launch", "env", "--engine", "slurm"], "--launch is an engine itself; leave --engine slurm out"),
        (["--hosts", "a"], "say where --launch starts workers"),
        (["--launch", "env", "--workers", "0"], "--workers must be at least 1"),
        (["--engine", "slurm"], "runs inside an allocation"),
        (["--engine", "local", "--address", "x:1"], "--address is that of a Ray cluster: add --engine ray"),
        (
            ["--engine", "ray", "--address", "ray://h:10001"],
            "--address ray://h:10001: a client of Ray cannot run models",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_options_are_refused(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    assert run_command(["run", "digits", "--quick", "--out", str(tmp_path), *options]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_slurm_without_its_launcher_names_the_engine(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run_command(["run", "digits", "--quick", "--out", str(tmp_path / "runs"), "--engine", "slurm"]) == 2
    assert "--engine slurm: there is no program srun on this machine" in capsys.readouterr().err


def test_an_empty_prefix_is_refused():
    with pytest.raises(RequestError, match="--launch must be a command"):
        Launched(" ", [""])


# --- hosts that are lost ---

# a host is dead where a file of its name is there; one that is alive leaves the number of its worker's process
MORTAL = """#!/bin/sh
echo "$1" >> "{log}"
if [ -e "{dead}/$1" ]; then echo "no route to $1" >&2; exit 255; fi
echo $$ > "{dead}/$1.pid"
shift
cd / && exec env -i PATH="{path}" HOME=/ sh -c "exec $*"
"""


@pytest.fixture
def dead(ssh, tmp_path):
    """A folder: hosts that `ssh` does not reach, by the names of its files."""
    folder = tmp_path / "dead"
    folder.mkdir()
    ssh.with_name("bin").joinpath("ssh").write_text(MORTAL.format(log=ssh, dead=folder, path=os.environ["PATH"]))
    return folder


def study_of(folder, names, epochs):
    models = [MODEL.format(name=name, width=2 + i, epochs=epochs) for i, name in enumerate(names)]
    (folder / "small.toml").write_text(STUDY + "".join(models), "utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("hosts", ["good,bad", "bad,good,worse"])
def test_a_host_that_cannot_be_reached_is_left_out(hosts, folder, ssh, dead, monkeypatch, capfd):
    monkeypatch.setattr(MODULE, "_PAUSE", 0.1)
    study_of(folder, "abc", epochs=500)
    for name in ("bad", "worse"):
        (dead / name).touch()
    assert run_command([*COMMON, "--out", "here"]) == 0
    assert run_command([*COMMON, "--out", "there", "--launch", "ssh {host}", "--hosts", hosts]) == 0
    assert made(folder / "there") == made(folder / "here")
    err = capfd.readouterr().err
    for name in set(hosts.split(",")) - {"good"}:
        assert f"the worker on {name} was ended with exit code 255 before it said anything" in err
    assert "takes it up" not in err, "no model was given to it"


class Hitting(Lines):
    """Calls `hit` once, some seconds after two models train."""

    def __init__(self, seconds, hit):
        super().__init__()
        self.timer, self.training = threading.Timer(seconds, hit), set()

    def epoch(self, name, row, epochs):
        self.training.add(name)
        if len(self.training) == 2 and self.timer.ident is None:
            self.timer.start()
        super().epoch(name, row, epochs)


def run_on_two(folder, progress):
    """The study on the hosts a and b."""
    options = {"threads": 1, "device": "cpu", "launch": "ssh {host}", "hosts": ("a", "b"), "command": "test"}
    run_study(load_study("./small.toml"), Request(folder / "there", **options), progress)
    assert made(folder / "there") == made(folder / "here")


@pytest.mark.slow
def test_a_host_that_dies_at_any_moment_loses_its_model_once_and_the_bytes_are_the_same(
    folder, dead, monkeypatch, capfd
):
    monkeypatch.setattr(MODULE, "_PAUSE", 0.1)
    study_of(folder, "abcd", epochs=1500)
    assert run_command([*COMMON, "--out", "here"]) == 0
    finished = {}

    def written():
        return {path: path.stat().st_mtime_ns for path in (folder / "there").glob("small/models/*/*.safetensors")}

    def kill():
        (dead / "b").touch()
        finished.update(written())
        os.kill(int((dead / "b.pid").read_text()), signal.SIGKILL)

    run_on_two(folder, Hitting(np.random.default_rng().uniform(0, 1), kill))
    assert {path: written()[path] for path in finished} == finished
    err = capfd.readouterr().err
    assert "the worker on b was ended with exit code 255 before it said anything, and is no longer used" in err
    lost = [line for line in err.splitlines() if "takes it up" in line]  # none if it was between two models
    assert len(lost) <= 1
    for line in lost:
        assert re.match(r"[abcd]: the worker on b was ended by signal 9; .*: fewer workers .*; another one", line)


@pytest.mark.slow
def test_a_host_that_falls_silent_is_lost(folder, ssh, dead, monkeypatch, capfd):
    """As one that loses power, of which ssh hears nothing."""
    monkeypatch.setattr(MODULE, "_BEAT", 0.2)
    monkeypatch.setattr(MODULE, "_SILENCE", 5)
    study_of(folder, "ab", epochs=1500)
    assert run_command([*COMMON, "--out", "here"]) == 0

    def stop():
        (dead / "b").touch()
        os.kill(int((dead / "b.pid").read_text()), signal.SIGSTOP)

    run_on_two(folder, Hitting(0, stop))
    assert "the worker on b said nothing for 5 s; another one takes it up" in capfd.readouterr().err
