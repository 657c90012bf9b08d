"""Values of a collection's pixels, whatever their type and however many."""

from __future__ import annotations

import numpy as np

from isthmus.data.collections.values import PERCENTILES, values_by_kind
from isthmus.data.formats.page import Page


def test_percentiles_are_of_all_numbers_whatever_their_type():
    rng = np.random.default_rng(0)
    arrays = [(rng.gamma(2, size=(1, 300, k)) + np.linspace(0, 9, k)).astype(np.float32) for k in (64, 320)]
    values = values_by_kind([Page(array, 32) for array in arrays])
    (numbers,) = values.values()
    other = values_by_kind([Page(arrays[0], 32)]).popitem()[1]
    other.merge(values_by_kind([Page(arrays[1], 32)]).popitem()[1])
    expected = np.percentile(np.concatenate([array.ravel() for array in arrays]), PERCENTILES, method="inverted_cdf")
    assert numbers.percentiles() == other.percentiles() == expected.tolist()


def test_of_more_numbers_than_are_counted_the_percentiles_are_near(monkeypatch):
    monkeypatch.setattr("isthmus.data.collections.values._DISTINCT", 1000)
    array = np.random.default_rng(0).gamma(2, size=(1, 300, 100)).astype(np.float32)
    (numbers,) = values_by_kind([Page(array, 32)]).values()
    np.testing.assert_allclose(numbers.percentiles(), np.percentile(array, PERCENTILES), rtol=0.02)
