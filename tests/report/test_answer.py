"""What a report begins with: who is best, by how much, whether that may be chance; and one chart of all errors."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from isthmus.report import headline
from isthmus.report.answer_chart import answer_chart
from isthmus.report.ranking import FAMILIES, family
from isthmus.studies.results.examples import main_corruption
from isthmus.studies.results.results_json import Results, Row

PCA, DEEP = "PCA(n_components=8)", "Autoencoder(network=Dense(hidden=(64,), bottleneck=8))"
IDENTITY, DENOISING = (
    "FunctionTransformer()",
    "Autoencoder(corruption=GaussianNoise(sigma=0.3), network=Dense(bottleneck=8))",
)
NOISE = "gaussian(0.3)"


def model(code, mse=None, *, size=8, noisy=None, width=0.0005, nll=None, **facts):
    """What results.json says of a model, and its rows: errors on 100 clean and noisy test images, and its size."""
    facts = {
        "code": code,
        "of": None,
        "corruption": None,
        "fitted_on": "train",
        "collapsed": None,
        "units": size,
        **facts,
    }

    def rows(name):
        for metric, value, corruption in (("mse", mse, None), ("mse", noisy, NOISE), ("nll", nll, None)):
            if value is not None:
                yield Row(name, 0, metric, "test", corruption, False, value, (value - width, value + width), 100)
        if size:
            yield Row(name, 0, "code_size", None, None, False, size, None, None)

    return facts, rows


def study(comparisons=(), shape=(1, 8, 8), **models):
    return Results(
        study="made", title="Made by hand", question="", seed=0, quick=False, complete=True,
        environment={}, data={"image_shape": shape, "splits": {"test": 100}}, plan=[], traps=[],
        models=[{"name": name, **facts} for name, (facts, _) in models.items()],
        rows=[row for name, (_, rows) in models.items() for row in rows(name)], comparisons=list(comparisons),
    )  # fmt: skip


def test_the_best_of_one_size_is_held_against_pca_of_that_size():
    results = study(pca=model(PCA, 0.02), deep=model(DEEP, 0.01), wide=model(DEEP, 0.001, size=64))
    assert headline.sentences(results) == [
        "Of 2 models that keep 8 numbers of an image of 64 pixels, deep leaves 50 % less error than PCA of the same "
        "size (pca).",
        "That is more than chance on 100 unseen test images (95 % intervals).",
    ]


def test_it_is_said_when_pca_wins():
    results = study(pca=model(PCA, 0.02), deep=model(DEEP, 0.03), other=model(DEEP, 0.05))
    (first, _) = headline.sentences(results)
    assert first.endswith("PCA wins: pca leaves 33 % less error than deep, the best of the others.")
    (first, _) = headline.sentences(study(a=model(PCA, 0.02), b=model(PCA, 0.021), deep=model(DEEP, 0.04)))
    assert first.endswith("PCA wins: a leaves 50 % less error than deep, the best of the others.")


@pytest.mark.parametrize(
    ("corruption", "shape", "words"),
    [
        ("gaussian(0.3)", (1, 8, 8), "Gaussian noise of σ = 0.3"),
        (
            "gaussian(0.948683,relative=true)",
            (1, 8, 8),
            "Gaussian noise of σ = 0.949 times an image's root mean square",
        ),
        ("gaussian(0.0980392,clip=false)", (1, None, None), "σ = 25"),
        ("masking(0.3)", (1, 8, 8), "30 % of the pixels missing"),
        ("gaussian(0.1)+masking(0.3)", (1, 8, 8), "gaussian(0.1)+masking(0.3)"),
    ],
)
def test_noise_is_named_as_one_says_it(corruption, shape, words):
    assert headline.in_words(study(shape=shape), corruption) == words


def test_without_a_pca_of_that_size_the_next_is_named_and_it_is_said():
    (first, _) = headline.sentences(study(a=model(DEEP, 0.01), b=model(DEEP, 0.02), pca=model(PCA, 0.001, size=60)))
    assert first.endswith("a leaves 50 % less error than the next, b (no PCA keeps as many).")


def test_models_of_equal_error_are_level():
    (first, _) = headline.sentences(study(pca=model(PCA, 0.0100001), deep=model(DEEP, 0.01)))
    assert first.endswith("deep and PCA of the same size (pca) are level: an error of 0.0100.")


@pytest.mark.parametrize(
    ("width", "ci95", "sure"),
    [(0.0005, None, True), (0.008, None, False), (0.008, [-0.011, -0.009], True), (0.0005, [-0.02, 0.001], False)],
)
def test_chance_is_judged_in_pairs_where_there_are_pairs_and_else_by_overlap(width, ci95, sure):
    pair = {"models": ["deep", "pca"], "corruption": None, "difference": -0.01, "ci95": ci95, "n": 100}
    results = study([pair] if ci95 else [], pca=model(PCA, 0.02, width=width), deep=model(DEEP, 0.01, width=width))
    (_, second) = headline.sentences(results)
    assert second.startswith("That is more than chance" if sure else "That may be chance")


def test_a_pair_under_other_noise_says_nothing_of_clean_images():
    pair = {"models": ["deep", "pca"], "corruption": NOISE, "difference": -0.01, "ci95": [-0.011, -0.009], "n": 100}
    results = study([pair], pca=model(PCA, 0.02, width=0.008), deep=model(DEEP, 0.01, width=0.008))
    assert headline.sentences(results)[1].startswith("That may be chance")


NOISY = {
    "nothing": model(IDENTITY, 0.0, size=None, noisy=0.08),
    "pca": model(PCA, 0.02, noisy=0.04),
    "deep": model(DEEP, 0.01, noisy=0.05),
    "dae": model(DENOISING, 0.015, noisy=0.02, corruption=NOISE),
}


def test_under_noise_the_best_is_held_against_pca_and_against_doing_nothing():
    assert headline.sentences(study(**NOISY))[2] == (
        "With Gaussian noise of σ = 0.3, dae, trained for it, leaves 50 % less error than PCA (pca), and 75 % less "
        "than doing nothing."
    )


def test_a_pca_of_fewer_numbers_than_the_denoiser_is_said_to_be_one():
    """More components take out more of the noise, so the difference is not all the network's."""
    models = {**NOISY, "dae": model(DENOISING, 0.015, size=64, noisy=0.02, corruption=NOISE)}
    third = headline.sentences(study(**models))[2]
    assert "less error than PCA (pca, 8 numbers in place of 64), and 75 % less" in third


