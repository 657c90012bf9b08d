"""
How much noise should a denoiser be trained on?
===============================================

A grid search needs a score. ``score`` says how well clean images are reconstructed, so by itself the search prefers
to train without noise. ``denoising_scorer`` asks the question that was meant.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from isthmus import Autoencoder, Dense, GaussianNoise, denoising_scorer

X = load_digits().data.astype("float32") / 16
model = Autoencoder(
    Dense(bottleneck=48, output="sigmoid"), corruption=GaussianNoise(0.1), epochs=40, learning_rate=5e-3, random_state=0
)
grid = {"corruption__sigma": [0.0, 0.15, 0.3, 0.45]}

searches = {
    "score of clean images": GridSearchCV(model, grid, cv=3).fit(X),
    "denoising_scorer, σ = 0.3": GridSearchCV(model, grid, scoring=denoising_scorer(GaussianNoise(0.3)), cv=3).fit(X),
}
for name, search in searches.items():
    print(f"{name}: {search.best_params_}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
for ax, (name, search) in zip(axes, searches.items(), strict=True):
    results = search.cv_results_
    mean, spread = -results["mean_test_score"], results["std_test_score"]
    ax.errorbar(grid["corruption__sigma"], mean, spread, marker="o", capsize=3)
    ax.set(title=name, xlabel="σ in training", ylabel="MSE (mean and spread of 3 folds)", ylim=(0, None))
