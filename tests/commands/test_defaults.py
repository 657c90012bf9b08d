"""What is trained when little is said: it can be built for any images, and what is said is kept."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus import Autoencoder, Dense, Gaussian, Images, Quantized, load
from isthmus.cli import run_command
from isthmus.commands.fitting.defaults import Wanted, choose
from isthmus.commands.fitting.judgement import Judgement
from isthmus.metrics import Estimate
from isthmus.networks import build
from isthmus.parts import KL, L1, MSE, NETWORKS, GaussianNoise, contradiction
from isthmus.training.history import Epoch, History

SHAPES = [(1, 1, 1), (1, 8, 8), (1, 28, 28), (3, 16, 16), (3, 32, 48), (1, 100, 7), (3, 128, 128)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("corruption", [None, GaussianNoise(0.1)], ids=["clean", "noisy"])
@pytest.mark.parametrize("penalty", [None, L1(0.1), KL(0.1)], ids=["dense code", "l1", "kl"])
def test_the_choice_fits_the_images(shape, corruption, penalty):
    choice = choose(Wanted(shape, 1000, corruption=corruption, penalty=penalty))
    network = build(choice.network, math.prod(shape), torch.Generator().manual_seed(0), shape)
    x_hat, *_ = network(torch.rand(2, math.prod(shape)))
    assert x_hat.shape == (2, math.prod(shape))
    assert contradiction(choice.network, penalty, None) is None
    assert f"1,000 images of {'×'.join(map(str, shape))}" in choice.why


@pytest.mark.parametrize("kind", [kind for kind, part in NETWORKS.items() if not part.by_function])
def test_a_kind_that_was_said_is_chosen(kind):
    assert choose(Wanted((1, 28, 28), 1000, kind=kind)).network.kind == kind


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("corruption", [None, GaussianNoise(0.1)], ids=["clean", "noisy"])
@pytest.mark.parametrize("n_parts", [3, 4, 5])
def test_a_code_that_is_cut_into_pieces_is_chosen_so_that_it_can_be(kind, corruption, n_parts):
    code, shape = Quantized(64, n_parts), (1, 40, 52)
    wanted = Wanted(shape, 100, kind=kind, corruption=corruption, plain=False, n_pieces=code.n_pieces)
    network = choose(wanted).network
    assert code.width(network, 2080, shape) % n_parts == 0
    fields = {"bottleneck": 7} if kind == "dense" else {"channels": (7,)}
    said = choose(replace(wanted, fields=fields)).network
    assert (said.bottleneck if kind == "dense" else said.channels[-1]) == 7, "what is said is kept"


@pytest.mark.parametrize("bottleneck", [8, 128, 129, 240, 700])
def test_of_few_images_hidden_layers_are_chosen_so_that_the_training_begins_at_pcas_solution(bottleneck):
    """Each of its components takes two units, so one more number must not make another training of it."""
    wanted = Wanted((1, 40, 52), 112, kind="dense", fields={"bottleneck": bottleneck})
    choice = choose(wanted)
    assert choice.training["start"] == "pca"
    assert choice.network.bottleneck == bottleneck
    assert choice.network.hidden[0] >= choice.network.hidden[1] >= 256
    many = choose(replace(wanted, n=5000)).network
    assert many.hidden == (512, 256), "where it does not begin there"


def test_what_was_said_is_kept_and_not_told_again():
    said = {"epochs": 3, "batch_size": 7, "patience": 2}
    fields = {"hidden": (12,), "bottleneck": 5}
    said |= {"learning_rate": 0.1, "schedule": "cosine", "start": "random", "standardize": False}
    for recipe in ("fast", "plain"):
        choice = choose(Wanted((1, 8, 8), 100, kind="dense", fields=fields, training=said, recipe=recipe))
        assert (choice.network.hidden, choice.network.bottleneck) == ((12,), 5)
        assert choice.training == said
        assert choice.why == ""


@pytest.mark.parametrize("recipe", ["fast", "plain"])
def test_more_images_are_gone_through_less_often(recipe):
    few, many = (choose(Wanted((1, 28, 28), n, recipe=recipe)).training for n in (100, 60_000))
    assert few["epochs"] > many["epochs"] >= 4
    assert few["batch_size"] < many["batch_size"]


def test_only_a_constant_rate_is_stopped_early():
    for recipe, said in (("fast", {}), ("fast", {"epochs": 30}), ("plain", {"schedule": "cosine"})):
        chosen = choose(Wanted((1, 28, 28), 5000, recipe=recipe, training=said))
        assert chosen.training["patience"] == chosen.training["epochs"]
        assert "keeping the best" in chosen.why
        assert "at most" not in chosen.why
    plain = choose(Wanted((1, 28, 28), 5000, recipe="plain"))
    assert plain.training["patience"] < plain.training["epochs"]
    assert "at most" in plain.why


def test_a_denoiser_has_a_wider_code():
    plain, noisy = (choose(Wanted((1, 28, 28), 1000, corruption=part)).network for part in (None, GaussianNoise(0.3)))
    assert plain.bottleneck < noisy.bottleneck
    assert choose(Wanted((1, 8, 8), 12_000, corruption=GaussianNoise(0.1))).network.bottleneck >= 4 * 64


@pytest.mark.parametrize("recipe", ["fast", "plain"])
@pytest.mark.parametrize(("n", "start", "output"), [(500, "pca", "linear"), (5000, "data", "sigmoid")])
def test_a_fit_is_standardized_from_a_start_that_fits_the_images(recipe, n, start, output):
    chosen = choose(Wanted((1, 28, 28), n, recipe=recipe))
    assert chosen.training["standardize"] is True
    assert (chosen.training["start"], chosen.network.output) == (start, output)
    assert choose(Wanted((1, 28, 28), n, recipe=recipe, corruption=GaussianNoise(0.1))).training["start"] == "pca"


def test_a_variational_code_learns_the_noise_unless_a_loss_is_said(tmp_path, capsys):
    command = ["fit", "digits", "-o", str(tmp_path / "m"), "--code", "gaussian:0.5", "--bottleneck", "4"]
    assert run_command([*command, "--epochs", "3"]) == 0
    out, err = capsys.readouterr()
    assert "try more --epochs\n" in err, "and no beta below one that is below 1"
    of_pca = float(re.search(r"PCA, 4 numbers +(\S+)", out).group(1))
    fitted = load(tmp_path / "m")
    assert (fitted.code, fitted.loss) == (Gaussian(0.5, noise="learned"), MSE())
    variance = fitted.network_.code.noise.variance
    assert 0.7 * of_pca < float(variance) < 2 * of_pca
    assert fitted.history_.losses[-1] < 0.5 * fitted.history_.losses[0]
    assert run_command([*command, "--epochs", "4"]) == 0
    assert load(tmp_path / "m").code == fitted.code
    assert load(tmp_path / "m").network_.code.noise.variance != variance
    assert run_command([*command[:2], "-o", str(tmp_path / "o"), *command[4:], "--epochs", "1", "--loss", "mse:7"]) == 0
    assert (load(tmp_path / "o").code, load(tmp_path / "o").loss.weight) == (Gaussian(0.5), 7)
    assert run_command([*command[:2], "-o", str(tmp_path / "o"), *command[4:], "--epochs", "2"]) == 0
    assert (load(tmp_path / "o").code, load(tmp_path / "o").loss.weight) == (Gaussian(0.5), 7), (
        "it goes on with its own"
    )
    assert run_command(["fit", "digits", "-o", str(tmp_path / "q"), "--code", "quantized:8:2", "--epochs", "1"]) == 0
    assert load(tmp_path / "q").code == Quantized(8, 2)
    assert run_command(["fit", "digits", "-o", str(tmp_path / "x"), "--code", "gausian"]) == 2
    assert 'unknown code "gausian"; known: gaussian, plain, quantized' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("losses", "advice"),
    [
        ([300.0, 100.0, -150.0, -240.0, -226.0], "more images"),  # and its own images' went on down
        ([300.0, 100.0, -150.0, -240.0, -238.0], "more --epochs"),
        ([300.0, 100.0, -240.0, -239.0, -239.0, -238.0, -238.0], "more images"),
    ],
)
def test_more_epochs_are_no_way_where_other_images_got_worse(losses, advice):
    model = Autoencoder(Dense(bottleneck=4), code=Gaussian(noise="learned"), epochs=1, random_state=0)
    images = Images(np.random.default_rng(0).random((60, 1, 6, 6), np.float32))
    model.fit(images)
    rows = [Epoch(i, 0.0, 1.0, (), loss) for i, loss in enumerate(losses, 1)]
    model.history_ = History(rows)
    error = {"mse": Estimate(0.01, None, 2)}
    judged = Judgement(model, images, Path("m"), None, {"m": error}, True, 10, None)
    assert advice in judged._advice(["PCA"])


def test_a_variational_code_that_went_past_its_best_is_not_told_to_train_for_longer(tmp_path, capsys):
    """Ten light pages of a round ink spot, in 12 bits: the best epoch is an early one of thirty."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:40, :40]
    rows = [
        3900 - 2500 * (np.hypot(x - rng.integers(10, 30), y - rng.integers(10, 30)) < 6) + rng.normal(0, 30, x.shape)
        for _ in range(10)
    ]
    np.save(tmp_path / "pages.npy", np.stack(rows).clip(0, 4095).astype("uint16"))
    words = ["--range", "0:4095", "--code", "gaussian", "--epochs", "30", "--threads", "1"]
    assert run_command(["fit", str(tmp_path / "pages.npy"), "-o", str(tmp_path / "m"), *words]) == 0
    err = capsys.readouterr().err
    assert "of 7 images PCA knows more than it learns: try more images; a variational code is for sampling" in err
    assert "--code" not in err, "the price of the code is a small part"
    assert "more --epochs" not in err
