"""`isthmus studies`: list the studies that ship with isthmus, or print one."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.commands.shared.options import add_short
from isthmus.errors import RequestError, counted, unknown

_EXAMPLES = """
    isthmus studies
    isthmus studies show digits > mine.toml
"""


def add(commands: Any) -> None:
    """The parsers of `isthmus studies` and `show`."""
    studies = add_short(commands, "studies", _list, "list the studies that ship with isthmus", _EXAMPLES)
    inner = studies.add_subparsers(metavar="COMMAND", parser_class=type(studies))
    show = add_short(inner, "show", _show, "print a study's TOML, to start your own from", _EXAMPLES)
    show.add_argument("name", metavar="NAME", help="a shipped study")


def _list(_: argparse.Namespace) -> None:
    from isthmus.studies.spec.parser import catalog, load_study

    for name in catalog():
        study = load_study(name)
        print(f"{name:<18}{study.title} ({counted(len(study.models), 'model')}, {study.data.name})")


def _show(options: argparse.Namespace) -> None:
    from isthmus.studies.spec.parser import catalog

    shipped = catalog()
    if options.name not in shipped:
        raise RequestError(unknown("study", options.name, shipped))
    print(shipped[options.name], end="")
