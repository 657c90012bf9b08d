"""What codes are worth: known answers, and what cannot be measured."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_score

from isthmus import Autoencoder, Dense, Images, representation
from isthmus.analysis.representation import METRICS
from isthmus.errors import RequestError
from isthmus.metrics import jackknifed, share_of

DIGITS = load_digits()
X, Y = DIGITS.data.astype(np.float32) / 16, DIGITS.target
CLASSIFIERS = ("linear_probe", "knn")
chance = np.random.default_rng(0)


class Codes:
    """A transformer whose codes are a table's, by the number in a sample's first column."""

    def __init__(self, table):
        self.table = np.asarray(table)

    def transform(self, x):
        return self.table[x[:, 0].astype(int)]


def numbered(n, seed=0):
    """n samples, of which the first column says which they are."""
    return np.column_stack([np.arange(n), np.random.default_rng(seed).random((n, 3))])


def test_codes_that_are_the_labels_are_perfect():
    y = np.arange(120) % 4
    result = representation(Codes(np.eye(4)[y]), numbered(120), y)
    for metric in CLASSIFIERS:
        assert result[metric].value == 1
        assert result[metric].ci95 == pytest.approx((0.96898, 1), abs=1e-5)  # Wilson's: n / (n + z²)
        assert result[metric].n == 120
    assert result["silhouette"].value == 1
    assert result["effective_rank"].value == pytest.approx(3, abs=1e-6)  # four points in space
    assert result.n_folds == 5


def test_the_probe_has_converged_or_it_is_said(monkeypatch):
    for codes in (None, Codes(np.maximum(X @ chance.standard_normal((64, 200)), 0) * 10.0 ** np.linspace(-4, 4, 200))):
        given = numbered(len(X)) if codes else X
        result = representation(codes, given[:500], Y[:500], given[500:900], Y[500:900], metrics=CLASSIFIERS)
        assert result.remarks == ()
    monkeypatch.setattr("isthmus.analysis.representation._STEPS", 2)
    stopped = representation(None, X[:500], Y[:500], X[500:900], Y[500:900])
    assert stopped.remarks == ("the linear probe's solver stopped after 2 steps, before it had converged",)
    assert stopped["linear_probe"].value < representation(None, X[:500], Y[:500], X[500:900], Y[500:900])["knn"].value


def test_random_codes_are_as_good_as_chance():
    y = np.arange(1000) % 4
    result = representation(
        Codes(chance.standard_normal((1000, 5))), numbered(1000), y, metrics=(*CLASSIFIERS, "silhouette")
    )
    for metric in CLASSIFIERS:
        low, high = result[metric].ci95
        assert low - 0.01 < 0.25 < high + 0.01
        assert high - low < 0.06
    assert abs(result["silhouette"].value) < 0.02


@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("wider", [0, 3])
def test_the_effective_rank_of_isotropic_codes_is_their_dimension(k, wider):
    n = 2000
    code = chance.standard_normal((n, k))
    code = np.linalg.qr(code - code.mean(axis=0))[0] @ np.linalg.qr(chance.standard_normal((k + wider, k)))[0].T
    result = representation(Codes(code + 5), numbered(n), metrics=("effective_rank",))
    assert result["effective_rank"].value == pytest.approx(k, abs=1e-4)
    assert (result["effective_rank"].n, result["effective_rank"].ci95) == (n, None)


def test_the_effective_rank_lies_between_one_and_the_dimensions_that_are_used():
    code = chance.standard_normal((1000, 3)) * (1, 0.5, 0.25)
    p = np.array([4, 2, 1]) / 7
    expected = np.exp(-(p * np.log(p)).sum())
    value = representation(Codes(code), numbered(1000), metrics=("effective_rank",))["effective_rank"].value
    assert value == pytest.approx(expected, rel=0.03)
    more = np.column_stack([code, np.full(1000, 7.0)])  # a unit that is always the same is no dimension
    assert representation(Codes(more), numbered(1000))["effective_rank"].value == pytest.approx(value)


def test_the_order_of_samples_changes_nothing_and_a_seed_does(monkeypatch):
    monkeypatch.setattr("isthmus.analysis.representation.N_PAIRS", 200)
    n = 400
    pca, order = PCA(4).fit(X), np.random.default_rng(1).permutation(n)
    result = representation(pca, X[:n], Y[:n])
    assert representation(pca, X[order], Y[order]) == result
    assert (result["silhouette"].n, result["knn"].n) == (200, n)
    other = representation(pca, X[:n], Y[:n], metrics=("silhouette",), seed=1)
    assert other["silhouette"].value != result["silhouette"].value
    assert other["silhouette"].value == pytest.approx(result["silhouette"].value, abs=0.05)


def test_neither_scale_nor_offset_of_the_codes_changes_anything():
    code = PCA(4).fit_transform(X)[:300].astype(np.float64)
    plain = representation(Codes(code), numbered(300), Y[:300])
    for moved in (1e-6 * code, 1e200 * code, code + 100):
        other = representation(Codes(moved), numbered(300), Y[:300])
        for metric in METRICS:
            assert other[metric].value == pytest.approx(plain[metric].value, rel=1e-6)


def test_the_numbers_are_scikit_learns():
    x = X.astype(np.float64) + 1e-3 * np.random.default_rng(0).random(X.shape)  # no two distances are equal
    pca, few = PCA(4).fit(x), slice(0, 300)
    result = representation(pca, x[300:], Y[300:], x[few], Y[few])
    code = pca.transform(x[few])
    assert result["silhouette"].value == pytest.approx(silhouette_score(code, Y[few]))
    assert result["trustworthiness"].value == pytest.approx(trustworthiness(x[few], code))
    for metric in ("silhouette", "trustworthiness"):
        assert result[metric].ci95[0] < result[metric].value < result[metric].ci95[1]
        assert result[metric].n == 300
    assert (result.n_fitted, result.n_folds) == (1497, 0)


def test_labels_that_are_scored_are_not_seen_by_the_fit():
    """With other labels on the scored samples the same is predicted of them: what is right changes exactly so."""
    y_test = Y[1200:].copy()
    result = representation(None, X[:1200], Y[:1200], X[1200:], y_test)
    turned = representation(None, X[:1200], Y[:1200], X[1200:], (y_test + 1) % 10)
    for metric in CLASSIFIERS:
        assert result[metric].value > 0.85
        assert turned[metric].value < 0.1
    # each sample is new to the classifiers of its fold: labels at random cannot be learned by heart
    alone = representation(None, X, np.random.default_rng(0).integers(0, 10, len(X)), metrics=CLASSIFIERS)
    assert all(alone[metric].value < 0.14 for metric in CLASSIFIERS)


def test_what_shows_the_same_is_in_one_fold():
    """Patches of a photograph are alike: were others of it fitted on, its label would be known."""
    pixels = np.repeat(chance.random((20, 1, 4, 4), np.float32), 10, axis=0)
    pixels = np.clip(pixels + 0.001 * chance.random(pixels.shape, np.float32), 0, 1)
    labels = np.repeat(np.arange(20) % 2, 10)
    places = np.column_stack([np.repeat(np.arange(20), 10), np.tile(np.arange(10), 20), np.zeros(200, int)])
    apart = representation(None, Images(pixels, labels), metrics=("knn",))
    together = representation(None, Images(pixels, labels, places=places), metrics=("knn",))
    assert apart["knn"].value == 1
    assert together["knn"].value < 0.8
    assert (apart["knn"].n, together["knn"].n) == (200, 20)


def test_any_transformer_and_the_samples_themselves():
    model = Autoencoder(Dense(bottleneck=4), epochs=1, random_state=0).fit(X[:500])
    images = Images(X.reshape(-1, 1, 8, 8), Y.astype(int))
    for coder in (model, PCA(4).fit(X), None):
        of_rows = representation(coder, X[:300], Y[:300], metrics=("knn", "effective_rank"))
        of_images = representation(coder, images.take(slice(0, 300)), metrics=("knn", "effective_rank"))
        assert of_rows == of_images
    pixels = representation(None, X[:900], Y[:900])
    assert pixels["linear_probe"].value > 0.9
    assert pixels.omitted == {"trustworthiness": "the codes are the samples themselves"}
    with pytest.raises(RequestError, match="trustworthiness was not measured: the codes are the samples themselves"):
        pixels["trustworthiness"]


N = 40
HALVES = np.arange(N) % 2
CODES = chance.standard_normal((N, 3))
BROKEN = CODES.copy()
BROKEN[3, 1] = np.nan
EVERYTHING = dict.fromkeys(METRICS)
UNFIT = {
    "constant": (np.full((N, 3), 0.7), HALVES, dict.fromkeys(METRICS, "all codes are the same")),
    "rounding": (
        (0.7 + 1e-8 * CODES).astype(np.float32), HALVES, dict.fromkeys(METRICS, "all codes are the same"),
    ),
    "nan": (BROKEN, HALVES, dict.fromkeys(METRICS, "1 of 40 codes is NaN or infinite")),
    "no numbers": (np.zeros((N, 0)), HALVES, dict.fromkeys(METRICS, "there are no codes")),
    "no labels": (CODES, None, dict.fromkeys(METRICS[:3], "there are no labels")),
    "one class": (CODES, np.zeros(N, int), dict.fromkeys(METRICS[:3], "all are of one class")),
    "all different": (CODES, np.arange(N), dict.fromkeys(METRICS[:3], "each is of another class")),
    "a class of one": (
        CODES, np.arange(N) // 39,
        dict.fromkeys(METRICS[:2], "class 1 has one sample, too few to fit on some and score others"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_what_cannot_be_measured_is_left_out_with_its_reason(name):
    code, y, omitted = UNFIT[name]
    result = representation(Codes(code), numbered(N), y)
    assert result.omitted == omitted
    assert set(result.estimates) == set(METRICS) - set(omitted)
    assert all(np.isfinite(estimate.value) for estimate in result.estimates.values())


def test_few_samples_of_a_class_are_told():
    y = np.where(np.arange(N) < 3, "rare", "usual")
    result = representation(Codes(CODES), numbered(N), y)
    assert result.n_folds == 3
    assert result.remarks == ("with fewer samples to fit on than the 10 neighbours that vote: class rare",)
    unknown = representation(Codes(CODES), numbered(N), y, numbered(N), np.full(N, "new"))
    assert "not among the samples to fit on, so always wrong: class new" in unknown.remarks
    assert unknown["linear_probe"].value == 0
    few = representation(Codes(CODES), numbered(8), HALVES[:8])
    assert "fewer than 10 samples" in few.omitted["knn"]
    assert few["linear_probe"].n == 8
    assert "fewer than 11 samples" in few.omitted["trustworthiness"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, X, Y[:5]), r"y must be one label for each of 1,797 samples, got \(5,\)"),
        ((None, X, X[:, 1]), "y must be whole numbers or text"),
        ((None, X, np.where(Y > 3, np.nan, 1.0)), "y must be whole numbers or text"),
        ((None, X, Y, X[:, :5], Y), "the codes of X_test have 5 numbers, and those of X 64"),
        ((None, X, Y, None, Y), "X_test must be given with y_test"),
        ((None, ["a", "b"], None), "X must be `Images`, or an array of rows or images"),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments, words):
    with pytest.raises(RequestError, match=words):
        representation(*arguments)
    with pytest.raises(RequestError, match=r'unknown metric "knnn".*Did you mean "knn"'):
        representation(None, X, Y, metrics=("knnn",))


def test_intervals_hold_what_they_promise():
    """Of a true share, and of the mean of all samples, in about 95 of 100 draws."""
    draws = np.random.default_rng(3)
    held = {"share": 0, "jackknife": 0}
    for _ in range(400):
        hits, values = draws.random(60) < 0.9, draws.exponential(size=60)
        low, high = share_of(hits, np.arange(60)).ci95
        held["share"] += low <= 0.9 <= high
        low, high = jackknifed(lambda which, values=values: float(values[which].mean()), np.arange(60)).ci95
        held["jackknife"] += low <= 1 <= high
    assert 0.92 < held["share"] / 400 < 0.98
    assert 0.90 < held["jackknife"] / 400 < 0.97


def test_no_warning_and_no_crash_at_the_edges():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(1, 14):
            result = representation(Codes(CODES), numbered(n), HALVES[:n])
            assert set(result.estimates) | set(result.omitted) == set(METRICS)
