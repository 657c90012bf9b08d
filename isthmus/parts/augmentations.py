"""How an image becomes another image of the same thing: small random changes that teach what does not matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from isthmus.errors import RequestError, one_of, require
from isthmus.parts import checks
from isthmus.parts.part import Part

FILLS = ("edge", "reflect", "zeros")


class Augmentation(Part):
    """A part that says how training images are changed, input and target alike. Nothing else ever is."""

    def check(self, n_features: int, image_shape: tuple[int, int, int] | None) -> None:
        """Raise RequestError unless samples of this shape can be augmented: before a training, say."""
        checks.images(image_shape, n_features)


@dataclass(frozen=True, repr=False)
class Affine(Augmentation):
    """A random rotation, scaling, shear and shift about the middle of an image, bilinear.

    Each is drawn evenly between minus and plus what is said here, for each image of each batch anew.

    rotation: degrees. scale: by which share height and width, each by itself, grow or shrink. shear: pixels sideways
    for each pixel down. shift: pixels, in each direction. share: of the images of a batch; the others stay as they are.
    fill: what lies beyond the edges: "edge" goes on with the pixels there, "reflect" mirrors the image, "zeros" is
    black, which is a border to be learned unless the images' ground is black too.
    image_shape: (channels, height, width), for samples that come as (n, n_features); else the samples have it.
    """

    kind: ClassVar[str] = "affine"
    rotation: float = 8.0
    scale: float = 0.08
    shear: float = 0.08
    shift: float = 1.0
    share: float = 0.5
    fill: str = "edge"
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(checks.is_number(self.rotation) and 0 <= self.rotation <= 180, "rotation", "0 to 180", self.rotation)
        require(checks.is_number(self.scale) and 0 <= self.scale < 1, "scale", "at least 0 and below 1", self.scale)
        checks.not_negative("shear", self.shear)
        checks.not_negative("shift", self.shift)
        checks.share("share", self.share)
        one_of("fill", self.fill, FILLS)
        if self.image_shape is not None:
            checks.image_shape(self)

    def check(self, n_features: int, image_shape: tuple[int, int, int] | None) -> None:
        """Raise RequestError for samples that are no images."""
        shape = image_shape or self.image_shape
        if shape is None:
            raise RequestError("affine augmentation needs images: give (n, channels, height, width), or image_shape")
        checks.images(shape, n_features)
