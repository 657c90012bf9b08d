"""A kind of figure from outside the package; a field that it adds is a key of its table in a study's TOML.

isthmus run STUDY --import figure_of_errors
"""

from dataclasses import dataclass
from typing import ClassVar

from isthmus.estimators.adapters import reconstruct
from isthmus.report.plots import new_figure
from isthmus.studies.spec.figures import Figure, register


@dataclass(frozen=True, kw_only=True)
class Errors(Figure):
    """How many images are reconstructed with which error."""

    kind: ClassVar[str] = "errors"
    bins: int = 20

    def arrays(self, models, context, rows):
        x = context.splits[self.split].floats()
        return {name: ((reconstruct(model, x) - x) ** 2).mean(axis=1) for name, model in models.items()}


def plot(facts, arrays):
    figure = new_figure(6, 3)
    axes = figure.add_subplot()
    axes.hist([arrays[name] for name in facts["rows"]], bins=facts["options"]["bins"], label=facts["rows"])
    axes.set_xlabel("mean squared error")
    axes.legend()
    return figure


register(Errors, plot)
