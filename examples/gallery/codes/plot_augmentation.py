"""
Do a few images go further if they are moved a little?
======================================================

From a hundred digits a network soon knows each of them by heart. ``Affine`` turns, scales and shifts every image a
little, anew in each epoch, so that it sees digits of which it has none.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import Affine, Autoencoder, Dense
from isthmus.displays import plot_history
from isthmus.metrics import mean_of, squared_error

X = load_digits().images[:, None].astype("float32") / 16
X, X_test = train_test_split(X, train_size=100, random_state=0)

network = Dense(hidden=(128, 64), bottleneck=8, code_activation="linear", output="sigmoid")
moved = Affine(rotation=10, scale=0.1, shift=0.7)
models = {
    name: Autoencoder(network, augmentation=augmentation, epochs=400, batch_size=50, random_state=0)
    for name, augmentation in {"as they are": None, "moved": moved}.items()
}
for name, model in models.items():
    model.fit(X, validation=X_test[:500])
    errors = {
        "fitted on": squared_error(X, model.reconstruct(X)),
        "held out": squared_error(X_test[500:], model.reconstruct(X_test[500:])),
    }
    print(name, {which: round(mean_of(error).value, 4) for which, error in errors.items()})

# %%
# Without augmentation the training error (solid) goes on falling while the error of other images (dashed) stands
# still.

display = plot_history(models)
