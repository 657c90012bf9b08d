"""Units and maps, against what is computed the long way round."""

import numpy as np
import pytest

from isthmus.analysis import probe
from isthmus.errors import RequestError
from isthmus.estimators.adapters import encode
from isthmus.explore.answers.units import neighbours, pictures, plane, survey
from isthmus.explore.shelf import Leaving


@pytest.fixture(scope="module")
def more(shelf):
    """More test images than go through a model at a time."""
    return shelf.images.followed_by(shelf.images).followed_by(shelf.images)


@pytest.mark.parametrize("name", ["deep", "wide", "conv"])
def test_the_survey_is_what_all_codes_at_once_say(shelf, more, name):
    model = shelf.model(name)
    code = encode(model, more)
    found = survey(model, more, 5)
    np.testing.assert_allclose(found.usage, probe.usage(model, more))
    np.testing.assert_allclose(found.spread, code.std(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.low, code.min(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.high, code.max(axis=0), atol=1e-6)
    np.testing.assert_allclose(found.top_code, -np.sort(-code, axis=0)[:5].T, atol=1e-6)
    reached = np.take_along_axis(code.T, found.top.astype(np.int64), axis=1)
    np.testing.assert_allclose(reached, found.top_code, atol=1e-6)


def test_a_survey_of_fewer_images_than_it_lists(shelf):
    found = survey(shelf.model("deep"), shelf.images.take(slice(0, 3)), 12)
    assert found.top.shape == (5, 3)


def test_a_survey_ends_when_it_is_told(shelf, more):
    def stop():
        raise Leaving

    with pytest.raises(Leaving):
        survey(shelf.model("deep"), more, go_on=stop)


def test_weights_are_pictures_where_one_layer_makes_or_draws_a_unit(shelf):
    wide = pictures(shelf.model("wide"), 3, 128, shelf.shape)
    np.testing.assert_array_equal(wide["filter"], probe.filters(shelf.model("wide"), shelf.shape)[""][3])
    np.testing.assert_array_equal(wide["atom"], probe.filters(shelf.model("wide"), shelf.shape, "decoder")[""][3])
    assert pictures(shelf.model("deep"), 0, 5, shelf.shape) == {}
    assert set(pictures(shelf.model("pca-4"), 0, 4, shelf.shape)) == {"atom"}
    with pytest.raises(RequestError, match="unit must be from 0 to 4"):
        pictures(shelf.model("deep"), 5, 5, shelf.shape)


def test_a_point_of_the_plane_stands_for_the_nearest_code_in_it():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(50, 2)) * [3, 1]
    codes = (hidden @ rng.normal(size=(2, 6)) + 1).astype(np.float32)  # which lie in a plane
    found = plane(codes)
    np.testing.assert_allclose(found["centre"] + found["points"] @ found["axes"], codes, atol=1e-4)
    assert found["share"][0] == pytest.approx(1)


def test_codes_of_two_numbers_are_their_own_map():
    codes = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    found = plane(codes)
    np.testing.assert_array_equal(found["points"], codes)
    np.testing.assert_array_equal(found["centre"] + found["points"] @ found["axes"], codes)
    with pytest.raises(RequestError, match="at least 2 numbers"):
        plane(codes[:, :1])


def test_neighbours_keep_groups_apart():
    rng = np.random.default_rng(0)
    codes = np.concatenate([rng.normal(size=(20, 5)), rng.normal(size=(20, 5)) + 30]).astype(np.float32)
    points = neighbours(codes)["points"]
    within = np.linalg.norm(points[:20] - points[:20].mean(axis=0), axis=1).max()
    assert np.linalg.norm(points[:20].mean(axis=0) - points[20:].mean(axis=0)) > within
