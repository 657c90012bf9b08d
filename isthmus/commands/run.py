"""`isthmus run`: train and measure the models of studies, and write their reports."""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
from pathlib import Path
from typing import Any

from isthmus.commands.shared.options import add_allow_imports, add_data_dir, add_import, add_short, threads_of
from isthmus.errors import RequestError, one_of, require

_EXAMPLES = """
    isthmus run digits
    isthmus run digits --only 'pca-*' --out elsewhere
    isthmus run ./mine.toml --seeds 3
"""

_STATES = 20


def add(commands: Any) -> None:
    """The parser of `isthmus run`."""
    command = add_short(commands, "run", run, "train and measure the models of a study, and write a report", _EXAMPLES)
    command.add_argument(
        "study", nargs="+", metavar="STUDY", help="a study that ships with isthmus, or the path of a TOML file"
    )
    add_data_dir(command)
    command.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="write results to DIR/<study>/ (runs)"
    )
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (auto)")
    command.add_argument("--threads", type=int, metavar="N", help="CPU threads (the cores)")
    command.add_argument(
        "--engine", default="local", metavar="NAME", help="what runs the models: local, slurm, ray (local)"
    )
    command.add_argument(
        "--address", default="", metavar="HOST:PORT", help="of the cluster of --engine ray (one is started here)"
    )
    command.add_argument(
        "--launch",
        default="",
        metavar="PREFIX",
        help="start the workers by this, on machines that share a disk: 'ssh {host}', 'srun -n1 -c{threads}'",
    )
    command.add_argument(
        "--hosts", default="", metavar="A,B", help="machines that take the place of {host} in --launch"
    )
    command.add_argument(
        "--workers", type=int, default=1, metavar="N", help="with --launch: workers on each host, or in all (1)"
    )
    add_import(command)
    add_allow_imports(command)
    command.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="train with N seeds, the study's own first (1)"
    )
    command.add_argument(
        "--only", action="append", default=[], metavar="GLOB", help="only models whose names match, like 'deep-*'"
    )
    command.add_argument("--fresh", action="store_true", help="train finished models again")
    command.add_argument(
        "--quick", action="store_true", help="one epoch on 2,000 images, measured on 500, to test a study"
    )
    command.add_argument(
        "--keep-states",
        type=int,
        nargs="?",
        const=_STATES,
        default=0,
        metavar="N",
        help=f"keep N states of each training, for the epoch slider of isthmus explore ({_STATES}; without it none)",
    )
    command.add_argument("--json", action="store_true", help="print each study's results as one line of JSON")


def run(options: argparse.Namespace) -> None:
    from isthmus.parts import DEVICES
    from isthmus.studies.spec.parser import load_study

    studies = [load_study(name) for name in options.study]  # all are checked before the first runs
    names = [study.name for study in studies]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RequestError(f'two studies are named "{twice}" and would share a folder; run them one at a time')
    for study in studies:
        study.only(options.only)
    one_of("device", options.device, DEVICES)
    threads = threads_of(options)
    require(options.seeds >= 1, "seeds", "at least 1", options.seeds)
    require(options.keep_states == 0 or options.keep_states >= 2, "--keep-states", "at least 2", options.keep_states)

    from isthmus import console
    from isthmus.report.html_page import write_report
    from isthmus.studies.run.scheduler import Request, run_studies

    request = Request(
        out=options.out,
        data_dir=options.data_dir,
        device=options.device,
        threads=threads,
        seeds=options.seeds,
        only=tuple(options.only),
        fresh=options.fresh,
        quick=options.quick,
        command=options.command,
        engine=options.engine,
        address=options.address,
        launch=options.launch,
        hosts=tuple(host for host in map(str.strip, options.hosts.split(",")) if host),
        workers=options.workers,
        keep_states=options.keep_states,
    )
    with console.training_progress() as progress, contextlib.closing(run_studies(studies, request, progress)) as runs:
        for results in runs:  # while a report is written, the next study may train
            report = write_report(options.out / results.study)
            table = json.dumps(results.table(), allow_nan=False) if options.json else console.summary(results)
            with progress.aside():
                console.show(table)
                console.say(f"report: {report.resolve()}")
                console.say(f"to look inside: {shlex.join(['isthmus', 'explore', str(options.out / results.study)])}")
