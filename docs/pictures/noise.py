"""Pictures of noise: how much there is, and what undoing it is measured by."""

import numpy as np
from matplotlib.figure import Figure
from pictures.shared import BLUE, GREY, RED, X, X_test, canvas, deep, mse, projection, rows_of, trained

from isthmus import Dense, GaussianNoise, denoising_scorer
from isthmus.corruption import noisy_version
from isthmus.metrics import mean_of, psnr, squared_error, ssim

_GIVEN = {"epochs": 60, "learning_rate": 5e-3, "random_state": 0}
_WIDE = Dense((64,), 48, output="sigmoid")


def clipped() -> Figure:
    """σ² against the mean square of the noise that there is."""
    levels = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.0])
    figure, ax = canvas(5.5, 3.2)
    for clip, color, name in ((False, BLUE, "as drawn"), (True, RED, "cut to [0, 1]")):
        kept = [mse(X, noisy_version(X, GaussianNoise(float(s), clip=clip), None)) for s in levels]
        ax.plot(levels**2, kept, marker="o", color=color, label=name)
    ax.set(xlabel="σ²", ylabel="mean square of what is there")
    ax.legend()
    return figure


def clean_or_noisy() -> Figure:
    """Errors of three models on clean and on noisy images: the order turns round."""
    scorer = denoising_scorer(GaussianNoise(0.5))
    models = {
        "never saw noise": trained(_WIDE, **_GIVEN),
        "trained on σ = 0.2": trained(_WIDE, corruption=GaussianNoise(0.2), **_GIVEN),
        "trained on σ = 0.5": trained(_WIDE, corruption=GaussianNoise(0.5), **_GIVEN),
    }
    figure, axes = canvas(7.5, 2.6, 2, sharey=True)
    clean = [-model.score(X_test) for model in models.values()]
    noisy = [-scorer(model, X_test) for model in models.values()]
    titles = ("validated on clean images", "on noisy ones, σ = 0.5")
    for ax, errors, title in zip(axes, (clean, noisy), titles, strict=True):
        ax.barh(list(models), errors, color=[GREY, BLUE, RED])
        ax.set(title=title, xlabel="MSE")
    return figure


def identity() -> Figure:
    """A denoiser of one level beside doing nothing."""
    model = trained(_WIDE, corruption=GaussianNoise(0.3), **_GIVEN)
    levels = np.array([0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5])
    errors = [-denoising_scorer(GaussianNoise(float(s)))(model, X_test) for s in levels]
    figure, ax = canvas(6, 3.2)
    ax.plot(levels, errors, marker="o", color=BLUE, label="trained on σ = 0.3")
    ax.plot(levels, levels**2, color=RED, ls=":", label="nothing done")
    ax.fill_between(levels, errors, levels**2, where=np.array(errors) > levels**2, color=RED, alpha=0.15)
    ax.set(xlabel="σ", ylabel="MSE to the clean image", ylim=(0, 0.06))
    ax.legend()
    return figure


def other_draws() -> Figure:
    """The difference of two equal models, each with noise of its own and with the same."""
    model, rng = trained(_WIDE, corruption=GaussianNoise(0.3), **_GIVEN), np.random.default_rng(0)

    def error(noise):
        return mse(X_test[:60], model.reconstruct(X_test[:60] + 0.3 * noise))

    draws = [rng.normal(size=(60, 64)).astype(np.float32) for _ in range(200)]
    errors = [error(draw) for draw in draws]
    figure, ax = canvas(6, 2.8)
    ax.hist(np.subtract(errors[::2], errors[1::2]), 25, color=RED, alpha=0.7, label="noise of its own for each")
    ax.axvline(0, color=BLUE, lw=3, label="the same noise for both")
    ax.set(xlabel="difference of the MSE of a model and itself", yticks=[])
    ax.legend()
    return figure


def blind_or_told() -> Figure:
    """A linear filter that is told the level, one that has to guess too much or too little."""
    variance = X.var(axis=0).mean()
    levels = np.linspace(0.05, 0.5, 10)
    figure, ax = canvas(6, 3)

    def error(assumed):
        shrink = variance / (variance + assumed**2)
        return (1 - shrink) ** 2 * variance + shrink**2 * levels**2

    ax.plot(levels, error(levels), color=BLUE, label="told the level")
    ax.plot(levels, error(np.full_like(levels, 0.15)), color=RED, label="assumes σ = 0.15")
    ax.plot(levels, error(np.full_like(levels, 0.4)), color=GREY, label="assumes σ = 0.4")
    ax.set(xlabel="true σ", ylabel="MSE to the clean pixel")
    ax.legend()
    return figure


