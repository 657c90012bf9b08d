"""Bytes that were changed at random: the readers raise DataError or read them, quickly and within bounded memory.

Each file starts sound and is then mutated: bytes flipped, cut out, put in, repeated, replaced by numbers that mean much
in a header. 300 of them by default, 12,000 with `-m slow`.
"""

import gzip
import hashlib
import io
import json
import random
import time
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from isthmus import Autoencoder, Dense, load, save
from isthmus.data.arrays import read_npy, read_npz
from isthmus.data.image_file import quiet_pillow, read_image
from isthmus.data.readers import read_idx
from isthmus.errors import DataError

MIB = 1 << 20
LIMIT = 512 * MIB
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 6, 5), dtype=np.uint8)
TELLING = [bytes([b]) * n for b in (0, 0x7F, 0x80, 0xFF) for n in (1, 2, 4, 8)] + [
    b"O",
    b"'|O'",
    b"9" * 30,
    b"\n",
    b"(",
]


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


SEEDS = {
    "idx": (idx_seed(), read_idx),
    "npy": ([numpy_seed(np.save)(PIXELS), numpy_seed(np.save)(np.asfortranarray(PIXELS / 255))], read_npy),
    "npz": (
        [numpy_seed(np.savez)(images=PIXELS, y=np.arange(3)), numpy_seed(np.savez_compressed)(x=PIXELS)],
        read_npz,
    ),
    "images": (list(image_seeds()), read_image),
}


@st.composite
def mutated(draw, seeds):
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, min(len(content), 200) if draw(st.booleans()) else len(content))))
        match draw(st.sampled_from(["flip", "flip", "cut", "put", "replace", "repeat", "end"])):
            case "flip" if at < len(content):
                content[at] ^= draw(st.integers(1, 255))
            case "cut":
                del content[at : at + draw(st.integers(1, 16))]
            case "put":
                content[at:at] = draw(st.sampled_from(TELLING) | st.binary(max_size=8))
            case "replace":
                new = draw(st.sampled_from(TELLING))
                content[at : at + len(new)] = new
            case "repeat":
                content[at:at] = content[at : at + 64] * draw(st.integers(1, 3))
            case "end":
                del content[at:]
    return bytes(content)


def hold(read, path, content):
    """Read the bytes: they are read or refused with DataError, in seconds."""
    path.write_bytes(content)
    start = time.monotonic()
    with quiet_pillow():
        try:
            read(path)
        except DataError as error:
            assert str(path.name) in str(error) or str(path.parent) in str(error)  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
    assert time.monotonic() - start < 20


def run(kind, folder, examples):
    seeds, read = SEEDS[kind]
    path = folder / "mutated"

    @given(mutated(seeds))
    @settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(content):
        hold(read, path, content)

    tracemalloc.start()
    try:
        check()
        assert tracemalloc.get_traced_memory()[1] < LIMIT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_files(kind, tmp_path):
    run(kind, tmp_path, 75)


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEEDS)
def test_many_mutated_files(kind, tmp_path):
    run(kind, tmp_path, 3000)


# --- a saved model ---


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "model"
    x = np.random.default_rng(0).random((20, 6), np.float32)
    save(Autoencoder(Dense(bottleneck=2), epochs=1, random_state=0).fit(x), folder)
    return folder


def mutate(content, seed):
    """As `mutated`, without hypothesis: much faster, and the seed names the example."""
    draw, content = random.Random(seed), bytearray(content)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(min(len(content), 200 if draw.random() < 0.5 else 1 << 30) + 1)
        new = draw.choice([draw.choice(TELLING), draw.randbytes(2), b""])
        content[at : at + draw.choice([0, len(new), len(new), 7])] = new
    return bytes(content)


def load_mutated(model, folder, n):
    """Load n models with mutated weights; their hash is made right, so that it does not save the reader."""
    folder.mkdir()
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    config = json.loads(files["config.json"])
    del config["sha256"]
    for name, content in files.items():
        (folder / name).write_bytes(content)
    refused = 0
    for seed in range(n):
        weights = mutate(files["model.safetensors"], seed)
        (folder / "model.safetensors").write_bytes(weights)
        config["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        (folder / "config.json").write_text(json.dumps(config))
        try:
            load(folder)
        except DataError as error:
            refused += 1
            assert str(folder) in str(error), f"mutation {seed}"  # noqa: PT017
    return refused


def test_mutated_weights_of_a_model(model, tmp_path):
    assert safetensors.numpy.load_file(model / "model.safetensors")
    assert load_mutated(model, tmp_path / "m", 60) > 20


@pytest.mark.slow
def test_many_mutated_weights_of_a_model(model, tmp_path):
    assert load_mutated(model, tmp_path / "m", 3000) > 1000
