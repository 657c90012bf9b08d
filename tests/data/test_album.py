"""Photographs of a folder from the cache on disk: the same bits as in memory, in little memory, whatever breaks."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from isthmus.data.collections.collection import listing_of
from isthmus.data.framing import Framing
from isthmus.data.photographs import album, pixel_sources
from isthmus.data.photographs.album import open_album
from isthmus.data.photographs.crops import Crops
from isthmus.data.photographs.image_list import image_list, of_album
from isthmus.errors import DataError, DoubtWarning

CPU = torch.device("cpu")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, in which small folders have entries too, with checksums of few bytes."""
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(album, "WORTH_BYTES", 0)
    monkeypatch.setattr(album, "RESERVE", 0)
    for module in (album, pixel_sources):
        monkeypatch.setattr(module, "BLOCK", 256)
    return tmp_path / "cache" / "photographs"


def make(folder, kind="mixed"):
    """Eight photographs of as many sizes: 8 bits, or 8 and 16, grey and colour, and a TIFF of two pages."""
    stream = np.random.default_rng(0)
    folder.mkdir()
    for i in range(6):
        shape = (30 + i, 40 - i, 3)[: 2 if kind == "mixed" and i % 2 else 3]
        Image.fromarray(stream.integers(0, 256, shape, np.uint8)).save(folder / f"{i}.png")
    if kind == "mixed":
        tifffile.imwrite(folder / "6.tif", stream.integers(0, 65536, (2, 21, 25), np.uint16), photometric="minisblack")
    return folder


def opened(folder, *, framing=Framing(), **options):  # noqa: B008  # frozen
    return of_album(open_album(listing_of(folder), framing, **options))


def crops_of(images, n=300):
    return Crops(images, 24, n, CPU, scale=images.span(), seed=1).batch(slice(0, n))


FRAMINGS = [Framing(), Framing(grey=True), Framing(value_range=(3, 200))]


@pytest.mark.parametrize("kind", ["mixed", "8 bits"])
@pytest.mark.parametrize("framing", FRAMINGS, ids=lambda framing: framing.words())
def test_crops_are_those_of_memory_to_the_bit(kind, framing, cache, tmp_path, monkeypatch):
    folder = make(tmp_path / "photos", kind)
    first, again = opened(folder, framing=framing), opened(folder, framing=framing)
    assert again.album.entry.is_dir()
    as_needed = opened(make(tmp_path / "others", kind), framing=framing, cache=False)
    assert as_needed.album.entry is None
    monkeypatch.setattr(album, "WORTH_BYTES", 1 << 30)
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "nothing"))
    in_memory = opened(folder, framing=framing)
    assert not (tmp_path / "nothing").exists()
    pages = [framing.pixels(page, "")[0] for page in pages_of(folder)]
    for images in (first, again, as_needed, in_memory):
        assert images.fingerprint == in_memory.fingerprint
        assert images.span() == in_memory.span()
        assert images.album.marks.tolist() == in_memory.album.marks.tolist()
        assert torch.equal(crops_of(images), crops_of(in_memory))
        for i, page in enumerate(pages):
            floats = page * np.float32(images.unit) if images.unit < 1 else in_floats(page)
            assert np.array_equal(images.floats(i), np.broadcast_to(floats, images.arrays[i].shape))


def pages_of(folder):
    from isthmus.data.formats.image_file import read_pages

    return [page for path in listing_of(folder).paths() for page in read_pages(path)]


def in_floats(pixels):
    return pixels / np.float32(255) if pixels.dtype == np.uint8 else pixels


def test_numbers_keep_their_type_on_disk(cache, tmp_path):
    folder = make(tmp_path / "photos")
    entry = opened(folder).album.entry
    stored = sum(page.pixels.nbytes for page in pages_of(folder))
    assert (entry / "pixels.bin").stat().st_size == stored
    assert {page.pixels.itemsize for page in pages_of(folder)} == {1, 2}


def test_the_second_fit_decodes_nothing(cache, tmp_path, monkeypatch):
    folder = make(tmp_path / "photos")
    before = crops_of(opened(folder))
    for module in (album, pixel_sources):
        monkeypatch.setattr(module, "iterate_pages", None)
    assert torch.equal(crops_of(opened(folder)), before)


def test_a_file_that_changed_is_read_again_in_the_same_place(cache, tmp_path):
    folder = make(tmp_path / "photos")
    first = opened(folder)
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(folder / "0.png")
    second = opened(folder)
    assert second.fingerprint != first.fingerprint
    assert second.album.entry == first.album.entry
    assert not second.floats(0).any()
    assert first.floats(0).any()  # a fit that is running reads on what it had


