import random

import numpy as np
import pytest
import torch

from isthmus.rng import PURPOSES, content_seeds, generator, numpy_generator, seed_from, stream_seed


def test_a_stream_is_the_same_in_every_version_and_on_every_machine():
    # A change here changes every published result; it is not a detail.
    assert stream_seed(0, "init") == 5591234263159589122
    assert stream_seed(7, "order", 3) == 6386764020611326416


def test_every_seed_purpose_and_epoch_has_a_stream_of_its_own():
    seeds = [stream_seed(s, p, e) for s in (*range(-5, 50), 2**31, 2**64) for p in PURPOSES for e in range(12)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    "draw", [lambda *k: torch.rand(5, generator=generator(*k)), lambda *k: numpy_generator(*k).random(5)]
)
def test_the_same_stream_draws_the_same(draw):
    assert draw(3, "noise", 2).tolist() == draw(3, "noise", 2).tolist()
    others = [(4, "noise", 2), (3, "latent", 2), (3, "noise", 3), (3, "noise")]
    assert all(draw(*key).tolist() != draw(3, "noise", 2).tolist() for key in others)


def test_a_stream_that_says_no_epoch_is_that_of_epoch_0():
    assert stream_seed(3, "noise") == stream_seed(3, "noise", 0)
    assert generator(3, "noise").initial_seed() == stream_seed(3, "noise", 0)
    assert numpy_generator(3, "noise").random() == numpy_generator(3, "noise", 0).random()


def test_a_seed_of_a_row_is_its_contents_alone():
    rows = np.random.default_rng(0).random((6, 4)).astype(np.float32)
    rows[5] = rows[1]
    seeds = list(content_seeds(0, "test-noise", rows))
    assert seeds[5] == seeds[1]
    assert len(set(seeds)) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert list(content_seeds(0, "test-noise", rows[::-1].copy())) == seeds[::-1]
    others = [content_seeds(1, "test-noise", rows), content_seeds(0, "latent", rows)]
    assert not set(seeds) & {seed for one in others for seed in one}
    nearly = rows.copy()
    nearly[0, 3] = np.nextafter(nearly[0, 3], np.float32(2))
    assert next(content_seeds(0, "test-noise", nearly)) != seeds[0]
    with pytest.raises(AssertionError, match="mistake"):
        next(content_seeds(0, "mistake", rows))


def test_a_row_has_the_same_seed_in_every_version_and_on_every_machine():
    rows = np.arange(3, dtype=np.uint8)[None]
    assert list(content_seeds(0, "test-noise", rows)) == [4937988797713565223]


def test_neighbouring_streams_are_unrelated():
    keys = [(seed, "noise", epoch) for seed in (0, 1) for epoch in (0, 1, 2)]
    draws = np.stack([numpy_generator(*key).normal(size=4000) for key in keys])
    between = np.corrcoef(draws) - np.eye(6)
    assert np.abs(between).max() < 0.1
    assert draws.std() == pytest.approx(1, abs=0.03)


def test_no_global_generator_is_read_or_set():
    def state():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = state()
    first = torch.rand(3, generator=generator(0, "init")).tolist()
    numpy_generator(0, "split").random(3)
    seed_from(None)
    assert state() == before
    torch.manual_seed(99)
    assert torch.rand(3, generator=generator(0, "init")).tolist() == first


def test_an_unknown_purpose_is_a_mistake_in_isthmus():
    with pytest.raises(AssertionError, match="wheather"):
        stream_seed(0, "wheather")


@pytest.mark.parametrize("seed", [0, 7, np.int64(7), np.uint8(7)])
def test_a_number_is_its_own_seed(seed):
    assert seed_from(seed) == int(seed)
    assert type(seed_from(seed)) is int


@pytest.mark.parametrize("make", [np.random.RandomState, np.random.default_rng])
def test_a_generator_gives_a_seed_and_moves_on(make):
    state = make(0)
    first, second = seed_from(state), seed_from(state)
    assert first == seed_from(make(0)) != second


def test_seeds_that_are_drawn_are_of_31_bits():
    """As scikit-learn's: what NumPy and JSON take. All of the range is used."""
    states, new = np.random.RandomState(0), np.random.default_rng(0)
    for state in (None, states, new):
        drawn = [seed_from(state) for _ in range(200)]
        assert all(0 <= seed < 2**31 for seed in drawn)
        assert max(drawn) > 2**30 > min(drawn)
        assert len(set(drawn)) == 200


def test_none_asks_the_system_and_not_numpy():
    np.random.seed(0)  # noqa: NPY002
    first = seed_from(None)
    np.random.seed(0)  # noqa: NPY002
    assert seed_from(None) != first


@pytest.mark.parametrize("wrong", [True, "0", 1.5, np.bool_(True), [1]])
def test_what_is_no_random_state_is_refused(wrong):
    with pytest.raises(ValueError, match="random_state must be None, an int"):
        seed_from(wrong)
