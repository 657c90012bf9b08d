"""What is asked of every fitted estimator, isthmus' own or scikit-learn's: one adapter for each kind.

`adapter_of(model)` is the only place that looks at which kind an estimator is. Another kind takes part through
`register(kind, adapter)`, and needs no more than what differs from `Adapter`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import kinds
from isthmus.data.images import Images
from isthmus.errors import RequestError, require
from isthmus.estimators.adapter import Adapter as Adapter
from isthmus.estimators.adapter import DictionaryAdapter, IdentityAdapter, PCAAdapter
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.estimators.inference import infer
from isthmus.estimators.saving import Saved
from isthmus.interchange.operations import Operation, operations_of
from isthmus.networks import Network

CHUNK = 500  # images at a time: bounded memory, and the arrays of one chunk stay in the cache


class AutoencoderAdapter(Adapter):
    """An `Autoencoder`."""

    has_code = goes_on = True

    @property
    def word(self) -> str:
        return f"{self.model.network_.part.kind} autoencoder"

    @property
    def trained(self) -> Autoencoder:
        return self.model

    @property
    def network(self) -> Network:
        return self.model.network_

    @property
    def n_parameters(self) -> int:
        return self.model.n_parameters_

    @property
    def n_switches(self) -> int:
        return self.model.network_.n_switches

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        return self.model.reconstruct(x).reshape(len(x), -1)

    def reconstruct_few(self, x: np.ndarray) -> np.ndarray:
        n_features = self.model.n_features_in_
        require(x.shape[1] == n_features, "x", f"of {n_features} columns", x.shape[1])
        return infer(self.model, x, lambda network, part: network(part)[0])

    def operations(self, function: str) -> list[Operation]:
        network = self.model.network_
        operations = operations_of(network, function)
        if operations is None:
            kind = repr(network.part if network.code_part.is_plain else network.code_part)
            raise RequestError(f"{kind} is computed by its own Python code alone")
        return operations

    def code_size(self, n_features: int) -> int:
        return self.model.network_.code_size + self.n_switches

    def saved(self) -> Saved:
        return self.model.saved()


class DecoderPriorAdapter(Adapter):
    """A `DecoderPrior`, whose weights are those of an autoencoder's decoder."""

    name, searches = "decoder search", True

    @property
    def trained(self) -> Autoencoder:
        return self.model.autoencoder_

    @property
    def n_parameters(self) -> int:
        return self.trained.network_.n_decoder_weights

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        return self.model.decoded(self.model.search(x))

    def operations(self, function: str) -> list[Operation]:
        raise RequestError("it searches for the code of each image")

    def code_size(self, n_features: int) -> int:
        return self.trained.network_.code_size

    def saved(self) -> Saved:
        return self.model.saved()


class PipelineAdapter(Adapter):
    """Models one after the other, as a model of another's codes is one. All have learned, and the last has the code."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.steps = [adapter_of(step) for _, step in model.steps]
        self.has_code = self.last.has_code

    @property
    def first(self) -> Adapter:
        return self.steps[0].first

    @property
    def last(self) -> Adapter:
        return self.steps[-1].last

    @property
    def n_parameters(self) -> int:
        return sum(step.n_parameters for step in self.steps)

    def operations(self, function: str) -> list[Operation]:
        encode = [operation for step in self.steps for operation in step.operations("encode")]
        decode = [operation for step in reversed(self.steps) for operation in step.operations("decode")]
        return {"encode": encode, "decode": decode, "reconstruct": [*encode, *decode]}[function]

    def code_size(self, n_features: int) -> int:
        return self.last.code_size(n_features)


_ADAPTERS: dict[type, type[Adapter]] = kinds.COMPUTES["estimator"]
_ADAPTERS |= {
    Autoencoder: AutoencoderAdapter,
    DecoderPrior: DecoderPriorAdapter,
    PCA: PCAAdapter,
    MiniBatchDictionaryLearning: DictionaryAdapter,
    FunctionTransformer: IdentityAdapter,
    Pipeline: PipelineAdapter,
}
kinds.KINDS["estimator"] |= {kind.__name__: kind for kind in _ADAPTERS}


def register(kind: type, adapter: type[Adapter]) -> None:
    """Have fitted estimators of this class, and of those that inherit from it, asked through this adapter."""
    kinds.register("estimator", kind, adapter)


def adapter_of(model: Any) -> Adapter:
    """The adapter of a fitted estimator: its class's own, or the nearest base class's."""
    return next((_ADAPTERS[kind] for kind in type(model).__mro__ if kind in _ADAPTERS), Adapter)(model)


def chunks(n: int) -> list[slice]:
    """The slices that cut n samples into chunks."""
    return [slice(start, min(start + CHUNK, n)) for start in range(0, n, CHUNK)]


def reconstruct(model: Any, x: np.ndarray) -> np.ndarray:
    """x_hat for samples (n, n_features), flat."""
    return adapter_of(model).reconstruct(x)


def reconstruct_each(models: Sequence[Any], x: np.ndarray) -> np.ndarray:
    """x_hat of each of several models for the same few samples: float32 (n, n_features) → (n_models, n, n_features).

    The same numbers as `reconstruct`'s. x must be finite; it is held against a model's number of features and no more:
    for one image, scikit-learn's checks of an array take longer than a dense network does.
    """
    x_hat = np.empty((len(models), *x.shape), np.float32)
    for model, rows in zip(models, x_hat, strict=True):
        rows[:] = adapter_of(model).reconstruct_few(x)
    return x_hat


def reconstruct_code_only(model: Any, x: np.ndarray) -> np.ndarray | None:
    """x_hat from the code alone, for an autoencoder whose decoder otherwise sees more; None for any other model."""
    if not adapter_of(model).n_switches:
        return None
    return model.inverse_transform(model.transform(x)).reshape(len(x), -1)


def encode(model: Any, images: Images) -> np.ndarray:
    """The codes of all images, (n, code_size)."""
    return np.concatenate([model.transform(images.floats(which)) for which in chunks(len(images))])
