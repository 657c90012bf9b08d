"""The slider's corruptions."""

import numpy as np
import pytest

from isthmus import Autoencoder, Dense, Masking
from isthmus.errors import RequestError
from isthmus.explore.answers.noise import apply, kinds, part_of
from isthmus.explore.answers.noise import of_query as noise_of_query
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf import Entry, Shelf

SHAPE = (1, 8, 8)


def test_each_stop_is_a_corruption_and_the_first_is_none():
    x = np.full((2, 64), 0.5, np.float32)
    for kind, offered in kinds(SHAPE).items():
        assert offered["stops"][0] == offered["marks"][0] == 0
        assert set(offered["marks"]) <= set(offered["stops"])
        for level in offered["stops"]:
            part = part_of(kind, level)
            found = apply(part, x, SHAPE, 0)
            assert (part is None) == (level == 0)
            assert np.array_equal(found, x) == (level == 0) or level < 0.1


def test_what_is_missing_is_what_the_models_were_trained_to_see():
    """As `--corruption masking:0.3` of the same model."""
    x = np.random.default_rng(0).random((20, 64), np.float32)
    means = Autoencoder(Dense(bottleneck=4), corruption=Masking(0.5, value="mean"), epochs=1, random_state=0).fit(x)
    black = Autoencoder(Dense(bottleneck=4), corruption=Masking(0.5), epochs=1, random_state=0).fit(x)
    shelf = Shelf("one", [Entry("means", means), Entry("lost", fault="damaged")], shape=SHAPE)
    assert part_of("masking", 0.3, shelf) == Masking(0.3, value="mean")
    assert part_of("occlusion", 2, shelf) == part_of("occlusion", 2)
    assert kinds(SHAPE, shelf)["masking"]["note"] == "missing pixels are the mean of the image"
    assert part_of("masking", 0.3, Shelf("two", [Entry("a", means), Entry("b", black)], shape=SHAPE)) == Masking(0.3)
    (noisy,) = noise_of_query(shelf, Query({"kind": "masking", "level": "1"}), x[:1])
    np.testing.assert_allclose(noisy, x[0].mean(), rtol=1e-5)


@pytest.mark.parametrize("kind", list(kinds(SHAPE)))
def test_a_draw_is_the_same_each_time_and_the_next_is_another(kind):
    x = np.random.default_rng(0).random((1, 64), np.float32)
    part = part_of(kind, kinds(SHAPE)[kind]["stops"][3 if kind == "occlusion" else 15])
    np.testing.assert_array_equal(apply(part, x, SHAPE, 4), apply(part, x, SHAPE, 4))
    assert any(not np.array_equal(apply(part, x, SHAPE, 4), apply(part, x, SHAPE, i)) for i in range(5, 9))


def test_the_level_scales_one_picture_of_noise():
    x = np.full((1, 64), 0.5, np.float32)
    little, more = (apply(part_of("gaussian", level), x, SHAPE, 1) - x for level in (0.01, 0.05))
    np.testing.assert_allclose(5 * little, more, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "level"), [("gausian", 0.1), ("sequence", 0.1), ("gaussian", -1), ("masking", 2), ("occlusion", 1.5)]
)
def test_what_there_is_not_is_refused(kind, level):
    with pytest.raises(RequestError):
        part_of(kind, level)
