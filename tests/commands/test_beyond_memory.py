"""Labelled images that stay on the disk: every command reads them in pieces, whatever it measures."""

import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch

from isthmus import Denoiser, GaussianNoise, Images, Residual, denoising_scorer, load, open_images
from isthmus.analysis import representation
from isthmus.commands.screening.scores import Score, Scores
from isthmus.data.conversion.conversion import convert
from isthmus.data.conversion.kinds_of_source import source_of
from isthmus.data.framing import Framing
from isthmus.data.stored import shard_folder, stored_pixels, stored_samples
from isthmus.data.stored.stored_pixels import StoredPixels

QUICK = ("--training-crop", "8", "--batch-size", "256", "--threads", "1")  # of a denoiser's crops
N, MOST = 6_000, 2_500  # images, and those that may be in memory at once: more than go through a network at a time

pytestmark = pytest.mark.usefixtures("own_cache")

STUDY = """
title = "Labelled shards"
question = "Are they read in pieces?"
seed = 0

[data]
name = "images"
path = "{path}"
validation = 100

[[model]]
name = "dense"
estimator = "autoencoder"
network = {{ kind = "dense", bottleneck = 3 }}
epochs = 4
batch_size = 500

[[model]]
name = "of-all"
estimator = "autoencoder"
network = {{ kind = "dense", bottleneck = 3 }}
epochs = 4
batch_size = 500
pool_test = true

[[measure]]
split = "test"
metrics = ["mse", "ssim", "linear_probe", "knn", "silhouette", "trustworthiness", "effective_rank"]

[[measure]]
split = "train"
metrics = ["mse", "linear_probe"]
"""


