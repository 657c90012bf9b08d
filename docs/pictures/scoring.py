"""Pictures of what is scored: on which images, how many, and what is said of it."""

import numpy as np
from matplotlib.figure import Figure
from pictures.shared import BLUE, GREY, RED, X, X_test, canvas, deep, mse, projection, trained
from sklearn.decomposition import PCA

from isthmus import Dense
from isthmus.metrics import mean_of, squared_error


def seen() -> Figure:
    """Errors of images that were fitted on and of others, by how many were fitted on."""
    sizes = [25, 50, 100, 200, 400, 800, 1400]
    figure, ax = canvas(6, 3.4)
    fitted, held_out = [], []
    for n in sizes:
        model = PCA(min(n - 1, 20)).fit(X[:n])
        fitted.append(mse(X[:n], model.inverse_transform(model.transform(X[:n]))))
        held_out.append(mse(X_test, model.inverse_transform(model.transform(X_test))))
    ax.plot(sizes, held_out, marker="o", color=RED, label="images that no fit has seen")
    ax.plot(sizes, fitted, marker="o", color=BLUE, label="the images that it was fitted on")
    ax.set(xscale="log", xlabel="images that PCA with 20 numbers was fitted on", ylabel="MSE", ylim=(0, None))
    ax.legend()
    return figure


def quoted() -> Figure:
    """Errors that the notebooks printed, and what their texts quote."""
    printed = {"dense-32": (0.013966, 0.0148), "deep-32": (0.008534, 0.008839), "sparse-1024": (0.0674, 0.0670)}
    figure, axes = canvas(7, 2.2, 3)
    for ax, (name, (cell, text)) in zip(axes, printed.items(), strict=True):
        ax.barh([1, 0], [cell, text], color=[BLUE, RED])
        ax.set_yticks([1, 0], ["printed", "quoted"])
        ax.set(title=name, xlim=(0.9 * min(cell, text), 1.04 * max(cell, text)))
        ax.tick_params(axis="x", labelsize=7)
        for at, value in ((1, cell), (0, text)):
            ax.text(0.905 * min(cell, text), at, f"{value:g}", color="white", va="center")
    return figure


def average_difference() -> Figure:
    """One image, its reconstruction, and three numbers for how far they are apart."""
    x, x_hat = X_test[:1], deep(4).reconstruct(X_test[:1])
    difference = np.abs(x - x_hat)
    numbers = {
        "MSE": mse(x, x_hat), "mean |difference|": float(difference.mean()), "root of the MSE": mse(x, x_hat) ** 0.5,
    }  # fmt: skip
    figure, axes = canvas(8, 2.2, 4, width_ratios=(1, 1, 1, 2))
    shown = {"image": x, "reconstruction": x_hat, "|difference|": difference}
    for ax, (title, image) in zip(axes, shown.items(), strict=False):
        ax.imshow(image.reshape(8, 8), cmap="gray", vmin=0, vmax=1)
        ax.set(title=title, xticks=[], yticks=[])
    axes[3].barh(list(numbers), list(numbers.values()), color=[GREY, BLUE, RED])
    axes[3].set_xlabel("of black to white")
    return figure


def ten_images() -> Figure:
    """Means of ten images: how far they are spread, for two models."""
    rng = np.random.default_rng(0)
    errors = {
        "PCA, 20 numbers": squared_error(X_test, projection(20).inverse_transform(projection(20).transform(X_test))),
        "PCA, 21 numbers": squared_error(X_test, projection(21).inverse_transform(projection(21).transform(X_test))),
    }
    figure, ax = canvas(6.5, 3.2)
    means = {
        name: rng.permuted(np.tile(error, (2000, 1)), axis=1)[:, :10].mean(axis=1) for name, error in errors.items()
    }
    for (name, error), color in zip(errors.items(), (BLUE, RED), strict=True):
        ax.hist(means[name], 40, alpha=0.5, color=color, label=f"{name}: means of ten images")
        ax.axvline(error.mean(), color=color)
    worse, better = means.values()
    ax.set(xlabel="MSE", yticks=[], title=f"the worse one looks better {np.mean(worse < better):.0%} of the time")
    ax.legend()
    return figure


def paired() -> Figure:
    """The interval of a difference, from ten images and from all, beside those of the two models."""
    small, large = projection(20), projection(21)
    a = squared_error(X_test, small.inverse_transform(small.transform(X_test)))
    b = squared_error(X_test, large.inverse_transform(large.transform(X_test)))
    figure, (left, right) = canvas(7.5, 2.6, 2)
    for n, color, at in ((10, RED, 1), (360, BLUE, 0)):
        for k, error in enumerate((a[:n], b[:n])):
            estimate = mean_of(error)
            left.plot(estimate.ci95, [at + 0.2 * k] * 2, color=color, lw=3)
            left.plot([estimate.value], [at + 0.2 * k], "o", color=color)
        estimate = mean_of(a[:n] - b[:n])
        right.plot(estimate.ci95, [at] * 2, color=color, lw=3)
        right.plot([estimate.value], [at], "o", color=color)
    left.set_yticks([0.1, 1.1], ["360 images", "10 images"])
    left.set(title="each model by itself", xlabel="MSE", ylim=(-0.5, 1.7))
    right.axvline(0, color=GREY, ls=":")
    right.set(title="the difference, image by image", xlabel="MSE", yticks=[], ylim=(-0.5, 1.5))
    right.locator_params(axis="x", nbins=4)
    return figure


def seeds() -> Figure:
    """Errors of one network from ten starts, and how many units each start lost."""
    figure, ax = canvas(6, 3)
    dead, errors = [], []
    for seed in range(10):
        model = trained(Dense(bottleneck=12, output="sigmoid"), epochs=40, learning_rate=0.02, random_state=seed)
        code = model.transform(X_test)
        dead.append(int((code.max(axis=0) <= 1e-6).sum()))
        errors.append(-model.score(X_test))
    ax.scatter(dead, errors, color=BLUE)
    ax.set(xlabel="dead units of 12", ylabel="MSE of held-out images", xticks=range(max(dead) + 1))
    return figure


def wrong_split() -> Figure:
    """Labels of what was called the twos of the test set."""
    from pictures.shared import y, y_test

    figure, axes = canvas(7, 2.4, 2, sharey=False)
    for ax, labels, title in ((axes[0], y_test[y_test == 2], "meant"), (axes[1], y, "used")):
        ax.bar(range(10), np.bincount(labels, minlength=10), color=BLUE if title == "meant" else RED)
        ax.set(title=f"{title}: {len(labels):,} images", xlabel="label", xticks=range(10))
    axes[0].set_ylabel("images")
    return figure


def matrix_product() -> Figure:
    """The sum of a matrix product of the differences, which is no squared error, beside the real one."""
    x = X_test[:10].reshape(-1, 8, 8).astype(float)
    difference = deep(4).reconstruct(X_test[:10]).reshape(-1, 8, 8) - x
    figure, ax = canvas(6.5, 2.8)
    place = np.arange(10)
    ax.bar(place - 0.2, np.square(difference).sum(axis=(1, 2)), 0.4, color=BLUE, label="Σ difference²")
    ax.bar(place + 0.2, (difference @ difference).sum(axis=(1, 2)), 0.4, color=RED, label="Σ (difference @ difference)")
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel="image", xticks=place)
    ax.legend()
    return figure
