"""
What does ``recipe="fast"`` choose?
===================================

A learning rate, a schedule, a batch size and a number of epochs have to come from somewhere. Without a recipe they
are fixed defaults; with ``recipe="fast"`` they follow from the number of samples and the network. What you say
yourself counts more.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from isthmus import Autoencoder, Dense
from isthmus.displays import plot_history

X, X_test = train_test_split(load_digits().data.astype("float32") / 16, test_size=360, random_state=0)
network = Dense(hidden=(128, 64), bottleneck=8, code_activation="linear", output="sigmoid")

models = {
    "defaults": Autoencoder(network, epochs=60, random_state=0),
    "recipe": Autoencoder(network, recipe="fast", epochs=60, random_state=0),
}
for model in models.values():
    model.fit(X, validation=X_test)

# %%
# ``training_`` is what was run, whoever chose it.

for name, model in models.items():
    t = model.training_
    print(
        f"{name:8}  rate {t.learning_rate:.3g}, {t.schedule}, batches of {t.batch_size}, start {t.start!r}, "
        f"standardize {t.standardize}: held-out error {-model.score(X_test):.4f}"
    )

# %%
# The same number of passes, and the same network: smaller batches make more steps of them, and a high rate that falls
# in the end lets these go further. The error of held-out images (dashed) is soon flat; that of the training images
# goes on falling, which is no use to anybody.

display = plot_history(models)
