"""What tests read image files with."""

from __future__ import annotations

from pathlib import Path

from isthmus.data.formats.image_file import faults_named, read_pages
from isthmus.data.formats.page import Page


def read_image(path: Path) -> Page:
    """The one page of a file, its numbers brought to uint8 or float32 in [0, 1]."""
    (page,) = read_pages(path)
    with faults_named(path):
        return Page(page.scaled(), page.bits, page.notes)
