"""Images: pixels with labels, names and other facts; and splits of data sets."""

from __future__ import annotations

import hashlib
import html
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from isthmus.data.contact_sheet import contact_sheet
from isthmus.data.formats.page import full_scale_of
from isthmus.data.stored.stored_pixels import StoredPixels
from isthmus.errors import DataError, RequestError, counted


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """A set of images of one size, kept as they came.

    pixels: (n, channels, height, width), uint8 in 0..255 or float32 in [0, 1]; uint8 stays uint8 until a batch of it
        is used, and is then divided by 255. What is too large for memory stays on the disk, as `StoredPixels`.
    labels: (n,) integers, or None. label_names: what the integers stand for, if it is known.
    source: where the images come from, in words.
    names: each image's file, relative to the folder that was read, with '/'; () if there were no files.
    notes: sentences on what was done to the images when they were read.
    places: for patches, (n, 3) integers: the number of the photograph that each was cut from, and its upper left corner
        there, after resizing and cropping; None for whole images.
    identities: (n,) uint64, the identity (`data.identity`) of each image, or of the photograph that it was cut from;
        None for images as they are stored, whose pixels have it.

    Raises DataError for another shape or type, for no images, and for pixels that are NaN or outside [0, 1].
    """

    pixels: np.ndarray
    labels: np.ndarray | None = None
    source: str = "an array"
    label_names: tuple[str, ...] = field(default=())
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    places: np.ndarray | None = None
    identities: np.ndarray | None = None

    def __post_init__(self) -> None:
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray | StoredPixels) or pixels.ndim != 4:
            shape = getattr(pixels, "shape", type(pixels).__name__)
            raise DataError(f"{self.source}: images must be (n, channels, height, width), got {shape}")
        if 0 in pixels.shape:
            raise DataError(f"{self.source}: no images, the shape is {pixels.shape}")
        if pixels.dtype != np.uint8 and not self.are_stored:
            if not np.issubdtype(pixels.dtype, np.floating):
                raise DataError(
                    f"{self.source}: pixels must be uint8 or float in [0, 1], got {pixels.dtype}; "
                    "open_images(x) takes other numbers too"
                )
            low, high = float(pixels.min()), float(pixels.max())  # NaN if any pixel is
            if np.isnan(low):
                raise DataError(f"{self.source}: pixels must lie in [0, 1], got NaN in {self._where_nan()}")
            if not (low >= 0 and high <= 1):
                divide = "divide by 255, or " if is_8_bit(low, high) else ""
                raise DataError(
                    f"{self.source}: float pixels must lie in [0, 1], got {low:g} to {high:g}; {divide}say what is "
                    "black and white with --range LOW:HIGH, in Python with open_images(x, value_range=(low, high))"
                )
            object.__setattr__(self, "pixels", np.ascontiguousarray(pixels, np.float32))
        if self.names and len(self.names) != len(pixels):
            raise DataError(f"{self.source}: {len(pixels)} images and {len(self.names)} names")
        if self.places is not None and self.places.shape != (len(pixels), 3):
            raise DataError(f"{self.source}: {len(pixels)} images and places of shape {self.places.shape}")
        labels = self.labels
        if labels is None:
            return
        if not isinstance(labels, np.ndarray) or not np.issubdtype(labels.dtype, np.integer):
            kind = getattr(labels, "dtype", type(labels).__name__)
            raise DataError(f"{self.source}: labels must be an array of integers, got {kind}")
        if labels.shape != (len(pixels),):
            shape = f"{len(pixels)} images and labels of shape {labels.shape}"
            raise DataError(f"{self.source}: {shape}; give one label for each image, or none")
        if self.label_names and not (labels.min() >= 0 and labels.max() < len(self.label_names)):
            actual, named = f"{labels.min()} to {labels.max()}", f"0 to {len(self.label_names) - 1}"
            raise DataError(f"{self.source}: labels must lie in {named}, got {actual}")

    def _where_nan(self) -> str:
        # a maximum is NaN where a pixel is, and takes no second array of that size as np.isnan does
        positions = np.flatnonzero(np.isnan(self.pixels.reshape(len(self.pixels), -1).max(axis=1)))
        first = int(positions[0])
        name = f" ({self.names[first]})" if first < len(self.names) else ""
        more = f" and {counted(len(positions) - 1, 'more', 'more')}" if len(positions) > 1 else ""
        return f"image {first}{name}{more}, counted from 0; remove or repair {'them' if more else 'it'}"

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def stored(self) -> StoredPixels | None:
        """The pixels, if they are on the disk, and read when they are needed."""
        pixels: Any = self.pixels
        return pixels if isinstance(pixels, StoredPixels) else None

    @property
    def are_stored(self) -> bool:
        """Whether the pixels are on the disk."""
        return self.stored is not None

    def __repr__(self) -> str:
        """One line, without pixels and names."""
        size = "×".join(map(str, self.shape))
        labels = "" if self.labels is None else f", {len(np.unique(self.labels))} labels"
        return f"<Images: {len(self):,} of {size}, {self.pixels.dtype}{labels}, from {self.source}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the same line, and the first images."""
        return f"<div>{html.escape(repr(self)[1:-1])}</div>{contact_sheet(self)}"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        return self.pixels.shape[1:]

    @property
    def n_features(self) -> int:
        """Numbers in one image."""
        return int(np.prod(self.shape))

    @property
    def n_bytes(self) -> int:
        """What the pixels take in memory."""
        return 0 if self.are_stored else self.pixels.nbytes

    @property
    def are_single(self) -> bool:
        """Whether each is known to be a photograph of its own, without a look at any."""
        return self.places is None and not self.names

    @property
    def n_photographs(self) -> int:
        """How many photographs there are."""
        return len(self) if self.are_single else len(np.unique(self.photographs))

    @property
    def photographs(self) -> np.ndarray:
        """(n,) integers, equal where images were cut from one photograph, as places or else names say: what is
        independent, and counts once.
        """
        if self.places is not None:
            return np.asarray(self.places[:, 0])
        return np.unique(self.names, return_inverse=True)[1] if self.names else np.arange(len(self))

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the type, the shape, the pixels and the labels; names and notes are not in it."""
        digest = hashlib.sha256(f"{self.pixels.dtype}{self.pixels.shape}".encode())
        if self.stored is not None:
            digest.update(self.stored.fingerprint.encode())
        else:
            digest.update(np.ascontiguousarray(self.pixels).data)
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels, np.int64).data)
        return digest.hexdigest()

    def take(self, which: np.ndarray | slice) -> Images:
        """The images at these positions; a slice shares the pixels, an index copies them, unless they are stored."""
        labels = None if self.labels is None else self.labels[which]
        names = tuple(self.names[i] for i in np.arange(len(self))[which]) if self.names else ()
        places = None if self.places is None else self.places[which]
        identities = None if self.identities is None else self.identities[which]
        pixels: Any = self.pixels[which] if self.stored is None else self.stored.part(which)
        return replace(self, pixels=pixels, labels=labels, names=names, places=places, identities=identities)

    def floats(self, which: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n, n_features) float32 in [0, 1]. A new array: ask for a part of a large set at a time."""
        return floats_of(self.pixels[which].reshape(-1, self.n_features))

    def pixel_means(self) -> np.ndarray:
        """The mean of each pixel, (n_features,) float64."""
        total = np.zeros(self.n_features)
        for start in range(0, len(self), 500):  # no float copy of the set is made
            total += self.floats(slice(start, start + 500)).sum(axis=0, dtype=np.float64)
        return total / len(self)

    def only(self, classes: tuple[int, ...]) -> Images:
        """The images with these labels. Raises RequestError for labels that do not occur."""
        if self.labels is None:
            raise RequestError(f"{self.source} has no labels to choose classes {list(classes)} by")
        known = np.unique(self.labels).tolist()
        if missing := [c for c in classes if c not in known]:
            raise RequestError(f"{self.source} has no class {missing[0]}; known: {', '.join(map(str, known))}")
        return self.take(np.flatnonzero(np.isin(self.labels, classes)))

    def followed_by(self, other: Images) -> Images:
        """These images, then the other's."""
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = np.concatenate([self.labels, other.labels])
        places = None
        if self.places is not None and other.places is not None:
            further = np.array([self.places[:, 0].max() + 1, 0, 0])
            places = np.concatenate([self.places, other.places + further])
        identities = None
        if self.identities is not None and other.identities is not None:
            identities = np.concatenate([self.identities, other.identities])
        return replace(
            self,
            pixels=joined(self.pixels, other.pixels),
            labels=labels,
            names=self.names + other.names if self.names and other.names else (),
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
            places=places,
            identities=identities,
        )


