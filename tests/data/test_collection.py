"""Any folder becomes Images: what was in the files, in order, with labels and notes, or an error that helps."""

import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from isthmus import open_images
from isthmus.data.collections import pixel_cache, reader_pool, reader_process, stack
from isthmus.data.framing import Framing
from isthmus.errors import RequestError, SkippedWarning

RNG = np.random.default_rng(0)

pytestmark = pytest.mark.usefixtures("own_cache")


# --- folders ---


def test_a_folder_in_natural_order_without_what_is_hidden(folder, store):
    order = ["B.png", "a/1.bmp", "a/2.webp", "a/10.tif", "a/c/x.jpeg", "img9.PNG", "img10.png"]
    for name in RNG.permutation(order):
        store(folder / name, (6, 8, 3))
    store(folder / ".hidden.png")
    store(folder / ".thumbs" / "t.png")
    (folder / "notes.txt").write_text("hello")
    images = open_images(folder)
    assert list(images.names) == ["a/1.bmp", "a/2.webp", "a/10.tif", "a/c/x.jpeg", "B.png", "img9.PNG", "img10.png"]
    assert images.shape == (3, 6, 8)
    assert images.labels is None
    assert images.notes == ("1 other file left out (1 .txt)",)
    assert images.source == str(folder)


def test_numpys_integers_are_integers(folder, store):
    for i in range(3):
        store(folder / f"{i}.png", (20, 20))
    python = open_images(folder, patches=(4, 4), patches_per_image=3, seed=5)
    numpys = open_images(folder, patches=(np.int64(4), 4), patches_per_image=np.int64(3), seed=np.int64(5))
    np.testing.assert_array_equal(numpys.pixels, python.pixels)
    with pytest.raises(RequestError, match=r"seed must be an integer of at least 0, got 0\.5"):
        open_images(folder, patches=(4, 4), patches_per_image=3, seed=0.5)


def test_every_image_is_at_its_name(folder, store):
    pixels = {f"{i}/{j}.png": store(folder / f"{i}/{j}.png") for i in range(3) for j in range(40)}
    images = open_images(folder, threads=2)
    assert set(images.names) == set(pixels)
    for name, image in zip(images.names, images.pixels, strict=True):
        np.testing.assert_array_equal(image[0], pixels[name])


def test_class_folders_are_labels(folder, store):
    for name in ("cat/1.png", "cat/deep/2.png", "Dog/1.png", "dog10/1.png", "dog9/1.png"):
        store(folder / name)
    images = open_images(folder)
    assert images.label_names == ("cat", "Dog", "dog9", "dog10")
    assert [images.label_names[i] for i in images.labels] == [name.split("/")[0] for name in images.names]


@pytest.mark.parametrize("names", [("a/1.png", "2.png"), ("a/1.png", "a/2.png"), ("1.png",)])
def test_other_folders_have_no_labels(folder, names, store):
    for name in names:
        store(folder / name)
    assert open_images(folder).labels is None


def test_links_to_files_are_followed_and_loops_are_not(folder, tmp_path, store):
    pixels = store(tmp_path / "elsewhere.png")
    folder.mkdir()
    (folder / "link.png").symlink_to(tmp_path / "elsewhere.png")
    (folder / "up").symlink_to(folder)
    images = open_images(folder)
    np.testing.assert_array_equal(images.pixels[0, 0], pixels)
    assert images.notes == ("1 link to folders not followed",)


def test_what_isthmus_drew_itself_is_nobodys_image(folder, store, said):
    for name in ("a.png", "preview.png", "model/preview.png", "clean/preview.png", "clean/b.png", "other/preview.png"):
        store(folder / name)
    for name in ("s/maps/a.png", "s/most-unusual.png"):
        store(folder / name)
    for name in ("model/config.json", "model/model.safetensors"):
        (folder / name).write_text("{}")
    (folder / "clean/isthmus.json").write_text('{"drawn": ["preview.png"]}')
    (folder / "s/isthmus.json").write_text('{"drawn": ["maps", "most-unusual.png"]}')
    (folder / "other/isthmus.json").write_text("no JSON")
    images = open_images(folder)
    assert list(images.names) == ["a.png", "clean/b.png", "other/preview.png", "preview.png"]
    assert any("left out, as a preview of a model or of results: " in note for note in images.notes)
    assert "no images" in said(folder / "model")


