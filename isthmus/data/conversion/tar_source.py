"""WebDataset: tar files in which the files of one sample follow each other, and have one name with several endings."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from isthmus.data.collections.listing import natural
from isthmus.data.conversion.encoded import Encoded, decoded, form_of
from isthmus.data.conversion.source import Converted, Label, OfFiles
from isthmus.data.formats.image_file import KINDS, known_endings
from isthmus.data.framing import Framing, table_of
from isthmus.errors import DataError

_SAMPLED, _END = 50, bytes(1024)
_GZIP, _AT_ONCE = b"\x1f\x8b", 1 << 18
ENDINGS = (".tar", ".tar.gz", ".tgz")


def tars_of(path: Path) -> list[Path]:
    """The tar files that a path stands for, in natural order."""
    if path.is_file():
        return [path] if path.name.endswith(ENDINGS) else []
    return sorted((file for file in path.iterdir() if file.name.endswith(ENDINGS)), key=lambda file: natural(file.name))


class TarSource(OfFiles):
    """Tar files. A position is a sample's, in all of them. A label is in NAME.cls, or is "label" of NAME.json."""

    n: int | None = None
    label_names: tuple[str, ...] = ()

    def __init__(self, path: Path, framing: Framing, *, skip_bad: bool = False) -> None:
        self.words, self.tars, self.framing, self.skip_bad = str(path), tars_of(path), framing, skip_bad
        stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in self.tars]
        self.facts = [os.path.realpath(path), stamps, table_of(framing), skip_bad]

    def form(self) -> tuple[int, bool]:
        return form_of(islice(self._images(0), _SAMPLED), self.framing)

    def pieces(self, position: int) -> Iterator[Converted]:
        return decoded(self._images(position), self.framing, skip_bad=self.skip_bad)

    def _images(self, position: int) -> Iterator[Encoded]:
        number = 0
        for path in self.tars:
            try:
                with _opened(path) as tar:
                    for name, files in _samples(tar, path):
                        number += 1
                        if number > position:
                            yield _image(number, path, name, files)
            except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
                raise DataError(f"{path} is not a whole tar file ({error}); fetch it again") from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar file, which is read to its end.

    Where a compressed one is cut off, or a header is damaged, tarfile takes it for the end of a shorter one, and it
    does not look at gzip's checksum. Raises ReadError for what is not zeros after that.
    """
    with contextlib.ExitStack() as stack:
        with path.open("rb") as file:
            is_gzip = file.read(len(_GZIP)) == _GZIP
        if is_gzip:
            unpacked: Any = stack.enter_context(gzip.open(path))
            tar = stack.enter_context(tarfile.open(fileobj=unpacked, mode="r|", bufsize=_AT_ONCE))
        else:
            if path.suffix == ".tar":
                _check_end(path)
            tar = stack.enter_context(tarfile.open(path, "r|*", bufsize=_AT_ONCE))
        yield tar
        rest: Any = tar.fileobj
        while data := rest.read(_AT_ONCE):
            if data.strip(b"\0"):
                raise tarfile.ReadError("a header is damaged, or it goes on after its end")


def _check_end(path: Path) -> None:
    """Raise DataError for a tar file without the zeros at its end, which tarfile would take for a shorter one."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - len(_END)))
        if file.read() != _END:
            raise DataError(f"{path} is cut off: a tar file ends with {len(_END):,} zeros; fetch it again")


def _samples(tar: tarfile.TarFile, path: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """The name of each sample, and its files' bytes by their endings."""
    name, files = "", dict[str, bytes]()
    for member in tar:
        if not member.isfile():
            continue
        folder, _, file = member.name.rpartition("/")
        stem, _, ending = file.partition(".")
        if not stem:  # hidden
            continue
        if (key := f"{folder}/{stem}".lstrip("/")) != name:
            if files:
                yield name, files
            name, files = key, {}
        held = tar.extractfile(member)
        assert held is not None
        files[f".{ending.lower()}"] = held.read()
    if files:
        yield name, files
    elif not name:
        raise DataError(f"{path} holds no files; fetch it again")


def _image(number: int, path: Path, name: str, files: dict[str, bytes]) -> Encoded:
    ending = next((ending for ending in files if os.path.splitext(ending)[1] in KINDS or ending in KINDS), None)
    if ending is None:
        fault = f"{path}, {name}: of {', '.join(files)} none is an image; known: {known_endings()}"
        return Encoded(number, b"", name, f"{path}, {name}", fault=fault)
    return Encoded(number, files[ending], name + ending, f"{path}, {name}{ending}", _label(files, path, name))


def _label(files: dict[str, bytes], path: Path, name: str) -> Label:
    try:
        if ".cls" in files:
            text = files[".cls"].decode().strip()
            return int(text) if text.lstrip("-").isdigit() else text
        label = json.loads(files[".json"]).get("label") if ".json" in files else None
    except (ValueError, AttributeError):
        raise DataError(f"{path}, {name}: its label cannot be read; repair {name}.cls or {name}.json") from None
    return label if isinstance(label, int | str) else None
