"""How each image of a collection is prepared: its numbers brought to [0, 1], made grey, resized, cropped, cut."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from isthmus.data.formats.page import Page, Refused, ValueRange, grey_of, misfits, range_option
from isthmus.data.patches import cut_at, positions_of, random_positions
from isthmus.data.sizes import Size, check_size, cropped, resized
from isthmus.errors import DataError, RequestError, require
from isthmus.parts import checks
from isthmus.rng import numpy_generator


class TooSmallError(DataError):
    """An image that has fewer pixels than are to be cut out of it."""


@dataclass(frozen=True)
class Framing:
    """Resize, then crop, then cut into patches: each only if its size, (height, width), is given.

    patches_per_image: so many random patches of each image, drawn from the stream `patch` of the seed; None for all
    that cover it with half a patch of overlap. grey: colour images are made grey. value_range: (low, high), the numbers
    in the files that are black and white; None for what their type says. Raises RequestError for sizes, counts and
    ranges that are none.
    """

    resize: Size | None = None
    crop: Size | None = None
    patches: Size | None = None
    patches_per_image: int | None = None
    seed: int = 0
    grey: bool = False
    value_range: ValueRange | None = None

    def __post_init__(self) -> None:
        for name in ("resize", "crop", "patches"):
            object.__setattr__(self, name, check_size(name, getattr(self, name)))
        for name in ("patches_per_image", "seed"):  # as Python's integers, which JSON knows too
            object.__setattr__(self, name, checks.python(getattr(self, name)))
        n = self.patches_per_image
        if n is not None:
            checks.count("patches_per_image", n)
            require(self.patches is not None, "patches_per_image", "given together with the size of the patches", n)
        checks.count("seed", self.seed, 0)
        object.__setattr__(self, "value_range", _checked_range(self.value_range))

    @property
    def whole(self) -> Framing:
        """The same without patches."""
        return replace(self, patches=None, patches_per_image=None)

    def words(self) -> str:
        """As options say it: --resize 32x32 --grey."""
        sizes = {"resize": self.resize, "crop": self.crop, "patches": self.patches}
        options = [f"--{name} {size[0]}x{size[1]}" for name, size in sizes.items() if size]
        options += ["--grey"] if self.grey else []
        return " ".join([*options, *([range_option(self.value_range)] if self.value_range else [])])

    def pixels(self, page: Page, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
        """The whole image, uint8 or float32 in [0, 1], and the kinds of notes on it. Raises DataError as `Page.scaled`.

        where: the file, and the page if it has several.
        """
        notes = page.notes
        try:
            image = page.scaled(self.value_range)
        except Refused as error:
            raise DataError(f"{where} {error}") from None
        if self.value_range:
            notes = (*notes, *misfits(page.pixels, page.white, self.value_range))
        return grey_of(image) if self.grey else image, notes

    def size(self, shape: Size, where: str) -> Size:
        """The size to which an image of this one is brought, before it is cut. Raises TooSmallError."""
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
        """How many images an image of this size becomes. Raises what `size` raises."""
        size = self.size(shape, where)
        if self.patches is None:
            return 1
        return self.patches_per_image or len(positions_of(size, self.patches))

    def corners(self, shape: Size, index: int, where: str) -> np.ndarray:
        """Upper left corners of the patches of an image of this size, (k, 2), where it was resized and cropped before.

        index: the image's place in its collection, for the random ones. Raises what `size` raises.
        """
        assert self.patches is not None
        size = self.size(shape, where)
        if self.patches_per_image is None:
            return positions_of(size, self.patches)
        generator = numpy_generator(self.seed, "patch", index)
        return random_positions(size, self.patches, self.patches_per_image, generator)

    def __call__(self, image: np.ndarray, index: int, where: str) -> np.ndarray:
        """(c, h, w) becomes (k, c, h', w'). index: the image's place in its collection, as for `corners`."""
        shape = image.shape[1:]
        self.size(shape, where)
        if self.resize:
            image = resized(image, self.resize)
        if self.crop:
            image = cropped(image, self.crop)
        if self.patches is None:
            return image[None]
        return cut_at(image, self.patches, self.corners(shape, index, where))


def table_of(framing: Framing) -> dict[str, Any]:
    """The preparation as config.json keeps it; `framing_from` reads it back."""
    table = {
        "resize": framing.resize,
        "crop": framing.crop,
        "patches": framing.patches,
        "grey": framing.grey,
        "range": framing.value_range,
    }
    return {name: list(value) if isinstance(value, tuple) else value for name, value in table.items() if value}


def framing_from(table: Any, where: str) -> Framing:
    """What `table_of` wrote. Raises DataError for anything else."""
    try:
        fields: dict[str, Any] = {"value_range" if name == "range" else name: value for name, value in table.items()}
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        return Framing(**fields)
    except (AttributeError, TypeError, RequestError):
        raise DataError(f"{where}: {table!r} does not say how images are prepared") from None


def _checked_range(value: Any) -> ValueRange | None:
    """Two numbers, the second above the first, as Python's floats."""
    if value is None:
        return None
    pair = tuple(map(checks.python, value)) if isinstance(value, tuple | list) else ()
    holds = len(pair) == 2 and all(map(checks.is_finite, pair)) and pair[0] < pair[1]
    require(holds, "value_range", "(low, high), two numbers of which the second is larger", value)
    return float(pair[0]), float(pair[1])
