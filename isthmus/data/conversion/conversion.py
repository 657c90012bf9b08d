"""Conversion into shards: each is written whole, and read again. A conversion that was stopped goes on."""

from __future__ import annotations

import base64
import errno
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import __version__
from isthmus.data.collections.listing import natural
from isthmus.data.collections.loading import listed
from isthmus.data.collections.stack import mixed_words
from isthmus.data.conversion.source import Converted, Label, Source
from isthmus.data.formats.page import NOTES
from isthmus.data.images import Images, floats_of
from isthmus.data.stored.array_file import DTYPES, ArrayFile
from isthmus.data.stored.digests import digest_of, digests_of
from isthmus.data.stored.shard_folder import (
    FORMAT,
    IDENTITIES,
    INDEX,
    LABELS,
    UNFINISHED,
    is_shards,
    open_shards,
    shard_table,
    write_names,
)
from isthmus.errors import DataError, RequestError, RunError, counted, require
from isthmus.files import atomic_file, remove, save_array, write_json
from isthmus.locks import LOCKS, lock

SHARD_BYTES = 256 << 20
_PARTS = "parts"  # of each shard, what is known of its images, until all are done
_ROOM = 64 << 20  # bytes that are left free on the disk
OnProgress = Callable[[int, int | None, int], None]


def convert(
    source: Source,
    folder: Path,
    *,
    dtype: str | None = None,
    colour: bool = False,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    on_progress: OnProgress | None = None,
) -> Images:
    """Write all images of a source into a folder of shards, and open it.

    dtype: "uint8", "float16" or "float32"; None for uint8, or float32 where some images have more than 8 bits. colour:
    make grey images RGB. shard_bytes: of pixels, about. force: replace what is there. on_progress: called with
    positions done, all of them or None, and images.

    A conversion that was stopped and is asked for again goes on after its last whole shard. Raises RequestError for a
    folder that holds something else, DataError for images that cannot be used, RunError if the disk is full.
    """
    require(dtype is None or dtype in map(str, DTYPES), "dtype", "uint8, float16 or float32", dtype)
    require(shard_bytes >= 1, "the size of a shard", "at least 1 byte", shard_bytes)
    facts = {"source": source.facts, "dtype": dtype, "colour": colour, "shard_bytes": shard_bytes}
    facts = json.loads(json.dumps({"format": FORMAT, **facts}))
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"{folder} is a file; choose another -o")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with lock(folder, "-o"):
            if not _is_done(folder, facts, force=force):
                _Conversion(source, folder, dtype, colour, shard_bytes).run(on_progress)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        n = len(list((folder / _PARTS).glob("*.json")))
        whole = counted(n, "shard is", "shards are")
        raise RunError(
            f"{folder}: the disk is full; {whole} whole, and the same command goes on after them when there is room"
        ) from None
    return open_shards(folder)


def _is_done(folder: Path, facts: dict[str, Any], *, force: bool) -> bool:
    """Make the folder ready; whether only its tidying was left to do. Raises RequestError if it holds anything but this
    conversion's own beginning, or one of which nothing is whole yet.
    """
    names = {path.name for path in folder.iterdir() if path.name not in LOCKS}
    if names and not is_shards(folder):
        raise RequestError(f"{folder} exists and holds no shards; choose another -o")
    try:
        is_same = json.loads((folder / UNFINISHED).read_bytes()) == facts
    except (OSError, ValueError):
        is_same = False
    if INDEX in names and is_same and not force:  # the process was killed between its last two steps
        _tidy(folder)
        return True
    if INDEX in names and not force:
        raise RequestError(f"{folder} already holds shards; choose another -o, or add --force to replace them")
    if not is_same and not force and list((folder / _PARTS).glob("*.json")):
        raise RequestError(
            f"{folder} holds the beginning of another conversion, of other images or with other options; choose "
            "another -o, or add --force to begin anew"
        )
    if not is_same or force:
        for name in names:
            remove(folder / name)
        write_json(folder / UNFINISHED, facts)
    return False


def _tidy(folder: Path) -> None:
    """Remove what was for going on."""
    remove(folder / _PARTS)
    remove(folder / UNFINISHED)


