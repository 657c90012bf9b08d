"""EXIF and the place (GPS) of a TIFF, which lie in lists of tags of their own: copied from one file to another.

tifffile reads such lists and writes none.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tifffile import TiffPage

_LISTS = (34665, 34853)  # tags whose value is where a list lies
_WITHIN = 40965  # of EXIF's list: where another one lies
_WIDTH, _HEIGHT = 40962, 40963
_LONG = 4
# bytes of a number, by its type
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

Tag = tuple[int, int, int, "bytes | Tags"]  # code, type, count, and the value, or the list that it points to
Tags = list[Tag]


@dataclass(frozen=True)
class Layout:
    """How a file has its numbers. order: "<" or ">". is_big: a BigTIFF."""

    order: str
    is_big: bool

    @property
    def count(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.is_big else "H"))

    @property
    def tag(self) -> struct.Struct:
        return struct.Struct(self.order + ("HHQ8s" if self.is_big else "HHI4s"))

    @property
    def place(self) -> struct.Struct:
        return struct.Struct(self.order + ("Q" if self.is_big else "I"))

    def read(self, data: bytes, at: int, size: tuple[int, int] | None = None) -> Tags:
        """The list at this place. size: (height, width) of the picture that it is now of.

        Raises ValueError, KeyError or struct.error on damage.
        """
        tags: Tags = []
        (n,) = self.count.unpack_from(data, at)
        for i in range(n):
            code, kind, count, raw = self.tag.unpack_from(data, at + self.count.size + i * self.tag.size)
            length = _SIZES[kind] * count
            start = self.place.unpack(raw)[0] if length > len(raw) else -1
            value: Any = raw[:length] if start < 0 else data[start : start + length]
            if len(value) < length:
                raise ValueError("cut short")
            if size and code in (_WIDTH, _HEIGHT):
                kind, count, value = _LONG, 1, struct.pack(self.order + "I", size[code == _WIDTH])
            elif code == _WITHIN:
                value = self.read(data, int.from_bytes(raw, "little" if self.order == "<" else "big"))
            tags.append((code, kind, count, value))
        return tags

    def written(self, tags: Tags, at: int, after: int = 0) -> bytes:
        """The bytes of a list that will lie at this place. after: where the next one lies."""
        head, rest = self.count.pack(len(tags)), b""
        beyond = at + self.count.size + len(tags) * self.tag.size + self.place.size
        for code, kind, count, value in tags:
            if isinstance(value, list):
                kind, count = (16 if self.is_big else _LONG), 1
                place = beyond + len(rest)
                rest += self.written(value, place)
                value = self.place.pack(place)
            elif len(value) > self.place.size:
                place = beyond + len(rest)
                rest += value + bytes(len(value) % 2)
                value = self.place.pack(place)
            head += self.tag.pack(code, kind, count, value)
        return head + self.place.pack(after) + rest


def lists_of(page: TiffPage, data: bytes, layout: Layout, shape: tuple[int, ...], notes: list[str]) -> dict[int, Tags]:
    """The lists of a page whose picture is (c, h, w) now, by the tags that point to them; damage goes to `notes`."""
    tags = [tag for code in _LISTS if (tag := page.tags.get(code)) is not None]
    try:
        return {tag.code: layout.read(data, tag.valueoffset, (shape[1], shape[2])) for tag in tags}
    except (ValueError, LookupError, struct.error, RecursionError):
        notes.append("the EXIF of a TIFF is damaged, and not kept")
        return {}


def add_lists(file: IO[bytes], layout: Layout, lists: Sequence[Mapping[int, Tags]]) -> None:
    """Give each page of a TIFF, open for reading and writing, these lists, by the tags that point to them."""
    pointer = 8 if layout.is_big else 4
    for more in lists:
        file.seek(pointer)
        (start,) = layout.place.unpack(file.read(layout.place.size))
        file.seek(start)
        (n,) = layout.count.unpack(file.read(layout.count.size))
        raw = file.read(n * layout.tag.size)
        (after,) = layout.place.unpack(file.read(layout.place.size))
        # values are left where they lie
        tags: Tags = [(code, kind, count, value) for code, kind, count, value in layout.tag.iter_unpack(raw)]
        tags = sorted([*tags, *((code, _LONG, 1, value) for code, value in more.items())], key=lambda tag: tag[0])
        end = file.seek(0, 2)
        end += file.write(bytes(end % 2))  # lists begin at even places
        file.write(layout.written(tags, end, after))
        file.seek(pointer)
        file.write(layout.place.pack(end))
        pointer = end + layout.count.size + len(tags) * layout.tag.size
