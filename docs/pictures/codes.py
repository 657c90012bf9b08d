"""Pictures of codes: their spread, what else a decoder sees, and what they are worth."""

import functools
import warnings

import numpy as np
from matplotlib.figure import Figure
from pictures.shared import BLUE, GREY, RED, X, X_test, canvas, deep, mse, projection, rows_of, trained, y, y_test
from sklearn.frozen import FrozenEstimator

from isthmus import Autoencoder, Conv, DecoderPrior, Dense, Gaussian, Images, representation
from isthmus.analysis.screening import auroc, conformal_p_values
from isthmus.probe import unit_nats


def noise_without_unit() -> Figure:
    """Noise of 0.5 on a code, as it is and in units of its spread."""
    model, rng = deep(8), np.random.default_rng(0)
    code = model.transform(X_test[:9])
    spread = model.transform(X_test).std(axis=0)
    noise = rng.normal(size=code.shape).astype(np.float32)
    rows = {
        "decoded": model.inverse_transform(code),
        f"noise 0.5\n(spread {spread.mean():.1f})": model.inverse_transform(code + 0.5 * noise),
        "noise 0.5 × spread": model.inverse_transform(code + 0.5 * spread * noise),
    }
    return rows_of(rows)


def below_zero() -> Figure:
    """Where noise takes the codes of a ReLU."""
    model = trained(Dense((64,), 8, output="sigmoid"), epochs=60, learning_rate=5e-3, random_state=0)
    code = model.transform(X_test)
    code = code[:, code.max(axis=0) > 0]
    noisy = code + np.random.default_rng(0).normal(size=code.shape) * code.std(axis=0)
    figure, ax = canvas(6, 2.8)
    bins = np.linspace(noisy.min(), noisy.max(), 60)
    ax.hist(code.ravel(), bins, color=BLUE, alpha=0.7, label="codes that the decoder was trained on")
    ax.hist(noisy.ravel(), bins, color=RED, alpha=0.5, label="with noise")
    ax.set(yscale="log", xlabel="number of the code", ylabel="count", ylim=(None, 2000))
    ax.legend()
    return figure


def switches() -> Figure:
    """An unpooling decoder with and without the encoder's switches."""
    x, x_test = X.reshape(-1, 1, 8, 8), X_test.reshape(-1, 1, 8, 8)
    network = Conv((8, 8), decoder="deconv-unpool", output="sigmoid")
    model = trained(network, x, epochs=40, learning_rate=0.01, schedule="one-cycle", random_state=0)
    alone, both = model.inverse_transform(model.transform(x_test)), model.reconstruct(x_test)
    rows = {
        "image": x_test[:9],
        f"code and switches: {mse(x_test, both):.4f}": both[:9],
        f"code alone: {mse(x_test, alone):.4f}": alone[:9],
    }
    return rows_of(rows)


def searches() -> Figure:
    """How far two solvers come in as many steps."""
    model = deep(8)
    noisy = X_test[:60] + 0.2 * np.random.default_rng(0).normal(size=(60, 64)).astype(np.float32)
    steps = [1, 3, 10, 30, 100, 300]
    figure, ax = canvas(6, 3)
    for solver, color in (("gradient-descent", RED), ("gauss-newton", BLUE)):
        prior = DecoderPrior(FrozenEstimator(model), solver=solver, start="random", random_state=0, tol=1e-12)
        errors = []
        for n in steps:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                errors.append(prior.set_params(max_iter=n).fit(X).search(noisy).objective.mean())
        ax.plot(steps, errors, marker="o", color=color, label=solver)
    ax.set(xscale="log", yscale="log", xlabel="steps", ylabel="mean squared distance to what was given")
    ax.legend()
    return figure


@functools.cache
def _variational(bottleneck: int = 8) -> Autoencoder:
    network = Dense((64,), bottleneck, code_activation="linear")
    return trained(
        network, code=Gaussian(noise="learned"), epochs=80, learning_rate=5e-3, schedule="one-cycle", random_state=0
    )


def bound() -> Figure:
    """The estimate of a likelihood against the number of draws."""
    draws = [1, 3, 10, 30, 100, 300, 1000]
    model = _variational()
    values = [float(model.log_likelihood(X_test[:100], n_samples=n).mean()) for n in draws]
    figure, ax = canvas(6, 2.8)
    ax.plot(draws, values, marker="o", color=BLUE)
    ax.set(xscale="log", xlabel="weighted draws for each image", ylabel="log p(x), nats of an image")
    ax.annotate("one draw: the bound that is trained", (1, values[0]), (2, values[0]), va="center", color=RED)
    return figure


