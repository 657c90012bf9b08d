"""Images that stay on the disk: the same numbers, in an order of blocks, and no damage that goes unseen."""

import itertools
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense, open_images, open_rows
from isthmus.data.batches import Pixels, batches, samples_on
from isthmus.data.conversion.conversion import convert
from isthmus.data.conversion.kinds_of_source import source_of
from isthmus.data.framing import Framing
from isthmus.data.images import Dataset, Images
from isthmus.data.splits import split_dataset
from isthmus.data.stored import digests, shard_folder, stored_samples
from isthmus.data.stored.array_file import Readers
from isthmus.data.stored.stored_pixels import StoredPixels
from isthmus.data.stored.stored_samples import StoredSamples
from isthmus.errors import DataError
from isthmus.estimators.samples import hold_out
from isthmus.training.checkpoint import Checkpoints

CPU = torch.device("cpu")
N = 1000


pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 256, (N, 3, 5, 4), dtype=np.uint8)


def stored(folder, array, shard_bytes=9000, **options):
    """Shards of an array: several files, of which the last is shorter."""
    np.save(folder / "all.npy", array)
    return convert(source_of(folder / "all.npy", Framing()), folder / "shards", shard_bytes=shard_bytes, **options)


@pytest.fixture
def several(tmp_path, array, monkeypatch):
    monkeypatch.setattr("isthmus.data.conversion.file_source._CHUNK", 4000)
    images = stored(tmp_path, array)
    assert len(images.pixels.files) > 4
    return images


PLACES = [
    slice(None),
    slice(140, 460),
    slice(10, 900, 7),
    slice(900, 10, -7),
    np.array([3]),
    np.array([999, 0, 3, 3, 500]),
    np.array([-1, -1000]),
    np.arange(N) % 3 == 0,
    np.array([], np.int64),
]


@pytest.mark.parametrize("which", PLACES, ids=str)
def test_what_is_indexed_is_as_of_an_array(several, array, which):
    np.testing.assert_array_equal(several.pixels[which], array[which])
    part = several.pixels.part(which)
    assert part.shape == array[which].shape
    if len(part):
        np.testing.assert_array_equal(part[:], array[which])
        np.testing.assert_array_equal(part[::-1][0], array[which][-1])
        np.testing.assert_array_equal(np.stack(list(part)), array[which])
        assert (part.min(), part.max()) == (array[which].min(), array[which].max())


def test_one_image_and_a_position_that_is_none(several, array):
    np.testing.assert_array_equal(several.pixels[-2], array[-2])
    with pytest.raises(IndexError):
        several.pixels[N]


def test_images_are_taken_and_scaled_as_others_and_parts_are_put_together(several, array):
    in_memory, which = Images(array), np.array([5, 17, 800])
    np.testing.assert_array_equal(several.floats(which), in_memory.floats(which))
    parts = several.take(slice(0, 10)), several.take(which)
    together = parts[0].followed_by(parts[1])
    assert together.are_stored
    np.testing.assert_array_equal(together.pixels[:], array[[*range(10), *which]])
    np.testing.assert_array_equal(parts[0].followed_by(in_memory.take(which)).pixels, array[[*range(10), *which]])
    np.testing.assert_allclose(several.pixel_means(), in_memory.pixel_means())


def test_copies_in_other_processes_open_the_files_themselves(several, array):
    several.pixels[:1]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(several.pixels))[7], array[7])


def test_the_fingerprint_is_of_the_numbers_and_of_which_there_are(several, array, tmp_path):
    other = array.copy()
    other[500, 0, 0, 0] ^= 1
    folder = tmp_path / "other"
    folder.mkdir()
    prints = {several.pixels.fingerprint, stored(folder, other).pixels.fingerprint}
    prints |= {several.pixels.part(which).fingerprint for which in (slice(0, 5), slice(1, 6), slice(0, 4))}
    assert len(prints) == 5
    assert open_images(tmp_path / "shards").pixels.fingerprint == several.pixels.fingerprint


