"""
Run a study and read its numbers
================================

A study is a list of models, data and figures, in a TOML file. ``isthmus.run`` trains and measures what is missing,
and gives the numbers as a table. With ``quick=True`` each model is trained for one epoch, to see whether all is well.
"""

import tempfile
from pathlib import Path

import isthmus

STUDY = """
title = "Is a wider code worth it?"
[data]
name = "digits"
[[model]]
name = "narrow"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 100
learning_rate = 5e-3
[[model]]
name = "wide"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 16, output = "sigmoid"}
epochs = 100
learning_rate = 5e-3
[[figure]]
kind = "reconstructions"
name = "digits"
models = ["narrow", "wide"]
"""

folder = Path(tempfile.mkdtemp())
(folder / "wider.toml").write_text(STUDY)
done = isthmus.run(folder / "wider.toml", out=folder, threads=1)

# %%
# Every number that the report shows, with its interval and how many images it is of.

table = done.table("mse")
print(table[["model", "split", "seen", "value", "ci95", "n"]].to_string(index=False))

# %%
# The study's figures are matplotlib's. ``done.report`` is the path of the page with all of it.

figure = done.figures["digits"]
print(done.report.name)
