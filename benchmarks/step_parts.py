"""What a dense network's step is made of, by isthmus and by JAX: microseconds of one core's processor time.

    make bench-alternatives  # its environment, build/alternatives, has JAX
    python -m benchmarks.step_parts [--models dense-64,deep-30] [--repeats 15] [--images 12800] [--json F] [--readme]

"isthmus" are its parts where they stand in its steps; "alone" are the same products and the same Adam, called over and
over with operands in cache, and its step is these one after the other, as a step has them, and nothing else. "JAX" are
its products and its Adam alone, in one jitted call for all of a kind, so that its dispatch is paid once, as in its
scan, and a step of its scan. The rest of isthmus' step is Python, and of JAX's all that is neither a product nor Adam,
and what these take longer in the scan than alone.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks import readme
from benchmarks.floor import product_calls, products
from benchmarks.recipes import NETWORKS, digits
from benchmarks.rival_loops import BATCH, LOOPS, RATE
from isthmus import IsthmusError
from isthmus.networks.accelerators import dense
from isthmus.networks.accelerators.products import multiplied
from isthmus.objective import Objective
from isthmus.training import loop
from isthmus.training.optimizers import Adam

MODELS = ("dense-64", "deep-30")
KINDS = {"forward": "products, forward", "at the weight": "products, weights", "at the input": "products, inputs"}
ADAM, BATCHES = "Adam", "the batch, gathered"
OTHERS, LEFT, STEP = "activations, biases, objective", "the rest", "a step"
ROWS = (*KINDS.values(), ADAM, BATCHES, OTHERS, LEFT, STEP)
_CALLS = 20  # of what is timed alone, in each round
_UPDATES = 20  # of JAX's Adam in one call

Times = dict[str, float]  # microseconds of a step, by row
Round = Callable[[], Times]


class Stopwatch:
    """Processor time in functions, without that in others that it watches and that they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = [0.0]

    def watched(self, call: Callable[..., Any], row: str | Callable[..., str]) -> Callable[..., Any]:
        """The same function. row: where its time is added, or what says so of its arguments."""

        def timed(*args: Any, **named: Any) -> Any:
            self._inside.append(0.0)
            start = time.process_time()
            try:
                return call(*args, **named)
            finally:
                seconds = time.process_time() - start
                self.seconds[row if isinstance(row, str) else row(*args)] += seconds - self._inside.pop()
                self._inside[-1] += seconds

        return timed

    def gathered(self, call: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A generator of batches, whose each is watched."""

        def timed(*args: Any, **named: Any) -> Iterator[Any]:
            following = self.watched(partial(next, call(*args, **named), None), BATCHES)
            while (batch := following()) is not None:
                yield batch

        return timed


@contextlib.contextmanager
def watching() -> Iterator[Stopwatch]:
    """A stopwatch of the parts of each step that a dense network takes inside."""
    watch = Stopwatch()
    with contextlib.ExitStack() as stack:
        for owner, name, row in (
            (dense, "affine", KINDS["forward"]),
            (dense, "put_gradient", KINDS["at the weight"]),
            (dense, "multiplied", KINDS["at the input"]),
            (torch, "sum", OTHERS),  # of biases
            (Objective, "with_gradients", OTHERS),
            (Adam, "step", ADAM),
        ):
            stack.enter_context(patch.object(owner, name, watch.watched(getattr(owner, name), row)))
        for name in ("ACTIVATIONS", "IN_PLACE", "BACKWARD"):
            calls = {key: watch.watched(call, OTHERS) for key, call in getattr(dense, name).items()}
            stack.enter_context(patch.object(dense, name, calls))
        stack.enter_context(patch.object(loop, "batches", watch.gathered(loop.batches)))
        yield watch


def of_isthmus(name: str, x: np.ndarray) -> Round:
    """Of an epoch its parts, with the stopwatch, and of another, without, a step."""
    epoch = LOOPS["isthmus"](name, x, "float32")

    def once() -> Times:
        step = _seconds(epoch)
        with watching() as watch:
            epoch()
        n_steps = len(x) / BATCH
        parts = {row: seconds / n_steps * 1e6 for row, seconds in watch.seconds.items()}
        return {**parts, STEP: step / n_steps * 1e6}

    return once


def alone(name: str) -> Round:
    """The products by the library that isthmus takes, and its Adam; and all of a step's in their order."""
    shapes = products(NETWORKS[name], BATCH, (1, 28, 28))
    layers = [product_calls(*shape) for shape in shapes]
    del layers[0]["at the input"]  # nobody asks for the gradient at the pixels
    vector = torch.nn.Parameter(torch.rand(sum((n_in + 1) * n_out for _, n_in, n_out in shapes)))
    vector.grad = torch.rand(len(vector))
    adam = torch.optim.Adam([vector], lr=RATE, fused=True)

    step = in_a_row(shapes)

    def once() -> Times:
        of_kinds = {row: sum(_microseconds(one[kind]) for one in layers if kind in one) for kind, row in KINDS.items()}
        return {**of_kinds, ADAM: _microseconds(adam.step), STEP: _microseconds(step)}

    return once


def in_a_row(shapes: list[tuple[int, int, int]]) -> Callable[[], None]:
    """A step's products, and Adam of the gradients where the products leave them: nothing is copied or written over."""
    inputs = [torch.rand(rows, n_in) for rows, n_in, _ in shapes]
    outputs = [torch.rand(rows, n_out) for rows, _, n_out in shapes]
    sizes = [(n_out, n_in) for _, n_in, n_out in shapes]
    weights, *moments = ([torch.rand(size) for size in sizes] for _ in range(3))
    n_steps, settings = [torch.ones(())] * len(sizes), {"lr": 0.0, "beta1": 0.9, "beta2": 0.999, "weight_decay": 0.0}

    def step() -> None:
        for x, weight in zip(inputs, weights, strict=True):
            multiplied(x, weight.t())
        gradients = []
        for i, (x, weight, grad) in reversed(list(enumerate(zip(inputs, weights, outputs, strict=True)))):
            gradients.insert(0, multiplied(grad.t(), x))
            if i:
                multiplied(grad, weight)
        Adam.kernel(weights, gradients, *moments, [], n_steps, **settings, eps=1e-8, amsgrad=False, maximize=False)

    return step


def of_jax(name: str, x: np.ndarray) -> Round:
    """The same products alone, and Adam, and a step of the scan."""
    import jax
    import jax.numpy as jnp
    import optax

    shapes, rng = products(NETWORKS[name], BATCH, (1, 28, 28)), np.random.default_rng(0)

    def arrays(*of_layer: tuple[int, int]) -> Any:
        return [jnp.asarray(rng.random(shape, np.float32)) for shape in of_layer]

    inputs = arrays(*((rows, n_in) for rows, n_in, _ in shapes))
    weights = arrays(*((n_in, n_out) for _, n_in, n_out in shapes))
    gradients = arrays(*((rows, n_out) for rows, _, n_out in shapes))
    pairs: dict[str, tuple[Callable[[Any, Any], Any], list[Any], list[Any]]] = {
        "forward": (lambda x, w: x @ w, inputs, weights),
        "at the weight": (lambda x, g: x.T @ g, inputs, gradients),
        "at the input": (lambda g, w: g @ w.T, gradients[1:], weights[1:]),
    }
    calls = {
        KINDS[kind]: partial(_finished, jax.jit(partial(_mapped, product)), *operands)
        for kind, (product, *operands) in pairs.items()
    }
    adam, trained = optax.adam(RATE), [(weight, jnp.zeros(weight.shape[1])) for weight in weights]
    gradient = jax.tree.map(jnp.ones_like, trained)

    def update(_: Any, state: Any) -> Any:
        change, moments = adam.update(gradient, state[1])
        return optax.apply_updates(state[0], change), moments

    updates = jax.jit(lambda state: jax.lax.fori_loop(0, _UPDATES, update, state))
    adam_call = partial(_finished, updates, (trained, adam.init(trained)))
    epoch = LOOPS["JAX"](name, x, "float32")

    def once() -> Times:
        of_kinds = {row: _microseconds(call) for row, call in calls.items()}
        step = _seconds(epoch) / (len(x) / BATCH) * 1e6
        return {**of_kinds, ADAM: _microseconds(adam_call) / _UPDATES, STEP: step}

    return once


def medians(rounds: list[Times]) -> Times:
    """Of each row; of a step with what is left of it."""
    times = {row: statistics.median(one[row] for one in rounds) for row in rounds[0]}
    if STEP in times:
        times[LEFT] = 2 * times[STEP] - sum(times.values())
    return times


def _mapped(product: Callable[[Any, Any], Any], left: list[Any], right: list[Any]) -> list[Any]:
    return list(map(product, left, right))


def _finished(call: Callable[..., Any], *args: Any) -> None:
    import jax

    jax.block_until_ready(call(*args))


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _microseconds(call: Callable[[], object]) -> float:
    return statistics.median(_seconds(call) for _ in range(_CALLS)) * 1e6


def table(measured: dict[str, dict[str, Times]]) -> list[str]:
    """A row for each part, three columns for each model. measured: by model and column."""
    columns = [(model, column) for model, of_model in measured.items() for column in of_model]
    lines = [f"| µs | {' | '.join(f'{model}: {column}' for model, column in columns)} |"]
    lines.append(f"|{'---|' * (len(columns) + 1)}")
    for row in ROWS:
        values = [measured[model][column].get(row, math.nan) for model, column in columns]
        lines.append(f"| {' | '.join([row, *('' if math.isnan(value) else f'{value:,.0f}' for value in values)])} |")
    return lines


def main() -> None:
    parser = readme.arguments("benchmarks.step_parts", "What a step is made of.", rounds=15)
    parser.add_argument("--models", default=",".join(MODELS), help=f"comma-separated ({','.join(MODELS)})")
    parser.add_argument("--images", type=int, default=12_800, help="in an epoch (12800)")
    parser.set_defaults(threads=1)
    options = parser.parse_args()
    dense_networks = [name for name in NETWORKS if name != "conv-unpool"]
    names = options.models.split(",")
    if unknown := sorted(set(names) - set(dense_networks)):
        parser.error(f"unknown model {unknown[0]}; known: {', '.join(dense_networks)}")
    if options.threads != 1 or (options.readme and names != list(MODELS)):
        parser.error(f"parts are of one thread, and README's of {', '.join(MODELS)}")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # as while isthmus trains
    has_jax = all(map(importlib.util.find_spec, ("jax", "optax")))
    if options.readme and not has_jax:
        sys.exit("README's table has JAX: `make bench-alternatives` installs it, apart from the rest")
    try:
        x = digits(options.images // BATCH * BATCH).floats()
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    measured = {}
    for name in names:
        columns = {"isthmus": of_isthmus(name, x), "alone": alone(name)}
        if has_jax:
            columns["JAX"] = of_jax(name, x)
        for once in columns.values():
            once()  # in which whatever is made when first used is made
        rounds = [{column: once() for column, once in columns.items()} for _ in range(options.repeats)]
        measured[name] = {column: medians([one[column] for one in rounds]) for column in columns}
    rounds_of = f"{options.repeats} rounds of {len(x):,} images and of {_CALLS} calls alone"
    about = f"{readme.conditions(rounds_of, 1)}, float32; processor time of one core."
    lines = [*table(measured), "", about]
    print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps({"about": about, "models": measured}, indent=1), "utf-8")
    if options.readme:
        readme.put("benchmarks.step_parts", lines)


if __name__ == "__main__":
    main()
