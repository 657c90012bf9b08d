"""
What lies between two digits?
=============================

Between two images, pixel by pixel, lie double exposures. Between their codes lies what the decoder makes of it: on a
good code the one digit turns into the other, and each picture on the way could be a digit.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense, Images
from isthmus.probe import interpolation

digits = load_digits()
images = Images(digits.images[:, None].astype("float32") / 16, labels=digits.target)


def model(k):
    network = Dense(hidden=(128, 64), bottleneck=k, code_activation="linear", output="sigmoid")
    return Autoencoder(network, recipe="fast", epochs=60, validation_fraction=0.1, random_state=0).fit(images)


models = {f"{k} numbers": model(k) for k in (2, 8, 16)}
rows = interpolation(models, images.take([0, 3]), steps=11)

# %%
fig, axes = plt.subplots(len(rows), 11, figsize=(9, 3.6), layout="constrained")
for line, (name, steps) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, steps, strict=True):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")

# %%
# With two numbers the way is forced through whatever lies between; with 16 the blend is nearly that of the pixels. A
# narrow code is a strong opinion about what a digit can be.
