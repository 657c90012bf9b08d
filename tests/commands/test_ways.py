"""What a fit is advised: what helps there, and the network where that is the limit."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from isthmus import MSE, GaussianNoise, Images, Plain
from isthmus.commands.fitting.judgement import Judgement
from isthmus.commands.fitting.ways import larger_network, more_images
from isthmus.metrics import Estimate
from isthmus.parts import Masking, Occlusion


class Losses(SimpleNamespace):
    """A history of them."""

    def __len__(self):
        return len(self.losses)


def fitted(code_size=64, corruption=None, shape=None, augmentation=None, losses=(0.02, 0.01), held_out=(0.02, 0.01)):
    return SimpleNamespace(
        network_=SimpleNamespace(code_size=code_size, shape=shape, part=SimpleNamespace()),
        corruption=corruption or GaussianNoise(0.1),
        augmentation=augmentation,
        training_=SimpleNamespace(epochs=18),
        history_=Losses(losses=np.array(losses), validation_losses=np.array(held_out), kept_start=True),
    )


def images(side):
    return Images(np.zeros((20, 1, side, side), np.float32))


def judged(model, errors=None, side=8):
    return Judgement(model, images(side), None, None, errors or {}, whole=False, n_choosing=20, base=None)


def test_a_network_that_is_the_limit_is_told_of_larger_ones():
    assert larger_network(fitted(64), images(8)) == "--bottleneck 512 or --network conv"
    assert larger_network(fitted(512), images(8)) == "--network conv"
    assert larger_network(fitted(512), images(4)) == "--hidden 256,256 --bottleneck 128 --epochs 36"
    assert larger_network(fitted(512), images(16)) == "--network conv"
    assert larger_network(fitted(512, shape=(8, 2, 2)), images(16)) == "more images"


@pytest.mark.parametrize(("loss", "is_limit"), [(0.01, True), (0.001, False)])
def test_more_images_are_advised_where_it_knows_its_own_better(loss, is_limit):
    more = judged(fitted(losses=(0.02, loss)))._more()
    assert ("--network conv" in more, "more images" in more) == (is_limit, not is_limit)


def test_a_linear_filter_of_patches_is_told_of_whole_photographs():
    """Of micrographs convolutions of patches, which were advised, had two to five times its error."""
    under_noise, with_holes = fitted(), fitted(corruption=Masking(0.1))
    assert judged(under_noise, side=64)._more() == "whole photographs, without --patches"
    assert judged(under_noise, side=40)._more() == "whole photographs, without --patches and with --training-crop 32"
    assert "--patches" not in judged(with_holes, side=64)._more()


@pytest.mark.parametrize(("loss", "by_heart"), [(0.0005, True), (0.0035, False)])
def test_what_is_worse_on_its_own_images_too_has_not_learned_them_by_heart(loss, by_heart):
    """Of 180 scans with a hole, "more images" was advised for a network whose own images had 4 times their error."""
    model = fitted(corruption=Occlusion(8), losses=(0.02, 0.01, loss), held_out=(0.02, 0.01, 0.0062), shape=(8, 2, 2))
    model.part, model.penalty, model.network_.code_part = {"loss": MSE()}.get, None, Plain()
    errors = {"m, 64 numbers": 0.0062, "occlusion(8), as it is": 0.00077, "the mean image": 0.014}
    judgement = judged(model, {name: {"mse": Estimate(mse, None, 18)} for name, mse in errors.items()})
    advice = judgement._advice(["occlusion(8), as it is"])
    assert advice.startswith("it reconstructs its training images far better") is by_heart
    assert advice.startswith("train longer") is not by_heart


@pytest.mark.parametrize(("side", "shape", "is_told"), [(40, None, True), (8, None, False), (40, (8, 5, 5), False)])
def test_where_a_region_is_missing_convolutions_are_advised(side, shape, is_told):
    ways = more_images(fitted(corruption=Occlusion(4), shape=shape), images(side), whole=True, pieces=True)
    assert ways.startswith("--network conv --augmentation affine or ") is is_told


@pytest.mark.parametrize(("side", "crop"), [(40, 32), (25, 24), (49, None), (12, None)])
def test_a_denoiser_of_small_images_is_told_of_the_one_for_whole_images(side, crop):
    way = f"--training-crop {crop}, which trains a denoiser of whole images, or "
    ways = more_images(fitted(), images(side), whole=True, pieces=True)
    assert ways.startswith(way) is (crop is not None)
    assert "--training-crop" not in more_images(fitted(), images(side), whole=False, pieces=True)
    assert "--training-crop" not in more_images(fitted(corruption=Masking(0.1)), images(side), whole=True, pieces=True)
    at_its_limit = replace(judged(fitted(), side=side), whole=True)
    assert at_its_limit._more().startswith(way) is (crop is not None)


@pytest.mark.parametrize(("psnr", "is_told"), [(26.81, True), (29.0, False), (None, False)])
def test_a_psnr_that_is_worse_is_told_where_the_mse_is_not(psnr, is_told):
    rows = {"m, 64 numbers": (0.002228, psnr), "occlusion(10), as it is": (0.002365, 28.2)}
    errors = {name: {"mse": Estimate(mse, None, 14), "psnr": Estimate(p, None, 14)} for name, (mse, p) in rows.items()}
    words = list(judged(fitted(), errors)._psnr_words())
    assert bool(words) is is_told
    if is_told:
        assert "PSNR 28.20 before, 26.81 after" in words[0]