def test_a_file_of_another_kind_is_refused_by_its_name(tmp_path, said):
    for name, start, kind in (("a.heic", b"\0\0\0\x18ftypheic", "a HEIC image"), ("b.pdf", b"%PDF-1.7", "a PDF")):
        (tmp_path / name).write_bytes(start + bytes(40))
        assert said(tmp_path / name).startswith(f"{tmp_path / name} is {kind}, which is not read; convert it to PNG")


def test_odd_paths(tmp_path, store):
    folder = tmp_path / "with space" / "данные 数据" / ("é" * 100)
    pixels = store(folder / ("x" * 200 + ".png"))
    np.testing.assert_array_equal(open_images(str(folder)).pixels[0, 0], pixels)


def test_a_folder_without_images_says_what_it_holds(tmp_path, said):
    assert "holds no files and no images" in said(tmp_path)
    for name in ("a.txt", "b.txt", "README"):
        (tmp_path / name).write_text("x")
    assert "other files (2 .txt, 1 no ending) and no images; known: .bmp" in said(tmp_path)


def test_a_folder_of_a_kind_that_is_not_read_names_it_and_the_way_out(tmp_path, said):
    (tmp_path / "a.txt").write_text("notes")
    for name in ("b/IMG 2.HEIC", "b/IMG 1.HEIC"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    line = said(tmp_path)
    assert line.startswith(f"{tmp_path} holds other files (2 .heic, 1 .txt) and no images; b/IMG ")
    assert line.endswith(".HEIC is a HEIC image, which is not read; convert such files to PNG or TIFF")


def test_a_missing_path_suggests_the_nearest(tmp_path, said):
    (tmp_path / "photos").mkdir()
    assert said(tmp_path / "fotos") == f'{tmp_path}/fotos does not exist; did you mean "{tmp_path}/photos"?'
    assert "is not a folder" in said(tmp_path / "none" / "photos")
    assert "got int" in said(3)


def test_one_file_one_image_one_colour(folder, store):
    pixels = store(folder / "a.png", (1, 1))
    images = open_images(folder / "a.png")
    assert (images.names, images.pixels.tolist()) == (("a.png",), pixels[None, None].tolist())
    Image.fromarray(np.full((30, 30), 77, np.uint8)).save(folder / "flat.png")
    for options in ({}, {"resize": (7, 50)}, {"crop": (3, 3)}, {"patches": (8, 8)}):
        assert np.unique(open_images(folder / "flat.png", **options).pixels).tolist() == [77]


def test_grey_beside_colour_and_deep_beside_shallow(folder, store):
    grey, colour = store(folder / "1.png"), store(folder / "2.png", (6, 8, 3))
    images = open_images(folder)
    np.testing.assert_array_equal(images.pixels[0], np.stack([grey] * 3))
    np.testing.assert_array_equal(images.pixels[1], colour.transpose(2, 0, 1))
    assert images.notes == ("grey and colour images together: all became RGB",)
    deep = store(folder / "3.png", dtype=np.uint16)
    images = open_images(folder)
    np.testing.assert_allclose(images.pixels[0, 2], grey / 255, atol=1e-7)
    np.testing.assert_allclose(images.pixels[2, 1], deep / 65535, atol=1e-7)
    assert images.notes[1] == "8 and 16 bits together: all became floats"


def test_notes_count_files(folder, store):
    for i in range(3):
        store(folder / f"{i}.png", (6, 8, 4))
    assert open_images(folder).notes == ("3 files: an alpha channel was ignored",)


def test_progress_ends_at_all(folder, fill):
    fill(folder, 70)
    for threads in (1, 2):
        heard = []
        open_images(folder, threads=threads, on_progress=lambda *step: heard.append(step))  # noqa: B023
        assert heard == [(i + 1, 70) for i in range(70)]


# --- sizes ---


def test_sizes_that_differ_are_listed(folder, store, said):
    for i in range(9):
        for _ in range(i + 1):
            store(folder / f"{i}-{RNG.integers(1 << 40)}.png", (5 + i, 8))
    line = said(folder)
    assert "images of 9 sizes: 13×8 (9), 12×8 (8), 11×8 (7), 10×8 (6), 9×8 (5), and 4 more; choose" in line
    assert all(word in line for word in ("--resize HxW", "--crop HxW", "--patches HxW"))


def test_resize_averages_and_does_not_alias(folder):
    stripes = np.zeros((64, 64), np.uint8)
    stripes[:, ::2] = 255
    folder.mkdir()
    Image.fromarray(stripes).save(folder / "a.png")
    Image.fromarray(stripes.astype(np.uint16) * 257).save(folder / "b.png")
    images = open_images(folder, resize=(10, 13))
    assert images.shape == (1, 10, 13)
    np.testing.assert_allclose(images.pixels, 0.5, atol=0.06)
    np.testing.assert_allclose(images.pixels[0], images.pixels[1], atol=0.004)
    assert len(np.unique(images.pixels[1])) > 5, "16 bits are resized as floats"


def test_resized_values_stay_in_range(folder):
    folder.mkdir()
    step = np.repeat([0, 65535], 8).astype(np.uint16)
    Image.fromarray(np.tile(step, (16, 1))).save(folder / "a.png")
    pixels = open_images(folder, resize=(40, 40)).pixels
    assert (pixels.min(), pixels.max()) == (0, 1)


def test_crop_takes_the_centre(folder, store, said):
    big, small = store(folder / "1.png", (9, 11)), store(folder / "2.png", (4, 6))
    images = open_images(folder, crop=(4, 5))
    np.testing.assert_array_equal(images.pixels[0, 0], big[2:6, 3:8])
    np.testing.assert_array_equal(images.pixels[1, 0], small[:, :5])
    line = said(folder, crop=(5, 5))
    assert "2.png has 4×6 pixels, fewer than --crop 5x5" in line


def test_patches_of_all_images(folder, store, said):
    first, second = store(folder / "a.png", (8, 8)), store(folder / "b.png", (4, 10))
    images = open_images(folder, patches=(4, 4))
    assert images.names == ("a.png",) * 9 + ("b.png",) * 4
    np.testing.assert_array_equal(images.pixels[4, 0], first[2:6, 2:6])
    np.testing.assert_array_equal(images.pixels[-1, 0], second[:, 6:])
    assert "b.png has 4×10 pixels, fewer than --patches 5x5" in said(folder, patches=(5, 5))


def test_random_patches_follow_the_seed(folder, fill):
    fill(folder, shape=(40, 40))
    first, again, other = (
        open_images(folder, patches=(4, 4), patches_per_image=7, seed=seed, threads=threads).fingerprint
        for seed, threads in ((0, 1), (0, 2), (1, 1))
    )
    assert first == again != other
    images = open_images(folder, patches=(4, 4), patches_per_image=7)
    assert len(images) == len(images.names) == 35
    assert len(np.unique(images.pixels, axis=0)) > 30


@pytest.mark.parametrize(
    "options",
    [
        {"patches": (4, 4)},
        {"patches": (4, 3), "patches_per_image": 7, "seed": 3},
        {"patches": (3, 4), "resize": (9, 11), "crop": (8, 9)},
    ],
)
@pytest.mark.parametrize("of", ["files", "cache", "array"])
def test_a_patch_knows_its_place(of, options, folder, own_cache, monkeypatch, store):
    whole = {name: options[name] for name in ("resize", "crop") if name in options}
    if of == "array":
        source = np.random.default_rng(1).integers(0, 256, (3, 10, 12), dtype=np.uint8)
        photographs = open_images(source, **whole).pixels
    else:
        monkeypatch.setattr(pixel_cache, "WORTH_FILES", 1)
        for i, shape in enumerate([(10, 12), (8, 10), (11, 9)]):
            store(folder / f"{i}.png", shape)
        (folder / "1b.png").write_bytes((folder / "1.png").read_bytes()[:60])  # damaged, and left out
        source = folder
        photographs = [open_images(folder / f"{i}.png", **whole).pixels[0] for i in range(3)]
    if of == "cache":  # which keeps nothing of a folder with damaged files
        (folder / "1b.png").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedWarning)
        for _ in range(2):
            images = open_images(source, skip_bad=True, **options)
    height, width = options["patches"]
    for patch, (number, row, column) in zip(images.pixels, images.places, strict=True):
        np.testing.assert_array_equal(patch, photographs[number][:, row : row + height, column : column + width])
    assert set(images.photographs) == {0, 1, 2}
    assert len(np.unique(images.places, axis=0)) > 10
    some = images.take(np.array([0, len(images) - 1]))
    assert some.photographs.tolist() == [0, 2]
    assert len(set(some.followed_by(some).photographs)) == 4


