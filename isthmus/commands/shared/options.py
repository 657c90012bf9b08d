"""Options that several commands have, and checks of their values."""

from __future__ import annotations

import argparse
import math
import os
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isthmus import kinds
from isthmus.errors import RequestError, require
from isthmus.files import prepare_folder
from isthmus.machine import cores

Call = Callable[[argparse.Namespace], None]
_NOTHING_WRITTEN = "nothing was written; run the same command again"


def add_command(commands: Any, name: str, call: Call, usage: str, summary: str, text: str, examples: str) -> Any:
    """Add a sub-command whose --help has a text and examples.

    The parser's default `interrupted` describes what a stopped run leaves; it may be a function of the options.
    """
    command = commands.add_parser(
        name,
        usage=f"%(prog)s {usage} [options]",
        help=summary,
        description=_filled(summary[0].upper() + summary[1:] + ".\n\n" + text),
        **examples_of(examples),
    )
    command.set_defaults(call=call, interrupted=_NOTHING_WRITTEN)
    return command


def checkpoints_of(model: Path) -> Path:
    """The folder of this model's checkpoints while it is trained."""
    return model.with_name(model.name + ".checkpoint")


def examples_of(examples: str, more: str = "") -> dict[str, Any]:
    """Arguments for a parser whose --help ends with examples and `more`."""
    shown = "examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  ")
    return {"epilog": f"{shown}\n\n{more}".strip(), "formatter_class": _Page}


def add_short(commands: Any, name: str, call: Call, summary: str, examples: str) -> argparse.ArgumentParser:
    """Add a sub-command that needs no text beyond its summary."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", **examples_of(examples)
    )
    command.set_defaults(call=call)
    return command


def add_import(command: Any) -> None:
    """--import."""
    text = "import this Python module first, which registers networks, figures or an engine of your own"
    command.add_argument("--import", action="append", default=[], dest="modules", metavar="MODULE", help=text)


def add_allow_imports(command: Any) -> None:
    """--allow-imports."""
    text = "import and call the functions that models and studies name to build networks: this runs their code"
    command.add_argument("--allow-imports", action="store_true", help=text)


def import_modules(options: argparse.Namespace) -> None:
    """Do what --import and --allow-imports say, also of modules that lie where the command is given.

    Raises RequestError for a module that --import names and that cannot be imported.
    """
    kinds.import_modules(getattr(options, "modules", []), allowed=getattr(options, "allow_imports", False))


def add_data_dir(command: Any) -> None:
    """Add --data-dir."""
    command.add_argument("--data-dir", type=Path, metavar="DIR", help="look here first for named data sets")


class _Page(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=100)


def _filled(text: str) -> str:
    paragraphs = textwrap.dedent(text).strip().split("\n\n")
    return "\n\n".join(textwrap.fill(" ".join(paragraph.split()), 98) for paragraph in paragraphs)


DATA_HELP = "a folder of images, one image, an .npy, .npz or IDX file, or the name of a data set, like digits"


def add_model_and_data(command: argparse.ArgumentParser) -> None:
    """Add MODEL, DATA, and the options for reading DATA."""
    command.add_argument("model", type=Path, metavar="MODEL", help="a model's folder, written by `isthmus fit`")
    command.add_argument("data", metavar="DATA", help=DATA_HELP)
    add_allow_imports(command)
    group = command.add_argument_group("images (prepared as for the training unless you set it)")
    group.add_argument(
        "--split",
        choices=("train", "test"),
        default="test",
        help="of a named data set, or of a folder in MVTec's layout (test)",
    )
    add_sizes(group)


def add_out(command: argparse.ArgumentParser) -> None:
    """Add -o and --force."""
    command.add_argument(
        "-o",
        "--out",
        type=Path,
        required=True,
        metavar="OUT",
        help="a folder, an .npy or .npz, or a file for one image",
    )
    command.add_argument("--force", action="store_true", help="replace existing results")


def add_sizes(group: Any) -> None:
    """Add --resize, --crop, --patches, --stride, --grey, --range, --skip-bad, --data-dir."""
    group.add_argument("--resize", type=size, metavar="HxW", help="resize every image to this height and width")
    group.add_argument("--crop", type=size, metavar="HxW", help="crop every image to its centre")
    group.add_argument(
        "--patches",
        type=size,
        metavar="HxW",
        help="cut images of any size into overlapping patches; 16 means 16x16, here and for the other sizes",
    )
    group.add_argument(
        "--stride",
        type=size,
        metavar="HxW",
        help="the step from a patch to the next, where photographs are cut into patches and put together of them (half "
        "a patch): smaller ones overlap more, which is smoother and takes longer",
    )
    group.add_argument("--grey", action="store_true", help="convert colour images to grey")
    group.add_argument(
        "--range",
        type=value_range,
        metavar="LOW:HIGH",
        help="the values of black and white, for 12 bits in 16, signed numbers, or floats outside [0, 1]; "
        "auto: the smallest and the largest value of all images",
    )
    group.add_argument(
        "--skip-bad", action="store_true", help="leave out files that cannot be read or are too small, and list them"
    )
    add_data_dir(group)


def size(text: str) -> tuple[int, int]:
    """(height, width) from "64x48", or "64" for a square.

    >>> size("64x48"), size("32")
    ((64, 48), (32, 32))
    """
    match = re.fullmatch(r"(\d+)(?:[x×](\d+))?", text)
    sides = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if min(sides) < 1:
        raise argparse.ArgumentTypeError(f"must be a height and a width like 64x48, got {text!r}")
    return sides


def value_range(text: str) -> tuple[float, float] | str:
    """(low, high) from "0:4095"; "auto" as it is.

    >>> value_range("0:4095"), value_range("auto")
    ((0.0, 4095.0), 'auto')
    """
    if text == "auto":
        return text
    low, colon, high = text.partition(":")
    try:
        pair = float(low), float(high)
    except ValueError:
        pair = math.nan, math.nan
    if not (colon and -math.inf < pair[0] < pair[1] < math.inf):
        raise argparse.ArgumentTypeError(f"must be auto, or black and white like 0:4095, got {text!r}")
    return pair


def threads_of(options: argparse.Namespace) -> int:
    """--threads, at most the cores of this machine."""
    threads: int = threads_unsaid() if options.threads is None else options.threads
    require(1 <= threads <= cores(), "threads", f"between 1 and {cores()}, this machine's cores", threads)
    return threads


def threads_unsaid() -> int:
    """The threads of a command to which --threads is not given."""
    return cores()


def check_target(target: Path, data: str, needed: int = 0) -> None:
    """Raise RequestError, before any work, if `target` lies inside DATA or holds it; make the folder it will be in."""

    source = Path(data)
    place = target.resolve()
    if source.is_dir() and (place == source.resolve() or source.resolve() in place.parents):
        raise RequestError(f"{target} lies inside {source} and would be read as one of its images; choose another -o")
    if place in source.resolve().parents or place == source.resolve():
        raise RequestError(f"{target} holds the images themselves; choose another -o")
    prepare_folder(place.parent, needed, option="-o")


def printable(name: str) -> str:
    """A file's name as valid UTF-8: other bytes as \\xff."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