def test_it_is_said_when_what_is_not_trained_wins_under_noise():
    models = {**NOISY, "dae": model(DENOISING, 0.015, noisy=0.06, corruption=NOISE)}
    third = headline.sentences(study(**models))[2]
    assert "PCA wins: pca leaves 20 % less error than deep, the best of the others, and 50 % less than doing" in third
    models["nothing"] = model(IDENTITY, 0.0, size=None, noisy=0.01)
    assert "doing nothing is better than any, by 75 %" in headline.sentences(study(**models))[2]


def test_a_study_of_denoisers_alone_begins_with_noise():
    models = {name: NOISY[name] for name in ("nothing", "dae")} | {
        "late": model(DENOISING, 0.015, noisy=0.03, corruption=NOISE)
    }
    first, second = headline.sentences(study(**models))
    assert first.startswith("With Gaussian noise of σ = 0.3, dae, trained for it, leaves 33 % less error than late")
    assert second.startswith("That is more than chance")


def test_collapsed_models_and_those_that_saw_the_images_are_not_best():
    dead = model(DENOISING, 0.015, noisy=0.001, corruption=NOISE, collapsed={"what": "dead"})
    results = study(**NOISY, dead=dead)
    assert headline.contests(results)[1].best.model == "dae"
    results.rows = [dataclasses.replace(row, seen=True) if row.model == "dae" else row for row in results.rows]
    assert headline.contests(results)[1].best.model == "pca"


def test_likelihood_is_the_third_sentence_where_there_is_no_noise():
    vae = "Autoencoder(code=Gaussian(), network=Dense(bottleneck=8))"
    results = study(a=model(vae, 0.02, nll=90.0), b=model(vae, 0.03, nll=100.0))
    assert headline.sentences(results)[2] == (
        "a finds test images most probable: 90.0 nats for an image, 10.0 fewer than b."
    )


def test_nats_of_a_density_may_be_negative_and_those_of_another_loss_are_not_compared():
    vae, drawn = (f"Autoencoder(code=Gaussian(), {loss}network=Dense(bottleneck=8))" for loss in ("", "loss=BCE(), "))
    models = {"a": model(vae, 0.02, nll=-600.0), "b": model(vae, 0.03, nll=-500.0), "c": model(drawn, 0.03, nll=-700.0)}
    assert headline.sentences(study(**models))[2] == (
        "a finds test images most probable: -600 nats for an image, 100 fewer than b."
    )
    del models["b"]
    assert not any("nats" in sentence for sentence in headline.sentences(study(**models)))


