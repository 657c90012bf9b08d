"""A part of `gpu`, in a process that may crash or hang: it says what it begins with, and what came of it.

    python -m benchmarks.gpu_parts PART --device cuda --seconds S --images N --work FOLDER '["item", ...]'

A message is a line of JSON with `item`, with `done` when that is over. Everything else that is printed goes to stderr.
After an item that failed the device is tried; one that computes no more ends the process with status 3, and `gpu` goes
on in another one.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import math
import os
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TESTS = ("tests/training/test_on_cuda.py", "tests/training/test_replay.py")
SPOILT = 3  # the status of a process whose device computes no more
_ROUNDS, _ROUNDS_SECONDS = 5, 8.0
_AGREE = 0.25  # of the loss after as many epochs: start and order are other draws
_AGREE_NOISY = 1.0  # of that of noisy crops, whose level is drawn
_TAIL = 3000


class Messages:
    """What goes to `gpu`, by a file that nobody else prints to."""

    def __init__(self) -> None:
        self.file = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, **message: Any) -> None:
        self.file.write(json.dumps(message) + "\n")
        self.file.flush()


def computes(device: str) -> bool:
    """Whether the device still does."""
    import torch

    try:
        return float(torch.ones(8, device=device).sum()) == 8
    except RuntimeError:
        return False


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on."""
    import platform

    import numpy
    import torch

    has_cuda = torch.cuda.is_available()
    facts: dict[str, Any] = {"name": "the CPU", "cuda": has_cuda, "torch": torch.__version__}
    facts |= {"python": platform.python_version(), "numpy": numpy.__version__, "cores": os.cpu_count()}
    if options.device == "cuda" and has_cuda:
        card = torch.cuda.get_device_properties(0)
        facts |= {
            "name": torch.cuda.get_device_name(),
            "cuda_version": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "capability": f"{card.major}.{card.minor}",
            "memory_gib": round(card.total_memory / 2**30, 1),
            "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
            "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        }
    return {"facts": facts}


class Outcomes:
    """pytest's, as messages. done: the tests that need not be run again."""

    def __init__(self, messages: Messages, device: str, done: list[str]) -> None:
        self.messages, self.device, self.done = messages, device, set(done)
        self.entry: dict[str, Any] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        items[:] = [item for item in items if item.nodeid not in self.done]

    def pytest_collection_finish(self, session: Any) -> None:
        self.messages.send(items=[item.nodeid for item in session.items])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.entry = {"outcome": "passed"}
        self.messages.send(item=nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.outcome != "passed":
            self.entry["outcome"] = report.outcome
        if report.failed:
            self.entry["error"] = report.longreprtext[-_TAIL:]

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.messages.send(item=nodeid, done=True, **self.entry)
        if "error" in self.entry and not computes(self.device):
            os._exit(SPOILT)


def run_tests(options: argparse.Namespace, messages: Messages) -> None:
    """All tests but those that are given, whose outcome is known."""
    import pytest

    arguments = ["-q", "-p", "no:cacheprovider", "-W", "default", "--no-header", "-m", "cuda"]
    status = pytest.main([*arguments, *options.tests], plugins=[Outcomes(messages, options.device, options.items)])
    if status not in (0, 1):  # 1: tests failed, which is known
        sys.exit(f"pytest ended with status {int(status)}")


def samples(name: str, n: int, batch_size: int) -> Any:
    """Images of MNIST (n, 1, 28, 28), or noise; bits for the variational network, and for the denoiser crops."""
    import numpy as np

    from benchmarks import rival_loops
    from benchmarks.recipes import digits
    from isthmus import IsthmusError

    n //= 48 if name in rival_loops.DENOISERS else 1  # whose step takes so much longer
    n = max(2, n // batch_size) * batch_size
    rng = np.random.default_rng(0)
    if name in rival_loops.DENOISERS:
        side = rival_loops.CROP
        ramps = np.linspace(0, 1, side, dtype=np.float32)
        slopes = rng.random((2, n // 16, 1, 1, 1), np.float32)  # as smooth as much of a photograph is
        return (slopes[0] * ramps + slopes[1] * ramps[:, None]) / 2
    try:
        x = digits(n).floats()
    except IsthmusError:
        x = rng.random((n, 784), np.float32)
    x = np.resize(x, (n, 784))
    x = x.reshape(-1, 1, 28, 28)
    return (rng.random(x.shape, np.float32) < x).astype(np.float32) if name == rival_loops.VAE else x


def rounds_of(options: argparse.Namespace, item: str, rival: str, send: Callable[..., None]) -> None:
    """Seconds of an epoch by isthmus and a rival, in turns, after one that is not counted."""
    from benchmarks.rival_loops import DENOISERS, Epoch, isthmus_loop, torch_loop

    name, batch_size, precision = json.loads(item)
    x = samples(name, options.images, batch_size)
    how = {"batch_size": batch_size, "device": options.device}
    begun = {"isthmus": lambda: isthmus_loop(name, x, precision, **how)}
    begun[rival] = lambda: torch_loop(name, x, precision, compiled="" if rival == "torch" else "loss", **how)
    epochs, first, losses = dict[str, Epoch](), dict[str, float](), dict[str, float]()
    for loop, begin in begun.items():
        start = time.perf_counter()
        epochs[loop] = begin()
        losses[loop] = epochs[loop]()
        first[loop] = time.perf_counter() - start
    rounds: list[dict[str, float]] = []
    until = time.monotonic() + _ROUNDS_SECONDS
    compiling = {"compile_seconds": first[rival]} if rival != "torch" else {}
    while len(rounds) < _ROUNDS and (not rounds or time.monotonic() < until):
        rounds.append({})
        for loop, epoch in epochs.items():
            start = time.perf_counter()
            losses[loop] = epoch()  # a number, for which it waits
            rounds[-1][loop] = time.perf_counter() - start
        send(steps=len(x) // batch_size, rounds=rounds, losses=losses, first_epoch=first, **compiling)
    agree = _AGREE_NOISY if name in DENOISERS else _AGREE
    if not all(map(math.isfinite, losses.values())) or max(losses.values()) > (1 + agree) * min(losses.values()):
        raise ValueError(f"the losses do not agree: {losses}")


def compiled_rounds(options: argparse.Namespace, item: str, send: Callable[..., None]) -> None:
    """The same against torch.compile; where that is impossible, why."""
    import torch

    try:
        torch._dynamo.reset()
        torch.compile(torch.nn.Linear(4, 4).to(options.device))(torch.ones(2, 4, device=options.device))
    except Exception as error:
        send(impossible=f"{type(error).__name__}: {error}".splitlines()[0][:300])
        return
    rounds_of(options, item, "torch.compile", send)


def run_study(options: argparse.Namespace, study: str, send: Callable[..., None]) -> None:
    """A study as the command runs it. Seconds of training are those that its results have."""
    quick = ["--quick"] if options.device == "cpu" else []
    command = [sys.executable, "-m", "isthmus", "run", study, "--device", options.device, "--out", options.work, *quick]
    place, start = Path(options.work) / study / "results.json", time.monotonic()
    process = subprocess.Popen(command, stdout=sys.stderr)  # in this process's group, and ended with it
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        with contextlib.suppress(OSError, ValueError):
            results = json.loads(place.read_text("utf-8"))
            fits = [row for row in results["timings"] if row["phase"] == "fit"]
            trained = [row["seconds"] for row in fits if row["epochs"] is not None]
            send(
                quick=bool(quick),
                seconds=time.monotonic() - start,
                training_seconds=sum(trained),
                fit_seconds=sum(row["seconds"] for row in fits),
                models=len(fits),
                complete=results["complete"],
                device=results["environment"]["device"],
            )
        if process.returncode is not None:
            break
    if process.returncode:
        raise RuntimeError(f"isthmus run {study} ended with status {process.returncode}")


def photograph_folder(name: str) -> Any:
    """The grey photographs of $ISTHMUS_DATA/photographs."""
    from benchmarks.photographs import greys

    return greys(Path(os.environ.get("ISTHMUS_DATA", ".")) / "photographs" / name)


def run_photographs(options: argparse.Namespace, item: str, send: Callable[..., None]) -> None:
    """Train README's denoiser, for as many of its epochs as there is time, or measure it."""
    from benchmarks import photographs
    from isthmus import Denoiser, GaussianNoise, Residual, load
    from isthmus.estimators.denoising.denoiser_fit import training_of

    folder = Path(options.work) / "denoiser"
    if item == "training":
        images = photograph_folder("train400")
        recipe = {"noise": GaussianNoise((0, photographs.HIGHEST)), "recipe": "fast", "random_state": 0}
        crops = Denoiser().crops_per_epoch
        probe = Denoiser(Residual(), **recipe, device=options.device, crops_per_epoch=128, epochs=3)
        *_, last = probe.fit_epochs(images)  # the first has what is made when first used
        each = last.seconds / 128
        whole = training_of(Denoiser(Residual(), **recipe, device=options.device)).epochs
        seconds = 0.85 * options.minutes * 60
        epochs = max(1, min(whole, int(seconds / (each * crops))))
        crops = min(crops, max(128, int(seconds / each)))
        model = Denoiser(Residual(), **recipe, device=options.device, crops_per_epoch=crops, epochs=epochs)
        start = time.monotonic()
        for row in model.fit_epochs(images):
            done = {"epoch": row.epoch, "loss": float(row.loss), "seconds": time.monotonic() - start}
            send(epochs=epochs, of_recipe=whole, crops=crops, **done)
        model.save(folder)
        send(precision=model.precision_, device=model.device_)
        return
    images, rows = photograph_folder("bsd68"), list[dict[str, Any]]()
    model, until = load(folder, device=options.device), options.until - 15
    model.denoise(images[:1])  # whatever is made when first used
    levels = [level / 255 for level in (15, 25, 50)]
    methods = {
        "isthmus": photographs.of_model(model),
        "isthmus, σ estimated": photographs.of_model(model, told=False),
        "the noisy image": lambda y, _: y,
    }
    for number, image in enumerate(images):
        if number and time.monotonic() > until:
            break
        rows += photographs.measured(methods, [image], levels, [number])
        send(n=number + 1, rows=rows, table=photographs.table(rows, {}))


ITEMS: dict[str, Callable[[argparse.Namespace, str, Callable[..., None]], None]] = {
    "machine": lambda options, _, send: send(**machine(options)),
    "steps": lambda options, item, send: rounds_of(options, item, "torch", send),
    "compiled": compiled_rounds,
    "studies": run_study,
    "photographs": run_photographs,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_parts")
    parser.add_argument("part", choices=("tests", *ITEMS))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--work", default=".")
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("items", type=json.loads)
    options = parser.parse_args()
    options.until = time.monotonic() + options.seconds
    messages = Messages()
    faulthandler.enable()
    faulthandler.register(signal.SIGTERM, chain=True)  # where it hung
    warnings.simplefilter("ignore")
    if options.part == "tests":
        return run_tests(options, messages)
    for item in options.items:
        messages.send(item=item)
        try:
            ITEMS[options.part](options, item, lambda item=item, **known: messages.send(item=item, **known))
        except Exception:
            messages.send(item=item, done=True, error=traceback.format_exc()[-_TAIL:])
            if not computes(options.device):
                os._exit(SPOILT)
        else:
            messages.send(item=item, done=True)
    return None


if __name__ == "__main__":
    main()
