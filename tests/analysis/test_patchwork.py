"""A model of patches applied to images of any size."""

from __future__ import annotations

import numpy as np
import pytest

from isthmus.analysis.patchwork import patches_of, patchwork
from isthmus.data.patches import assemble, cut
from isthmus.errors import DataError


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 23), (1, 40, 8), (3, 61, 37)], ids=str)
def test_an_exact_model_gives_the_image_back(shape):
    x = np.random.default_rng(0).random(shape, np.float32)
    np.testing.assert_allclose(patchwork(lambda patches: patches, x, (8, 8)), x, atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 10, 10_000])
def test_row_by_row_is_the_same_as_all_at_once(at_once, monkeypatch):
    monkeypatch.setattr("isthmus.analysis.patchwork._AT_ONCE", at_once)
    x, weights = np.random.default_rng(1).random((3, 37, 50), np.float32), np.random.default_rng(2)
    matrix = weights.normal(size=(3 * 6 * 9, 3 * 6 * 9)).astype(np.float32) / 13  # a model that no two patches agree on

    patches, places = cut(x, (6, 9))
    np.testing.assert_array_equal(np.concatenate([*patches_of(x, (6, 9))]), patches.reshape(len(patches), -1))
    expected = assemble((patches.reshape(len(patches), -1) @ matrix).reshape(patches.shape), places, (37, 50))
    np.testing.assert_allclose(patchwork(lambda p: p @ matrix, x, (6, 9)), expected, atol=1e-5)


def test_the_model_sees_few_patches_at_a_time(monkeypatch):
    monkeypatch.setattr("isthmus.analysis.patchwork._AT_ONCE", 100)
    seen = []

    def model(patches):
        seen.append(len(patches))
        return patches

    patchwork(model, np.zeros((1, 400, 40), np.float32), (8, 8))
    assert max(seen) <= 100
    assert sum(seen) == 99 * 9


@pytest.mark.parametrize("height", [8, 9, 61])
def test_progress_is_in_rows_and_ends_at_all(height, monkeypatch):
    monkeypatch.setattr("isthmus.analysis.patchwork._AT_ONCE", 1)
    heard = []
    patchwork(lambda x: x, np.zeros((1, height, 20), np.float32), (8, 8), lambda *step: heard.append(step))
    assert heard == [(min(8 + 4 * i, height), height) for i in range(len(heard))]
    assert heard[-1] == (height, height)


def test_too_small_an_image_is_refused():
    with pytest.raises(DataError, match=r"4×20 is smaller than a patch of 8×8"):
        patchwork(lambda patches: patches, np.zeros((1, 4, 20), np.float32), (8, 8))