def test_codes_of_different_sizes_are_not_ranked():
    results = study(a=model(DEEP, 0.04, size=4), b=model(DEEP, 0.01, size=16))
    assert headline.contests(results) == []
    assert headline.sentences(results)[0] == (
        "a leaves an error of 0.0400 with 4 numbers for an image, and b 75 % less with 16."
    )
    assert len(headline.sentences(study(a=model(DEEP, 0.04)))) == 1


def test_a_quick_run_claims_nothing():
    results = dataclasses.replace(study(**NOISY), quick=True)
    assert headline.contests(results) == []
    assert len(headline.sentences(results)) == 1


@pytest.mark.parametrize(
    ("trained", "measured", "label"),
    [
        ([None], [None], None),
        ([None], ["gaussian(0.1)", "gaussian(0.3)", "gaussian(0.5)", "masking(0.1)"], "gaussian(0.3)"),
        (["masking(0.1)", None], ["gaussian(0.1)", "masking(0.1)"], "masking(0.1)"),
        (["gaussian(0.9)"], ["gaussian(0.1)"], "gaussian(0.1)"),
    ],
)
def test_the_noise_that_a_run_is_about(trained, measured, label):
    models = {f"m{i}": model(DEEP, 0.1, corruption=corruption) for i, corruption in enumerate(trained)}
    results = study(**models)
    results.rows += [Row("m0", 0, "mse", "test", corruption, False, 0.1, None, 100) for corruption in measured]
    assert main_corruption(results) == label


def test_the_chart_has_every_model_and_pca_as_its_line():
    results = study(
        **{"pca-2": model(PCA, 0.05, size=2), "pca-8": model(PCA, 0.02), "deep": model(DEEP, 0.01)},
        wide=model(DEEP, 0.001, size=64, collapsed={}), nothing=NOISY["nothing"],
    )  # fmt: skip
    axes = answer_chart(results, None, "mse", {"deep", "pca-8"}, "deep", "pca-8").axes[0]
    places = {(x, y) for line in axes.lines for x, y in line.get_xydata()}
    assert places == {(2, 0.05), (8, 0.02), (8, 0.01), (64, 0.001)}
    (dashed,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert dashed.get_xydata().tolist() == [[2, 0.05], [8, 0.02]]
    assert {text.get_text() for text in axes.texts} == {"pca-2", "pca-8", "deep", "wide"}
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_codes_of_one_size_are_a_line_for_each_model_the_best_on_top():
    results = study(pca=model(PCA, 0.02), deep=model(DEEP, 0.01), other=model(DEEP, 0.03))
    axes = answer_chart(results, None, "mse", {"deep", "pca"}, "deep", "pca").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["other", "pca", "deep"]
    (baseline,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert set(baseline.get_xdata()) == {0.02}
    assert answer_chart(study(nothing=NOISY["nothing"]), None, "mse", set(), "", "") is None


@pytest.mark.parametrize(
    ("code", "of", "name"),
    [
        (PCA, None, "PCA"), (PCA, "deep", "other"), (DEEP, None, "deep"), (DENOISING, None, "denoising"),
        (IDENTITY, None, "nothing"),
        ("Autoencoder(network=Dense(bottleneck=8), penalty=L1(1e-3))", None, "sparse"),
        ("Autoencoder(corruption=Masking(0.3), network=Dictionary(n_atoms=96))", None, "dictionary"),
        ("ClassicalDenoiser(method='nothing')", None, "nothing"),
        ("ClassicalDenoiser(method='wavelets')", None, "classical"),
        ("Mine()", None, "other"),
    ],
)  # fmt: skip
def test_families(code, of, name):
    assert family({"code": code, "of": of}) == name
    assert name in FAMILIES


def luminance(colour):
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.03928, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_colours_are_told_from_the_page_in_light_and_in_dark():
    """WCAG 2, AA: 4.5 for letters, 3 for lines and points."""
    from importlib import resources

    css = (resources.files("isthmus.report") / "page.css").read_text("utf-8")
    themes = [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)][
        :2
    ]
    for theme in themes:
        colours = {
            name: "#" + "".join(2 * c for c in value[1:]) if len(value) == 4 else value for name, value in theme.items()
        }
        for ground in ("paper", "card"):
            for name in colours.keys() - {"paper", "card", "line"}:
                light, dark = sorted((luminance(colours[name]), luminance(colours[ground])), reverse=True)
                least = 3 if re.fullmatch(r"c\d", name) else 4.5
                assert (light + 0.05) / (dark + 0.05) >= least, (name, ground, colours[name])
    assert len(themes) == 2
