"""
Why does this model only draw the mean?
=======================================

A penalty that is summed over a batch grows with the batch size. One of the published notebooks did that: all units
died, the error was that of the mean image, and the text went on to describe what the units had specialised in.
``collapse`` says so instead.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import L1, Autoencoder, Dense
from isthmus.collapse import collapse
from isthmus.displays import ReconstructionDisplay

X = load_digits().images[:, None].astype("float32") / 16
X, X_test = train_test_split(X, test_size=360, random_state=0)
network = Dense(bottleneck=96, output="sigmoid")


def model(penalty):
    return Autoencoder(network, penalty=penalty, epochs=60, batch_size=64, learning_rate=5e-3, random_state=0)


models = {
    "summed over a sample": model(L1(5e-4)),
    "summed over the batch": model(L1(5e-4, per="batch")),
}
for name, each in models.items():
    each.fit(X)
    print(f"{name}: MSE {-each.score(X_test):.4f}; {collapse(each, X_test) or 'not collapsed'}")
print(f"the mean image: MSE {np.square(X_test - X.mean(axis=0)).mean():.4f}")

# %%
# ``fit`` itself warned of the second one. Every digit becomes the same picture, which is the mean of all:

display = ReconstructionDisplay.from_estimator(models, X_test, n=10)
