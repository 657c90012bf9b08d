"""The images that a report begins with: of each model, as they are and with the noise that the run is about."""

from __future__ import annotations

import numpy as np

from isthmus import GaussianNoise, load
from isthmus.corruption import noisy_version
from isthmus.estimators.adapters import reconstruct


def read(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_each_model_is_there_as_it_reconstructs(run, folder, tools):
    run(tools.SMALL)
    clean, noisy = read(folder / "examples" / "clean.npz"), read(folder / "examples" / "noisy.npz")
    x = clean["original"].reshape(3, -1)
    part = GaussianNoise(0.2, clip=False)
    y = noisy_version(x, part, (1, 8, 8))
    np.testing.assert_array_equal(noisy[part.label].reshape(3, -1), y)
    for name in ("pca-4", "dense-4"):
        model = load(folder / "models" / name)
        np.testing.assert_allclose(clean[name].reshape(3, -1), reconstruct(model, x), atol=1e-5)
        np.testing.assert_allclose(noisy[name].reshape(3, -1), reconstruct(model, y), atol=1e-5)
    assert {"nothing", "pca-of"} <= clean.keys()
    assert np.abs(clean["pca-4"] - noisy["pca-4"]).max() > 0.01


def test_the_same_run_leaves_the_same_bytes_and_without_noise_no_noisy_images(run, folder, tools):
    run(tools.SMALL)
    before = {file.name: file.read_bytes() for file in (folder / "examples").iterdir()}
    run(tools.SMALL, fresh=True)
    assert {file.name: file.read_bytes() for file in (folder / "examples").iterdir()} == before
    run(tools.HEAD + tools.PCA)
    assert [file.name for file in (folder / "examples").iterdir()] == ["clean.npz"]


def test_of_few_models_only_they_are_there(run, folder, tools):
    run(tools.SMALL, only=("pca-4",))
    assert read(folder / "examples" / "clean.npz").keys() - {"labels", "positions"} == {"original", "pca-4"}
