"""Conversion into shards: the same images from every kind of source, and nothing lost when it is stopped."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from isthmus import open_images
from isthmus.data.conversion import conversion, file_source, table_source
from isthmus.data.conversion.conversion import convert
from isthmus.data.conversion.kinds_of_source import source_of
from isthmus.data.conversion.source import Converted
from isthmus.data.framing import Framing
from isthmus.data.identity import marks_of
from isthmus.errors import DataError, RequestError, RunError
from tests.data.conftest import idx_bytes

N = 30


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (N, 3, 6, 5), dtype=np.uint8)


def png(image):
    file = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0) if len(image) == 3 else image[0]).save(file, "PNG")
    return file.getvalue()


def converted(path, folder, framing=None, image=None, label=None, skip_bad=False, **options):
    source = source_of(path, framing or Framing(), image=image, label=label, skip_bad=skip_bad)
    return convert(source, folder, **{"shard_bytes": 700, **options})


# --- sources ---


def as_npy(folder, array):
    np.save(folder / "a.npy", array)
    return folder / "a.npy", {}


def as_npz(folder, array):
    np.savez(folder / "a.npz", images=array, labels=np.arange(N) % 3)
    return folder / "a.npz", {"labels": 3}


def as_folder(folder, array):
    for i, image in enumerate(array):
        path = folder / "images" / "abc"[i * 3 // N] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(image))
    return folder / "images", {"labels": 3, "names": True}


def as_tar(folder, array, endings=(".tar", ".tar")):
    (folder / "tars").mkdir()
    for part, ending in enumerate(endings):
        with tarfile.open(folder / "tars" / f"{part}{ending}", "w" if ending == ".tar" else "w:gz") as tar:
            for i in range(part * N // 2, (part + 1) * N // 2):
                held = {f"s/{i:04}.png": png(array[i]), f"s/{i:04}.cls": str(i % 3).encode(), f"s/{i:04}.txt": b"a"}
                for name, data in held.items():
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))
    return folder / "tars", {"labels": 3, "names": True}


def as_compressed_tar(folder, array):
    return as_tar(folder, array, (".tar.gz", ".tgz"))


def table_of(array, **columns):
    pyarrow = pytest.importorskip("pyarrow")
    images = [{"bytes": png(image), "path": f"{i}.png"} for i, image in enumerate(array)]
    return pyarrow.table({"image": images, "label": ["abc"[i % 3] for i in range(len(array))], **columns})


def as_parquet(folder, array):
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(table_of(array), folder / "a.parquet", row_group_size=7)
    return folder / "a.parquet", {"labels": 3, "names": True}


def as_arrow(folder, array):
    """As `datasets` saves it: streams of batches, with what labels are called beside them."""
    pyarrow = pytest.importorskip("pyarrow")
    features = {"label": {"names": ["cat", "dog", "emu"], "_type": "ClassLabel"}}
    (folder / "saved").mkdir()
    (folder / "saved" / "dataset_info.json").write_text(json.dumps({"features": features}))
    (folder / "saved" / "state.json").write_text("{}")
    table = table_of(array).set_column(1, "label", pyarrow.array([i % 3 for i in range(N)]))
    for part in range(2):
        path = str(folder / "saved" / f"data-{part}.arrow")
        with pyarrow.OSFile(path, "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table.slice(part * N // 2, N // 2), max_chunksize=4)
    return folder / "saved", {"labels": 3, "names": True, "label_names": ("cat", "dog", "emu")}


def as_lists(folder, array):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"pixels": array.tolist()}), folder / "a.parquet", row_group_size=7)
    return folder / "a.parquet", {}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(file_source, "_CHUNK", 500)
    monkeypatch.setattr(table_source, "_ROWS", 7)


SOURCES = [as_npy, as_npz, as_folder, as_tar, as_compressed_tar, as_parquet, as_arrow, as_lists]


@pytest.mark.parametrize("write", SOURCES, ids=lambda write: write.__name__)
def test_the_images_are_those_of_the_source_wherever_they_come_from(tmp_path, array, write):
    path, known = write(tmp_path, array)
    images = converted(path, tmp_path / "shards")
    np.testing.assert_array_equal(images.pixels[:], array)
    assert len(images.pixels.files) > 2
    assert (images.labels is not None, bool(images.names)) == ("labels" in known, "names" in known)
    if known.get("labels"):
        labels = np.arange(N) * 3 // N if write is as_folder else np.arange(N) % 3
        np.testing.assert_array_equal(images.labels, labels)
    assert images.label_names == known.get("label_names", images.label_names)
    np.testing.assert_array_equal(images.identities, marks_of(open_images(array)))
    again = open_images(tmp_path / "shards")
    assert (again.fingerprint, again.names) == (images.fingerprint, images.names)
    assert not [*tmp_path.glob("shards/parts"), *tmp_path.glob("shards/*.json.*"), *tmp_path.glob("shards/.*.tmp")]


@pytest.mark.parametrize("write", SOURCES, ids=lambda write: write.__name__)
def test_one_that_was_stopped_goes_on_and_ends_with_the_same_bytes(tmp_path, array, write):
    path, _ = write(tmp_path, array)
    whole = converted(path, tmp_path / "whole")
    seen = []

    def stop(done, total, n):
        seen.append(done)
        if len(tuple((tmp_path / "shards").glob("*.npy"))) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converted(path, tmp_path / "shards", on_progress=stop)
    with pytest.raises(DataError, match="not finished"):
        open_images(tmp_path / "shards")
    n_before, seen = len(seen), []
    converted(path, tmp_path / "shards", on_progress=lambda done, total, n: seen.append(done))
    assert len(seen) < n_before + len(seen) <= N + 2, "what was whole is not converted again"
    names = sorted(file.name for file in (tmp_path / "whole").iterdir())
    assert names == sorted(file.name for file in (tmp_path / "shards").iterdir())
    for name in names:
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "shards" / name).read_bytes(), name
    assert whole.fingerprint == open_images(tmp_path / "shards").fingerprint


@pytest.mark.slow
def test_one_that_is_killed_at_any_moment_goes_on(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 256, (60_000, 16, 16), dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    command = [sys.executable, "-m", "isthmus", "data", "convert", "a.npy", "-o", "shards", "--shard-size", "1"]
    for _ in range(12):
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
        time.sleep(0.6 + 0.3 * rng.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert subprocess.run(command, cwd=tmp_path, capture_output=True).returncode in (0, 2)  # 2: it had been done
    np.testing.assert_array_equal(open_images(tmp_path / "shards").pixels[:][:, 0], array)
    assert not [*tmp_path.glob("shards/.*.tmp"), *tmp_path.glob("shards/parts")]


# --- preparation ---


def test_images_are_prepared_as_open_images_does(tmp_path, array):
    path, _ = as_folder(tmp_path, array)
    framing = Framing(resize=(8, 8), crop=(6, 6), grey=True)
    images = converted(path, tmp_path / "shards", framing)
    np.testing.assert_array_equal(images.pixels[:], open_images(path, resize=(8, 8), crop=(6, 6), grey=True).pixels)


def test_numbers_of_a_range_become_floats(tmp_path, array):
    path, _ = as_npy(tmp_path, array.astype(np.int32) * 16)
    images = converted(path, tmp_path / "shards", Framing(value_range=(0, 4080)))
    assert images.pixels.dtype == np.float32
    np.testing.assert_allclose(images.pixels[:], array / np.float32(255), atol=1e-7)


@pytest.mark.parametrize(("dtype", "off"), [("uint8", 0.5 / 255), ("float16", 5e-4), ("float32", 0), (None, 0)])
def test_sixteen_bits_stay_unless_fewer_are_asked_for(tmp_path, array, dtype, off):
    deep = (array[:, 0].astype(np.uint16) << 8) + 77
    path, _ = as_npy(tmp_path, deep)
    images = converted(path, tmp_path / "shards", dtype=dtype)
    assert images.pixels.dtype == (dtype or "float32")
    assert np.abs(images.floats() - deep.reshape(N, -1) / np.float32(65535)).max() <= off + 1e-7


def mixed(folder, array, first=0):
    """Grey images, and colour ones from a place on."""
    path, _ = as_folder(folder, array)
    for i, file in enumerate(sorted(path.rglob("*.png"), key=lambda file: int(file.stem))):
        if i < first:
            file.write_bytes(png(array[i][:1]))
    return path


def test_grey_images_among_colour_ones_become_rgb(tmp_path, array):
    images = converted(mixed(tmp_path, array, first=5), tmp_path / "shards")
    np.testing.assert_array_equal(images.pixels[:5], np.repeat(array[:5, :1], 3, axis=1))
    np.testing.assert_array_equal(images.pixels[5:], array[5:])


def test_colour_that_comes_unexpectedly_is_refused_with_both_ways_out(tmp_path, array, monkeypatch):
    monkeypatch.setattr(file_source, "_SAMPLED", 1)
    path = mixed(tmp_path, array, first=5)
    with pytest.raises(DataError, match=r"5\.png is in colour, and others are grey; choose --colour .* or --grey"):
        converted(path, tmp_path / "shards")
    assert converted(path, tmp_path / "shards", colour=True, force=True).shape == (3, 6, 5)


# --- wrong input ---


def test_images_of_several_sizes_are_refused_by_name(tmp_path, array):
    path, _ = as_folder(tmp_path, array)
    (path / "b" / "15.png").write_bytes(png(array[0][:, :4]))
    with pytest.raises(DataError, match=r"b/15.png has 4×5 pixels, and those before it 6×5; choose --resize 6x5"):
        converted(path, tmp_path / "shards")
    assert len(converted(path, tmp_path / "shards", Framing(resize=(3, 3)), force=True)) == N


@pytest.mark.parametrize("write", [as_folder, as_tar, as_parquet], ids=lambda write: write.__name__)
def test_a_damaged_image_is_named_or_left_out(tmp_path, array, monkeypatch, write):
    sound = png

    def damaged(image):
        return sound(image)[:60] if (image == array[17]).all() else sound(image)

    monkeypatch.setitem(globals(), "png", damaged)
    path, _ = write(tmp_path, array)
    with pytest.raises(DataError, match=r"(17|row 17).* is a damaged image.*--skip-bad leaves it out"):
        converted(path, tmp_path / "shards")
    images = converted(path, tmp_path / "shards", skip_bad=True, force=True)
    np.testing.assert_array_equal(images.pixels[:], np.delete(array, 17, axis=0))
    assert any("1 unreadable file left out" in note and "17" in note for note in images.notes)


@pytest.mark.parametrize("write", [as_npy, as_tar, as_parquet, as_arrow], ids=lambda write: write.__name__)
@pytest.mark.parametrize("keep", [0, 20, 0.6])
def test_a_source_that_is_cut_off_is_refused(tmp_path, array, write, keep):
    path, _ = write(tmp_path, array)
    file = path if path.is_file() else sorted(path.glob("*[0-9].*"))[-1]
    size = file.stat().st_size
    os.truncate(file, int(keep * size) if keep < 1 else keep)
    with pytest.raises(DataError, match=file.name):
        converted(path, tmp_path / "shards")


def test_what_is_there_is_never_replaced_unasked(tmp_path, array):
    path, _ = as_npy(tmp_path, array)
    converted(path, tmp_path / "shards")
    with pytest.raises(RequestError, match="already holds shards; choose another -o, or add --force"):
        converted(path, tmp_path / "shards")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("a")
    with pytest.raises(RequestError, match="holds no shards"):
        converted(path, other, force=True)
    assert (other / "thesis.txt").read_text() == "a"


def test_one_that_was_refused_before_a_shard_was_whole_may_be_asked_for_otherwise(tmp_path, array):
    path, _ = as_folder(tmp_path, array)
    (path / "a" / "2.png").write_bytes(png(array[0][:, :4]))
    with pytest.raises(DataError, match="choose --resize 6x5"):
        converted(path, tmp_path / "shards", shard_bytes=10**6)
    assert len(converted(path, tmp_path / "shards", Framing(resize=(6, 5)), shard_bytes=10**6)) == N


def test_one_that_was_killed_when_all_was_written_is_done(tmp_path, array, monkeypatch):
    path, _ = as_npy(tmp_path, array)
    monkeypatch.setattr(conversion, "remove", lambda place: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        converted(path, tmp_path / "shards")
    monkeypatch.undo()
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))
    np.testing.assert_array_equal(converted(path, tmp_path / "shards").pixels[:], array)
    names = {file.name for file in (tmp_path / "shards").iterdir()}
    assert not names & {"conversion.json", "parts"}


def test_the_beginning_of_another_conversion_is_not_gone_on_with(tmp_path, array):
    path, _ = as_npy(tmp_path, array)

    def stop(done, total, n):
        if list((tmp_path / "shards" / "parts").glob("*.json")):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        converted(path, tmp_path / "shards", on_progress=stop)
    with pytest.raises(RequestError, match="another conversion"):
        converted(path, tmp_path / "shards", dtype="float16")
    np.save(path, array[:20])
    with pytest.raises(RequestError, match="another conversion"):
        converted(path, tmp_path / "shards")
    assert len(converted(path, tmp_path / "shards", force=True)) == 20


def test_too_little_room_is_seen_before_anything_is_written(tmp_path, array, monkeypatch):
    path, _ = as_npy(tmp_path, array)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda folder: type("", (), {"free": 1000})())
    with pytest.raises(RequestError, match=r"GB are needed, and 0\.0 GB are free"):
        converted(path, tmp_path / "shards")
    assert not list((tmp_path / "shards").glob("*.npy"))


def test_a_shard_that_is_not_what_was_written_is_seen(tmp_path, array, monkeypatch):
    path, _ = as_npy(tmp_path, array)
    monkeypatch.setattr(conversion, "save_array", lambda file, pixels: np.save(file, pixels ^ 1))
    with pytest.raises(RunError, match=r"00000\.npy is not what was written"):
        converted(path, tmp_path / "shards")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"dtype": "int16"}, "dtype must be uint8, float16 or float32, got 'int16'"),
        ({"framing": Framing(patches=(2, 2))}, "shards hold whole images; without --patches"),
        ({"image": "x"}, "--image-column and --label-column are of Parquet and Arrow"),
        ({"shard_bytes": 0}, "the size of a shard must be at least 1 byte"),
    ],
    ids=str,
)
def test_requests_that_cannot_be_met(tmp_path, array, options, error):
    path, _ = as_npy(tmp_path, array)
    with pytest.raises(RequestError, match=error):
        converted(path, tmp_path / "shards", **options)


def test_columns_may_be_named_and_are_looked_for(tmp_path, array):
    parquet = pytest.importorskip("pyarrow.parquet")
    table = table_of(array, other=[str(i) for i in range(N)])
    parquet.write_table(table.rename_columns(["scan", "grade", "other"]), tmp_path / "a.parquet")
    path = tmp_path / "a.parquet"
    with pytest.raises(DataError, match="has the columns scan, grade, other; say --image-column"):
        converted(path, tmp_path / "shards")
    with pytest.raises(RequestError, match="there is no scans; known: scan, grade, other"):
        converted(path, tmp_path / "shards", image="scans")
    images = converted(path, tmp_path / "shards", image="scan", label="grade")
    assert images.label_names == ("a", "b", "c")


def test_a_data_set_of_several_parts_asks_for_one(tmp_path, array):
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / "dataset_dict.json").write_text("{}")
    for part in ("train", "test"):
        (folder / part).mkdir()
    with pytest.raises(RequestError, match=r"holds the parts test, train; give one of them, like .*both/test"):
        converted(folder, tmp_path / "shards")


def test_without_pyarrow_it_is_asked_for_by_name(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(RequestError, match=r'pip install "isthmus\[tables\]"'):
        converted(tmp_path / "a.parquet", tmp_path / "shards")


def test_an_idx_file_has_its_labels(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx_bytes(pixels))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(12, dtype=np.uint8)))
    images = converted(tmp_path / "train-images-idx3-ubyte", tmp_path / "shards")
    np.testing.assert_array_equal(images.pixels[:][:, 0], pixels)
    np.testing.assert_array_equal(images.labels, np.arange(12))


@pytest.mark.parametrize("name", ["a\nb.png", "a\"é'.png", "ünï/c,d.png"])
def test_names_come_back_as_they_were(tmp_path, array, name):
    path = tmp_path / "images" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(png(array[0]))
    (tmp_path / "images" / "z.png").write_bytes(png(array[1]))
    assert set(converted(tmp_path / "images", tmp_path / "shards").names) == {name, "z.png"}


def test_images_in_memory_keep_all_that_is_known_of_them(tmp_path, array):
    path, _ = as_folder(tmp_path, array)
    images = open_images(path, grey=True)
    stored = convert(file_source.ImagesSource(images), tmp_path / "shards", shard_bytes=300)
    np.testing.assert_array_equal(stored.pixels[:], images.pixels)
    np.testing.assert_array_equal(stored.identities, images.identities)
    assert (stored.names, stored.label_names) == (images.names, images.label_names)
    assert stored.labels.tolist() == images.labels.tolist()


def test_many_small_pieces_are_not_gone_through_for_each(tmp_path):
    """The sizes of those that wait were added up again for every image: of a folder of 300,000, half an hour."""

    class Counted(np.ndarray):
        asked = 0

        @property
        def nbytes(self):
            Counted.asked += 1
            return self.size

    class Pieces:
        words, n, label_names, facts, notes = "pieces", 300, (), None, ()

        def form(self):
            return 1, False

        def pieces(self, position):
            image = np.zeros((1, 1, 4, 4), np.uint8).view(Counted)
            return (Converted(i + 1, image) for i in range(position, self.n))

    assert len(convert(Pieces(), tmp_path / "shards", shard_bytes=100_000)) == 300
    assert Counted.asked <= 2 * 300


@pytest.mark.parametrize("n", [0, 2, 40])
def test_labels_of_other_images_are_refused(tmp_path, array, n):
    np.savez(tmp_path / "a.npz", images=array, labels=np.zeros(n, np.int64))
    with pytest.raises(DataError, match=rf"{N} images and {n} labels"):
        converted(tmp_path / "a.npz", tmp_path / "shards")


@pytest.mark.parametrize(
    "array", [np.zeros((0, 4, 4), np.float32), np.zeros((0, 4, 4), np.uint8), np.float32(3)], ids=str
)
def test_arrays_without_images_are_refused(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=r"a\.npy"):
        converted(tmp_path / "a.npy", tmp_path / "shards")


def test_what_was_done_to_the_images_is_noted_as_by_open_images(tmp_path, array):
    path = mixed(tmp_path, array, first=5)
    deep = np.random.default_rng(0).integers(0, 4096, (N, 6, 5)).astype(np.uint16)
    np.save(tmp_path / "deep.npy", deep)
    np.save(tmp_path / "last.npy", np.zeros((8, 8, 200), np.uint8))
    for source in (path, tmp_path / "deep.npy", tmp_path / "last.npy"):
        expected = open_images(source).notes
        assert expected
        assert converted(source, tmp_path / "shards", force=True).notes == expected


@pytest.mark.parametrize("place", [0.3, 0.7, 0.97])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_compressed_tar_is_named(tmp_path, array, damage, place):
    path, _ = as_compressed_tar(tmp_path, array)
    data = bytearray((path / "1.tgz").read_bytes())
    at = int(place * len(data))
    if damage == "cut":
        del data[at:]
    else:
        data[at] ^= 0x5A
    (path / "1.tgz").write_bytes(data)
    with pytest.raises(DataError, match=r"1\.tgz is not a whole tar file \(.*\); fetch it again"):
        converted(path, tmp_path / "shards", skip_bad=True)
    with pytest.raises(DataError, match=r"1\.tgz"):  # or the image that is damaged by that
        converted(path, tmp_path / "others")


def test_a_tar_with_a_damaged_header_is_not_taken_for_a_shorter_one(tmp_path, array):
    path, _ = as_tar(tmp_path, array)
    data = bytearray((path / "0.tar").read_bytes())
    data[data.index(b"s/0007.png")] ^= 1
    (path / "0.tar").write_bytes(data)
    with pytest.raises(DataError, match=r"0\.tar is not a whole tar file \(a header is damaged, .*\); fetch it again"):
        converted(path, tmp_path / "shards")


def test_a_target_that_is_a_file_is_refused(tmp_path, array):
    path, _ = as_npy(tmp_path, array)
    (tmp_path / "shards").write_text("a")
    with pytest.raises(RequestError, match="shards is a file; choose another -o"):
        converted(path, tmp_path / "shards")


def test_a_column_of_text_is_no_column_of_images(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"image": ["a.png", "b.png"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="its column image holds string, and images are the bytes of files"):
        converted(tmp_path / "a.parquet", tmp_path / "shards")


def test_a_sample_without_an_image_is_named_or_left_out(tmp_path, array):
    path, _ = as_tar(tmp_path, array)
    with tarfile.open(path / "1.tar", "a") as tar:
        member = tarfile.TarInfo("s/other.txt")
        tar.addfile(member, io.BytesIO())
    with pytest.raises(DataError, match=r"s/other: of \.txt none is an image.*--skip-bad leaves it out"):
        converted(path, tmp_path / "shards")
    images = converted(path, tmp_path / "shards", skip_bad=True, force=True)
    assert len(images) == N
    assert any("s/other" in note for note in images.notes)
