"""Measure a study's references with many seeds, and write what they measured into its TOML.

    python -m benchmarks.references STUDY [--reference GLOB ...] [--seeds 10] [--out runs/references] [--threads 2]

A training is one draw, so a published number that is near its tolerance is held against many. Without --reference the
study is run once, and the references are those whose difference exceeds half of their tolerance, and those that carry
values already. Their models are then trained with the study's seed and those that follow it, as they come, and each
reference's `over_seeds` becomes what was measured. The rest of the file stays as it is. STUDY is a shipped one's name,
or a path. Finished models in --out are used again.
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import IsthmusError
from isthmus.console import Lines
from isthmus.errors import RunError
from isthmus.machine import cores
from isthmus.studies.results.results_json import Results
from isthmus.studies.results.verdict import DIGITS
from isthmus.studies.run.scheduler import Request, run_study
from isthmus.studies.spec.parser import load_study, parse_study
from isthmus.studies.spec.reference import LEAST_SEEDS, Reference
from isthmus.studies.spec.study import Study

_A_LINE = 5  # values in a line of the TOML


def file_of(name: str) -> Path:
    """The TOML of a study: a shipped one's, in the package, or one's own."""
    if name.endswith(".toml"):
        return Path(name)
    return Path(str(resources.files("isthmus.studies"))) / "catalog" / f"{name}.toml"


def is_near(table: dict[str, Any]) -> bool:
    """Whether a judged reference differs from what was published by more than half of its tolerance."""
    if table["measured"] is None:
        return False
    theirs = np.atleast_1d(table["published"])
    tolerance = table["atol"] if "atol" in table else table["rtol"] * np.abs(theirs)
    return bool(np.any(np.abs(np.atleast_1d(table["measured"]) - theirs) > tolerance / 2))


def written(text: str, identity: str, values: list[float]) -> str:
    """A study's text with these values in the reference of this id, and everything else as it was."""
    begin = re.search(rf'^\[\[reference\]\]\s*\nid = "{re.escape(identity)}"$', text, re.MULTILINE)
    if begin is None:
        raise ValueError(f'expected [[reference]] and then id = "{identity}"')
    block, blank, rest = text[begin.start() :].partition("\n\n")
    block = re.sub(r"\nover_seeds = \[[^\]]*\]", "", block.rstrip("\n"))
    shown = [format(value, DIGITS) for value in values]
    lines = [", ".join(shown[i : i + _A_LINE]) for i in range(0, len(shown), _A_LINE)]
    block += "\nover_seeds = [\n" + "".join(f"    {line},\n" for line in lines) + "]"
    return text[: begin.start()] + block + (blank or "\n") + rest


def measured(study: Study, references: list[Reference], request: Request) -> dict[str, list[float]]:
    """What each seed of the request measured for each reference, by its id."""
    results = run_study(study, request, Lines())
    wanted = {one.id for one in references}
    tables = [table for table in results.references if table["id"] in wanted]
    if unmeasured := [table["id"] for table in tables if "by_seed" not in table]:
        raise RunError(f"not measured with every seed: {', '.join(unmeasured)}")
    return {table["id"]: table["by_seed"] for table in tables}


def near(study: Study, results: Results) -> list[Reference]:
    """The references that need many seeds, lists apart, and of those that carry them already all."""
    found = {table["id"] for table in results.references if is_near(table)}
    return [one for one in study.references if one.id in found or one.over_seeds]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.references", description="References over seeds.")
    parser.add_argument("study", help="a shipped study's name, or a path")
    parser.add_argument("--reference", action="append", default=[], metavar="GLOB", help="(those near their tolerance)")
    parser.add_argument("--seeds", type=int, default=LEAST_SEEDS, help=f"({LEAST_SEEDS})")
    parser.add_argument("--out", type=Path, default=Path("runs/references"), help="(runs/references)")
    parser.add_argument("--threads", type=int, default=cores(), help="(the cores)")
    options = parser.parse_args(arguments)
    if options.seeds < LEAST_SEEDS:
        parser.error(f"--seeds must be at least {LEAST_SEEDS}, got {options.seeds}")
    try:
        study = load_study(options.study)
        if options.reference:
            chosen = [one for one in study.references if any(fnmatch.fnmatch(one.id, g) for g in options.reference)]
        else:
            chosen = near(study, run_study(study, Request(options.out, threads=options.threads), Lines()))
        lists = [one.id for one in chosen if isinstance(one.value, tuple)]
        chosen = [one for one in chosen if one.id not in lists]
        if lists:
            print(f"left out, for they are lists: {', '.join(lists)}")
        if not chosen:
            sys.exit("benchmarks: no reference of one number is chosen")
        only = tuple(dict.fromkeys(one.model for one in chosen))
        request = Request(options.out, threads=options.threads, seeds=options.seeds, only=only)
        values = measured(study, chosen, request)
    except IsthmusError as error:
        sys.exit(f"benchmarks: {error}")
    path = file_of(options.study)
    text = path.read_text("utf-8")
    for identity, over_seeds in values.items():
        text = written(text, identity, over_seeds)
        print(f"{identity}: {', '.join(format(value, DIGITS) for value in over_seeds)}")
    parse_study(text, study.name, path.name)  # what is written can be read
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
