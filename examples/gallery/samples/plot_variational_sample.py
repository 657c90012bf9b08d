"""
What is a variational code's sample?
====================================

A plain decoder decodes any point, but nobody says where images are. A ``Gaussian`` code is trained so that codes fill
a normal distribution: a point of that is a sample. What comes out are means; real images also have noise around them.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense, Gaussian
from isthmus.displays import ReconstructionDisplay

X = load_digits().images[:, None].astype("float32") / 16
X, X_test = train_test_split(X, test_size=360, random_state=0)

model = Autoencoder(
    Dense(hidden=(128, 64), bottleneck=8, code_activation="linear"),
    code=Gaussian(noise="learned"),
    epochs=150,
    learning_rate=3e-3,
    schedule="one-cycle",
    random_state=0,
).fit(X)
plain = Autoencoder(
    Dense(hidden=(128, 64), bottleneck=8, code_activation="linear"),
    epochs=150,
    learning_rate=3e-3,
    schedule="one-cycle",
    random_state=0,
).fit(X)

# %%
# Codes of the prior, decoded. The plain network reads the same codes, and draws what no one has written: its codes
# are spread otherwise.

known = plain.transform(X)
code = np.random.default_rng(0).normal(size=(10, 8)).astype("float32")
display = ReconstructionDisplay(
    {
        "variational": model.inverse_transform(code),
        "with its noise": model.sample(10, random_state=0, noise=True),
        "plain": plain.inverse_transform(code),
        "plain, its own spread": plain.inverse_transform(code * known.std(axis=0) + known.mean(axis=0)),
    }
).plot()

# %%
# A model with a prior has a likelihood: of held-out digits, and of noise, in nats of an image. More is likelier.

uniform = np.random.default_rng(1).random(X_test.shape).astype("float32")
upside_down = X_test[:, :, ::-1].copy()
for name, images in {"held-out digits": X_test, "digits upside down": upside_down, "noise": uniform}.items():
    print(f"{name:19} {model.log_likelihood(images[:100], n_samples=200).mean():9.1f}")
