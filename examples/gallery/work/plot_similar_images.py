"""
Find images that are alike
==========================

The nearest image by pixels is one that overlaps. The nearest by code may be another: a digit that is written alike,
but shifted or thicker. Which is better can be counted where there are labels, here on images that the model has never
seen.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense, Images
from isthmus.probe import nearest

digits = load_digits()
images = Images(digits.images[:, None].astype("float32") / 16, labels=digits.target)
among, queries = images.take(slice(0, 1200)), images.take(slice(1200, None))

network = Dense(hidden=(128, 64), bottleneck=8, code_activation="linear", output="sigmoid")
model = Autoencoder(network, recipe="fast", epochs=60, validation_fraction=0.1, random_state=0).fit(among)


def share_of_same_label(codes, of):
    distances = np.square(of[:, None] - codes[None]).sum(axis=2)
    return np.mean(among.labels[distances.argmin(axis=1)] == queries.labels)


print(f"same digit by pixels: {share_of_same_label(among.floats(), queries.floats()):.3f}")
print(f"same digit by code:   {share_of_same_label(model.transform(among), model.transform(queries)):.3f}")

# %%
# Pixels are better here, and cost 64 numbers against 8: a code is worth it where images are larger, or many.

rows = nearest({"the model": model}, queries.take(slice(0, 10)), among)
fig, axes = plt.subplots(len(rows), 10, figsize=(8, 2.7), layout="constrained")
for line, (name, shown) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, np.asarray(shown).reshape(-1, 8, 8), strict=True):
        ax.imshow(image, cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
