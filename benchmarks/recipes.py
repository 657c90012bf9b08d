"""The yardstick's models, as isthmus builds them: the same widths, batch, optimizer, loss and data."""

from __future__ import annotations

from isthmus import Autoencoder, Conv, Dense, Images, load_dataset

NETWORKS = {
    "dense-64": Dense(bottleneck=64, output="sigmoid"),
    "dense-256": Dense(bottleneck=256, output="sigmoid"),
    "deep-30": Dense(hidden=(512, 256, 128), bottleneck=30, decoder_hidden=(128, 256), output="sigmoid"),
    "sparse-1024": Dense(bottleneck=1024, output="sigmoid"),
    "conv-unpool": Conv(channels=(8, 16, 16), padding=0, decoder="deconv-unpool", output="sigmoid"),
}


def digits(n: int) -> Images:
    """The first n training images of MNIST."""
    return load_dataset("mnist").train.take(slice(0, n))


def autoencoder(name: str, **changes: object) -> Autoencoder:
    """The yardstick's recipe: Adam, 1e-3, batch 64, one epoch, in the yardstick's precision on every processor."""
    recipe = {"epochs": 1, "batch_size": 64, "precision": "float32", "random_state": 0}
    return Autoencoder(NETWORKS[name], **{**recipe, **changes})  # type: ignore[arg-type]
