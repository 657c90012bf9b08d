"""
What are photographs made of?
=============================

Patches of 8×8 pixels of a photograph are sums of few atoms. isthmus learns the dictionary together with an encoder,
which codes in one pass; scikit-learn searches each code. Given the same patches, both find edges.
"""

import numpy as np
from sklearn.datasets import load_sample_image
from sklearn.decomposition import MiniBatchDictionaryLearning

from isthmus import L1, Autoencoder, Dictionary, open_images
from isthmus.displays import AtomsDisplay
from isthmus.metrics import l0

photograph = load_sample_image("china.jpg")
patches = open_images(photograph[None], grey=True, patches=(8, 8), patches_per_image=4000, seed=0)
x = patches.floats()
x = x - x.mean(axis=1, keepdims=True)  # brightness is no pattern
x = (x / x.std()).astype("float32")

model = Autoencoder(
    Dictionary(hidden=(256,), n_atoms=64, code_activation="relu"),
    penalty=L1(0.02, warmup=20),
    epochs=60,
    learning_rate=3e-3,
    random_state=0,
).fit(x)
classical = MiniBatchDictionaryLearning(
    64,
    alpha=1.0,
    max_iter=10,
    batch_size=64,
    transform_algorithm="lasso_lars",
    transform_alpha=1.0,
    random_state=0,
).fit(x)

# %%
for name, code, x_hat in (
    ("isthmus", model.transform(x), model.reconstruct(x)),
    ("scikit-learn", searched := classical.transform(x[:1000]), searched @ classical.components_),
):
    unexplained = np.square(x_hat - x[: len(x_hat)]).mean()
    print(f"{name}: {l0(code).mean():.1f} atoms on, {1 - unexplained:.0%} of the variance explained")

# %%
# The atoms that isthmus uses most often: edges of several directions, bars, and corners.

display = AtomsDisplay.from_estimator(model, x.reshape(-1, 1, 8, 8), n=48)
