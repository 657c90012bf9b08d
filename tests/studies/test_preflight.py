"""What only the images can tell is told before anything is trained: one line, exit code 2, and nothing is written."""

from __future__ import annotations

import pytest

from isthmus.cli import run_command

CONV = """
[[model]]
name = "conv"
estimator = "autoencoder"
network = {kind = "conv", channels = [4, 4], decoder = "unpool"}
epochs = 1
"""


def conv(network: str, more: str = "") -> str:
    return CONV.replace('{kind = "conv", channels = [4, 4], decoder = "unpool"}', network) + more


def figure(lines: str) -> str:
    return f'[[figure]]\nname = "f"\n{lines}\n'


# what a study of an identity, a PCA of 4 and a dense network of 4 on 8×8 digits has besides, and the words of the error
REFUSED = {
    "a network deeper than the images": (
        conv('{kind = "conv", channels = [4, 4, 4, 4]}'),
        ['small, model "conv"', "4 layers is deeper than images of 8×8 allow: layer 4 gets 1×1", "use fewer layers"],
    ),
    "a network deeper without padding": (
        conv('{kind = "conv", channels = [4, 4], padding = 0}'),
        ['model "conv"', "layer 2 gets 3×3, too little for a 3×3 convolution"],
    ),
    "a convolution of codes": (conv('{kind = "conv"}', 'of = "pca-4"'), ['model "conv"', "needs images"]),
    "a convolution of codes of another size": (
        conv('{kind = "conv", channels = [2], image_shape = [1, 8, 8]}', 'of = "pca-4"'),
        ['model "conv"', "image_shape must be of 4 numbers, as the samples are, got (1, 8, 8)"],
    ),
    "more components than codes": (
        '[[model]]\nname = "of"\nestimator = "pca"\nn_components = 5\nof = "dense-4"',
        ['model "of"', "n_components must be at most 4 (300 samples of 4 numbers), got 5"],
    ),
    "a square larger than the images it is trained on": (
        conv('{kind = "dense"}', 'corruption = {kind = "occlusion", size = 9}'),
        ['model "conv"', "size must be at most 8, the shorter side of the images, got 9"],
    ),
    "a square on codes": (
        conv('{kind = "dense"}', 'of = "pca-4"\ncorruption = {kind = "occlusion", size = 1}'),
        ['model "conv"', "occlusion needs images"],
    ),
    "an augmentation of codes": (
        conv('{kind = "dense"}', 'of = "pca-4"\naugmentation = "affine"'),
        ['model "conv"', "affine augmentation needs images"],
    ),
    "a square of a sequence": (
        conv('{kind = "dense"}', 'corruption = [{kind = "masking", fraction = 0.1}, {kind = "occlusion", size = 10}]'),
        ['model "conv"', "size must be at most 8", "got 10"],
    ),
    "a square larger than the images it is measured on": (
        '[[measure]]\nmetrics = ["mse"]\ncorruption = {kind = "occlusion"}\nlevels = [4, 9]',
        ["small, measure 1", "size must be at most 8", "got 9"],
    ),
    "a square larger than the images that are shown": (
        figure('kind = "denoising"\nmodels = ["pca-4"]\ncorruption = {kind = "occlusion", size = 12}'),
        ['small, figure "f"', "size must be at most 8", "got 12"],
    ),
    "a square on codes that are images of another shape": (
        conv('{kind = "dense"}', 'of = "pca-4"\ncorruption = {kind = "occlusion", size = 1, image_shape = [1, 3, 3]}'),
        ['model "conv"', "image_shape must be of 4 numbers, as the samples are, got (1, 3, 3)"],
    ),
    "an image that is not there to be measured": (
        '[[measure]]\nmetrics = ["published_sse"]\nimages = [3, 120]',
        ["small, measure 1", 'images must be below 120, the size of split "test", got 120'],
    ),
    "an image that is not there to be compared": (
        '[[reference]]\nid = "r"\nmodel = "pca-4"\nmetric = "mse"\nvalue = 1\nrtol = 1\nsplit = "train"\n'
        "images = [300]",
        ['small, reference "r"', 'images must be below 300, the size of split "train", got 300'],
    ),
    "an image that another data set does not have": (
        figure('kind = "reconstructions"\nmodels = ["pca-4"]\nsource = "fashion-mnist"\nimages = [1, 4]'),
        ['small, figure "f"', "images must be below 4", "got 4"],
    ),
    "a scatter of one number": (
        '[[model]]\nname = "one"\nestimator = "pca"\nn_components = 1\n' + figure('kind = "scatter"\nmodels = ["one"]'),
        ['figure "f"', 'a scatter of "one"', "at least 2 numbers", "got 1"],
    ),
    "an interpolation of one step": (
        figure('kind = "interpolation"\nmodels = ["pca-4"]\nimages = [1, 2]\nn = 1'),
        ['figure "f"', "the steps of an interpolation must be at least 2, got 1"],
    ),
    "a unit that a dense network does not have": (
        figure('kind = "filters"\nmodels = ["dense-4"]\nunits = [0, 4]'),
        ['figure "f"', 'units must be below 4, what a layer of the encoder of "dense-4" has, got 4'],
    ),
    "a component that there is not": (
        figure('kind = "filters"\nmodels = ["pca-4"]\nunits = [7]'),
        ['figure "f"', 'units must be below 4', '"pca-4" has, got 7'],
    ),
    "a unit of one of two layers": (
        conv('{kind = "conv", channels = [4, 2]}') + figure('kind = "filters"\nmodels = ["conv"]\nunits = [2]'),
        ['figure "f"', 'units must be below 2, what a layer of the encoder of "conv" has, got 2'],
    ),
    "a unit of a decoder": (
        conv('{kind = "conv", channels = [4, 2]}')
        + figure('kind = "filters"\nmodels = ["conv"]\nunits = [2]\nside = "decoder"'),
        ['figure "f"', 'units must be below 2, what a layer of the decoder of "conv" has, got 2'],
    ),
    "a channel that an image does not have": (
        CONV + figure('kind = "filters"\nmodels = ["conv"]\nchannel = 1'),
        ['figure "f"', 'channel must be below 1, what a layer of the encoder of "conv" has, got 1'],
    ),
}  # fmt: skip


