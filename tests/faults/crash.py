"""Processes that are killed for real: a server that forks one for each task, so that torch is imported once.

Run as a script. Each line of stdin is a task as JSON, each line of stdout its end: {"status": -9, "err": ""}.
A task is {"do": "fit" | "run" | "save", ...}, and
kill_at: the process kills itself with SIGKILL in place of its k-th call of os.replace, os.fsync, shutil.rmtree ..., or,
with "late", right after it. after: it is killed from outside, so many seconds after it began. limit: no file may be
longer than so many bytes, as on a full disk. memory: bytes that it may take on top of what it has. hidden: of "fit".
epoch: of "run", it kills itself when this epoch of a model is told.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from isthmus import Autoencoder, Dense, GaussianNoise, files, load
from isthmus.cli import run_command
from isthmus.console import Lines
from isthmus.data.sources.registry import load as load_dataset
from isthmus.training import checkpoint

EPOCHS = 3
X = load_dataset("digits").train.take(slice(300))  # once, for all
calls = 0


def counted(call, kill_at, late):
    def counting(*arguments, **keywords):
        global calls
        calls += 1
        if calls == kill_at and not late:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*arguments, **keywords)
        if calls == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return counting


def fit(folder, hidden=16):
    """Train with a checkpoint after each epoch, save, and remove the checkpoints: what a run does with a model."""
    part = Dense(hidden=(hidden,), bottleneck=4, output="sigmoid")
    arguments = {"corruption": GaussianNoise(0.2), "patience": 9, "validation_fraction": 0.2, "schedule": "one-cycle"}
    model = Autoencoder(part, epochs=EPOCHS, random_state=0, device="cpu", **arguments)
    kept = checkpoint.Checkpoints(folder / "checkpoint", every=0, say=lambda line: print(line, file=sys.stderr))
    for row in model.fit_epochs(X, checkpoint=kept):
        print(f"epoch {row.epoch}", file=sys.stderr)
    model.save(folder / "model")
    kept.remove()
    return 0


def save(folder):
    """Save one model over another."""
    load(folder / "new").save(folder / "model")
    return 0


def run(command, epoch):
    checkpoint.EVERY = 0.0
    tell = Lines.epoch

    def telling(self, name, row, epochs):
        tell(self, name, row, epochs)
        if row.epoch == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    Lines.epoch = telling
    return run_command(command)


def child(task):
    """Do the task in this process, and end it."""
    torch.set_num_threads(1)
    kill_at, late = task.get("kill_at"), task.get("late", False)
    for module, name in ((os, "replace"), (os, "fsync"), (shutil, "rmtree"), (files, "_exchanged")):
        setattr(module, name, counted(getattr(module, name), kill_at, late))
    if limit := task.get("limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if memory := task.get("memory"):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + memory,) * 2)
    if task["do"] == "run":
        return run(task["command"], task.get("epoch"))
    if task["do"] == "save":
        return save(Path(task["folder"]))
    return fit(Path(task["folder"]), task.get("hidden", 16))


def done(task):
    """Fork a process for the task, and tell how it ended."""
    with tempfile.TemporaryFile("w+") as err, tempfile.TemporaryFile("w+") as out:
        pid = os.fork()
        if pid == 0:
            os.dup2(err.fileno(), 2)
            os.dup2(out.fileno(), 1)
            code = 99
            try:
                code = child(task)
                print(f"calls {calls}", file=sys.stderr)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        begun = time.perf_counter()
        if task.get("after") is not None:
            time.sleep(task["after"])
            os.kill(pid, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        seconds = time.perf_counter() - begun
        err.seek(0)
        return {"status": status, "seconds": seconds, "err": err.read()}


def warm_up():
    """Import all that a run imports on its way, here and not in each child."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        fit(Path(folder))
        study = Path(folder) / "warm.toml"
        study.write_text(
            'title = "warm"\n[data]\nname = "digits"\n[[model]]\nname = "nothing"\nestimator = "identity"\n'
        )
        with contextlib.redirect_stdout(io.StringIO()):
            assert run_command(["run", str(study), "--out", folder, "--threads", "1"]) == 0
    gc.freeze()  # what a child does not look at, it does not copy


if __name__ == "__main__":
    torch.set_num_threads(1)
    warm_up()
    for line in sys.stdin:
        print(json.dumps(done(json.loads(line))), flush=True)
