"""
Which numbers of a code say anything?
=====================================

A variational code pays for each number that tells something of the image, in nats. What is not worth its price is
given up: such a unit is silent, and a code of 16 numbers may be one of seven.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense, Gaussian, Images
from isthmus.probe import traversals, unit_nats

images = Images(load_digits().images[:, None].astype("float32") / 16)
network = Dense(hidden=(128, 64), bottleneck=16, code_activation="linear")
model = Autoencoder(
    network, code=Gaussian(noise="learned"), epochs=120, learning_rate=3e-3, schedule="one-cycle", random_state=0
).fit(images)

# %%
# The nats of each unit, most first.

nats = np.sort(unit_nats(model, images))[::-1]
print(f"{(nats > 0.01).sum()} of {len(nats)} units say something; together {nats.sum():.1f} nats of an image")
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
ax.bar(range(len(nats)), nats)
ax.set(xlabel="unit", ylabel="nats", xticks=[])

# %%
# One digit, of which one unit after the other is moved along the prior, those that tell most first.

rows = traversals(model, images.take(slice(0, 1)), images, n=6, steps=9)
fig, axes = plt.subplots(len(rows), 9, figsize=(8, 5.2), layout="constrained")
for line, (name, moved) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, moved, strict=True):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name.replace(", ", ",\n"), rotation=0, ha="right", va="center")
