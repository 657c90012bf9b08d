"""`isthmus report`: write a run's report again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from isthmus.commands.shared.options import add_import, add_short
from isthmus.errors import RequestError


def add(commands: Any) -> None:
    """The parser of `isthmus report`."""
    command = add_short(
        commands, "report", run, "write a run's report again, from its results", "isthmus report runs/digits"
    )
    command.add_argument("run", type=Path, metavar="RUN", help="a run's folder, like runs/digits")
    add_import(command)


def run(options: argparse.Namespace) -> None:
    if not (options.run / "results.json").is_file():
        raise RequestError(f"{options.run} holds no results.json; give a run's folder, like runs/digits")
    from isthmus.report.html_page import write_report

    print(write_report(options.run).resolve())
