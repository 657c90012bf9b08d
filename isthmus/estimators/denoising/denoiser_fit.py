"""One fit of a denoiser: what it was asked is checked first, then it trains, and in the end there is a network."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Generator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from isthmus.data.photographs.crops import Crops
from isthmus.data.photographs.image_list import ImageList
from isthmus.errors import DoubtWarning, RequestError, one_of, require
from isthmus.estimators.denoising.setups import DenoiserSetup, NeighborSetup, PairSetup
from isthmus.estimators.denoising.unit_doubts import are_others
from isthmus.estimators.fits.epoch_display import EpochDisplay
from isthmus.estimators.fits.warm_start import TOO_GOOD, WarmStart
from isthmus.estimators.parameters import table_of
from isthmus.fingerprints import facts_of_fit
from isthmus.machine import check_shards
from isthmus.networks.denoisers import build
from isthmus.objective import Objective
from isthmus.parts import IMAGE_NETWORKS, MSE, Corruption, Training, checks
from isthmus.rng import generator, numpy_generator, seed_from
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.hardware import memory_told, processor_of, resolve_device, resolve_precision
from isthmus.training.history import Epoch, History, Trained
from isthmus.training.session import session
from isthmus.training.sharding.divisibility import check_divisible
from isthmus.training.sharding.processes import check_device, processes_for
from isthmus.training.validation import weights_of

_BATCH = 16
# Of clean images a rate of 1.6e-3 was better than 1e-3 by 0.11 to 0.16 dB on 40 photographs, after four epochs of 360
# others; of noisy ones alone no other was tried. Steps are what counts: 26 epochs of 48 channels were better than 15 of
# 64, which take as long, by 0.05 to 0.07 dB on the same 40. A step of 16 crops of 64×64 takes 29 to 60 ms on two cores
# with bfloat16, and some three times as long without, so 26 epochs are seven to thirteen minutes. Of noisy ones alone a
# step costs more.
_RATE = {"clean": 1.6e-3, "noisy": 1e-3}
_EPOCHS = {"clean": {"bfloat16": 26, "float32": 12}, "noisy": {"bfloat16": 17, "float32": 7}}
# Photographs whose colours are learned by heart. Of four, with the channels of crops in any order, two others were
# denoised better by 0.10 and 0.23 dB at a noise of 0.05, and by -0.19 to 0.09 dB at more; of many nothing was measured.
_FEW = 100
_LEAST_NOISE, _MOST_NOISE = 1e-3, 5.0  # of what the images' numbers span: what is less or more is in another unit
_CHECKED_CROPS = 64  # of the validation photographs
# Pixels of a crop of noisy images alone, of which the network sees every second: what it makes of the whole crop
# corrects what it is held against. Of 200 faces with noise of 0.1 crops of 8 gave 16 dB, or diverged, of 12 22.5, of 16
# 24.0.
LEAST_NOISY_CROP = 16
_BELONGS = ("optimizer", "learning_rate", "schedule", "epochs", "batch_size", "validation_fraction", "patience")


TARGETS = ("clean", "noisy")


def training_of(model: Any) -> Training:
    """How a `Denoiser` is trained: as it was told, else as its recipe chooses."""
    one_of("target", model.target, TARGETS)
    given = {name: getattr(model, name) for name in _BELONGS if getattr(model, name) is not None}
    chosen: dict[str, Any] = {"batch_size": _BATCH}
    if model.recipe is not None:
        precision = resolve_precision(model.precision, resolve_device(model.device))
        chosen |= {
            "schedule": "one-cycle",
            "learning_rate": _RATE[model.target],
            "epochs": _EPOCHS[model.target][precision],
        }
    return Training(**{**chosen, **given}, precision=model.precision, device=model.device, recipe=model.recipe)


class DenoiserFit:
    """What one call of `fit` is to do; what comes of it is a `Trained`. held_out: clean images, for the validation.

    warm_start: the fitted network to go on from; None for a new start.
    """

    def __init__(
        self,
        model: Any,
        images: ImageList,
        others: ImageList | None,
        held_out: ImageList | None = None,
        warm_start: WarmStart | None = None,
    ) -> None:
        self.training = training_of(model)
        self.shards, self.world = model.shards, processes_for(model.shards)
        if held_out is not None:
            require(others is None, "validation", "left out for pairs; set validation_fraction", "images")
            require(
                held_out.channels == images.channels, "validation's channels", f"{images.channels}", held_out.channels
            )
        self.held_out = held_out
        self.channels, self.is_paired, self.target = images.channels, others is not None, model.target
        self.images = images if others is None else images.beside(others)
        self.display = EpochDisplay(type(model).__name__, is_shown=bool(model.verbose) and self.world.is_first)
        self.part: Any = model.part("network")
        self.crop, self.warm_start = model.crop, warm_start
        if warm_start is not None and model.network is None:
            self.part = warm_start.network.part
        self.noise: Any = model.noise
        if not any(isinstance(self.part, kind) for kind in IMAGE_NETWORKS.values()):
            known = ", ".join(kind.__name__ for kind in IMAGE_NETWORKS.values())
            raise RequestError(f"network must be one of isthmus' parts {known}, got {self.part!r}")
        wanted = self.noise.for_denoiser() if isinstance(self.noise, Corruption) else None
        if wanted is None or wanted != self.noise:
            raise RequestError(
                "noise must be a GaussianNoise that is neither clipped nor relative, a Poisson, or a Sequence of "
                f"Poisson and then such Gaussian noise of one sigma, got {self.noise!r}"
            )
        # score and the validation would tell a level for each pixel, which no step did
        if (self.is_paired or model.target == "noisy") and wanted.shot_and_read[0]:
            given = "pairs" if self.is_paired else 'images of target="noisy"'
            raise RequestError(f"{given} have noise of their own, and one level is estimated; leave out {self.noise!r}")
        checks.count("crop", model.crop, 8)
        checks.count("crops_per_epoch", model.crops_per_epoch)
        if model.target == "noisy" and not self.is_paired:  # of which every second row and column is taken
            is_fit = model.crop % 2 == 0 and model.crop >= LEAST_NOISY_CROP
            rule = f"even and at least {LEAST_NOISY_CROP}, to learn from noisy images alone"
            require(is_fit, "crop", rule, model.crop)
        if model.patience is not None and model.validation_fraction is None and held_out is None:
            raise RequestError("patience needs validation images: set validation_fraction")
        self.n_crops = model.crops_per_epoch
        if self.shards > 1:
            check_shards(self.shards, self.world.size, most=min(self.training.batch_size, self.n_crops))
        self.device = resolve_device(model.device)
        check_device(self.device, self.world)
        self.precision = resolve_precision(model.precision, self.device)
        seed, self.is_seeded = seed_from(model.random_state), model.random_state is not None
        if warm_start is not None:
            check_goes_on(warm_start, self.channels, wanted)
            seed, self.is_seeded = warm_start.seed(model.random_state, seed)
        self.seed = self.world.decided(lambda: seed)
        self.threads = torch.get_num_threads() if self.shards == 1 else 1  # shards take the place of threads
        self.span, self.is_shot = images.span(), wanted.shot_and_read[0]
        self.scale = self.span if warm_start is None else warm_start.fitted.scale
        self.history = History()
        adds_noise = model.target == "clean" and not self.is_paired
        if adds_noise and self.is_shot and self.images.n_bytes:  # pixels of files are at least 0
            low = min((float(x.min()) for x in self.images.arrays if isinstance(x, np.ndarray)), default=0.0)
            require(low >= 0, "images for Poisson noise", "numbers of at least 0", low)
        if adds_noise and (doubt := self._unit_doubt(wanted)) and self.world.is_first:
            warnings.warn(doubt, DoubtWarning, stacklevel=5)
        if warm_start is not None and self._forgets(warm_start.fitted) and self.world.is_first:
            doubt = f"the images that validation_fraction holds out now were trained on by the former fit, {TOO_GOOD}"
            warnings.warn(doubt, DoubtWarning, stacklevel=5)
        if are_others(self.span, self.scale) and self.world.is_first:
            doubt = (
                f"the images' numbers span {self.span:g}, and those of the former fit {self.scale:g}, a unit that the "
                f"network keeps: multiply them by {self.scale / self.span:.3g} or so, or fit anew"
            )
            warnings.warn(doubt, DoubtWarning, stacklevel=5)
        network = build(self.part, self.channels, generator(self.seed, "init"))
        if warm_start is not None:
            warm_start.give_weights(network)
        self.network = network.to(self.device)
        self.n_bytes = 4 * sum(p.numel() for p in network.parameters())
        self.world.agree(self._facts)

    def _forgets(self, former: Trained) -> bool:
        """Whether other ones of the very images of the former fit are held out now."""
        fraction = None if self.held_out is not None else self.training.validation_fraction
        before = former.training.validation_fraction
        return fraction is not None and fraction != before and former.images == self.images.fingerprint

    def _unit_doubt(self, noise: Any) -> str:
        """The sentence for noise that seems to be meant in other numbers than the images have; "" for none."""
        high, numbers = noise.sigma_range[1], f"the images' numbers span {self.span:g}"
        if noise.changes_nothing or _LEAST_NOISE * self.span <= high <= _MOST_NOISE * self.span:
            return ""
        if not noise.shot_and_read[0]:
            return f"the noise is at most {high:g}, and {numbers}: sigma is in their unit"
        photons = f"{high**-2:.3g} photons of a pixel of 1, so {self.span / high**2:.3g} of one at that"
        return f"{noise!r} is noise of {photons}, and {numbers}: divide them, so that white is 1"

    def epochs(self, checkpoints: Checkpoints) -> Generator[Epoch, None, Trained]:
        """Train, from a new start or from the last checkpoint; yield each epoch's row, and return what was trained."""
        former = self.world.decided(lambda: checkpoints.begin(self._facts))
        if former is not None:
            if self.warm_start is None:
                self.seed = former.seed
            self.display.say(f"continues after epoch {len(former.history)}/{self.training.epochs}")
        train, held_out = self._split()
        setup = self._setup()
        if self.warm_start is not None and held_out is not None and self.training.patience is not None:
            setup = dataclasses.replace(setup, fallback=weights_of(self.network))
        if self.shards > 1:
            check_divisible(self.network, train, setup)
        rows = session(self.network, train, held_out, setup, checkpoints, former, self.history)
        with contextlib.closing(rows), memory_told(self.training.batch_size):
            yield from self.display.shown(rows, self.training.epochs)
        return self.trained()

    def trained(self) -> Trained:
        """What there is after the last step that was taken."""
        self.network.eval()
        shape = (self.channels, self.crop, self.crop)
        known = (self.training, self.history, shape, self.seed, self.precision)
        return Trained(*(self.network, *known), scale=self.scale, is_shot=self.is_shot, images=self.images.fingerprint)

    @cached_property
    def stream(self) -> int:
        """The seed of crops and noise."""
        return self.seed if self.warm_start is None else self.warm_start.stream(self.seed)

    def _setup(self) -> DenoiserSetup:
        unit = self.scale**2
        arguments: dict[str, Any] = {
            "training": self.training,
            "objective": Objective(MSE(unit), None, unit),  # crops are in the network's unit, losses in the data's
            "seed": self.stream,
            "is_warm": self.warm_start is not None,
            "image_shape": (self.images.channels, self.crop, self.crop),
            "precision": self.precision,
            "threads": self.threads,
            "scale": self.scale,
            "shards": self.shards,
            "world": self.world,
        }
        if self.is_paired:
            return PairSetup(**arguments)
        if self.target == "noisy":
            noise = None if self.held_out is None else self.noise
            return NeighborSetup(**arguments, network=self.network, corruption=noise)
        return DenoiserSetup(**arguments, corruption=self.noise)

    def _split(self) -> tuple[Crops, Crops | None]:
        images, held_out, fraction = self.images, None, self.training.validation_fraction
        if self.held_out is not None:
            held_out = self._checked(self.held_out)
        elif fraction is not None:
            n_held = max(1, round(len(images) * fraction))
            require(
                n_held < len(images),
                "validation_fraction",
                f"small enough to leave one of {len(images)} images to train on",
                fraction,
            )
            order = numpy_generator(self.seed, "split").permutation(len(images))
            held = images.take(np.sort(order[:n_held]))
            held_out = self._checked(held)
            images = images.take(np.sort(order[n_held:]))
        # noise that is added is the same in each channel; that of noisy images may not be
        any_colour = self.training.recipe is not None and self.target == "clean" and not self.is_paired
        any_colour = any_colour and len(images) < _FEW
        how: dict[str, Any] = {"scale": self.scale, "seed": self.stream, "any_colour": any_colour}
        return Crops(images, self.crop, self.n_crops, self.device, **how), held_out

    def _checked(self, held: ImageList) -> Crops:
        n = max(len(held), _CHECKED_CROPS)
        return Crops(held, self.crop, n, self.device, scale=self.scale, seed=self.seed)

    def _facts(self) -> dict[str, Any]:
        named = {f.name: getattr(self.training, f.name) for f in dataclasses.fields(self.training)}
        named = {name: value for name, value in named.items() if name not in ("device", "precision")}
        parts = {
            "network": table_of(self.part),
            "target": "pairs" if self.is_paired else self.target,
            "noise": table_of(self.noise),
            "crop": self.crop,
            "crops_per_epoch": self.n_crops,
            **({} if self.shards == 1 else {"shards": self.shards}),
        }
        return facts_of_fit(
            {"estimator": "Denoiser", **parts, **named},
            seed=self.seed if self.is_seeded else None,
            samples=self.images.fingerprint,
            validation=None if self.held_out is None else self.held_out.fingerprint,
            device=processor_of(self.device),
            precision=self.precision,
            threads=self.threads,
            warm_start=None if self.warm_start is None else self.warm_start.fingerprint,
        )


def check_goes_on(warm_start: WarmStart, channels: int, noise: Any) -> None:
    """Raise RequestError for images, or noise, that the fitted network of a denoiser cannot be trained on."""
    ways = "go on with such {}, or fit anew with warm_start=False"
    if (fitted := warm_start.network.channels) != channels:
        raise RequestError(
            f"the images have {channels} channels, and the network was fitted on {fitted}; {ways.format('images')}"
        )
    is_shot = noise.shot_and_read[0]
    if warm_start.fitted.is_shot != is_shot:
        levels = {True: "a level for each pixel, as of shot noise", False: "one level for each image"}
        raise RequestError(
            f"the network was fitted to be told {levels[not is_shot]}, and noise={noise!r} has {levels[is_shot]}; "
            f"{ways.format('noise')}"
        )
