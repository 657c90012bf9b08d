"""
Put a code into a pipeline
==========================

An ``Autoencoder`` is a scikit-learn transformer. In a pipeline it is fitted with the classifier, in each fold of a
cross-validation anew, so nothing leaks; a grid search reaches into its parts.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from isthmus import Autoencoder, Dense

digits = load_digits()
X, y = digits.data.astype("float32") / 16, digits.target
coder = Autoencoder(
    Dense(hidden=(128, 64), code_activation="linear"),
    epochs=30,
    learning_rate=5e-3,
    schedule="one-cycle",
    batch_size=64,
    random_state=0,
)
sizes = [2, 4, 8, 16]


def search(step, name):
    pipeline = make_pipeline(step, StandardScaler(), LogisticRegression(max_iter=2000))
    return GridSearchCV(pipeline, {name: sizes}, cv=3).fit(X, y)


searches = {
    "PCA": search(PCA(), "pca__n_components"),
    "autoencoder": search(coder, "autoencoder__network__bottleneck"),
}

# %%
fig, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, done in searches.items():
    results = done.cv_results_
    print(name, dict(zip(sizes, results["mean_test_score"].round(3).tolist(), strict=True)))
    ax.errorbar(sizes, results["mean_test_score"], results["std_test_score"], marker="o", capsize=3, label=name)
ax.set(xscale="log", xlabel="numbers in a code", ylabel="accuracy (3 folds)")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend()
