"""Folders of results: complete or absent, and never in place of anything else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from isthmus.data.collections.listing import ACCOUNT
from isthmus.errors import RequestError
from isthmus.files import atomic_folder


def check_free(target: Path, *, force: bool) -> None:
    """Raise RequestError for existing results unless `force`, and for a folder of anything else always."""
    if not target.exists() and not target.is_symlink():
        return
    if target.is_dir():
        if not any(target.iterdir()):
            return
        if not (target / ACCOUNT).is_file():
            raise RequestError(f"{target} holds other files, which are never replaced; choose another -o")
    if not force:
        raise RequestError(f"{target} already exists; choose another -o, or add --force to replace it")


@contextlib.contextmanager
def result_folder(target: Path, *, force: bool) -> Iterator[Path]:
    """Yield an empty folder, which replaces `target` when it is complete."""
    check_free(target, force=force)
    with atomic_folder(target) as building:
        yield building
