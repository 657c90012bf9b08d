"""
What does a sparse code look for?
=================================

A wide code could copy the image. An L1 penalty makes each unit that is on cost something, so an image is put together
of few atoms. With more weight fewer units are on, and each of them has to mean more.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import L1, Autoencoder, Dictionary
from isthmus.displays import AtomsDisplay
from isthmus.metrics import l0

X = load_digits().images[:, None].astype("float32") / 16
X, X_test = train_test_split(X, test_size=360, random_state=0)

models = {
    weight: Autoencoder(
        Dictionary(n_atoms=96), penalty=L1(weight, warmup=20), epochs=80, learning_rate=5e-3, random_state=0
    ).fit(X)
    for weight in (0.0, 1e-3, 4e-3)
}
for weight, model in models.items():
    code = model.transform(X_test)
    dead = int((np.abs(code).max(axis=0) <= 1e-6).sum())
    print(f"weight {weight:.0e}: {l0(code).mean():4.1f} of 96 atoms on, {dead} dead, MSE {-model.score(X_test):.4f}")

# %%
# Some forty units die early at this learning rate, with a penalty or without. Of the others those that are on most
# often, without a penalty: every atom is a bit of everything.

display = AtomsDisplay.from_estimator(models[0.0], X_test, n=40)

# %%
# With a penalty they become strokes. Zero is white, red and blue are the two signs; the scale is the same for all.

display = AtomsDisplay.from_estimator(models[4e-3], X_test, n=40)
