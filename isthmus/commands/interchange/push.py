"""`isthmus push`: share a model on the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from isthmus.commands.shared.options import add_command

_TEXT = """
    Sends a model's folder to the Hugging Face hub, in one commit: its weights, config.json, history and preview, and a
    README.md with what it is, what it was trained on, its errors beside the baselines', and how to use it. A README.md
    that lies in the folder is sent as it is; --card prints the one that would be written, and sends nothing.
    config.json tells more than the weights: the folder or data set of the images, the names of images that were held
    out, and a hash of each. It needs pip install 'isthmus[hub]', and an account: `hf auth login`, or $HF_TOKEN.
"""
_EXAMPLES = """
    isthmus push my-model USER/my-model --private
    isthmus push my-model USER/my-model --card
"""


def add(commands: Any) -> None:
    """The parser of `isthmus push`."""
    summary = "share a model on the Hugging Face hub"
    command = add_command(commands, "push", run, "MODEL USER/NAME", summary, _TEXT, _EXAMPLES)
    command.add_argument("model", type=Path, metavar="MODEL", help="a model's folder, written by `isthmus fit`")
    command.add_argument("repository", metavar="USER/NAME", help="where it will be; made if it is not there")
    command.add_argument("--private", action="store_true", help="show a new repository to nobody else")
    command.add_argument("--card", action="store_true", help="print the README.md, and send nothing")
    command.set_defaults(interrupted="nothing was sent, unless the hub had all of it; run the same command again")


def run(options: argparse.Namespace) -> None:
    """Write the card and send all."""
    from isthmus import console
    from isthmus.commands.interchange.hub import send
    from isthmus.commands.interchange.model_card import card_of

    card = card_of(options.model, options.repository)
    if options.card:
        print(card, end="")
        return
    print(send(options.model, options.repository, card, private=options.private))
    console.say(f"to use it: isthmus pull {options.repository} -o NAME")
