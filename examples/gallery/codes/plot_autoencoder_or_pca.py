"""
Does an autoencoder beat PCA with as many numbers?
==================================================

Both turn an image of 64 pixels into a few numbers and back. PCA is the best that can be done with sums; a network may
bend. Whether that is worth anything shows on images that neither was fitted to, with the same count of numbers.
"""

from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense
from isthmus.displays import ReconstructionDisplay
from isthmus.metrics import mean_of, squared_error

X = load_digits().images[:, None].astype("float32") / 16
X, X_test = train_test_split(X, test_size=360, random_state=0)
rows, rows_test = X.reshape(len(X), -1), X_test.reshape(len(X_test), -1)

models = {
    "PCA, 8 numbers": PCA(8).fit(rows),
    "autoencoder, 8 numbers": Autoencoder(
        Dense(hidden=(128, 64), bottleneck=8, code_activation="linear", output="sigmoid"),
        epochs=150,
        schedule="one-cycle",
        learning_rate=0.01,
        batch_size=64,
        random_state=0,
    ).fit(rows),
}

# %%
# The error is measured for each image and then averaged; the interval says what another 360 images could have given.

for name, model in models.items():
    error = squared_error(rows_test, model.inverse_transform(model.transform(rows_test)))
    mse = mean_of(error)
    print(f"{name}: {mse.value:.4f} (95 %: {mse.ci95[0]:.4f} to {mse.ci95[1]:.4f})")

# %%
# Everything is drawn in one grey scale, or else no two rows could be compared.

display = ReconstructionDisplay.from_estimator(models, X_test, n=10)
