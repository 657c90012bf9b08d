"""By default `isthmus fit` is not worse than PCA of as many numbers, by more than noise, however few the images are."""

import numpy as np
import pytest
from skimage.data import lfw_subset
from sklearn.datasets import load_digits, load_sample_images

from isthmus import Autoencoder, open_images
from isthmus.commands.fitting.baselines import yardsticks
from isthmus.commands.fitting.defaults import Wanted, choose
from isthmus.commands.images.holdout import hold_out
from isthmus.data.images import Images
from isthmus.data.sources.registry import load
from isthmus.metrics import mean_of
from isthmus.studies.results.measure import measure

SPLITS = range(5)
MEASURED = 1000  # images
PHOTOGRAPHS = ("china", "flower")


def images_of(name):
    if name == "digits":
        return Images((load_digits().images / 16).astype(np.float32)[:, None])
    if name == "faces":
        return Images(lfw_subset().astype(np.float32)[:, None])
    if name in PHOTOGRAPHS:
        photograph = load_sample_images().images[PHOTOGRAPHS.index(name)].mean(axis=-1, dtype=np.float32)
        return open_images(photograph[None, None] / 255, patches=(16, 16))
    dataset = load(name)
    return dataset.train.followed_by(dataset.test)


def parts_of(images, n, seed):
    """(train, validation, others) of n images; as `fit` divides all of them for n None."""
    if n is None:
        parts = hold_out(images, seed)
        return parts.train, parts.validation, parts.test
    order = np.random.default_rng(seed).permutation(len(images))
    parts = hold_out(images.take(np.sort(order[:n])), seed, test=0)
    return parts.train, parts.validation, images.take(np.sort(order[n : n + MEASURED]))


def errors_of(images, n, seed):
    """Of one split, each image's error: of the model that `fit` makes by default, and of PCA of as many numbers."""
    train, validation, test = parts_of(images, n, seed)
    choice = choose(Wanted(train.shape, len(train), n_photographs=len(np.unique(train.photographs))))
    model = Autoencoder(choice.network, **choice.training, random_state=seed).fit(train, validation=validation)
    (pca,) = (one for name, one in yardsticks(train, validation, model.network_.code_size).items() if "PCA" in name)
    return measure(model, test, ("mse",)).errors, measure(pca, test, ("mse",)).errors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("digits", 1000),
        ("faces", 160),
        ("china", None),
        ("flower", None),
        # of more digits it is far ahead of PCA, 1,000 of the smaller ones above among them; fashion is nearer to it
        pytest.param("mnist", 50, marks=pytest.mark.mnist),
        *(
            pytest.param("fashion-mnist", n, marks=pytest.mark.mnist) for n in (50, 200, None)
        ),  # None: all of the sample
    ],
)
def test_a_fit_is_never_worse_than_pca(name, n):
    images = images_of(name)
    pairs = [errors_of(images, n, seed) for seed in SPLITS]
    level = np.mean([pca.mean() for _, pca in pairs])
    over_splits = mean_of(np.array([ours.mean() - pca.mean() for ours, pca in pairs]))
    print(f"{name} {n}: {[round(float(ours.mean() / pca.mean()), 4) for ours, pca in pairs]}")
    rounding = 1e-5 * level  # of a model that is PCA
    assert over_splits.ci95[0] <= rounding
    assert sum(mean_of(ours - pca).ci95[0] > 1e-5 * pca.mean() for ours, pca in pairs) <= 1  # image by image: chance
