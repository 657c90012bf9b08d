"""
How many numbers does a digit need?
===================================

More numbers always help on images that were fitted to. On others they help as long as they carry what digits have in
common. Here PCA and a network are given from 1 to 32 numbers for an image of 64.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense
from isthmus.metrics import mean_of, squared_error

X, X_test = train_test_split(load_digits().data.astype("float32") / 16, test_size=360, random_state=0)
sizes = [1, 2, 4, 8, 16, 32]


def held_out(model):
    return mean_of(squared_error(X_test, model.inverse_transform(model.transform(X_test))))


def autoencoder(k):
    network = Dense(hidden=(128, 64), bottleneck=k, code_activation="linear", output="sigmoid")
    return Autoencoder(network, epochs=60, learning_rate=0.01, schedule="one-cycle", batch_size=128, random_state=0)


results = {
    "PCA": [held_out(PCA(k).fit(X)) for k in sizes],
    "autoencoder": [held_out(autoencoder(k).fit(X)) for k in sizes],
}

# %%
# The intervals are those of the images: what another 360 could have given.

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name, estimates in results.items():
    values = [e.value for e in estimates]
    margins = [e.value - e.ci95[0] for e in estimates]
    ax.errorbar(sizes, values, margins, marker="o", capsize=3, label=name)
ax.set(xscale="log", yscale="log", xlabel="numbers in a code", ylabel="MSE of 360 held-out images")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend()

# %%
# A bent surface is worth most where there are few numbers. Where there are many, PCA catches up: a sum of 32 patterns
# can be nearly anything, and a network of this size has to learn from 1,437 images what PCA knows exactly.

for k, pca, bent in zip(sizes, *results.values(), strict=True):
    print(f"{k:2} numbers: PCA {pca.value:.4f}, autoencoder {bent.value:.4f}")