def refused(capsys, path, out, words):
    """Run a study that must be refused: one line on stderr, exit code 2, nothing on stdout and on the disk."""
    assert run_command(["run", str(path), "--out", str(out), "--threads", "1"]) == 2
    printed, err = capsys.readouterr()
    assert printed == ""
    assert err.startswith("isthmus: ")
    assert (err.count("\n"), err[-1]) == (1, "\n"), err
    assert not [word for word in words if word not in err], err
    assert not out.exists()


@pytest.mark.parametrize("what", REFUSED)
def test_refused_before_anything_is_trained(what, study, tools, fashion, tmp_path, capsys):
    fashion({"sample": 20})
    more, words = REFUSED[what]
    text = tools.HEAD + tools.IDENTITY + tools.PCA + tools.DENSE + more
    refused(capsys, study(text), tmp_path / "runs", words)


def test_a_class_that_the_data_set_does_not_have(study, tools, tmp_path, capsys):
    text = tools.SMALL.replace("validation = 60", "validation = 60\nclasses = [2, 10]")
    refused(capsys, study(text), tmp_path / "runs", ["digits", "has no class 10; known: 0, 1, 2"])


@pytest.mark.parametrize("side", [7, 28])
def test_another_data_sets_images_of_another_size(side, study, tools, fashion, tmp_path, capsys):
    fashion({"sample": 20}, side)
    text = (
        tools.HEAD
        + tools.PCA
        + figure('kind = "reconstructions"\nmodels = ["*"]\nsource = "fashion-mnist"\nimages = [0]')
    )
    words = [
        'figure "f"',
        "images must be of fashion-mnist as large as the study's, (1, 8, 8)",
        f"got (1, {side}, {side})",
    ]
    refused(capsys, study(text), tmp_path / "runs", words)


def test_a_data_set_that_is_not_here_leaves_its_figure_out_with_a_sentence(run, tools, fashion, capsys):
    lines = 'kind = "reconstructions"\nmodels = ["*"]\nsource = "kmnist"\nimages = [5000]\n'
    results = run(tools.HEAD + tools.PCA + figure(lines) + '[[figure]]\nname = "g"\nkind = "images"\n')
    assert [one["name"] for one in results.figures] == ["g"]
    assert "figures of kmnist are left out: kmnist is not on this machine" in capsys.readouterr().err


def test_what_is_asked_for_and_there_is_not_refused(run, tools, fashion):
    """The largest positions, squares and components that there are."""
    fashion({"sample": 20})
    text = tools.HEAD + tools.IDENTITY + tools.PCA + tools.DENSE + CONV
    text += '[[measure]]\nmodels = ["pca-4"]\nmetrics = ["published_sse"]\nimages = [119]\n'
    text += '[[measure]]\nmetrics = ["mse"]\ncorruption = {kind = "occlusion", size = 8}\n'
    text += figure('kind = "filters"\nmodels = ["dense-4", "pca-4", "conv"]\nunits = [3]')
    text += '[[figure]]\nname = "g"\nkind = "images"\nsource = "fashion-mnist"\nimages = [3]\n'
    results = run(text)
    assert [one["name"] for one in results.figures] == ["f", "g"]
    assert results.complete
    (covered,) = [
        r.value for r in results.rows if (r.model, r.corruption, r.metric) == ("nothing", "occlusion(8)", "mse")
    ]
    assert covered > 0.1, "the whole image is gone"
