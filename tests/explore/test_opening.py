"""The models that the page opens with, by their families, and the test images that a model finds hardest."""

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

import isthmus
from isthmus import metrics
from isthmus.estimators.adapters import reconstruct
from isthmus.explore.answers import routes
from isthmus.explore.answers.noise import apply, part_of
from isthmus.explore.answers.overview import family, opening
from isthmus.explore.serving.application import application

HERE = "http://127.0.0.1:8765"


def one(name, family, *, mse=0.1, code=8, fault=None, collapsed=None, switches=0):
    """The facts of a model that count here; of a damaged one nothing but its name is known."""
    if fault is not None:
        return {"name": name, "fault": fault, "mse": mse, "collapsed": collapsed}
    known = {"family": family, "mse": mse, "code": code, "switches": switches}
    return {"name": name, "fault": None, "collapsed": collapsed, **known}


@pytest.fixture(scope="module")
def client(shelf):
    with TestClient(application(shelf), base_url=HERE) as client:
        yield client
    shelf.closing.clear()  # the shelf outlives this server


def test_the_page_opens_with_the_best_of_each_family_in_the_studys_order(shelf):
    about = routes.about(shelf)
    names = about["opening"]
    assert names == [name for name in shelf.entries if name in names]
    by_name = {model["name"]: model for model in about["models"]}
    assert [by_name[name]["family"] for name in names] == ["PCA", "deep", "sparse dense", "conv"]
    pca = [model for model in about["models"] if model["family"] == "PCA"]
    assert min(pca, key=lambda model: model["mse"])["name"] == names[0]
    assert "conv" in names  # and not the one whose decoder sees switches too
    assert by_name["unpool"]["family"] == "conv"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"network": isthmus.Dense(bottleneck=3)}, "dense"),
        ({"network": isthmus.Dense(hidden=(6,), bottleneck=3)}, "deep"),
        ({"network": isthmus.Dense(bottleneck=3), "penalty": isthmus.L1(1e-3)}, "sparse dense"),
        ({"network": isthmus.Dense(bottleneck=3), "penalty": isthmus.L1(0.0)}, "dense"),
        ({"network": isthmus.Dense(bottleneck=3), "corruption": isthmus.GaussianNoise(0.1)}, "denoising dense"),
        ({"network": isthmus.Dictionary(n_atoms=5), "corruption": isthmus.GaussianNoise(0.1)}, "denoising dictionary"),
        ({"network": isthmus.Dense(bottleneck=3), "code": isthmus.Gaussian()}, "gaussian dense"),
    ],
)
def test_a_family_is_what_was_composed(x, parts, expected):
    assert family(isthmus.Autoencoder(epochs=1, random_state=0, **parts).fit(x)) == expected


def test_few_models_are_all_shown_and_damaged_ones_never():
    few = [one(f"m{i}", "deep") for i in range(6)]
    assert opening(few) == [f"m{i}" for i in range(6)]
    assert opening([*few, one("broken", "PCA", fault="it is damaged")]) == [f"m{i}" for i in range(6)]


def test_families_that_teach_most_come_first_and_what_does_nothing_or_searches_last():
    first = ["gaussian dense", "conv", "sparse dense", "denoising dense", "PCA", "deep"]
    models = [one(name, name) for name in ("identity", "decoder search", "dense", "module", *first)]
    assert opening(models) == first


def test_of_a_family_the_least_error_is_shown_unless_it_collapsed_or_sees_more_than_the_code():
    models = [
        one(f"{kind}-{i}", kind, mse=0.2 - 0.01 * i) for kind in ("PCA", "deep", "conv", "sparse dense") for i in (0, 1)
    ]
    models += [
        one("deep-flat", "deep", mse=0.01, collapsed="all alike"),
        one("conv-more", "conv", switches=9, mse=0.01),
    ]
    assert opening(models) == ["PCA-1", "deep-1", "conv-1", "sparse dense-1"]


def test_a_sweep_of_one_family_is_shown_by_codes_of_different_sizes():
    models = [one(f"d-{n}", "deep", code=n, mse=1 / n) for n in (2, 3, 4, 6, 8, 16, 32, 64)]
    shown = opening([one("identity", "identity", code=None), *models])
    assert len(shown) == 4
    assert {"d-2", "d-64"} <= set(shown)
    assert "identity" not in shown


FACTS = st.builds(
    one,
    st.integers().map(str),
    st.sampled_from(["PCA", "deep", "conv", "sparse dense", "identity", "decoder search", "something new"]),
    mse=st.none() | st.floats(0, 1),
    code=st.none() | st.integers(1, 100),
    fault=st.none() | st.just("damaged"),
    collapsed=st.none() | st.just("flat"),
    switches=st.integers(0, 1),
)


@given(st.lists(FACTS, max_size=20, unique_by=lambda one: one["name"]))
def test_it_is_four_to_six_whole_models_in_order(models):
    whole, shown = [model["name"] for model in models if model["fault"] is None], opening(models)
    assert shown == [name for name in whole if name in shown]
    assert min(4, len(whole)) <= len(shown) <= 6


@pytest.mark.parametrize("level", [0.0, 0.4])
def test_the_hardest_images_are_those_on_which_the_library_errs_most(client, shelf, level):
    response = client.get(f"/api/hardest?model=deep&level={level}&draw=3&n=5")
    assert response.status_code == 200, response.text
    found = safetensors.numpy.load(response.content)
    x = shelf.images.floats()
    x_in = apply(part_of("gaussian", level), x, shelf.shape, 3)
    x_hat = reconstruct(shelf.model("deep"), x_in)
    error = metrics.squared_error(x, x_hat)
    which = found["which"]
    assert len(which) == 5
    np.testing.assert_allclose(found["mse"], error[which])
    assert (np.diff(found["mse"]) <= 0).all()
    assert found["mse"][-1] >= np.delete(error, which).max()
    np.testing.assert_array_equal(found["noisy"].reshape(5, -1), x_in[which])
    np.testing.assert_allclose(found["x_hat"].reshape(5, -1), x_hat[which], atol=1e-6)


def test_no_more_of_the_hardest_than_there_are_and_none_of_an_unknown_model(client, shelf):
    assert client.get("/api/hardest?model=deep&n=65").status_code == 400
    assert client.get("/api/hardest?model=nobody").status_code == 400
    assert len(safetensors.numpy.load(client.get("/api/hardest?model=deep&n=64").content)["which"]) == 64
