"""A collection in a few lines, for a person: how many images, of which sizes, with which labels, and what is odd."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from isthmus.data.collection import open_images
from isthmus.data.images import Images
from isthmus.data.listing import list_images
from isthmus.data.reading import read_depths, read_shapes
from isthmus.errors import DataError, counted

_LISTED = 10


def summary(path: Path) -> list[str]:
    """Lines that describe a collection, also one that cannot be used as it is. Raises what `open_images` raises."""
    if not path.is_dir():
        return _of_images(open_images(path))
    listing = list_images(path)
    shapes = dict(zip(listing.names, read_shapes(listing.paths()), strict=True))
    bad = {name: str(shape) for name, shape in shapes.items() if isinstance(shape, DataError)}
    sizes = Counter(shape for shape in shapes.values() if not isinstance(shape, DataError))
    if not bad and len({shape[1:] for shape in sizes}) == 1:
        return _of_images(open_images(path))
    depths = Counter(read_depths(listing.paths()))
    kinds = counted(len(sizes), "size")
    lines = [f"{counted(len(shapes), 'file')}, images of {kinds}:"] if len(sizes) > 1 else []
    lines += [_line(n, f"{c}×{h}×{w}") for (c, h, w), n in sizes.most_common(_LISTED)]
    if len(sizes) > _LISTED:
        lines.append(f"         and {len(sizes) - _LISTED:,} more sizes")
    if listing.labels is not None:
        lines.append(_labels(np.array(listing.labels), listing.label_names))
    lines.append("         " + ", ".join(f"{bits} bits: {n:,}" for bits, n in sorted(depths.items())))
    lines += [f"from  {path}", *listing.notes]
    if len(sizes) > 1:
        lines.append("the sizes differ: use it with --resize HxW, --crop HxW or --patches HxW")
    if bad:
        lines.append(f"{len(bad):,} damaged, to be left out with --skip-bad:")
        lines += [f"  {said}" for said in list(bad.values())[:_LISTED]]
        lines += [f"  and {len(bad) - _LISTED:,} more"] if len(bad) > _LISTED else []
    return lines


def _of_images(images: Images) -> list[str]:
    c, h, w = images.shape
    bits = "8 bits" if images.pixels.dtype == np.uint8 else "floats"
    lines = [_line(len(images), f"{c}×{h}×{w} {images.pixels.dtype} ({bits})  sha256 {images.fingerprint}")]
    if images.labels is not None:
        lines.append(_labels(images.labels, images.label_names))
    return [*lines, f"from  {images.source}", *images.notes]


def _line(n: int, said: str) -> str:
    return f"{n:>8,} {'images' if n != 1 else 'image '}  {said}"


def _labels(labels: np.ndarray, label_names: tuple[str, ...]) -> str:
    values, counts = np.unique(labels, return_counts=True)
    shown = (label_names[i] if label_names else str(i) for i in values)
    return "        " + ", ".join(f"{name}: {n:,}" for name, n in zip(shown, counts, strict=True))