def silent() -> Figure:
    """Nats of each unit of a code of 16 numbers."""
    nats = np.sort(unit_nats(_variational(16), Images(X_test.reshape(-1, 1, 8, 8))))[::-1]
    figure, ax = canvas(6, 2.6)
    ax.bar(range(16), nats, color=np.where(nats > 0.01, BLUE, RED))
    ax.axhline(0.01, color=GREY, ls=":")
    ax.set(yscale="log", xlabel="units, those that tell most first", ylabel="nats of an image")
    return figure


def grey_or_binary() -> Figure:
    """The cross-entropy of a perfect model of grey pixels, which is not 0."""
    p = np.linspace(0.001, 0.999, 200)
    figure, ax = canvas(6, 2.8)
    ax.plot(p, -(p * np.log(p) + (1 - p) * np.log(1 - p)), color=RED, label="x̂ = x, a grey pixel taken as it is")
    ax.plot([0, 1], [0, 0], "o", color=BLUE, label="x̂ = x, pixels that are 0 or 1")
    ax.set(xlabel="grey level of the pixel", ylabel="cross-entropy, nats")
    ax.legend()
    return figure


def worth() -> Figure:
    """Accuracies of a linear probe and of neighbours, with intervals."""
    models = {"pixels, 64": None, "PCA, 8": projection(8), "autoencoder, 8": deep(8)}
    figure, ax = canvas(6, 2.8)
    for k, metric in enumerate(("linear_probe", "knn")):
        for at, model in enumerate(models.values()):
            found = representation(model, X, y, X_test, y_test, metrics=(metric,))[metric]
            margins = [[found.value - found.ci95[0]], [found.ci95[1] - found.value]]
            ax.errorbar([at + 0.15 * k], [found.value], margins, fmt="o", capsize=3, color=(BLUE, RED)[k],
                        label=metric if at == 0 else None)  # fmt: skip
    ax.set_xticks([n + 0.07 for n in range(3)], list(models))
    ax.set(ylabel="accuracy")
    ax.legend(loc="lower left")
    return figure


def rank() -> Figure:
    """Singular values of three codes of 8 numbers, and their effective rank."""
    rng = np.random.default_rng(0)
    codes = {
        "all directions alike": rng.normal(size=(2000, 8)),
        "PCA of digits": projection(8).transform(X),
        "one direction": rng.normal(size=(2000, 8)) * [10, *[0.5] * 7],
    }
    figure, ax = canvas(6, 2.8)
    for name, code in codes.items():
        values = np.linalg.svd(code - code.mean(axis=0), compute_uv=False)
        share = values / values.sum()
        ax.plot(range(1, 9), share, marker="o", label=f"{name}: {np.exp(-(share * np.log(share)).sum()):.1f}")
    ax.set(xlabel="singular value", ylabel="share of their sum")
    ax.legend(title="effective rank")
    return figure


def unusual() -> Figure:
    """Scores of normal and of other images, AUROC, and the p-values."""
    zeros, others = X[y == 0], X_test[y_test != 0]
    model = trained(Dense(bottleneck=10), zeros[:90], epochs=200, learning_rate=5e-3, random_state=0)
    held_out, new = -model.score_samples(zeros[90:]), -model.score_samples(X_test[y_test == 0])
    scores = np.concatenate([new, -model.score_samples(others)])
    is_other = np.arange(len(scores)) >= len(new)
    p = conformal_p_values(scores, held_out)
    figure, (left, right) = canvas(7.5, 2.8, 2)
    bins = np.linspace(0, scores.max(), 40)
    left.hist(scores[~is_other], bins, color=BLUE, alpha=0.7, label="zeros, new", density=True)
    left.hist(scores[is_other], bins, color=RED, alpha=0.5, label="other digits", density=True)
    left.set(xlabel="error", yticks=[], title=f"AUROC {auroc(scores, is_other):.3f}")
    left.legend()
    bins = np.linspace(0, 1, 21)
    right.hist(p[~is_other], bins, color=BLUE, alpha=0.7, density=True)
    right.hist(p[is_other], bins, color=RED, alpha=0.5, density=True)
    right.axvline(0.05, color=GREY, ls=":")
    right.set(xlabel="p", yticks=[], title="place among held-out zeros")
    return figure