def chosen_on_test() -> Figure:
    """The best of many equal filters on the images that chose it, and on others."""
    rng = np.random.default_rng(0)
    counts = [1, 3, 10, 30, 100]
    chosen, others = [], []
    for n in counts:
        errors = rng.normal(0.01, 0.001, (400, n, 2))  # of n methods that are equally good, on two benchmarks
        best = errors[:, :, 0].argmin(axis=1)
        chosen.append(errors[range(400), best, 0].mean())
        others.append(errors[range(400), best, 1].mean())
    figure, ax = canvas(6, 2.8)
    ax.plot(counts, others, marker="o", color=BLUE, label="other images")
    ax.plot(counts, chosen, marker="o", color=RED, label="the images that chose it")
    ax.set(xscale="log", xlabel="epochs, strengths or networks to choose from", ylabel="error of the best")
    ax.set_xticks(counts, counts)
    ax.legend()
    return figure


def one_number_three_ways() -> Figure:
    """One image with three kinds of damage, and what MSE, PSNR and SSIM say of each."""
    x = np.kron(X_test[3].reshape(8, 8), np.ones((4, 4)))[None, None].astype(np.float32)
    rng = np.random.default_rng(0)
    blurred = (x + sum(np.roll(x, (a, b), (2, 3)) for a in (-2, 0, 2) for b in (-2, 0, 2))) / 10
    damaged = {"noise": rng.normal(size=x.shape), "blur": blurred - x, "brighter": np.ones_like(x)}
    damaged = {name: x + 0.13 * change / np.sqrt(np.square(change).mean()) for name, change in damaged.items()}
    figure, axes = canvas(8, 2.6, 4)
    axes[0].imshow(x[0, 0], cmap="gray", vmin=0, vmax=1)
    axes[0].set_title("image", fontsize=9)
    for ax, (name, image) in zip(axes[1:], damaged.items(), strict=True):
        error, similar = squared_error(x, image), ssim(x, image.astype(np.float32))
        ax.imshow(image[0, 0], cmap="gray", vmin=0, vmax=1)
        ax.set_title(f"{name}: MSE {error[0]:.4f}\n{psnr(error)[0]:.1f} dB, SSIM {similar[0]:.2f}", fontsize=9)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    return figure


def interval() -> Figure:
    """A hundred intervals of 95 %, of samples of 40 images, and the error of all."""
    pca, rng = projection(8), np.random.default_rng(0)
    error = squared_error(X, pca.inverse_transform(pca.transform(X)))
    figure, ax = canvas(7, 2.8)
    missed = 0
    for k in range(100):
        low, high = mean_of(rng.choice(error, 40)).ci95
        misses = not low <= error.mean() <= high
        missed += misses
        ax.plot([k, k], [low, high], color=RED if misses else BLUE, lw=1.5)
    ax.axhline(error.mean(), color=GREY, ls=":")
    ax.set(xlabel="samples of 40 images", ylabel="interval of the MSE", title=f"{missed} of 100 miss the mean of all")
    return figure


def explained() -> Figure:
    """Explained variance of the mean image, of PCA and of an autoencoder."""
    mean = np.repeat(X.mean(axis=0)[None], len(X_test), axis=0)
    total = mse(X_test, mean)
    models = {
        "black": np.zeros_like(X_test), "mean image": mean,
        "PCA, 8": projection(8).inverse_transform(projection(8).transform(X_test)),
        "autoencoder, 8": deep(8).reconstruct(X_test),
    }  # fmt: skip
    figure, ax = canvas(6.5, 2.4)
    values = [1 - mse(X_test, x_hat) / total for x_hat in models.values()]
    ax.barh(list(models), values, color=[RED if value < 0.01 else BLUE for value in values])
    ax.axvline(0, color="black", lw=0.8)
    ax.set(xlabel="explained variance", xlim=(-1.4, 1))
    return figure


def missing() -> Figure:
    """What the corruptions do to one image."""
    from isthmus import Masking, Occlusion, Poisson, SaltAndPepper

    parts = {
        "GaussianNoise(0.3)": GaussianNoise(0.3), "Poisson(10)": Poisson(10), "SaltAndPepper(0.3)": SaltAndPepper(0.3),
        "Masking(0.3)": Masking(0.3), "Occlusion(4)": Occlusion(4),
    }  # fmt: skip
    rows = {"image": X_test[:8]}
    return rows_of(rows | {name: noisy_version(X_test[:8], part, (1, 8, 8)) for name, part in parts.items()})
