"""Photographs are held out with noise of their own colours, and the table has a line for each."""

import numpy as np
import pytest

from benchmarks import held_out
from isthmus import Denoiser, GaussianNoise, Residual


def test_six_photographs_and_each_is_held_out_once():
    images = held_out.photographs()
    assert sorted(name for pair in held_out.PAIRS for name in pair) == sorted(images)
    assert {name for name, x in images.items() if len(x) == 1} == {"camera"}
    assert all(x.dtype == np.float32 and 0 <= x.min() < x.max() <= 1 for x in images.values())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_line_has_what_was_measured(channels):
    x = np.tile(np.linspace(0.4, 0.6, 40, dtype=np.float32), (channels, 32, 1))
    model = Denoiser(Residual(4, 4), noise=GaussianNoise((0, 0.2)), crop=16, crops_per_epoch=16, epochs=1).fit(
        np.tile(x[None, :1], (2, 3, 1, 1))
    )
    rows = held_out.measured(model, "ramp", x, [0.05, 0.1])
    assert [row["noisy"] for row in rows] == pytest.approx([26, 20], abs=0.7)
    head, _, line = held_out.table(rows)
    assert head.endswith("| σ = 0.05 | σ = 0.1 |")
    first = " / ".join(f"{rows[0][key]:.2f}" for key in ("told", "blind", "non-local means"))
    assert line.startswith(f"| ramp | {first} | ")
