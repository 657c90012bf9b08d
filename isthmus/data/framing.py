"""What is taken of each image of a collection: all of it, resized, its centre, or patches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isthmus.data.patches import cut_at, positions_of, random_positions
from isthmus.data.sizes import Size, check_size, cropped, resized
from isthmus.errors import DataError, require
from isthmus.parts import checks
from isthmus.rng import numpy_generator


@dataclass(frozen=True)
class Framing:
    """Resize, then crop, then cut into patches: each only if its size, (height, width), is given.

    patches_per_image: so many random patches of each image, drawn from the stream `patch` of the seed; None for all
    that cover it with half a patch of overlap. Raises RequestError for sizes and counts that are none.
    """

    resize: Size | None = None
    crop: Size | None = None
    patches: Size | None = None
    patches_per_image: int | None = None
    seed: int = 0

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

    def size(self, shape: Size, where: str) -> Size:
        """The size to which an image of this one is brought, before it is cut. Raises DataError if it is too small."""
        size = self.resize or shape
        for what, part in (("--crop", self.crop), ("--patches", self.patches)):
            if part and (size[0] < part[0] or size[1] < part[1]):
                raise DataError(
                    f"{where} has {size[0]}×{size[1]} pixels, fewer than {what} {part[0]}x{part[1]}; "
                    "choose a smaller one, leave the image out, or enlarge all with --resize HxW"
                )
            size = (self.crop or size) if what == "--crop" else size
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
