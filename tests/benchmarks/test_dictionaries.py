"""The comparison of dictionaries is at one sparsity."""

import numpy as np
import pytest

from benchmarks.dictionaries import alpha_for, searched


@pytest.mark.parametrize("on", [2, 5.5, 9])
def test_as_many_atoms_are_on_as_were_asked_for(on):
    x = np.random.default_rng(0).uniform(0, 1, (200, 12))
    alpha = alpha_for(on, x, np.eye(12))
    # atoms that do not overlap: a number is on where it is above α
    np.testing.assert_allclose((x > alpha).sum(axis=1).mean(), on, rtol=0.05)
    np.testing.assert_allclose(searched(x, np.eye(12), alpha), np.maximum(x - alpha, 0), atol=1e-9)
