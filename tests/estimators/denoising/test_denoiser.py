"""The denoiser: what it learns, in any unit; tiles, resuming, wrong input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone

from isthmus import Denoiser, GaussianNoise, Poisson, Residual, Sequence, UNet
from isthmus.data.images import pixels_of
from isthmus.data.photographs.image_list import image_list
from isthmus.errors import DataError, DoubtWarning, RequestError
from isthmus.estimators.denoising.denoiser_fit import DenoiserFit
from isthmus.estimators.denoising.setups import DenoiserSetup, NeighborSetup, PairSetup
from isthmus.estimators.denoising.tiles import denoise_tiles
from isthmus.objective import Objective
from isthmus.parts import MSE, Training

SMALL = {"crop": 16, "crops_per_epoch": 64, "epochs": 2, "precision": "float32", "random_state": 0}


def photos(n=6, channels=1, seed=0):
    """Images of several sizes with edges and flat areas, in [0, 1]."""
    stream, found = np.random.default_rng(seed), []
    for i in range(n):
        h, w = 40 + 3 * i, 50 - 2 * i
        image = np.full((channels, h, w), 0.5, np.float32)
        for _ in range(12):
            top, left, grey = stream.integers(h), stream.integers(w), stream.random((channels, 1, 1))
            image[:, top : top + stream.integers(4, 20), left : left + stream.integers(4, 20)] = grey
        found.append(image)
    return found


def noisy(images, sigma, seed=1):
    stream = np.random.default_rng(seed)
    return [image + stream.normal(0, sigma, image.shape).astype(np.float32) for image in images]


def mse(a, b):
    return float(np.mean([np.square(x - y).mean() for x, y in zip(a, b, strict=True)]))


@pytest.fixture(scope="module")
def model():
    return Denoiser(
        Residual(width=16, depth=4), noise=GaussianNoise((0, 0.2)), crop=24, crops_per_epoch=800, epochs=6,
        learning_rate=8e-3, schedule="one-cycle", precision="float32", random_state=0,
    ).fit(photos(20))  # fmt: skip


def test_it_takes_noise_out_of_images_it_has_not_seen(model):
    clean = photos(4, seed=9)
    for sigma, times in ((0.05, 3), (0.1, 5), (0.2, 8)):
        y = noisy(clean, sigma)
        assert mse(model.denoise(y, sigma), clean) < mse(y, clean) / times


def test_the_level_that_is_told_matters(model):
    clean = photos(4, seed=9)
    y = noisy(clean, 0.1)
    assert mse(model.denoise(y, 0.1), clean) < min(mse(model.denoise(y, s), clean) for s in (0.02, 0.2))


def test_without_a_level_that_of_each_image_is_estimated(model):
    clean = photos(4, seed=9)
    y = [*noisy(clean[:2], 0.05), *noisy(clean[2:], 0.15)]
    blind = model.denoise(y)
    assert model.sigma_ == pytest.approx([0.05, 0.05, 0.15, 0.15], rel=0.2)
    told = [*model.denoise(y[:2], 0.05), *model.denoise(y[2:], 0.15)]
    assert mse(blind, clean) < 1.1 * mse(told, clean)
    assert all(np.array_equal(a, b) for a, b in zip(model.transform(y), blind, strict=True))


@pytest.mark.parametrize(("scale", "offset"), [(255, 0), (1e-3, 0), (-1, 1), (1, 100)])
def test_results_do_not_depend_on_unit_and_offset(model, scale, offset):
    other = clone(model).set_params(noise=GaussianNoise((0, 0.2 * abs(scale))))
    other.fit([scale * x.astype(np.float64) + offset for x in photos(20)])
    clean = photos(4, seed=9)
    y = noisy(clean, 0.1)
    x_hat = other.denoise([scale * image.astype(np.float64) + offset for image in y], 0.1 * abs(scale))
    assert mse([(x - offset) / scale for x in x_hat], clean) == pytest.approx(
        mse(model.denoise(y, 0.1), clean), rel=0.3
    )


LEARNS = {
    "crop": 24, "crops_per_epoch": 800, "epochs": 6, "learning_rate": 8e-3, "schedule": "one-cycle",
    "precision": "float32", "random_state": 0,
}  # fmt: skip


@pytest.mark.parametrize(("other", "crops"), [("clean", 800), ("noisy", 800), ("none", 1600)])
def test_without_clean_images_it_learns_from_noisy_ones(other, crops, model):
    clean = photos(20)
    X, Y = noisy(clean, 0.1), {"clean": clean, "noisy": noisy(clean, 0.1, seed=2), "none": None}[other]
    target = "clean" if other == "clean" else "noisy"
    blind = Denoiser(Residual(16, 4), target=target, **{**LEARNS, "crops_per_epoch": crops}).fit(X, Y)
    unseen = photos(4, seed=9)
    y = noisy(unseen, 0.1)
    assert mse(blind.denoise(y), unseen) < mse(y, unseen) / 3.5
    assert mse(blind.denoise(y), unseen) < 3 * mse(model.denoise(y), unseen)


@pytest.mark.parametrize("sigma", [0.01, 0.03, 0.1])
def test_of_noisy_images_alone_the_level_is_that_of_their_noise(sigma):
    """Also where the network takes out less, or more, than the noise; edges and stripes are not counted."""
    stripes = 0.2 + 0.1 * np.sin(2.0 * np.add.outer(np.arange(60), np.arange(60)))
    images = [np.pad(x, ((0, 0), (0, 60), (0, 60)), "reflect") for x in photos(4)]
    for x in images[2:]:
        x[:, :40, :60] = stripes[:40]
    small = Denoiser(Residual(8, 4), target="noisy", **SMALL).fit(noisy(images, sigma))
    small.denoise(noisy(images, sigma, seed=2))
    assert small.sigma_ == pytest.approx([sigma] * 4, rel=0.12)


def test_pairs_must_fit():
    X = photos()
    with pytest.raises(DataError, match="X has 6 images and Y 5"):
        Denoiser(Residual(4, 4), **SMALL).fit(X, X[:5])
    with pytest.raises(DataError, match="same shape"):
        Denoiser(Residual(4, 4), **SMALL).fit(X, X[::-1])


def test_constant_images_stay_as_they_are(model):
    for grey in (0.0, 0.5, 1.0):
        image = np.full((1, 30, 40), grey, np.float32)
        for sigma in (0, 0.1, 0.2):
            assert np.abs(model.denoise([image], np.float32(sigma))[0] - grey).max() < 1e-6


def test_the_mean_over_flips_and_turns_is_better_and_turns_with_the_image(model):
    clean = [x[:, :38, :40] for x in photos(4, seed=9)]
    y = noisy(clean, 0.1)
    average = Denoiser(self_ensemble=True).of(model)
    assert mse(average.denoise(y, 0.1), clean) < mse(model.denoise(y, 0.1), clean)
    views = [np.ascontiguousarray(np.rot90(y[0] if i < 4 else y[0].swapaxes(1, 2), i, (1, 2))) for i in range(8)]
    x_hats = average.denoise(views, 0.1)
    back = [np.rot90(x_hat, -i, (1, 2)) for i, x_hat in enumerate(x_hats)]
    back[4:] = [x_hat.swapaxes(1, 2) for x_hat in back[4:]]
    assert max(np.abs(x_hat - back[0]).max() for x_hat in back) < 1e-5
    assert np.abs(average.denoise([np.full((1, 30, 40), 0.5, np.float32)], 0.2)[0] - 0.5).max() < 1e-6


@pytest.mark.parametrize("read", [None, 0.05])
def test_a_grey_image_in_three_channels_is_told_the_noise_along_grey(read):
    from tests.networks.test_denoisers import trained

    network, times = trained(Residual(8, 4), 3), np.sqrt(3)
    grey = np.repeat(np.random.default_rng(0).random((1, 40, 50), np.float32), 3, axis=0)
    colour = grey.copy()
    colour[0, 20, 20] += 1e-6

    def x_hat(image, times=1.0):
        known = None if read is None else read * times
        return denoise_tiles(network, image, 0.1 * times, read=known, scale=1.0, dtype=torch.float32)

    assert np.abs(x_hat(grey) - x_hat(colour, times)).max() < 1e-4
    assert np.abs(x_hat(grey) - x_hat(colour)).max() > 1e-2


@pytest.mark.parametrize("noise", [GaussianNoise((0.05, 0.2)), Poisson((16, 64))], ids=["gaussian", "poisson"])
def test_some_crops_with_colours_are_grey_and_told_the_noise_along_grey(noise):
    scene = torch.from_numpy(np.concatenate(photos(1, channels=3))[:, :32, :32].copy())

    def drawn(images):
        setup = DenoiserSetup(
            Training(), Objective(MSE()), seed=0, corruption=noise, image_shape=images.shape, scale=1.0
        )
        x_in, x = setup.pair(images.flatten().repeat(640, 1), torch.Generator().manual_seed(0))
        c = len(images)
        planes, x = x_in.view(-1, c + 1, 32, 32), x.view(-1, c, 32, 32)
        return planes[:, :c] - x, planes[:, c], x

    errors, plane, x = drawn(scene)
    grey = (x == x[:, :1]).all(dim=1).flatten(1).all(dim=1)
    has_noise = errors.flatten(1).any(dim=1)
    assert 25 < grey.sum() < 60
    assert (errors[grey] == errors[grey][:, :1]).all()
    torch.testing.assert_close(x[grey][0], scene.mean(dim=0).expand(3, -1, -1))

    def found(chosen):  # the noise that there is, of what is told
        return float((errors[chosen] / plane[chosen][:, None]).std())

    assert found(has_noise & ~grey) == pytest.approx(1, rel=0.05)
    assert found(has_noise & grey) == pytest.approx(3**-0.5, rel=0.05)
    errors, plane, _ = drawn(scene[:1])  # one channel is told its noise as it is
    assert float((errors / plane[:, None])[errors.flatten(1).any(dim=1)].std()) == pytest.approx(1, rel=0.05)


def test_of_noisy_photographs_a_grey_one_is_told_the_noise_along_grey_and_no_other_is_made_grey():
    y = 0.1 * torch.randn((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    y[0] = y[0, :1]
    of_pairs = PairSetup(Training(), Objective(MSE()), seed=0, image_shape=(6, 32, 32))
    x_in, _ = of_pairs.pair(torch.cat([y, y], 1).flatten(1), torch.Generator().manual_seed(0))
    told = x_in.view(2, 4, 32, 32)[:, 3, 0, 0]
    assert told.tolist() == pytest.approx([0.1 * 3**0.5, 0.1], rel=0.2)
    validation = NeighborSetup(
        Training(), Objective(MSE()), seed=0, image_shape=(3, 32, 32), corruption=GaussianNoise(0.1)
    )
    _, x = validation.validation_pair(y[1:].flatten(1).repeat(640, 1), torch.Generator().manual_seed(0))
    x = x.view(-1, 3, 32, 32)
    is_constant = (x == x[..., :1, :1]).flatten(1).all(dim=1)
    assert not (x == x[:, :1])[~is_constant].flatten(1).all(dim=1).any()


def test_score_is_the_psnr_under_noise_of_its_own(model):
    clean = photos(4, seed=9)
    assert model.score(clean) == model.score(clean)
    assert model.score(clean) > 25


@pytest.mark.parametrize("part", [Residual(8, 4), UNet(4)], ids=repr)
@pytest.mark.parametrize("size", [(64, 96), (75, 61)], ids=str)
@pytest.mark.parametrize("self_ensemble", [False, True])
def test_tiles_give_the_pixels_of_one_piece(part, size, self_ensemble):
    from tests.networks.test_denoisers import trained

    network, image = trained(part, 3), np.random.default_rng(0).random((3, *size), np.float32)
    done = []
    arguments = {"scale": 0.7, "dtype": torch.float32, "self_ensemble": self_ensemble}
    whole = denoise_tiles(network, image, 0.1, **arguments)
    tiled = denoise_tiles(network, image, 0.1, tile=24, on_progress=lambda *n: done.append(n), **arguments)
    assert np.abs(tiled - whole).max() < 1e-5
    for dtype in map(np.dtype, (np.uint8, np.uint16)):
        rounded = denoise_tiles(network, image, 0.1, tile=24, rounded=dtype, **arguments)
        np.testing.assert_array_equal(rounded, pixels_of(tiled, dtype), strict=True)
    assert np.abs(whole - image).max() > 0.01
    assert done == [(i + 1, len(done)) for i in range(len(done))]
    assert len(done) > 4


def test_a_stopped_fit_goes_on_to_the_same_bits(tmp_path):
    from isthmus.training.checkpoint import Checkpoints

    asked = Denoiser(Residual(4, 4), **{**SMALL, "epochs": 4})
    whole = clone(asked).fit(photos())
    stopped = clone(asked).fit_epochs(photos(), checkpoint=Checkpoints(tmp_path / "c", every=0))
    for _ in range(2):
        next(stopped)
    stopped.close()
    rest = clone(asked)
    rows = list(rest.fit_epochs(photos(), checkpoint=tmp_path / "c"))
    assert [row.epoch for row in rows] == [3, 4]
    for a, b in zip(whole.network_.parameters(), rest.network_.parameters(), strict=True):
        assert torch.equal(a, b)


def test_forms_of_images_come_back_as_they_came():
    model = Denoiser(Residual(4, 4), **SMALL).fit(photos())
    assert model.denoise(np.zeros((2, 1, 9, 8)), 0.1).shape == (2, 1, 9, 8)
    assert [x.shape for x in model.denoise([np.zeros((9, 8)), np.zeros((1, 5, 6))], 0.1)] == [(9, 8), (1, 5, 6)]
    assert model.denoise([np.zeros((1, 9, 8))], 0.1)[0].dtype == np.float32


def test_validation_photographs_are_held_out_whole():
    model = Denoiser(Residual(4, 4), validation_fraction=0.5, patience=1, **SMALL).fit(photos())
    assert np.isfinite(model.history_.validation_losses).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": GaussianNoise(0.1)}, "Residual, UNet"),
        ({"noise": GaussianNoise(0.1, clip=True)}, "neither clipped"),
        ({"noise": Sequence([Poisson(30), GaussianNoise((0, 0.1))])}, "of one sigma"),
        ({"noise": Sequence([GaussianNoise(0.1, clip=True), Poisson(30)])}, "a Sequence of Poisson and then"),
        ({"crop": 2}, "crop"),
        ({"crops_per_epoch": 0}, "crops_per_epoch"),
        ({"validation_fraction": 0.99}, "leave one of 6 images"),
        ({"epochs": 0}, "epochs"),
        ({"target": "clear"}, "target"),
        ({"target": "noisy", "crop": 9}, "even"),
        ({"target": "noisy", "noise": Poisson(30)}, 'images of target="noisy" have noise of their own, .* leave out P'),
        (
            {"target": "noisy", "noise": Sequence([Poisson(30), GaussianNoise(0.1)])},
            "one level is estimated; leave out S",
        ),
        ({"patience": 2}, "patience needs validation"),
    ],
)
def test_wrong_parameters(changes, words):
    with pytest.raises(RequestError, match=words):
        Denoiser(**{**SMALL, **changes}).fit(photos())


def test_wrong_input(model):
    for sigma in (-1, np.nan, np.inf):
        with pytest.raises(RequestError, match="sigma"):
            model.denoise(photos(1), sigma)
    for nothing, words in ((None, "got NoneType"), ([], "got no images"), ({}, "got dict")):
        with pytest.raises(DataError, match=words):
            model.denoise(nothing, 0.1)
    for shape in ((1, 30), (30, 1), (1, 1)):
        (x_hat,) = model.denoise([np.full(shape, 0.5, np.float32)])
        np.testing.assert_allclose(x_hat, 0.5, atol=1e-5)
    with pytest.raises(DataError, match="NaN or infinite"):
        pixels_of(np.array([0.5, np.nan]), np.dtype(np.uint8))
    with pytest.raises(RequestError, match="3 channels"):
        model.denoise(photos(1, channels=3), 0.1)
    with pytest.raises(DataError, match="NaN"):
        model.denoise([np.full((9, 9), np.nan)], 0.1)
    with pytest.warns(DoubtWarning, match="sigma is in their unit"):
        Denoiser(Residual(4, 4), **SMALL).fit([255 * x for x in photos()])
    with pytest.warns(DoubtWarning, match=r"the noise is at most 25, and the images' numbers span 0\.\d+: sigma is in"):
        Denoiser(Residual(4, 4), **SMALL | {"noise": GaussianNoise((0, 25))}).fit(photos())
    of_counts = r"noise of 100 photons of a pixel of 1, so 3.*e\+05 of one at that, .*: divide them, so that white is 1"
    with pytest.warns(DoubtWarning, match=of_counts):
        Denoiser(Residual(4, 4), **SMALL | {"noise": Poisson((100, 1000))}).fit([4095 * x for x in photos()])
    mixed = [*photos(2), *(pixels_of(x, np.dtype(np.uint8)) for x in photos(2))]
    with pytest.warns(DoubtWarning, match="X holds numbers of float32 and uint8, which are taken as they are"):
        Denoiser(Residual(4, 4), noise=GaussianNoise(20.0), **SMALL).fit(mixed)


@pytest.mark.parametrize(
    ("factor", "sigma", "words"),
    [
        (255, 25, "numbers of Y span"),
        (1, 25, "sigma is 25, and the images' numbers span"),
        (1, 1e-5, "sigma is 1e-05, and the images' numbers span"),
        (1 / 4095, 25 / 4095, "numbers of Y span .*, so multiply them by 4"),
    ],
)
def test_other_numbers_than_those_of_the_training_are_doubted(model, factor, sigma, words):
    with pytest.warns(DoubtWarning, match=words):
        model.denoise([factor * x for x in photos(1)], sigma)


def test_constant_images_can_be_trained_on():
    model = Denoiser(Residual(4, 4), **SMALL).fit([np.full((1, 30, 30), 0.5)] * 2)
    assert np.isfinite(model.denoise([np.full((1, 9, 9), 0.5)])[0]).all()


def test_saved_and_loaded_it_gives_the_same_bits(tmp_path, model):
    import isthmus

    model.save(tmp_path / "den")
    again = isthmus.load(tmp_path / "den")
    y = noisy(photos(2, seed=9), 0.1)
    assert all(np.array_equal(a, b) for a, b in zip(again.denoise(y), model.denoise(y), strict=True))
    assert repr(again) == repr(clone(model).set_params(random_state=0))
    assert again.history_.losses.tolist() == model.history_.losses.tolist()


# --- shot noise ---

SHOT = [Poisson((10, 200)), Sequence([Poisson((10, 200)), GaussianNoise(0.05)])]


def shot(images, peak, read, seed=1):
    stream = np.random.default_rng(seed)
    return [
        (stream.poisson(x * peak) / peak + stream.normal(0, read, x.shape) if read else stream.poisson(x * peak) / peak)
        for x in images
    ]


@pytest.fixture(scope="module", params=SHOT, ids=repr)
def shot_model(request):
    return Denoiser(Residual(width=16, depth=4), noise=request.param, **LEARNS).fit(photos(20))


def test_shot_noise_goes_at_the_level_that_is_told_or_estimated(shot_model):
    clean, read = photos(4, seed=9), shot_model.noise.shot_and_read[1]
    y = shot(clean, 30, read)
    told = mse(shot_model.denoise(y, 30**-0.5), clean)
    assert told < mse(y, clean) / 4
    assert told < min(mse(shot_model.denoise(y, peak**-0.5), clean) for peak in (3, 300))
    assert mse(shot_model.denoise(y), clean) < 1.2 * told
    assert shot_model.sigma_ == pytest.approx([30**-0.5] * 4, rel=0.2)
    assert shot_model.score(clean) > 20


def test_shot_noise_is_smoothed_more_where_it_is_bright(shot_model):
    """A plane of one level would take as much from the dark half as from the bright one."""
    x = np.full((1, 64, 64), 0.05, np.float32)
    x[..., 32:] = 0.9
    (y,) = shot([x], 30, shot_model.noise.shot_and_read[1])
    taken = np.square(shot_model.denoise([y], 30**-0.5)[0] - y)
    assert taken[..., 36:].mean() > 4 * taken[..., :28].mean()


def test_tiles_of_shot_noise_give_the_pixels_of_one_piece():
    from tests.networks.test_denoisers import trained

    network, image = trained(Residual(8, 4), 3), np.random.default_rng(0).random((3, 75, 61), np.float32)
    arguments = {"scale": 0.7, "dtype": torch.float32, "read": 0.02}
    whole = denoise_tiles(network, image, 0.1, **arguments)
    assert np.abs(denoise_tiles(network, image, 0.1, tile=24, **arguments) - whole).max() < 1e-5
    assert np.abs(denoise_tiles(network, image, 0.1, **{**arguments, "read": None}) - whole).max() > 1e-4


def test_shot_noise_needs_numbers_of_at_least_0():
    with pytest.raises(RequestError, match="pairs have noise of their own, and one level is estimated; leave out P"):
        Denoiser(Residual(4, 4), noise=Poisson(30), **SMALL).fit(photos(), photos())
    with pytest.raises(RequestError, match="images for Poisson noise must be numbers of at least 0, got -"):
        Denoiser(Residual(4, 4), noise=Poisson(30), **SMALL).fit([x - 1 for x in photos()])


def test_shot_noise_is_saved(tmp_path, shot_model):
    import isthmus

    shot_model.save(tmp_path / "den")
    again, y = isthmus.load(tmp_path / "den"), shot(photos(2, seed=9), 30, 0)
    assert again.noise == shot_model.noise
    assert all(np.array_equal(a, b) for a, b in zip(again.denoise(y), shot_model.denoise(y), strict=True))


@pytest.mark.parametrize(
    ("arguments", "n", "others", "expected"),
    [
        ({"recipe": "fast"}, 4, False, True),
        ({}, 4, False, False),
        ({"recipe": "fast", "target": "noisy"}, 4, False, False),
        ({"recipe": "fast"}, 4, True, False),
        ({"recipe": "fast"}, 100, False, False),
    ],
)
def test_channels_come_in_any_order_where_few_clean_photographs_have_colours(arguments, n, others, expected):
    images = image_list([np.random.default_rng(i).random((3, 20, 20), np.float32) for i in range(n)])
    fit = DenoiserFit(Denoiser(crop=16, noise=GaussianNoise(0.1), **arguments), images, images if others else None)
    assert fit._split()[0].any_colour is expected


def test_a_level_of_nothing_is_in_no_other_unit():
    photos = list(np.random.default_rng(0).random((2, 1, 12, 12), np.float32))
    model = Denoiser(Residual(width=4, depth=2), noise=GaussianNoise(0.0), crop=8, crops_per_epoch=8, epochs=1)
    assert np.isfinite(model.fit(photos).history_.losses).all(), "without a warning, which is an error here"


def test_one_result_is_alive_at_a_time(model, tmp_path):
    import weakref

    from PIL import Image

    for i, x in enumerate(noisy(photos(5, seed=9), 0.1)):
        Image.fromarray(pixels_of(x[0].clip(0, 1), np.dtype(np.uint8))).save(tmp_path / f"{i}.png")
    together, alive, each = model.denoise(tmp_path), [], []
    levels = model.sigma_
    for i, x_hat in enumerate(model.denoise_each(tmp_path)):
        alive.append(weakref.ref(x_hat))
        each.append(x_hat.copy())
        assert sum(ref() is not None for ref in alive) == 1
        np.testing.assert_array_equal(model.sigma_[: i + 1], levels[: i + 1])
        assert np.isnan(model.sigma_[i + 1 :]).all()
    assert len(each) == len(together) == 5
    assert all(np.array_equal(a, b) for a, b in zip(each, together, strict=True))
    for dtype in ("uint8", np.uint16):
        rounded = list(model.denoise_each(tmp_path, dtype=dtype))
        for a, b in zip(rounded, together, strict=True):
            np.testing.assert_array_equal(a, pixels_of(b, np.dtype(dtype)), strict=True)


def test_what_cannot_be_denoised_one_by_one_is_refused_at_once(model):
    with pytest.raises(RequestError, match="3 channels"):
        model.denoise_each(photos(1, channels=3), 0.1)
    for dtype in ("int8", "float64", "unknown", 8):
        with pytest.raises(RequestError, match='dtype must be "uint8", "uint16" or None'):
            model.denoise_each(photos(1), dtype=dtype)
    in_255 = Denoiser(noise=GaussianNoise((0, 50))).of(model)
    in_255.scale_ = 255 * model.scale_
    with pytest.raises(RequestError, match=r'dtype="uint8" is of images in \[0, 1\], .* so that white is 1'):
        next(in_255.denoise_each([255 * x for x in photos(1)], 10, dtype="uint8"))
    with pytest.raises(DataError, match="Y has no images"):
        model.denoise(np.zeros((0, 1, 9, 9)))