def test_too_many_patches_say_how_many(folder, monkeypatch, fill, said):
    fill(folder, shape=(40, 40))
    monkeypatch.setattr(stack, "MAX_PATCH_BYTES", 20_000)
    line = said(folder, patches=(8, 8))  # 9 × 9 of them in each of 5 images
    assert "405 patches of 1×8×8 are 25,920 bytes; the limit is 20,000" in line
    assert "--patches-per-image N" in line
    assert len(open_images(folder, patches=(8, 8), patches_per_image=60)) == 300


def test_more_images_than_the_memory_holds_are_refused_before_they_are_read(folder, monkeypatch, fill, said):
    fill(folder)
    monkeypatch.setattr(stack, "memory_limit", lambda: 200)
    assert "5 images of 1×6×8 are 240 bytes; the limit is 200, half of this machine's memory" in said(folder)


@pytest.mark.parametrize(
    "options",
    [
        {"resize": (0, 4)},
        {"resize": 4},
        {"crop": (4,)},
        {"patches": ("4", 4)},
        {"patches_per_image": 3},
        {"patches": (2, 2), "patches_per_image": 0},
        {"threads": 0},
    ],
)
def test_options_that_mean_nothing_are_refused(options, said):
    assert next(iter(options)) in said(np.zeros((2, 8, 8)), **options) or "patches_per_image" in options


