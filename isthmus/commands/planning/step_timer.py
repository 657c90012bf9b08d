"""Time and memory of a model's real training steps, measured in this process.

The model is fitted by its own estimator to some of its own images: the network, batches, corruption, precision and
threads are those of the run. How long a step takes does not depend on the weights, so the learning rate is tiny and
the start is drawn.
"""

from __future__ import annotations

import contextlib
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.estimators.samples import n_held_out
from isthmus.parts import Training
from isthmus.studies.plan.context import Context, inputs
from isthmus.studies.run.fitting import with_fixed_noise
from isthmus.studies.spec.estimator import estimator
from isthmus.studies.spec.study import Model
from isthmus.training.hardware import using_threads_everywhere
from isthmus.training.loop import n_steps

SECONDS = 1.5  # of measured steps; of long ones a dozen
_EPOCH = 0.25  # seconds of steps in what counts as an epoch here, unless a real one is shorter
_FEWEST = 4  # steps in it all the same
_LEAST, _MOST = 3, 40  # epochs that are measured, after one that is not
_IMAGES = 64  # photographs that crops are cut from
_HELD_OUT = 2048  # validation samples that a pass is measured on
_EPOCHS = 1_000_000  # so that the measured ones are all the same
_RATE = 1e-6


@dataclass(frozen=True)
class StepTime:
    """What was measured of a training, in seconds and bytes.

    step: the median of a training step. pass_: what comes after each epoch, such as the pass over the validation
    samples. steps: how many were measured. memory: the most that the process had meanwhile, or the tensors on its GPU;
    0 where the system does not say. share: of each core that it might have had, the part that it had.
    """

    step: float
    pass_: float
    steps: int
    memory: int = 0
    share: float = 1.0


def step_time(context: Context, model: Model, seconds: float = SECONDS) -> StepTime:
    """Measure the steps of a model that is trained by the loop, on the device of the context.

    seconds: how long, at least, beside the first steps, which are not counted.
    """
    training = context.training(model)
    assert training is not None
    per_epoch = n_steps(samples_per_epoch(context, model), training) // training.epochs
    with using_threads_everywhere(context.threads_each), _peak(context.device) as most:
        few, passes, _ = _epochs(context, model, training, min(per_epoch, 2), 0.0, validated=True)
        k = min(per_epoch, max(_FEWEST, round(_EPOCH / min(few))))
        # without a pass between them, after which a step has to ask the system for its memory anew: few are after one
        steps, _, cpu = _epochs(context, model, training, k, seconds, validated=False)
    share = cpu / context.threads(model) if context.device.type == "cpu" else 1.0
    return StepTime(statistics.median(steps), statistics.median(passes), k * len(steps), most(), min(1.0, share))


def samples_per_epoch(context: Context, model: Model) -> int:
    """Samples that an epoch of a model has: all images it is fitted on that are not held out, or the crops of one."""
    n, training = context.n_fitted(model), context.training(model)
    if model.part is not None:
        return model.part.n_per_epoch(n)
    return n - _held_out(context, training, n)


def _held_out(context: Context, training: Training | None, n: int) -> int:
    """Of n samples, those that the fit itself holds out: none where the study has validation images."""
    fraction = None if training is None or "validation" in context.splits else training.validation_fraction
    return 0 if fraction is None else n_held_out(n, fraction)


def _epochs(
    context: Context, model: Model, training: Training, k: int, seconds: float, *, validated: bool
) -> tuple[list[float], list[float], float]:
    """Of epochs of k steps, until so many seconds are over: seconds of a step, those between two epochs, and how many
    cores this process had.
    """
    x, held_out, scale = _samples(context, model, training, k)
    held_out = held_out if validated else None
    unfitted = estimator(model, context.study.seed + model.seed_offset, context.device.type)
    unfitted.set_params(**_same_steps(model, training, k, validated=held_out is not None))
    validation = {} if held_out is None else {"validation": held_out}
    steps, passes = list[float](), list[float]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.closing(unfitted.fit_epochs(x, **validation)) as rows:
            next(rows)  # memory is taken, and what is compiled is compiled
            began, computed = time.perf_counter(), time.process_time()
            last = began
            for row in rows:
                now = time.perf_counter()
                steps.append(row.seconds / len(row.step_losses))
                passes.append(scale * max(0.0, now - last - row.seconds))
                last = now
                if len(steps) >= _MOST or (len(steps) >= _LEAST and now - began >= seconds):
                    break
            cores = (time.process_time() - computed) / (time.perf_counter() - began)
    return steps, passes, cores


def _same_steps(model: Model, training: Training, k: int, *, validated: bool) -> dict[str, Any]:
    """Arguments of the estimator with which it takes the same steps, k in an epoch, and never ends."""
    arguments: dict[str, Any] = {
        "epochs": _EPOCHS,
        "batch_size": training.batch_size,
        "learning_rate": min(training.learning_rate, _RATE),
        "schedule": "constant",
        "patience": _EPOCHS if validated and training.patience is not None else None,
    }
    if model.part is not None:
        return {**arguments, "crops_per_epoch": k * training.batch_size}
    return {**arguments, "start": "random", "standardize": training.standardize, "validation_fraction": None}


def _samples(context: Context, model: Model, training: Training, k: int) -> tuple[Any, Any, float]:
    """What to fit to, what to validate with or None, and how many times as much the run validates with."""
    images, held_out, scale = context.splits[context.fit_split(model)], context.splits.get("validation"), 1.0
    if model.part is not None:
        x = images.take(slice(0, _IMAGES))
        if model.arguments.get("target") == "noisy":
            x = with_fixed_noise(x, estimator(model, 0).noise)
        return x, held_out, scale
    n_held = len(held_out) if held_out else _held_out(context, training, len(images))
    n = min(k * training.batch_size, len(images) - (0 if held_out else n_held))
    if model.of:  # nobody has its codes yet
        width, _ = inputs(context.study, model, context.shape)
        codes = np.random.default_rng(0).random((n + min(n_held, _HELD_OUT), width), np.float32)
        x, checked = codes[:n], codes[n:]
    else:
        x = images.take(slice(0, n))
        checked = (held_out or images).take(slice(0, max(1, min(n_held, _HELD_OUT))))
    return (x, checked, n_held / len(checked)) if n_held else (x, None, scale)


@contextlib.contextmanager
def _peak(device: torch.device) -> Iterator[Callable[[], int]]:
    """Yield what says, inside, the most memory that there was since; 0 where the system does not say."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # VmHWM begins anew
        known = True
    except OSError:
        known = False
    yield lambda: resident("VmHWM") if known else 0


def resident(which: str = "VmRSS", process: int | str = "self") -> int:
    """Bytes of memory that a process has, or with VmHWM has had at most; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text("ascii", "replace").splitlines():
            if line.startswith(f"{which}:"):
                return int(line.split()[1]) << 10
    return 0
