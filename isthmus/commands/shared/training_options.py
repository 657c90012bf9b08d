"""The options of a training, one for each field of `Training` that a command line has."""

from __future__ import annotations

import argparse
from typing import Any

from isthmus.parts import DEVICES, OPTIMIZERS, PRECISIONS, SCHEDULES, Training

# The field, its type, its metavar, its help.
_FIELDS = (
    ("epochs", int, "N", "passes over the images, at most"),
    ("batch_size", int, "N", "images in a step"),
    ("learning_rate", float, "RATE", "of the optimizer; with one-cycle and cosine the highest"),
    ("optimizer", str, "WORD", f"{', '.join(OPTIMIZERS)} ({Training().optimizer})"),
    ("schedule", str, "WORD", f"of the learning rate: {', '.join(SCHEDULES)}"),
    (
        "start",
        str,
        "WORD",
        "of the weights: random, data (scaled to your images) or pca (PCA's solution, of a linear output)",
    ),
    ("patience", int, "N", "stop after N epochs without a better validation loss, and keep the best"),
    ("precision", str, "WORD", f"{', '.join(PRECISIONS)} ({Training().precision})"),
    ("device", str, "WORD", f"{', '.join(DEVICES)} ({Training().device})"),
)


def add_training_options(group: Any) -> None:
    """An option for each."""
    for name, kind, metavar, text in _FIELDS:
        group.add_argument("--" + name.replace("_", "-"), type=kind, metavar=metavar, help=text)


def training_words(options: argparse.Namespace) -> dict[str, Any]:
    """What was said of the training, by field. Raises RequestError for values that none can have."""
    training = {name: value for name, *_ in _FIELDS if (value := getattr(options, name)) is not None}
    Training(**training)
    return training
