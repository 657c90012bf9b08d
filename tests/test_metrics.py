"""Metrics: scikit-image is the oracle, and the intervals cover what they say they cover."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy.stats import t as student
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from isthmus import metrics
from isthmus.metrics import Estimate, explained_variance, mean_of, mean_psnr, possible, psnr, squared_error, ssim


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def pair(rng, side, channels, n=5):
    """Images in [0, 1] and reconstructions that are near, inverted, black, out of range and unrelated."""
    x = rng.random((n, channels, side, side))
    x_hat = np.stack([x[0] + 0.05 * rng.normal(size=x[0].shape), 1 - x[1], 0 * x[2], 3 * x[3] - 1, x[0]])
    return x, x_hat


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [7, 8, 28])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ssim_and_psnr_are_scikit_images(side, channels, dtype, rng):
    x, x_hat = (a.astype(dtype) for a in pair(rng, side, channels))
    wide = x.astype(np.float64), x_hat.astype(np.float64)
    ours, theirs = ssim(x, x_hat), [structural_similarity(a, b, data_range=1, channel_axis=0) for a, b in zip(*wide)]  # noqa: B905
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)
    assert np.ptp(ours) > 0.5
    ratios = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(*wide)]  # noqa: B905
    np.testing.assert_allclose(psnr(squared_error(x, x_hat)), ratios, rtol=1e-12)


def test_ssim_of_images_that_are_not_square(rng):
    x, x_hat = rng.random((2, 4, 1, 9, 20))
    theirs = [structural_similarity(a, b, data_range=1, channel_axis=0) for a, b in zip(x, x_hat, strict=True)]
    np.testing.assert_allclose(ssim(x, x_hat), theirs, rtol=1e-9)


def test_ssim_of_an_image_with_itself_is_1(rng):
    x = rng.random((3, 1, 8, 8))
    np.testing.assert_allclose(ssim(x, x), 1)
    np.testing.assert_allclose(ssim(np.zeros_like(x), np.zeros_like(x)), 1)


def test_ssim_of_many_images_is_that_of_each_and_takes_the_memory_of_a_few(rng):
    x, x_hat = rng.random((2, 400, 1, 28, 28), np.float32)
    tracemalloc.start()
    together = ssim(x, x_hat)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * x.nbytes  # windows of all of them at once, in float64, take twenty times as much
    np.testing.assert_array_equal(together, [ssim(x[i : i + 1], x_hat[i : i + 1])[0] for i in range(len(x))])
    assert ssim(x[:0], x_hat[:0]).shape == (0,)


@pytest.mark.parametrize("height", [7, 250, 255, 256, 257, 513])
def test_ssim_of_one_image_is_that_of_all_its_rows_at_once(height, rng):
    x, x_hat = rng.random((2, 2, height, 9))
    x_hat[:, : height // 2] = x[:, : height // 2]  # some windows are alike, others not
    assert metrics.ssim_of_one(x, x_hat) == pytest.approx(ssim(x[None], x_hat[None])[0], rel=1e-12)
    assert metrics.ssim_of_one(x[:, :6], x_hat[:, :6]) is metrics.ssim_of_one(x[:, :, :6], x_hat[:, :, :6]) is None


@pytest.mark.parametrize("shape", [(2, 1, 6, 6), (2, 1, 28, 6), (2, 3, 6, 28)])
def test_ssim_is_not_defined_for_a_side_shorter_than_its_window(shape):
    assert ssim(np.zeros(shape), np.zeros(shape)) is None


def test_squared_error_by_hand_and_in_float64():
    x = np.array([[0, 0], [1, 1]], np.float32)
    np.testing.assert_array_equal(squared_error(x, np.array([[1, 2], [1, 1]], np.float32)), [2.5, 0])
    tiny = np.float32(1e-30) * np.ones((1, 2, 1, 1), np.float32)
    assert squared_error(np.zeros_like(tiny), tiny)[0] == pytest.approx(1e-60), "float32 would give 0"
    pixels = np.array([[200]], np.uint8)
    assert squared_error(pixels, np.array([[250]], np.uint8)) == 2500, "unsigned numbers do not wrap around"


def test_a_perfect_image_has_no_psnr_and_is_left_out_of_the_mean():
    error = np.array([0.01, 0, 0.0001])
    np.testing.assert_allclose(psnr(error), [20, np.nan, 40])
    assert mean_psnr(error).value == pytest.approx(30)
    assert mean_psnr(error).n == 2
    assert mean_psnr(np.zeros(4)) == Estimate(None, None, 0)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_endless_error_is_not_left_out_of_the_mean(bad):
    found = mean_psnr(np.array([0.01, bad, 0.01, 0.0]))
    assert found.n == 3
    assert not np.isfinite(found.value)


def test_psnr_is_averaged_over_images_not_taken_of_the_mean():
    error = np.array([0.1, 0.001])
    assert mean_psnr(error).value == pytest.approx(20)
    assert mean_psnr(error).value != pytest.approx(-10 * math.log10(error.mean()))


def test_estimates_of_few_samples():
    assert mean_of(np.array([])) == Estimate(None, None, 0)
    assert mean_of(np.array([3.0])) == Estimate(3.0, None, 1)
    two = mean_of(np.array([1.0, 3.0]))
    assert two.value == 2
    t = student.ppf(0.975, 1)  # 12.7: two values say little
    assert two.ci95 == pytest.approx((2 - t, 2 + t))


def coverage(estimates, truth):
    return np.mean([low <= truth <= high for low, high in (estimate.ci95 for estimate in estimates)])


def test_the_mean_lies_in_its_interval_in_95_of_100_experiments(rng):
    experiments = rng.gamma(2, size=(4000, 200))  # skewed, as errors are; the mean is 2
    assert coverage(map(mean_of, experiments), 2) == pytest.approx(0.95, abs=0.015)


def test_explained_variance_lies_in_its_interval_in_95_of_100_experiments(rng):
    baseline = rng.gamma(2, size=(4000, 200))
    error = baseline * rng.uniform(0, 0.4, size=baseline.shape)  # tied to the baseline; a fifth is not explained
    estimates = [explained_variance(e, b) for e, b in zip(error, baseline, strict=True)]
    assert coverage(estimates, 0.8) == pytest.approx(0.95, abs=0.015)


def test_the_mean_predictor_explains_nothing_and_a_perfect_model_everything(rng):
    x = rng.random((300, 12))
    error = squared_error(x, np.broadcast_to(x.mean(axis=0), x.shape))
    nothing = explained_variance(error, error)
    assert (nothing.value, nothing.n) == (0, 300)
    assert nothing.ci95 == pytest.approx((0, 0), abs=1e-12)
    assert explained_variance(0 * error, error).value == 1
    assert explained_variance(2 * error, error).value == pytest.approx(-1), "worse than the mean is below 0"


def test_explained_variance_is_a_ratio_of_sums():
    assert explained_variance(np.array([1.0, 0.0]), np.array([1.0, 3.0])).value == 0.75
    assert explained_variance(np.array([0.5]), np.array([2.0])) == Estimate(0.75, None, 1)
    assert explained_variance(np.zeros(3), np.zeros(3)) == Estimate(None, None, 3)
    assert explained_variance(np.zeros(0), np.zeros(0)).value is None


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize(
    "draw", [lambda rng, n: rng.gamma(4, 0.25, (1000, n)), lambda rng, n: rng.normal(1, 1e-3, (1000, n))]
)
def test_what_is_shown_of_an_interval_covers_the_truth_as_often(draw, n, rng):
    """Of few images, whose errors are skewed and spread by half of their mean, or hardly at all."""
    found = [mean_of(values) for values in draw(rng, n)]
    shown = [Estimate(one.value, possible(one.ci95), one.n) for one in found]
    assert coverage(shown, 1) == coverage(found, 1) >= 0.92
    assert all(0 <= one.ci95[0] <= one.value <= one.ci95[1] for one in shown)


def test_no_interval_shows_what_cannot_be():
    assert possible((-0.1, 0.3)) == (0, 0.3)
    assert possible((0.1, 0.3)) == (0.1, 0.3)
    assert possible((0.7, 1.2), "ssim") == (0.7, 1)
    assert possible((-0.7, 1.2), "explained_variance") == (-0.7, 1)
    assert possible((-3.0, 50.0), "psnr") == (-3, 50)
    assert possible(None) is None


# --- what is not independent ---

GROUPS = np.repeat(np.arange(20), 50)  # 50 patches of each of 20 photographs


def correlated(rng, trials):
    """(trials, 1000): values about 0 that differ much from photograph to photograph, and little within one."""
    return np.repeat(rng.normal(size=(trials, 20)), 50, axis=1) + 0.2 * rng.normal(size=(trials, 1000))


@pytest.mark.parametrize(
    ("estimate", "truth"),
    [
        (mean_of, 0.0),
        (lambda v, groups=None: mean_psnr(10 ** -(2 + v / 10), groups), 20.0),
        (lambda v, groups=None: explained_variance(1 + v / 8, np.full(1000, 4.0), groups), 0.75),
    ],
)
def test_intervals_over_patches_cover_the_truth(estimate, truth, rng):
    trials = correlated(rng, 1000)
    assert coverage((estimate(values, GROUPS) for values in trials), truth) >= 0.92
    assert coverage((estimate(values) for values in trials), truth) < 0.4, "patches counted as images"


def test_each_photograph_counts_once():
    values, names = np.array([1.0, 5.0, 3.0, 3.0, 3.0]), np.array(["b", "a", "b", "b", "b"])
    found = mean_of(values, names)
    assert (found.value, found.n) == (3.75, 2)
    assert found.ci95 == mean_of(np.array([2.5, 5.0])).ci95
    assert explained_variance(values, np.full(5, 10.0), names).value == pytest.approx(1 - 0.375)
    psnr_of = mean_psnr(np.array([0.1, 0.001, 0.0, 0.01]), np.array([0, 0, 1, 2]))
    assert (psnr_of.value, psnr_of.n) == (pytest.approx(20), 2), "a perfect photograph has no PSNR"


def test_one_photograph_has_no_interval():
    values, names = np.array([1.0, 2.0, 6.0]), np.array(["a", "a", "a"])
    assert mean_of(values, names) == Estimate(3.0, None, 1)
    assert mean_psnr(10**-values, names) == Estimate(30.0, None, 1)
    assert explained_variance(values, 2 * values, names) == Estimate(0.5, None, 1)


def test_groups_of_one_image_each_are_no_groups(rng):
    values, names = rng.gamma(2, size=30), rng.permutation(30)
    assert mean_of(values, names).ci95 == pytest.approx(mean_of(values).ci95)
    assert mean_of(values[:0], names[:0]) == Estimate(None, None, 0)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_an_endless_error_makes_its_photographs_mean_endless(bad):
    found = mean_of(np.array([1.0, bad, 2.0]), np.array([0, 0, 1]))
    assert not np.isfinite(found.value)
    assert found.n == 2


# --- codes ---


def test_units_are_on_beyond_the_threshold_on_either_side():
    assert metrics.L0_THRESHOLD == 1e-6
    code = np.array([[0, 2e-6, -2e-6, 1e-6, -1e-7], [0, 0, 0, 0, -0.0], [1, -1, 3, 1e-3, np.pi]])
    np.testing.assert_array_equal(metrics.active(code)[0], [False, True, True, False, False])
    np.testing.assert_array_equal(metrics.l0(code), [2, 0, 5])
    assert metrics.l0(code).dtype == np.float64
    relu = np.maximum(np.random.default_rng(0).normal(size=(50, 30)), 0).astype(np.float32)
    np.testing.assert_array_equal(metrics.l0(relu), np.count_nonzero(relu, axis=1))


def test_mean_activation_is_of_each_sample_and_in_float64():
    code = np.array([[1, 2, 6], [-1, 0, 1]], np.float32)
    np.testing.assert_array_equal(metrics.mean_activation(code), [3, 0])
    many = np.full((1, 1 << 20), 0.1, np.float32)
    assert metrics.mean_activation(many)[0] == pytest.approx(np.float32(0.1), rel=1e-12), "float32 sums would drift"


# --- variation ---


@pytest.mark.parametrize("cuts", [[], [1], [250], [100, 101, 299], list(range(1, 300))])
def test_variation_is_the_sum_of_variances_however_it_is_cut(cuts, rng):
    x = (rng.normal(size=(300, 12)) * rng.random(12) + rng.normal(size=12)).astype(np.float32)
    variation = metrics.Variation()
    for chunk in np.split(x, cuts):
        variation.add(chunk)
    assert variation.value == pytest.approx(x.astype(np.float64).var(axis=0).sum(), rel=1e-9)
    assert variation.value > 0.1


def test_images_that_are_all_the_same_do_not_vary(rng):
    variation = metrics.Variation()
    assert variation.value == 0
    image = rng.random((1, 20), np.float32)
    for _ in range(7):
        variation.add(np.repeat(image, 100, axis=0))
    assert variation.value == pytest.approx(0, abs=1e-12)
    assert variation.value >= 0
    variation.add(1 - image)
    assert variation.value > 1e-4