# --- training ---


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(stored_samples, "_BLOCK", 13 * 60)
    monkeypatch.setattr(stored_samples, "_WINDOW", 4)
    monkeypatch.setattr(stored_samples, "_SLOTS", 8)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("batch_size", [1, 16, 128, 1000])
@pytest.mark.parametrize("shuffle", [True, "once", False])
def test_batches_are_those_of_memory_in_any_order(several, array, shuffle, batch_size):
    samples, resident = samples_on(several, CPU, shuffle=shuffle, seed=3), Pixels(Images(array), CPU)
    assert isinstance(samples, StoredSamples)
    for epoch in (1, 2):
        order = samples.order(epoch)
        read = torch.cat(list(batches(samples, batch_size, order)))
        assert torch.equal(read, torch.cat(list(batches(resident, batch_size, order))))


def test_large_samples_take_no_more_memory_than_small_ones(tmp_path, array, monkeypatch):
    images = stored(tmp_path, array)
    monkeypatch.setattr(stored_samples, "_BLOCK", 10)
    monkeypatch.setattr(stored_samples, "_MEMORY", 300)  # bytes, of which a sample has 60
    samples, resident = samples_on(images, CPU, shuffle=True, seed=3), Pixels(Images(array), CPU)
    assert samples.memory.nbytes <= 300
    for batch_size in (1, 3, 16):
        order = samples.order(1)
        read = torch.cat(list(batches(samples, batch_size, order)))
        assert torch.equal(read, torch.cat(list(batches(resident, batch_size, order))))


@pytest.mark.usefixtures("small_blocks")
def test_samples_from_all_over_are_those_of_memory_too(several, array):
    samples, resident = samples_on(several, CPU), Pixels(Images(array), CPU)
    for which in (torch.randperm(N), torch.arange(0, N, 3), torch.tensor([999, 0]), slice(990, 1010)):
        assert torch.equal(samples.batch(which), resident.batch(which))


