"""
Does a denoiser work at other noise than it was trained on?
===========================================================

Three autoencoders of one network: one that never saw noise, one that saw little of it, and one that saw much. The
line *nothing done* is the noise itself: whoever is above it makes things worse.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense, GaussianNoise, denoising_scorer

X, X_test = train_test_split(load_digits().data.astype("float32") / 16, test_size=360, random_state=0)
network = Dense(hidden=(256,), bottleneck=64, output="sigmoid")
noises = {
    "trained without noise": None,
    "trained on σ = 0.15": GaussianNoise(0.15),
    "trained on σ = 0.4": GaussianNoise(0.4),
}
models = {}
for name, noise in noises.items():
    model = Autoencoder(network, corruption=noise, recipe="fast", epochs=60, validation_fraction=0.1, random_state=0)
    models[name] = model.fit(X)

# %%
# ``denoising_scorer`` shows every model the same noise, and compares with the clean image.

levels = np.array([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, model in models.items():
    errors = [-denoising_scorer(GaussianNoise(float(sigma)))(model, X_test) for sigma in levels]
    ax.plot(levels, errors, marker="o", label=name)
    print(f"{name:28}", np.round(errors, 4))
ax.plot(levels, levels**2, color="grey", ls=":", label="nothing done")
ax.set(xlabel="σ of the noise in the test images", ylabel="MSE to the clean image", ylim=(0, 0.1))
ax.legend()

# %%
# Each is best near its own level. The one that saw much noise is worse than doing nothing where there is little: it
# takes away noise that is not there. A ``Denoiser`` is told the level of each image, and so serves a whole range.
