"""What is asked of a fitted estimator, and how scikit-learn's own answer it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from isthmus import kinds
from isthmus.errors import DataError, RequestError
from isthmus.estimators import borrowed
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.saving import Saved
from isthmus.interchange.operations import Linear, Operation, Product, Pursue, Restore, Standardize
from isthmus.networks import Network


class Adapter:
    """A fitted estimator of which nothing is known but `transform` and `inverse_transform`, such as the identity.

    name: what kind of model it is, for people. has_code: whether it makes a code at once: the identity has none, a
    `DecoderPrior` searches for it. searches: whether it does. takes_any_size: whether it has `reconstruct_image`.
    goes_on: whether it can be trained further, by `warm_start`.
    """

    name: str = "identity"
    has_code: bool = False
    searches: bool = False
    takes_any_size: bool = False
    goes_on: bool = False

    def __init__(self, model: Any) -> None:
        self.model = model

    @property
    def word(self) -> str:
        """What kind of model it is, with what it is made of."""
        return self.name

    @property
    def first(self) -> Adapter:
        """The adapter of what sees the image: of a pipeline's first step."""
        return self

    @property
    def last(self) -> Adapter:
        """The adapter of what makes the code: of a pipeline's last step."""
        return self

    @property
    def trained(self) -> Autoencoder | None:
        """The autoencoder whose weights it has."""
        return None

    @property
    def network(self) -> Network | None:
        """The network that encodes and decodes."""
        return None

    @property
    def components(self) -> np.ndarray | None:
        """The images, (n, n_features), that it adds up by its code."""
        return None

    @property
    def n_parameters(self) -> int:
        """Numbers that were learned."""
        return 0

    @property
    def n_switches(self) -> int:
        """Numbers that a decoder sees beside the code."""
        return 0

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """x_hat for samples (n, n_features), flat."""
        return self.model.inverse_transform(self.model.transform(x)).reshape(len(x), -1)

    def reconstruct_few(self, x: np.ndarray) -> np.ndarray:
        """The same for a few finite samples, without scikit-learn's checks where they would take longest."""
        return self.reconstruct(x)

    def code_size(self, n_features: int) -> int:
        """Numbers that are kept of a sample: its code, and the switches that an unpooling decoder sees beside it."""
        return n_features

    def saved(self) -> Saved:
        """What of the fitted model is written. Raises RequestError for one that cannot be."""
        adapters = kinds.COMPUTES["estimator"]
        savable = [kind.__name__ for kind, adapter in adapters.items() if adapter.saved is not Adapter.saved]
        known = ", ".join(savable).replace("FunctionTransformer", "the identity")
        raise RequestError(f"cannot save a {type(self.model).__name__}; known: {known}")

    @staticmethod
    def rebuilt(parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any]) -> Any:
        """The fitted model, of its constructor's arguments and what was `saved`. Raises DataError for anything else."""
        raise DataError("models of this class are not saved")

    def operations(self, function: str) -> list[Operation]:
        """What "encode", "decode" or "reconstruct" does of rows, as other programs compute it.

        Raises RequestError, the reason alone, for a model that is not described so.
        """
        raise RequestError(f"a {type(self.model).__name__} is computed by its own Python code alone")


class IdentityAdapter(Adapter):
    """The identity, a FunctionTransformer without functions."""

    rebuilt = staticmethod(borrowed.identity_rebuilt)

    def saved(self) -> Saved:
        return Saved({}, {}) if self.model.func is None and self.model.inverse_func is None else super().saved()

    def operations(self, function: str) -> list[Operation]:
        return [] if self.model.func is None and self.model.inverse_func is None else super().operations(function)


class ComponentsAdapter(Adapter):
    """An estimator that adds up its `components_` by a code of as many numbers."""

    has_code = True

    @property
    def components(self) -> np.ndarray:
        return self.model.components_

    @property
    def n_parameters(self) -> int:
        return self.components.size

    def code_size(self, n_features: int) -> int:
        return len(self.components)


class PCAAdapter(ComponentsAdapter):
    """scikit-learn's PCA: components and their mean are what it learned."""

    name, rebuilt = "PCA", staticmethod(borrowed.pca_rebuilt)

    def saved(self) -> Saved:
        return borrowed.pca_saved(self.model)

    @property
    def n_parameters(self) -> int:
        return self.components.size + self.model.mean_.size

    def operations(self, function: str) -> list[Operation]:
        components, mean = (as_tensor(numbers) for numbers in (self.components, self.model.mean_))
        zeros, spread = (0.0,) * len(components), tuple((self.model.explained_variance_**0.5).tolist())
        encode = [
            Linear(components, -(components @ mean)),
            *([Standardize(zeros, spread)] if self.model.whiten else []),
        ]
        restore = [Restore(spread, zeros)] if self.model.whiten else []
        decode = [*restore, Product(components), Restore((1.0,) * len(mean), tuple(mean.tolist()))]
        return {"encode": encode, "decode": decode, "reconstruct": [*encode, *decode]}[function]


class DictionaryAdapter(ComponentsAdapter):
    """scikit-learn's dictionary learning."""

    name, rebuilt = "dictionary", staticmethod(borrowed.dictionary_rebuilt)

    def saved(self) -> Saved:
        return borrowed.dictionary_saved(self.model)

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        return self.model.transform(x) @ self.components.astype(x.dtype)

    def operations(self, function: str) -> list[Operation]:
        settings = self.model.transform_algorithm, self.model.positive_code, self.model.split_sign
        if settings != ("omp", False, False):
            raise RequestError(f"its codes are found by {settings[0]}, and only omp of any sign is described")
        atoms = as_tensor(self.components)
        n_nonzero = self.model.transform_n_nonzero_coefs or max(1, atoms.shape[1] // 10)
        encode: list[Operation] = [
            Pursue(atoms, min(n_nonzero, len(atoms)), float(np.finfo(self.components.dtype).eps))
        ]
        decode: list[Operation] = [Product(atoms)]
        return {"encode": encode, "decode": decode, "reconstruct": [*encode, *decode]}[function]


def as_tensor(numbers: np.ndarray) -> torch.Tensor:
    """Numbers of scikit-learn's as float32."""
    return torch.from_numpy(np.ascontiguousarray(numbers, np.float32))
