import gzip
import hashlib
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.data.sources.idx import read_idx
from isthmus.errors import DataError

MIB = 1 << 20
TYPES = ("u1", "i1", "i2", "i4", "f4", "f8")


def header(type_byte, *sizes):
    return bytes([0, 0, type_byte, len(sizes)]) + b"".join(n.to_bytes(4, "big") for n in sizes)


def stored(folder, content, name="images-idx3-ubyte"):
    path = folder / name
    path.write_bytes(content)
    return path


def message(path, **options):
    """What read_idx says of a broken file: one line that names it, with a way out."""
    with pytest.raises(DataError) as caught:
        read_idx(path, **options)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert caught.value.exit_code == 2
    return text


def peak_while(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_bytes_written_by_hand(tmp_path):
    content = bytes.fromhex("00000b02 00000002 00000003 0001 0002 0003 ffff 7fff 8000".replace(" ", ""))
    read = read_idx(stored(tmp_path, content))
    assert read.array.tolist() == [[1, 2, 3], [-1, 32767, -32768]]
    assert read.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("shape", [(7,), (2, 3), (2, 3, 4), (2, 1, 3, 2), (1, 2, 1, 2, 3), (1,) * 31 + (2,)])
@pytest.mark.parametrize("kind", TYPES)
def test_any_type_and_rank_comes_back(tmp_path, idx, kind, shape, compress):
    array = np.random.default_rng(0).normal(scale=50, size=shape).astype("i8").astype(kind)
    content = idx(array)
    read = read_idx(stored(tmp_path, gzip.compress(content) if compress else content))
    np.testing.assert_array_equal(read.array, array, strict=True)
    assert read.array.dtype.isnative
    assert read.array.flags.writeable
    assert read.sha256 == hashlib.sha256(content).hexdigest()


def test_compression_is_seen_in_the_bytes_not_in_the_name(tmp_path, idx):
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    path = stored(tmp_path, gzip.compress(idx(array)), "named-without-ending")
    np.testing.assert_array_equal(read_idx(path).array, array)


def test_unicode_path(tmp_path, idx):
    folder = tmp_path / "данные 数据 é"
    folder.mkdir()
    array = np.arange(4, dtype=np.uint8)
    np.testing.assert_array_equal(read_idx(stored(folder, idx(array), "чи́сла")).array, array)
    assert "чи́сла" in message(stored(folder, b"", "чи́сла"))


WHOLE = header(0x08, 2, 3) + bytes(range(6))
PACKED = gzip.compress(WHOLE)
BROKEN = {
    "empty": (b"", "is empty"),
    "one byte": (b"\0", "not an IDX file"),
    "wrong magic": (b"\x89PNG" + WHOLE[4:], "starts with 89 50 4e 47"),
    "unknown type": (header(0x0A, 2, 3) + bytes(6), "not an IDX file"),
    "no dimension": (header(0x08) + bytes(1), "not an IDX file"),
    "cut in the header": (WHOLE[:9], "ends within its header"),
    "header alone": (WHOLE[:12], "2×3 = 6 bytes and holds 0"),
    "truncated": (WHOLE[:-1], "2×3 = 6 bytes and holds 5"),
    "over-long": (WHOLE + b"\0", "2×3 = 6 bytes and holds 7"),
    "oversized header": (header(0x08, 2**32 - 1, 28, 28) + bytes(784), "the limit is 2,147,483,648"),
    "more dimensions than an array has": (header(0x08, *[1] * 255) + bytes(1), "promises 255 dimensions"),
    "nothing, in sizes no array has": (header(0x08, 0, 2**32 - 1, 2**32 - 1), "no array can hold"),
    "gzip: empty": (gzip.compress(b""), "starts with nothing"),
    "gzip: its first bytes alone": (PACKED[:2], "damaged gzip"),
    "gzip: truncated": (PACKED[: len(PACKED) // 2], "damaged gzip"),
    "gzip: without its last byte": (PACKED[:-1], "damaged gzip"),
    "gzip: wrong sum": (PACKED[:-8] + bytes(4) + PACKED[-4:], "damaged gzip"),
    "gzip: garbage after it": (PACKED + b"garbage", "damaged gzip"),
    "gzip: truncated inside": (gzip.compress(WHOLE[:-1]), "ends after 5"),
    "gzip: over-long inside": (gzip.compress(WHOLE + b"\0"), "goes on after"),
    "gzip: wrong magic inside": (gzip.compress(b"\x89PNG" + WHOLE), "not an IDX file"),
    "gzip: oversized header": (gzip.compress(header(0x0E, 2**31, 2**31)), "the limit is"),
}


@pytest.mark.parametrize(("content", "fault"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_files_are_refused_in_one_line(tmp_path, content, fault):
    text = message(stored(tmp_path, content))
    assert fault in text
    assert text.endswith("fetch it again")


def test_a_file_named_gz_that_is_not_gzip(tmp_path):
    assert "named .gz and is not gzip; rename it" in message(stored(tmp_path, WHOLE, "images.gz"))


@pytest.mark.parametrize("name", ["missing", "."])
def test_what_is_not_a_file(tmp_path, name):
    assert "cannot read" in message(tmp_path / name)


def test_the_limit_is_the_callers(tmp_path):
    path = stored(tmp_path, WHOLE)
    assert read_idx(path, max_bytes=6).array.size == 6
    assert "the limit is 5" in message(path, max_bytes=5)


@pytest.mark.parametrize(
    ("start", "fault"),
    [
        (header(0x08, 300, 1000, 1000), "a decompression bomb"),
        (header(0x08, 10), "goes on after"),
        (b"", "not an IDX file"),
    ],
    ids=["honest header", "modest header", "no header"],
)
def test_a_bomb_of_300_mb_is_refused_in_little_memory(tmp_path, start, fault):
    # gzip members may follow one another: 30 times the same 10 MB
    content = gzip.compress(start) + 30 * gzip.compress(bytes(10_000_000), 1)
    assert len(content) < 2 * MIB
    path = stored(tmp_path, content, "bomb.gz")
    assert peak_while(lambda: message(path)) < 4 * MIB
    assert fault in message(path)


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("promised", [60 * MIB, 2000 * MIB])
def test_a_promise_is_not_allocated(tmp_path, promised, compress):
    content = header(0x08, promised) + bytes(1000)
    path = stored(tmp_path, gzip.compress(content) if compress else content)
    assert peak_while(lambda: message(path)) < 4 * MIB


def test_what_shrinks_as_images_do_is_no_bomb(tmp_path):
    noise = np.random.default_rng(0).bytes(MIB // 20)
    block = noise + bytes(MIB - len(noise))
    path = stored(tmp_path, gzip.compress(header(0x08, 70, MIB)) + 70 * gzip.compress(block, 1))
    assert 15 * path.stat().st_size < 70 * MIB
    assert read_idx(path).array.tobytes() == 70 * block


MUTATION = st.tuples(
    st.sampled_from(["set", "insert", "remove", "cut"]), st.integers(0, 120), st.binary(min_size=1, max_size=4)
)


def mutated(content, mutations):
    for how, position, data in mutations:
        position %= len(content) + 1
        if how == "cut":
            content = content[:position]
            continue
        behind = content[position + (0 if how == "insert" else len(data)) :]
        content = content[:position] + (b"" if how == "remove" else data) + behind
    return content


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(TYPES),
    shape=st.lists(st.integers(0, 4), min_size=1, max_size=4),
    compress=st.booleans(),
    mutations=st.lists(MUTATION, max_size=3),
    inside=st.lists(MUTATION, max_size=3),
)
def test_only_a_data_error_comes_out_and_what_is_read_is_what_is_there(
    tmp_path_factory, idx, kind, shape, compress, mutations, inside
):
    content = mutated(idx(np.arange(np.prod(shape)).astype(kind).reshape(shape)), inside)
    packed = mutated(gzip.compress(content), mutations) if compress else content
    path = stored(tmp_path_factory.getbasetemp(), packed, "mutated")
    try:
        read = read_idx(path)
    except DataError:
        assert inside or mutations
        message(path)
    else:
        assert idx(read.array) == content
