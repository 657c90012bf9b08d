"""`isthmus fit` that goes on: with more --epochs of the same model, or --from another, on other images."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import isthmus
from isthmus.cli import run_command
from isthmus.commands.fitting.baselines import better_than_first
from isthmus.commands.fitting.continuation import Base
from isthmus.commands.fitting.training_run import _learned_from
from isthmus.commands.shared.part_syntax import read_words
from isthmus.data.identity import from_text, marks_of, to_text
from isthmus.training import checkpoint, session
from isthmus.training.checkpoint import OtherTrainingError

# so that a training does not begin at PCA's solution, which would be that of what chose too
LEARNING = ("--code-activation", "tanh")
QUICK = ("--threads", 1, "--device", "cpu", "--hidden", 16, "--bottleneck", 4, *LEARNING)
ANY = QUICK[:4]


def extra(folder):
    return json.loads((folder / "config.json").read_text())["extra"]


def edited(folder, change):
    """Edit what config.json keeps; without its sha256, as an older isthmus wrote it."""
    config = json.loads((folder / "config.json").read_text())
    change(config["extra"])
    config.pop("sha256", None)
    (folder / "config.json").write_text(json.dumps(config))


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


def add_digits(folder, label, n=30):
    data = load_digits()
    (folder / f"more{label}").mkdir(parents=True)
    for i in np.flatnonzero(data.target == label)[:n]:
        pixels = np.rint(data.images[i] * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"more{label}" / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("first") / "m"
    assert run_command(["fit", str(digits), "-o", str(folder), "--epochs", "5", *map(str, QUICK)]) == 0
    return folder


@pytest.fixture
def m(first, tmp_path):
    return shutil.copytree(first, tmp_path / "m")


# --- more epochs ---


def test_more_epochs_go_on_as_a_new_cycle_and_say_so(m, digits, done):
    before, seen = extra(m), isthmus.load(m)
    out, err = done("fit", digits, "-o", m, "--epochs", 12, *QUICK)
    assert "goes on from 5 epochs to 12: a new cycle of 7, not the bits of one fit of 12" in err
    assert "from PCA's solution" not in err
    fewer = Base(seen, m, {"cycles": [3]}, "")  # stopped early
    assert fewer.words(5, 7).startswith("goes on from 3 of 5 epochs, for the others were no better, to 12: a new cycle")
    begun = Base(seen, m, {"cycles": [30, 3]}, "")  # three epochs of its own, after thirty of --from
    assert begun.words(3, 2).startswith("goes on from 3 epochs to 5: a new cycle of 2")
    now, model = extra(m), isthmus.load(m)
    assert (now["fit"]["epochs"], now["cycles"], before["cycles"]) == (12, [5, 7], [5])
    assert len(model.history_) == 7
    assert model.history_[0].validation_loss < 1.2 * min(seen.history_.validation_losses)
    assert now["validation"]["mse"] <= before["validation"]["mse"]
    assert {**now["seen"]} == before["seen"], "the same images are held out"
    assert model.warm_start is False
    assert not list(m.parent.glob("*.checkpoint"))
    assert "on 10 held-out images" in out
    row = next(line for line in out.splitlines() if line.startswith("m, before"))
    assert f" {before['test']['mse']:.6f} " in row, "what it was is measured beside what it has become"
    done("fit", digits, "-o", m, "--epochs", 13, *QUICK)
    assert extra(m)["cycles"] == [5, 7, 1]


@pytest.mark.parametrize("epochs", [["--epochs", 5], ["--epochs", 3], []])
def test_the_same_or_fewer_are_refused_with_the_ways_out(epochs, m, digits, refused):
    before = weights(m)
    line = refused("fit", digits, "-o", m, *epochs, *QUICK)
    assert "already holds a model of 5 epochs" in line
    for way in ("raise --epochs above 5 to continue", f"in another -o by --from {m}", "add --force to replace it"):
        assert way in line
    assert weights(m) == before


def test_one_that_stopped_early_is_refused_with_the_epochs_that_it_had(m, digits, refused):
    edited(m, lambda known: known.update(cycles=[3]))
    line = refused("fit", digits, "-o", m, *QUICK)
    assert f"{m} already holds a model of 3 of 5 epochs; raise --epochs above 5 to continue" in line


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--learning-rate", 0.01], "(different: --learning-rate)"),
        (["--seed", 3, "--corruption", "gaussian:0.1"], "(different: --corruption, --seed)"),
        (["--hidden", 20], "--hidden 20: {} has 16, and its weights fit no other network; leave --hidden out"),
        (["--classes", "zero,one"], "(different: --classes, the images)"),
        (["--validation", 0.2], "(different: --validation)"),
        (["--resize", "9x9"], "(different: --resize, the images)"),
    ],
)
def test_what_differs_otherwise_is_named_and_refused(options, named, m, digits, refused):
    before = weights(m)
    assert named.format(m) in refused("fit", digits, "-o", m, *QUICK, "--epochs", 9, *options)
    assert weights(m) == before
    assert not list(m.parent.glob("*.checkpoint"))


def test_force_begins_anew(m, digits, done):
    _, err = done("fit", digits, "-o", m, "--epochs", 7, *QUICK, "--force")
    assert "goes on" not in err
    assert extra(m)["cycles"] == [7]


def test_a_model_that_does_not_say_how_it_was_fitted_is_refused(m, digits, refused, done, tmp_path):
    edited(m, lambda known: known.pop("fit"))
    line = refused("fit", digits, "-o", m, "--epochs", 50, *QUICK)
    assert f"does not say how it was fitted; begin with it in another -o by --from {m}" in line
    done("fit", digits, "-o", tmp_path / "n", "--from", m, "--epochs", 2, *ANY)


def test_weights_that_no_epoch_betters_are_kept(m, digits, done):
    folder = m.parent / "wild"
    done("fit", digits, "-o", folder, "--from", m, "--epochs", 3, "--learning-rate", 5, *ANY)
    _, err = done("fit", digits, "-o", m.parent / "again", "--from", m, "--epochs", 3, "--learning-rate", 5, *ANY)
    way = "try more images or --augmentation affine or --learning-rate 0.0071"  # the recipe's, for 5 is above it
    began = f"the weights that it began with, those of {m}"
    assert f"no epoch was better by more than chance than {began}, which are kept: {way}\n" in err
    assert "none better than the start, as fitted before" in err
    assert "this model is PCA" not in err
    assert "train longer" not in err
    assert weights(folder) == weights(m)


def test_a_stopped_cycle_of_other_options_names_the_way_back_to_the_finished_model(
    m, digits, tmp_path, refused, monkeypatch
):
    def stopped(*_, **__):
        raise OtherTrainingError("m.checkpoint holds another training (different: epochs)")

    monkeypatch.setattr("isthmus.commands.fitting.training_run.train_with_checkpoints", stopped)
    before = weights(m)
    line = refused("fit", digits, "-o", m, "--epochs", 9, *QUICK)
    assert (
        f"to go on from the finished model without it, delete {m}.checkpoint; --force would train another model" in line
    )
    assert weights(m) == before
    assert "add --force to start over" in refused("fit", digits, "-o", tmp_path / "none", *QUICK)


def test_a_fit_of_other_images_that_betters_nothing_names_one_of_all_of_them(tmp_path, done):
    """A model of 90 digits that began PCA and stayed it, on 30 others; and on from there."""
    for name, first, last in (("old", 0, 90), ("new", 90, 120)):
        np.save(tmp_path / f"{name}.npy", load_digits().images[first:last].astype(np.uint8) * 15)
    old, new, m, n = (tmp_path / name for name in ("old.npy", "new.npy", "m", "n"))
    fit = (*ANY, "--epochs", 3, "--from")
    done("fit", old, "-o", m, "--bottleneck", 6, "--learning-rate", 1e-9, *fit[:-1])
    out, err = done("fit", new, "-o", n, "--learning-rate", 1e-9, *fit, m)
    assert f"begins with the weights of {m}, PCA of {old}: Dense(" in err
    still = f"this model is still PCA of {old}: no epoch was better by more than chance than the weights "
    kept = f"{still}that it began with, those of {{}}, which are kept: "
    way = f"try one fit of {old} and {new} in one folder, without --from; else try --augmentation affine"
    assert f"{kept.format(m)}{way}\n" in err, "no rate below the one that was said"
    assert "3 images chose the epoch, and so few hardly show a difference; a larger --validation shows more\n" in err
    assert [line.split("  ")[0] for line in out.splitlines()][2] == "PCA of these images alone, 6 numbers"
    _, err = done("fit", new, "-o", tmp_path / "o", "--learning-rate", 1e-9, *fit, n)
    assert f"begins with the weights of {n}, PCA of {old}: " in err
    assert f"{kept.format(n)}{way}\n" in err
    np.save(new, np.concatenate([np.load(old), np.load(new)]))
    out, err = done("fit", new, "-o", tmp_path / "all", *fit, m)
    assert "PCA of these images alone" not in out
    assert "in one folder" not in err


def test_more_epochs_that_better_nothing_name_a_way_that_is_not_refused(digits, tmp_path, done):
    m = tmp_path / "m"
    for epochs in (2, 4):
        _, err = done("fit", digits, "-o", m, "--epochs", epochs, "--learning-rate", 5, *QUICK[:-2])
    line = next(line for line in err.splitlines() if "which are kept" in line)
    ways = "more images or --augmentation affine or --learning-rate 0.0071"
    assert line.endswith(f"which are kept: try --from {m} -o NEW with {ways}")
    assert "train longer" not in err
    for i, way in enumerate((("--augmentation", "affine"), ("--learning-rate", 0.0071))):
        done("fit", digits, "--from", m, "-o", tmp_path / f"new-{i}", *way, "--epochs", 2, *ANY)


def test_what_is_better_is_the_best_and_always_the_mean_image():
    """Of ten photographs one chooses the epochs: more of them made a model worse than the mean image, unsaid."""
    errors = {"m": 0.0775, "PCA": 0.0384, "the mean image": 0.0653, "m, before": 0.0502}
    assert better_than_first(errors) == ["PCA", "the mean image"]
    assert better_than_first({**errors, "PCA": None}) == ["m, before", "the mean image"]
    assert better_than_first({**errors, "m": 0.06}) == ["PCA"]
    assert better_than_first({**errors, "m": 0.01}) == better_than_first({**errors, "m": None}) == []
    noisy = {**errors, "gaussian(0.1), as it is": 0.06}
    assert better_than_first(noisy) == ["PCA", "gaussian(0.1), as it is", "the mean image"]
    assert better_than_first({"m": 0.019312, "PCA": 0.01925}, 0.99) == [], "44 components of 44 images are 43"


@pytest.mark.parametrize("what", ["more epochs", "from"])
def test_a_stopped_one_goes_on_to_the_same_bytes(what, m, digits, tmp_path, done, monkeypatch):
    whole = shutil.copytree(m, tmp_path / "whole" / "m")
    options = ("--epochs", 12, *QUICK) if what == "more epochs" else ("--from", m, "--epochs", 7, *ANY)
    folders = (whole, m) if what == "more epochs" else (tmp_path / "whole" / "n", tmp_path / "n")
    done("fit", digits, "-o", folders[0], *options)
    before, calls, loss = weights(m), [], session.mean_loss

    def interrupted(*arguments, **given):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return loss(*arguments, **given)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", 0.0)
        patch.setattr(session, "mean_loss", interrupted)
        assert run_command(["fit", str(digits), "-o", str(folders[1]), *map(str, options)]) == 130
    assert weights(m) == before, "replaced whole or not at all"
    _, err = done("fit", digits, "-o", folders[1], *options)
    assert "continues after epoch 3, where it was stopped" in err
    assert weights(folders[1]) == weights(folders[0])
    assert (folders[1] / "config.json").read_text() == (folders[0] / "config.json").read_text()


# --- from another model ---


def test_what_is_not_said_is_the_models_own(denoiser, photographs, tmp_path, done):
    out, err = done("fit", photographs, "-o", tmp_path / "n", "--from", denoiser, "--epochs", 2, *ANY)
    old, new = isthmus.load(denoiser), isthmus.load(tmp_path / "n")
    assert (new.network, new.corruption, new.loss) == (old.network, old.corruption, old.part("loss"))
    assert extra(tmp_path / "n")["preparation"] == extra(denoiser)["preparation"]
    assert "images are prepared as for the training: --patches 8x8" in err
    assert f"begins with the weights of {denoiser}, PCA's linear filter of {photographs}: Dense(" in err
    assert new.network_.standardization == old.network_.standardization
    assert new.history_[0].step_losses[0] < 1.5 * old.history_[-1].loss
    assert "held out" in out.splitlines()[0], "the regions of each photograph are the same"
    assert extra(tmp_path / "n")["cycles"] == [15, 2]
    assert err.splitlines()[-1].startswith(f"next: isthmus denoise {tmp_path / 'n'} ")
    assert read_words("corruption", err.split("--corruption ")[-1].split()[0], "") == old.corruption


def test_what_is_said_counts(m, digits, tmp_path, done):
    done("fit", digits, "-o", tmp_path / "n", "--from", m, "--epochs", 2, "--corruption", "masking:0.1", *QUICK)
    assert isthmus.load(tmp_path / "n").corruption.label.startswith("masking(0.1")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hidden", "8"], "--hidden 8: {} has 16, and its weights fit no other network; leave --hidden out"),
        (["--bottleneck", 5], "--bottleneck 5: {} has 4,"),
        (["--network", "conv"], "--network conv: {} has dense,"),
        (["--resize", "9x9"], "9×9 grey; {} takes 8×8 grey; add --resize 8x8"),
        (["--loss", "bce"], 'loss "bce" needs output="sigmoid"'),
    ],
)
def test_contradictions_are_refused_by_name(options, words, m, digits, tmp_path, refused):
    line = refused("fit", digits, "-o", tmp_path / "n", "--from", m, *options, *ANY)
    assert words.format(m) in line
    assert not (tmp_path / "n").exists()


def test_what_is_no_autoencoder_is_refused(digits, tmp_path, refused):
    isthmus.save(PCA(2).fit(np.random.default_rng(0).normal(size=(9, 4))), tmp_path / "p")
    assert "holds a PCA, and only an Autoencoder" in refused(
        "fit", digits, "-o", tmp_path / "n", "--from", tmp_path / "p"
    )
    assert "is not a model's folder" in refused("fit", digits, "-o", tmp_path / "n", "--from", tmp_path / "no")


# --- what is held out ---


@pytest.mark.parametrize("seed", [0, 5])
def test_the_same_images_stay_held_out(seed, m, digits, tmp_path, done):
    out, _ = done("fit", digits, "-o", tmp_path / "n", "--from", m, "--seed", seed, "--epochs", 2, *ANY)
    old, new = extra(m)["seen"], extra(tmp_path / "n")["seen"]
    for name in ("left_out", "selected_on", "n_trained_on"):
        assert new[name] == old[name]
    assert "on 10 held-out images" in out


def test_no_image_of_a_larger_folder_is_held_out_that_was_trained_on(m, digits, tmp_path, copy_of, done):
    more = add_digits(copy_of(digits, tmp_path / "digits"), 3)
    names = set(isthmus.open_images(digits).names)
    out, err = done("fit", more, "-o", tmp_path / "n", "--from", m, "--seed", 4, "--epochs", 2, *ANY)
    assert f"; {m} was trained on 71 of them, none of which is held out" in err
    old, new = extra(m)["seen"], extra(tmp_path / "n")["seen"]
    trained, selected = names - set(old["left_out"]), set(old["selected_on"])
    tested = set(new["left_out"]) - set(new["selected_on"])
    assert len(tested) == 12
    assert not tested & (trained | selected)
    assert not set(new["left_out"]) & trained
    assert "on 12 held-out images" in out
    fresh = set(isthmus.open_images(more).names) - set(new["left_out"]) - trained
    assert ("none of the others is trained on" in err) is not bool(fresh)
    # and the model that comes of it knows what both were trained on
    _, err = done("evaluate", tmp_path / "n", digits)
    n = len(names - (set(old["left_out"]) & set(new["left_out"])))
    assert n > 71
    assert f"was trained on {n} of these 90 images" in err
    rows = json.loads(done("score", tmp_path / "n", digits, "--json")[0])["images"]
    unseen = {row["name"] for row in rows if not row["seen"]}
    assert unseen <= set(old["left_out"])
    assert unseen == set(old["left_out"]) & set(new["left_out"])
    # a third model does too
    _, err = done("fit", digits, "-o", tmp_path / "o", "--from", tmp_path / "n", "--epochs", 1, *ANY)
    third = extra(tmp_path / "o")["seen"]
    assert set(third["left_out"]) <= unseen
    assert third["n_trained_on"] >= 71


def test_an_arrays_images_are_known_by_their_pixels(tmp_path, done):
    x = np.random.default_rng(0).integers(0, 256, (120, 6, 6), dtype=np.uint8)
    np.save(tmp_path / "old.npy", x[:60])
    np.save(tmp_path / "all.npy", x[::-1])
    done("fit", tmp_path / "old.npy", "-o", tmp_path / "m", "--epochs", 1, *LEARNING, *ANY)
    done("fit", tmp_path / "all.npy", "-o", tmp_path / "n", "--from", tmp_path / "m", "--epochs", 1, *ANY)
    marks = marks_of(isthmus.open_images(tmp_path / "all.npy"))
    old, new = extra(tmp_path / "m")["seen"], extra(tmp_path / "n")["seen"]
    trained = set(from_text(old["trained"]).tolist())
    assert len(trained) == old["n_trained_on"] == 44
    held_out = set(marks.tolist()) - set(from_text(new["trained"]).tolist())
    assert len(held_out) == 24
    assert not held_out & trained


def test_images_that_were_all_trained_on_are_not_called_held_out(m, digits, tmp_path, done, copy_of):
    known = copy_of(digits, tmp_path / "digits")
    for name in extra(m)["seen"]["left_out"]:
        (known / name).unlink()
    out, err = done("fit", known, "-o", tmp_path / "n", "--from", m, "--epochs", 1, *ANY)
    assert out.splitlines()[0].startswith(f"on 10 images, which {m} was trained on")
    assert "held" not in out
    assert extra(tmp_path / "n")["held_out_errors"] is None, "`score` has none to compare others with"
    assert extra(tmp_path / "n")["seen"]["left_out"] is None
    _, err = done("evaluate", tmp_path / "n", known)
    assert "was trained on these 71 images" in err


def test_a_model_that_does_not_know_its_images_says_so(m, digits, tmp_path, done, copy_of):
    def old(known):
        del known["seen"]["trained"], known["seen"]["selected"]

    edited(m, old)
    more = add_digits(copy_of(digits, tmp_path / "digits"), 3)
    out, _ = done("fit", more, "-o", tmp_path / "n", "--from", m, "--epochs", 1, *ANY)
    assert out.splitlines()[0].startswith(f"on 12 images, which {m} may have been trained on")
    # the names of its own collection it does know
    edited(m, lambda known: known.pop("fit"))
    out, _ = done("fit", digits, "-o", tmp_path / "o", "--from", m, "--epochs", 1, "--seed", 8, *ANY)
    assert "on 10 held-out images" in out
    assert extra(tmp_path / "o")["seen"]["left_out"] == extra(m)["seen"]["left_out"]


def test_marks_come_back_as_they_were_written():
    marks = np.array([7, 3, 2**64 - 1, 3], np.uint64)
    assert from_text(to_text(marks)).tolist() == [3, 7, 2**64 - 1]
    assert from_text(to_text([])).tolist() == []
    for wrong in (None, 3, "?", "AAA=", ["a"]):
        assert from_text(wrong) is None
    assert to_text(np.arange(200_000)) is None


@pytest.mark.parametrize(
    ("former", "kept_start", "is_refitted", "expected"),
    [
        (None, False, False, ["new"]),
        (["old"], False, False, ["old", "new"]),
        (["old"], True, False, ["old"]),
        (["old"], True, True, ["new"]),
        (["new"], False, False, ["new"]),
        ([], False, False, []),
        ([], True, True, ["new"]),
    ],
)
def test_what_weights_come_of(former, kept_start, is_refitted, expected):
    fitted = SimpleNamespace(before_refit={} if is_refitted else None)
    model = SimpleNamespace(fitted_=fitted, history_=SimpleNamespace(kept_start=kept_start))
    base = None if former is None else SimpleNamespace(learned_from=former)
    assert _learned_from(model, "new", base) == expected
