"""
Learn from images that come in parts
====================================

``partial_fit`` takes one pass over what it is given and can be asked for codes at any time. A pass that leaves its
samples worse than they were is taken back.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense

X, X_test = train_test_split(load_digits().data.astype("float32") / 16, test_size=360, random_state=0)
network = Dense(bottleneck=8, code_activation="linear")

online = Autoencoder(network, batch_size=16, standardize=True, random_state=0)
errors = []
for _ in range(20):  # the same parts come again and again
    for part in np.array_split(X, 6):
        online.partial_fit(part)
        errors.append(-online.score(X_test))

# %%
# One fit of all images at once is the measure.

whole = Autoencoder(network, recipe="fast", epochs=60, validation_fraction=0.1, random_state=0).fit(X)
print(f"in parts {errors[-1]:.4f}, at once {-whole.score(X_test):.4f}")

fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.plot(range(1, len(errors) + 1), errors, label="in parts")
ax.axhline(-whole.score(X_test), color="grey", ls=":", label="at once")
ax.set(xlabel="parts seen", ylabel="MSE of held-out images", yscale="log")
ax.legend()
