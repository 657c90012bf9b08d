"""A warm start: the weights of a network that was fitted before, from which another fit goes on."""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from isthmus.codes import build
from isthmus.data.batches import fingerprint_of, hashes_of, in_chunks, samples_on
from isthmus.errors import RequestError
from isthmus.estimators.samples import hold_out
from isthmus.fingerprints import array_fingerprint, table_fingerprint
from isthmus.networks import Network
from isthmus.networks.network import Trainable
from isthmus.networks.standardization import Standardization
from isthmus.parts import CodePart, NetworkPart
from isthmus.rng import content_seeds
from isthmus.training.history import Trained


@dataclass(frozen=True)
class WarmStart:
    """A former fit, whose network stays as it is.

    So does the network's standardization, or a denoiser's unit, which was fitted to the first samples: the weights mean
    nothing without it.
    """

    fitted: Trained

    @property
    def network(self) -> Any:
        """The fitted network: a `Network`, or a denoiser's `ImageNetwork`."""
        return self.fitted.network

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the weights and of the unit of what the network sees."""
        state = self.network.state_dict()
        tensors = {name: array_fingerprint(tensor.detach().cpu().numpy()) for name, tensor in state.items()}
        if not isinstance(self.network, Network):
            return table_fingerprint([tensors, self.fitted.scale])
        table = None if self.network.standardization is None else self.network.standardization.table()
        return table_fingerprint([tensors, table])

    def seed(self, random_state: Any, seed: int) -> tuple[int, bool]:
        """The seed of the fit that goes on, and whether it was chosen. seed: what came of its `random_state`.

        That of the former fit where none was given, so that the same samples are held out as before.
        """
        if isinstance(random_state, int | np.integer):
            return seed, True
        return self.fitted.seed, True

    def stream(self, seed: int) -> int:
        """The seed of the order and the noise of the training that goes on.

        It depends on the weights: with `seed` itself each cycle would repeat the order and the noise of the one before.
        """
        key = np.frombuffer(hashlib.sha256(self.fingerprint.encode()).digest(), np.uint8)
        return next(content_seeds(seed, "cycle", key[None]))

    def is_pca_of_some(self, X: Any, *, otherwise: bool) -> bool:
        """Whether the fitted weights are PCA's solution of samples all of which are in X; `otherwise` if unknown."""
        known = self.fitted.pca_samples
        return otherwise if known is None else bool(np.isin(known, _hashes(X)).all())

    def n_known(self, samples: Any) -> int:
        """How many of these samples are among those that the fitted weights are PCA's solution of."""
        known = self.fitted.pca_samples
        return 0 if known is None or samples is None else int(np.isin(_hashes(samples), known).sum())

    def check(self, loss: Any) -> None:
        """Raise RequestError for a loss that cannot be had from this network."""
        table = self.network.standardization
        scaled = table is not None and any((offset, scale) != (0, 1) for offset, scale in _ends(table))
        if loss.bounded and scaled:
            raise RequestError(
                'loss "bce" needs outputs in [0, 1], and the fitted network\'s are scaled to its samples; go on with '
                "its own loss, or fit anew with warm_start=False"
            )

    def copy(
        self, part: NetworkPart, code: CodePart, n_features: int, image_shape: tuple[int, int, int] | None
    ) -> Network:
        """A copy of the network, as the one of `part`. Raises RequestError if that has other tensors."""
        if (part, code) == (self.network.part, self.network.code_part):
            return copy.deepcopy(self.network)
        network = build(part, code, n_features, torch.Generator(), image_shape)
        self.give_weights(network)
        network.standardize(self.network.standardization)
        return network

    def give_weights(self, network: Trainable) -> None:
        """Give a network that was just built the fitted weights. Raises RequestError if it has other tensors."""
        fitted = self.network.state_dict()
        shapes, built = (
            {name: tuple(tensor.shape) for name, tensor in state.items()} for state in (fitted, network.state_dict())
        )
        for name in {**shapes, **built}:
            if shapes.get(name) != built.get(name):
                raise RequestError(
                    f"network builds {_words(name, built)}, and the fitted one has {_words(name, shapes)}; go on with "
                    "the network that was fitted, or fit anew with warm_start=False"
                )
        network.load_state_dict(fitted)


TOO_GOOD = "so their loss is too good; give validation samples that it has not seen, or fit anew with warm_start=False"


def restarts_at_pca(fitting: Any, model: Any, former: WarmStart) -> bool:
    """Whether a fit begins with PCA of the samples that are not held out, in place of that of all.

    fitting: a `OneFit`. Where that would forget other samples, or is no PCA, warn of validation samples that the former
    fit knows.
    """
    known, others, fraction = getattr(model, "input_", {}).get("sha256"), fitting.held_out, fitting.fraction
    is_same = fraction is not None and known == fingerprint_of(fitting.X)
    if not former.fitted.pca_of_all:
        if is_same and former.fitted.training.validation_fraction != fraction:
            fitting.warn(
                f"the samples that validation_fraction holds out now were trained on by the former fit, {TOO_GOOD}"
            )
        return False
    if fitting.is_refitted and fitting.can_be_pca and former.is_pca_of_some(fitting.all_samples(), otherwise=is_same):
        return True
    held_out = others if fraction is None else hold_out(fitting.X, fraction, fitting.seed)[1]
    if n := former.n_known(held_out):
        fitting.warn(f"the former fit was trained on {n:,} of the {len(held_out):,} validation samples, {TOO_GOOD}")
    return False


@contextlib.contextmanager
def former_fit(model: Any, *, wanted: bool) -> Iterator[WarmStart | None]:
    """The fit that a model goes on from, if there is one and it is wanted: it stays if what follows fails.

    Otherwise None, and the former fit is gone from here on: a fit that fails leaves none, not half of each.
    """
    attributes = model.__dict__
    if not (wanted and hasattr(model, "fitted_")):
        for name in ("network_", "fitted_"):
            attributes.pop(name, None)
        yield None
        return
    before = dict(attributes)
    try:
        yield WarmStart(model.fitted_)
    except BaseException:  # also where whoever watches the epochs has seen enough
        attributes.clear()
        attributes.update(before)
        raise


def _hashes(samples: Any) -> np.ndarray:
    return hashes_of(in_chunks(samples_on(samples, torch.device("cpu"))))


def _ends(table: Standardization) -> zip[tuple[float, float]]:
    return zip(table.out_offset, table.out_scale, strict=True)


def _words(name: str, shapes: dict[str, tuple[int, ...]]) -> str:
    return f"{name} of {shapes[name]}" if name in shapes else f"no {name}"
