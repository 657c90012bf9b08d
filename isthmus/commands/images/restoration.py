"""Write reconstructions of pictures, for `isthmus reconstruct` and `isthmus denoise`."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import console
from isthmus.commands.images.model_folder import Opened, Shape, in_words
from isthmus.commands.images.passage import Result, through
from isthmus.commands.images.pictures import Pictures
from isthmus.commands.shared.options import printable
from isthmus.commands.shared.output_folder import result_folder
from isthmus.commands.shared.previews import middle, stacked, white_of, write_preview
from isthmus.commands.shared.tables import error_table, worse_than_nothing
from isthmus.data.collections.listing import ACCOUNT
from isthmus.data.formats.image_file import KINDS, is_image
from isthmus.data.formats.page import ValueRange
from isthmus.data.formats.writers import fits_16_bits, write_like
from isthmus.data.images import floats_of
from isthmus.errors import RequestError, counted
from isthmus.files import atomic_file, save_array, stream_array, write_json
from isthmus.metrics import Estimate, mean_of, mean_psnr
from isthmus.parts import Corruption
from isthmus.persistence import PREVIEW

ARRAYS = (".npy", ".npz")
_SHOWN = 6
_AT_ONCE = 1 << 20  # bytes that are copied


def restore(
    options: argparse.Namespace,
    opened: Opened,
    pictures: Pictures,
    *,
    model: Any = None,
    corruption: Corruption | None = None,
    name: str = "reconstruction",
) -> tuple[str, list[float]]:
    """Write what the model makes of each picture to -o; return a table of errors, before and after, and each MSE.

    -o is an .npy or .npz of arrays, one file for one picture, or a folder in which each has its own name and format.
    """
    target: Path = options.out
    if target.suffix.lower() in ARRAYS:
        _check_shapes(pictures)  # before the work
    errors, notes, form = _Errors(corruption, name), Counter[str](), ""
    model = opened.model if model is None else model
    is_array = target.suffix.lower() in ARRAYS
    rounded = corruption is None and not is_array
    how: dict[str, Any] = {"stride": opened.framing.stride, "corruption": corruption, "rounded": rounded, "task": name}
    results = through(model, opened.shape, pictures, **how)
    if target.suffix.lower() in ARRAYS:
        form = _write_arrays(target, errors.watch(results), pictures, opened.framing.value_range)
    elif is_image(target):
        if pictures.n != 1:
            raise RequestError(f"{target} names one image, but there are {pictures.n:,}; give a folder with -o")
        _check_format(target, Path(options.data))
        for pages in _by_file(errors.watch(results)):
            notes.update(_write(pages, opened, target, pictures))
    else:
        with result_folder(target, force=options.force) as building:
            shown: list[dict[str, np.ndarray]] = []
            for pages in _by_file(errors.watch(results)):
                shown += [errors.shown(result) for result in _some_of(pages, pictures.n)]
                first = pages[0].picture
                notes.update(_write(pages, opened, building / (first.file or f"{first.name}.png"), pictures))
                form = _form(opened.framing.value_range, pictures) if first.path is None else ""
                del pages, first  # a large image
            _account(building, options, opened, errors, shown, [printable(name) for name in pictures.left_out])
    for note, n in notes.items():
        console.say(f"{counted(n, 'file')}: {note}")
    where = printable(str(target.resolve())) + form
    console.say(f"written: {pictures.counted(errors.n)} to {where}{pictures.rest()}")
    # of images as they are, a denoiser's error is not shown
    seen = None if name == "denoised" and corruption is None else pictures.seen(opened.memory(options))
    if seen is not None and seen.sentence:
        console.say(seen.sentence)
    if corruption is not None:
        before, after = (mse.value for mse, _ in errors.estimates().values())
        if warning := worse_than_nothing(before, after, corruption, fitted=opened.trained_on):
            console.say(warning)
    return errors.table("" if seen is None else seen.words), errors.values[-1]


def _by_file(results: Iterator[Result]) -> Iterator[list[Result]]:
    """The pages of each file together."""
    pages: list[Result] = []
    for result in results:
        pages.append(result)
        if len(pages) == result.picture.pages:
            yield pages
            pages = []


def _form(value_range: ValueRange | None, pictures: Pictures) -> str:
    """How images of an array are written, in words."""
    units = f", in numbers from {value_range[0]:g} to {value_range[1]:g}" if value_range else ""
    return f" as PNG of {_bits(pictures)} bits{units if fits_16_bits(value_range) else ''}"


def _bits(pictures: Pictures) -> int:
    """Of a channel, for images without a file: as many as keep what an array had."""
    return 8 if pictures.dtype == np.uint8 else 16


def _write(pages: list[Result], opened: Opened, target: Path, pictures: Pictures) -> tuple[str, ...]:
    framing, path, value_range = opened.framing, pages[0].picture.path, opened.framing.value_range
    if path is None and not fits_16_bits(value_range):
        value_range = None
    images = [page.written() for page in pages]
    for page in pages:
        page.picture.forget()  # its error is known, and a file is compressed in memory
    bits = _bits(pictures)
    return write_like(path, images, target, value_range=value_range, grey=framing.grey, clip=True, bits=bits)


def _some_of(pages: list[Result], n: int) -> list[Result]:
    """Those of a file's pages that the preview shows, of n files."""

    def spread(many: int, chosen: int) -> set[int]:
        return set(np.linspace(0, many - 1, chosen).round().astype(int).tolist())

    if pages[0].picture.number not in spread(n, _SHOWN):
        return []
    return [pages[i] for i in sorted(spread(len(pages), _SHOWN // min(n, _SHOWN)))]


def _check_format(target: Path, source: Path) -> None:
    """An image keeps its format, so a name that says another would lie."""
    wanted = source.suffix.lower() if is_image(source) else ".png"
    if KINDS[target.suffix.lower()] != KINDS[wanted]:
        raise RequestError(f"{target}: an image keeps its format; give -o a name that ends in {wanted}")


class _Errors:
    """Squared errors of what went in and of what came out, gathered while the pictures pass.

    As the model was given it and as it gives it: not clipped, unlike what is written.
    """

    def __init__(self, corruption: Corruption | None, name: str) -> None:
        self.names = [f"{corruption.label}, as it is"] if corruption is not None else []
        self.names.append(name)
        self.values: list[list[float]] = [[] for _ in self.names]

    def shown(self, result: Result) -> dict[str, np.ndarray]:
        """The middle of a picture, before and after, by the names of the preview's rows.

        The middle, for a photograph made smaller has lost its noise.
        """
        rows = {"original": floats_of(middle(result.picture.pixels))}
        if len(self.names) > 1:
            rows[self.names[0]] = np.clip(middle(result.x_in), 0, 1)
        return rows | {self.names[-1]: floats_of(middle(result.x_hat))}

    def watch(self, results: Iterator[Result]) -> Iterator[Result]:
        for result in results:
            images = [result.x_hat] if len(self.names) == 1 else [result.x_in, result.x_hat]
            for values, image in zip(self.values, images, strict=True):
                values.append(result.picture.squared_error(image))
            yield result

    @property
    def n(self) -> int:
        return len(self.values[0])

    def estimates(self) -> dict[str, tuple[Estimate, Estimate]]:
        """(MSE, PSNR) by name."""
        arrays = {name: np.array(values) for name, values in zip(self.names, self.values, strict=True)}
        return {name: (mean_of(errors), mean_psnr(errors)) for name, errors in arrays.items()}

    def rows(self) -> list[dict[str, Any]]:
        """As isthmus.json has them."""
        estimates = self.estimates().items()
        return [{"name": k, "mse": m.value, "ci95": m.ci95, "psnr": p.value, "n": m.n} for k, (m, p) in estimates]

    def table(self, seen: str = "") -> str:
        """As they are printed. seen: what the model's folder knows of the images, in words."""
        return error_table(f"{counted(self.n, 'image')}{seen}", self.estimates())


def _check_shapes(pictures: Pictures) -> None:
    """Raise RequestError unless all that is to be written fits one array."""
    first: tuple[str, Shape] | None = None
    for name, shape in pictures.shapes():
        first = first or (name, shape)
        if shape != first[1]:
            raise RequestError(
                f"an array holds images of one size: {printable(first[0])} has {in_words(first[1])}, "
                f"{printable(name)} {in_words(shape)}; give a folder with -o"
            )


def _write_arrays(target: Path, results: Iterator[Result], pictures: Pictures, value_range: ValueRange | None) -> str:
    """(n, c, h, w) of uint8 if that came in, else float32 in [0, 1]; an .npz has names and labels too.

    value_range: what 0 and 1 are; then the numbers are float32 in these units. Returns type and shape in words.
    """
    low, high = value_range or (0, 1)
    dtype = np.dtype(np.uint8 if pictures.dtype == np.uint8 else np.float32)
    names, labels = list[str](), list[str]()

    def made() -> Iterator[np.ndarray]:
        for result in results:
            image = np.clip(result.written(), 0, 1)
            yield (
                np.rint(image * 255).astype(dtype) if dtype == np.uint8 else (image * (high - low) + low).astype(dtype)
            )
            names.append(printable(result.picture.name))
            labels.append(result.picture.label)

    with atomic_file(target) as file:
        if target.suffix.lower() == ".npy":
            shape = stream_array(file, made(), dtype)
        else:
            with tempfile.TemporaryFile(dir=target.parent) as images:  # in an .npz the number comes before the images
                shape = stream_array(images, made(), dtype)
                known: dict[str, Any] = {"label": np.array(labels)} if any(labels) else {}
                with zipfile.ZipFile(file, "w") as archive:
                    with archive.open("images.npy", "w", force_zip64=True) as member:
                        images.seek(0)
                        shutil.copyfileobj(images, member, _AT_ONCE)
                    for name, column in {"name": np.array(names), **known}.items():
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                            save_array(member, column)
    white = ", 1 is white" if value_range is None and dtype != np.uint8 else ""
    return f", {dtype} {shape}{white}"


def _account(
    building: Path,
    options: argparse.Namespace,
    opened: Opened,
    errors: _Errors,
    shown: list[dict[str, np.ndarray]],
    left_out: list[str],
) -> None:
    """What made this folder, and a picture of some: as whatever image has that name has it, not this one."""
    measured = errors.rows()
    if errors.names == ["denoised"]:  # no clean ones are known
        measured[0]["against"] = "the noisy images"
    facts = {"command": options.command, "model": opened.facts(), "errors": measured}
    draws = bool(shown) and not (building / PREVIEW).exists()
    facts |= {"left_out": left_out} if left_out else {}
    write_json(building / ACCOUNT, facts | ({"drawn": [PREVIEW]} if draws else {}))
    if not draws:
        return
    rows = {name: stacked([images[name] for images in shown]) for name in shown[0]}
    write_preview(building / PREVIEW, rows, white=white_of(images["original"] for images in shown))
