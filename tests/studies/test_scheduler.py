"""Runs of small studies: what is trained again and what is not, what is measured, what is said."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from isthmus.errors import RequestError


def rows_of(results, **wanted):
    return [r for r in results.rows if all(getattr(r, name) == value for name, value in wanted.items())]


def untimed(results):
    return [row.table() for row in results.rows]


OF_CODES = """
[[model]]
name = "of-codes"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 2}
of = "dense-4"
epochs = 1
"""


def test_samples_that_are_far_from_0_are_told_of(run, tools, capsys):
    """Codes of a sigmoid are, and nothing standardizes a study's models unless it says so."""
    sigmoid = tools.HEAD + tools.DENSE.replace("bottleneck = 4", 'bottleneck = 4, code_activation = "sigmoid"')
    run(sigmoid + OF_CODES)
    assert re.search(r"of-codes: the samples' mean is 0\.\d+ and their standard deviation", capsys.readouterr().err)
    run(sigmoid + OF_CODES + "standardize = true\n", fresh=True)
    assert "the samples' mean" not in capsys.readouterr().err


# --- what is trained again ---


def test_a_second_run_trains_nothing_and_says_the_same(run, folder, tools, capsys):
    first = run()
    before = tools.written(folder)
    assert set(before) == {"nothing", "pca-4", "dense-4", "pca-of"}
    second = run()
    assert "0 of 4 models to train" in capsys.readouterr().err
    assert tools.written(folder) == before
    assert untimed(second) == untimed(first)
    fits = [[t for t in results.timings if t["phase"] == "fit"] for results in (first, second)]
    assert fits[0] == fits[1]


def test_a_changed_number_trains_its_model_again_and_what_is_of_it(run, folder, tools):
    first = run()
    before = tools.written(folder)
    second = run(tools.SMALL.replace("batch_size = 50", "batch_size = 60"))
    after = tools.written(folder)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"dense-4", "pca-of"}
    value = [results.value("dense-4", "mse", "test") for results in (first, second)]
    assert value[0] != value[1]


def test_changed_data_trains_everything_again(run, folder, tools):
    run()
    before = tools.written(folder)
    run(tools.SMALL.replace("train = 300", "train = 301"))
    after = tools.written(folder)
    assert all(after[name] != before[name] for name in before)


def test_fresh_trains_everything_again_to_the_same_weights(run, folder, tools):
    first = run()
    before, sums = tools.written(folder), tools.weights(folder)
    second = run(fresh=True)
    after = tools.written(folder)
    assert all(after[name] != before[name] for name in before)
    assert tools.weights(folder) == sums
    assert untimed(second) == untimed(first)


def test_what_other_code_trained_is_trained_again_and_said_once(run, folder, tools, capsys, monkeypatch):
    run(seeds=2)
    before = tools.written(folder)
    config = folder / "models" / "pca-4" / "config.json"
    noted = json.loads(config.read_text())
    del noted["extra"]["facts"], noted["sha256"]  # as an older isthmus wrote it
    config.write_text(json.dumps(noted))
    capsys.readouterr()
    run(seeds=2)
    after = tools.written(folder)
    assert {name for name in after if after[name] != before[name]} == {"pca-4"}
    said = [line for line in capsys.readouterr().err.splitlines() if "trained again" in line]
    assert said == ["trained again: pca-4 (different: isthmus' own code)"]

    monkeypatch.setattr("isthmus.fingerprints.code_fingerprint", lambda: "other")
    run()
    again = tools.written(folder)
    assert {name for name in again if again[name] != after[name]} == {"nothing", "pca-4", "dense-4", "pca-of"}
    said = [line for line in capsys.readouterr().err.splitlines() if "trained again" in line]
    assert said == [
        "trained again: nothing, pca-4, dense-4 (different: isthmus' own code)",
        "trained again: pca-of (different: isthmus' own code, of)",
    ]
    run()
    assert tools.written(folder) == again
    assert "trained again" not in capsys.readouterr().err


