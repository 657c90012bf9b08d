"""A format of image files from outside the package: "TOY!", height, width, then a byte for each pixel."""

import sys

import numpy as np

from isthmus.data.formats.image_file import register
from isthmus.data.formats.page import Page

KINDS = {".toy": "Toy"}  # what the files are called, by their endings
STARTS = (b"TOY!",)  # their first bytes


def shapes(data):
    return [(1, data[4], data[5])]


def pages(data):
    height, width = data[4:6]
    if len(data) != 6 + height * width:
        raise OSError("cut short")
    yield Page(np.frombuffer(data, np.uint8, offset=6).reshape(1, height, width), 8)


def write(file, data, pictures):
    """Write pictures in the place of those in `data`; return sentences on what is lost."""
    (picture,) = pictures
    file.write(data[:6] + picture.tobytes())
    return []


register(sys.modules[__name__])
