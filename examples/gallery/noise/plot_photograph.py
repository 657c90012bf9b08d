"""
Denoise a photograph, and see where it is blurred
=================================================

A ``Denoiser`` sees images of any size. To stay within a few seconds this one is small and learns from half of one
photograph; it is tried on the other half, beside non-local means.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.restoration import denoise_nl_means
from sklearn.datasets import load_sample_image

from isthmus import Denoiser, GaussianNoise, Residual
from isthmus.metrics import psnr, squared_error

photograph = load_sample_image("china.jpg").astype("float32").mean(axis=2)[None] / 255  # (1, 427, 640), grey
left, right = photograph[:, :, :320], photograph[:, 200:400, 340:580]

model = Denoiser(
    Residual(width=32, depth=6),
    noise=GaussianNoise((0, 0.2)),
    crop=32,
    crops_per_epoch=1024,
    epochs=8,
    learning_rate=2e-3,
    schedule="one-cycle",
    random_state=0,
).fit([left])

# %%
# The level of the noise is told as ``sigma``; without it, it is estimated.

noisy = right + 0.1 * np.random.default_rng(0).normal(size=right.shape).astype("float32")
images = {
    "clean": right,
    "noisy": noisy,
    "non-local means": denoise_nl_means(noisy[0], h=0.08, sigma=0.1, fast_mode=True)[None].astype("float32"),
    "Denoiser": model.denoise([noisy], sigma=0.1)[0],
}
fig, axes = plt.subplots(2, 4, figsize=(10, 4.6), layout="constrained")
for (top, below), (name, image) in zip(axes.T, images.items(), strict=True):
    level = "" if name == "clean" else f", {psnr(squared_error(right[None], image[None]))[0]:.1f} dB"
    top.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    top.set_title(name + level)
    below.imshow((noisy - image)[0], cmap="RdBu", vmin=-0.3, vmax=0.3)
    for ax in (top, below):
        ax.set(xticks=[], yticks=[])
axes[1, 0].set_ylabel("what is taken out")

# %%
# Below each image is what was taken out of the noisy one. For the clean image that is the noise and nothing else.
# Where leaves and the gaps between them show in it, they are missing in the image: there it is blurred.
