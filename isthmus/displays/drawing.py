"""Pictures of a fitted model in a line of Python, in the manner of scikit-learn's displays; a notebook shows them."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from isthmus.analysis.probe import filters, has_atoms
from isthmus.data.images import Images
from isthmus.errors import RequestError, require
from isthmus.estimators.adapters import adapter_of
from isthmus.metrics import active
from isthmus.report.figures import drawn
from isthmus.training.history import History

_DPI = 120


@dataclass
class Display:
    """A picture that knows its arrays. figure_ : matplotlib's figure, once it is drawn."""

    kind: ClassVar[str]
    figure_: Figure | None = field(default=None, init=False, repr=False)

    def plot(self) -> Self:
        """Draw it anew; `figure_` has it, to be changed or saved (`figure_.savefig("a.png")`)."""
        self.figure_ = drawn({"kind": self.kind, **self.facts()}, self.arrays())
        return self

    def facts(self) -> dict[str, Any]:
        """What the plot is told beside its arrays."""
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        """What is drawn, by name."""
        raise NotImplementedError

    def _repr_png_(self) -> bytes:
        figure, buffer = (self.figure_ or self.plot().figure_), io.BytesIO()
        assert figure is not None
        figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight")
        return buffer.getvalue()


@dataclass
class ReconstructionDisplay(Display):
    """Images, and below them what models make of them, all in one grey scale.

    rows: by name, (n, channels, height, width) in [0, 1].

    >>> import numpy as np
    >>> from isthmus import Autoencoder, Dense
    >>> from isthmus.displays import ReconstructionDisplay
    >>> X = np.random.default_rng(0).random((64, 1, 8, 8)).astype("float32")
    >>> model = Autoencoder(Dense(bottleneck=2), epochs=1, random_state=0).fit(X)
    >>> display = ReconstructionDisplay.from_estimator(model, X, n=5)
    >>> list(display.rows), display.figure_.axes[0].get_yticklabels()[0].get_text()
    (['original', 'Autoencoder'], 'original')
    """

    rows: dict[str, np.ndarray]
    kind: ClassVar[str] = "reconstructions"

    @classmethod
    def from_estimator(cls, models: Any, X: Any, *, X_in: Any = None, n: int = 10) -> Self:
        """Draw the first n images of X, and what models make of them or, if it is given, of X_in.

        models: a fitted one, or a dict of some by name: autoencoders, PCA and other transformers with a way back, or
        denoisers. X, X_in: `Images`, or arrays (n, channels, height, width), which are shown from the least to the
        largest number of X.

        Raises ValueError for samples that are no images.
        """
        x = _images(X, n)
        given = x if X_in is None else _images(X_in, n)
        require(given.shape == x.shape, "X_in", f"of the shape of X, {x.shape}", given.shape)
        low, high = (0.0, 1.0) if isinstance(X, Images) else (float(x.min()), float(x.max()))
        named = models if isinstance(models, dict) else {_name_of(models): models}
        require(len(named) > 0, "models", "a fitted model, or a dict of some", models)
        rows = {"original": x} if X_in is None else {"original": x, "input": given}
        rows |= {name: _output(model, given) for name, model in named.items()}
        span = high - low if high > low else 1.0
        return cls({name: (row - low) / span for name, row in rows.items()}).plot()

    def facts(self) -> dict[str, Any]:
        return {"rows": list(self.rows)}

    def arrays(self) -> dict[str, np.ndarray]:
        return self.rows


@dataclass
class CodeDisplay(Display):
    """Codes as points in a plane, coloured by label.

    code: (n, 2). labels: (n,). axes: what the two numbers are.

    >>> import numpy as np
    >>> from isthmus import Autoencoder, Dense
    >>> from isthmus.displays import CodeDisplay
    >>> X = np.random.default_rng(0).random((64, 64)).astype("float32")
    >>> model = Autoencoder(Dense(bottleneck=3), epochs=1, random_state=0).fit(X)
    >>> CodeDisplay.from_estimator(model, X, np.arange(64) % 2).axes
    ('principal component 1 of 3 numbers', 'principal component 2 of 3 numbers')
    """

    code: np.ndarray
    labels: np.ndarray
    axes: tuple[str, str] = ("first number of the code", "second number of the code")
    kind: ClassVar[str] = "scatter"

    @classmethod
    def from_estimator(cls, model: Any, X: Any, y: Any = None) -> Self:
        """Draw the codes of X; of more than two numbers their two principal components. y: labels; None for X's own.

        Raises ValueError for codes of one number.
        """
        code = np.asarray(model.transform(X), np.float64)
        require(code.ndim == 2 and code.shape[1] > 1, "code", "of at least 2 numbers", code.shape)
        labels = getattr(X, "labels", None) if y is None else np.asarray(y)
        labels = np.zeros(len(code), int) if labels is None else labels
        require(len(labels) == len(code), "y", f"a label for each of {len(code)} samples", len(labels))
        if code.shape[1] == 2:
            return cls(code, labels).plot()
        first, second = (f"principal component {i} of {code.shape[1]} numbers" for i in (1, 2))
        return cls(PCA(2, random_state=0).fit_transform(code), labels, (first, second)).plot()

    def plot(self) -> Self:
        super().plot()
        assert self.figure_ is not None
        (axes,) = self.figure_.axes
        axes.set_xlabel(self.axes[0])
        axes.set_ylabel(self.axes[1])
        if len(np.unique(self.labels)) == 1 and (legend := axes.get_legend()):
            legend.remove()
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        return {"code": self.code, "labels": self.labels}


