"""
What is left of a digit in 24 bits?
===================================

A ``Quantized`` code is a choice from a codebook: here four choices from 64 vectors, 4 × 6 bits for an image of 64
numbers. A code of four real numbers looks shorter, but each of those has 32 bits.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense, Quantized
from isthmus.displays import ReconstructionDisplay

X = load_digits().images[:, None].astype("float32") / 16
X, X_test = train_test_split(X, test_size=360, random_state=0)


def fitted(bottleneck, code=None):
    network = Dense(hidden=(128, 64), bottleneck=bottleneck, code_activation="linear", output="sigmoid")
    return Autoencoder(network, code=code, epochs=150, learning_rate=3e-3, schedule="one-cycle", random_state=0).fit(X)


models = {
    "4 of 64 vectors, 24 bits": fitted(16, Quantized(n_vectors=64, n_parts=4)),
    "4 numbers, 128 bits": fitted(4),
    "16 numbers, 512 bits": fitted(16),
}
for name, model in models.items():
    print(f"{name}: MSE {-model.score(X_test):.4f}")

# %%
# How many of the vectors are in use, in each part:

parts = models["4 of 64 vectors, 24 bits"].transform(X).reshape(len(X), 4, 4)
print([len(np.unique(parts[:, part].round(5), axis=0)) for part in range(4)])

# %%
display = ReconstructionDisplay.from_estimator(models, X_test, n=10)
