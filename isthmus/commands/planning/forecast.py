"""What a study will cost, from the steps that were measured: each figure by one formula, as docs/scale.md has them.

training   = step · steps + pass · epochs
measuring  = samples measured · step / (3 · batch), for a pass is a third of the arithmetic of a step
memory     = resident + 4 · weights · (weights, gradients, moments, best) + batch · activations
moved      = images · nodes + (4 · weights + checkpoints) of each model
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from isthmus.commands.planning.crew import Measured
from isthmus.commands.planning.step_memory import activations
from isthmus.commands.planning.step_timer import samples_per_epoch
from isthmus.parts import Training
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.workload import Work, makespan
from isthmus.studies.spec.study import Model
from isthmus.training.loop import n_steps

FLOAT = 4  # bytes of a weight, whatever the precision of the products
_MOMENTS = {"adam": 2, "adamw": 2, "sgd": 0}
_CHECKPOINT = 10.0  # seconds from one to the next, at least


def training_seconds(step: float, steps: int, between: float, epochs: int) -> float:
    """A training: its steps, and what comes between its epochs.

    >>> training_seconds(0.1, 1000, 2.0, 5)
    110.0
    """
    return step * steps + between * epochs


def state_bytes(n_weights: int, moments: int = 2, *, best: bool = False) -> int:
    """Weights, their gradients, an optimizer's moments, and with `best` the weights of the best epoch.

    >>> state_bytes(1_000_000)
    16000000
    """
    return FLOAT * n_weights * (2 + moments + best)


def exchanged_bytes(n_weights: int, n_parts: int) -> int:
    """What each of n processes that share one training sends in a step, for the sum of their gradients.

    n_parts: a power of two. Each sends what it has added up to a partner at every distance: 1, 2, 4, and so on, as
    `training.sharding.processes` does.

    >>> exchanged_bytes(1_000_000, 4)
    8000000
    """
    return (n_parts - 1).bit_length() * FLOAT * n_weights


@dataclass(frozen=True)
class Cost:
    """What one model costs. Seconds and bytes; seconds without steps are the first guess of a run.

    step: None of a model that has no steps. measured_memory: the most that a process which took its steps had; 0
    where that is unknown. written: to the folder of the run, checkpoints too.
    """

    model: str
    seed: int
    of: str | None
    epochs: int
    steps: int
    step: float | None
    training: float
    measuring: float
    memory: int
    measured_memory: int
    weights: int
    written: int
    is_upper_bound: bool = False

    @property
    def seconds(self) -> float:
        """From its start to its end."""
        return self.training + self.measuring

    @property
    def most_memory(self) -> int:
        """By the formula or as it was measured, whichever is more."""
        return max(self.memory, self.measured_memory)

    def table(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**asdict(self), "hours": self.seconds / 3600}


@dataclass(frozen=True)
class Forecast:
    """What a study costs on so many nodes like this one. per_node: models that one trains at once.

    start: seconds until a run can train. images: bytes that each node reads.
    """

    study: str
    costs: tuple[Cost, ...]
    nodes: int
    per_node: int
    threads: int
    device: str
    start: float
    images: int

    def wall(self, nodes: int | None = None) -> float:
        """Seconds until all models are there, the longest way first, as the scheduler has it."""
        works = [Work(cost.model, cost.seed, cost.of, other=cost.seconds) for cost in self.costs]
        slots = self.per_node * (self.nodes if nodes is None else nodes)
        return self.start + makespan(works, slots, 1)

    @property
    def seconds(self) -> float:
        """Of all models, one after the other."""
        return sum(cost.seconds for cost in self.costs)

    @property
    def longest(self) -> float:
        """Seconds of the longest model with those that it waits for: no number of nodes is faster."""
        ways: dict[tuple[str, int], float] = {}
        for cost in self.costs:  # a study names a model before those that are of it
            ways[cost.model, cost.seed] = cost.seconds + ways.get((str(cost.of), cost.seed), 0.0)
        return max(ways.values(), default=0.0)

    @property
    def efficiency(self) -> float:
        """The share of the nodes' time in which they train: the time of one node, by that of all nodes together."""
        wall = self.nodes * self.wall()
        return self.wall(1) / wall if wall else 1.0

    @property
    def moved(self) -> int:
        """Bytes that are read by all nodes, and written by all models."""
        return self.nodes * self.images + sum(cost.written for cost in self.costs)

    def table(self) -> dict[str, Any]:
        """As JSON has it."""
        plain = {name: value for name, value in asdict(self).items() if name != "costs"}
        return {
            **plain,
            "models": [cost.table() for cost in self.costs],
            "hours": self.seconds / 3600,
            "wall_hours": self.wall() / 3600,
            "one_node_hours": self.wall(1) / 3600,
            "longest_hours": self.longest / 3600,
            "efficiency": self.efficiency,
            "memory_of_a_node": self.per_node * max((cost.most_memory for cost in self.costs), default=0),
            "moved": self.moved,
        }