@dataclass
class AtomsDisplay(Display):
    """The atoms of a decoder of one layer, those that are on most often first; zero is white.

    atoms: (n, channels, height, width). usage: (n,), the share of the images that each is on for.

    >>> import numpy as np
    >>> from isthmus import Autoencoder, Dictionary
    >>> from isthmus.displays import AtomsDisplay
    >>> X = np.random.default_rng(0).random((64, 1, 8, 8)).astype("float32")
    >>> model = Autoencoder(Dictionary(n_atoms=12), epochs=1, random_state=0).fit(X)
    >>> AtomsDisplay.from_estimator(model, X, n=6).atoms.shape
    (6, 1, 8, 8)
    """

    atoms: np.ndarray
    usage: np.ndarray
    kind: ClassVar[str] = "atoms"

    @classmethod
    def from_estimator(cls, model: Any, X: Any, *, n: int = 64) -> Self:
        """Draw the (at most) n atoms of a fitted model that are on most often for X, which are images.

        Raises ValueError for a decoder of several layers, which has none.
        """
        x = _images(X, None)
        if not has_atoms(model):
            raise RequestError("atoms are the rows of a decoder of one linear layer; this decoder has more")
        code = np.abs(np.asarray(model.transform(x.reshape(len(x), -1))))
        on, strength = active(code).mean(axis=0), code.mean(axis=0)
        order = np.lexsort((-strength, -on))[:n]
        return cls(filters(model, x.shape[1:], "decoder")[""][order], on[order]).plot()

    def facts(self) -> dict[str, Any]:
        return {"rows": ["atoms"]}

    def arrays(self) -> dict[str, np.ndarray]:
        return {"atoms": self.atoms, "usage": self.usage}


@dataclass
class HistoryDisplay(Display):
    """Loss against epoch on a logarithmic scale, the validation loss dashed. rows: losses by name."""

    rows: dict[str, np.ndarray]
    kind: ClassVar[str] = "curves"

    def arrays(self) -> dict[str, np.ndarray]:
        return self.rows


def plot_history(models: Any) -> HistoryDisplay:
    """Draw the losses of a fitted model, of a `History`, or of a dict of some by name.

    >>> import numpy as np
    >>> from isthmus import Autoencoder, Dense
    >>> from isthmus.displays import plot_history
    >>> X = np.random.default_rng(0).random((64, 64)).astype("float32")
    >>> model = Autoencoder(Dense(bottleneck=2), epochs=3, validation_fraction=0.2, random_state=0).fit(X)
    >>> {name: len(losses) for name, losses in plot_history(model).rows.items()}
    {'training': 3, 'training (validation)': 3}
    """
    named = models if isinstance(models, dict) else {"training": models}
    require(len(named) > 0, "models", "a fitted model, or a dict of some", models)
    rows = {}
    for name, model in named.items():
        history = model if isinstance(model, History) else getattr(model, "history_", None)
        if not history:
            raise RequestError(f"{_name_of(model)} has no history: it was not trained in epochs")
        rows[name] = history.losses
        if not np.isnan(history.validation_losses).all():
            rows[f"{name} (validation)"] = history.validation_losses
    return HistoryDisplay(rows).plot()


def _images(X: Any, n: int | None) -> np.ndarray:
    """The first n images, (n, channels, height, width) float."""
    x = X.floats(slice(0, n)).reshape(-1, *X.shape) if isinstance(X, Images) else np.asarray(X)[:n]
    require(x.ndim == 4 and x.size > 0, "X", "Images or an array (n, channels, height, width)", np.shape(X))
    return x


def _output(model: Any, x: np.ndarray) -> np.ndarray:
    if hasattr(model, "denoise"):
        return np.asarray(model.denoise(x))
    return adapter_of(model).reconstruct(x.reshape(len(x), -1)).reshape(x.shape)


def _name_of(model: Any) -> str:
    return type(model).__name__
