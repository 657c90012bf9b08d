"""The header of an array in NumPy's format (.npy)."""

from __future__ import annotations

import re
from typing import IO

import numpy as np

from isthmus.errors import DataError, one_line

_MAX_RANK = 64  # NumPy's own limit
_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 1 << 16
# the header is a Python literal; only what NumPy writes for plain numbers matches, and nothing is evaluated
_HEADER = re.compile(
    r"\{\s*'descr':\s*(?P<descr>'[^']*'|\[.*\]),\s*'fortran_order':\s*(?P<fortran>True|False),"
    r"\s*'shape':\s*\((?P<shape>[\d, ]*)\),?\s*\}\s*",
    re.DOTALL,
)
_PLAIN = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")
_TEXT = re.compile(r"[<>|=]?[US][1-9]\d{0,4}")


def read_header(where: str, file: IO[bytes], labels: str = "") -> tuple[np.dtype, tuple[int, ...], bool, int]:
    """The type and the shape of the array, whether it is Fortran's, and the bytes before its numbers.

    labels: what labels are called, which may be text. Raises DataError, starting with `where`.
    """
    start = file.read(8)
    if start[:6] != _MAGIC:
        kind = "is a pickle, which isthmus never loads" if start[:1] == b"\x80" else "is not in NumPy's format"
        description = start.hex(" ") or "nothing"
        raise DataError(f"{where} {kind}: it starts with {description}; save it with numpy.save")
    if start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise DataError(f"{where} has version {start[6:].hex('.')} of NumPy's format; known: 01.00, 02.00, 03.00")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    text = file.read(min(length, _MAX_HEADER)).decode("latin-1")
    header = _HEADER.fullmatch(text)
    if header is None or len(text) < length:
        raise DataError(f"{where} has no header that NumPy would write for an array; save it again with numpy.save")
    descr = header["descr"].strip("'")
    if "O" in descr:
        way_out = "numbers in one array, and images of several sizes as files in a folder"
        way_out = f"text, {labels}={labels}.astype(str)" if labels else way_out
        raise DataError(f"{where} holds Python objects, a pickle, which isthmus never loads; save {way_out}")
    sizes = [part.strip() for part in header["shape"].split(",") if part.strip()]
    is_known = _PLAIN.fullmatch(descr) or (labels and _TEXT.fullmatch(descr))
    if not is_known or len(sizes) > _MAX_RANK or any(len(n) > 19 or " " in n for n in sizes):
        description = one_line(f"{descr[:40]} of shape ({header['shape'][:80]})")
        raise DataError(f"{where} holds {description}, not numbers in an array")
    return np.dtype(descr), tuple(map(int, sizes)), header["fortran"] == "True", 8 + width + length
