"""Pieces of a collection: neighbouring files that are read together, by this process or a worker.

A piece is sent to a worker as a line of JSON; the answer is a line of JSON, followed by the pixels as bytes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np

from isthmus.data.formats.image_file import Page, quiet_readers, read_pages, register_all, registered
from isthmus.data.framing import Framing, TooSmallError
from isthmus.data.identity import identity_of
from isthmus.errors import DataError

# A file's framed pages, each (k, c, h, w), the kinds of notes on it and the pages' identities, or what is wrong with it
Block = tuple[list[np.ndarray], tuple[str, ...], list[int]] | DataError


@dataclass(frozen=True)
class Piece:
    """Neighbours in a collection. number: its place among the pieces; first: its first file's among the files.

    size: the bytes of its files, or of their pixels.
    """

    number: int
    first: int
    paths: tuple[str, ...]
    size: int = 0


Reading = list[Block]  # of a piece: a block for each file


def page_name(name: str, number: int, n: int) -> str:
    """What a page is called, numbers counting from 0: by its file's name if it is the only one.

    >>> page_name("stack.tif", 2, 5), page_name("one.tif", 0, 1)
    ('stack.tif#3', 'one.tif')
    """
    return f"{name}#{number + 1}" if n > 1 else name


def file_of(name: str) -> str:
    """The file of a page that `page_name` named: a file's own name ends in letters.

    >>> file_of("stack.tif#3"), file_of("a#1.png")
    ('stack.tif', 'a#1.png')
    """
    front, mark, number = name.rpartition("#")
    return front if mark and number.isdecimal() else name


def page_index(file: int, number: int) -> int:
    """A page's place in a collection, for what is drawn at random: the file's own place for its first page."""
    return file + (number << 32)


def read_piece(piece: Piece, framing: Framing) -> Reading:
    """Read the files of a piece. Errors are part of the result."""
    return [_block(path, index, framing) for index, path in enumerate(piece.paths, piece.first)]


def block_of(pages: Sequence[Page], path: str, index: int, framing: Framing) -> Block:
    """The pages of a file, framed. path: the file; index: its place in the collection. Raises DataError."""
    images, notes = [], list[str]()
    if len(pages) == 1:  # as nearly always
        image, kinds = framing.pixels(pages[0], path)
        return [framing(image, index, path)], kinds, [identity_of(pages[0])]
    for number, page in enumerate(pages):
        where = page_name(path, number, len(pages))
        image, kinds = framing.pixels(page, where)
        images.append(framing(image, page_index(index, number), where))
        notes += kinds
    return images, tuple(dict.fromkeys(notes)), [identity_of(page) for page in pages]


def _block(path: str, index: int, framing: Framing) -> Block:
    try:
        return block_of(read_pages(path), path, index, framing)
    except DataError as error:
        return error


# --- between two processes ---


def ask(requests: IO[bytes], piece: Piece, framing: Framing) -> None:
    """Send a piece to a worker. Raises OSError if it has ended."""
    request = [registered(), dataclasses.asdict(framing), piece.number, piece.first, piece.paths]
    requests.write(json.dumps(request).encode() + b"\n")
    requests.flush()


def answer(answers: IO[bytes]) -> Reading | None:
    """The next reading of a worker, or None if it has ended."""
    line = answers.readline()
    if not line.endswith(b"\n"):
        return None
    heads, size = json.loads(line)
    data = bytearray(size)
    if answers.readinto(data) < size:  # type: ignore[attr-defined]
        return None
    blocks: list[Block] = []
    at = 0
    for head in heads:
        if isinstance(head[0], str):
            blocks.append((TooSmallError if head[0] == TooSmallError.__name__ else DataError)(head[1]))
            continue
        pages = []
        for shape, dtype in head[0]:
            pages.append(np.ndarray(shape, dtype, data, at))
            at += pages[-1].nbytes
        blocks.append((pages, tuple(head[1]), head[2]))
    return blocks


def main() -> None:
    """The worker: read the pieces requested on stdin and answer on stdout, until either is closed."""
    with contextlib.suppress(BrokenPipeError), quiet_readers():
        for line in sys.stdin.buffer:
            formats, framing, number, first, paths = json.loads(line)
            register_all(formats)
            heads: list[object] = []
            pixels = []
            for block in read_piece(Piece(number, first, paths), Framing(**framing)):
                if isinstance(block, DataError):
                    heads.append((type(block).__name__, str(block)))
                else:
                    pages, notes, identities = block
                    heads.append(([(page.shape, page.dtype.str) for page in pages], notes, identities))
                    pixels += [page.tobytes() for page in pages]
            data = b"".join(pixels)
            sys.stdout.buffer.write(json.dumps([heads, len(data)]).encode() + b"\n" + data)
            sys.stdout.buffer.flush()
