"""One contract for every corruption, and what each computes."""

import numpy as np
import pytest
import torch

from isthmus.corruption import corrupt, noisy_version
from isthmus.errors import RequestError
from isthmus.parts import CORRUPTIONS, GaussianNoise, Masking, Occlusion, Poisson, SaltAndPepper, Sequence, from_table
from isthmus.rng import generator

EXAMPLES = {
    "gaussian": [
        GaussianNoise(0.3),
        GaussianNoise(0.3, clip=True),
        GaussianNoise(0.3, relative=True),
        GaussianNoise(0.3, clip=True, relative=True),
    ],
    "salt-and-pepper": [SaltAndPepper(0.3)],
    "masking": [Masking(0.3), Masking(0.3, value=0.5), Masking(0.3, "mean")],
    "occlusion": [
        Occlusion(3),
        Occlusion(2, value=0.5),
        Occlusion(2, value="mean"),
        Occlusion(2, image_shape=(9, 9, 9)),
    ],
    "poisson": [Poisson(0.5), Poisson(1000)],
    "sequence": [Sequence((Poisson(30), Masking(0.2))), Sequence((Occlusion(3),))],
}
SHAPE = (1, 5, 8)  # of x below; it goes before that of a part
every_corruption = pytest.mark.parametrize("part", [p for parts in EXAMPLES.values() for p in parts], ids=repr)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def x():
    return torch.rand((500, 40), generator=seeded(0))


def test_every_corruption_has_an_example():
    assert EXAMPLES.keys() == CORRUPTIONS.keys()


@every_corruption
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_contract(part, dtype, x, global_generators):
    x = x.to(dtype)
    before, state = x.clone(), global_generators()
    part.check(40, SHAPE)
    x_noisy = corrupt(part, x, seeded(1), SHAPE)
    assert x_noisy.shape == x.shape
    assert x_noisy.dtype == dtype
    assert x_noisy.is_contiguous()
    assert torch.equal(x, before)
    assert x_noisy.data_ptr() != x.data_ptr()
    assert torch.equal(corrupt(part, x, seeded(1), SHAPE), x_noisy)
    assert not torch.equal(corrupt(part, x, seeded(2), SHAPE), x_noisy)
    assert (x_noisy != x).any(dim=1).all(), "every sample is corrupted"
    assert (x_noisy != x).any(dim=0).all(), "every feature is corrupted"
    assert global_generators() == state


@every_corruption
def test_no_samples_stay_no_samples(part, x):
    assert corrupt(part, x[:0], seeded(0), SHAPE).shape == (0, 40)


@every_corruption
def test_a_generator_moves_on(part, x):
    generator = seeded(1)
    first = corrupt(part, x, generator, SHAPE) - x
    assert not torch.equal(corrupt(part, x, generator, SHAPE) - x, first)


@every_corruption
def test_samples_that_lie_apart_in_memory_are_corrupted_alike(part, x):
    apart = x.repeat_interleave(2, dim=1)[:, ::2]
    assert not apart.is_contiguous()
    torch.testing.assert_close(corrupt(part, apart, seeded(1), SHAPE), corrupt(part, x, seeded(1), SHAPE))


# --- Gaussian noise ---


@pytest.mark.parametrize("sigma", [0.1, 0.5, 2.0])
def test_gaussian_noise_has_mean_0_and_the_asked_deviation(sigma):
    x = torch.linspace(0, 1, 400).repeat(1000, 1)
    noise = (corrupt(GaussianNoise(sigma), x, seeded(0)) - x).double()
    assert abs(noise.mean()) < 4 * sigma / noise.numel() ** 0.5
    assert noise.std().item() == pytest.approx(sigma, rel=0.01)
    assert (noise.abs() > 2 * sigma).double().mean().item() == pytest.approx(0.0455, rel=0.05)
    neighbours = torch.corrcoef(torch.stack([noise[:, :-1].flatten(), noise[:, 1:].flatten()]))[0, 1]
    assert abs(neighbours) < 0.01


