"""
Watch a training, and end it
============================

A callback is a function of an epoch's row and a model that is fitted as if the training had ended there. One that
returns True ends it. ``isthmus.callbacks`` has others, for TensorBoard, Weights & Biases and MLflow.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense
from isthmus.callbacks import Log

X = load_digits().images[:, None].astype("float32") / 16
rows, snapshots = [], {}


def keep_a_picture(row, model):
    if row.epoch in (1, 3, 10, 30, 100):
        snapshots[row.epoch] = model.reconstruct(X[:8])


def good_enough(row, model):
    return row.validation_loss < 0.016


model = (
    Autoencoder(
        Dense(hidden=(128, 64), bottleneck=8, code_activation="linear", output="sigmoid"),
        epochs=200,
        validation_fraction=0.2,
        random_state=0,
    )
    .set_callbacks(Log(rows.append), keep_a_picture, good_enough)
    .fit(X)
)

# %%
last = rows[-1]
print(f"ended after {last['epoch']} of 200 epochs, with a validation loss of {last['validation_loss']:.4f}")
print(model.history_.to_pandas()[["loss", "validation_loss"]].tail(2).round(4).to_string())

# %%
# What the model made of the same digits along the way:

fig, axes = plt.subplots(1 + len(snapshots), 8, figsize=(6.5, 4.4), layout="constrained")
for line, (name, images) in zip(axes, {"original": X[:8], **snapshots}.items(), strict=True):
    for ax, image in zip(line, images, strict=True):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name if name == "original" else f"epoch {name}", rotation=0, ha="right", va="center")
