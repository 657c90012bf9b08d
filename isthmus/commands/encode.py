"""`isthmus encode`: write the codes of images, with their names and labels, as npz or CSV."""

from __future__ import annotations

import argparse
import csv
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

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

    With --indices, a quantized code is the numbers of its vectors in their codebooks, from 0: "indices" of an .npz,
    integers, which `inverse_transform` decodes.
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
    command.add_argument("--indices", action="store_true", help="which vectors of its codebooks a quantized code is")
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
    from isthmus.estimators.adapters import adapter_of
    from isthmus.files import atomic_file

    opened = open_model(options)
    model = opened.model
    require(adapter_of(model).has_code, "MODEL", "a model with an encoder", type(model).__name__)
    images = images_for(opened, options)
    encode = model.transform
    if options.indices:
        require(hasattr(model, "indices"), "--indices", "left out: the model is no autoencoder", type(model).__name__)
        encode = model.indices
    size = encode(images.floats(slice(0, 1))).shape[1]
    n_bytes, as_csv = 4 * size * len(images), _CSV_BYTES * size * len(images)
    if kind == ".csv" and as_csv > _LARGE:
        console.say(
            f"the CSV will have about {as_csv / 1e6:,.0f} MB; an .npz of the same codes has {n_bytes / 1e6:,.0f} MB "
            "and loads faster"
        )
    with console.progress("encoding") as on_progress, atomic_file(options.out) as file:
        (_write_npz if kind == ".npz" else _write_csv)(
            file,
            _codes(encode, images, on_progress),
            (len(images), size),
            images,
            "indices" * options.indices or "code",
        )
    print(options.out)
    console.say(f"{counted(len(images), 'code')} of {counted(size, 'number')}")


def _codes(encode: Any, images: Images, on_progress: Any) -> Iterator[np.ndarray]:
    """Of some images at a time: all would fill the memory that the images themselves do not."""
    from isthmus.estimators.adapters import chunks

    for which in chunks(len(images)):
        yield encode(images.floats(which))
        on_progress(which.stop, len(images))


def _write_npz(file: IO[bytes], codes: Iterator[np.ndarray], shape: tuple[int, int], images: Images, name: str) -> None:
    """As `numpy.savez` writes it, the codes piece by piece."""
    import numpy as np
    from numpy.lib import format as npy

    arrays: dict[str, np.ndarray] = {}
    if images.names:
        arrays["name"] = np.array([printable(name) for name in images.names])
    if images.places is not None:
        arrays["image"], arrays["position"] = images.places[:, 0], images.places[:, 1:]
    if images.labels is not None:
        arrays["label"] = images.labels
    if images.label_names:
        arrays["label_names"] = np.array(images.label_names)
    with zipfile.ZipFile(file, "w") as archive:
        for i, code in enumerate(codes):
            if i == 0:
                member = archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True)
                descr = npy.dtype_to_descr(code.dtype)
                npy.write_array_header_1_0(member, {"descr": descr, "fortran_order": False, "shape": shape})
            member.write(np.ascontiguousarray(code).data)
        member.close()
        for other, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{other}.npy"), "w", force_zip64=True) as member:
                npy.write_array(member, array, allow_pickle=False)


def _write_csv(file: IO[bytes], codes: Iterator[np.ndarray], shape: tuple[int, int], images: Images, name: str) -> None:
    from isthmus.commands.images.inputs import label_word

    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    places, first = images.places, 0
    corner = [] if places is None else ["row", "column"]
    writer.writerow(["name", "label", *corner, *(f"{name}_{i}" for i in range(shape[1]))])
    for code in codes:
        for i, row in enumerate(code.tolist(), first):
            number, *place = [i] if places is None else places[i].tolist()
            of = printable(images.names[i]) if images.names else str(number)
            writer.writerow([of, label_word(images, i), *place, *(f"{value:.9g}" for value in row)])
        first += len(code)
    text.detach()