def test_clip_keeps_pixels_in_range_and_changes_no_other(x):
    free = corrupt(GaussianNoise(0.5), x, seeded(3))
    clipped = corrupt(GaussianNoise(0.5, clip=True), x, seeded(3))
    assert free.min() < 0
    assert free.max() > 1
    assert torch.equal(clipped, free.clamp(0, 1))


def test_relative_noise_scales_with_each_samples_norm():
    x = torch.rand((3, 20_000), generator=seeded(0)) * torch.tensor([[0.01], [1.0], [100.0]])
    noise = corrupt(GaussianNoise(0.5, relative=True), x, seeded(1)) - x
    power = noise.square().mean(dim=1) / x.square().mean(dim=1)
    torch.testing.assert_close(power, torch.full((3,), 0.25), rtol=0.05, atol=0)


def test_relative_noise_leaves_a_black_image_black():
    x = torch.zeros((2, 10))
    assert torch.equal(corrupt(GaussianNoise(0.5, relative=True), x, seeded(1)), x)


@pytest.mark.parametrize("part", [GaussianNoise(0.0), SaltAndPepper(0), Masking(0), Sequence((Masking(0),))])
def test_level_0_changes_nothing(part, x):
    assert torch.equal(corrupt(part, x, seeded(1)), x)


# --- a share of the numbers: salt and pepper, masking ---

N = 4000


def many(level):
    """N samples of 25 numbers, all of the one level."""
    return torch.full((N, 25), level)


def deviation(p):
    """Of a share of N · 25 numbers that each are taken with probability p."""
    return (p * (1 - p) / (25 * N)) ** 0.5


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("level", [0.25, 0.75])
def test_salt_and_pepper_is_0_or_1_equally_often(fraction, level):
    x_noisy = corrupt(SaltAndPepper(fraction), many(level), seeded(0)).double()
    assert set(x_noisy.unique().tolist()) == {0.0, level, 1.0}
    for value in (0, 1):
        share = (x_noisy == value).double().mean().item()
        assert share == pytest.approx(fraction / 2, abs=4 * deviation(fraction / 2))
    assert x_noisy.mean().item() == pytest.approx((1 - fraction) * level + fraction / 2, abs=0.01)
    mean_square = (1 - fraction) * level**2 + fraction / 2
    assert x_noisy.square().mean().item() == pytest.approx(mean_square, abs=0.01)


