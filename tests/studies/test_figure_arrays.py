"""Every kind of figure, from a study's text to the arrays on disk: what they hold is what was asked for."""

from __future__ import annotations

import math
import types

import numpy as np
import pytest

from isthmus.analysis import probe
from isthmus.corruption import noisy_version
from isthmus.data.sources.registry import load
from isthmus.parts import GaussianNoise, Masking, Sequence
from isthmus.persistence import load as load_model
from isthmus.studies.results.measure import TEST_NOISE_SEED
from isthmus.studies.spec.figures import FIGURES
from isthmus.studies.spec.figures.graphs import trained_at
from isthmus.studies.spec.levels import members, what_varies

MODELS = """
[[model]]
name = "nothing"
estimator = "identity"
[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4
[[model]]
name = "deep"
estimator = "autoencoder"
network = {kind = "dense", hidden = [16], bottleneck = 3, activation = "tanh"}
epochs = 3
[[model]]
name = "wide"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 7}
corruption = {kind = "gaussian", sigma = 0.3, clip = true}
epochs = 2
batch_size = 100
[[model]]
name = "conv"
estimator = "autoencoder"
network = {kind = "conv", channels = [2, 2], decoder = "unpool", activation = "silu"}
epochs = 2
[[model]]
name = "vae"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 3, code_activation = "linear", output = "sigmoid"}
code = {kind = "gaussian"}
loss = {kind = "bce"}
epochs = 2
[[model]]
name = "both"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 2}
corruption = [{kind = "gaussian", sigma = 0.15}, {kind = "masking", fraction = 0.2}]
epochs = 2
[[model]]
name = "of"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 2, activation = "tanh"}
of = "pca-4"
epochs = 2
[[measure]]
metrics = ["mse", "psnr"]
corruption = {kind = "gaussian", clip = true}
levels = [0.2, 0.5]
[[measure]]
metrics = ["mse"]
corruption = [{kind = "gaussian"}, {kind = "masking", fraction = 0.2}]
levels = [0.1, 0.2]
[[measure]]
metrics = ["mse"]
corruption = [{kind = "gaussian", sigma = 0.1}, {kind = "masking"}]
levels = [0.3, 0.4]
[[measure]]
metrics = ["mse"]
corruption = {kind = "poisson"}
levels = [5, 50]
"""
NOISY = 'corruption = {kind = "gaussian", clip = true}\n'
EVERY = f"images = {list(range(120))}"
FIGURES_OF = {
    "images": 'kind = "images"\nimages = [3, 0]\nsplit = "train"',
    "noise": 'kind = "images"\nsource = "noise"\nimages = [0, 1, 2]',
    "clothes": 'kind = "reconstructions"\nmodels = ["pca-4", "of"]\nsource = "fashion-mnist"\nimages = [2, 0]',
    "reconstructions": 'kind = "reconstructions"\nmodels = ["*"]\nimages = [7, 119]',
    "denoising": f'kind = "denoising"\nmodels = ["nothing", "wide"]\n{NOISY}levels = [0.2, 0.5]\n{EVERY}',
    "one-level": 'kind = "denoising"\nmodels = ["deep"]\ncorruption = [{kind = "gaussian", sigma = 0.1}, '
    '{kind = "masking", fraction = 0.2}]\nimages = [4, 2]',
    "samples": 'kind = "samples"\nmodels = ["vae"]\nn = 4',
    "nats": 'kind = "nats"\nmodels = ["vae"]',
    "traversals": 'kind = "traversals"\nmodels = ["vae"]\nimages = [5]\nn = 2',
    "traversals-plain": 'kind = "traversals"\nmodels = ["pca-4"]\nimages = [5]',
    "scatter": 'kind = "scatter"\nmodels = ["deep"]\nsplit = "train"\nn = 50',
    "scatter-of": 'kind = "scatter"\nmodels = ["of"]',
    "curves": 'kind = "curves"\nmodels = ["*"]\nfirst_epoch = 2',
    "steps": 'kind = "curves"\nmodels = ["deep", "wide"]\nper = "step"',
    "encoder": 'kind = "filters"\nmodels = ["wide", "pca-4", "of", "conv"]\nunits = [1, 0]',
    "decoder": 'kind = "filters"\nmodels = ["deep", "conv"]\nside = "decoder"\nn = 2',
    "atoms": 'kind = "atoms"\nmodels = ["wide"]\nsplit = "train"\nn = 5',
    "how-often": 'kind = "usage"\nmodels = ["wide", "deep", "pca-4"]\nsplit = "validation"',
    "activations": 'kind = "activations"\nmodels = ["wide", "conv", "pca-4"]\nimages = [5, 6, 7]',
    "latent": 'kind = "latent-noise"\nmodels = ["conv"]\nlevels = [0, 0.5]\nimages = [1, 2]',
    "latent-relative": 'kind = "latent-noise"\nmodels = ["deep"]\nlevels = [1]\nrelative = true\nimages = [1]',
    "interpolation": 'kind = "interpolation"\nmodels = ["deep", "of"]\nimages = [3, 4]\nn = 4',
    "nine-steps": 'kind = "interpolation"\nmodels = ["pca-4"]\nimages = [3, 3]',
    "nearest": 'kind = "nearest"\nmodels = ["pca-4", "conv"]\nsplit = "train"\nimages = [250, 8]',
    "levels": f'kind = "levels"\nmodels = ["*"]\n{NOISY}levels = [0.2, 0.5]',
    "levels-psnr": f'kind = "levels"\nmodels = ["nothing", "wide"]\n{NOISY}levels = [0.2, 0.5]\nmetric = "psnr"',
    "levels-sequence": 'kind = "levels"\nmodels = ["pca-4", "wide", "both"]\nlevels = [0.1, 0.2]\n'
    'corruption = [{kind = "gaussian"}, {kind = "masking", fraction = 0.2}]',
    "levels-masked": 'kind = "levels"\nmodels = ["both"]\nlevels = [0.3, 0.4]\n'
    'corruption = [{kind = "gaussian", sigma = 0.1}, {kind = "masking"}]',
    "levels-poisson": 'kind = "levels"\nmodels = ["wide"]\nlevels = [5, 50]\ncorruption = {kind = "poisson"}',
    "top-atoms": f'kind = "top-atoms"\nmodels = ["wide"]\n{NOISY}levels = [0.2]\nimages = [1, 9]',
}
CLEAN_AND_NOISY = (None, "gaussian(0.2)", "gaussian(0.5)")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, tools):
    """One run of all of it: arrays by figure, what is listed of each, the models, and the images of each split."""
    from isthmus.console import Lines
    from isthmus.studies.run.scheduler import Request, run_study
    from isthmus.studies.spec.parser import parse_study

    out = tmp_path_factory.mktemp("drawn")
    tools.write_fashion(out / "data", {"sample": 20}, 8)
    text = tools.HEAD + MODELS + "".join(f'[[figure]]\nname = "{name}"\n{one}\n' for name, one in FIGURES_OF.items())
    request = Request(out=out / "runs", data_dir=out / "data", device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ISTHMUS_DATA", "XDG_CACHE_HOME", "HOME"):
            patch.setenv(name, str(out))
        results = run_study(parse_study(text, "small", "small.toml"), request, Lines())
        clothes = load("fashion-mnist", out / "data")
    folder = out / "runs" / "small"
    arrays = {}
    for file in (folder / "figures").glob("*.npz"):
        with np.load(file) as saved:
            arrays[file.stem] = {name: saved[name] for name in saved.files}
    digits = load("digits")
    order = results.data["splits"]
    assert order == {"train": 300, "validation": 60, "test": 120}
    return types.SimpleNamespace(
        results=results,
        arrays=arrays,
        listed={one["name"]: one for one in results.figures},
        models={path.name: load_model(path) for path in (folder / "models").iterdir()},
        test=digits.test.take(slice(0, 120)),
        clothes=clothes,
    )


def flat(pictures):
    return pictures.reshape(len(pictures), -1)


def test_every_kind_is_drawn():
    kinds = {
        line.split('"')[1] for figure in FIGURES_OF.values() for line in figure.splitlines() if "kind = " in line[:7]
    }
    of_photographs = {"photograph-crops"}  # tested with their study
    assert kinds == set(FIGURES) - of_photographs


def test_every_figure_is_on_disk_and_listed(drawn):
    assert list(drawn.listed) == list(FIGURES_OF)
    assert set(drawn.arrays) == set(FIGURES_OF)
    for name, listed in drawn.listed.items():
        assert set(listed["rows"]) <= set(drawn.arrays[name])
        beside = {"labels", "positions", "usage", "trained", "atoms", "code"}
        assert set(drawn.arrays[name]) - set(listed["rows"]) <= beside
        assert listed["rows"]


@pytest.mark.parametrize("name", FIGURES_OF)
def test_what_is_drawn_is_finite_and_no_flat_grey(name, drawn):
    for row in drawn.listed[name]["rows"]:
        array = drawn.arrays[name][row]
        undrawn = name == "activations" and row in ("wide", "of")  # a code of 7 on a page of 3×3
        assert np.isfinite(array).all() or undrawn, row
        always_on = name == "how-often" and row in ("deep", "pca-4")  # codes that are never exactly zero
        assert np.nanstd(array) > 0 or always_on, row


def test_images_are_those_of_the_split_with_their_labels(drawn):
    found = drawn.arrays["images"]
    assert found["positions"].tolist() == [3, 0]
    assert found["original"].shape == (2, 1, 8, 8)
    train = load("digits").train
    for image, label in zip(found["original"], found["labels"], strict=True):
        (place,) = np.flatnonzero((train.pixels == image).all(axis=(1, 2, 3)))[:1]
        assert train.labels[place] == label


def test_reconstructions_are_of_the_images_that_were_asked_for(drawn):
    found, x = drawn.arrays["reconstructions"], drawn.test.floats(np.array([7, 119]))
    assert drawn.listed["reconstructions"]["rows"] == [
        "original",
        "nothing",
        "pca-4",
        "deep",
        "wide",
        "conv",
        "vae",
        "both",
        "of",
    ]
    np.testing.assert_array_equal(flat(found["original"]), x)
    np.testing.assert_array_equal(found["nothing"], found["original"])
    np.testing.assert_array_equal(found["labels"], drawn.test.labels[[7, 119]])
    for name in ("deep", "wide", "conv"):
        np.testing.assert_allclose(flat(found[name]), flat(drawn.models[name].reconstruct(x)), rtol=1e-4, atol=1e-5)
    pca, of = drawn.models["pca-4"], drawn.models["of"]
    expected = pca.inverse_transform(of.reconstruct(pca.transform(x)))
    np.testing.assert_allclose(flat(found["of"]), expected, rtol=1e-4, atol=1e-5)


def test_noise_and_other_data_sets_are_shown_in_place_of_the_images(drawn):
    noise, clothes = drawn.arrays["noise"], drawn.arrays["clothes"]
    np.testing.assert_array_equal(noise["original"], probe.uniform_noise(3, (1, 8, 8), TEST_NOISE_SEED).pixels)
    assert "labels" not in noise
    x = drawn.clothes.test.floats(np.array([2, 0]))
    np.testing.assert_allclose(flat(clothes["original"]), x)
    names = [drawn.clothes.test.label_names[i] for i in drawn.clothes.test.labels[[2, 0]]]
    assert clothes["labels"].tolist() == names
    pca = drawn.models["pca-4"]
    np.testing.assert_allclose(flat(clothes["pca-4"]), pca.inverse_transform(pca.transform(x)), rtol=1e-4, atol=1e-5)
    assert "stand in for fashion-mnist" in drawn.listed["clothes"]["note"]
    assert drawn.listed["noise"]["note"] == ""


def test_denoising_shows_the_very_noise_that_is_measured(drawn):
    found = drawn.arrays["denoising"]
    rows = [
        "original",
        "gaussian(0.2)",
        "nothing at 0.2",
        "wide at 0.2",
        "gaussian(0.5)",
        "nothing at 0.5",
        "wide at 0.5",
    ]
    assert drawn.listed["denoising"]["rows"] == rows
    measured = {(r.model, r.corruption): r.value for r in drawn.results.rows if (r.metric, r.split) == ("mse", "test")}
    for level in (0.2, 0.5):
        label = f"gaussian({level})"
        np.testing.assert_array_equal(found[label], found[f"nothing at {level}"])
        for name in ("nothing", "wide"):
            error = np.square(found[f"{name} at {level}"] - found["original"], dtype=np.float64).mean()
            assert error == pytest.approx(measured[name, label], rel=1e-5)
    assert (found["gaussian(0.5)"].min(), found["gaussian(0.5)"].max()) == (0, 1), "clipped"
    one = drawn.arrays["one-level"]
    noise = Sequence((GaussianNoise(0.1), Masking(0.2)))
    assert drawn.listed["one-level"]["rows"] == ["original", noise.label, "deep"]
    np.testing.assert_array_equal(
        flat(one[noise.label]), noisy_version(drawn.test.floats(np.array([4, 2])), noise, drawn.test.shape)
    )
    assert drawn.listed["one-level"]["corruption"] == noise.label


def test_a_scatter_has_the_codes_of_the_first_images(drawn):
    assert drawn.listed["scatter"]["rows"][0] == "code"
    assert drawn.arrays["scatter"]["code"].shape == (50, 2)
    found = drawn.arrays["scatter-of"]
    assert found["code"].shape == (120, 2)
    np.testing.assert_array_equal(found["labels"], drawn.test.labels)
    code = drawn.models["of"].transform(drawn.models["pca-4"].transform(drawn.test.floats()))
    np.testing.assert_allclose(found["code"], code, rtol=1e-4, atol=1e-5)


def test_curves_are_the_histories(drawn):
    history, found = drawn.models["deep"].history_, drawn.arrays["curves"]
    trained = ["deep", "wide", "conv", "vae", "both", "of"]
    assert drawn.listed["curves"]["rows"] == [row for name in trained for row in (name, f"{name} (validation)")]
    assert drawn.listed["curves"]["first_epoch"] == 2
    np.testing.assert_array_equal(found["deep"], history.losses)
    np.testing.assert_array_equal(found["deep (validation)"], history.validation_losses)
    steps = drawn.arrays["steps"]
    assert list(steps) == ["deep", "wide"]
    assert steps["deep"].shape == (9,), "3 epochs of 3 steps: 128, 128 and 44 images"
    assert steps["wide"].shape == (6,)
    np.testing.assert_allclose(steps["deep"].reshape(3, 3) @ [128, 128, 44] / 300, history.losses, rtol=1e-6)
    assert drawn.listed["steps"]["per"] == "step"


def test_samples_are_those_of_the_prior(drawn):
    expected = drawn.models["vae"].sample(4, random_state=3)  # the seed of HEAD
    np.testing.assert_array_equal(flat(drawn.arrays["samples"]["vae"]), flat(expected))


def test_units_are_moved_by_what_they_tell(drawn):
    nats, rows = drawn.arrays["nats"]["vae"], drawn.listed["traversals"]["rows"]
    assert (np.diff(nats) <= 0).all()
    assert [row.partition(", ")[2] for row in rows] == [f"{value:.2g} nats" for value in nats[:2]]
    vae, x = drawn.models["vae"], drawn.test.floats(np.array([5]))
    code = vae.transform(x)
    unit = int(rows[0].split()[1].rstrip(","))
    code[0, unit] = 3
    moved = drawn.arrays["traversals"][rows[0]]
    np.testing.assert_allclose(flat(moved)[-1], vae.inverse_transform(code).ravel(), atol=1e-6)
    assert len(drawn.listed["traversals-plain"]["rows"]) == 4


def test_filters_are_the_units_that_were_asked_for(drawn):
    found = drawn.arrays["encoder"]
    assert list(found) == ["pca-4", "wide", "conv, layer 1", "conv, layer 2", "of"], "the study's order"
    assert found["wide"].shape == (2, 1, 8, 8)
    whole = probe.filters(drawn.models["wide"], (1, 8, 8))[""]
    np.testing.assert_array_equal(found["wide"], whole[[1, 0]])
    np.testing.assert_array_equal(found["of"], found["pca-4"])
    assert found["conv, layer 1"].shape == (2, 1, 3, 3)
    decoder = drawn.arrays["decoder"]
    shapes = {name: row.shape for name, row in decoder.items()}
    assert shapes == {"deep": (2, 1, 8, 8), "conv, layer 2": (1, 1, 3, 3)}, "its first layer is none"
    np.testing.assert_array_equal(decoder["deep"], probe.filters(drawn.models["deep"], (1, 8, 8), "decoder")[""][:2])


def test_atoms_and_usage(drawn):
    atoms = drawn.arrays["atoms"]
    assert atoms["wide"].shape == (5, 1, 8, 8)
    assert (np.diff(atoms["usage"]) <= 0).all()
    whole = probe.filters(drawn.models["wide"], (1, 8, 8), "decoder")[""]
    np.testing.assert_array_equal(atoms["wide"], whole[atoms["positions"]])
    usage = drawn.arrays["how-often"]
    assert {name: row.shape for name, row in usage.items()} == {"wide": (7,), "deep": (3,), "pca-4": (4,)}
    np.testing.assert_array_equal(usage["pca-4"], 1)
    assert set(np.round(usage["wide"] * 60, 6)) <= set(range(61)), "shares of the 60 validation images"


def test_activations_are_pages_and_maps(drawn):
    found, x = drawn.arrays["activations"], drawn.test.floats(np.array([5, 6, 7]))
    shapes = {name: found[name].shape for name in drawn.listed["activations"]["rows"]}
    assert shapes == {
        "original": (3, 1, 1, 8, 8),
        "wide": (3, 1, 3, 3),
        "conv, layer 1": (3, 2, 4, 4),
        "conv, layer 2": (3, 2, 2, 2),
        "pca-4": (3, 1, 2, 2),
    }
    np.testing.assert_allclose(flat(found["wide"])[:, :7], drawn.models["wide"].transform(x), rtol=1e-4, atol=1e-6)
    assert np.isnan(flat(found["wide"])[:, 7:]).all()


def test_noise_on_codes(drawn):
    found = drawn.arrays["latent"]
    assert drawn.listed["latent"]["rows"] == ["original", "reconstruction", "code + 0", "code + 0.5"]
    assert drawn.listed["latent"]["levels"] == [0, 0.5]
    np.testing.assert_array_equal(found["code + 0"], found["reconstruction"])
    code = drawn.models["conv"].transform(drawn.test.floats(np.array([1, 2])))
    np.testing.assert_allclose(
        found["reconstruction"], drawn.models["conv"].inverse_transform(code), rtol=1e-4, atol=1e-5
    )
    assert drawn.listed["latent-relative"]["rows"] == ["original", "reconstruction", "code + 1 × spread"]


def test_interpolations_have_their_steps(drawn):
    found = drawn.arrays["interpolation"]
    assert {name: row.shape for name, row in found.items()} == dict.fromkeys(("pixels", "deep", "of"), (4, 1, 8, 8))
    x = drawn.test.floats(np.array([3, 4]))
    np.testing.assert_allclose(flat(found["pixels"])[[0, 3]], x)
    deep = drawn.models["deep"]
    np.testing.assert_allclose(flat(found["deep"])[[0, 3]], flat(deep.reconstruct(x)), rtol=1e-4, atol=1e-5)
    still = drawn.arrays["nine-steps"]
    assert still["pixels"].shape == (9, 1, 8, 8)
    np.testing.assert_allclose(still["pca-4"], np.broadcast_to(still["pca-4"][0], (9, 1, 8, 8)), atol=1e-5)


def test_training_images_are_nearest_to_themselves(drawn):
    found = drawn.arrays["nearest"]
    rows = ["original", "nearest in pixels", "nearest for pca-4", "nearest for conv"]
    assert drawn.listed["nearest"]["rows"] == rows
    for row in rows:
        np.testing.assert_array_equal(found[row], found["original"])


def test_levels_are_the_measured_rows(drawn):
    found = drawn.arrays["levels"]
    rows = {(r.model, r.corruption): r for r in drawn.results.rows if (r.metric, r.split) == ("mse", "test")}
    for name in drawn.listed["levels"]["rows"]:
        lines = [(r.value, *r.ci95) for r in (rows[name, label] for label in CLEAN_AND_NOISY)]
        np.testing.assert_array_equal(found[name][:, 0], [0, 0.2, 0.5])
        np.testing.assert_array_equal(found[name][:, 1:], lines)
    trained = dict(zip(drawn.listed["levels"]["rows"], found["trained"], strict=True))
    assert trained.pop("wide") == 0.3
    assert np.isnan(list(trained.values())).all()


def test_levels_of_other_corruptions(drawn):
    """There is a line for clean images where level 0 changes nothing, and not where it does not exist."""
    psnr = drawn.arrays["levels-psnr"]
    assert psnr["nothing"][:, 0].tolist() == [0.2, 0.5], "of a perfect image there is no PSNR"
    assert psnr["wide"][:, 0].tolist() == [0, 0.2, 0.5]
    assert drawn.listed["levels-psnr"]["metric"] == "psnr"
    assert drawn.arrays["levels-sequence"]["pca-4"][:, 0].tolist() == [0.1, 0.2]
    trained = dict(
        zip(drawn.listed["levels-sequence"]["rows"], drawn.arrays["levels-sequence"]["trained"], strict=True)
    )
    assert trained.pop("both") == 0.15, "the other corruption of the two is the same"
    assert np.isnan(list(trained.values())).all()
    said = {name: facts["level_of"] for name, facts in drawn.listed.items() if facts["kind"] == "levels"}
    assert said == {
        "levels": "sigma of gaussian",
        "levels-psnr": "sigma of gaussian",
        "levels-sequence": "sigma of gaussian",
        "levels-masked": "fraction of masking",
        "levels-poisson": "peak of poisson",
    }
    poisson = drawn.arrays["levels-poisson"]
    assert poisson["wide"][:, 0].tolist() == [5, 50]
    assert np.isnan(poisson["trained"]).all(), "trained on another corruption"


def test_figures_of_models_that_are_not_there_are_left_out(run, tools):
    text = (
        tools.HEAD
        + MODELS
        + "".join(
            f'[[figure]]\nname = "{name}"\n{FIGURES_OF[name]}\n'
            for name in ("reconstructions", "curves", "atoms", "levels")
        )
    )
    results = run(text, only=("pca-4",))
    models = {one["name"]: one["models"] for one in results.figures}
    assert models == {"reconstructions": ["pca-4"], "levels": ["pca-4"]}
    results = run(text, only=("wide",))
    models = {one["name"]: one["models"] for one in results.figures}
    both = ["pca-4", "wide"]
    assert models == {"reconstructions": both, "curves": both, "atoms": ["wide"], "levels": both}


def test_a_model_that_was_trained_on_no_corruption_was_trained_at_no_level():
    assert members(None) == (None,)
    assert what_varies([None]) == ""
    parts = [GaussianNoise(0.1), GaussianNoise(0.3)]
    assert math.isnan(trained_at(None, parts))
    assert trained_at(GaussianNoise(0.2), parts) == 0.2