def labelled_array(n=N, seed=0):
    """Images of 5×4 in three brightnesses, and which."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    return (60 * labels[:, None, None] + rng.integers(0, 100, (n, 5, 4))).astype(np.uint8), labels


def stored(folder, array):
    """Shards of an array, several of them, beside the array in a file."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    np.save(folder.with_suffix(".npy"), array)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isthmus.data.conversion.file_source._CHUNK", max(array.nbytes // 20, 1))
        source = source_of(folder.with_suffix(".npy"), Framing())
        return convert(source, folder, shard_bytes=array.nbytes // 4, dtype=str(array.dtype))


def labelled_shards(folder, array, labels):
    """The same with labels."""
    stored(folder, array)
    np.save(folder / shard_folder.LABELS, labels)
    table = json.loads((folder / shard_folder.INDEX).read_bytes())
    (folder / shard_folder.INDEX).write_text(json.dumps({**table, "has_labels": True}))
    return folder


@pytest.fixture
def in_pieces(monkeypatch):
    """Nothing may read all images at once: neither as an array nor by positions."""

    def refused(self, *_, **__):
        raise AssertionError("all images would be in memory")

    def limited(method, n_of):
        def call(self, *arguments):
            assert n_of(*arguments) <= MOST, f"{n_of(*arguments):,} images at once"
            return method(self, *arguments)

        return call

    monkeypatch.setattr(StoredPixels, "__array__", refused)
    for name, method in (("rows", StoredPixels.rows), ("read_into", StoredPixels.read_into)):
        monkeypatch.setattr(StoredPixels, name, limited(method, lambda rows, *_: len(rows)))
    monkeypatch.setattr(stored_pixels, "_CHUNK", 4000)
    monkeypatch.setattr(stored_samples, "_BLOCK", 400)
    for name in ("_CHUNK", "_SAMPLED"):
        monkeypatch.setattr(f"isthmus.networks.standardization.{name}", 2**14)  # numbers
    monkeypatch.setattr("isthmus.estimators.samples._DOUBTED", 500)
    monkeypatch.setattr("isthmus.commands.fitting.baselines.n_of_pca", lambda n_features: 500)
    monkeypatch.setattr(representation, "N_FITTED", 300)
    monkeypatch.setattr(representation, "N_SCORED", 600)


@pytest.fixture
def shards(tmp_path):
    return labelled_shards(tmp_path / "shards", *labelled_array())


@pytest.mark.usefixtures("in_pieces")
def test_commands_read_labelled_shards_in_pieces(done, shards, tmp_path):
    done("fit", shards, "-o", tmp_path / "m", "--epochs", 1, "--bottleneck", 3)
    rows = json.loads(done("evaluate", tmp_path / "m", shards, "--json", "--corruption", "gaussian:0.1")[0])
    assert {row["metric"] for row in rows["representation"]["rows"]} == set(representation.METRICS)
    scored = json.loads(done("score", tmp_path / "m", shards, "--json", "--normal", "0", "-o", tmp_path / "scores")[0])
    assert len(scored["images"]) == N
    for kind in ("npz", "csv"):
        done("encode", tmp_path / "m", shards, "-o", tmp_path / f"codes.{kind}")
    done("reconstruct", tmp_path / "m", shards, "-o", tmp_path / "made.npy")
    assert np.load(tmp_path / "made.npy", mmap_mode="r").shape[0] == N


@pytest.mark.usefixtures("in_pieces")
def test_a_study_reads_labelled_shards_in_pieces(done, tmp_path):
    for part in ("train", "test"):
        labelled_shards(tmp_path / "mine" / part, *labelled_array(seed=len(part)))
    (tmp_path / "mine.toml").write_text(STUDY.format(path=tmp_path / "mine"))
    done("run", tmp_path / "mine.toml", "--out", tmp_path / "runs", "--threads", 1)
    results = json.loads((tmp_path / "runs" / "mine" / "results.json").read_text())
    probes = [row for row in results["rows"] if row["metric"] == "linear_probe"]
    assert len(probes) == 4
    assert all(row["value"] > 0.5 for row in probes), [row["value"] for row in probes]


@pytest.mark.usefixtures("in_pieces")
def test_scorers_read_in_pieces(done, shards, tmp_path):
    done("fit", shards, "-o", tmp_path / "m", "--epochs", 1, "--bottleneck", 3)
    model, scorer = load(tmp_path / "m"), denoising_scorer(GaussianNoise(0.1))
    images = open_images(shards)
    array, labels = labelled_array()
    in_memory = Images(array[:, None], labels)
    assert scorer(model, images) == pytest.approx(scorer(model, in_memory), rel=1e-12)
    assert model.score(images) == pytest.approx(model.score(in_memory), rel=1e-6)


def test_probes_of_stored_images_are_those_of_images_in_memory(shards):
    array, labels = labelled_array()
    one, other = (
        representation.representation(None, images, metrics=("linear_probe", "knn", "effective_rank"))
        for images in (open_images(shards), Images(array[:, None], labels))
    )
    assert one.estimates == other.estimates
    floats = Images((array[:, None] / np.float32(255)), labels)
    assert representation.representation(None, floats, metrics=("effective_rank",)).n_fitted == 5_000


def test_a_score_takes_few_bytes():
    def scored():
        for i in range(n):
            yield Score(f"{i:07}", str(i % 3), None, i % 2 == 0, i % 97 + 0.5, 0.5, 0.25, 0.125)

    n = 20_000
    tracemalloc.start()
    scores = Scores.of(scored()).ranked("mse")
    for _ in scores:
        pass
    held, most = (size / n for size in tracemalloc.get_traced_memory())
    tracemalloc.stop()
    assert held < 150  # of which a name has 64
    assert most < 300
    assert list(scores) == sorted(scored(), key=lambda score: -score.mse)
    assert (scores.are_new == [not score.selected for score in scores]).all()


# --- denoisers ---


def noisy_photographs(n=15, side=40):
    """Images of 3×side×(side+4) with a gradient each, and the same with noise."""
    rng = np.random.default_rng(0)
    clean = np.cumsum(rng.integers(0, 4, (n, 3, side, side + 4)), axis=3) + rng.integers(0, 40, (n, 1, 1, 1))
    noisy = clean + rng.normal(0, 8, clean.shape)
    return clean.astype(np.uint8), np.rint(noisy).clip(0, 255).astype(np.uint8)


def small_denoiser(**options):
    network = Residual(depth=2, width=4)
    return Denoiser(network, crop=16, crops_per_epoch=32, epochs=2, batch_size=8, random_state=0, **options)


def test_lines_of_an_image_are_those_of_an_array(tmp_path):
    array = noisy_photographs()[0]
    pixels = stored(tmp_path / "s", array).pixels
    assert len(pixels.files) > 2
    for i, first, stop in ((0, 0, 40), (7, 3, 19), (14, 39, 40), (8, 5, 5), (-1, 0, 7)):
        np.testing.assert_array_equal(pixels.lines(i, first, stop), array[i, :, first:stop])
    part = pixels.part(np.array([13, 2]))
    np.testing.assert_array_equal(part.lines(0, 2, 9), array[13, :, 2:9])
    with pytest.raises(IndexError):
        part.lines(2, 0, 1)


KINDS = [
    *(("clean", "uint8"), ("clean", "float16"), ("noisy", "float32")),
    *(("pairs", "uint8"), ("pairs with an array", "float16")),
]


@pytest.mark.parametrize(("kind", "dtype"), KINDS)
def test_a_denoiser_of_stored_images_is_that_of_images_in_memory(tmp_path, monkeypatch, kind, dtype):
    clean, noisy = (x if dtype == "uint8" else (x / np.float32(255)).astype(dtype) for x in noisy_photographs())
    options = {"target": "noisy"} if kind == "noisy" else {} if "pairs" in kind else {"validation_fraction": 0.2}
    options["noise"] = GaussianNoise((0.0, 0.2))
    X, Y = (noisy, clean) if "pairs" in kind else (noisy if kind == "noisy" else clean, None)
    here = [None if x is None else Images(x.copy()) for x in (X, Y)]
    there = [None if x is None else stored(tmp_path / name, x) for name, x in (("x", X), ("y", Y))]
    there[1] = here[1] if kind == "pairs with an array" else there[1]
    in_memory = small_denoiser(**options).fit(*here)
    monkeypatch.delattr(StoredPixels, "__array__")
    on_disk = small_denoiser(**options).fit(*there)
    assert on_disk.scale_ == in_memory.scale_
    for name, tensor in in_memory.network_.state_dict().items():
        assert torch.equal(tensor, on_disk.network_.state_dict()[name]), name
    few = slice(0, 2)
    np.testing.assert_array_equal(on_disk.denoise(there[0].take(few)), in_memory.denoise(here[0].take(few)))


def test_a_denoiser_reads_the_lines_of_its_crops_alone(tmp_path, monkeypatch):
    images, lines = stored(tmp_path / "s", noisy_photographs()[0]), []
    read = StoredPixels.lines

    def counted(self, position, first, stop):
        lines.append(stop - first)
        return read(self, position, first, stop)

    monkeypatch.setattr(StoredPixels, "lines", counted)
    small_denoiser(noise=GaussianNoise((0.0, 0.2))).fit(images)
    assert lines == [16] * 64


def test_the_command_fits_a_denoiser_of_shards_as_of_an_array(done, tmp_path, monkeypatch):
    stored(tmp_path / "s", noisy_photographs(12, 64)[0])
    words = ("--corruption", "gaussian:0..0.2", "--epochs", 1, *QUICK)
    done("fit", tmp_path / "s.npy", "-o", tmp_path / "of-array", *words)
    monkeypatch.delattr(StoredPixels, "__array__")
    done("fit", tmp_path / "s", "-o", tmp_path / "of-shards", *words)
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("of-array", "of-shards")]
    assert models[0] == models[1]


# --- memory ---

_COMMANDS = """
import sys, threading
import numpy as np
from isthmus.analysis import representation
from isthmus.commands.screening.scores import Score, Scores
from isthmus.cli import run_command

def memory():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

most, done = [0], threading.Event()

def watch():
    while not done.wait(0.005):
        most[0] = max(most[0], memory())

coded = representation._coded  # of a tenth of the samples, which are in memory as floats, however many images there are
representation._coded = lambda model, X, y, seed, most: coded(model, X, y, seed, most // 10)
assert run_command(["evaluate", "small", "small.npy", "--json"]) == 0  # what is imported
before = memory()
threading.Thread(target=watch, daemon=True).start()
assert run_command(sys.argv[1:]) == 0
done.set()
print(most[0] - before, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """150 MB of labelled shards, to train on and to test; and a model of a few of such images."""
    folder = tmp_path_factory.mktemp("large")
    array = np.lib.format.open_memmap(folder / "mine.npy", "w+", np.uint8, (48_000, 56, 56))
    for i in range(0, len(array), 1000):
        array[i : i + 1000] = np.arange(i, i + 1000)[:, None, None] // 700
    labels = np.arange(len(array)) // 5 % 3
    for part in ("train", "test"):
        some = slice(0, 45_000) if part == "train" else slice(45_000, None)
        labelled_shards(folder / "mine" / part, array[some], labels[some])
        (folder / "mine" / f"{part}.npy").unlink()
    np.save(folder / "small.npy", array[::500])
    (folder / "mine.npy").unlink()
    study = STUDY.format(path=folder / "mine").replace("epochs = 4", "epochs = 1")
    (folder / "mine.toml").write_text(study.replace('metrics = ["mse", "ssim", ', 'metrics = ["mse", '))
    in_process(folder, "-m", "isthmus", "fit", "small.npy", "-o", "small", "--epochs", "1", "--bottleneck", "3")
    return folder


def in_process(folder, *arguments):
    # what is in use: as its threads happen to take turns, glibc's heap holds up to 160 MB of free memory too
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(256 << 10)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


COMMANDS = {
    "evaluate": ("evaluate", "small", "mine/train", "--json"),
    "score": ("score", "small", "mine/train", "--normal", "0"),
    "encode": ("encode", "small", "mine/train", "-o", "codes.npz"),
    "reconstruct": ("reconstruct", "small", "mine/train", "-o", "made.npy"),
    "study": ("run", "mine.toml", "--threads", "1"),
    "denoiser": ("fit", "mine/train", "-o", "denoiser", "--corruption", "gaussian:0..0.2", "--epochs", "1", *QUICK),
}
# kB: what each takes, of however many images, and 25 to 50 MB, less than two fifths of these images
MOST_OF = {
    "evaluate": 165_000,
    "score": 135_000,
    "encode": 80_000,
    "reconstruct": 140_000,
    "study": 180_000,
    "denoiser": 100_000,
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_has_labelled_shards_in_memory(large, command):
    n = int(in_process(large, "-c", _COMMANDS, *COMMANDS[command]).splitlines()[-1])
    assert n < MOST_OF[command], f"{n:,} kB beside 141,120,000 bytes of images"
