"""`isthmus plan`: what a study will cost, from training steps that are measured here."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.options import add_allow_imports, add_command, add_data_dir, add_import, threads_of
from isthmus.errors import counted, one_of, require

if TYPE_CHECKING:
    from isthmus.commands.planning.forecast import Cost, Forecast

_TEXT = """
    A few steps of every model are taken, with its network, batches and images, in as many processes as a run trains
    models at once; what a run takes follows from their median by formulas (docs/scale.md). Nothing is written.

    Not counted: figures and the report, metrics of codes, and comparisons. What has no training steps (PCA, searches,
    methods that learn nothing) is guessed, as a run guesses it. A training that may stop early is counted to its end.
"""
_EXAMPLES = """
    isthmus plan digits
    isthmus plan photographs --data-dir photographs/ --nodes 4
    isthmus plan lab --only 'deep-*' --json > plan.json
"""

_BUSY = 0.8  # of the cores


def add(commands: Any) -> None:
    """The parser of `isthmus plan`."""
    summary = "estimate hours, memory and bytes moved of a study, from measured steps"
    command = add_command(commands, "plan", run, "STUDY", summary, _TEXT, _EXAMPLES)
    command.set_defaults(interrupted="")  # nothing is left to go on from
    command.add_argument("study", metavar="STUDY", help="a study that ships with isthmus, or the path of a TOML file")
    add_data_dir(command)
    command.add_argument("--nodes", type=int, default=1, metavar="N", help="machines like this one (1)")
    command.add_argument(
        "--gpus", type=int, default=0, metavar="G", help="GPUs of each, with a model on each; measured where one is (0)"
    )
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
    command.add_argument("--threads", type=int, metavar="N", help="CPU threads of a node (the cores)")
    command.add_argument("--seeds", type=int, default=1, metavar="N", help="as of `isthmus run` (1)")
    command.add_argument("--only", action="append", default=[], metavar="GLOB", help="as of `isthmus run`")
    command.add_argument("--quick", action="store_true", help="what `isthmus run --quick` costs")
    command.add_argument(
        "--seconds", type=float, default=1.5, metavar="S", help="of measured steps, for each model (1.5)"
    )
    add_import(command)
    add_allow_imports(command)
    command.add_argument("--json", action="store_true", help="print all as one line of JSON")


def run(options: argparse.Namespace) -> None:
    began = time.perf_counter()
    from isthmus.parts import DEVICES
    from isthmus.studies.spec.parser import load_study

    study = load_study(options.study)
    study.only(options.only)
    one_of("device", options.device, DEVICES)
    threads = threads_of(options)
    for name, least in {"nodes": 1, "gpus": 0, "seeds": 1}.items():
        require(getattr(options, name) >= least, name, f"at least {least}", getattr(options, name))
    require(options.seconds > 0, "seconds", "more than 0", options.seconds)

    from isthmus import console
    from isthmus.commands.planning.crew import at_once, measure
    from isthmus.commands.planning.forecast import forecast
    from isthmus.studies.plan.context import Request
    from isthmus.studies.plan.preparation import prepare

    request = Request(
        out=Path("runs"),
        data_dir=options.data_dir,
        device=options.device,
        threads=threads,
        seeds=options.seeds,
        only=tuple(options.only),
        quick=options.quick,
    )
    context, notes = prepare(study, request)
    ready = time.perf_counter() - began  # as a run is, that has imported as much and read the same images
    for note in notes:
        console.say(note)
    trained = [model for model in context.models if context.training(model)]
    console.say(f"{study.title}: measuring steps of {counted(len(trained), 'model')}, {at_once(context)} at a time")
    with console.progress("measuring") as on_progress:
        measured = measure(context, trained, options.seconds, on_progress)
    measured.start += ready
    if measured.share < _BUSY:
        had = f"a training had {100 * measured.share:.0f} % of its cores"
        console.say(f"other programs ran while steps were measured: {had}, and all times are too long by as much")
    on_gpu = context.device.type == "cuda"
    per_node = max(1, options.gpus) if on_gpu else at_once(context)
    result = forecast(context, measured, options.nodes, per_node)
    if options.json:
        print(json.dumps(result.table(), allow_nan=False))
        return
    print("\n".join([*_table(result), "", *_summary(result, gpus=options.gpus, on_gpu=on_gpu)]))


def _table(result: Forecast) -> list[str]:
    """A line for each model."""
    width = max(len(_name(cost, result)) for cost in result.costs) + 2
    head = f"{'model':<{width}}{'steps':>9}{'a step':>11}{'training':>14}{'measuring':>14}"
    lines = [f"{head}{'memory':>10}{'measured':>10}{'written':>10}"]
    for cost in result.costs:
        step = "guessed" if cost.step is None else f"{cost.step * 1e3:,.2f} ms"
        most = "at most " if cost.is_upper_bound else ""
        lines.append(
            f"{_name(cost, result):<{width}}{cost.steps or '–':>9}{step:>11}{most + _time(cost.training):>14}"
            f"{_time(cost.measuring):>14}{_size(cost.memory):>10}"
            f"{_size(cost.measured_memory) if cost.measured_memory else '–':>10}{_size(cost.written):>10}"
        )
    return lines


def _summary(result: Forecast, *, gpus: int, on_gpu: bool) -> list[str]:
    """What follows for the nodes."""
    how = f"{result.per_node} at a time, {counted(result.threads, 'thread')} each"
    lines = [f"one after the other: {_time(result.seconds)}; on one node, {how}: {_time(result.wall(1))}"]
    if result.nodes > 1:
        share = f"efficiency {100 * result.efficiency:.0f} %"
        lines.append(f"on {result.nodes} nodes like this one: {_time(result.wall())}, {share}")
    lines.append(f"the longest way: {_time(result.longest)}, and no number of nodes is faster")
    most = result.per_node * max(cost.most_memory for cost in result.costs)
    lines.append(f"memory of a node: {_size(most)}, if {result.per_node} of the largest train at once")
    back = sum(cost.written for cost in result.costs)
    lines.append(f"moved: {_size(result.images)} of images to each node, {_size(back)} of models and checkpoints back")
    if gpus and on_gpu:
        lines.append(f"GPUs: steps were measured on one here; with {gpus} a node, give each worker one of its own")
    elif gpus:
        lines.append("GPUs: none is here, so no step was measured on one; all times are those of this machine's cores")
    lines.append("not counted: figures, the report, metrics of codes, comparisons; `guessed` is no measurement")
    return lines


def _name(cost: Cost, result: Forecast) -> str:
    first = min(other.seed for other in result.costs)
    return cost.model if cost.seed == first else f"{cost.model}.seed-{cost.seed}"


def _time(seconds: float) -> str:
    """Seconds in a unit that can be read.

    >>> _time(0.05), _time(7.2), _time(95), _time(9000)
    ('0.1 s', '7.2 s', '1.6 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 3600 else f"{seconds / 3600:,.1f} h"


def _size(n_bytes: float) -> str:
    """Bytes in powers of ten.

    >>> _size(300), _size(2_500_000), _size(1.5e12)
    ('300 B', '2.5 MB', '1.5 TB')
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if n_bytes < 1000 or unit == "TB":
            break
        n_bytes /= 1000
    return f"{n_bytes:,.0f} B" if unit == "B" else f"{n_bytes:,.1f} {unit}"