def forecast(context: Context, measured: Measured, nodes: int, per_node: int) -> Forecast:
    """The costs of all models of a run, with all its seeds."""
    costs = tuple(_cost(context, measured, model, seed) for seed in context.seeds for model in context.models)
    images = sum(_pixel_bytes(images) for images in (context.dataset.train, context.dataset.test))
    device = context.device.type
    return Forecast(context.study.name, costs, nodes, per_node, context.threads_each, device, measured.start, images)


def _cost(context: Context, measured: Measured, model: Model, seed: int) -> Cost:
    training, work = context.training(model), context.work(model, seed)
    weights, timed = context.n_weights(model), measured.steps.get(model.name)
    if training is None or timed is None:
        seconds = work.seconds(context.threads_each)
        is_of_another = model.of is not None and model.part is not None and model.part.any_size
        passes = _measuring(context, measured, model) if is_of_another else 0.0  # a search has them in its guess
        memory, written = measured.resident + FLOAT * weights, FLOAT * weights
        return Cost(model.name, seed, model.of, 0, 0, None, seconds, passes, memory, 0, weights, written)
    steps = n_steps(samples_per_epoch(context, model), training)
    seconds = training_seconds(timed.step, steps, timed.pass_, training.epochs)
    best = training.patience is not None
    states = state_bytes(weights, _MOMENTS.get(training.optimizer, 2), best=best)
    taken = training.batch_size * activations(context, model)
    checkpoints = min(training.epochs, math.ceil(seconds / _CHECKPOINT))
    return Cost(
        model.name,
        seed,
        model.of,
        training.epochs,
        steps,
        timed.step,
        seconds,
        _measuring(context, measured, model),
        measured.resident + states + taken,
        timed.memory,
        weights,
        FLOAT * weights + checkpoints * (states - FLOAT * weights),
        is_upper_bound=_may_stop(training),
    )


def _may_stop(training: Training) -> bool:
    """Whether it may end before its last epoch."""
    return training.patience is not None and training.patience < training.epochs


def _measuring(context: Context, measured: Measured, model: Model) -> float:
    """Seconds of the passes over the images that a model of measured steps, or one that is of it, is measured on."""
    trained = model if model.name in measured.steps or model.of is None else context.study.model(model.of)
    training, timed = context.training(trained), measured.steps.get(trained.name)
    if training is None or timed is None:
        return 0.0
    passes = float(context.n_measured(model))
    if trained.part is not None and trained.part.of_crops:
        test, side = context.splits["test"], trained.part.of_crops[1]
        pixels = sum(math.prod(x.shape[1:]) for x in test.arrays)
        passes *= pixels / len(test) / side**2
        # a blind one makes a first guess at the noise, and eight turns are eight passes
        arguments = model.arguments
        passes *= (2 if arguments.get("blind") else 1) * (8 if arguments.get("self_ensemble") else 1)
    return passes * timed.step / (3 * training.batch_size)


def _pixel_bytes(images: Any) -> int:
    """Of images and photographs, wherever they are."""
    arrays: Sequence[Any] = getattr(images, "arrays", ())
    if not arrays:
        return int(images.pixels.nbytes)
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in arrays)
