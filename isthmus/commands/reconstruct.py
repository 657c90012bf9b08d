"""`isthmus reconstruct`: encode and decode images."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.commands.shared.options import add_command, add_model_and_data, add_out, check_target

_TEXT = """
    Encodes and decodes each image. An image keeps its name, format, size and bit depth. A folder at -o appears when it
    is complete, with isthmus.json (how it was made) and preview.png. For a model of patches, photographs are cut into
    patches and assembled again. Arrays are written as .npy or .npz.
"""
_EXAMPLES = """
    isthmus reconstruct my-model photographs/ -o reconstructed/
    isthmus reconstruct my-model one.png -o one-again.png
    isthmus reconstruct my-model digits -o digits.npz
"""


def add(commands: Any) -> None:
    """The parser of `isthmus reconstruct`."""
    summary = "encode and decode images"
    command = add_command(commands, "reconstruct", run, "MODEL DATA -o OUT", summary, _TEXT, _EXAMPLES)
    add_model_and_data(command)
    add_out(command)


def run(options: argparse.Namespace) -> None:
    """Reconstruct all images, and print the errors."""
    from isthmus.commands.shared.output_folder import check_free

    check_target(options.out, options.data)
    check_free(options.out, force=options.force)

    from isthmus.commands.images.model_folder import open_model
    from isthmus.commands.images.pictures import pictures_of
    from isthmus.commands.images.restoration import restore
    from isthmus.commands.images.unit_note import other_numbers_noted

    opened = open_model(options)
    with other_numbers_noted():
        table, _ = restore(options, opened, pictures_of(options, opened))
    print(table)