def test_a_stopped_model_goes_on_and_fresh_begins_anew(run, folder, tools, capsys, monkeypatch):
    from isthmus.console import Lines

    def stopped(self, name, row, epochs):
        if row.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("isthmus.training.checkpoint.EVERY", 0.0)
    text = tools.HEAD + tools.DENSE.replace("epochs = 2", "epochs = 5")
    whole = run(text)
    sums = tools.weights(folder)
    for fresh in (False, True):
        with monkeypatch.context() as patch:
            patch.setattr(Lines, "epoch", stopped)
            with pytest.raises(KeyboardInterrupt):
                run(text, fresh=True)
        (checkpoint,) = (folder / "checkpoints").iterdir()
        assert checkpoint.name == "dense-4"
        shutil.rmtree(folder / "models" / "dense-4")
        capsys.readouterr()
        results = run(text, fresh=fresh)
        lines = capsys.readouterr().err.splitlines()
        assert ("dense-4: continues after epoch 2, where it was stopped" in lines) is not fresh
        assert len([line for line in lines if "  epoch " in line]) == (5 if fresh else 3)
        assert tools.weights(folder) == sums
        assert untimed(results) == untimed(whole)
        assert not (folder / "checkpoints").exists()
        (fit,) = [t for t in results.timings if t["phase"] == "fit"]
        history = (folder / "models" / "dense-4" / "history.jsonl").read_text().splitlines()
        assert fit["seconds"] == sum(json.loads(line)["seconds"] for line in history)


def test_damaged_weights_are_trained_again(run, folder, tools, capsys):
    run()
    sums = tools.weights(folder)
    file = folder / "models" / "dense-4" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    run()
    assert "cut short" in capsys.readouterr().err
    assert tools.weights(folder) == sums


def test_only_keeps_finished_rows_and_includes_what_a_model_is_of(run, folder, tools):
    first = run(only=("pca-4", "nothing"))
    assert not first.complete
    assert {row.model for row in first.rows} == {"pca-4", "nothing"}
    before = tools.written(folder)
    second = run(only=("pca-of",))
    assert second.complete
    assert {row.model for row in second.rows} == {"pca-4", "nothing", "dense-4", "pca-of"}
    assert {name: tools.written(folder)[name] for name in before} == before
    kept = [row for row in second.rows if row.model in ("pca-4", "nothing")]
    assert sorted(kept, key=repr) == sorted(first.rows, key=repr)
    assert {row["model"] for row in second.plan} == {"dense-4", "pca-of"}


def test_only_forgets_rows_of_what_has_changed(run, tools):
    run()
    second = run(tools.SMALL.replace("epochs = 2", "epochs = 1"), only=("pca-4",))
    assert {row.model for row in second.rows} == {"nothing", "pca-4"}


def test_seeds_give_rows_for_each_and_their_mean(run, folder, tools):
    run()
    before = tools.written(folder)
    results = run(seeds=3)
    assert {name: tools.written(folder)[name] for name in before} == before
    assert set(tools.written(folder)) == {f"{name}{s}" for name in before for s in ("", ".seed-4", ".seed-5")}
    of_seed = rows_of(results, model="dense-4", metric="mse", corruption=None)
    values = [row.value for row in of_seed if row.seed is not None]
    assert [row.seed for row in of_seed] == [3, 4, 5, None]
    assert len(set(values)) == 3  # a seed changes what is learned
    mean = of_seed[-1]
    assert mean.n_seeds == 3
    assert mean.value == pytest.approx(np.mean(values))
    assert mean.sd == pytest.approx(np.std(values, ddof=1))
    (flat,) = rows_of(results, model="pca-4", metric="mse", corruption=None, seed=None)
    assert flat.sd == pytest.approx(0, abs=1e-12)  # PCA has no seed
    again = run(seeds=1)
    assert {row.seed for row in again.rows} == {3, 4, 5, None}


# --- quick ---


def test_another_start_is_that_of_another_seed(run, folder, tools):
    def weights(name):
        return (folder / "models" / name / "model.safetensors").read_bytes()

    run(seeds=2)
    first, second = weights("dense-4"), weights("dense-4.seed-4")
    text = tools.SMALL.replace("epochs = 2", "epochs = 2\nseed_offset = 1", 1)
    assert text != tools.SMALL
    run(text)
    assert weights("dense-4") == second != first


def test_quick_is_marked_and_not_judged(run, tools):
    text = tools.SMALL + '[[reference]]\nid = "r"\nmodel = "pca-4"\nmetric = "mse"\nvalue = 1e6\nrtol = 1e-9\n'
    quick = run(text, quick=True)
    assert quick.quick
    (reference,) = quick.references
    assert reference["agrees"] is None
    assert reference["measured"] == quick.value("pca-4", "mse", "test")
    full = run(text)  # a full run may replace a quick one
    assert (full.quick, full.references[0]["agrees"]) == (False, False)


