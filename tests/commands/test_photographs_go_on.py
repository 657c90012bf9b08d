"""A denoiser of photographs goes on: with more --epochs of the same command, or --from it on these or others."""

from __future__ import annotations

import json
import shutil
from functools import partial

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

import isthmus
from isthmus import Denoiser, GaussianNoise, Poisson, Residual
from isthmus.cli import run_command
from isthmus.commands.fitting import photograph_fit
from isthmus.data.identity import from_text
from isthmus.estimators.denoising.classical import ClassicalDenoiser
from isthmus.training import checkpoint, loop

ANY = ("--threads", 1, "--device", "cpu")
NOISY = ("--noisy", "--training-crop", 16, *ANY)
SMALL = partial(Denoiser, network=Residual(4, 4), crops_per_epoch=64)


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """Of the command's denoisers the network and the epochs alone are smaller."""
    monkeypatch.setattr(photograph_fit, "Denoiser", SMALL)


def extra(folder):
    return json.loads((folder / "config.json").read_text())["extra"]


def edited(folder, change):
    """Edit config.json; without its sha256, as an older isthmus wrote it."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    config.pop("sha256", None)
    (folder / "config.json").write_text(json.dumps(config))


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def noisy_photographs(folder, first, n, side=60):
    """Pieces of a photograph with noise of 25 of 255."""
    folder.mkdir(parents=True, exist_ok=True)
    stream = np.random.default_rng(first)
    for i in range(first, first + n):
        x = load_sample_images().images[i % 2][17 * (i % 20) :][:side, 25 * (i % 20) :][:, : side + 10]
        pixels = (x + stream.normal(0, 25, x.shape)).round().clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return noisy_photographs(tmp_path_factory.mktemp("photographs") / "noisy", 0, 10)


@pytest.fixture(scope="module")
def first(noisy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("first") / "ny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(photograph_fit, "Denoiser", SMALL)
        assert run_command(["fit", str(noisy), "-o", str(folder), "--epochs", "2", *map(str, NOISY)]) == 0
    return folder


@pytest.fixture
def ny(first, tmp_path):
    return shutil.copytree(first, tmp_path / "ny")


def rows_of(out):
    return [line.split("  ")[0] for line in out.splitlines()]


# --- more epochs ---


def test_more_epochs_go_on_as_the_advice_says(ny, noisy, done):
    before, former = extra(ny), weights(ny)
    out, err = done("fit", noisy, "-o", ny, "--epochs", 8, *NOISY)
    assert "goes on from 2 epochs to 8: a new cycle of 6, not the bits of one fit of 8" in err
    now, model = extra(ny), isthmus.load(ny)
    assert (now["fit"]["epochs"], now["cycles"], before["cycles"]) == (8, [2, 6], [2])
    assert len(model.history_) == 6
    assert model.warm_start is False
    assert weights(ny) != former
    assert now["seen"] == before["seen"], "the same photograph is held out"
    assert now["fit"]["facts"] == before["fit"]["facts"]
    assert rows_of(out)[0].startswith("on 1 photograph, held out, against neighbours, whose noise adds 0.0")
    assert rows_of(out)[1:3] == [f"ny, {model.n_parameters_:,} weights", "ny, before"]
    row = next(line for line in out.splitlines() if line.startswith("ny, before"))
    assert f" {before['test']['mse']:.6f} " in row, "what it was is measured beside what it has become"
    assert not list(ny.parent.glob("*.checkpoint"))
    done("fit", noisy, "-o", ny, "--epochs", 9, *NOISY)
    assert extra(ny)["cycles"] == [2, 6, 1]


@pytest.mark.parametrize("epochs", [["--epochs", 2], ["--epochs", 1], []])
def test_the_same_or_fewer_are_refused_with_the_ways_out(epochs, ny, noisy, refused):
    before = weights(ny)
    line = refused("fit", noisy, "-o", ny, *epochs, *NOISY)
    assert "already holds a model of 2 epochs" in line
    for way in ("raise --epochs above 2 to continue", f"in another -o by --from {ny}", "add --force to replace it"):
        assert way in line
    assert weights(ny) == before


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ((*NOISY, "--learning-rate", 0.01), "--learning-rate"),
        ((*NOISY, "--seed", 3, "--test", 0.2), "--seed, --test"),
        (("--corruption", "gaussian:0.1", *NOISY[1:]), "--corruption, --noisy"),
        (("--noisy", "--training-crop", 18, *ANY), "--training-crop"),
        ((*NOISY, "--grey"), "--grey, the images"),
    ],
)
def test_what_differs_otherwise_is_named_and_refused(options, named, ny, noisy, refused):
    before = weights(ny)
    assert f"fitted differently (different: {named})" in refused("fit", noisy, "-o", ny, "--epochs", 9, *options)
    assert weights(ny) == before
    assert not list(ny.parent.glob("*.checkpoint"))


def test_other_photographs_in_its_place_are_refused(ny, tmp_path, refused):
    others = noisy_photographs(tmp_path / "others", 3, 9)
    assert "(different: the images)" in refused("fit", others, "-o", ny, "--epochs", 9, *NOISY)


def test_force_begins_anew(ny, noisy, done):
    _, err = done("fit", noisy, "-o", ny, "--epochs", 3, *NOISY, "--force")
    assert "goes on" not in err
    assert extra(ny)["cycles"] == [3]


@pytest.mark.parametrize("command", ["code", "photographs"])
def test_a_model_of_another_class_is_refused(command, ny, noisy, digits, tmp_path, refused, done):
    if command == "code":
        assert "a model of class Denoiser, and this command trains one of class Autoencoder" in refused(
            "fit", digits, "-o", ny, "--epochs", 9, *ANY
        )
        return
    done("fit", digits, "-o", tmp_path / "m", "--epochs", 1, *ANY)
    assert "a model of class Autoencoder, and this command trains one of class Denoiser" in refused(
        "fit", noisy, "-o", tmp_path / "m", "--epochs", 9, *NOISY
    )


@pytest.mark.parametrize("way", ["more epochs", "from"])
def test_a_second_cycle_that_is_stopped_goes_on_to_the_same_bytes(way, ny, noisy, tmp_path, done, monkeypatch):
    whole = shutil.copytree(ny, tmp_path / "whole" / "ny")
    options = ("--epochs", 6, *NOISY) if way == "more epochs" else ("--from", ny, "--epochs", 4, *ANY)
    folders = (whole, ny) if way == "more epochs" else (tmp_path / "whole" / "n", tmp_path / "n")
    done("fit", noisy, "-o", folders[0], *options)
    before, calls, epoch = weights(ny), [], loop._epoch

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return epoch(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", 0.0)
        patch.setattr(loop, "_epoch", interrupted)
        assert run_command(["fit", str(noisy), "-o", str(folders[1]), *map(str, options)]) == 130
    assert weights(ny) == before, "replaced whole or not at all"
    _, err = done("fit", noisy, "-o", folders[1], *options)
    assert "continues after epoch 2, where it was stopped" in err
    for name in ("model.safetensors", "config.json"):
        assert (folders[1] / name).read_bytes() == (folders[0] / name).read_bytes()


def test_a_folder_of_an_earlier_version_says_that_it_cannot_and_begins_another(ny, noisy, refused, done, tmp_path):
    def older(config):
        for name in ("fit", "cycles"):
            del config["extra"][name]
        del config["fitted"]["is_shot"], config["parameters"]["warm_start"]

    edited(ny, older)
    line = refused("fit", noisy, "-o", ny, "--epochs", 50, *NOISY)
    assert f"does not say how it was fitted; begin with it in another -o by --from {ny}" in line
    _, err = done("fit", noisy, "-o", tmp_path / "n", "--from", ny, "--epochs", 1, *ANY)
    assert f"begins with the weights of {ny}, trained for 2 epochs: Residual(width=4, depth=4)" in err
    assert f"{ny} was trained on 9 of them, none of which is held out" in err


@pytest.mark.parametrize("share", [[], ["--test", 0]])
def test_epochs_that_make_it_worse_on_what_it_trains_on_are_not_kept(share, ny, noisy, tmp_path, done):
    """Too high a rate: of Adam each step moves every weight by as much as it is."""
    words = ("--from", ny, "--epochs", 1, "--learning-rate", 0.5, *share, *ANY)
    out, err = done("fit", noisy, "-o", tmp_path / "n", *words)
    assert isthmus.load(tmp_path / "n").network_.state_dict().keys() == isthmus.load(ny).network_.state_dict().keys()
    for name, weight in isthmus.load(tmp_path / "n").network_.state_dict().items():
        assert torch.equal(weight, isthmus.load(ny).network_.state_dict()[name])
    assert "after 1 epoch more it left more error on what it trains on, so its weights are as before: try " in err
    assert "--learning-rate 0.12" in err
    assert "ny, before" not in out, "it is that"
    if not share:
        row = next(line for line in out.splitlines() if line.startswith("n, "))
        assert f" {extra(ny)['test']['mse']:.6f} " in row


# --- from another denoiser ---


def test_what_is_not_said_is_the_models(ny, tmp_path, done):
    others = noisy_photographs(tmp_path / "others", 20, 6, side=40)
    out, err = done("fit", others, "-o", tmp_path / "n", "--from", ny, "--epochs", 1, *ANY)
    old, new = isthmus.load(ny), isthmus.load(tmp_path / "n")
    assert (new.target, new.crop, new.crops_per_epoch, new.network) == ("noisy", 16, 64, Residual(4, 4))
    assert new.scale_ == old.scale_
    assert new.noise != old.noise, "that of these photographs, estimated"
    assert f"begins with the weights of {ny}, trained for 2 epochs: Residual(width=4, depth=4)" in err
    assert rows_of(out)[2] == "ny, before"
    assert extra(tmp_path / "n")["cycles"] == [2, 1]
    done("fit", others, "-o", tmp_path / "n", "--from", ny, "--epochs", 3, *ANY)
    assert extra(tmp_path / "n")["cycles"] == [2, 1, 2], "and it goes on by its own command"


def test_another_level_and_a_crop_that_are_said_count(ny, noisy, tmp_path, done):
    other = ("--corruption", "gaussian:0..0.3", "--training-crop", 16)
    out, _ = done("fit", noisy, "-o", tmp_path / "n", "--from", ny, "--epochs", 1, *other, *ANY)
    new = isthmus.load(tmp_path / "n")
    assert (new.target, new.noise, new.crop) == ("clean", GaussianNoise((0.0, 0.3)), 16)
    assert rows_of(out)[0] == "on 1 photograph, held out, sigma 0.15 told", "the same photograph"
    assert extra(tmp_path / "n")["seen"]["left_out"] == extra(ny)["seen"]["left_out"]
    done("fit", noisy, "-o", tmp_path / "o", "--from", tmp_path / "n", "--epochs", 1, *ANY)
    assert isthmus.load(tmp_path / "o").noise == new.noise


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--corruption", "poisson:30"), "--corruption poisson:30: {} is a denoiser of Gaussian noise, and goes on"),
        (("--corruption", "masking:0.1"), "--corruption masking:0.1: {} is a denoiser of Gaussian noise"),
        (("--bottleneck", 3), "--from {}: a denoiser of photographs is learned from whole photographs without --bott"),
        (("--patches", "8x8"), "whole photographs without --patches"),
        (("--noisy", "--corruption", "gaussian:0.1"), "give one of them"),
        (("--training-crop", 9), "--training-crop must be even, at least 16 and at most 40"),
        (("--grey",), "grey photographs; {} takes colour ones: give colour ones, or fit a new model without --from"),
    ],
)
def test_what_it_cannot_go_on_with_is_refused_by_name(options, words, ny, tmp_path, refused):
    small = noisy_photographs(tmp_path / "small", 20, 4, side=40)
    line = refused("fit", small, "-o", tmp_path / "n", "--from", ny, "--epochs", 1, *options, *ANY)
    assert words.format(ny) in line
    assert not (tmp_path / "n").exists()


def test_shot_noise_goes_on_as_such(photographs, tmp_path, done, refused):
    fit = ("fit", photographs, "--training-crop", 16, *ANY, "-o")
    done(*fit, tmp_path / "m", "--corruption", "poisson:20..100", "--epochs", 1)
    done(*fit, tmp_path / "n", "--from", tmp_path / "m", "--corruption", "poisson:30", "--epochs", 1)
    assert isthmus.load(tmp_path / "n").noise == Poisson(30)
    for other in (("--noisy",), ("--corruption", "gaussian:0.1")):
        line = refused(*fit, tmp_path / "o", "--from", tmp_path / "m", *other, "--epochs", 1)
        assert f"{' '.join(other)}: {tmp_path / 'm'} is a denoiser of Poisson noise" in line


def test_what_learns_a_code_is_no_start_for_noisy_photographs(denoiser, noisy, tmp_path, refused):
    line = refused("fit", noisy, "-o", tmp_path / "n", "--from", denoiser, "--noisy")
    assert f"from whole photographs without --from {denoiser}, which is of images through a code" in line


@pytest.mark.parametrize("white", [1, 255])
def test_a_denoiser_of_python_goes_on_unless_its_numbers_are_others(white, noisy, tmp_path, done, refused):
    photos = [white * np.random.default_rng(i).random((3, 40, 40), np.float32) for i in range(3)]
    model = SMALL(noise=GaussianNoise((0, 0.2 * white)), crop=16, epochs=1, random_state=0).fit(photos)
    isthmus.save(model, tmp_path / "m")
    fit = ("fit", noisy, "-o", tmp_path / "n", "--from", tmp_path / "m", "--noisy", "--epochs", 1, *ANY)
    if white == 255:
        words = f"{tmp_path / 'm'} was fitted to numbers that span 254, and those of these photographs span"
        assert words in refused(*fit)
        return
    out, _ = done(*fit)
    assert rows_of(out)[0].startswith(f"on 1 photograph, which {tmp_path / 'm'} may have been trained on, against")


def test_what_has_no_weights_is_refused(noisy, tmp_path, refused):
    photos = [np.random.default_rng(i).random((1, 40, 40), np.float32) for i in range(3)]
    isthmus.save(ClassicalDenoiser("wavelets").fit(photos), tmp_path / "w")
    line = refused("fit", noisy, "-o", tmp_path / "n", "--from", tmp_path / "w", "--noisy")
    assert "holds a ClassicalDenoiser, and only an Autoencoder or a Denoiser can be trained further" in line


# --- what is held out ---


def test_no_photograph_of_a_larger_folder_is_held_out_that_was_trained_on(ny, noisy, tmp_path, done, copy_of):
    more = noisy_photographs(copy_of(noisy, tmp_path / "more"), 12, 5)
    options = ("--epochs", 1, "--test", 0.2, "--seed", 4, *ANY)
    out, err = done("fit", more, "-o", tmp_path / "n", "--from", ny, *options)
    assert f"; {ny} was trained on 9 of them, none of which is held out" in err
    old, new = extra(ny)["seen"], extra(tmp_path / "n")["seen"]
    trained = {path.name for path in noisy.iterdir()} - set(old["left_out"])
    assert len(new["left_out"]) == 3
    assert not set(new["left_out"]) & trained
    assert rows_of(out)[0].startswith("on 3 photographs, held out")
    # and the model that comes of it knows what both were trained on
    _, err = done("evaluate", tmp_path / "n", noisy)
    n = 10 - len(set(old["left_out"]) & set(new["left_out"]))
    assert f"was trained on {'these 10' if n == 10 else f'{n} of these 10'} images" in err
    done("fit", more, "-o", tmp_path / "o", "--from", tmp_path / "n", *options, "--seed", 9)
    third = extra(tmp_path / "o")["seen"]
    assert set(third["left_out"]) <= set(new["left_out"])
    assert third["n_trained_on"] >= 12


def test_photographs_that_were_all_trained_on_are_not_called_held_out(ny, noisy, tmp_path, done, copy_of):
    known = copy_of(noisy, tmp_path / "known")
    for name in extra(ny)["seen"]["left_out"]:
        (known / name).unlink()
    out, _ = done("fit", known, "-o", tmp_path / "n", "--from", ny, "--epochs", 1, *ANY)
    assert rows_of(out)[0].startswith(f"on 1 photograph, which {ny} was trained on, against")
    assert "held" not in out
    assert extra(tmp_path / "n")["seen"]["left_out"] is None
    assert extra(tmp_path / "n")["seen"]["n_trained_on"] == 9
    _, err = done("evaluate", tmp_path / "n", known)
    assert "was trained on these 9 images" in err


def test_a_model_that_does_not_know_its_photographs_says_so(ny, noisy, tmp_path, done):
    edited(ny, lambda config: config["extra"].pop("seen"))
    out, _ = done("fit", noisy, "-o", tmp_path / "n", "--from", ny, "--epochs", 1, "--seed", 3, *ANY)
    assert rows_of(out)[0].startswith(f"on 1 photograph, which {ny} may have been trained on, against")


def test_an_arrays_photographs_are_known_by_their_pixels(tmp_path, done):
    x = np.random.default_rng(0).integers(0, 256, (20, 24, 24), dtype=np.uint8)
    np.save(tmp_path / "old.npy", x[:10])
    np.save(tmp_path / "all.npy", x[::-1])
    done("fit", tmp_path / "old.npy", "-o", tmp_path / "m", "--epochs", 1, *NOISY)
    done("fit", tmp_path / "all.npy", "-o", tmp_path / "n", "--from", tmp_path / "m", "--epochs", 1, *ANY)
    old, new = extra(tmp_path / "m")["seen"], extra(tmp_path / "n")["seen"]
    assert (old["n_trained_on"], new["n"], new["n_trained_on"]) == (9, 20, 18)
    marks = set(isthmus.data.identity.identities_of(x[:, None]).tolist())
    held_out = marks - set(from_text(new["trained"]).tolist())
    assert len(held_out) == 2
    assert not held_out & set(from_text(old["trained"]).tolist())


def test_pages_that_were_trained_on_are_not_held_out_of_a_longer_stack(tmp_path, done):
    pages = np.random.default_rng(0).integers(0, 256, (20, 60, 60), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", pages[:10], photometric="minisblack")
    done("fit", tmp_path / "stack.tif", "-o", tmp_path / "m", "--epochs", 1, *NOISY)
    old = set(extra(tmp_path / "m")["seen"]["left_out"])
    tifffile.imwrite(tmp_path / "stack.tif", pages[::-1], photometric="minisblack")
    out, _ = done("fit", tmp_path / "stack.tif", "-o", tmp_path / "n", "--from", tmp_path / "m", "--epochs", 1, *ANY)
    assert rows_of(out)[0].startswith("on 2 photographs, held out")
    new = extra(tmp_path / "n")["seen"]
    assert old == {"stack.tif#9", "stack.tif#10"}
    # the first eight pages of the stack as it was are the last now; between them and what is measured lies one page
    assert new["left_out"] == ["stack.tif#10", "stack.tif#11", "stack.tif#12", "stack.tif#9"]
    assert new["n_trained_on"] == 16


def test_one_photograph_goes_on_with_the_same_quarter_held_out(noisy, tmp_path, done):
    fit = ("fit", noisy / "00.png", "-o", tmp_path / "m", *NOISY)
    for epochs in (1, 2):
        out, _ = done(*fit, "--epochs", epochs)
        assert rows_of(out)[0].startswith("on the right quarter of one photograph, held out")