@pytest.mark.usefixtures("small_blocks")
def test_the_order_of_an_epoch_is_a_permutation_in_windows_and_a_function_of_seed_and_epoch(several):
    samples = samples_on(several, CPU, shuffle=True, seed=3)
    orders = {(seed, epoch): samples_on(several, CPU, shuffle=True, seed=seed).order(epoch).tolist()
              for seed in (3, 4) for epoch in (1, 2)}  # fmt: skip
    assert samples.order(2).tolist() == orders[3, 2]
    assert len(set(map(tuple, orders.values()))) == 4
    assert all(sorted(order) == list(range(N)) for order in orders.values())
    blocks = [place // samples.block for place in orders[3, 1]]
    n = 4 * samples.block  # a window
    assert all(len(set(blocks[start : start + n])) <= 5 for start in range(0, N, n))  # the last block is shorter
    assert any(a > b for a, b in itertools.pairwise(blocks))
    assert len(set(blocks[:16])) > 2, "neighbours of a batch are of several blocks"
    once = samples_on(several, CPU, shuffle="once", seed=3)
    assert once.order(1).tolist() == once.order(2).tolist()


def test_windows_of_blocks_mix_sorted_labels(tmp_path, monkeypatch):
    digits = load_digits()
    sorted_by_label = np.argsort(digits.target, kind="stable")
    images = Images(np.rint(digits.images[sorted_by_label, None] * 255 / 16).astype(np.uint8))
    monkeypatch.setattr(stored_samples, "_BLOCK", 8 * 64)  # bytes: 225 blocks
    on_disk = stored(tmp_path, images.pixels)

    def loss(x, shuffle):
        options = {"epochs": 3, "batch_size": 32, "recipe": None, "learning_rate": 1e-3, "shuffle": shuffle}
        network = Dense(hidden=(64,), bottleneck=8)
        return np.mean([-Autoencoder(network, **options, random_state=i).fit(x).score(images) for i in range(4)])

    any_order, windows, as_they_are = loss(images, True), loss(on_disk, True), loss(on_disk, False)
    assert as_they_are > 1.2 * any_order
    assert windows - any_order < 0.2 * (as_they_are - any_order)


def test_parts_that_are_taken_or_held_out_stay_on_the_disk(several, array, monkeypatch):
    def refused(*_):
        raise AssertionError("images were read")

    labelled = replace(several, labels=np.arange(N) % 3)
    with monkeypatch.context() as patch:
        patch.setattr(Readers, "read", refused)
        train, held, where = hold_out(labelled, 0.2, 0)
        parts = [
            train,
            held,
            labelled.take(slice(10, 500, 3)),
            train.take(np.arange(800) % 2 == 0),
            labelled.only((1,)),
        ]
        parts += split_dataset(Dataset("a", "b", labelled, held), validation=100).values()
        parts.append(train.followed_by(held))
        assert all(part.are_stored and part.n_bytes == 0 for part in parts)
        assert len({part.fingerprint for part in parts[:5]}) == 5
    np.testing.assert_array_equal(train.pixels[:], array[where])
    np.testing.assert_array_equal(held.pixels[:], np.delete(array, where, axis=0))


def test_shards_of_two_folders_are_put_together_where_they_are(several, array, tmp_path, monkeypatch):
    (tmp_path / "b").mkdir()
    other = stored(tmp_path / "b", array[:100] // 2)
    with monkeypatch.context() as patch:
        patch.delattr(Readers, "read")
        whole = several.followed_by(other)
        part = several.take(slice(5, 9)).followed_by(other.take(slice(3, 5)))
        assert whole.are_stored
        assert part.are_stored
        assert (whole.pixels.min(), whole.pixels.max()) == (array.min(), array.max())
    np.testing.assert_array_equal(whole.pixels[:], np.concatenate([array, array[:100] // 2]))
    np.testing.assert_array_equal(part.pixels[:], np.concatenate([array[5:9], array[3:5] // 2]))
    assert (part.pixels.min(), part.pixels.max()) == (part.pixels[:].min(), part.pixels[:].max())
    fits = [fitted(x, shuffle=False) for x in (whole, Images(whole.pixels[:]))]
    for name, tensor in fits[0].network_.state_dict().items():
        assert torch.equal(tensor, fits[1].network_.state_dict()[name]), name
    smaller = Images(array[:10, :, :4].copy())
    (tmp_path / "c").mkdir()
    assert several.pixels.followed_by(stored(tmp_path / "c", smaller.pixels).pixels) is None


@pytest.mark.usefixtures("small_blocks")
def test_each_block_is_read_once_in_an_epoch(several, monkeypatch):
    samples, read = samples_on(several, CPU, shuffle=True, seed=3), []
    load = StoredSamples._load

    def counted(self, missing, needed):
        read.extend(missing.tolist())
        load(self, missing, needed)

    monkeypatch.setattr(StoredSamples, "_load", counted)
    for _ in batches(samples, 16, samples.order(1)):
        pass
    assert sorted(read) == list(range(samples.n_blocks))


def fitted(images, **options):
    return Autoencoder(Dense(bottleneck=4), epochs=3, batch_size=50, random_state=0, **options).fit(images)


@pytest.mark.parametrize("shards", [1, 2])
def test_a_fit_in_the_files_order_has_the_bits_of_one_in_memory(several, array, shards):
    models = [fitted(images, shuffle=False, recipe="fast", shards=shards) for images in (several, Images(array))]
    for name, tensor in models[0].network_.state_dict().items():
        assert torch.equal(tensor, models[1].network_.state_dict()[name]), name
    np.testing.assert_array_equal(models[0].transform(several), models[0].transform(Images(array)))
    assert models[0].input_["maximum"] == 1.0


def test_a_fit_that_holds_some_out_reads_each_where_it_is(several, array):
    options = {"shuffle": False, "validation_fraction": 0.2, "patience": 5}
    models = [fitted(images, **options) for images in (several, Images(array))]
    losses = [model.history_.validation_losses for model in models]
    np.testing.assert_array_equal(losses[0], losses[1])
    assert np.isfinite(losses[0]).all()


def test_resumed_equals_uninterrupted(several, tmp_path):
    whole = fitted(several, validation_fraction=0.1)
    model = Autoencoder(Dense(bottleneck=4), epochs=3, batch_size=50, random_state=0, validation_fraction=0.1)
    epochs = model.fit_epochs(several, checkpoint=Checkpoints(tmp_path / "stopped", every=0))
    next(epochs)
    next(epochs)
    epochs.close()
    model.fit(open_images(tmp_path / "shards"), checkpoint=tmp_path / "stopped")
    assert len(model.history_) == 3
    for name, tensor in whole.network_.state_dict().items():
        assert torch.equal(tensor, model.network_.state_dict()[name]), name


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("which", [None, slice(100, 900)], ids=["whole files", "a part"])
def test_a_fit_reads_no_more_for_the_least_and_the_largest_number(tmp_path, array, monkeypatch, which):
    in_memory = Images(array // 2 + 9)
    images = stored(tmp_path, in_memory.pixels)
    if which is not None:
        images, in_memory = images.take(which), in_memory.take(which)
    monkeypatch.delattr(StoredPixels, "chunks")
    on_disk, other = fitted(images), fitted(in_memory)
    assert (on_disk.input_["minimum"], on_disk.input_["maximum"]) == (9 / 255, 136 / 255)
    assert other.input_["minimum"] == on_disk.input_["minimum"]
    assert other.input_["maximum"] == on_disk.input_["maximum"]


def test_rows_are_not_read_again_for_the_least_and_the_largest_number(tmp_path, monkeypatch):
    array = np.random.default_rng(0).normal(size=(N, 7)).astype(np.float32)
    rows = rows_of(tmp_path, array)
    monkeypatch.delattr("isthmus.estimators.samples.in_chunks")  # by which other samples are looked at
    model = fitted(rows, recipe=None)
    assert (model.input_["minimum"], model.input_["maximum"]) == (array.min(), array.max())


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_floats_are_read_as_float32(tmp_path, array, dtype):
    images = stored(tmp_path, (array / np.float32(255)).astype(dtype), dtype=dtype)
    assert images.pixels.dtype == dtype
    assert images.floats(slice(0, 3)).dtype == np.float32
    batch = samples_on(images, CPU).batch(slice(0, 3))
    assert batch.dtype == torch.float32
    np.testing.assert_allclose(batch.numpy(), array[:3].reshape(3, -1) / 255, atol=5e-4 if dtype == "float16" else 1e-7)


# --- one large array ---


@pytest.mark.parametrize("shape", [(N, 5, 4), (N, 3, 5, 4), (N, 1, 5, 4)], ids=str)
def test_a_large_array_stays_where_it_is(tmp_path, monkeypatch, shape):
    array = np.random.default_rng(1).random(shape, np.float32)
    np.save(tmp_path / "a.npy", array)
    assert not open_images(tmp_path / "a.npy").are_stored
    monkeypatch.setattr(shard_folder, "STORED_BYTES", 1000)
    images = open_images(tmp_path / "a.npy")
    assert images.are_stored
    np.testing.assert_array_equal(images.pixels[:].reshape(shape), array)
    assert not open_images(tmp_path / "a.npy", grey=True).are_stored, "what is to be prepared is read"


@pytest.mark.parametrize("worst", [np.nan, 1.5, -0.1])
def test_a_large_array_with_a_number_that_is_no_pixel_is_refused(tmp_path, monkeypatch, worst):
    array = np.full((N, 5, 4), 0.5, np.float32)
    array[700, 2, 1] = worst
    np.save(tmp_path / "a.npy", array)
    monkeypatch.setattr(shard_folder, "STORED_BYTES", 1000)
    monkeypatch.setattr(digests, "_BLOCK", 4000)
    with pytest.raises(DataError, match=r"a.npy: float pixels must lie in \[0, 1\]"):
        open_images(tmp_path / "a.npy")


def test_float_shards_beyond_white_are_refused(tmp_path, array):
    images = stored(tmp_path, (array / np.float32(255)), dtype="float32", shard_bytes=10**9)
    np.save(images.pixels.files[0].path, images.pixels[:] * 2)
    digest = digests.digest_of(np.load(images.pixels.files[0].path))
    index = json.loads((tmp_path / "shards" / "shards.json").read_bytes())
    index["shards"][0] |= {"sha256": digest.sha256, "low": digest.low, "high": digest.high}
    (tmp_path / "shards" / "shards.json").write_text(json.dumps(index))
    with pytest.raises(DataError, match=r"00000\.npy: float pixels must lie in \[0, 1\], got 0 to 2"):
        open_images(tmp_path / "shards")


# --- damage ---


def cut(folder):
    path = folder / "00001.npy"
    os.truncate(path, path.stat().st_size - 10)


def flipped(folder):
    path = folder / "00001.npy"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def edited(**changes):
    def edit(folder):
        table = json.loads((folder / "shards.json").read_bytes())
        (folder / "shards.json").write_text(json.dumps({**table, **changes}))

    return edit


DAMAGE = {
    "cut": (cut, "00001.npy promises"),
    "flipped": (flipped, "00001.npy is not as it was written"),
    "missing": (lambda folder: (folder / "00002.npy").unlink(), "00002.npy is missing"),
    "exchanged": (lambda folder: os.replace(folder / "00000.npy", folder / "00001.npy"), "00000.npy is missing"),
    "index": (lambda folder: (folder / "shards.json").write_text("{"), "shards.json cannot be read"),
    "empty index": (lambda folder: (folder / "shards.json").write_text("[]"), "shards.json cannot be read"),
    "number": (edited(n=999), "contradicts itself"),
    "type": (edited(dtype="int64"), "contradicts itself"),
    "shape": (edited(shape=[3, 4, 5]), "holds .* not what the index says"),
    "version": (edited(format=99), "format 99"),
    "identities": (lambda folder: np.save(folder / "identities.npy", np.zeros(3, np.uint64)), "identities.npy holds 3"),
    "labels": (edited(has_labels=True), "labels.npy is missing"),
    "names": (edited(has_names=True), "names.txt cannot be read"),
}


@pytest.mark.usefixtures("several")
@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(tmp_path, kind):
    damage, message = DAMAGE[kind]
    damage(tmp_path / "shards")
    with pytest.raises(DataError, match=message):
        open_images(tmp_path / "shards")


@pytest.mark.parametrize("change", [cut, flipped], ids=["cut", "flipped"])
def test_a_shard_that_changes_while_it_is_read_is_an_error(several, tmp_path, change):
    several.pixels[:1]
    change(tmp_path / "shards")
    facts = (tmp_path / "shards" / "00001.npy").stat()
    os.utime(tmp_path / "shards" / "00001.npy", ns=(facts.st_atime_ns, facts.st_mtime_ns + 10**9))
    with pytest.raises(DataError, match=r"00001.npy was changed while it was being read"):
        several.pixels[:]


def test_what_is_known_is_not_read_again_until_it_changes(several, tmp_path, monkeypatch, own_cache):
    read = []
    of_block = digests._read

    def counted(readers, file, start):
        read.append(file.path.name)
        return of_block(readers, file, start)

    monkeypatch.setattr(digests, "_read", counted)
    open_images(tmp_path / "shards")
    assert read == []
    path = tmp_path / "shards" / "00001.npy"
    path.write_bytes(path.read_bytes())
    open_images(tmp_path / "shards")
    assert read == ["00001.npy"]
    for entry in (own_cache / "digests").iterdir():
        entry.write_text("{")
    open_images(tmp_path / "shards")
    assert len(read) == 1 + len(several.pixels.files)


@pytest.mark.usefixtures("several")
def test_shards_are_not_prepared_again(tmp_path):
    with pytest.raises(DataError, match="leave --grey out"):
        open_images(tmp_path / "shards", grey=True)
    with pytest.raises(DataError, match=r"in \[0, 1\] already"):
        open_images(tmp_path / "shards", value_range="auto")


# --- rows of numbers ---


def rows_of(folder, array):
    np.save(folder / "rows.npy", array)
    return open_rows(folder / "rows.npy", seed=3)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32"])
def test_rows_are_taken_as_they_are(tmp_path, dtype):
    array = (np.random.default_rng(0).normal(size=(N, 7)) * 30 + 100).astype(dtype)
    rows = rows_of(tmp_path, array)
    assert (len(rows), rows.n_features) == (N, 7)
    order = rows.order(1)
    read = torch.cat(list(batches(rows, 64, order)))
    np.testing.assert_array_equal(read.numpy(), array[order.numpy()].astype(np.float32))


def test_a_model_of_rows_is_that_of_the_array(tmp_path, x):
    rows = rows_of(tmp_path, x)
    rows.shuffle = False
    options = {"epochs": 3, "batch_size": 32, "random_state": 0, "shuffle": False, "recipe": "fast"}
    models = [Autoencoder(Dense(bottleneck=4), **options).fit(samples) for samples in (rows, x)]
    np.testing.assert_array_equal(models[0].transform(x), models[1].transform(rows))
    shuffled = Autoencoder(Dense(bottleneck=4), **options, validation_fraction=0.1).fit(
        open_rows(tmp_path / "rows.npy")
    )
    assert shuffled.score(x) > -x.var()


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.zeros((3, 4)), "holds 3×4 float64; rows are"),
        (np.zeros(4, np.float32), "holds 4 float32"),
        (np.zeros((0, 4), np.float32), "holds 0×4"),
        (np.array([[1, np.nan]], np.float32), "contains NaN or infinity"),
        (np.array([[1, np.inf]], np.float16), "contains NaN or infinity"),
        (np.zeros((3, 4), ">f4"), "rows are"),
        (np.asfortranarray(np.zeros((3, 4), np.float32)), "Fortran"),
    ],
    ids=str,
)
def test_rows_that_are_none_are_refused(tmp_path, array, error):
    with pytest.raises(DataError, match=error):
        rows_of(tmp_path, array)


# --- memory ---

_FIT = """
import threading
import numpy as np
from isthmus import Autoencoder, Dense, open_images
from isthmus.data.stored import shard_folder

def memory():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon"))

shard_folder.STORED_BYTES = 1000
most, done = [0], threading.Event()

def watch():
    while not done.wait(0.005):
        most[0] = max(most[0], memory())

rng = np.random.default_rng(0)
Autoencoder(Dense(bottleneck=4), epochs=1, recipe="fast", random_state=0).fit(rng.random((600, 64), np.float32))
before = memory()
threading.Thread(target=watch, daemon=True).start()
images = open_images("a.npy")
model = Autoencoder(Dense(bottleneck=4), epochs=2, recipe="fast", validation_fraction=0.1, patience=2, random_state=0)
model.fit(images)
model.score(images.take(slice(0, 100)))
done.set()
print(most[0] - before)
"""


@pytest.mark.slow
def test_a_fit_has_no_more_in_memory_than_some_blocks(tmp_path):
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (90_000, 56, 56))
    for i in range(0, len(array), 1000):
        array[i : i + 1000] = np.arange(i, i + 1000)[:, None, None] // 700
    array.flush()
    # what is in use, 185 MB: as its threads happen to take turns, glibc's heap holds up to 160 MB of free memory too
    freed_at_once = {"MALLOC_MMAP_THRESHOLD_": str(256 << 10)}
    paths = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **freed_at_once}
    done = subprocess.run([sys.executable, "-c", _FIT], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 230_000, f"{int(done.stdout):,} kB beside {array.nbytes:,} bytes of images"
