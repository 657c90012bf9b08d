"""
Can missing pixels be filled in?
================================

A third of the pixels is black, and nobody says which. The mean image knows where digits usually are; PCA keeps what
it takes for a digit; a network that was trained to undo the masking has learned what belongs there.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense, Masking, denoising_scorer
from isthmus.corruption import noisy_version
from isthmus.displays import ReconstructionDisplay

X = load_digits().images[:, None].astype("float32") / 16
X, X_test = train_test_split(X, test_size=360, random_state=0)
rows, rows_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)

network = Dense(hidden=(256,), bottleneck=64, output="sigmoid")
models = {
    "PCA, 20 numbers": PCA(20).fit(rows),
    "never saw it": Autoencoder(network, recipe="fast", epochs=60, validation_fraction=0.1, random_state=0).fit(rows),
    "trained on it": Autoencoder(
        network, corruption=Masking(0.33), recipe="fast", epochs=60, validation_fraction=0.1, random_state=0
    ).fit(rows),
}

# %%
# ``noisy_version`` gives each image one corrupted version, which depends on its own pixels and a seed alone.

given = noisy_version(rows_test, Masking(0.33), (1, 8, 8)).astype("float32")
print(f"nothing done: {np.square(given - rows_test).mean():.4f}")
for name, model in models.items():
    print(f"{name}: {-denoising_scorer(Masking(0.33))(model, rows_test):.4f}")

# %%
display = ReconstructionDisplay.from_estimator(models, X_test, X_in=given.reshape(X_test.shape), n=10)