# --- damage ---


@pytest.fixture
def damaged(folder, store):
    """1,000 images, and among them a truncated one, an empty one, and one that is no image."""
    store(folder / "0.png", (8, 8))
    content = (folder / "0.png").read_bytes()
    wrong = {300: content[:-30], 500: b"", 7: b"no image"}
    for i in range(1, 1000):
        if i in wrong:
            (folder / f"{i}.png").write_bytes(wrong[i])
        else:
            os.link(folder / "0.png", folder / f"{i}.png")
    return folder


def test_a_damaged_file_is_an_error_with_its_path(damaged, said):
    line = said(damaged)
    assert line.startswith(f"{damaged}/7.png is not a PNG")
    assert "--skip-bad" in line
    (damaged / "7.png").unlink()
    assert said(damaged).startswith(f"{damaged}/300.png is a damaged image")


def test_damaged_files_can_be_left_out(damaged, monkeypatch):
    monkeypatch.setattr(pixel_cache, "WORTH_FILES", 1)
    for _ in range(2):  # said again the second time
        with pytest.warns(SkippedWarning, match=r"3 unreadable files left out: 7\.png, 300\.png, 500\.png$"):
            images = open_images(damaged, skip_bad=True)
    assert len(images) == len(images.names) == 997
    assert not {"7.png", "300.png", "500.png"} & set(images.names)
    assert images.notes == ("3 unreadable files left out: 7.png, 300.png, 500.png",)
    with pytest.warns(SkippedWarning):
        patches = open_images(damaged, skip_bad=True, patches=(4, 4))
    assert len(patches) == 997 * 9


def test_a_pipe_is_refused_and_not_waited_for(folder, fill, said):
    fill(folder)
    os.mkfifo(folder / "5.png")
    assert "5.png: it is a pipe or a device, not a file (--skip-bad leaves it out)" in said(folder)
    assert "a pipe or a device" in said(folder / "5.png")
    for name in ("a.npy", "a.npz", "a-idx3-ubyte"):
        os.mkfifo(folder.parent / name)
        assert "a pipe or a device" in said(folder.parent / name)
    with pytest.warns(SkippedWarning):
        assert len(open_images(folder, skip_bad=True)) == 5


def test_many_damaged_files_are_counted_and_ten_are_listed(folder, fill, said):
    fill(folder, 1)
    for i in range(30):
        (folder / f"x{i}.png").write_bytes(b"")
    with pytest.warns(SkippedWarning, match=r"30 unreadable files left out: x0.png, .*x9.png, and 20 more"):
        open_images(folder, skip_bad=True)
    (folder / "0.png").unlink()
    assert "none of 30 files can be read; the first" in said(folder, skip_bad=True)


# --- many small files ---


def test_a_second_process_reads_the_same(folder, monkeypatch, store, fill, said):
    fill(folder, 200)
    store(folder / "77.png", (6, 8, 4))
    (folder / "88.png").write_bytes(b"")
    with pytest.warns(SkippedWarning):
        here = open_images(folder, skip_bad=True, threads=1)
    monkeypatch.setattr(reader_pool, "MANY", 10)
    with pytest.warns(SkippedWarning):
        elsewhere = open_images(folder, skip_bad=True, threads=2)
    assert elsewhere.fingerprint == here.fingerprint
    assert (elsewhere.names, elsewhere.notes) == (here.names, here.notes)
    assert "fewer than --crop" in said(folder, skip_bad=True, threads=2, crop=(99, 99))


