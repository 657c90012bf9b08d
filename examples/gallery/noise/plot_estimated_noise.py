"""
How noisy is this photograph?
=============================

Nobody writes σ on a photograph. It can be estimated from differences along diagonals of neighbouring pixels, in which
smooth parts cancel and white noise does not. Texture looks like noise, so the estimate is a little too high.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from isthmus.data.noise_estimate import estimated_sigma, estimated_smooth_sigma

rng = np.random.default_rng(0)
levels = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.2])
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
for ax, name in zip(axes, ("flower.jpg", "china.jpg"), strict=True):
    clean = load_sample_image(name).astype("float32").mean(axis=2)[None] / 255
    noisy = [clean + sigma * rng.normal(size=clean.shape).astype("float32") for sigma in levels]
    everywhere = [estimated_sigma(image) for image in noisy]
    smooth = [estimated_smooth_sigma(image) for image in noisy]
    print(name, "everywhere", np.round(everywhere, 3), "smooth parts", np.round(smooth, 3))
    ax.plot(levels, everywhere, marker="o", label="everywhere")
    ax.plot(levels, smooth, marker="s", label="smooth parts alone")
    ax.plot(levels, levels, color="grey", ls=":", label="true")
    ax.set(title=name, xlabel="σ that was added", ylabel="σ estimated")
axes[0].legend()

# %%
# Both photographs are JPEGs with a little noise of their own. ``Denoiser.denoise`` estimates σ where it is not told,
# and leaves what it found in ``sigma_``.
