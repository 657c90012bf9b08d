"""
Which of these images is unusual?
=================================

A model that has learned only zeros draws zeros. What it draws badly is something else: its error ranks images by how
unusual they are, without an example of what is wrong. A p-value says how rare such an error is among normal images.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from isthmus import Autoencoder, Dense
from isthmus.analysis.screening import auroc, conformal_p_values, error_map

digits = load_digits()
X = digits.images[:, None].astype("float32") / 16
zeros = X[digits.target == 0]
train, held_out, zeros_new = zeros[:100], zeros[100:140], zeros[140:]
others = X[digits.target != 0][:300]

model = Autoencoder(
    Dense(bottleneck=10, code_activation="linear"), recipe="fast", epochs=60, validation_fraction=0.1, random_state=0
).fit(train)

# %%
new = np.concatenate([zeros_new, others])
is_other = np.arange(len(new)) >= len(zeros_new)
scores = -model.score_samples(new)
p = conformal_p_values(scores, -model.score_samples(held_out))
print(f"AUROC {auroc(scores, is_other):.3f}")
rare = p <= 0.05
print(f"p at most 0.05: {rare[is_other].mean():.0%} of the others, {rare[~is_other].mean():.0%} of new zeros")

# %%
# The most unusual ones of all, what the model makes of them, and where they differ.

worst = np.argsort(-scores)[:10]
x_hat = model.reconstruct(new[worst])
fig, axes = plt.subplots(3, 10, figsize=(8, 2.6), layout="constrained")
for column, x, y in zip(axes.T, new[worst], x_hat, strict=True):
    column[0].imshow(x[0], cmap="gray", vmin=0, vmax=1)
    column[1].imshow(y[0], cmap="gray", vmin=0, vmax=1)
    column[2].imshow(error_map(x, y), cmap="magma", vmin=0, vmax=1)
    for ax in column:
        ax.set(xticks=[], yticks=[])
for ax, name in zip(axes[:, 0], ("image", "model", "error"), strict=True):
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