def test_no_more_large_files_are_read_ahead_than_fit_into_memory(folder, monkeypatch, fill):
    fill(folder, 60)
    paths = sorted(str(path) for path in folder.iterdir())
    size = os.stat(paths[0]).st_size
    seen, real = [], reader_pool.read_piece
    monkeypatch.setattr(reader_pool, "read_piece", lambda piece, framing: seen.append(piece) or real(piece, framing))
    monkeypatch.setattr(reader_pool, "_PIECE_BYTES", size // 2)
    monkeypatch.setattr(reader_pool, "_AHEAD_BYTES", 5 * size)
    blocks = reader_pool.read_all(paths, Framing(), 2)
    next(blocks)
    time.sleep(0.2)
    assert [len(piece.paths) for piece in seen] == [1] * len(seen)
    assert len(seen) <= 7
    assert len(list(blocks)) == 59


def test_files_read_ahead_are_counted_by_their_pixels(folder, monkeypatch):
    folder.mkdir(exist_ok=True)
    for i in range(12):
        Image.new("L", (500, 400)).save(folder / f"{i:02}.png")
    seen, real = [], reader_pool.read_piece
    monkeypatch.setattr(reader_pool, "read_piece", lambda piece, framing: seen.append(piece) or real(piece, framing))
    monkeypatch.setattr(reader_pool, "_PIECE_BYTES", 1 << 20)
    monkeypatch.setattr(reader_pool, "_AHEAD_BYTES", 3 << 20)
    blocks = reader_pool.read_all(sorted(map(str, folder.iterdir())), Framing(), 2)
    next(blocks)
    time.sleep(0.2)
    assert [len(piece.paths) for piece in seen] == [2] * len(seen), "two of 800 kB as float32"
    assert len(seen) <= 3
    assert len(list(blocks)) == 11


@pytest.mark.parametrize(
    "start",
    [
        "raise SystemExit",
        "import sys; sys.stdin.readline()",  # it dies at the first request
        "import os; os.kill(os.getpid(), 9)",
        # it answers once, and dies when it is asked for files
        "import io, sys; sys.stdin = io.TextIOWrapper(io.BytesIO(sys.stdin.buffer.readline())); "
        "from isthmus.data.collections.pieces import main; main()",
    ],
)
def test_a_second_process_that_is_killed_costs_nothing(folder, monkeypatch, start, fill):
    def worker(call):
        return subprocess.Popen([sys.executable, "-c", start], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    pixels = fill(folder, 200)
    monkeypatch.setattr(reader_pool, "MANY", 10)
    monkeypatch.setattr(reader_process, "worker", worker)
    np.testing.assert_array_equal(open_images(folder, threads=3).pixels[:, 0], pixels)


def test_ctrl_c_ends_the_reading_and_its_helpers(folder, fill):
    fill(folder, 400)
    program = """
import os, sys, time
from isthmus.data.collections import reader_pool
from isthmus.data.collections.collection import open_images
reader_pool.MANY = 10
def on_progress(done, n):
    if done == 100:
        print("reading", flush=True)
        time.sleep(60)
try:
    open_images(sys.argv[1], threads=3, cache=False, on_progress=on_progress)
except KeyboardInterrupt:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("no child is left")
"""
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (out, err) == ("no child is left\n", "")


def test_no_warning_of_pillow_reaches_the_user(folder):
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(20)
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "a.jpg", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_images(folder)
    assert not caught


def test_the_commands_summary(folder, capsys, store):
    from isthmus.cli import run_command

    store(folder / "a/1.png")
    store(folder / "b/2.png")
    assert run_command(["data", "info", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "2 images  1×6×8 uint8 (8 bits)  sha256" in out
    assert "a: 1, b: 1" in out
    store(folder / "b/3.png", (9, 9, 3))
    (folder / "b/4.png").write_bytes(b"")
    assert run_command(["data", "info", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "2 images  1×6×8" in out
    assert "1 image   3×9×9" in out
    assert out.startswith("4 files, images of 2 sizes:\n")
    assert "8 bits: 3" in out
    assert "the sizes differ" in out
    assert "4.png is empty" in out
    assert run_command(["data", "info", str(folder / "c")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_importing_it_is_quick():
    program = "import sys, isthmus.data.collections.collection; print({'torch', 'PIL', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
