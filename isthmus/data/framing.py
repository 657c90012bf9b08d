"""Preparation of images: scaled to [0, 1], made grey, resized, cropped, cut into patches."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import numpy as np

from isthmus.data.formats.page import Page, Refused, ValueRange, grey_of, misfits, range_option
from isthmus.data.patches import check_stride, cut_at, positions_of, random_positions
from isthmus.data.sizes import Size, check_size, cropped, resized
from isthmus.errors import DataError, RequestError, require
from isthmus.parts import checks
from isthmus.rng import numpy_generator


class TooSmallError(DataError):
    """An image that is smaller than its crop or patch."""


@dataclass(frozen=True)
class Framing:
    """Resize, then crop, then cut into patches: each only if its size, (height, width), is given.

    patches_per_image: the number of random patches of each image, from the stream `patch` of the seed; None for all
    that cover it, `stride` apart down and across, by default half a patch. grey: convert colour images to grey.
    value_range: (low, high), the values of black and white in the files; None for those of their type. Raises
    RequestError for invalid values.
    """

    resize: Size | None = None
    crop: Size | None = None
    patches: Size | None = None
    patches_per_image: int | None = None
    seed: int = 0
    grey: bool = False
    value_range: ValueRange | None = None
    stride: Size | None = None
    keeps_integers: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("resize", "crop", "patches", "stride"):
            object.__setattr__(self, name, check_size(name, getattr(self, name)))
        for name in ("patches_per_image", "seed"):  # as Python integers, for JSON
            object.__setattr__(self, name, checks.python(getattr(self, name)))
        n = self.patches_per_image
        if n is not None:
            checks.count("patches_per_image", n)
            require(self.patches is not None, "patches_per_image", "given together with the size of the patches", n)
        if self.stride is not None:
            if self.patches is None or n is not None:
                rule = "given with the size of the patches, and not with patches_per_image, which are at random places"
                raise RequestError(f"stride must be {rule}, got {self.stride}")
            check_stride(self.stride, self.patches)
        checks.count("seed", self.seed, 0)
        object.__setattr__(self, "value_range", _checked_range(self.value_range))

    @property
    def whole(self) -> Framing:
        """The same preparation without patches."""
        return replace(self, patches=None, patches_per_image=None, stride=None)

    @property
    def as_stored(self) -> AsStored:
        """The same preparation, which leaves images of 16 bits uint16."""
        return AsStored(**{each.name: getattr(self, each.name) for each in fields(self)})

    def words(self) -> str:
        """As options: --resize 32x32 --grey."""
        sizes = {name: getattr(self, name) for name in ("resize", "crop", "patches", "stride")}
        options = [f"--{name} {size[0]}x{size[1]}" for name, size in sizes.items() if size]
        options += ["--grey"] if self.grey else []
        return " ".join([*options, *([range_option(self.value_range)] if self.value_range else [])])

    def pixels(self, page: Page, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """The whole image, as `Page.scaled` gives it, and the kinds of notes on it. Raises DataError as that.

        where: the file, and the page if it has several.
        """
        notes = page.notes
        try:
            image = page.scaled(self.value_range, integers=self.keeps_integers and self.resize is None)
        except Refused as error:
            raise DataError(f"{where} {error}") from None
        if self.value_range:
            notes = (*notes, *misfits(page.pixels, page.white, self.value_range))
        return grey_of(image) if self.grey else image, notes

    def size(self, shape: Size, where: str) -> Size:
        """The size of an image after --resize and --crop. Raises TooSmallError."""
        size = self.resize or shape
        for option, part in (("--crop", self.crop), ("--patches", self.patches)):
            if part and (size[0] < part[0] or size[1] < part[1]):
                raise TooSmallError(
                    f"{where} has {size[0]}×{size[1]} pixels, fewer than {option} {part[0]}x{part[1]}; "
                    "choose a smaller one, leave the image out, or enlarge all with --resize HxW"
                )
            size = (self.crop or size) if option == "--crop" else size
        return size

    def count(self, shape: Size, where: str) -> int:
        """The number of images that an image of this size becomes. Raises as `size`."""
        size = self.size(shape, where)
        if self.patches is None:
            return 1
        return self.patches_per_image or len(positions_of(size, self.patches, self.stride))

    def corners(self, shape: Size, index: int, where: str) -> np.ndarray:
        """Upper left corners, (k, 2), of the patches of an image of this size, after --resize and --crop.

        index: the image's position in its collection, for random patches. Raises as `size`.
        """
        assert self.patches is not None
        size = self.size(shape, where)
        if self.patches_per_image is None:
            return positions_of(size, self.patches, self.stride)
        generator = numpy_generator(self.seed, "patch", index)
        return random_positions(size, self.patches, self.patches_per_image, generator)

    def __call__(self, image: np.ndarray, index: int, where: str) -> np.ndarray:
        """Prepare an image (c, h, w) as (k, c, h', w'). index: as for `corners`."""
        shape = image.shape[1:]
        self.size(shape, where)
        if self.resize:
            image = resized(image, self.resize)
        if self.crop:
            image = cropped(image, self.crop)
        if self.patches is None:
            return image[None]
        return cut_at(image, self.patches, self.corners(shape, index, where))


class AsStored(Framing):
    """Images of 16 bits stay uint16, which is half of float32, unless they are resized, or read by a worker process.

    That reads small files alone.
    """

    keeps_integers = True


def table_of(framing: Framing) -> dict[str, Any]:
    """The preparation as JSON values; `framing_from` reads them."""
    table = {
        "resize": framing.resize,
        "crop": framing.crop,
        "patches": framing.patches,
        "stride": framing.stride,
        "grey": framing.grey,
        "range": framing.value_range,
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in table.items() if value}


def framing_from(table: Any, where: str) -> Framing:
    """The inverse of `table_of`. Raises DataError for anything else."""
    try:
        given: dict[str, Any] = {"value_range" if name == "range" else name: value for name, value in table.items()}
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}
        return Framing(**given)
    except (AttributeError, TypeError, RequestError):
        raise DataError(f"{where}: {table!r} is not a preparation of images") from None


def _checked_range(value: Any) -> ValueRange | None:
    """Two numbers, the second above the first, as Python's floats."""
    if value is None:
        return None
    pair = tuple(map(checks.python, value)) if isinstance(value, tuple | list) else ()
    holds = len(pair) == 2 and all(map(checks.is_finite, pair)) and pair[0] < pair[1]
    require(holds, "value_range", "(low, high), two numbers of which the second is larger", value)
    return float(pair[0]), float(pair[1])