def test_quick_does_not_replace_a_full_run(run, folder):
    run(only=("pca-4",))
    before = (folder / "results.json").read_bytes()
    with pytest.raises(RequestError, match=r"holds a full run.*--fresh"):
        run(quick=True)
    assert (folder / "results.json").read_bytes() == before
    assert run(quick=True, fresh=True, only=("pca-4",)).quick


def test_quick_shows_other_images_where_it_has_too_few(run, folder, tools, fashion):
    """500 of each split are left, and of one class far fewer."""
    fashion({"train": 3000, "t10k": 2500})
    text = 'title = "x"\n[data]\nname = "fashion-mnist"\n' + tools.PCA + NUMBERED
    full = run(text)
    assert full.figures[0]["rows"] == ["original", "pca-4"]
    with np.load(folder / "figures" / "f.npz") as arrays:
        before = arrays["original"]
    for more in ("", "classes = [4]\n"):
        quick = run(text.replace("[data]\n", f"[data]\n{more}"), quick=True, fresh=True)
        size = quick.data["splits"]["test"]
        assert size == (250 if more else 500)
        with np.load(folder / "figures" / "f.npz") as arrays:
            assert arrays["positions"].tolist() == [2400 % size, 2499 % size]
            assert not np.array_equal(arrays["original"], before)
        (reference,) = quick.references
        assert (reference["agrees"], len(reference["measured"])) == (None, 2)


NUMBERED = """
[[figure]]
name = "f"
kind = "reconstructions"
models = ["*"]
images = [2400, 2499]
[[measure]]
metrics = ["published_sse"]
images = [2400]
[[reference]]
id = "r"
model = "pca-4"
metric = "mse"
value = [0, 0]
images = [2400, 2401]
rtol = 1
"""


# --- what is measured ---


def test_noise_is_the_same_for_every_model(run, tools):
    results = run()
    for sigma in (0.2, 0.5):
        label = f"gaussian({sigma},clip=false)"
        (noise,) = rows_of(results, model="nothing", metric="mse", corruption=label)
        # the mean of sigma² e² over 120 × 64 numbers has a standard error of sigma² √(2 / 7680)
        assert noise.value == pytest.approx(sigma**2, rel=5 * (2 / 7680) ** 0.5)
        assert noise.value != sigma**2
    alone = run(tools.HEAD.replace("seed = 3", "seed = 9") + tools.PCA + tools.IDENTITY + tools.NOISE, fresh=True)
    again = rows_of(alone, model="nothing", metric="mse", corruption="gaussian(0.5,clip=false)")
    assert again[0].value == noise.value  # whatever the training's seed, and whoever was measured before


def test_identity_is_perfect(run, tools):
    results = run(tools.HEAD + tools.IDENTITY)
    values = {row.metric: row.value for row in results.rows}
    assert values == {
        "mse": 0, "psnr": None, "ssim": pytest.approx(1), "explained_variance": 1, "n_parameters": 0, "code_size": 64,
    }  # fmt: skip


def test_pooled_models_have_seen_what_they_are_scored_on(run, tools):
    text = tools.HEAD + tools.PCA + tools.PCA.replace("pca-4", "right").replace("n_comp", "pool_test = false\nn_comp")
    text += '[[measure]]\nmetrics = ["mse"]\nsplit = "all"\n[[measure]]\nmetrics = ["mse"]\nsplit = "validation"\n'
    results = run(text.replace("[data]", "[data]\npool_test = true"))
    seen = {(row.model, row.split): row.seen for row in results.rows if row.metric == "mse"}
    assert seen == {
        ("pca-4", "all"): True, ("pca-4", "test"): True, ("pca-4", "validation"): False,
        ("right", "all"): True, ("right", "test"): False, ("right", "validation"): False,
    }  # fmt: skip
    assert {m["name"]: m["fitted_on"] for m in results.models} == {"pca-4": "all", "right": "train"}
    assert results.data["splits"] == {"train": 300, "validation": 60, "test": 120, "all": 420}
    n = {(row.model, row.split): row.n for row in results.rows if row.metric == "mse"}
    assert (n["pca-4", "all"], n["pca-4", "test"]) == (420, 120)
    samples = {t["model"]: t["samples"] for t in results.timings if t["phase"] == "fit"}
    assert samples == {"pca-4": 420, "right": 300}
    # the PCA that was fitted on all is the least error on all
    assert results.value("pca-4", "mse", "all") < results.value("right", "mse", "all")


