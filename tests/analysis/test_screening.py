"""How unusual an image is, and where."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus.analysis.screening import auroc, conformal_p_values, error_map, largest_local_error, threshold
from isthmus.errors import RequestError


def test_the_map_is_the_mean_absolute_error_over_channels():
    x, x_hat = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    x_hat[:, 0, 1] = (0.3, -0.6, 0)
    np.testing.assert_allclose(error_map(x, x_hat), [[0, 0.3], [0, 0]], atol=1e-7)


def test_auroc_is_the_share_of_pairs_in_the_right_order():
    scores, unusual = np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])
    assert auroc(scores, unusual) == 0.75
    assert auroc(-scores, unusual) == 0.25
    assert auroc(np.ones(4), unusual) == 0.5


@pytest.mark.parametrize("unusual", [np.zeros(3, bool), np.ones(3, bool)])
def test_auroc_of_one_kind_is_refused(unusual):
    with pytest.raises(RequestError, match=r"got [03] and [03]"):
        auroc(np.arange(3.0), unusual)


@pytest.mark.parametrize("shape", [(1, 12, 9), (3, 7, 6), (1, 5, 5), (2, 3, 20), (1, 1, 1), (1, 6, 5)])
def test_the_worst_pixels_are_those_of_all_windows(shape):
    x, x_hat = np.random.default_rng(1).random((2, *shape), np.float32)
    squared = np.square(x.astype(np.float64) - x_hat).mean(axis=0)
    h, w = (min(5, n) for n in squared.shape)
    windows = np.lib.stride_tricks.sliding_window_view(squared, (h, w))
    assert largest_local_error(x, x_hat) == pytest.approx(windows.mean(axis=(2, 3)).max(), rel=1e-5)


@pytest.mark.parametrize(("n", "p"), [(19, 0.05), (18, 0.05), (100, 0.05), (99, 0.1), (7, 0.3), (2, 0.5)])
def test_above_the_threshold_p_is_small_and_nowhere_else(n, p):
    held_out = np.random.default_rng(n).random(n)
    limit, scores = threshold(held_out, p), np.concatenate([held_out, np.linspace(-1, 2, 101)])
    values = conformal_p_values(scores, held_out)
    if limit is None:
        assert values.min() > p
    else:
        np.testing.assert_array_equal(values <= p + 1e-12, scores > limit)
    assert values.min() == 1 / (n + 1)
    assert values.max() == 1
