"""Pictures of grey scales, units and centring."""

import numpy as np
from matplotlib.figure import Figure
from pictures.shared import BLUE, GREY, RED, X, X_test, canvas, deep, mse, projection, rows_of, trained

from isthmus import Autoencoder, Dense, GaussianNoise
from isthmus.probe import filters


def by_itself() -> Figure:
    """PCA's reconstructions, each scaled by itself."""
    return rows_of({"image": X_test[:9], "PCA, 8": _of_pca()}, each=True)


def one_scale() -> Figure:
    """The same in one grey scale."""
    return rows_of({"image": X_test[:9], "PCA, 8": _of_pca()})


def _of_pca() -> np.ndarray:
    return projection(8).inverse_transform(projection(8).transform(X_test[:9]))


def weights() -> Figure:
    """Filters of two penalties, each by itself and on one scale."""
    shown = {}
    for decay, name in ((0.0, "few epochs"), (1.0, "many epochs")):
        model = trained(
            Dense(bottleneck=16, output="sigmoid"), epochs=60 if decay else 3, learning_rate=5e-3, random_state=0
        )
        shown[name] = filters(model, (1, 8, 8))[""][:5, 0]
    largest = max(np.abs(each).max() for each in shown.values())
    figure, axes = canvas(8, 2.2, 10, 2)
    for line, (name, each) in zip(axes, shown.items(), strict=True):
        for k, weight in enumerate(each):
            line[k].imshow(weight, cmap="RdBu_r")
            line[5 + k].imshow(weight, cmap="RdBu_r", vmin=-largest, vmax=largest)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax in line:
            ax.set(xticks=[], yticks=[])
    axes[0, 2].set_title("each by itself")
    axes[0, 7].set_title("one scale")
    return figure


def units() -> Figure:
    """Noise of σ = 0.9 on pixels from 0 to 1 and on pixels from 0 to 255."""
    rng = np.random.default_rng(0)
    x = X_test[:6]
    rows = {
        "image": x,
        "σ = 0.9 on 0 to 1": x + 0.9 * rng.normal(size=x.shape),
        "σ = 0.9 on 0 to 255": (255 * x + 0.9 * rng.normal(size=x.shape)) / 255,
    }
    return rows_of(rows, width=5.5)


def units_errors() -> Figure:
    """What two denoisers make of noise of their own size, and of one that is nearly none."""
    noise = np.random.default_rng(0).normal(size=X_test.shape).astype(np.float32)
    figure, axes = canvas(7.5, 3, 2)
    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    for sigma, color in ((0.3, BLUE), (0.9, RED)):
        model = Autoencoder(
            Dense((64,), 48, output="sigmoid"), corruption=GaussianNoise(sigma), epochs=60, learning_rate=5e-3,
            random_state=0,
        ).fit(X)  # fmt: skip
        for ax, unit in zip(axes, (1, 255), strict=True):
            errors = [mse(X_test, model.reconstruct(X_test + s / unit * noise)) for s in levels]
            ax.plot(levels, errors, marker="o", color=color, label=f"trained on σ = {sigma}")
    axes[0].set(title="noise on 0 to 1", xlabel="σ", ylabel="MSE", ylim=(0, None))
    axes[1].set(title="the same σ on 0 to 255", xlabel="σ", ylim=axes[0].get_ylim())
    axes[0].legend()
    return figure


def centring() -> Figure:
    """PCA with and without taking the mean away."""
    pca, mean = projection(8), X.mean(axis=0)
    without = X_test @ pca.components_.T @ pca.components_
    right = pca.inverse_transform(pca.transform(X_test))
    rows = {
        "image": X_test[:9],
        f"centred: {mse(X_test, right):.4f}": right[:9],
        f"not centred: {mse(X_test, without):.4f}": without[:9],
        "the mean image": np.repeat(mean[None], 9, axis=0),
    }
    return rows_of(rows)


def frozen() -> Figure:
    """Pixels that never change under a ReLU at the output."""
    figure, axes = canvas(7, 2.6, 3)
    errors = {}
    for ax, output in zip(axes, ("relu", "sigmoid"), strict=False):
        model = trained(Dense((64,), 16, output=output), epochs=40, learning_rate=5e-3, random_state=1)
        x_hat = model.reconstruct(X_test)
        ax.imshow(x_hat.max(axis=0).reshape(8, 8), cmap="gray", vmin=0, vmax=1)
        ax.set(title=f"output: {output}", xticks=[], yticks=[])
        errors[output] = mse(X_test, x_hat)
    axes[2].imshow(X_test.max(axis=0).reshape(8, 8), cmap="gray", vmin=0, vmax=1)
    axes[2].set(title="the images", xticks=[], yticks=[])
    figure.suptitle(f"brightest value of each pixel; MSE {errors['relu']:.4f} and {errors['sigmoid']:.4f}", fontsize=10)
    return figure


def sum_or_mean() -> Figure:
    """One error as a sum over pixels, a mean, and a PSNR, for images of three sizes."""
    figure, axes = canvas(7.5, 2.4, 3)
    sides = (8, 28, 64)
    mean = 0.00383
    for ax, values, title in zip(
        axes, ([mean * s * s for s in sides], [mean] * 3, [-10 * np.log10(mean)] * 3),
        ("sum over pixels", "mean over pixels", "PSNR, dB"), strict=True,
    ):  # fmt: skip
        ax.bar([f"{s}×{s}" for s in sides], values, color=[GREY, BLUE, RED])
        ax.set_title(title)
    return figure


def sizes_of_codes() -> Figure:
    """What is left of an image by a code of 2, 8 and 32 numbers."""
    rows = {"image": X_test[:9]} | {f"{k} numbers": deep(k).reconstruct(X_test[:9]) for k in (2, 8, 32)}
    return rows_of(rows)
