"""`isthmus encode`: write the codes of images, with their names and labels, as npz or CSV."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isthmus.commands.shared.options import add_command, add_model_and_data, check_target, printable
from isthmus.errors import RequestError, counted, require

if TYPE_CHECKING:
    import numpy as np

    from isthmus.data.images import Images

_TEXT = """
    Writes the encoder's output for every image. An .npz holds "code", (images, numbers), with "name", "label" and
    "label_names" where they are known; a .csv has a line for each image: name, label, then the code. For patches,
    "image" is the number of the image, from 0, and "position" the top row and left column of the patch, after --resize
    and --crop; a .csv has the columns row and column.
"""
_EXAMPLES = """
    isthmus encode my-model digits -o codes.csv
    isthmus encode my-model photographs/ -o codes.npz
"""
_CSV_BYTES = 13  # of a number and its comma, at most
_LARGE = 10_000_000  # bytes of a CSV that is announced before it is written


def add(commands: Any) -> None:
    """The parser of `isthmus encode`."""
    command = add_command(commands, "encode", run, "MODEL DATA -o FILE", "write the codes of images", _TEXT, _EXAMPLES)
    add_model_and_data(command)
    command.add_argument("-o", "--out", type=Path, required=True, metavar="FILE", help="codes.npz or codes.csv")
    command.add_argument("--force", action="store_true", help="replace an existing file")


def run(options: argparse.Namespace) -> None:
    """Encode all images, then write one file."""
    kind = options.out.suffix.lower()
    require(kind in (".npz", ".csv"), "-o", "a file that ends in .npz or .csv", str(options.out))
    check_target(options.out, options.data)
    if options.out.exists() and not options.force:
        raise RequestError(f"{options.out} already exists; choose another -o, or add --force to replace it")

    from isthmus import console
    from isthmus.commands.images.model_folder import images_for, open_model
    from isthmus.estimators.adapters import adapter_of, encode
    from isthmus.files import atomic_file

    opened = open_model(options)
    model = opened.model
    require(adapter_of(model).has_code, "MODEL", "a model with an encoder", type(model).__name__)
    images = images_for(opened, options)
    code = encode(model, images)
    if kind == ".csv" and (size := _CSV_BYTES * code.size) > _LARGE:
        console.say(
            f"the CSV will have about {size / 1e6:,.0f} MB; an .npz of the same codes has {code.nbytes / 1e6:,.0f} MB "
            "and loads faster"
        )
    with atomic_file(options.out) as file:
        file.write(_npz(code, images) if kind == ".npz" else _csv(code, images))
    print(options.out)
    console.say(f"{counted(len(code), 'code')} of {counted(code.shape[1], 'number')}")


def _npz(code: np.ndarray, images: Images) -> bytes:
    import numpy as np

    arrays: dict[str, Any] = {"code": code}
    if images.names:
        arrays["name"] = np.array([printable(name) for name in images.names])
    if images.places is not None:
        arrays["image"], arrays["position"] = images.places[:, 0], images.places[:, 1:]
    if images.labels is not None:
        arrays["label"] = images.labels
    if images.label_names:
        arrays["label_names"] = np.array(images.label_names)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _csv(code: np.ndarray, images: Images) -> bytes:
    from isthmus.commands.images.inputs import label_word

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    places = images.places
    corner = [] if places is None else ["row", "column"]
    writer.writerow(["name", "label", *corner, *(f"code_{i}" for i in range(code.shape[1]))])
    for i, row in enumerate(code.tolist()):
        number, *place = [i] if places is None else places[i].tolist()
        name = printable(images.names[i]) if images.names else str(number)
        writer.writerow([name, label_word(images, i), *place, *(f"{value:.9g}" for value in row)])
    return text.getvalue().encode()
