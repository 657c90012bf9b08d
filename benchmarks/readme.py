"""README's tables: each stands between markers of its own, and its program writes what is between them."""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import torch

from isthmus.errors import counted
from isthmus.machine import cores

README = Path(__file__).parent.parent / "README.md"


def markers(program: str) -> tuple[str, str]:
    """The lines before and after the table of a program, which is named as `python -m` names it."""
    return f"<!-- {program}: begin -->", f"<!-- {program}: end -->"


def replaced(text: str, program: str, lines: Iterable[str]) -> str:
    """`text` with these lines between the program's markers. Raises ValueError unless each is there once, in order."""
    begin, end = markers(program)
    before, *rest = text.split(begin)
    if len(rest) != 1 or rest[0].count(end) != 1 or end in before:
        raise ValueError(f"expected {begin} and then {end}, each once")
    return "\n".join([before + begin, *lines, end]) + rest[0].partition(end)[2]


def put(program: str, lines: Iterable[str]) -> None:
    """Write a table, and what is to be said of it, between the program's markers in README."""
    README.write_text(replaced(README.read_text("utf-8"), program, lines), "utf-8")


def arguments(program: str, description: str, rounds: int = 3, option: str = "--repeats") -> argparse.ArgumentParser:
    """What every program with a table in README can be told: so many rounds, threads, and where the numbers go."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}", description=description)
    parser.add_argument(option, type=int, default=rounds, help=f"({rounds})")
    parser.add_argument("--threads", type=int, default=cores(), help="(the cores)")
    parser.add_argument("--json", type=Path, help="write every round to this file")
    parser.add_argument("--readme", action="store_true", help="put the table into README.md")
    return parser


def chosen(parser: argparse.ArgumentParser, options: argparse.Namespace, known: Collection[str]) -> list[str]:
    """The names in `--models`, which must be known ones, and with `--readme` all of them: its table has every model."""
    names = options.models.split(",")
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"unknown model {unknown[0]}; known: {', '.join(known)}")
    if options.readme and names != list(known):
        parser.error("README's table has all models: --readme goes without --models")
    return names


def spread(values: Sequence[float], digits: int) -> str:
    """The median, and the range."""
    low, middle, high = (f"{one:.{digits}f}" for one in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def conditions(rounds: str, threads: int) -> str:
    """Under what seconds were measured: "5 rounds", 2 → "Medians of 5 rounds, 2 threads, AVX2, torch 2.13.0".

    A machine on which other programs ran is told, with its load over the last quarter of an hour.
    """
    plural, load = "s" if threads > 1 else "", os.getloadavg()[2]
    of_cores = counted(cores(), "core")
    busy = f", on a busy machine (load {load:.0f} of {of_cores})" if load > threads + 1 else ""
    vectors, version = torch.backends.cpu.get_cpu_capability(), torch.__version__.partition("+")[0]
    return f"Medians of {rounds}, {threads} thread{plural}, {vectors}, torch {version}{busy}"