class _Conversion:
    """Shards that are being filled."""

    def __init__(self, source: Source, folder: Path, dtype: str | None, colour: bool, shard_bytes: int) -> None:
        self.source, self.folder, self.colour, self.shard_bytes = source, folder, colour, shard_bytes
        self.chosen = None if dtype is None else np.dtype(dtype)
        self.parts: list[dict[str, Any]] = []
        self.pixels: list[np.ndarray] = []  # of the shard that is next
        self.n_bytes = 0  # of these
        self.forms = set[tuple[int, bool]]()  # channels of images, and whether they have more than 8 bits
        self.known: dict[str, list[Any]] = {}
        self.shape: tuple[int, ...] | None = None

    def run(self, on_progress: OnProgress | None) -> None:
        """Go on after what there is, and finish."""
        parts = sorted((self.folder / _PARTS).glob("*.json"))
        self.parts = [json.loads(path.read_bytes()) for path in parts]
        (self.folder / _PARTS).mkdir(exist_ok=True)
        if self.parts:
            self.channels, self.dtype = self.parts[0]["shape"][0], np.dtype(self.parts[0]["dtype"])
            self.shape = tuple(self.parts[0]["shape"])
        else:
            channels, is_fine = self.source.form()
            self.channels = 3 if self.colour else channels
            self.dtype = self.chosen or np.dtype(np.float32 if is_fine else np.uint8)
        self._clear()
        n = sum(part["n"] for part in self.parts)
        for piece in self.source.pieces(self.parts[-1]["position"] if self.parts else 0):
            if len(piece.pixels):
                self._add(piece)
                n += len(piece.pixels)
            self.known["kinds"] += piece.kinds
            self.known["left_out"] += [[name, fault] for name, fault in piece.left_out.items()]
            self.position = piece.position
            if self.n_bytes >= self.shard_bytes:
                self._write()
            if on_progress:
                on_progress(piece.position, self.source.n, n)
        if self.pixels or self.known["left_out"] or self.known["kinds"]:
            self._write()
        if not sum(part["n"] for part in self.parts):
            raise DataError(f"{self.source.words}: there are no images")
        self._write_index()

    @property
    def _row_bytes(self) -> int:
        assert self.shape
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def _clear(self) -> None:
        self.pixels, self.n_bytes = [], 0
        self.known = {name: [] for name in ("names", "labels", "identities", "kinds", "left_out")}

    def _add(self, piece: Converted) -> None:
        where = piece.names[0] if piece.names else f"image {piece.position - len(piece.pixels):,}"
        pixels = self._in_form(piece.pixels, f"{self.source.words}: {where}")
        if self.shape is None:
            self.shape = pixels.shape[1:]
            self._check_room(piece)
        if pixels.shape[1:] != self.shape:
            h, w = self.shape[1:]
            raise DataError(
                f"{self.source.words}: {where} has {pixels.shape[2]}×{pixels.shape[3]} pixels, and those before it "
                f"{h}×{w}; choose --resize {h}x{w} (anti-aliased) or --crop HxW (the centre)"
            )
        self.pixels.append(pixels)
        self.n_bytes += pixels.nbytes
        for name in ("names", "labels", "identities"):
            self.known[name] += getattr(piece, name)

    def _in_form(self, pixels: np.ndarray, where: str) -> np.ndarray:
        """In the channels and the type of the shards."""
        c, fine = pixels.shape[1], pixels.dtype != np.uint8
        self.forms.add((c, fine))
        if c > self.channels:
            raise DataError(f"{where} is in colour, and others are grey; choose --colour (all RGB) or --grey")
        if c < self.channels:
            pixels = np.repeat(pixels, self.channels, axis=1)
        if fine and self.dtype == np.uint8:
            if self.chosen is None:
                raise DataError(
                    f"{where} has more than 8 bits, and others have 8; choose --dtype float32, or uint8, which rounds"
                )
            return np.rint(pixels * np.float32(255)).astype(np.uint8)
        return pixels if pixels.dtype == self.dtype else floats_of(pixels).astype(self.dtype, copy=False)

    def _check_room(self, piece: Converted) -> None:
        """Raise RequestError if there are clearly too few bytes free on the disk."""
        n = self.source.n
        if n is None:
            return
        needed = (n - piece.position + len(piece.pixels)) * self._row_bytes + _ROOM
        if (free := shutil.disk_usage(self.folder).free) < needed:
            sizes = f"about {needed / 1e9:,.1f} GB are needed, and {free / 1e9:,.1f} GB are free"
            raise RequestError(f"{self.folder}: {sizes}; make images smaller with --resize, or choose another disk")

    def _write(self) -> None:
        """Write the next shard, and all that is known of its images; then the part that says so."""
        assert self.shape
        name = f"{len(self.parts):05}"
        part: dict[str, Any] = {"n": 0, "shape": self.shape, "dtype": str(self.dtype), "position": self.position}
        part |= {"forms": sorted(self.forms)}
        if self.pixels:
            pixels = np.concatenate(self.pixels)
            self.pixels = []  # a shard's pixels are in memory twice for no longer than that
            with atomic_file(self.folder / f"{name}.npy") as file:
                save_array(file, pixels)
            digest = digest_of(pixels)
            if digests_of([ArrayFile.open(self.folder / f"{name}.npy")])[0] != digest:
                raise RunError(
                    f"{self.folder / name}.npy is not what was written; the disk, or its connection, is faulty"
                )
            part |= shard_table(f"{name}.npy", len(pixels), digest)
        identities = np.array(self.known.pop("identities"), "<u8")
        part |= {**self.known, "identities": base64.b64encode(identities.tobytes()).decode("ascii")}
        write_json(self.folder / _PARTS / f"{name}.json", part)
        self.parts.append(part)
        self._clear()

    def _write_index(self) -> None:
        """Put together what is known of all images, and write the index."""
        n = sum(part["n"] for part in self.parts)
        columns = {name: [value for part in self.parts for value in part[name]] for name in ("names", "labels")}
        identities = np.concatenate([np.frombuffer(base64.b64decode(part["identities"]), "<u8") for part in self.parts])
        labels, label_names = _numbered(columns["labels"], self.source.label_names)
        has = {"labels": len(labels) == n, "identities": len(identities) == n, "names": len(columns["names"]) == n}
        for name, column in ((LABELS, labels), (IDENTITIES, identities)):
            if len(column) == n:
                with atomic_file(self.folder / name) as file:
                    save_array(file, column)
        if has["names"]:
            write_names(self.folder, columns["names"])
        shards = [
            {key: part[key] for key in ("name", "n", "sha256", "low", "high")} for part in self.parts if part["n"]
        ]
        write_json(
            self.folder / INDEX,
            {
                "format": FORMAT,
                "isthmus": __version__,
                "n": n,
                "shape": self.shape,
                "dtype": str(self.dtype),
                "source": self.source.words,
                "label_names": label_names,
                "notes": self._notes(),
                **{f"has_{name}": known for name, known in has.items()},
                "shards": shards,
            },
        )
        _tidy(self.folder)

    def _notes(self) -> list[str]:
        kinds = Counter(kind for part in self.parts for kind in part["kinds"])
        notes = [
            *self.source.notes,
            *(NOTES[kind].format(n=counted(kinds[kind], "file")) for kind in NOTES if kinds[kind]),
        ]
        colours, depths = (len({form[i] for part in self.parts for form in part["forms"]}) > 1 for i in (0, 1))
        notes += mixed_words(colours=colours, depths=depths and self.dtype != np.uint8)
        if left_out := [name for part in self.parts for name, _ in part["left_out"]]:
            notes.append(f"{counted(len(left_out), 'unreadable file')} left out: {listed(left_out)}")
        brightest = max(part["high"] for part in self.parts if part["n"])
        dark = self.source.dark_note(brightest) if self.dtype != np.uint8 else ""
        return [*notes, *([dark] if dark else [])]


def _numbered(labels: list[Label], label_names: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    """Labels as numbers, and what these stand for; none unless all images have one."""
    if any(label is None for label in labels):
        return np.array([], np.int64), []
    if not any(isinstance(label, str) for label in labels):
        return np.array(labels, np.int64), list(label_names)
    words = [str(label) for label in labels]
    names = sorted(set(words), key=natural)
    place = {name: i for i, name in enumerate(names)}
    return np.array([place[word] for word in words], np.int64), names
