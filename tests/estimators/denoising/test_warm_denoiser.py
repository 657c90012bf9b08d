"""A denoiser goes on from the former fit: the same photographs or others, saved, loaded, stopped and resumed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone

import isthmus
from isthmus import Denoiser, GaussianNoise, Poisson, Residual, Sequence, UNet
from isthmus.errors import DoubtWarning, RequestError
from isthmus.training.checkpoint import Checkpoints, OtherTrainingError
from tests.estimators.denoising.test_denoiser import mse, noisy, photos

SMALL = {"crop": 16, "crops_per_epoch": 64, "epochs": 2, "precision": "float32", "random_state": 0, "warm_start": True}


def small(**changes):
    return Denoiser(Residual(4, 4), **{**SMALL, **changes})


def weights(model):
    return {name: tensor.clone() for name, tensor in model.network_.state_dict().items()}


def same(a, b):
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("changes", [{}, {"target": "noisy"}, {"noise": Poisson((20, 100))}, {"recipe": "fast"}])
def test_a_step_of_no_size_leaves_the_weights_that_were_fitted(changes):
    model = small(**changes).fit(photos())
    before, scale = weights(model), model.scale_
    model.set_params(learning_rate=1e-30, optimizer="sgd").fit([0.5 * x for x in photos(3, seed=4)])
    assert same(weights(model), before)
    assert model.scale_ == scale, "in which the weights see numbers"
    assert not same(weights(clone(model).fit(photos())), before), "without a former fit it is a new start"


def test_two_fits_are_better_than_one_and_not_one_long_one():
    settings = {"crops_per_epoch": 400, "learning_rate": 4e-3}
    once, long = small(**settings, epochs=3).fit(photos(20)), small(**settings, epochs=6).fit(photos(20))
    twice = small(**settings, epochs=3).fit(photos(20)).fit(photos(20))
    unseen = photos(4, seed=9)
    assert twice.score(unseen) > once.score(unseen)
    assert len(twice.history_) == 3, "the rows of the last cycle alone"
    assert twice.history_.losses[0] < 1.1 * once.history_.losses[-1]
    assert not same(weights(twice), weights(long))


def test_the_same_fits_give_the_same_bits_and_each_has_crops_and_noise_of_its_own():
    a, b = (small().fit(photos()).fit(photos()) for _ in range(2))
    assert same(weights(a), weights(b))
    # with steps of hardly any size the losses show the crops and the noise alone
    model, losses = small(optimizer="sgd").fit(photos()), []
    for learning_rate in (1e-6, 1e-6, 1e-30, 1e-30):
        model.set_params(learning_rate=learning_rate).fit(photos())
        losses.append(model.history_[0].step_losses)
    assert np.abs(np.subtract(*losses[:2])).max() > 1e-3
    assert losses[2] == losses[3], "a function of the weights, which stayed"


def test_it_goes_on_with_another_level_and_another_target():
    model = small(noise=GaussianNoise(0.1), crops_per_epoch=400, epochs=3, learning_rate=4e-3).fit(photos(20))
    clean = photos(4, seed=9)
    y = noisy(clean, 0.3)
    before = mse(model.denoise(y, 0.3), clean)
    model.set_params(noise=GaussianNoise(0.3)).fit(photos(20))
    assert mse(model.denoise(y, 0.3), clean) < 0.9 * before
    model.set_params(target="noisy").fit(noisy(photos(20), 0.3))
    assert model.target == "noisy"
    assert mse(model.denoise(y), clean) < before


@pytest.mark.parametrize("is_half", [False, True])
def test_a_loaded_model_goes_on_to_the_same_bits(is_half, tmp_path):
    model = small(random_state=None if is_half else 0).fit(photos())
    model.save(tmp_path / "m")
    loaded = isthmus.load(tmp_path / "m")
    assert loaded.warm_start is True
    assert same(weights(loaded.fit(photos())), weights(model.fit(photos())))


def test_a_second_cycle_that_is_stopped_goes_on_to_the_same_bits(tmp_path):
    small().fit(photos()).save(tmp_path / "m")
    whole, stopped, rest = (isthmus.load(tmp_path / "m").set_params(epochs=4) for _ in range(3))
    before = weights(stopped)
    whole.fit(photos())
    rows = stopped.fit_epochs(photos(), checkpoint=Checkpoints(tmp_path / "c", every=0))
    for _ in range(2):
        next(rows)
    rows.close()
    assert same(weights(stopped), before), "the former fit stays"
    assert len(stopped.history_) == 2
    assert [row.epoch for row in rest.fit_epochs(photos(), checkpoint=tmp_path / "c")] == [3, 4]
    assert same(weights(rest), weights(whole))
    assert rest.history_.losses.tolist() == whole.history_.losses.tolist()


def test_a_checkpoint_of_a_new_start_is_another_training(tmp_path):
    model = small().fit(photos())
    rows = small().fit_epochs(photos(), checkpoint=Checkpoints(tmp_path / "c", every=0))
    next(rows)
    rows.close()
    with pytest.raises(OtherTrainingError, match="weights at the start"):
        model.fit(photos(), checkpoint=tmp_path / "c")


# --- the former weights can win ---


def test_with_patience_the_former_weights_stay_unless_an_epoch_is_better():
    validated = {"validation_fraction": 0.2, "patience": 5, "crops_per_epoch": 400, "learning_rate": 4e-3, "epochs": 4}
    model = small(**validated).fit(photos(20))
    before = weights(model)
    model.set_params(learning_rate=3.0).fit(photos(20))
    assert model.history_.kept_start
    assert same(weights(model), before)
    model.set_params(learning_rate=4e-3).fit(photos(20))
    assert not model.history_.kept_start
    assert not same(weights(model), before)


@pytest.mark.parametrize("changes", [{}, {"validation_fraction": 0.2}])
def test_where_nothing_chooses_the_new_weights_are_taken(changes):
    model = small(**changes).fit(photos())
    before = weights(model)
    model.set_params(learning_rate=0.3).fit(photos())
    assert not model.history_.kept_start
    assert not same(weights(model), before)


@pytest.mark.parametrize("random_state", [0, None, np.random.RandomState(3)])
def test_the_photographs_held_out_by_a_share_stay_held_out(random_state, monkeypatch):
    from isthmus.estimators.denoising.denoiser_fit import DenoiserFit

    held, split = [], DenoiserFit._split

    def watched(fitting):
        train, held_out = split(fitting)
        held.append([float(x.sum()) for x in held_out.photos.arrays])
        return train, held_out

    monkeypatch.setattr(DenoiserFit, "_split", watched)
    small(validation_fraction=0.3, random_state=random_state, epochs=1).fit(photos()).fit(photos())
    assert held[0] == held[1]


@pytest.mark.parametrize("is_loaded", [False, True])
def test_images_that_were_trained_on_and_are_held_out_now_are_doubted(is_loaded, tmp_path):
    model = small().fit(photos())
    if is_loaded:
        model.save(tmp_path / "m")
        model = isthmus.load(tmp_path / "m")
    model.set_params(validation_fraction=0.3, epochs=1)
    with pytest.warns(DoubtWarning, match="holds out now were trained on by the former fit, so their loss is too good"):
        model.fit(photos())
    model.fit(photos())  # the same ones again, and others, without a warning, which is an error here
    model.set_params(validation_fraction=0.5).fit(photos(seed=5))


# --- what cannot go on ---


@pytest.mark.parametrize(
    ("changes", "channels", "words"),
    [
        ({}, 3, "the images have 3 channels, and the network was fitted on 1; go on with such images, or fit anew"),
        ({"network": Residual(8, 4)}, 1, "network builds head.weight of .*, and the fitted one has head.weight of"),
        ({"network": UNet(4)}, 1, "network builds no .*, and the fitted one has"),
        (
            {"noise": Sequence([Poisson(30), GaussianNoise(0.1)])},
            1,
            "fitted to be told one level for each image, and noise=.*Poisson.* has a level for each pixel, .* fit anew",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_and_the_former_fit_stays(changes, channels, words):
    model = small().fit(photos())
    before = weights(model)
    with pytest.raises(RequestError, match=words):
        model.set_params(**changes).fit(photos(channels=channels))
    assert same(weights(model), before)
    assert len(model.denoise(photos(1), 0.1)) == 1


def test_noise_that_was_changed_after_the_fit_does_not_hide_what_was_trained_on(tmp_path):
    model = small(noise=Poisson((20, 100))).fit(photos())
    model.set_params(noise=GaussianNoise(0.1)).save(tmp_path / "m")
    for other in (model, isthmus.load(tmp_path / "m")):
        with pytest.raises(RequestError, match="a level for each pixel, as of shot noise, and noise=Gaussian"):
            other.fit(photos())


def test_other_numbers_are_doubted_for_the_unit_stays():
    model = small().fit(photos())
    with pytest.warns(DoubtWarning, match=r"span 2\d\d.*, and those of the former fit 0\.\d+, a unit that the network"):
        model.set_params(noise=GaussianNoise(20.0)).fit([255 * x for x in photos()])


def test_a_folder_of_an_earlier_version_goes_on(tmp_path):
    model = small(noise=Poisson((20, 100))).fit(photos())
    model.save(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    del config["fitted"]["is_shot"], config["parameters"]["warm_start"], config["sha256"]
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    old = isthmus.load(tmp_path / "m")
    assert old.warm_start is False
    assert same(weights(old.set_params(warm_start=True).fit(photos())), weights(model.fit(photos())))
    with pytest.raises(RequestError, match="a level for each pixel"):
        isthmus.load(tmp_path / "m").set_params(warm_start=True, noise=GaussianNoise(0.1)).fit(photos())
