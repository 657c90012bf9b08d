"""Judge a trained model: what went wrong, and what to try instead."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from isthmus.analysis.collapse import diagnose, frozen_pixels
from isthmus.commands.fitting.baselines import MEAN_IMAGE, TOLD, better_than_first
from isthmus.commands.fitting.continuation import Base, names
from isthmus.commands.fitting.defaults import LEAST_SIDE, crop_for
from isthmus.commands.fitting.ways import (
    larger_network,
    more_images,
    shorter_side,
    way_of_nats,
    way_to_pca,
    whole_images,
    whole_photographs,
)
from isthmus.commands.shared.tables import worse_than_nothing
from isthmus.data.images import Images
from isthmus.decimals import error_text
from isthmus.errors import counted
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.metrics import Estimate
from isthmus.parts.networks import FEW
from isthmus.studies.results.measure import Measured
from isthmus.training.recipe import highest_rate

Errors = dict[str, Estimate]  # "mse" and "psnr"
_ITS_OWN = 0.8  # of the held-out images' loss: images as many as a network needs differ by a few per cent
_FAR_BETTER = 0.5
_EARLY = 0.5  # of the epochs: where the best came before, no more of them are wanted
_BACK = 1.5  # times the loss of the best epoch, from which on a training has gone back
_WENT_BACK = 0.02  # of what the best epoch had gained on the first: by as much it goes up where little is drawn anew
_ROUNDING = 0.01  # of an error: by less, a PCA with other held-out images is another PCA
_FAR_BEHIND = 0.8  # of the model's error: what leaves less is better whatever images were held out
_KEPT_START = (
    "this model is PCA of the images to train on{}: no epoch was better than PCA's solution, where the training began, "
    "by more than chance. Its code has each component in units of its spread, as of PCA(whiten=True); a network may "
    "learn more than PCA"
)
_AND_CHOSE = " and to choose by"
_FEW = 10  # images that choose: of six none of twenty epochs was better by more than chance, though others showed it
_KEPT_FILTER = (
    "this model is a linear filter, PCA's with less of a component the noisier it is: no epoch was better; a network "
    "may learn more"
)


@dataclass(frozen=True)
class Judgement:
    """A model that was fitted to images and lies in a folder, judged by what was measured on others.

    codes: what was measured of its codes. errors: its own first, then, for a denoiser, those of the corrupted images as
    they are, then those of the baselines. whole: the images are not patches. n_choosing: images that chose the epoch.
    base: the fit that it continued; knows_others: which was trained on images that are not among these. is_refitted: it
    is PCA's solution, fitted to the images that chose too. has_rate: the command said what the learning rate is.
    """

    model: Autoencoder
    images: Images
    folder: Path
    codes: Measured
    errors: dict[str, Errors]
    whole: bool
    n_choosing: int
    base: Base | None
    knows_others: bool = False
    is_refitted: bool = False
    has_rate: bool = False

    @cached_property
    def collapse(self) -> str:
        """The sentence on collapsed codes, or ""."""
        dead = self.codes.estimates.get("dead_units")
        n_dead = None if dead is None else int(dead.value or 0)
        n, unexplained = len(self.codes.errors), self.codes.unexplained
        if unexplained is not None:  # of few images their own mean is nearer than that of others, with which it is held
            unexplained *= 1 - 1 / n
        seen = (self.codes.variation, unexplained, self.codes.frozen)
        return str(diagnose(self.model, n_dead, *seen, clean=self.model.corruption is None) or "")

    @property
    def faults(self) -> list[str]:
        """Faults to repeat whenever the model is used: a collapse, a PCA that is far better, images made worse."""
        if self.collapse:
            return [self.collapse]
        if self.model.corruption is None:
            better = self._better_by(_FAR_BEHIND)
            return [self._worse_words(better)] if better else []
        model_errors, as_it_is, *_ = self.errors.values()
        of = "images like those of its fit"
        mse, after, noise = as_it_is["mse"].value, model_errors["mse"].value, self.model.corruption
        worse = worse_than_nothing(mse, after, noise, of, fitted=noise)
        return [worse] if worse else []

    def warnings(self) -> Iterator[str]:
        """Sentences on what went wrong, each with what to try; what is less sure comes last."""
        yield from self._warnings()
        if self.model.history_.kept_start and self.n_choosing <= _FEW:
            more = "; a larger --validation shows more" if self.whole else ""
            yield f"{counted(self.n_choosing, 'image')} chose the epoch, and so few hardly show a difference{more}"

    def _warnings(self) -> Iterator[str]:
        model, codes, kept_start = self.model, self.codes, self.model.history_.kept_start
        if kept_start and self.base is not None and self._is_pca_of_others(self.base):
            pca = "PCA" if model.corruption is None else "PCA's linear filter"
            yield (
                f"this model is still {pca}, as {self.base.folder} was, now of the images to train on{self._of}: no "
                f"epoch was better by more than chance; {self._way_on(self.base)}"
            )
        elif kept_start and self.base is not None:
            began = f"the weights that it began with, those of {self.base.folder}"
            still = f"this model is still {self.base.pca}: " if self.base.is_pca else ""
            no_better = f"{still}no epoch was better by more than chance than {began}, which are kept"
            yield f"{no_better}: {self._way_on(self.base)}"
        if self.collapse:
            yield self.collapse
            return
        dead = codes.estimates.get("dead_units")
        better = self._better_by(1 - _ROUNDING if kept_start else 1.0)
        if dead is not None and dead.value and MEAN_IMAGE not in better:
            yield self._dead_words(int(dead.value), model.network_.code_size)
        if kept_start and self.base is None:  # the others are then as good, or better by what a rounding makes
            sentence = _KEPT_START if model.corruption is None else _KEPT_FILTER
            yield f"{sentence.format(self._of)} from {self._more()}"
            if model.corruption is None:
                return
        frozen = frozen_pixels(model, codes.unexplained, codes.frozen)
        if frozen:
            yield frozen
        yield from self._psnr_words()
        if not better:
            return
        # of the others the way out has been said
        yield self._worse_words(better, has_way=not (frozen or kept_start))

    def _psnr_words(self) -> Iterator[str]:
        """That a denoiser's mean PSNR is worse than the corrupted images' where its MSE, which is compared, is not."""
        if self.model.corruption is None:
            return
        after, before = list(self.errors.values())[:2]
        (mse, psnr), (mse_before, psnr_before) = ((e["mse"].value or 0.0, e["psnr"].value) for e in (after, before))
        if mse < mse_before and psnr is not None and psnr_before is not None and psnr < psnr_before:
            shown = f"PSNR {psnr_before:.2f} before, {psnr:.2f} after"
            yield f"it makes images that little is wrong with worse ({shown}), though the MSE of all is less"

    def _better_by(self, slack: float) -> list[str]:
        """What has less error than the model, as `better_than_first` has it."""
        return better_than_first({name: errors["mse"].value for name, errors in self.errors.items()}, slack)

    def _worse_words(self, better: list[str], *, has_way: bool = True) -> str:
        """What the model is worse than, and what to do about it."""
        way = self._advice(better) if has_way else ""
        if not self.whole and better[0].endswith(TOLD):
            side = shorter_side(self.images)
            crop = f" with --training-crop {crop_for(side)}" if side < LEAST_SIDE else ""
            way = f"try it without --patches{crop}"
        if has_way and self.base is not None and better[0] == before(self.base):
            way = self._way_on(self.base)
        return f"this model is worse than {' and than '.join(better)}" + (f": {way}" if way else "")

    def _is_pca_of_others(self, base: Base) -> bool:
        """Whether it is PCA's solution, and of other images than the model that it continued is, or changed in another
        way."""
        models = self.model, base.model
        now, former = (set(() if m.fitted_.pca_samples is None else m.fitted_.pca_samples) for m in models)
        changed, changed_before = (repr(m.augmentation) for m in models)
        return self.is_refitted and (now != former or changed != changed_before)

    @property
    def _of(self) -> str:
        """What images PCA's solution is of, beside those to train on, in words."""
        return f"{_AND_CHOSE * self.is_refitted}{', augmented' * (self.model.augmentation is not None)}"

    def _dead_words(self, n_dead: int, n: int) -> str:
        """How many units no image needs, and what to do about them."""
        words = f"{n_dead:,} of {n:,} units of the code are zero for every image"
        if self.model.penalty is not None:
            return f"{words}: a smaller weight than {self._weight} uses more of them"
        network = self.model.network_
        if network.code_part.output(network.part) == "relu":
            return f"{words}, for a rectified unit that is off never learns: try --code-activation linear"
        return words

    @property
    def _weight(self) -> str:
        penalty: Any = self.model.penalty
        return f"--penalty {penalty.kind}:{penalty.weight:g}"

    def _way_on(self, base: Base) -> str:
        """What to try where the former weights were no worse: a fit of the former images too, if any."""
        together, ways = "", [self._more_images(pieces=False)]
        if self.knows_others and base.learned_from:
            sources = list(dict.fromkeys([*base.learned_from, self.images.source]))
            together = f"try one fit of {names(sources)} in one folder, without --from; else "
            ways = [] if self.model.augmentation is not None else ["--augmentation affine"]
        if self.model.corruption is not None and base.model.corruption is None:  # a denoiser's default is a wide code
            ways.insert(0, f"the same without --from, whose code has {self.model.network_.code_size:,} numbers,")
        rate, shape = self.model.training_.learning_rate, (len(self.images), self.images.n_features)
        highest = highest_rate(self.model.network_.part, self.model.penalty, shape, self.model.corruption)
        if self.model.training_.schedule == "one-cycle" and rate > 2 * highest:
            ways.append(f"--learning-rate {highest:.2g}")
        elif not self.has_rate:  # one that was said is lower already, or as good as the one that is chosen
            ways.append(f"--learning-rate {rate / 10:.2g}")
        if not ways:
            return together.removesuffix("; else ")
        if base.folder == self.folder:  # more epochs of the same fit, which takes no other images and no other rate
            ways[0] = f"--from {shlex.quote(str(self.folder))} -o NEW with {ways[0]}"
        return f"{together}try {' or '.join(ways)}"

    def _more_images(self, *, pieces: bool = True) -> str:
        """Ways to more training data that are not used yet. pieces: whether patches may be suggested."""
        return more_images(self.model, self.images, whole=self.whole, pieces=pieces)

    def _more(self) -> str:
        """What lets a network learn more than the linear filter that it is, or PCA."""
        is_limit = self.model.corruption is not None and self._learns_others()
        if not is_limit:
            return self._more_images()
        if not self.whole and (way := whole_photographs(self.model, self.images)):
            return way
        ways = whole_images(self.model, self.images) if self.whole else []
        return " or ".join([*ways, larger_network(self.model, self.images)])

    def _learns_others(self) -> bool:
        """Whether it has as little error on other images as on its own, so that more images would hardly lower it."""
        history = self.model.history_
        best = int(np.nanargmin(history.validation_losses))
        return history.losses[-1] >= _ITS_OWN * history.validation_losses[best]

    def _advice(self, better: list[str]) -> str:
        """What to change where a PCA is better: an overfitted or unstable training needs no more epochs."""
        if self.model.network_.code_part.in_nats:
            error = next(iter(self.errors.values()))["mse"].value or 0.0
            return way_of_nats(self.model, self.images, error, is_early=self._best_came_early() or self._went_back())
        history, is_penalized = self.model.history_, self.model.penalty is not None
        best = int(np.nanargmin(history.validation_losses))
        losses, held_out = history.losses, history.validation_losses[best]
        early = self._best_came_early()
        has_way = MEAN_IMAGE not in better and not is_penalized and self.base is None
        if has_way and (way := way_to_pca(self.model, self.images)):
            return way if early or self.images.n_photographs < FEW else f"train longer (--epochs), or {way}"
        if early and losses[-1] > _BACK * losses[best] and not is_penalized:
            return (
                f"training got worse after epoch {best + 1} (loss {error_text(losses[best])}, in the end "
                f"{error_text(losses[-1])}): try --learning-rate {self.model.training_.learning_rate / 4:.2g}, or give "
                f"it {self._more_images()}"
            )
        seen = losses[-1] if early else losses[best]
        has_learned, loss = MEAN_IMAGE not in better, self.model.part("loss")
        if loss.is_squared:  # what leaves more than the others of its training images too has not learned them by heart
            has_learned = all(seen < loss.weight * (self.errors[name]["mse"].value or 0.0) for name in better)
        if seen < _ITS_OWN * held_out and has_learned:
            far = "far " if seen < _FAR_BETTER * held_out else ""
            smaller = "" if self.model.corruption is not None else ", or choose a smaller network"
            return (
                f"it reconstructs its training images {far}better than others (loss {error_text(seen)} against "
                f"{error_text(held_out)}), so give it {self._more_images()}{smaller}"
            )
        if early:
            rate = self.model.training_.learning_rate / 4
            return f"no epoch after {best + 1} was better: try --learning-rate {rate:.2g}, or {self._more_images()}"
        if is_penalized:
            return f"the penalty takes it, so try a smaller weight than {self._weight}, or more epochs"
        images = "more images" if self.model.corruption is None else self._more_images()
        return f"train longer (--epochs), or give it more numbers or {images}"

    def _best_came_early(self) -> bool:
        """Whether more epochs than there were would only go further away from the best."""
        history = self.model.history_
        return int(np.nanargmin(history.validation_losses)) + 1 < _EARLY * len(history)

    def _went_back(self) -> bool:
        """Whether on other images the end is worse than the best epoch, by more than a little of what was learned."""
        losses = self.model.history_.validation_losses
        return losses[-1] - np.nanmin(losses) > _WENT_BACK * (losses[0] - np.nanmin(losses))


def before(base: Base) -> str:
    """The name, in tables, of the model that a fit continued."""
    return f"{base.folder.name}, before"
