"""
Which code tells classes apart?
===============================

A small error says that an image can be had back from its code. Whether a code is good for something else is another
question: ``representation`` asks a linear classifier and the nearest neighbours. Labels are used here alone, after
the fit. The pixels themselves, which learn nothing, stand beside every code; they are often hard to beat.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense, representation

digits = load_digits()
X, X_test, y, y_test = train_test_split(
    digits.data.astype("float32") / 16, digits.target, test_size=600, random_state=0
)
network = Dense(hidden=(128, 64), bottleneck=8, code_activation="linear", output="sigmoid")
models = {
    "pixels, 64": None,
    "PCA, 8": PCA(8).fit(X),
    "autoencoder, 8": Autoencoder(network, recipe="fast", epochs=60, validation_fraction=0.1, random_state=0).fit(X),
}
results = {name: representation(model, X, y, X_test, y_test) for name, model in models.items()}

# %%
# The effective rank says how many directions a code really uses.

for name, result in results.items():
    print(f"{name:15} effective rank {result['effective_rank'].value:5.2f}, left out: {result.omitted or 'nothing'}")

# %%
# Bars are accuracies of 600 images, with Wilson's interval: where two of them overlap widely, nothing was shown.

fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
for i, metric in enumerate(("linear_probe", "knn")):
    values = [result[metric].value for result in results.values()]
    ends = [result[metric].ci95 for result in results.values()]
    margins = [[abs(end[side] - value) for end, value in zip(ends, values, strict=True)] for side in (0, 1)]
    ax.bar([n + 0.38 * i for n in range(len(values))], values, 0.36, yerr=margins, capsize=3, label=metric)
ax.set_xticks([n + 0.19 for n in range(len(results))], list(results))
ax.set(ylim=(0.7, 1), ylabel="accuracy")
ax.legend(loc="lower left")
