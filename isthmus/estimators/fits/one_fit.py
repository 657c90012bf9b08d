"""One fit of an autoencoder: what it was asked is checked first, then it trains, and in the end there is a network."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import warnings
from collections.abc import Generator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from isthmus.codes import build
from isthmus.data.batches import Samples, evenly, fingerprint_of, hashes_of, is_samples, samples_on
from isthmus.data.images import Images
from isthmus.errors import DoubtWarning, PoorFitWarning, RequestError, require
from isthmus.estimators.fits.doubts import Judged
from isthmus.estimators.fits.epoch_display import EpochDisplay
from isthmus.estimators.fits.warm_start import WarmStart, restarts_at_pca
from isthmus.estimators.parameters import Composed, parameters_of, training_of
from isthmus.estimators.samples import clip_doubt, hold_out, in_range, joined, known_doubt, n_held_out, offset_doubt
from isthmus.fingerprints import facts_of_fit
from isthmus.machine import check_shards
from isthmus.networks import Network
from isthmus.networks.standardization import standardization_of
from isthmus.objective import Objective
from isthmus.parts import doubt
from isthmus.rng import generator, seed_from
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.hardware import (
    memory_told,
    processor_of,
    resolve_device,
    resolve_precision,
    step_threads,
    using_threads,
    using_threads_everywhere,
)
from isthmus.training.history import Epoch, History, Moments, Trained
from isthmus.training.recipe import described
from isthmus.training.session import session
from isthmus.training.setup import Setup
from isthmus.training.sharding.divisibility import check_divisible
from isthmus.training.sharding.processes import check_device, processes_for
from isthmus.training.start import fit_start, n_of_pca, pca_start, with_refit_gain
from isthmus.training.validation import weights_of


class OneFit:
    """What one call of `fit` is to do with samples that have been checked; what comes of it is a `Trained`.

    X, held_out: `Images`, (n, n_features) floats or `Samples`; held_out None for no validation samples. warm_start: the
    fitted network to go on from; None for a new start. refit: whether PCA's solution, where it is kept, is in the end
    that of the `held_out` too, as it is of those that the fit holds out itself. Raises RequestError for whatever can be
    known to be wrong before anything is trained.
    """

    network: Network
    training_of = staticmethod(training_of)

    def __init__(
        self, model: Composed, X: Any, held_out: Any, warm_start: WarmStart | None, *, refit: bool = False
    ) -> None:
        if warm_start is not None and model.network is None:  # what a recipe had in its place once, it has for good
            model = copy.copy(model).set_params(network=warm_start.network.part)
        self.network_part, self.corruption, self.objective, _ = model.parts()
        self.augmentation, self.code_part = model.part("augmentation"), model.part("code")
        self.X, self.held_out, self.image_shape = X, held_out, model.image_shape_
        self.shards, self.world = model.shards, processes_for(model.shards)
        self.display = EpochDisplay(type(model).__name__, is_shown=bool(model.verbose) and self.world.is_first)
        self.warm_start, self.history = warm_start, History()
        self.n_features = model.n_features_in_
        # of flat samples, the network may know the shape
        self.known_shape = self.image_shape or getattr(self.network_part, "image_shape", None)
        # which a recipe may choose too
        chosen = self.training_of(model, (len(X), self.n_features)) if held_out is None else None
        self.fraction = None if chosen is None else chosen.validation_fraction
        self.pca_samples: np.ndarray | None = None
        self.before_refit: dict[str, torch.Tensor] | None = None
        self.is_refitted = self.fraction is not None or (refit and held_out is not None)
        n = len(X) - (0 if self.fraction is None else n_held_out(len(X), self.fraction))
        shape = (n, self.n_features)
        self.training, self.parameters = self.training_of(model, shape), parameters_of(model, shape)
        if self.training.patience is None and chosen is not None:  # of those that are left a recipe would hold none out
            self.training = dataclasses.replace(self.training, patience=chosen.patience)
        if self.training.recipe is not None:
            shown = self.training if warm_start is None else dataclasses.replace(self.training, start="random")
            network = f"{self.network_part!r}, " if model.network is None else ""
            self.display.say(f'recipe "{self.training.recipe}": {network}{described(shown)}')
        if targets := self.objective.loss.targets(in_nats=self.code_part.in_nats):
            self.display.say(f"in training, {targets}")
        self.device = self._device()
        if self.shards > 1:
            check_device(self.device, self.world)
            check_shards(self.shards, self.world.size, most=min(n, self.training.batch_size))
        self._check()
        multiplications = self.code_part.multiplications(self.network_part, self.n_features, self.image_shape)
        products = multiplications * self.training.batch_size
        self.precision = resolve_precision(self.training.precision, self.device, products)
        self.seed, self.is_seeded = seed_from(model.random_state), model.random_state is not None
        if warm_start is not None:
            self.seed, self.is_seeded = warm_start.seed(model.random_state, self.seed)
        self.seed = self.world.decided(lambda: self.seed)
        # one for each process, however many there are: shards take the place of threads
        available = torch.get_num_threads() if self.shards == 1 else 1
        self.threads = step_threads(multiplications, self.training.batch_size, available, self.device)
        self.from_pca = self.is_refitted if warm_start is None else restarts_at_pca(self, model, warm_start)
        self.world.agree(self._facts)

    def _check(self) -> None:
        for part in filter(None, (self.corruption, self.augmentation)):
            part.check(self.n_features, self.known_shape)
        doubts = {
            "parts": doubt(self.network_part, self.objective.penalty, self.code_part),
            "clip": clip_doubt(self.corruption, self.X),
        }
        if self.held_out is not None and self.warm_start is None:
            doubts["known"] = known_doubt(self.X, self.held_out)
        for kind, sentence in doubts.items():
            if sentence and self._is_news(kind):
                self.warn(sentence)
        if self.training.patience is not None and self.held_out is None and self.fraction is None:
            raise RequestError("patience needs validation samples: set validation_fraction, or fit(X, validation=...)")
        if self.training.start == "pca" and not self.can_be_pca:
            raise RequestError(
                'start="pca" needs a Dense network with a linear code and output, and hidden layers of at least twice '
                f"the code that are linear or rectifiers (as a denoiser's code may be), got {self.network_part!r}"
                + ("" if self.code_part.is_plain else f" with {self.code_part!r}")
            )
        standardized = self.training.standardize
        if self.warm_start is not None:
            self.warm_start.check(self.objective.loss)
            standardized = self.warm_start.network.standardization is not None
        if self.objective.loss.bounded or not standardized:
            for samples in (self.X, self.held_out):
                in_range(samples, self.network_part, bounded=self.objective.loss.bounded)
        warning = offset_doubt(self.X, standardized=standardized)
        if warning and self._is_news("offset"):
            self.warn(warning)

    def warn(self, sentence: str) -> None:
        """Say a doubt once, at the line that calls `fit`, which is five calls away."""
        if self.world.is_first:
            warnings.warn(sentence, DoubtWarning, stacklevel=6)

    def _is_news(self, kind: str) -> bool:
        """Whether a doubt of this kind is to be said."""
        return True

    @property
    def can_be_pca(self) -> bool:
        corrupted = self.corruption is not None
        return self.code_part.is_plain and self.network_part.n_components(corrupted=corrupted) > 0

    def all_samples(self) -> Any:
        """Those to train on and those that are held out."""
        return self.X if self.held_out is None else joined(self.X, self.held_out)

    def _device(self) -> torch.device:
        """Where samples that are kept elsewhere lie already; "auto" follows them."""
        devices = [samples.device for samples in (self.X, self.held_out) if is_samples(samples)]
        device = devices[0] if devices and self.training.device == "auto" else resolve_device(self.training.device)
        for other in devices:
            require(other.type == device.type, "the samples' device", f"{device}, where the network is", str(other))
        return device

    @property
    def n_bytes(self) -> int:
        """What the weights take."""
        return 4 * self.code_part.n_weights(self.network_part, self.n_features, self.known_shape)

    def epochs(self, checkpoints: Checkpoints) -> Generator[Epoch, None, Trained]:
        """Train, from a new start or from the last checkpoint; yield each epoch's row, and return what was trained.

        All of it is computed by as many threads as a step is worth, so that what comes of it depends on no others.
        """
        former = self.world.decided(lambda: checkpoints.begin(self._facts))
        if former is not None and self.warm_start is None:
            self.seed = former.seed
        X, held_out, ids = self.X, self.held_out, None
        if self.fraction is not None:
            X, held_out, ids = hold_out(X, self.fraction, self.seed)
        with memory_told(self.training.batch_size):
            samples = self.read(X)
            validation = None if held_out is None else samples_on(held_out, self.device, drawn=self.drawn)
        if former is not None:
            self.display.say(f"continues after epoch {len(former.history)}/{self.training.epochs}")
        is_judged = validation is not None and self.training.patience is not None
        setup = self.begin(samples, ids, is_new=former is None, is_judged=is_judged)
        if validation is not None and self.from_pca and self.training.start == "pca":
            with memory_told(self.training.batch_size), self._threads():
                setup = with_refit_gain(setup, self.network, samples, validation)
        rows = session(self.network, samples, validation, setup, checkpoints, former, self.history)
        with contextlib.closing(rows):
            yield from self.display.shown(rows, self.training.epochs)
        for sentence in self._doubts(samples, validation, held_out, setup) if self.world.is_first else ():
            warnings.warn(sentence, PoorFitWarning, stacklevel=6)  # at the line that calls `fit`
        if self.history.kept_start and self.from_pca:
            self.X, self.before_refit = self.all_samples(), None if self.held_out is None else setup.fallback
            samples = samples_on(self.X, self.device)
            with self._threads():  # nothing was learned that could be judged: so of all samples
                pca_start(self.network, samples, setup, self.seed)
            self.pca_samples = hashes_of([evenly(samples, n_of_pca(self.n_features))])
        return self.trained()

    def _doubts(self, samples: Samples, validation: Samples | None, held_out: Any, setup: Setup) -> list[str]:
        is_pca = self.history.kept_start and self.from_pca
        groups = held_out.photographs if isinstance(held_out, Images) else None
        judged = Judged(self.network, setup, self.history, samples, validation, groups, is_pca)
        with memory_told(self.training.batch_size), using_threads(self.threads):
            return list(judged.doubts())

    def begin(
        self, samples: Samples, ids: np.ndarray | None = None, *, is_new: bool = True, is_judged: bool = False
    ) -> Setup:
        """Build the network and bring it to its start; what it is to be trained with.

        ids: where in X the samples are. is_new: no checkpoint's weights will take the start's place. is_judged:
        validation samples will say whether what was trained is better than what there was.
        """
        with memory_told(self.training.batch_size):
            if self.warm_start is not None:
                network = self.warm_start.copy(self.network_part, self.code_part, self.n_features, self.image_shape)
            else:
                drawn = generator(self.seed, "init")
                network = build(self.network_part, self.code_part, self.n_features, drawn, self.image_shape)
            self.network = network.to(self.device)
        with self._threads():
            if self.training.standardize and self.warm_start is None:
                channels = self.known_shape[0] if self.known_shape else 1
                output, bounded = self.network_part.output, self.objective.loss.bounded
                network.standardize(standardization_of(samples, channels, output, bounded=bounded))
            unit = 1.0 if network.standardization is None else network.standardization.unit
            loss, penalty, in_nats = self.objective.loss, self.objective.penalty, self.code_part.in_nats
            setup = Setup(
                self.training,
                Objective(loss, penalty, unit, in_nats=in_nats, noise=network.code.noise),
                *(self.stream, self.corruption, self.augmentation, self.known_shape),
                *(self.precision, self.threads, ids, self.warm_start is not None),
                shards=self.shards,
                world=self.world,
            )
            if self.shards > 1:
                check_divisible(network, samples, setup)
            start = self.training.start if self.warm_start is None else "pca" if self.from_pca else ""
            best = network
            if start == "pca":  # after a checkpoint too: it may turn out to be the best there was
                if is_judged and self.corruption is not None and self.warm_start is None:
                    best, start = copy.deepcopy(network), "data"  # from which a denoiser learns more
                pca_start(best, samples, setup, self.seed)
            if start == "data" and is_new:
                fit_start(network, samples, setup)
        if is_judged and (self.warm_start is not None or self.training.start == "pca"):
            setup = dataclasses.replace(setup, fallback=weights_of(best))
        return setup

    def _threads(self) -> contextlib.AbstractContextManager[None]:
        """Those of the fit; of one in shards NumPy's too, which torchrun sets to 1, and one process alone does not."""
        return using_threads(self.threads) if self.shards == 1 else using_threads_everywhere(self.threads)

    @property
    def drawn(self) -> int | None:
        """The seed by which samples are drawn as 0 or 1 once for all; None if they are not."""
        return self.seed if self.objective.is_fixed else None

    def read(self, X: Any) -> Samples:
        """What is trained on."""
        return samples_on(X, self.device, shuffle=self.training.shuffle, seed=self.stream, drawn=self.drawn)

    @cached_property
    def stream(self) -> int:
        """The seed of order, augmentation and noise."""
        return self.seed if self.warm_start is None else self.warm_start.stream(self.seed)

    def trained(self, moments: Moments | None = None) -> Trained:
        """What there is when the last step is done."""
        self.network.eval()
        known = (self.training, self.history, self.image_shape, self.seed, self.precision)
        if self.warm_start is not None and self.history.kept_start and not self.from_pca:  # the former weights
            former = self.warm_start.fitted
            return Trained(self.network, *known, moments, former.pca_of_all, former.pca_samples)
        pca = (self.pca_samples is not None, self.pca_samples, self.before_refit)
        return Trained(self.network, *known, moments, *pca)

    def _facts(self) -> dict[str, Any]:
        """What must be the same for a training to go on from a checkpoint and end with the same bytes."""
        refit = {"refit": True} if self.is_refitted and self.held_out is not None else {}  # else the fraction says it
        return facts_of_fit(
            {**self.parameters, "image_shape": self.image_shape, **refit},  # the shards too, not who computes them
            seed=self.seed if self.is_seeded else None,
            samples=fingerprint_of(self.X),
            validation=None if self.held_out is None else fingerprint_of(self.held_out),
            device=processor_of(self.device),
            precision=self.precision,
            threads=self.threads,
            warm_start=None if self.warm_start is None else self.warm_start.fingerprint,
        )
