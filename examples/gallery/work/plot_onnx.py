"""
Run a model without isthmus
===========================

``to_onnx`` writes a fitted model as a file that other programs run: the whole of it, the encoder, or the decoder.
Here onnxruntime does, and gives the same numbers.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense

X = load_digits().images[:, None].astype("float32") / 16
network = Dense(hidden=(64,), bottleneck=8, code_activation="linear", output="sigmoid")
model = Autoencoder(network, recipe="fast", epochs=30, validation_fraction=0.1, random_state=0).fit(X)

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "digits.onnx"
    model.to_onnx(path)
    session = onnxruntime.InferenceSession(str(path))
    print(f"{path.stat().st_size / 1024:.0f} KiB, input {session.get_inputs()[0].shape}")

(x_hat,) = session.run(None, {session.get_inputs()[0].name: X})
difference = np.abs(x_hat - model.reconstruct(X)).max()
print("differs by less than 1e-5:", bool(difference < 1e-5))

# %%
# The file knows what it was trained on.

print({name: value for name, value in session.get_modelmeta().custom_metadata_map.items() if name != "isthmus"})

# %%
fig, axes = plt.subplots(2, 8, figsize=(7, 1.9), layout="constrained")
for (top, below), x, y in zip(axes.T, X, x_hat, strict=False):
    top.imshow(x[0], cmap="gray", vmin=0, vmax=1)
    below.imshow(y[0], cmap="gray", vmin=0, vmax=1)
    for ax in (top, below):
        ax.set(xticks=[], yticks=[])
