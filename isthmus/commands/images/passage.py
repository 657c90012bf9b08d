"""Pictures on their way through a model: in groups, in tiles, or cut into patches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from isthmus import console
from isthmus.analysis.patchwork import of_patches, patchwork
from isthmus.commands.images.model_folder import Shape
from isthmus.commands.images.pictures import Picture, Pictures
from isthmus.corruption import noisy_version
from isthmus.data.sizes import Size, resized
from isthmus.estimators.adapters import CHUNK, adapter_of, reconstruct
from isthmus.parts import Corruption


@dataclass(frozen=True)
class Result:
    """A picture, what the model was given of it if that was corrupted, and what it made of it: (c, h, w).

    x_hat: float32, or where it was rounded of the picture's own type.
    """

    picture: Picture
    corrupted: np.ndarray | None
    x_hat: np.ndarray

    @property
    def x_in(self) -> np.ndarray:
        """What the model was given."""
        return self.picture.x if self.corrupted is None else self.corrupted

    def written(self) -> np.ndarray:
        """What is written of it, when it is clipped: grey again if the picture was, and of the picture's own size."""
        x_hat = self.x_hat.mean(axis=0, keepdims=True) if self.picture.grey else self.x_hat
        return x_hat if self.picture.size is None else resized(np.clip(x_hat, 0, 1), self.picture.size)


def through(
    model: Any,
    shape: Shape | None,
    pictures: Pictures,
    *,
    stride: Size | None = None,
    corruption: Corruption | None = None,
    rounded: bool = False,
    task: str = "images",
) -> Iterator[Result]:
    """Each picture with what the model makes of it, in order; many small ones go through the model at a time.

    shape: of the model's images, of which larger pictures are put together, `stride` apart; None where it takes them
    all as they are. corruption: applied to the whole picture first, with its own noise. rounded: of a picture of 8 or
    16 bits that goes through the model in tiles, each is rounded to its bits at once. Said on stderr: how far it is, in
    files; of one file in its pages; and of a large picture in the tiles, or rows of pixels, that it is put together of.
    """
    adapter: Any = adapter_of(model)
    done = set[int]()
    with console.progress(task) as on_progress:
        for group in ([picture] for picture in pictures) if adapter.takes_any_size else _groups(pictures, shape):
            corrupted = [None if corruption is None else _corrupted(picture.x, corruption) for picture in group]
            on_part = partial(_of_a_picture, on_progress, pictures.n, len(done), group[0])
            if adapter.takes_any_size:
                picture, (x_in,) = group[0], corrupted
                at_once = rounded and picture.is_written_as_it_is
                pixels = picture.pixels if x_in is None else x_in
                made = [adapter.reconstruct_image(pixels, partial(on_part, "tiles"), rounded=at_once)]
                del pixels
            elif shape in (None, group[0].pixels.shape):
                given = [p.x if x is None else x for p, x in zip(group, corrupted, strict=True)]
                flat = np.stack(given).reshape(len(group), -1)
                made = list(reconstruct(model, flat).reshape(len(group), *group[0].pixels.shape))
            else:
                assert shape is not None  # a larger picture is alone in its group
                x_in = group[0].x if corrupted[0] is None else corrupted[0]
                on_rows = partial(on_part, "rows")
                made = [patchwork(of_patches(model, len(x_in)), x_in, shape[1:], on_rows, stride=stride)]
            done |= {picture.number for picture in group}
            if pictures.n > 1:
                on_progress(len(done), pictures.n)  # without those that are left out
            elif shape in (None, group[0].pixels.shape) and not adapter.takes_any_size:
                on_progress(group[-1].page + 1, group[-1].pages)
            yield from (Result(*picture) for picture in zip(group, corrupted, made, strict=True))


def _of_a_picture(
    on_progress: Callable[..., None], n_files: int, n_done: int, picture: Picture, unit: str, done: int, of: int
) -> None:
    """Say how far a picture is, in tiles or rows: of one file it is all that there is to say."""
    done, of = picture.page * of + done, picture.pages * of
    if n_files == 1:
        on_progress(done, of, f" {unit}")
    else:
        on_progress(n_done, n_files, f", and {done:,} of {of:,} {unit} of the next")


def _groups(pictures: Iterable[Picture], shape: Shape | None) -> Iterator[list[Picture]]:
    """Neighbours of the model's own size together, as many as go through it at a time; larger ones alone."""
    group: list[Picture] = []
    for picture in pictures:
        if group and (
            len(group) == CHUNK
            or picture.pixels.shape != group[0].pixels.shape
            or shape not in (None, picture.pixels.shape)
        ):
            yield group
            group = []
        group.append(picture)
    if group:
        yield group


def _corrupted(x: np.ndarray, part: Corruption) -> np.ndarray:
    return noisy_version(x.reshape(1, -1), part, x.shape).reshape(x.shape)
