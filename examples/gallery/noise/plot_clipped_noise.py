"""
How much noise is left when pixels are clipped?
===============================================

Noise of σ = 0.3 has a mean square of 0.09. Where an image is black, half of the noise would be below zero; if the sum
is cut to [0, 1], that half is gone, and what is left has a mean above zero. An axis "σ²" is then not the noise in the
image.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from isthmus import GaussianNoise
from isthmus.corruption import noisy_version

images = load_digits().images.astype("float32") / 16
X = images.reshape(len(images), -1)
levels = np.array([0.1, 0.2, 0.3, 0.5, 0.8, 1.0])


def left_over(clip):
    return [np.square(noisy_version(X, GaussianNoise(float(s), clip=clip), None) - X).mean() for s in levels]


kept, clipped = left_over(clip=False), left_over(clip=True)
for sigma, whole, cut in zip(levels, kept, clipped, strict=True):
    print(f"σ = {sigma:.1f}: σ² = {sigma**2:.3f}, in the image {whole:.3f}, clipped {cut:.3f}")

# %%
fig, (ax, left, right) = plt.subplots(1, 3, figsize=(9, 3), layout="constrained", width_ratios=(1.4, 1, 1))
ax.plot(levels**2, kept, marker="o", label="as drawn")
ax.plot(levels**2, clipped, marker="o", label="clipped to [0, 1]")
ax.set(xlabel="σ²", ylabel="mean square of the noise in the image")
ax.legend()
for panel, clip in ((left, False), (right, True)):
    noisy = noisy_version(X[:1], GaussianNoise(0.5, clip=clip), None).reshape(8, 8)
    panel.imshow(noisy, cmap="gray", vmin=-1, vmax=2)
    panel.set(title=f"σ = 0.5, {'clipped' if clip else 'as drawn'}", xticks=[], yticks=[])

# %%
# Both pictures have one grey scale, from -1 to 2. The error of *doing nothing* is the noise that there really is, so
# put it beside every denoiser.
