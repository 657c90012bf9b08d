"""
How far can a code be moved?
============================

Noise of 0.5 on a code is large or small only beside the code. One of the published sheets put "large" noise of up to
0.8 on codes whose own spread was about 5, and nothing happened. Here the unit is the spread of each number of the
code.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense, Images
from isthmus.probe import code_spread, latent_noise

images = Images(load_digits().images[:, None].astype("float32") / 16)
network = Dense(hidden=(128, 64), bottleneck=8, code_activation="linear", output="sigmoid")
model = Autoencoder(network, recipe="fast", epochs=60, validation_fraction=0.1, random_state=0).fit(images)
spread = code_spread(model, images)
print("spread of the code's numbers:", np.round(spread, 1))

# %%
# The same levels, first as they are, then in units of that spread.

few = images.take(slice(0, 10))
rows = latent_noise(model, few, levels=(0.3, 0.8))
rows |= latent_noise(model, few, levels=(0.3, 0.8, 2.0), relative_to=spread)
fig, axes = plt.subplots(len(rows), 10, figsize=(8, 5.6), layout="constrained")
for line, (name, shown) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, shown, strict=True):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
