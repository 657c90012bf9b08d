"""Tables with a column of images: Parquet files, and data sets that Hugging Face's `datasets` has saved to the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.data.collections.arrays import as_pixels, channels_first
from isthmus.data.collections.listing import natural
from isthmus.data.conversion.encoded import Encoded, decoded, form_of
from isthmus.data.conversion.source import OUTSIDE, Converted, Label, OfFiles
from isthmus.data.formats.page import grey_of, stretched
from isthmus.data.framing import Framing, table_of
from isthmus.data.identity import identities_of
from isthmus.errors import DataError, RequestError, counted

_IMAGES = ("image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "pixels", "pixel_values", "x")
_LABELS = ("label", "labels", "class", "cls", "y", "fine_label", "coarse_label", "target")
_NAMES = ("file_name", "filename", "name", "path", "key", "__key__", "id", "image_id")
_ENDINGS = (".parquet", ".arrow")
_ROWS, _SAMPLED = 256, 50


def tables_of(path: Path) -> list[Path]:
    """The Parquet or Arrow files that a path stands for, in natural order."""
    if path.is_file():
        return [path] if path.suffix in _ENDINGS else []
    files = [file for folder in (path, path / "data") for file in folder.glob("*") if file.suffix in _ENDINGS]
    return sorted(files, key=lambda file: natural(file.name))


class TableSource(OfFiles):
    """Tables of one schema. A position is a row's, in all of them.

    image, label: the names of the columns; None for those that are usually called so. Images are the bytes of image
    files, alone or in a struct with "bytes", or nested lists of numbers. Raises RequestError without pyarrow, and
    DataError for tables without such a column.
    """

    def __init__(
        self, path: Path, framing: Framing, *, image: str | None, label: str | None, skip_bad: bool = False
    ) -> None:
        self.words, self.framing, self.skip_bad = str(path), framing, skip_bad
        self.tables = [_opened(file) for file in tables_of(path)]
        self.n = sum(table.n for table in self.tables)
        stamps = [(table.path.name, table.path.stat().st_size, table.path.stat().st_mtime_ns) for table in self.tables]
        self.facts = [os.path.realpath(path), stamps, image, label, table_of(framing), skip_bad]
        schema = self.tables[0].schema
        self.image = _column(schema, image, _IMAGES, f"{path}, --image-column")
        if self.image is None:
            raise DataError(f"{path} has the columns {', '.join(schema.names)}; say --image-column")
        self.label = _column(schema, label, _LABELS, f"{path}, --label-column")
        self.name = next(
            (name for name in _NAMES if name in schema.names and name not in (self.image, self.label)), None
        )
        kind = str(getattr(schema.field(self.image).type, "storage_type", schema.field(self.image).type))
        self.are_numbers = "list" in kind
        if not (self.are_numbers or "binary" in kind):
            known = "the bytes of files, alone or as bytes in a struct, or lists of numbers"
            raise DataError(f"{path}: its column {self.image} holds {kind}, and images are {known}; say --image-column")
        self.label_names = _label_names(schema, path, self.label)

    def form(self) -> tuple[int, bool]:
        if self.are_numbers:
            piece = next(self._of_numbers(0), None)
            return (1, False) if piece is None else (piece.pixels.shape[1], piece.pixels.dtype != np.uint8)
        return form_of(islice(self._images(0), _SAMPLED), self.framing)

    def pieces(self, position: int) -> Iterator[Converted]:
        if self.are_numbers:
            return self._of_numbers(position)
        return decoded(self._images(position), self.framing, skip_bad=self.skip_bad)

    def _batches(self, position: int) -> Iterator[tuple[int, Path, dict[str, list[Any]]]]:
        """The place of the first row of some, their file, and their columns."""
        columns = [name for name in (self.image, self.label, self.name) if name]
        first = 0
        for table in self.tables:
            if first + table.n > position:
                at = max(first, position)
                for batch in table.batches(at - first, columns):
                    yield at, table.path, {name: batch.column(name).to_pylist() for name in columns}
                    at += batch.num_rows
            first += table.n

    def _images(self, position: int) -> Iterator[Encoded]:
        for first, path, columns in self._batches(position):
            labels = columns[self.label] if self.label else [None] * _ROWS
            names = columns[self.name] if self.name else [None] * _ROWS
            for i, (image, label, name) in enumerate(
                zip(columns[self.image or ""], labels, names, strict=False), first
            ):
                inside = image.get("path") if isinstance(image, dict) else None
                data = image.get("bytes") if isinstance(image, dict) else image
                called = str(name or inside or f"{i:08}")
                if data is None and inside and not self.skip_bad:
                    raise DataError(f"{path}, row {i:,}: it has the name of a file, {inside}, and not its bytes")
                yield Encoded(i + 1, data or b"", called, f"{path}, row {i:,}", _as_label(label, path, i))

    def _of_numbers(self, position: int) -> Iterator[Converted]:
        for first, path, columns in self._batches(position):
            where = f"{path}, rows {first:,} to {first + len(columns[self.image or '']) - 1:,}"
            try:
                array = np.array(columns[self.image or ""])
            except ValueError:
                raise DataError(f"{where}: images of one shape are needed") from None
            if array.ndim < 3 or array.dtype.kind not in "buif":
                held = f"{counted(array.ndim - 1, 'list')} in each other, of {array.dtype}"
                raise DataError(
                    f"{where}: {self.image} holds {held}; images are two of numbers, or three with channels"
                )
            if array.dtype.kind in "iu" and array.min() >= 0 and array.max() <= 255:
                array = array.astype(np.uint8)
            stored, value_range = channels_first(array, where), self.framing.value_range
            pixels = stretched(stored, value_range) if value_range else as_pixels(stored, where)
            pixels = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
            if pixels.dtype != np.uint8 and not (pixels.min() >= 0 and pixels.max() <= 1):
                raise DataError(f"{where}: {OUTSIDE.format(held=f'{pixels.min():g} to {pixels.max():g}')}")
            framed = [
                self.framing(grey_of(x) if self.framing.grey else x, i, where) for i, x in enumerate(pixels, first)
            ]
            labels = (
                [_as_label(label, path, i) for i, label in enumerate(columns[self.label], first)] if self.label else []
            )
            names = [str(name) for name in columns[self.name]] if self.name else []
            known = identities_of(stored).tolist()
            yield Converted(first + len(array), np.concatenate(framed), names, labels, known)


class _Parquet:
    """A Parquet file, of which row groups are passed over without being read."""

    def __init__(self, path: Path) -> None:
        from pyarrow import parquet

        self.path, self.file = path, parquet.ParquetFile(path)
        self.schema, self.n = self.file.schema_arrow, self.file.metadata.num_rows

    def batches(self, first: int, columns: list[str]) -> Iterator[Any]:
        groups = list(range(self.file.metadata.num_row_groups))
        while groups and first >= (n := self.file.metadata.row_group(groups[0]).num_rows):
            del groups[0]
            first -= n
        return _from(first, self.file.iter_batches(_ROWS, groups, columns))


class _Arrow:
    """An Arrow file, of either kind, as a memory map."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.schema = self._reader()[0].schema
        self.n = sum(batch.num_rows for batch in self._reader()[1])

    def _reader(self) -> tuple[Any, Iterator[Any]]:
        import pyarrow

        source = pyarrow.memory_map(str(self.path))
        try:
            file = pyarrow.ipc.open_file(source)
            return file, (file.get_batch(i) for i in range(file.num_record_batches))
        except pyarrow.ArrowInvalid:
            source.seek(0)
            stream = pyarrow.ipc.open_stream(source)
            return stream, iter(stream)

    def batches(self, first: int, columns: list[str]) -> Iterator[Any]:
        pieces = (
            batch.select(columns).slice(start, _ROWS)
            for batch in self._reader()[1]
            for start in range(0, batch.num_rows, _ROWS)
        )
        return _from(first, pieces)