def test_salt_and_pepper_everywhere_leaves_nothing(x):
    assert set(corrupt(SaltAndPepper(1), x, seeded(0)).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_masking_sets_the_asked_share_to_0_and_leaves_the_others(fraction):
    x_noisy = corrupt(Masking(fraction), many(0.75), seeded(0)).double()
    assert set(x_noisy.unique().tolist()) == {0.0, 0.75}
    masked = (x_noisy == 0).double()
    assert masked.mean().item() == pytest.approx(fraction, abs=4 * deviation(fraction))
    assert x_noisy.mean().item() == pytest.approx((1 - fraction) * 0.75, abs=4 * deviation(fraction))
    of_samples = 25 * fraction * (1 - fraction)  # the variance of a sample's count: numbers are masked one by one
    assert masked.sum(dim=1).var().item() == pytest.approx(of_samples, rel=0.1)


def test_masking_everything_leaves_zeros_even_of_what_is_not_finite():
    x = torch.tensor([[1.0, -3.0, float("inf"), float("nan")]])
    assert torch.equal(corrupt(Masking(1), x, seeded(0)), torch.zeros((1, 4)))


def test_masking_takes_all_channels_of_a_pixel():
    x = torch.rand((200, 75), generator=seeded(0)) + 0.1
    images = corrupt(Masking(0.4), x, seeded(1), (3, 5, 5)).reshape(200, 3, 25)
    masked = images == 0
    assert torch.equal(masked[:, 0], masked[:, 1])
    assert torch.equal(masked[:, 0], masked[:, 2])
    assert masked.double().mean().item() == pytest.approx(0.4, abs=0.03)
    numbers = corrupt(Masking(0.4), x, seeded(1)).reshape(200, 3, 25) == 0
    assert not torch.equal(numbers[:, 0], numbers[:, 1]), "without a shape, each number is a pixel"


def test_the_shape_of_grey_images_changes_nothing_for_masking(x):
    assert torch.equal(corrupt(Masking(0.4), x, seeded(1), SHAPE), corrupt(Masking(0.4), x, seeded(1)))


# --- occlusion ---


def squares(part, n, shape, seed=0):
    """Where images of ones were occluded: (n, channels, height, width) of truth values."""
    ones = torch.ones((n, shape[0] * shape[1] * shape[2]))
    return (corrupt(part, ones, seeded(seed), shape) == part.value).reshape(n, *shape)


@pytest.mark.parametrize("shape", [(1, 5, 8), (3, 6, 4)])
@pytest.mark.parametrize(("size", "value"), [(1, 0.0), (3, 0.5), (4, -2.0)])
def test_occlusion_is_one_whole_square_in_all_channels(size, value, shape):
    covered = squares(Occlusion(size, value), 300, shape)
    assert (covered.sum(dim=(2, 3)) == size**2).all()
    assert (covered.any(dim=3).sum(dim=2) == size).all(), "so many rows"
    assert (covered.any(dim=2).sum(dim=2) == size).all(), "so many columns"
    first = covered.any(dim=3).double().argmax(dim=2)
    last = shape[1] - 1 - covered.any(dim=3).flip(2).double().argmax(dim=2)
    assert (last - first == size - 1).all(), "side by side"
    assert (covered == covered[:, :1]).all()
    assert len(covered.unique(dim=0)) > 1


def test_occlusion_leaves_the_rest(x):
    x_noisy = corrupt(Occlusion(2), x, seeded(0), SHAPE)
    changed = x_noisy != x
    assert (changed.sum(dim=1) == 4).all()
    assert (x_noisy[changed] == 0).all()


def test_occlusion_is_anywhere_equally_often():
    n, (_, height, width), size = 28_000, SHAPE, 2
    covered = squares(Occlusion(size), n, SHAPE)[:, 0]
    rows, columns = (covered.any(dim=dim).double().argmax(dim=1) for dim in (2, 1))
    counts = torch.bincount(rows * width + columns, minlength=height * width).reshape(height, width)
    assert counts.sum() == n
    inside = counts[: height - size + 1, : width - size + 1]
    assert inside.sum() == n, "wholly inside"
    assert inside.numel() == 28
    assert (inside - 1000).abs().max() < 5 * 1000**0.5


def test_a_square_of_the_images_size_covers_it(x):
    assert (corrupt(Occlusion(5), torch.ones((3, 25)), seeded(0), (1, 5, 5)) == 0).all()
    assert squares(Occlusion(5), 200, SHAPE)[:, 0].all(dim=1).sum(dim=1).eq(5).all(), "all rows, five columns"


def test_arrays_have_the_parts_shape_and_images_their_own(x):
    part = Occlusion(2, image_shape=SHAPE)
    assert torch.equal(corrupt(part, x, seeded(0)), corrupt(Occlusion(2), x, seeded(0), SHAPE))
    assert torch.equal(
        corrupt(part, x, seeded(0), (1, 8, 5)),
        corrupt(Occlusion(2), x, seeded(0), (1, 8, 5)),
    )
    assert not torch.equal(corrupt(part, x, seeded(0), (1, 8, 5)), corrupt(part, x, seeded(0)))


# --- Poisson ---


@pytest.mark.parametrize("peak", [0.5, 10, 300])
def test_poisson_has_mean_x_and_variance_x_over_peak(peak):
    levels = torch.tensor([0.0, 0.05, 0.5, 1.0, 20.0])
    x_noisy = corrupt(Poisson(peak), levels.repeat(40_000, 1), seeded(0)).double()
    variance = levels.double() / peak
    torch.testing.assert_close(x_noisy.var(dim=0), variance, rtol=0.05, atol=0)
    assert ((x_noisy.mean(dim=0) - levels).abs() <= 4 * (variance / 40_000).sqrt()).all()
    events = x_noisy * peak
    torch.testing.assert_close(events, events.round(), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("worst", "message"),
    [
        (-0.25, r"Poisson noise needs numbers of at least 0.*, got a minimum of -0\.25"),
        (float("nan"), "at least 0.*, got a minimum of nan"),
        (1e9, r"the largest x · peak must be at most 1e\+09, got 10000000000.0"),
        (float("inf"), "the largest x · peak must be at most .*, got inf"),
    ],
)
def test_poisson_refuses_what_cannot_be_counted(worst, message, x):
    x[7, 3] = worst
    with pytest.raises(RequestError, match=message):
        corrupt(Poisson(10), x, seeded(0))


# --- sequences ---


def test_a_sequence_is_one_after_the_other_with_the_one_generator(x):
    parts = (GaussianNoise(0.3, clip=True), Occlusion(2), Poisson(20), Masking(0.2))
    generator, expected = seeded(5), x
    for part in parts:
        expected = corrupt(part, expected, generator, SHAPE)
    whole = corrupt(Sequence(parts), x, seeded(5), SHAPE)
    assert torch.equal(whole, expected)
    assert not torch.equal(corrupt(Sequence(parts[::-1]), x, seeded(5), SHAPE), whole)
    assert torch.equal(corrupt(Sequence(parts[:1]), x, seeded(5)), corrupt(parts[0], x, seeded(5)))


# --- what does not fit ---


@pytest.mark.parametrize(
    ("part", "shape", "message"),
    [
        (Occlusion(2), None, r"occlusion needs images: give \(n, channels, height, width\), or image_shape"),
        (Occlusion(6), SHAPE, "size must be at most 5, the shorter side of the images, got 6"),
        (Occlusion(6, image_shape=SHAPE), None, "size must be at most 5, .*, got 6"),
        (Occlusion(2, image_shape=(1, 5, 9)), None, r"image_shape must be of 40 numbers, .*, got \(1, 5, 9\)"),
        (Occlusion(2, image_shape=SHAPE), (3, 5, 8), r"image_shape must be of 40 numbers, .*, got \(3, 5, 8\)"),
        (Masking(0.1), (3, 5, 8), "image_shape must be of 40 numbers"),
        (GaussianNoise(0.1), (1, 40, 40), "image_shape must be of 40 numbers"),
    ],
)
def test_what_does_not_fit_is_refused_before_and_when_it_is_used(part, shape, message, x):
    for one in (part, Sequence((GaussianNoise(0.1), part))):
        with pytest.raises(RequestError, match=message):
            one.check(40, shape)
        with pytest.raises(RequestError, match=message):
            corrupt(one, x, seeded(0), shape)


@pytest.mark.parametrize(
    "part", [p for kind in EXAMPLES for p in EXAMPLES[kind] if kind not in ("occlusion", "sequence")]
)
def test_samples_that_are_no_images_can_have_any_other_corruption(part, x):
    part.check(40, None)
    assert not torch.equal(corrupt(part, x, seeded(0)), x)


# --- the noisy version of an image ---


@every_corruption
def test_the_noisy_version_of_an_image_does_not_depend_on_its_place(part, x, global_generators):
    x, state = x.numpy(), global_generators()
    before = x.copy()
    whole = noisy_version(x, part, SHAPE)
    assert (whole.dtype, whole.shape) == (np.float32, x.shape)
    order = np.random.default_rng(0).permutation(len(x))
    np.testing.assert_array_equal(noisy_version(x[order], part, SHAPE), whole[order])
    np.testing.assert_array_equal(noisy_version(x[333:334], part, SHAPE), whole[333:334])
    np.testing.assert_array_equal(noisy_version(x[::7].astype(np.float64), part, SHAPE), whole[::7])
    assert (whole != x).any(axis=1).all(), "every image is corrupted"
    assert (noisy_version(x, part, SHAPE, seed=1) != whole).any()
    np.testing.assert_array_equal(x, before)
    assert global_generators() == state


def test_only_duplicates_have_the_same_noise(x):
    x = x.numpy()
    x[7] = x[3]
    x[8] = x[3]
    x[8, 5] = np.nextafter(x[8, 5], np.float32(2))
    noise = noisy_version(x, GaussianNoise(0.3), SHAPE) - x
    np.testing.assert_array_equal(noise[7], noise[3])
    between = np.corrcoef(np.delete(noise, 7, axis=0)) - np.eye(len(x) - 1)
    assert np.abs(between).max() < 0.8, "no two of 499 images share noise of 40 pixels"
    np.testing.assert_allclose(noise.std(axis=0), 0.3, rtol=0.2)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.06)