def test_what_is_of_a_model_has_seen_what_that_has_seen(run, tools):
    results = run(tools.HEAD + tools.DENSE.replace("epochs", "pool_test = true\nepochs") + tools.PCA_OF + tools.PCA)
    seen = {row.model: row.seen for row in results.rows if (row.metric, row.split) == ("mse", "test")}
    assert seen == {"dense-4": True, "pca-of": True, "pca-4": False}


def test_validation_images_are_others(run, folder, tools):
    results = run(tools.HEAD + tools.DENSE)
    history = (folder / "models" / "dense-4" / "history.jsonl").read_text().splitlines()
    losses = [json.loads(line)["validation_loss"] for line in history]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    text = tools.HEAD + tools.DENSE + '[[measure]]\nmetrics = ["mse"]\nsplit = "validation"\n'
    results = run(text)
    assert results.value("dense-4", "mse", "validation") == pytest.approx(losses[-1], rel=1e-5)
    assert results.data["splits"]["validation"] == 60


def test_classes_choose_images_of_a_label(run, folder, tools):
    from sklearn.datasets import load_digits

    text = tools.HEAD.replace("train = 300\nvalidation = 60\ntest = 120", "classes = [2]") + tools.PCA
    text += '[[figure]]\nname = "f"\nkind = "images"\nimages = [0, 1, 2]\n'
    results = run(text)
    target = load_digits().target
    assert results.data["splits"] == {"train": int((target[:-360] == 2).sum()), "test": int((target[-360:] == 2).sum())}
    with np.load(folder / "figures" / "f.npz") as arrays:
        assert arrays["labels"].tolist() == [2, 2, 2]
        expected = load_digits().images[-360:][target[-360:] == 2][:3, None] / 16
        np.testing.assert_allclose(arrays["original"], expected, atol=1e-7)
    with pytest.raises(RequestError, match="no class 10"):
        run(text.replace("[2]", "[10]"))


def test_codes_of_another_model_are_the_input(run, tools):
    text = tools.HEAD + tools.PCA + tools.DENSE.replace("bottleneck = 4, output", "bottleneck = 2, activation")
    text = text.replace('activation = "sigmoid"', 'activation = "linear"').replace(
        "epochs = 2", 'epochs = 30\nof = "pca-4"'
    )
    text += '[[figure]]\nname = "c"\nkind = "curves"\nmodels = ["dense-4"]\n'
    results = run(text)
    value = {row.metric: row.value for row in rows_of(results, model="dense-4", corruption=None)}
    assert value["code_size"] == 2
    assert value["n_parameters"] == 4 * 64 + 64 + (4 * 2 + 2) + (2 * 4 + 4)
    assert results.figures[0]["rows"] == ["dense-4", "dense-4 (validation)"]
    # it cannot be better than what it is of, and must have learned something
    assert results.value("pca-4", "mse", "test") < value["mse"]
    assert value["explained_variance"] > 0.05


def test_figures_that_the_study_no_longer_has_are_removed(run, folder, tools):
    figure = '[[figure]]\nname = "{}"\nkind = "images"\n'
    run(tools.HEAD + tools.IDENTITY + figure.format("a") + figure.format("b"))
    assert {file.name for file in (folder / "figures").iterdir()} == {"a.npz", "b.npz"}
    run(tools.HEAD + tools.IDENTITY + figure.format("b"))
    assert {file.name for file in (folder / "figures").iterdir()} == {"b.npz"}


# --- collapse and doubt ---

COLLAPSING = """
[[model]]
name = "dark"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 6}
penalty = {kind = "l1", weight = 5.0, per = "batch"}
learning_rate = 0.01
epochs = 10
batch_size = 50
"""
DOUBTFUL = """
[[model]]
name = "doubtful"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 6, activation = "tanh"}
penalty = {kind = "l1", weight = 1e-4}
epochs = 1
"""


def facts_of(results, name):
    return next(facts for facts in results.models if facts["name"] == name)