def flip(path, at=-20):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", ["pixels", "pixels.bin is short", "index", "index.json is no JSON", "no pixels.bin"])
def test_a_damaged_entry_is_made_again(damage, cache, tmp_path):
    folder = make(tmp_path / "photos")
    before, first = crops_of(opened(folder)), opened(folder)
    pixels, index = first.album.entry / "pixels.bin", first.album.entry / "index.json"
    if damage == "pixels":
        flip(pixels)
        with pytest.warns(DoubtWarning, match="damaged, and was removed"):
            assert torch.equal(crops_of(opened(folder)), before)
        assert not pixels.exists()
    elif damage == "pixels.bin is short":
        os.truncate(pixels, 1000)
        with pytest.warns(DoubtWarning, match="damaged, and was removed"):  # while it is used
            assert torch.equal(crops_of(first), before)
        assert not pixels.exists()
    elif damage == "index":
        flip(index)
    elif damage == "index.json is no JSON":
        index.write_text("{")
    else:
        pixels.unlink()
    assert torch.equal(crops_of(opened(folder)), before)
    assert pixels.stat().st_size == json.loads(index.read_text())["bytes"]


def test_a_full_disk_leaves_no_entry_and_photographs_are_decoded(cache, tmp_path):
    folder = make(tmp_path / "photos", "8 bits")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))  # as a disk that is full after so many bytes
    try:
        images = opened(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert images.album.entry is None
    assert list(cache.iterdir()) == []
    assert (
        "cannot be written: File too large; photographs are decoded whenever they are needed" in images.album.notes[0]
    )
    assert torch.equal(crops_of(images), crops_of(opened(folder)))


def test_where_there_is_no_room_nothing_is_written(cache, tmp_path, monkeypatch):
    folder = make(tmp_path / "photos", "8 bits")
    monkeypatch.setattr(album, "RESERVE", 1 << 60)
    with pytest.warns(DoubtWarning, match="are needed for a cache, and .* are free"):
        images = image_list(folder, cache=True)
    assert list(cache.iterdir()) == []
    monkeypatch.setattr(album, "RESERVE", 0)
    assert torch.equal(crops_of(images), crops_of(image_list(folder, cache=True)))


def test_the_least_used_entries_make_room(cache, tmp_path, monkeypatch):
    first, second = opened(make(tmp_path / "a")).album.entry, opened(make(tmp_path / "b")).album.entry
    os.utime(second, (1, 1))
    needed, free = 10_000, 5_000
    monkeypatch.setattr(album.shutil, "disk_usage", lambda _: os.statvfs(tmp_path) and Usage(free, first, second))
    assert album._make_room(cache / "new", needed) == ""
    assert first.exists()
    assert not second.exists()


class Usage:
    """A disk with some bytes free, and those of removed entries."""

    def __init__(self, free, *entries):
        self.free = free + 1_000_000 * sum(not entry.exists() for entry in entries)


def test_without_a_cache_folder_photographs_are_decoded(cache, tmp_path):
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.warns(DoubtWarning, match="cannot be written"):
        images = image_list(make(tmp_path / "photos", "8 bits"), cache=True)
    assert crops_of(images).std() > 0.1


def test_bad_files_are_errors_or_left_out_each_time(cache, tmp_path):
    folder = make(tmp_path / "photos")
    (folder / "3.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"3\.png is not a PNG.*--skip-bad"):
        opened(folder)
    assert list(cache.iterdir()) == []
    for _ in range(2):
        images = opened(folder, skip_bad=True)
        assert len(images) == 7
        assert "3.png" in images.album.left_out[0]
    for path in folder.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 7 files"):
        opened(folder, skip_bad=True)


def test_floats_that_are_no_numbers_are_refused(cache, tmp_path):
    folder = make(tmp_path / "photos")
    tifffile.imwrite(folder / "7.tif", np.full((60, 60), np.nan, np.float32))
    with pytest.raises(DataError, match=r"7\.tif has 3,600 of 3,600 pixels that are NaN"):
        opened(folder)


def test_frames_of_an_animation_are_photographs(cache, tmp_path):
    folder = make(tmp_path / "photos", "8 bits")
    frames = [Image.fromarray(np.full((40, 50), 60 * i, np.uint8)) for i in range(4)]
    frames[0].save(folder / "7.gif", save_all=True, append_images=frames[1:])
    images = opened(folder)
    assert images.names[-4:] == ("7.gif#1", "7.gif#2", "7.gif#3", "7.gif#4")
    assert [int(images.arrays[i][:, 5:6, 5:6].max()) for i in range(6, 10)] == [0, 60, 120, 180]


def test_a_fit_that_is_interrupted_leaves_nothing(cache, tmp_path):
    def interrupt(done, n):
        if done == 3:
            raise KeyboardInterrupt

    folder = make(tmp_path / "photos")
    with pytest.raises(KeyboardInterrupt):
        opened(folder, on_progress=interrupt)
    assert list(cache.iterdir()) == []


def test_two_fits_write_at_once_and_what_a_killed_one_left_goes(cache, tmp_path):
    folder = make(tmp_path / "photos")
    code = """
        import sys
        from pathlib import Path
        from isthmus.data.photographs import album
        from isthmus.data.collections.collection import listing_of
        from isthmus.data.framing import Framing
        album.WORTH_BYTES = album.RESERVE = 0
        album.BLOCK = 256
        def pause(done, n):
            if done == 2:
                print("ready", flush=True)
                sys.stdin.read()
        print(album.open_album(listing_of(Path(sys.argv[1])), Framing(), on_progress=pause).entry)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as killed, subprocess.Popen(command, **pipes) as other:
        for process in (killed, other):
            assert process.stdout.readline() == "ready\n"
        ours = crops_of(opened(folder))
        killed.kill()
        entry = other.communicate("")[0].strip()
    assert [str(path) for path in cache.iterdir() if path.suffix != ".tmp"] == [entry]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(crops_of(opened(folder)), ours)
    opened(make(tmp_path / "others"))
    assert not [path for path in cache.iterdir() if path.suffix == ".tmp"]


def test_pairs_of_folders_are_read_together(cache, tmp_path):
    X, Y = opened(make(tmp_path / "a")), opened(make(tmp_path / "b", "8 bits"))
    with pytest.raises(DataError, match="X has 8 images and Y 6"):
        X.beside(Y)
    both = Y.beside(Y)
    assert both.channels == 6
    crop = both.arrays[2][:, 3:9, 4:20]
    assert np.array_equal(crop[:3], Y.arrays[2][:, 3:9, 4:20])
    assert np.array_equal(crop[3:], crop[:3])


def write_scans(folder, names, seed=0):
    """Files of 20×20, one for each name, whose pixels tell of the name's number."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        grey = np.full((20, 20), 10 * int("".join(c for c in name if c.isdecimal())), np.uint8)
        Image.fromarray(grey).save(folder / name)
    return folder


@pytest.mark.parametrize(
    ("names", "others", "words"),
    [
        (
            ["scan01.png", "scan03.png"],
            ["scan01.png", "scan04.png"],
            r"scan03\.png beside scan04\.png: X and Y go toge",
        ),
        (["scan02.png", "scan03.png"], ["scan01.png", "scan02.png"], r"scan02\.png beside scan01\.png"),
        (["a/1.png", "b/2.png"], ["a/1.png", "a/2.png"], r"b/2\.png beside a/2\.png"),
        (["1.png", "2.png", "3.png"], ["1.png", "3.png"], r"X has 3 images and Y 2; 2\.png beside 3\.png; give a pair"),
        (["1.png", "2.png"], ["1.png"], r"X has 2 images and Y 1; 2\.png beside nothing; give a pair"),
    ],
)
def test_pairs_of_other_names_are_refused(cache, tmp_path, names, others, words):
    """Of each folder another file is missing: by place alone, all that come after would be pairs of other scenes."""
    from isthmus import Denoiser, Residual, open_images

    X, Y = write_scans(tmp_path / "noisy", names), write_scans(tmp_path / "clean", others)
    model = Denoiser(Residual(4, 4), crop=16, crops_per_epoch=16, epochs=1)
    with pytest.raises(DataError, match=words):
        model.fit(X, Y)
    with pytest.raises(DataError, match=words):
        model.fit(open_images(X), open_images(Y))


@pytest.mark.parametrize(
    ("names", "others"),
    [
        (["scan01.png", "scan02.png"], ["scan01.tif", "Scan02.TIF"]),
        (["noisy01.png", "noisy02.png"], ["clean01.png", "clean02.png"]),
        (["a/1.png", "b/2.png"], ["a/1.jpg", "b/2.jpg"]),
    ],
)
def test_pairs_of_the_same_names_or_of_others_go_by_their_order(cache, tmp_path, names, others):
    X, Y = opened(write_scans(tmp_path / "noisy", names)), opened(write_scans(tmp_path / "clean", others))
    both = X.beside(Y)
    for i, x in enumerate(both.arrays):
        pixels = np.asarray(x)
        assert pixels.shape == (2, 20, 20)
        assert np.abs(pixels - 10.0 * (i + 1)).max() <= 1
