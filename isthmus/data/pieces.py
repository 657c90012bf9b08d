"""Pieces of a collection: neighbouring files that are read together, here or by another process.

Between processes a piece travels as one line of JSON, and what was read of it as one more, which the pixels follow as
bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from dataclasses import dataclass
from typing import IO

import numpy as np

from isthmus.data.framing import Framing
from isthmus.data.image_file import quiet_pillow, read_image
from isthmus.errors import DataError

# A file's framed pixels and the kinds of notes on it, or what is wrong with it
Block = tuple[np.ndarray, tuple[str, ...]] | DataError


@dataclass(frozen=True)
class Piece:
    """Neighbours in a collection. number: its place among the pieces; first: its first file's among the files."""

    number: int
    first: int
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Reading:
    """What was read of a piece: a block for each file, up to one that is too small for the framing, if there is one."""

    blocks: list[Block]
    too_small: DataError | None = None


def read_piece(piece: Piece, framing: Framing) -> Reading:
    """Read the files of a piece. What is wrong with them is in the reading: nothing is raised."""
    blocks: list[Block] = []
    for index, path in enumerate(piece.paths, piece.first):
        try:
            image = read_image(path)
        except DataError as error:
            blocks.append(error)
            continue
        try:
            blocks.append((framing(image.pixels, index, path), image.notes))
        except DataError as error:
            return Reading(blocks, error)
    return Reading(blocks)


# --- between two processes ---


def ask(requests: IO[bytes], piece: Piece, framing: Framing) -> None:
    """Send a piece to a process that serves. Raises OSError if it has ended."""
    said = [dataclasses.asdict(framing), piece.number, piece.first, piece.paths]
    requests.write(json.dumps(said).encode() + b"\n")
    requests.flush()


def answer(answers: IO[bytes]) -> Reading | None:
    """The next reading of a process that serves, or None if it ended before it gave it."""
    line = answers.readline()
    if not line.endswith(b"\n"):
        return None
    said, too_small, size = json.loads(line)
    data = bytearray(size)
    if answers.readinto(data) < size:  # type: ignore[attr-defined]
        return None
    blocks: list[Block] = []
    at = 0
    for one in said:
        if isinstance(one, str):
            blocks.append(DataError(one))
            continue
        shape, dtype, notes = one
        array = np.ndarray(shape, dtype, data, at)
        blocks.append((array, tuple(notes)))
        at += array.nbytes
    return Reading(blocks, None if too_small is None else DataError(too_small))


def serve() -> None:
    """Read the pieces that stdin asks for and answer on stdout, in order, until either is closed."""
    with contextlib.suppress(BrokenPipeError), quiet_pillow():
        for line in sys.stdin.buffer:
            framing, number, first, paths = json.loads(line)
            reading = read_piece(Piece(number, first, paths), Framing(**framing))
            said: list[object] = []
            pixels = []
            for block in reading.blocks:
                if isinstance(block, DataError):
                    said.append(str(block))
                else:
                    said.append((block[0].shape, block[0].dtype.str, block[1]))
                    pixels.append(block[0].tobytes())
            too_small = None if reading.too_small is None else str(reading.too_small)
            data = b"".join(pixels)
            sys.stdout.buffer.write(json.dumps([said, too_small, len(data)]).encode() + b"\n" + data)
            sys.stdout.buffer.flush()
