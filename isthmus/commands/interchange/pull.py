"""`isthmus pull`: fetch a model from the Hugging Face hub."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from isthmus.commands.shared.options import add_command
from isthmus.errors import RequestError

_TEXT = """
    Fetches a model that `isthmus push` sent: the files of a model and no others, held against the hashes in its
    config.json. There is no pickle among them, and no code is run. The folder appears when it is whole. Of a private
    model, `hf auth login` or $HF_TOKEN says who you are. It needs pip install 'isthmus[hub]'.
"""
_EXAMPLES = """
    isthmus pull USER/my-model -o my-model
"""


def add(commands: Any) -> None:
    """The parser of `isthmus pull`."""
    summary = "fetch a model from the Hugging Face hub"
    command = add_command(commands, "pull", run, "USER/NAME -o MODEL", summary, _TEXT, _EXAMPLES)
    command.add_argument("repository", metavar="USER/NAME", help="where the model is")
    command.add_argument("-o", "--out", type=Path, required=True, metavar="MODEL", help="the folder to write")
    command.add_argument("--revision", metavar="R", help="a branch, tag or commit of it (main)")
    command.add_argument("--force", action="store_true", help="replace a model that is there")


def run(options: argparse.Namespace) -> None:
    """Fetch the model and say how to use it."""
    from isthmus import console, persistence
    from isthmus.commands.interchange.hub import fetch

    persistence.check_place(options.out)
    if options.out.is_dir() and any(options.out.iterdir()) and not options.force:
        raise RequestError(f"{options.out} already exists; choose another -o, or add --force to replace it")
    fetch(options.repository, options.out, options.revision)
    print(options.out)
    console.say(f"next: isthmus evaluate {shlex.quote(str(options.out))} IMAGES")
