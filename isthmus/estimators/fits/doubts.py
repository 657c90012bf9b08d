"""What is doubtful about a network that was trained: one line each, with both errors, the cause and the way out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from isthmus.data.batches import Samples, Subset, at_a_time, evenly, in_chunks
from isthmus.decimals import error_text
from isthmus.errors import counted
from isthmus.estimators.borrowed import best_pca
from isthmus.estimators.fits.ways_to_pca import start_at_pca, way_to_pca
from isthmus.estimators.samples import clip_doubt
from isthmus.metrics import Estimate, active, mean_of
from isthmus.networks import Network
from isthmus.objective import Objective
from isthmus.parts import Corruption, Dense, Training
from isthmus.parts.networks import FEW
from isthmus.training.history import History
from isthmus.training.setup import Setup
from isthmus.training.validation import sample_losses

_MOST = 2048  # training samples that are judged
_OF_PCA = 4096  # samples that PCA is fitted to: 20,000 took half a second of a small network's two
# Of the mean's error on the training samples: what has learned anything leaves less. A pass' samples may be few.
_NO_BETTER, _NO_BETTER_IN_A_PASS = 0.99, 0.95
# Of PCA's error. On held-out samples more than 1 is beyond a rounding; on its own a network that leaves 2 % more may be
# as good on others (1,400 digits), and one that leaves 6 % more has 1.4 times PCA's error there (160 faces). By half of
# it a network knows them by heart: of faces and digits such had 1.4 to 1.9 times PCA's error on others. Of fewer than
# 1,000 samples what it leaves of its own says nothing: 0.55 to 1.02 times as much as PCA was 1.2 to 1.5 times on others
# (240 drawings, 3 seeds).
_CUT_OFF = 0.5  # of the samples' numbers: of a few beyond black and white the noise is as it should be
_WORSE, _WORSE_ON_ITS_OWN, _BY_HEART, _VERY_FEW = 1.01, 1.05, 0.5, 1000
_MUCH_VARIANCE = 1.5  # of the samples' own, in noise that is assumed: with less the advice has been taken
_LITTLE_NOISE, _MUCH_NOISE = 1e-3, 5  # of what the samples' numbers span
_PHOTOGRAPH, _PIECE = 49, 8  # pixels of a side: a code holds too little of what is larger; of pieces it holds all
_OVERFITTED = 0.8  # times the validation loss: a training loss below shows samples that are too few for the network
_SAME = 0.01  # of what the samples vary: a reconstruction that does less is one for all
_UNCUT = ("clip=False in the corruption", "samples scaled to [0, 1]")


@dataclass(frozen=True, eq=False)
class Judged:
    """A network that was trained, and its samples.

    validation: samples that were not trained on; None where there are none. groups: which of these belong together,
    (n,), for patches. is_pca: its weights are PCA's solution. is_pass: its samples are those of its last pass alone.
    """

    network: Network
    setup: Setup
    history: History
    samples: Samples
    validation: Samples | None
    groups: np.ndarray | None = None
    is_pca: bool = False
    is_pass: bool = False

    def doubts(self) -> Iterator[str]:
        """Sentences; a recipe, which is to choose well, is held against more than a training that was chosen."""
        if self.setup.is_warm and self.history.kept_start:
            outcome = "the model stays at PCA's solution" if self.is_pca else "the weights of the former fit are kept"
            rate = self.setup.training.learning_rate  # one that is low was chosen after this very sentence
            lower = f" or learning_rate={rate / 10:.2g}" if rate >= Training().learning_rate else ""
            why = "no epoch was better on the validation samples by more than chance"
            yield f"{outcome}: {why}; try more samples{lower}"
        judgements = (self.worse_than_mean, self._worse_than_noise, self._worse_than_pca)
        yield from itertools.islice(filter(None, (judge() for judge in judgements)), 1)  # the others are its effects

    @property
    def _recipe(self) -> str | None:
        return self.setup.training.recipe

    @cached_property
    def _training_samples(self) -> Samples:
        n, most = len(self.samples), at_a_time(_MOST, self.samples.n_features, 2**26)
        return self.samples if n <= most else Subset(self.samples, np.arange(most) * n // most)

    @cached_property
    def _objective(self) -> Objective:
        return self.setup.objective.of_loss

    def _losses(self, samples: Samples) -> np.ndarray:
        return sample_losses(self.network, samples, self.setup)

    def _judging(self) -> tuple[Samples, str]:
        """Samples to judge by, and what they are: others than it was trained on, if there are such."""
        if self.validation is None:
            return self._training_samples, "its training samples"
        return self.validation, "the validation samples"

    def _mean(self, values: np.ndarray) -> Estimate:
        return mean_of(values, None if self.validation is None else self.groups)

    def worse_than_mean(self) -> str | None:
        """The sentence for a model that has learned nothing, or None."""
        loss, objective = self.setup.objective.loss, self._objective
        if not (loss.is_squared or loss.bounded):  # of which the mean is the best constant
            return None
        x = self._training_samples.batch(slice(None))
        if bool((x == x[:1]).all()):  # nothing is to be learned, which was said before the training
            return None
        constant = x.mean(dim=0)
        output = constant.clamp(1e-6, 1 - 1e-6).logit() if objective.takes_logits else constant
        of_mean = float(objective.of_samples(output.expand_as(x), x).mean())
        if self.is_pass:
            of_mean *= len(x) / (len(x) - 1)  # of few samples their own mean is nearer to them than to others
        # the last epoch's loss has all penalties in it: where it is less, no pass over the samples is needed
        constant_part = float(objective.normalizer(x))  # which a change of the data's unit changes
        share = _NO_BETTER_IN_A_PASS if self.is_pass else _NO_BETTER
        most = constant_part + share * (of_mean - constant_part)
        if self.history[-1].loss < most or (left := self._losses(self._training_samples).mean()) < most:
            return None
        done, which = counted(len(self.history), "epoch"), "its training samples"
        if self.is_pass:
            done, which = counted(len(self.history), "pass", "passes"), "the samples of its last pass"
        variance = float(x.var(dim=0, correction=0).mean())
        is_assumed = objective.in_nats and loss.is_squared and objective.noise is None
        if self._is_cut_off:
            ways = " or ".join(_UNCUT)
        elif is_assumed and (noise := 0.5 / loss.weight) > _MUCH_VARIANCE * variance:
            # what a code says of such samples costs more than it gains (Lucas, Tucker, Grosse, Norouzi 2019)
            learned = 'recipe="fast" and code=Gaussian(noise="learned")'
            ways = f"loss=MSE({0.5 / variance:.3g})" if self._recipe else learned
            ways += f", for now noise of variance {noise:.2g} is assumed, and the samples have {variance:.2g} in all"
        else:
            ways = self._ways_past_the_mean()
        unit, text = ("", error_text) if not objective.in_nats else (" nats", "{:.5g}".format)
        leaves = f"{'' if unit else 'an error of '}{text(of_mean)}{unit}: after {done} it leaves {text(left)}{unit}"
        return (
            f"the model is no better than the mean of {which}, which leaves {leaves}; try {ways}; "
            "isthmus.collapse.collapse(model, X) looks for a cause"
        )

    def _ways_past_the_mean(self) -> str:
        """What may bring it past the mean; where units are dead that is no more epochs."""
        dead, is_penalized = "" if self.is_pass else self._dead_words(), self.setup.objective.penalty is not None
        if not self.is_pass and self._has_dead_output:
            return (
                'output="linear", for the ReLU output is the same for every sample, and what is zero never comes back'
            )
        if self.is_pass:
            ways = "another learning rate, or a new start" + ("" if self._recipe else ' with recipe="fast"')
        elif not dead:
            ways = "more epochs or another learning rate" if self._recipe else 'recipe="fast", or more epochs'
        elif self._recipe:
            ways = "another learning rate" if is_penalized else 'code_activation="linear", or another learning rate'
        else:  # it begins with units that live, unless steps are so large that they die of them
            rate = self.setup.training.learning_rate
            ways = 'recipe="fast"' + (", learning_rate=None" if rate > Training().learning_rate else "")
        return ("a smaller weight of the penalty, or " if is_penalized else "") + ways + dead

    def _dead_words(self) -> str:
        """Why more epochs change nothing: half of the units of a ReLU code are zero for all samples; "" for others."""
        part, network = self.network.part, self.network
        if network.code_part.output(part) != "relu" or not network.code_part.is_plain:
            return ""
        with torch.no_grad():
            codes = (network.code_of(x).flatten(1) for x in in_chunks(self._training_samples))
            n_dead = int((~np.any([active(code.cpu().numpy()).any(axis=0) for code in codes], axis=0)).sum())
        if 2 * n_dead < (n := network.code_size):
            return ""
        units = f"all {n:,} units" if n_dead == n else f"{n_dead:,} of {n:,} units"
        return f", for {units} of its code are zero for every sample, and a ReLU unit that is so never comes back"

    @property
    def _has_dead_output(self) -> bool:
        if getattr(self.network.part, "output", None) != "relu":
            return False
        x = next(in_chunks(self._training_samples))
        with torch.no_grad():
            varied = self.network(x).x_hat.var(dim=0).mean()
        return bool(varied < _SAME * x.var(dim=0).mean())

    @cached_property
    def _is_cut_off(self) -> bool:
        """Whether most of each noisy sample is cut off, which was said before the training."""
        if clip_doubt(self.setup.corruption, self.samples) is None:
            return False
        x = next(in_chunks(self.samples))
        return float(((x < 0) | (x > 1)).float().mean()) > _CUT_OFF

    def _worse_than_noise(self) -> str | None:
        corruption, loss = self.setup.corruption, self.setup.objective.loss
        if self._recipe is None or corruption is None or corruption.changes_nothing or not loss.is_squared:
            return None
        samples, which = self._judging()
        noise = self.setup.still_noise(samples.device)
        pairs = (self.setup.pair(x, noise) for x in in_chunks(samples))
        of_noise = torch.cat([self._objective.of_samples(x_in, x) for x_in, x in pairs]).double().cpu().numpy()
        x = next(in_chunks(samples))
        deviation, span = math.sqrt(of_noise.mean()), float(x.max() - x.min())
        if span and not _LITTLE_NOISE * span <= deviation <= _MUCH_NOISE * span:
            return (
                f"the noise has a standard deviation of {deviation:.2g}, and the samples' numbers span {span:.4g}: it "
                f"is in their unit, so that 0.1 of black to white is {span / 10:.3g}"
            )
        excess = self._mean((left := self._losses(samples)) - of_noise)
        if excess.ci95 is None or excess.ci95[0] <= 0:
            return None
        errors = f"an error of {error_text(left.mean())} on {which}, and the noise itself is"
        way_out = " or ".join(_UNCUT if self._is_cut_off else self._ways_past_the_noise(corruption))
        return f"the denoiser leaves {errors} {error_text(of_noise.mean())}; the way out is {way_out}"

    def _ways_past_the_noise(self, corruption: Corruption) -> Iterator[str]:
        """What a code that loses more than there is noise can be replaced by.

        Training alone is no way: of 5,760 pieces of faces it left 17 times a noise of 0.5 %, and PCA's filter 0.99. Of
        160 whole faces nothing does: a code of as many numbers as pixels has components only of what it has seen.
        """
        network, shape, n = self.network, self.setup.image_shape, len(self.samples)
        side = 0 if shape is None else min(shape[1:])
        if side >= _PHOTOGRAPH and (noise_part := corruption.for_denoiser()):
            yield f"Denoiser(noise={noise_part!r}), which is for images of any size"
        wide = min(network.n_features, 8 * network.code_size)
        if wide > n:  # and so many components there are not
            is_whole = side < 2 * _PIECE or corruption.takes_one_region
            yield "more samples" if is_whole else f"pieces, by open_images(X, patches=({_PIECE}, {_PIECE}))"
            return
        is_wide, is_filter = wide == network.code_size, self.setup.training.start == "pca"
        linear = (
            ""
            if is_wide and network.part.n_components(corrupted=True)
            else repr(Dense(bottleneck=wide, code_activation="linear"))
        )
        filtered = "" if is_filter else 'start="pca", which is the best linear filter where no epoch is better'
        yield " with ".join(filter(None, (linear, filtered))) or "more epochs or another learning rate"

    def _worse_than_pca(self) -> str | None:
        network, objective, setup = self.network, self.setup.objective, self.setup
        k, n, denoises = network.code_size, len(self.samples), setup.corruption is not None
        is_meant = self._recipe is not None and objective.loss.is_squared and network.code_part.is_plain
        if not is_meant or objective.penalty is not None or self.is_pca or (k >= network.n_features and not denoises):
            return None
        ways = "hold some out, by validation_fraction=0.2 or fit(X, validation=...)"
        if self.validation is None and denoises:
            return None
        if self.validation is None and n < 2 * k:  # PCA would know them by heart too
            return (
                f"the code has {k:,} numbers and there are {n:,} samples, none of which is held out: nothing says what "
                f"it leaves of others; {ways}"
            )
        samples, which = self._judging()

        def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
            noise = setup.still_noise(samples.device)
            for x in in_chunks(samples):
                x_in, target = setup.pair(x, noise)
                yield target.cpu().numpy(), x_in.cpu().numpy()

        few = evenly(self.samples, at_a_time(_OF_PCA, network.n_features, 2**28))
        pca = best_pca(few.cpu().numpy(), k, pairs() if denoises else None)
        projected = ((x, pca.inverse_transform(pca.transform(x_in))) for x, x_in in pairs())
        of_pca = objective.loss.weight * np.concatenate([np.square(x_hat - x).mean(axis=1) for x, x_hat in projected])
        left = self._losses(samples)
        excess, ratio = self._mean(left - of_pca), left.mean() / of_pca.mean()
        errors = f"{error_text(of_pca.mean())} on {which}, this network {error_text(left.mean())}"
        numbers = f"PCA of {pca.n_components_:,} numbers leaves an error of {errors}"
        if self.validation is None and ratio < (1.0 if n < _VERY_FEW else _BY_HEART if n < FEW else 0.0):
            cure = "" if (way := self._way_to_pca) is None else f"{way[1]}, or "
            return f"{numbers}: it may know them by heart, and PCA be better on others; {cure}{ways}"
        least = _WORSE_ON_ITS_OWN if self.validation is None and n >= _VERY_FEW else _WORSE
        if excess.ci95 is None or excess.ci95[0] <= 0 or ratio < least:
            return None
        cause, way_out = self._cause(left.mean())
        return f"{numbers}: {cause}; {way_out}"

    @property
    def _starts_at_pca(self) -> list[str]:
        return [] if self.setup.is_warm else start_at_pca(self.network.part, self.setup.training.start)

    @property
    def _way_to_pca(self) -> tuple[str, str] | None:
        return way_to_pca(self.network.part, few=len(self.samples) < FEW)

    def _cause(self, left: float) -> tuple[str, str]:
        """Why a network is likely behind PCA, and what to do about it."""
        if self._is_cut_off:
            return "of most noisy samples nearly all is cut off", f"try {' or '.join(_UNCUT)}"
        if way := self._way_to_pca:
            return way
        if self.history[-1].loss >= _OVERFITTED * left:
            ways = ["more epochs", "another learning rate", *self._starts_at_pca]
            return "it has not learned enough", f"give it {', '.join(ways[:-1])} or {ways[-1]}"
        if len(self.samples) < FEW and self.setup.corruption is None:
            cause = "so few samples teach a network little that is true of others"
            return cause, "leave the network out, which begins at PCA's solution, or give it more samples"
        return "it reconstructs its training samples better than others", "give it more samples or a smaller network"
