"""
Train a network of one's own
============================

Any two torch modules are a network: a function builds an encoder and a decoder, and isthmus does the rest, from the
training to the saved model. Here the encoder reads the image row by row.
"""

import tempfile

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import isthmus
from isthmus import Autoencoder, Module
from isthmus.displays import ReconstructionDisplay, plot_history


class ReadsRows(nn.Module):
    """The last state of a recurrent network that is given one row after another."""

    def __init__(self, width, size):
        super().__init__()
        self.rows = nn.GRU(width, size, batch_first=True)

    def forward(self, x):
        return self.rows(x.squeeze(1))[1].squeeze(0)


def build(shape, size=12):
    channels, height, width = shape
    decoder = nn.Sequential(nn.Linear(size, 64), nn.GELU(), nn.Linear(64, channels * height * width))
    return ReadsRows(width, size), decoder


X = load_digits().images[:, None].astype("float32") / 16
model = Autoencoder(
    Module(build, output="sigmoid"), epochs=40, learning_rate=5e-3, validation_fraction=0.2, random_state=0
).fit(X)
display = plot_history(model)

# %%
# The saved model has the weights and the name of ``build``, and no code; so loading needs the function.

with tempfile.TemporaryDirectory() as folder:
    model.save(f"{folder}/rows")
    again = isthmus.load(f"{folder}/rows", build=build)
print("the same bits:", np.array_equal(again.transform(X), model.transform(X)))
print("parameters:", sum(p.numel() for p in model.network_.parameters()), "on", torch.device(model.device_))

# %%
display = ReconstructionDisplay.from_estimator(model, X, n=10)
