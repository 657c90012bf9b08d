"""Bytes that were changed at random: the readers raise DataError or read them, quickly and within bounded memory.

Each file starts sound and is then mutated. 300 of them by default, 12,000 with `-m slow`.
"""

import gzip
import io
import time
import tracemalloc

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from isthmus.data.collections.arrays import read_npy, read_npz
from isthmus.data.formats.image_file import quiet_readers, read_pages
from isthmus.data.sources.idx import read_idx
from isthmus.errors import DataError

MIB = 1 << 20
LIMIT = 512 * MIB
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 6, 5), dtype=np.uint8)


def idx_seed():
    content = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in PIXELS.shape) + PIXELS.tobytes()
    return [content, gzip.compress(content, mtime=0)]


def numpy_seed(write):
    def written(*arrays, **named):
        buffer = io.BytesIO()
        write(buffer, *arrays, **named)
        return buffer.getvalue()

    return written


def image_seeds():
    for kind, options in (
        ("PNG", {}),
        ("JPEG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("BMP", {}),
        ("WEBP", {}),
    ):
        for pixels in (PIXELS[0], PIXELS.transpose(1, 2, 0)):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, kind, **options)
            yield buffer.getvalue()
    deep = np.random.default_rng(0).integers(0, 65536, (24, 30, 3), dtype=np.uint16)
    for options in ({}, {"compression": "zlib", "predictor": True}, {"tile": (16, 16), "compression": "lzw"}):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, deep, photometric="rgb", **options)
        yield buffer.getvalue()
    yield bytes(imagecodecs.png_encode(deep))
    yield bytes(imagecodecs.jpeg2k_encode(deep, level=0, codecformat="jp2", reversible=True))
    yield b"P6 30 24 65535\n" + deep.tobytes()
    frames = [Image.fromarray(PIXELS[i]) for i in range(3)]
    for kind in ("GIF", "TIFF"):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
        yield buffer.getvalue()


SEEDS = {
    "idx": (idx_seed(), read_idx),
    "npy": ([numpy_seed(np.save)(PIXELS), numpy_seed(np.save)(np.asfortranarray(PIXELS / 255))], read_npy),
    "npz": (
        [numpy_seed(np.savez)(images=PIXELS, y=np.arange(3)), numpy_seed(np.savez_compressed)(x=PIXELS)],
        read_npz,
    ),
    "images": (list(image_seeds()), read_pages),
}


def is_read(read, path, content):
    """Whether the bytes are read; if not, they are refused with DataError. Either takes seconds at most."""
    path.write_bytes(content)
    start = time.monotonic()
    with quiet_readers():
        try:
            read(path)
            refused = False
        except DataError as error:
            refused = True
            assert str(path.name) in str(error) or str(path.parent) in str(error)  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
    assert time.monotonic() - start < 20
    return not refused


def run(kind, folder, examples, mutate):
    """Read so many mutations of the sound files of a kind; the number of one that fails is in the message."""
    sound, read = SEEDS[kind]
    n_read = 0
    tracemalloc.start()
    try:
        for number in range(examples):
            try:
                n_read += is_read(read, folder / "mutated", mutate(sound[number % len(sound)], number))
            except Exception as error:
                error.add_note(f"{kind}, mutation {number}")
                raise
        assert 0 < n_read < examples
        assert tracemalloc.get_traced_memory()[1] < LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_files(kind, tmp_path, mutate):
    run(kind, tmp_path, 75, mutate)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDS)
def test_many_mutated_files(kind, tmp_path, mutate):
    run(kind, tmp_path, 3000, mutate)