def floats_of(pixels: np.ndarray) -> np.ndarray:
    """Pixels, uint8, uint16 or in [0, 1] already, in float32, [0, 1]: a new array."""
    if pixels.dtype == np.uint8:
        return np.multiply(pixels, np.float32(1 / 255), dtype=np.float32, order="C")
    if pixels.dtype == np.uint16:
        return np.divide(pixels, np.float32(65535), dtype=np.float32, order="C")
    return pixels.astype(np.float32)


def joined(pixels: Any, others: Any) -> Any:
    """Pixels, then others: of the same files on the disk they stay there."""
    if isinstance(pixels, StoredPixels) and isinstance(others, StoredPixels):
        together = pixels.followed_by(others)
        if together is not None:
            return together
    return np.concatenate([pixels, others])


def pixels_of(floats: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Floats in [0, 1], clipped, as uint8 or uint16, as files have them. Raises DataError for NaN and infinity."""
    if not np.isfinite(floats).all():
        raise DataError("the image that was made has values that are NaN or infinite, which no file of integers has")
    return np.rint(floats.astype(np.float64).clip(0, 1) * full_scale_of(dtype)).astype(dtype)


def is_8_bit(low: float, high: float) -> bool:
    """Whether numbers in this range look like those of 8 bits, and not like fractions of white that overshoot."""
    return low >= 0 and 2 < high <= 255


@dataclass(frozen=True)
class Dataset:
    """A data set: its training and test images.

    notes: sentences for the report ("the sample replaces ..."). files: sha256 of the files, by name. Of photographs of
    any sizes, train and test are an `ImageList`, and place says more: their folder, and the names of the test images.
    is_published: whether published numbers are of these images.
    """

    name: str
    title: str
    train: Any
    test: Any
    notes: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    place: dict[str, Any] = field(default_factory=dict)
    is_published: bool = True

    def _repr_html_(self) -> str:
        """What a notebook shows: the title, how many there are, and the first images."""
        counts = f"<div>{len(self.train):,} to train on, {len(self.test):,} to test</div>"
        shown = contact_sheet(self.train) if isinstance(self.train, Images) else ""
        return f"<b>{html.escape(self.title)}</b>{counts}{shown}"

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of both parts' fingerprints."""
        return hashlib.sha256(f"{self.train.fingerprint}{self.test.fingerprint}".encode()).hexdigest()
