"""What a user writes, whose types mypy holds strictly: it is not run."""

# ruff: noqa: F841

import numpy as np

from isthmus import L1, Autoencoder, Denoiser, Dense, Dictionary, Gaussian, GaussianNoise, Images, load, open_images
from isthmus.callbacks import Log
from isthmus.displays import ReconstructionDisplay, plot_history
from isthmus.training.history import Epoch


def use() -> None:
    X: np.ndarray = np.zeros((64, 1, 8, 8), np.float32)

    def enough(row: Epoch, model: Autoencoder) -> bool:
        return row.loss < 0.01

    model: Autoencoder = Autoencoder(Dense((16,), 4), code=Gaussian(), corruption=GaussianNoise(0.1), epochs=1)
    model.set_callbacks(enough, Log(print)).fit(X)
    code: np.ndarray = model.transform(X)
    score: float = model.score(X)
    losses: list[float] = [row.loss for row in model.history_]
    model.save("here")
    images: Images = open_images("photographs")
    sparse = Autoencoder(Dictionary(n_atoms=8), penalty=L1(1e-3))
    denoiser: Denoiser = Denoiser(noise=GaussianNoise((0.0, 0.1))).fit("photographs")
    plot_history(model)
    ReconstructionDisplay.from_estimator({"a": model}, X, n=3).plot()
    again: Autoencoder = load("here")
