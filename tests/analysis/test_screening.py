"""How unusual an image is, and where."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus.analysis.screening import auroc, error_map
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
