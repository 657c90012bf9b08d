"""Which kind of source a path is."""

from __future__ import annotations

from pathlib import Path

from isthmus.data.collections.collection import listing_of
from isthmus.data.conversion.file_source import ArraySource, FolderSource
from isthmus.data.conversion.source import Source
from isthmus.data.conversion.table_source import TableSource, tables_of
from isthmus.data.conversion.tar_source import TarSource, tars_of
from isthmus.data.framing import Framing
from isthmus.data.stored.shard_folder import is_shards
from isthmus.errors import RequestError


def source_of(
    path: Path, framing: Framing, *, image: str | None = None, label: str | None = None, skip_bad: bool = False
) -> Source:
    """What a path holds: tables, tar files, image files or an array.

    image, label: of tables, the names of the columns. Raises RequestError for patches, whose photographs nothing would
    know any more, and as `open_images` does.
    """
    if framing.patches is not None:
        raise RequestError(
            "shards hold whole images; without --patches, which `isthmus fit` cuts of photographs itself"
        )
    if path.exists():
        if is_shards(path):
            raise RequestError(f"{path} holds shards already; give what they were converted from")
        if (path / "dataset_dict.json").is_file():
            parts = sorted(folder.name for folder in path.iterdir() if folder.is_dir())
            raise RequestError(f"{path} holds the parts {', '.join(parts)}; give one of them, like {path / parts[0]}")
        if tables_of(path):
            return TableSource(path, framing, image=image, label=label, skip_bad=skip_bad)
    if image is not None or label is not None:
        raise RequestError(f"--image-column and --label-column are of Parquet and Arrow files, and {path} is not one")
    if path.exists() and tars_of(path):
        return TarSource(path, framing, skip_bad=skip_bad)
    listing = listing_of(path)
    return ArraySource(path, framing) if listing is None else FolderSource(path, framing, skip_bad=skip_bad)
