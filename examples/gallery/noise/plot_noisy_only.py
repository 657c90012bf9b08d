"""
Can a denoiser learn without a clean image?
===========================================

Of a microscope there may be no clean images. If the noise of neighbouring pixels is independent, ``target="noisy"``
learns from noisy images alone: of each 2×2 pixels one is the input and another the target.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_sample_image

from isthmus import Denoiser, GaussianNoise, Residual
from isthmus.metrics import psnr, squared_error

clean = load_sample_image("flower.jpg").astype("float32").mean(axis=2)[None] / 255
noisy = clean + 0.1 * np.random.default_rng(0).normal(size=clean.shape).astype("float32")
shown = (slice(None), slice(100, 260), slice(160, 400))

from_clean = Denoiser(
    Residual(width=24, depth=6),
    noise=GaussianNoise(0.1),
    crop=32,
    crops_per_epoch=768,
    epochs=6,
    learning_rate=2e-3,
    schedule="one-cycle",
    random_state=0,
)
from_noisy = clone(from_clean).set_params(target="noisy")
from_clean.fit([clean[:, :, 320:]])
from_noisy.fit([noisy[:, :, 320:]])

# %%
# Both are tried on the left half, which neither has seen.

images = {
    "noisy": noisy,
    "learned from clean": from_clean.denoise([noisy], sigma=0.1)[0],
    "learned from noisy alone": from_noisy.denoise([noisy], sigma=0.1)[0],
}
fig, axes = plt.subplots(1, 3, figsize=(10, 2.7), layout="constrained")
for ax, (name, image) in zip(axes, images.items(), strict=True):
    left = psnr(squared_error(clean[None, :, :, :320], image[None, :, :, :320]))[0]
    ax.imshow(image[shown][0], cmap="gray", vmin=0, vmax=1)
    ax.set(title=f"{name}: {left:.1f} dB", xticks=[], yticks=[])
