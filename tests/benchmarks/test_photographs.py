"""The comparison of denoisers is of the same noisy images, and the table has every method's mean."""

import numpy as np
import pytest

from benchmarks import photographs
from isthmus import Denoiser, GaussianNoise, Residual


@pytest.fixture(scope="module")
def rows():
    ramp = np.linspace(0, 1, 48, dtype=np.float32)
    images = [np.tile(ramp, (1, 40, 1)), np.outer(ramp, ramp)[None]]
    noise = GaussianNoise((0, 0.2))
    model = Denoiser(Residual(4, 4), noise=noise, crop=16, crops_per_epoch=16, epochs=1, random_state=0)
    model.fit(images)
    without_bm3d = {name: method for name, method in photographs.CLASSICAL.items() if name != "bm3d"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photographs, "CLASSICAL", without_bm3d)  # a package of the benchmarks' own environment
        values = photographs.chosen(images, [0.1])
        return photographs.measured(photographs.methods_of(model, values), images, [0.1])


def test_each_method_has_each_image_once(rows):
    methods = {row["method"] for row in rows}
    assert methods == {
        "isthmus", "isthmus, σ estimated", "non-local means", "total variation", "wavelets", "the noisy image",
    }  # fmt: skip
    assert len(rows) == 2 * len(methods)


def test_the_noise_is_that_of_the_level_and_wavelets_take_it_out_of_smooth_images(rows):
    def mean(method):
        return np.mean([row["psnr"] for row in rows if row["method"] == method])

    assert 20 <= mean("the noisy image") < 21.5  # 20 dB, and clipping takes some of it
    assert mean("wavelets") > mean("the noisy image") + 5


def test_the_table_has_means_over_images_medians_of_models_and_of_seconds():
    rows = [
        {"method": method, "sigma": 25 / 255, "image": i, "psnr": psnr + i, "seconds": seconds}
        for method, psnr, seconds in (("isthmus", 30.0, 0.5), ("bm3d", 20.0, 50.0), ("the noisy image", 10.0, 0.0))
        for i in range(3)
    ]
    rows += [  # of two other models, not in turn with the others: their seconds do not count
        {**row, "seed": seed, "psnr": row["psnr"] + gain, "seconds": 9.0}
        for seed, gain in ((1, 0.5), (2, 5.0))
        for row in rows[:3]
    ]
    rows.append({**rows[0], "method": "isthmus, longer", "sigma": 50 / 255, "psnr": 25.0})
    *_, isthmus, bm3d, noisy, longer = photographs.table(rows, {"isthmus": 12.34})
    assert isthmus == "| isthmus | 31.50 | | 12.3 | 0.5 | 1 |"
    assert bm3d == "| bm3d | 21.00 | | | 50 | 100 |"
    assert noisy == "| the noisy image | 11.00 | | | | |"
    assert longer == "| isthmus, longer | | 25.00 | | 0.5 | 1 |"
