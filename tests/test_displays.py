"""Pictures in a line of Python: what is drawn is what the model gives, of whatever kind it is."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from isthmus import Autoencoder, Denoiser, Dense, Dictionary, Gaussian, Images, Residual
from isthmus.displays import AtomsDisplay, CodeDisplay, ReconstructionDisplay, plot_history
from isthmus.errors import RequestError

X = 10 + 5 * np.random.default_rng(0).random((40, 1, 7, 6)).astype("float32")
FLAT = X.reshape(40, -1)


@pytest.fixture(scope="module")
def models():
    dense = Autoencoder(Dense(bottleneck=3), epochs=3, random_state=0, validation_fraction=0.2, standardize=True).fit(X)
    return {"dense": dense, "PCA": PCA(3, random_state=0).fit(FLAT)}


def test_reconstructions_are_those_of_the_models_in_one_scale(models):
    noisy = X + 1
    display = ReconstructionDisplay.from_estimator(models, X, X_in=noisy, n=6)
    assert list(display.rows) == ["original", "input", "dense", "PCA"]
    low, high = X[:6].min(), X[:6].max()
    pca = models["PCA"].inverse_transform(models["PCA"].transform(noisy[:6].reshape(6, -1)))
    for name, expected in {"original": X[:6], "input": noisy[:6], "dense": models["dense"].reconstruct(noisy[:6]),
                           "PCA": pca.reshape(6, 1, 7, 6)}.items():  # fmt: skip
        assert np.allclose(display.rows[name] * (high - low) + low, expected, atol=1e-4)
    assert len(display.figure_.axes[0].get_yticklabels()) == 4


def test_images_are_shown_as_they_are(models):
    images = Images(np.random.default_rng(0).integers(100, 150, (5, 1, 7, 6), dtype=np.uint8))
    rows = ReconstructionDisplay.from_estimator(models["dense"], images).rows
    assert list(rows) == ["original", "Autoencoder"]
    assert np.allclose(rows["original"], images.pixels / np.float32(255))
    photographs = np.random.default_rng(0).random((2, 3, 16, 20)).astype("float32")
    denoiser = Denoiser(Residual(width=4, depth=2), crop=16, crops_per_epoch=8, batch_size=8, epochs=1, random_state=0)
    rows = ReconstructionDisplay.from_estimator(denoiser.fit(photographs), photographs).rows
    assert rows["Denoiser"].shape == photographs.shape
    assert np.isfinite(
        ReconstructionDisplay.from_estimator(models, np.zeros((2, 1, 7, 6), "float32")).rows["PCA"]
    ).all()


def test_codes_of_two_numbers_are_points_and_of_more_their_components(models):
    labels = np.arange(40) % 3
    display = CodeDisplay.from_estimator(models["PCA"], FLAT, labels)
    code = models["PCA"].transform(FLAT)
    assert np.allclose(np.abs(display.code), np.abs(PCA(2).fit_transform(code)), atol=1e-4)
    assert display.figure_.axes[0].get_xlabel() == "principal component 1 of 3 numbers"
    assert len(display.figure_.axes[0].collections) == 3
    two = Autoencoder(Dense(bottleneck=2), code=Gaussian(), epochs=1, random_state=0, standardize=True).fit(FLAT)
    display = CodeDisplay.from_estimator(two, FLAT)
    assert np.allclose(display.code, two.transform(FLAT))
    assert display.figure_.axes[0].get_legend() is None


def test_atoms_are_in_the_order_of_their_use():
    model = Autoencoder(Dictionary(n_atoms=12), epochs=2, random_state=0, recipe="fast").fit(X)
    display = AtomsDisplay.from_estimator(model, X, n=5)
    on = (np.abs(model.transform(X)) > 0).mean(axis=0)
    assert np.allclose(display.usage, np.sort(on)[::-1][:5], atol=0.2)
    assert display.atoms.shape == (5, 1, 7, 6)


def test_losses_are_those_of_the_history(models):
    history = models["dense"].history_
    rows = plot_history({"a": models["dense"], "b": history}).rows
    assert list(rows) == ["a", "a (validation)", "b", "b (validation)"]
    assert np.array_equal(rows["b"], history.losses)
    table = history.to_pandas()
    assert table["validation_loss"].tolist() == history.validation_losses.tolist()
    assert table.index.tolist() == [1, 2, 3]
    variational = Autoencoder(Dense(bottleneck=2), code=Gaussian(), epochs=1, random_state=0, standardize=True).fit(
        FLAT
    )
    assert variational.history_.to_pandas()["kl"].tolist() == [variational.history_[0].terms["kl"]]


def test_a_notebook_shows_them(models):
    display = plot_history(models["dense"])
    with Image.open(io.BytesIO(display._repr_png_())) as image:
        assert image.size[0] > 300
    display.figure_.axes[0].set_title("mine")
    before = display.figure_
    display._repr_png_()
    assert display.figure_ is before


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda m: ReconstructionDisplay.from_estimator(m["dense"], FLAT), "X must be Images or an array"),
        (lambda m: ReconstructionDisplay.from_estimator(m["dense"], X[:0]), "X must be Images or an array"),
        (lambda m: ReconstructionDisplay.from_estimator(m["dense"], X, X_in=X[:3]), "X_in must be of the shape of X"),
        (lambda m: CodeDisplay.from_estimator(m["dense"], X, [1, 2]), "y must be a label for each of 40"),
        (lambda m: CodeDisplay.from_estimator(PCA(1).fit(FLAT), FLAT), "of at least 2 numbers"),
        (
            lambda m: AtomsDisplay.from_estimator(Autoencoder(Dense((8,), 2), epochs=1, standardize=True).fit(X), X),
            "one linear layer",
        ),
        (lambda m: plot_history(m["PCA"]), "PCA has no history"),
        (lambda m: plot_history({}), "models must be a fitted model, or a dict of some"),
        (lambda m: ReconstructionDisplay.from_estimator({}, X), "models must be a fitted model"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, words, models):
    with pytest.raises(RequestError, match=words):
        draw(models)
