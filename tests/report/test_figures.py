"""Pictures: where each image lies, one grey scale, the same bytes for the same arrays."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from isthmus.report import plots
from isthmus.report.figures import _percent, drawn, figure_png, svg_of
from isthmus.report.grids import grid
from isthmus.studies.spec.figures import FIGURES as KINDS

RNG = np.random.default_rng(0)
IMAGES = RNG.random((4, 1, 8, 8))


def picture(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_grid_lays_images_out_in_lines():
    images = np.arange(1.0, 4.0)[:, None, None, None] * np.ones((3, 1, 2, 2))
    expected = [
        [1, 1, 0, 2, 2],
        [1, 1, 0, 2, 2],
        [0, 0, 0, 0, 0],
        [3, 3, 0, 0, 0],
        [3, 3, 0, 0, 0],
    ]
    np.testing.assert_array_equal(grid(images, 2, gap=1, fill=0)[..., 0], expected)


def test_grid_keeps_each_pixel_in_its_place():
    images = np.arange(12.0).reshape(2, 1, 2, 3)
    page = grid(images, 2, gap=2, fill=-1)[..., 0]
    np.testing.assert_array_equal(page, [[0, 1, 2, -1, -1, 6, 7, 8], [3, 4, 5, -1, -1, 9, 10, 11]])
    assert np.isnan(grid(images, 2)[0, 3, 0])


def test_grid_shows_three_channels_as_colours_and_the_first_of_others():
    images = RNG.random((2, 3, 4, 5))
    page = grid(images, 2, gap=0)
    assert page.shape == (4, 10, 3)
    np.testing.assert_array_equal(page[:, 5:], images[1].transpose(1, 2, 0))
    two = grid(images[:, :2], 1, gap=0)
    assert two.shape == (8, 5, 1)
    np.testing.assert_array_equal(two[4:, :, 0], images[1, 0])


FIGURES = {
    "curves": ({"kind": "curves"}, {"a": np.array([3.0, 2.0, 1.0]), "a (validation)": np.array([3.0, 2.5, 2.0])}),
    "later curves": ({"kind": "curves", "first_epoch": 2}, {"a": np.array([9.0, 2.0, 1.0])}),
    "curves of nothing": ({"kind": "curves", "first_epoch": 2}, {"a": np.array([9.0])}),
    "scatter": ({"kind": "scatter"}, {"code": RNG.random((12, 2)), "labels": np.arange(12)}),
    "filters": ({"kind": "filters", "rows": ["a", "b"]}, {"a": RNG.normal(size=(17, 1, 8, 8)), "b": IMAGES - 0.5}),
    "dead filters": ({"kind": "filters", "rows": ["a"]}, {"a": np.zeros((3, 1, 8, 8))}),
    "images": ({"kind": "images", "rows": ["original"]}, {"original": IMAGES[:1]}),
    "nats": ({"kind": "nats", "rows": ["a", "b"]}, {"a": np.geomspace(3, 1e-4, 20), "b": np.zeros(5)}),
    "traversals": ({"kind": "traversals", "rows": ["unit 3, 2 nats"]}, {"unit 3, 2 nats": RNG.random((7, 1, 8, 8))}),
    "samples": ({"kind": "samples", "rows": ["a", "b"]}, {name: RNG.random((5, 1, 8, 8)) for name in "ab"}),
    "reconstructions": (
        {"kind": "reconstructions", "rows": ["original", "a"]},
        {"original": IMAGES, "a": 1 - IMAGES, "labels": np.arange(4), "positions": np.arange(4)},
    ),
    "denoising": (
        {"kind": "denoising", "rows": ["original", "input", "a"], "corruption": "gaussian(0.3)"},
        {"original": IMAGES, "input": IMAGES + 0.5, "a": IMAGES, "labels": np.arange(4)},
    ),
    "many levels": (
        {"kind": "denoising", "rows": ["original", "gaussian(0.3)", "a at 0.3"]},
        {"original": IMAGES[:1], "gaussian(0.3)": IMAGES[:1] + 0.5, "a at 0.3": IMAGES[:1]},
    ),
    "steps": ({"kind": "curves", "per": "step", "rows": ["a"]}, {"a": RNG.random(400) + 1}),
    "few steps": ({"kind": "curves", "per": "step", "rows": ["a"]}, {"a": np.array([3.0, 1.0])}),
    "layers": (
        {"kind": "filters", "rows": ["a, layer 1", "a, layer 2"]},
        {"a, layer 1": RNG.normal(size=(8, 1, 3, 3)), "a, layer 2": RNG.normal(size=(16, 1, 3, 3))},
    ),
    "many filters": ({"kind": "filters", "rows": ["a"]}, {"a": RNG.normal(size=(300, 1, 12, 12))}),
    "atoms": ({"kind": "atoms", "rows": ["a"]}, {"a": RNG.normal(size=(20, 1, 8, 8)), "usage": np.linspace(1, 0, 20)}),
    "activations": (
        {"kind": "activations", "rows": ["original", "a", "b, layer 1"]},
        {
            "original": IMAGES,
            "a": np.where(RNG.random((4, 1, 5, 5)) < 0.1, np.nan, RNG.random((4, 1, 5, 5))),
            "b, layer 1": RNG.random((4, 8, 4, 4)),
        },
    ),
    "dead activations": ({"kind": "activations", "rows": ["a"]}, {"a": np.zeros((4, 1, 5, 5))}),
    "usage": ({"kind": "usage", "rows": ["a", "b", "c", "d"]}, {name: RNG.random(50) for name in "abcd"}),
    "dead usage": ({"kind": "usage", "rows": ["a"]}, {"a": np.zeros(5)}),
    "levels": (
        {"kind": "levels", "rows": ["a", "b"], "metric": "mse", "corruption": "gaussian(0.3)"},
        {
            "a": np.array([[0, 0.1, 0.09, 0.11], [0.3, 0.2, 0.19, 0.21]]),
            "b": np.array([[0, 0.2, 0.2, 0.2], [0.3, 0.25, 0.2, 0.3]]),
            "trained": np.array([0.3, np.nan]),
        },
    ),
    "theory": (
        {
            "kind": "levels",
            "rows": ["a", "a: representation error", "a: theory"],
            "metric": "psnr",
            "corruption": "gaussian(0.3)",
            "axis": "square",
        },
        {
            "a": np.array([[0, 0.1, 0.09, 0.11], [0.3, 0.2, 0.19, 0.21]]),
            "a: representation error": np.array([[0, 0.1, 0.1, 0.1], [0.3, 0.1, 0.1, 0.1]]),
            "a: theory": np.array([[0, 0.1, 0.1, 0.1], [0.3, 0.15, 0.15, 0.15]]),
            "trained": np.array([np.nan] * 3),
        },
    ),
    "interpolation": ({"kind": "interpolation", "rows": ["pixels"]}, {"pixels": IMAGES}),
    "latent noise": (
        {"kind": "latent-noise", "rows": ["original", "code + 1"]},
        {"original": IMAGES, "code + 1": IMAGES},
    ),
    "nearest": (
        {"kind": "nearest", "rows": ["original", "nearest in pixels"]},
        {"original": IMAGES, "nearest in pixels": IMAGES[::-1], "labels": np.arange(4)},
    ),
    "top atoms": (
        {"kind": "top-atoms", "rows": ["original", "a"]},
        {"original": IMAGES, "a": IMAGES, "atoms": RNG.normal(size=(4, 3, 1, 8, 8)), "code": RNG.normal(size=(4, 3))},
    ),
    "against time": ({"kind": "curves", "per": "time", "rows": ["a"]}, {"a": np.array([[60.0, 25.0], [120.0, 28.0]])}),
    "crops": (
        {"kind": "photograph-crops", "rows": ["original", "input", "a"]},
        {"original": IMAGES[:2], "input": IMAGES[:2] + 0.1, "a": IMAGES[:2] + 0.02},
    ),
    "colours": ({"kind": "images", "rows": ["original"]}, {"original": RNG.random((3, 3, 8, 8))}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_arrays_give_the_same_bytes_and_others_do_not(name):
    facts, arrays = FIGURES[name]
    png = figure_png(facts, arrays)
    assert figure_png(facts, arrays) == png
    pixels = picture(png)
    assert pixels.std() > 0
    assert min(pixels.shape[:2]) > 50
    if "dead" not in name and name != "curves of nothing":
        first = "code" if name == "scatter" else next(iter(arrays))
        assert figure_png(facts, {**arrays, first: arrays[first][::-1] ** 2}) != png


def test_photographs_are_shown_at_full_size():
    """A pixel of theirs is two of the picture, and one of the page."""
    x = np.random.default_rng(0).random((1, 1, 48, 48))
    facts = {"kind": "photograph-crops", "rows": ["original", "input"]}
    png = figure_png(facts, {"original": x, "input": x})
    pixels = picture(png)[..., 0].astype(float) / 255
    svg = svg_of(drawn(facts, {"original": x, "input": x}), {**facts, "name": "crops"})
    of_the_page = float(re.search(r"width:(\d+)px;min-width:\1px", svg)[1]) / float(
        re.search(r'viewBox="0 0 ([\d.]+)', svg)[1]
    )
    side, scale = map(
        float, re.search(r'<image width="(\d+)" height="\1" transform="matrix\(([\d.]+) 0 0 \2', svg).groups()
    )
    assert (side, pytest.approx(scale * of_the_page, rel=0.01)) == (48, 1)
    crop, n = x[0, 0].repeat(2, axis=0).repeat(2, axis=1), 96
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (n, n))
    near = np.abs(windows[:, :, ::15, ::15] - crop[::15, ::15]).max(axis=(2, 3))
    assert near.min() < 0.01, "it is there, pixel by pixel"


def test_every_kind_of_figure_is_drawn_here():
    assert {facts["kind"] for facts, _ in FIGURES.values()} == set(KINDS)


def test_a_thousand_filters_are_small_and_readable():
    """One pixel of the picture for each weight at least, and less than three megabytes."""
    png = figure_png({"kind": "filters", "rows": ["a"]}, {"a": RNG.normal(size=(1024, 1, 28, 28))})
    assert len(png) < 3e6
    assert min(picture(png).shape[:2]) > 32 * 28


def test_all_images_have_one_grey_scale():
    """A half-grey image is half grey, whatever stands beside it: no picture is scaled by itself."""
    grey = np.full((1, 1, 8, 8), 0.5)
    alone = picture(figure_png({"kind": "images", "rows": ["original"]}, {"original": grey}))
    beside = picture(figure_png({"kind": "images", "rows": ["original", "b"]}, {"original": grey, "b": grey * 2 - 0.9}))
    for pixels in (alone, beside):
        # the share of pixels of just this grey is that of an image, not of some letters' edges
        assert (np.abs(pixels.astype(int) - 128).max(axis=-1) <= 1).mean() > 0.1


def test_pixels_outside_the_scale_are_cut():
    facts = {"kind": "images", "rows": ["original"]}
    wide, cut = IMAGES * 3 - 1, np.clip(IMAGES * 3 - 1, 0, 1)
    assert figure_png(facts, {"original": wide}) == figure_png(facts, {"original": cut})


def test_zero_is_white_among_filters():
    filters = np.zeros((4, 1, 8, 8))
    filters[0, 0, 0, 0] = 1
    pixels = picture(figure_png({"kind": "filters", "rows": ["a"]}, {"a": filters}))
    assert (pixels >= 245).all(axis=-1).mean() > 0.8
    flipped = picture(figure_png({"kind": "filters", "rows": ["a"]}, {"a": -filters}))
    red, blue = ((p[..., 0].astype(int) - p[..., 2]).ravel() for p in (pixels, flipped))
    assert red.sum() > blue.sum()


def levels_figure(values, trained):
    """Lines of mse at the levels 0, 0.5 and 1, and where each model was trained."""
    lines = {
        name: np.array([[x, y, y, y] for x, y in zip((0, 0.5, 1), ys, strict=True)]) for name, ys in values.items()
    }
    facts = {"rows": list(values), "metric": "mse", "corruption": "gaussian(0.5)+masking(0.5)", "level_of": "fraction"}
    return plots.levels(facts, {**lines, "trained": np.array(trained)}).axes[0]


def test_a_line_far_above_all_others_leaves_the_picture_and_the_legend_says_so():
    axes = levels_figure({"a": (0.1, 0.1, 0.2), "b": (0.1, 0.2, 0.3), "nothing": (0, 0.5, 2.0)}, [np.nan] * 3)
    assert 0.3 < axes.get_ylim()[1] < 0.5
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "nothing (up to 2)"]
    assert axes.get_xlabel() == "fraction"
    axes = levels_figure({"a": (0.1, 0.1, 0.2), "b": (0.1, 0.2, 0.3), "nothing": (0, 0.5, 0.8)}, [np.nan] * 3)
    assert axes.get_ylim()[1] > 0.8
    assert axes.get_legend().get_title().get_text() == ""


@pytest.mark.parametrize(("trained", "place"), [(0.5, 0.3), (0.25, 0.2), (1.5, None), (np.nan, None)])
def test_a_ring_lies_on_the_line_where_a_model_was_trained(trained, place):
    axes = levels_figure({"a": (0.1, 0.3, 0.4), "b": (0.1, 0.2, 0.3)}, [trained, np.nan])
    rings = [line for line in axes.lines if line.get_markersize() == 13]
    assert [(*ring.get_xdata(), *ring.get_ydata()) for ring in rings] == ([] if place is None else [(trained, place)])
    assert bool(axes.get_legend().get_title().get_text()) is (place is not None), "no ring, no word of it"


def test_a_unit_of_the_highest_activation_can_be_seen_and_is_no_place_without_a_unit():
    """A code of three units is a page of four places, and the last has none."""
    white, none = (255, 255, 255), (198, 215, 234)

    def seen(code):
        facts = {"kind": "activations", "rows": ["original", "a"]}
        return picture(figure_png(facts, {"original": IMAGES, "a": np.array(code).reshape(4, 1, 2, 2)}))

    page = seen([[0, 0, 0, np.nan], [0, 0, 0, np.nan], [0, 0, 0, np.nan], [0, 0, 9, np.nan]])
    rows, columns = np.nonzero((page == none).all(axis=-1))
    inside = page[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    below = inside[-len(inside) // 4 :]  # of the panel below the original
    assert (below == none).all(axis=-1).mean() > 0.3
    assert 0.02 < (below == white).all(axis=-1).mean() < 0.2, "the one unit that is on, with room around it"
    assert (below[-1] == none).all()
    assert (below[:, -1] == none).all()


@pytest.mark.parametrize(("share", "said"), [(0.0, "0%"), (1e-4, "below 1%"), (0.01, "1%"), (0.996, "100%")])
def test_a_unit_that_is_on_for_some_images_is_not_said_to_be_on_for_none(share, said):
    assert _percent(share) == said


@pytest.mark.parametrize(("n", "shown"), [(1, [1]), (2, [2]), (4, [2, 3, 4])])
def test_curves_of_few_epochs_are_not_empty(n, shown):
    drawn = plots.curves({"kind": "curves", "first_epoch": 2}, {"a": np.arange(n, 0.0, -1)})
    assert [line.get_xdata().tolist() for line in drawn.axes[0].lines] == [shown]
