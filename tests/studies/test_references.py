"""Published numbers of every kind, each beside what was measured; and a projection without centring, as published."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from isthmus.data.sources.registry import load as load_dataset
from isthmus.errors import RequestError
from isthmus.parts import GaussianNoise
from isthmus.persistence import load
from isthmus.studies.results.measure import per_image
from isthmus.studies.results.verdict import spread_of
from isthmus.studies.spec.parser import parse_study
from isthmus.studies.spec.quantities import CODE_METRICS, CODE_ONLY, COUNTS, ERROR_METRICS

MODELS = """
[[model]]
name = "plain"
estimator = "pca"
n_components = 4
center = false
[[model]]
name = "dense"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 5, output = "sigmoid"}
epochs = 3
[[model]]
name = "conv"
estimator = "autoencoder"
network = {kind = "conv", channels = [3], decoder = "unpool"}
epochs = 1
[[measure]]
metrics = ["mse", "psnr", "ssim", "explained_variance", "mse_code_only", "mean_activation", "l0", "dead_units"]
corruption = {kind = "gaussian", sigma = 0.2}
split = "validation"
"""
GAUSSIAN = 'corruption = {kind = "gaussian", sigma = 0.2}'
ROWS = (*ERROR_METRICS, *CODE_METRICS, *COUNTS)


def reference(name: str, lines: str, model: str = "dense", value: str = "0", tolerance: str = "atol = 1e9") -> str:
    return f'[[reference]]\nid = "{name}"\nmodel = "{model}"\nvalue = {value}\n{tolerance}\n{lines}\n'


@pytest.fixture
def judged(run, tools):
    """Run the models with these references, and give the references by id, and the results."""

    def run_it(*references: str, **request):
        results = run(tools.HEAD + tools.IDENTITY + MODELS + "".join(references), **request)
        schema = json.loads((resources.files("isthmus.studies") / "results.schema.json").read_text("utf-8"))
        table = json.loads(json.dumps(results.table(), allow_nan=False))
        assert not [error.message for error in Draft202012Validator(schema).iter_errors(table)]
        return {one["id"]: one for one in table["references"]}, results

    return run_it


@pytest.fixture
def test_images():
    return load_dataset("digits").test.take(slice(0, 120))


def test_whatever_has_a_row_can_be_compared(judged):
    clean = [reference(metric, f'metric = "{metric}"') for metric in ROWS]
    noisy = [
        reference(f"noisy.{metric}", f'metric = "{metric}"\nsplit = "validation"\n{GAUSSIAN}')
        for metric in ROWS
        if metric not in COUNTS
    ]
    code_only = reference(CODE_ONLY, f'metric = "{CODE_ONLY}"', "conv")
    found, results = judged(*clean, *noisy, code_only)
    rows = {(r.model, r.metric, r.split, r.corruption): r.value for r in results.rows}
    for metric in ROWS:
        expected = rows["dense", metric, None if metric in COUNTS else "test", None]
        assert found[metric]["measured"] == expected
        assert found[metric]["agrees"]
        if metric not in COUNTS:
            noise = "gaussian(0.2,clip=false)"
            assert found[f"noisy.{metric}"]["measured"] == rows["dense", metric, "validation", noise]
            assert found[f"noisy.{metric}"]["corruption"] == noise
    assert found["mse"]["measured"] != found["noisy.mse"]["measured"]
    assert found[CODE_ONLY]["measured"] == rows["conv", CODE_ONLY, "test", None]
    assert (found["code_size"]["measured"], found["n_parameters"]["measured"]) == (5, 2 * 5 * 64 + 5 + 64)
    assert "corruption" not in found["mse"]
    assert "images" not in found["mse"]


def test_losses_of_the_training(judged, folder):
    found, _ = judged(
        reference("last", 'metric = "loss"'),
        reference("all", 'metric = "loss"', value="[0, 0, 0]"),
        reference("some", 'metric = "loss"\nepochs = [3, 1]', value="[0, 0]"),
        reference("beyond", 'metric = "loss"\nepochs = [1, 4]', value="[0, 0]"),
        reference("too many", 'metric = "loss"', value="[0, 0, 0, 0]"),
        reference("step", 'metric = "step_loss"'),
    )
    history = load(folder / "models" / "dense").history_
    losses = history.losses.tolist()
    assert found["last"]["measured"] == losses[-1]
    assert found["all"]["measured"] == losses
    assert found["some"]["measured"] == [losses[2], losses[0]]
    assert found["step"]["measured"] == history[-1].step_losses[-1] != losses[-1]
    for name in ("beyond", "too many"):
        assert (found[name]["measured"], found[name]["agrees"]) == (None, None)
    assert {name: found[name].get("epochs") for name in ("last", "all", "some", "step")} == {
        "last": None, "all": [1, 2, 3], "some": [3, 1], "step": None,
    }  # fmt: skip


def test_single_images(judged, folder, test_images):
    few = "images = [7, 119]"
    found, _ = judged(
        reference("mean", f'metric = "mse"\n{few}'),
        reference("each", f'metric = "mse"\n{few}', value="[0, 0]"),
        reference("activation", f'metric = "mean_activation"\n{few}\n{GAUSSIAN}', value="[0, 0]"),
        reference("l0", f'metric = "l0"\n{few}'),
        reference("published", f'metric = "published_sse"\n{few}\n{GAUSSIAN}', "plain", "[0, 0]"),
        reference("train", 'metric = "mse"\nimages = [250]\nsplit = "train"'),
        reference(
            "noisy", f'metric = "mse"\n{few}\ncorruption = {{kind = "gaussian"}}\nlevels = [0.1, 0.5]', value="[0, 0]"
        ),
    )
    dense, plain, places, noise = load(folder / "models" / "dense"), load(folder / "models" / "plain"), (7, 119), 0.2
    each = per_image(dense, test_images, "mse", places)
    assert found["each"]["measured"] == each.tolist()
    assert found["mean"]["measured"] == each.mean()
    assert found["each"]["images"] == found["mean"]["images"] == [7, 119]
    activation = per_image(dense, test_images, "mean_activation", places, GaussianNoise(noise))
    assert found["activation"]["measured"] == activation.tolist()
    assert found["activation"]["corruption"] == "gaussian(0.2,clip=false)"
    assert found["l0"]["measured"] == (dense.transform(test_images.floats(np.array(places))) > 0).sum(axis=1).mean()
    by_hand = per_image(plain, test_images, "published_sse", places, GaussianNoise(noise))
    assert found["published"]["measured"] == by_hand.tolist()
    assert found["train"]["measured"] > 0
    apart = [per_image(dense, test_images, "mse", (7,), GaussianNoise(0.1))[0],
             per_image(dense, test_images, "mse", (119,), GaussianNoise(0.5))[0]]  # fmt: skip
    assert found["noisy"]["measured"] == apart


@pytest.mark.parametrize(
    ("value", "tolerance", "agrees"),
    [
        ("4.4", "rtol = 0.1", True),  # of the published number
        ("4.4", "rtol = 0.09", False),
        ("3.6", "rtol = 0.1", False),
        ("3.75", "atol = 0.25", True),
        ("3.75", "atol = 0.24", False),
        ("4", "atol = 0", True),
        ("-4", "rtol = 1", False),
        ("-4", "rtol = 2", True),
    ],
)
def test_what_agrees(value, tolerance, agrees, judged):
    found, results = judged(reference("r", 'metric = "code_size"', "plain", value, tolerance), only=("plain",))
    kept = ("id", "published", "measured", "agrees", "model", "metric", "split", "seed")
    assert tuple(found["r"][name] for name in kept) == (
        "r", float(value), 4, agrees, "plain", "code_size", "test", results.seed,
    )  # fmt: skip
    assert set(found["r"]) == {*kept, tolerance.split()[0]}


def test_of_a_list_every_number_must_agree(judged):
    lists = [reference(f"r{atol}", 'metric = "loss"', value="[0, 0, 9]", tolerance=f"atol = {atol}") for atol in (1, 9)]
    found, _ = judged(*lists)
    assert (found["r1"]["agrees"], found["r9"]["agrees"]) == (False, True)


def test_of_a_model_that_was_not_trained_nothing_is_judged(judged):
    kinds = ('metric = "mse"', 'metric = "loss"', 'metric = "mse"\nimages = [1]', 'metric = "step_loss"')
    found, _ = judged(*(reference(f"r{i}", kind) for i, kind in enumerate(kinds)), only=("plain",))
    assert [(one["measured"], one["agrees"]) for one in found.values()] == [(None, None)] * 4
    found, _ = judged(*(reference(f"r{i}", kind) for i, kind in enumerate(kinds)), only=("dense",))
    assert all(one["agrees"] for one in found.values())
    again, _ = judged(*(reference(f"r{i}", kind) for i, kind in enumerate(kinds)), only=("plain",))
    assert again == found, "it lies on the disk"


# --- over seeds ---


def spread(middle: float, width: float, n: int = 10) -> str:
    """n numbers around a middle, as a study has them."""
    return f"over_seeds = {[middle + width * (i - (n - 1) / 2) for i in range(n)]}"


def test_the_interval_is_that_of_one_new_draw():
    found = spread_of(tuple(float(i) for i in range(10)))
    assert (found["n"], found["mean"], found["low"], found["high"]) == (10, 4.5, 0, 9)
    assert found["sd"] == pytest.approx(np.sqrt(55 / 6))
    margin = 2.2621572 * np.sqrt(55 / 6) * np.sqrt(1.1)  # t of 9 degrees of freedom, from a table
    assert found["interval"] == pytest.approx([4.5 - margin, 4.5 + margin])
    draws = np.random.default_rng(0).normal(5, 2, (4000, 11))
    inside = [low <= new <= high for *seeds, new in draws for low, high in [spread_of(tuple(seeds))["interval"]]]
    assert 0.94 < np.mean(inside) < 0.96


@pytest.mark.parametrize(
    ("value", "tolerance", "seeds", "agrees"),
    [
        ("4.4", "rtol = 0.01", spread(4, 0.1), True),  # beyond the tolerance, and within what seeds differ by
        ("4.4", "rtol = 0.2", spread(4, 0.01), False),  # the other way round
        ("4", "rtol = 0.01", spread(4, 0.0), True),
        ("5", "rtol = 0.5", spread(5, 0.1), False),  # what this run measured is no such draw: other code made them
        ("3.5", "atol = 0", f"over_seeds = {[3.5] * 29 + [4]}", True),  # far out, but one of them
    ],
)
def test_what_agrees_over_seeds(value, tolerance, seeds, agrees, judged):
    found, _ = judged(reference("r", f'metric = "code_size"\n{seeds}', "plain", value, tolerance), only=("plain",))
    assert found["r"]["agrees"] is agrees
    assert found["r"]["over_seeds"]["n"] == seeds.count(",") + 1
    found, _ = judged(reference("r", f'metric = "code_size"\n{seeds}', "plain", value, tolerance),
                      only=("plain",), quick=True, fresh=True)  # fmt: skip
    assert found["r"]["agrees"] is None


def test_what_each_seed_of_a_run_measured(judged, folder):
    found, results = judged(
        reference("mse", 'metric = "mse"'),
        reference("loss", 'metric = "loss"'),
        reference("few", 'metric = "mse"\nimages = [7, 119]'),
        reference("size", 'metric = "code_size"'),
        reference("list", 'metric = "loss"', value="[0, 0, 0]"),
        only=("dense",), seeds=3,
    )  # fmt: skip
    first = results.seed
    assert found["mse"]["by_seed"] == [results.value("dense", "mse", "test", first + i) for i in range(3)]
    names = ["dense", *(f"dense.seed-{first + i}" for i in (1, 2))]
    assert found["loss"]["by_seed"] == [load(folder / "models" / name).history_.losses[-1] for name in names]
    assert found["size"]["by_seed"] == [5, 5, 5]
    assert "by_seed" not in found["list"]
    for name in ("mse", "loss", "few"):
        assert found[name]["by_seed"][0] == found[name]["measured"]
        assert len(set(found[name]["by_seed"])) == 3
    assert "by_seed" not in judged(reference("mse", 'metric = "mse"'), only=("dense",))[0]["mse"]


@pytest.mark.parametrize(
    ("lines", "value"),
    [(spread(4, 1, 9), "4"), ("over_seeds = [1, 2, 3, 4, 5, 6, 7, 8, 9, inf]", "4"), (spread(4, 1), "[4, 4, 4]")],
    ids=["too few", "not finite", "of a list"],
)
def test_values_over_seeds_that_tell_nothing_are_refused(lines, value, tools):
    text = tools.HEAD + MODELS + reference("r", f'metric = "loss"\n{lines}', value=value)
    with pytest.raises(RequestError, match=r'small.toml, reference "r": over_seeds must be'):
        parse_study(text, "small", "small.toml")


# --- a projection without centring ---


def test_a_projection_without_centring_is_what_the_notebook_does(run, tools, folder, test_images):
    pca = tools.PCA.replace("n_components", "center = false\nn_components")
    text = tools.HEAD + pca + tools.PCA.replace("pca-4", "right")
    text += reference("r", 'metric = "published_sse"\nimages = [1, 9]', "pca-4", "[0, 0]")
    first = run(text)
    model, centred = load(folder / "models" / "pca-4"), load(folder / "models" / "right")
    x = test_images.floats()
    np.testing.assert_array_equal(model.components_, centred.components_)
    by_hand = x @ centred.components_.T @ centred.components_
    np.testing.assert_allclose(model.inverse_transform(model.transform(x)), by_hand, atol=1e-5)
    assert first.value("pca-4", "mse", "test") == pytest.approx(np.square(by_hand - x).mean(), rel=1e-4)
    assert first.value("pca-4", "mse", "test") > first.value("right", "mse", "test")
    error = np.square(by_hand - x).sum(axis=1)
    assert first.references[0]["measured"] == pytest.approx(error[[1, 9]].tolist(), rel=1e-3)
    # the same again from disk, and as the input of another model
    second = run(text + '[[model]]\nname = "of"\nestimator = "pca"\nn_components = 4\nof = "pca-4"\n')
    assert second.value("pca-4", "mse", "test") == first.value("pca-4", "mse", "test")
    assert second.value("of", "mse", "test") == pytest.approx(first.value("pca-4", "mse", "test"), rel=1e-4)
    assert second.references[0]["measured"] == first.references[0]["measured"]