def test_the_levels_of_gaussian_noise_scale_one_draw(x):
    x = x.numpy()
    little, more = (noisy_version(x, GaussianNoise(sigma), SHAPE) - x for sigma in (0.1, 0.5))
    np.testing.assert_allclose(5 * little, more, atol=1e-5)


def test_a_noisy_version_is_clipped_only_if_the_part_says_so(x):
    free, clipped = (noisy_version(x.numpy(), GaussianNoise(0.5, clip=clip), SHAPE) for clip in (False, True))
    assert free.min() < 0 < 1 < free.max()
    np.testing.assert_array_equal(clipped, free.clip(0, 1))


def test_a_noisy_version_is_of_images_that_cannot_be_written_too(x):
    x = x.numpy()
    x.flags.writeable = False
    assert (noisy_version(x, Masking(0.5), None) != x).any()
    assert noisy_version(x[:0], Masking(0.5), None).shape == (0, 40)
    with pytest.raises(RequestError, match="at most 5"):
        noisy_version(x[:0], Occlusion(6), SHAPE)


def test_no_denoiser_is_tested_on_noise_that_it_was_trained_on(x):
    tested = noisy_version(x.numpy(), GaussianNoise(1.0), None) - x.numpy()
    for seed in (0, 1):
        for epoch in range(4):
            trained = corrupt(GaussianNoise(1.0), x, generator(seed, "noise", epoch)) - x
            assert abs(np.corrcoef(tested.ravel(), trained.numpy().ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("part", [Masking(0.5, "mean"), Occlusion(3, "mean")], ids=repr)
def test_what_is_missing_may_be_the_mean_of_each_channel(part):
    x = torch.rand((40, 3, 5, 8), generator=seeded(0)) + torch.tensor([0.0, 5.0, -5.0])[:, None, None]
    found = corrupt(part, x.view(40, -1), seeded(1), (3, 5, 8)).view(x.shape)
    missing = found != x
    assert missing.any(dim=(1, 2, 3)).all()
    torch.testing.assert_close(found[missing], x.mean(dim=(2, 3), keepdim=True).expand(x.shape)[missing])
    page = torch.full((4, 40), 0.95)
    torch.testing.assert_close(corrupt(part, page, seeded(1), (1, 5, 8)), page)
    assert part.label.endswith(",value=mean)")


def test_a_value_is_a_number_or_a_word_that_is_known():
    with pytest.raises(RequestError, match="value must be a number, or \"mean\", got 'white'"):
        Masking(0.3, "white")
    Sequence((Masking(0.3, "mean"), Poisson(3)))
    with pytest.raises(RequestError, match="put it first"):
        Sequence((Masking(0.3, -1.0), Poisson(3)))


def test_a_range_of_levels_is_for_a_denoiser_alone():
    noise = GaussianNoise((0, 0.2))
    assert noise.label == "gaussian(0..0.2,clip=false)"
    assert from_table(CORRUPTIONS, noise.table()) == noise
    with pytest.raises(RequestError, match="a range is for the noise of a Denoiser"):
        corrupt(noise, torch.zeros(2, 4), torch.Generator())
    for wrong in ((0.2, 0.1), (0,), (-1, 1), (0, "a"), (0, np.nan)):
        with pytest.raises(RequestError, match="range"):
            GaussianNoise(wrong)
