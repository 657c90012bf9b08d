"""
What does an unpooling decoder see?
===================================

A convolutional encoder takes the maximum of each 2×2 pixels and forgets where it was. A decoder that *unpools* is
told: these places are the switches. They are not in the code, but they draw the outline of the digit.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Conv

X = load_digits().images[:, None].astype("float32") / 16
X, X_test = train_test_split(X, test_size=360, random_state=0)

models = {
    kind: Autoencoder(
        Conv(channels=(8, 8), decoder=kind, output="sigmoid"),
        epochs=60,
        learning_rate=0.01,
        schedule="one-cycle",
        random_state=0,
    ).fit(X)
    for kind in ("deconv", "deconv-unpool")
}

# %%
# ``reconstruct`` lets the decoder see the switches; ``inverse_transform`` has the code alone.

rows = {"original": X_test[:8]}
for name, model in models.items():
    with_switches, code_alone = model.reconstruct(X_test), model.inverse_transform(model.transform(X_test))
    rows[name] = with_switches[:8]
    rows[f"{name},\ncode alone"] = code_alone[:8]
    size, switches = model.network_.code_size, model.network_.n_switches
    print(
        f"{name:13}  code {size}, switches {switches}, "
        f"MSE {np.square(with_switches - X_test).mean():.4f}, from the code alone "
        f"{np.square(code_alone - X_test).mean():.4f}"
    )

# %%
# With its switches the second network looks better. Of its code alone it makes little: compare two decoders only if
# both were given as many numbers.

fig, axes = plt.subplots(len(rows), 8, figsize=(7, 4.6), layout="constrained")
for line, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, images, strict=True):
        ax.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")