def _from(first: int, batches: Iterator[Any]) -> Iterator[Any]:
    """Batches without the first so many rows."""
    for batch in batches:
        if first < batch.num_rows:
            yield batch.slice(first) if first else batch
        first = max(0, first - batch.num_rows)


def _opened(path: Path) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise RequestError(
            'Parquet and Arrow files are read by pyarrow, which is missing: pip install "isthmus[tables]"'
        ) from None
    try:
        return _Parquet(path) if path.suffix == ".parquet" else _Arrow(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole {path.suffix[1:]} file ({error}); fetch it again") from None


def _column(schema: Any, wanted: str | None, usual: tuple[str, ...], where: str) -> str | None:
    if wanted is not None:
        if wanted not in schema.names:
            raise RequestError(f"{where}: there is no {wanted}; known: {', '.join(schema.names)}")
        return wanted
    return next((name for name in usual if name in schema.names), None)


def _as_label(value: Any, path: Path, i: int) -> Label:
    if value is None or isinstance(value, int | str):
        return value
    raise DataError(f"{path}, row {i:,}: a label must be a whole number or a word, got {value!r}")


def _label_names(schema: Any, path: Path, label: str | None) -> tuple[str, ...]:
    """What Hugging Face's features call the labels: beside the tables, or in their schema."""
    texts = [(schema.metadata or {}).get(b"huggingface", b"{}")]
    folder = path if path.is_dir() else path.parent
    if (folder / "dataset_info.json").is_file():
        texts.append((folder / "dataset_info.json").read_bytes())
    for text in texts:
        try:
            table = json.loads(text)
            names = table.get("info", table).get("features", {}).get(label, {}).get("names")
        except (ValueError, AttributeError):
            continue
        if isinstance(names, list):
            return tuple(map(str, names))
    return ()