def test_a_collapsed_model_is_named_with_its_cause(run, folder, tools, capsys):
    trained = tools.DENSE.replace("epochs = 2", "learning_rate = 0.01\nepochs = 20").replace("sigmoid", "linear")
    text = tools.HEAD + tools.IDENTITY + tools.PCA + trained + COLLAPSING
    results = run(text)
    collapsed = facts_of(results, "dark")["collapsed"]
    assert collapsed["what"] == "all 6 units of its code are zero for every image"
    assert "a weight of 5 at a batch size of 50 is 250 for each sample" in collapsed["cause"]
    assert 'per="sample"' in collapsed["instead"]
    assert [facts["name"] for facts in results.models if facts["collapsed"]] == ["dark"]
    assert tools.read(folder / "results.json")["models"] == results.models
    said = [line for line in capsys.readouterr().err.splitlines() if "collapsed" in line]
    assert said == [f"dark collapsed: {collapsed['what']}; {collapsed['cause']}; {collapsed['instead']}"]
    assert (results.value("dark", "l0", "test"), results.value("dark", "dead_units", "test")) == (0, 6)
    assert results.value("dark", "explained_variance", "test") < 0.05


def test_only_keeps_what_is_known_of_a_collapsed_model(run, folder, tools, capsys):
    text = tools.HEAD + tools.PCA + COLLAPSING
    first = facts_of(run(text), "dark")
    capsys.readouterr()
    second = facts_of(run(text, only=("pca-4",)), "dark")
    assert second == first
    assert second["collapsed"]
    assert "collapsed" not in capsys.readouterr().err, "nothing was measured again"
    healed = run(text.replace("weight = 5.0", "weight = 0.0"), only=("pca-4",))
    assert facts_of(healed, "dark")["collapsed"] is None, "another model, not measured yet"
    assert facts_of(run(text.replace("weight = 5.0", "weight = 0.0")), "dark")["collapsed"] is None


def test_a_collapsed_model_that_is_kept_is_measured_again(run, tools, capsys):
    text = tools.HEAD + COLLAPSING
    first = facts_of(run(text), "dark")
    capsys.readouterr()
    assert facts_of(run(text), "dark") == first
    assert "dark collapsed: all 6 units" in capsys.readouterr().err


def test_another_seeds_collapse_is_said_under_its_name(run, tools, capsys):
    run(tools.HEAD + COLLAPSING, seeds=2)
    err = capsys.readouterr().err
    assert "dark collapsed: " in err
    assert "dark.seed-4 collapsed: " in err


def test_one_epoch_is_no_collapse(run, tools, capsys):
    quick = run(tools.HEAD + COLLAPSING, quick=True)
    assert facts_of(quick, "dark")["collapsed"] is None
    assert "collapsed" not in capsys.readouterr().err


def test_a_model_of_another_models_codes_can_collapse(run, tools):
    text = tools.HEAD + tools.PCA + COLLAPSING.replace("epochs", 'of = "pca-4"\nepochs')
    assert facts_of(run(text), "dark")["collapsed"]["what"].startswith("all 6 units")


def test_a_doubt_is_said_before_training_and_is_in_the_results(run, folder, tools, capsys):
    results = run(tools.HEAD + tools.DENSE + DOUBTFUL)  # and no warning, which would be an error here
    doubt = facts_of(results, "doubtful")["doubt"]
    assert 'never exactly zero, because its activation is "tanh"' in doubt
    assert facts_of(results, "dense-4")["doubt"] is None
    lines = capsys.readouterr().err.splitlines()
    assert lines.index(f"doubtful: {doubt}") < min(i for i, line in enumerate(lines) if "  epoch 1/" in line)
    assert tools.read(folder / "results.json")["models"] == results.models
    assert results.value("doubtful", "dead_units", "test") == 0


def test_what_a_model_was_trained_on_is_in_the_results(run, tools):
    corruption = 'corruption = [{kind = "gaussian", sigma = 0.1}, {kind = "occlusion", size = 2}]\nepochs'
    results = run(tools.HEAD + tools.PCA + tools.DENSE.replace("epochs", corruption))
    assert facts_of(results, "dense-4")["corruption"] == "gaussian(0.1,clip=false)+occlusion(2)"
    assert facts_of(results, "pca-4")["corruption"] is None


def test_the_caller_keeps_its_threads(run, tools):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(tools.HEAD + tools.PCA, threads=1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
