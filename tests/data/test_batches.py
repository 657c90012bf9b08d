import numpy as np
import pytest
import torch

from isthmus.data.batches import Pixels, as_tensor, batches, epoch_order
from isthmus.data.images import Images

CPU = torch.device("cpu")


def pictures(n=10, dtype=np.uint8):
    pixels = np.random.default_rng(0).integers(0, 256, (n, 1, 3, 4), dtype=np.uint8)
    return Images(pixels if dtype == np.uint8 else (pixels / 255).astype(dtype))


def seen(n, batch_size, order):
    """The samples' numbers in the order in which an epoch hands them out, batch by batch."""
    pixels = Pixels(np.arange(n, dtype=np.float32)[:, None], CPU)
    return [batch[:, 0].int().tolist() for batch in batches(pixels, batch_size, order)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_images_are_scaled_as_everywhere_else(dtype):
    some = pictures(dtype=dtype)
    pixels = Pixels(some, CPU)
    assert (len(pixels), pixels.n_features) == (10, 12)
    assert pixels.values.dtype == as_tensor(some.pixels).dtype  # uint8 is kept as uint8
    which = torch.tensor([7, 2, 2])
    np.testing.assert_array_equal(pixels.batch(which).numpy(), some.floats(which.numpy()))
    np.testing.assert_array_equal(pixels.batch(slice(3, 9)).numpy(), some.floats(slice(3, 9)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_arrays_are_numbers_and_not_scaled(dtype):
    x = np.arange(0, 240, 20).reshape(4, 3).astype(dtype)
    batch = Pixels(x, CPU).batch(slice(None))
    assert batch.dtype == torch.float32
    np.testing.assert_array_equal(batch.numpy(), x)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("which", [slice(0, 4), torch.arange(4)], ids=["slice", "index"])
def test_a_batch_may_be_changed_without_harm(dtype, which):
    some = pictures(dtype=dtype)
    before = some.pixels.copy()
    pixels = Pixels(some, CPU)
    pixels.batch(which).fill_(0.5)
    np.testing.assert_array_equal(some.pixels, before)
    assert (pixels.batch(which) != 0.5).any()


def test_as_tensor_copies_only_when_it_must():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert as_tensor(x).data_ptr() == x.ctypes.data
    locked = x.copy()
    locked.flags.writeable = False
    for awkward in (locked, x.T, x[:, ::2], x[::-1]):
        tensor = as_tensor(awkward)
        np.testing.assert_array_equal(tensor.numpy(), awkward)
        assert tensor.is_contiguous()
    as_tensor(locked).zero_()
    assert locked.any()


@pytest.mark.parametrize("shuffle", [True, "once", False])
@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 99])
def test_an_epoch_visits_every_sample_once(shuffle, batch_size):
    handed_out = seen(10, batch_size, epoch_order(10, shuffle, seed=0, epoch=1, device=CPU))
    assert sorted(n for batch in handed_out for n in batch) == list(range(10))
    assert all(len(batch) == batch_size for batch in handed_out[:-1])


def test_without_shuffling_the_order_is_the_files():
    assert epoch_order(10, False, seed=0, epoch=1, device=CPU) is None
    assert seen(5, 2, None) == [[0, 1], [2, 3], [4]]


def test_the_order_follows_seed_and_epoch():
    def order(seed, epoch, shuffle=True):
        return tuple(epoch_order(50, shuffle, seed, epoch, CPU).tolist())

    assert order(0, 1) == order(0, 1)
    assert len({order(seed, epoch) for seed in range(3) for epoch in range(1, 4)}) == 9
    assert order(0, 1, "once") == order(0, 2, "once") != order(1, 1, "once")


@pytest.mark.parametrize("batch_size", [1, 4, 10, 99])
def test_batches_follow_the_order(batch_size):
    order = torch.tensor([3, 9, 0, 5, 1, 8, 2, 7, 6, 4])
    visited = seen(10, batch_size, order)
    assert [sample for batch in visited for sample in batch] == order.tolist()
    assert [len(batch) for batch in visited[:-1]] == [batch_size] * (len(visited) - 1)


def test_one_order_for_all_epochs_is_that_of_no_epoch():
    once = epoch_order(50, "once", 0, 1, CPU).tolist()
    assert all(epoch_order(50, True, 0, epoch, CPU).tolist() != once for epoch in (1, 2, 3))
    assert epoch_order(50, "once", 0, 7, CPU).tolist() == once


def test_samples_and_orders_are_on_the_device():
    meta = torch.device("meta")  # which holds no numbers, and is on every machine
    assert Pixels(pictures(), meta).values.device == meta
    assert epoch_order(5, True, 0, 1, meta).device == meta
