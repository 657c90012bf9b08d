"""What a trained model is worth: what went wrong with it, and what to try instead."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from isthmus.analysis.collapse import diagnose, frozen_pixels
from isthmus.commands.fitting.baselines import MEAN_IMAGE
from isthmus.commands.fitting.continuation import Base
from isthmus.commands.shared.tables import worse_than_nothing
from isthmus.data.images import Images
from isthmus.decimals import error_text
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.metrics import Estimate
from isthmus.studies.results.measure import Measured

Errors = dict[str, Estimate]  # "mse" and "psnr"
_WORTH_CUTTING = 32  # pixels of an image's shorter side from which a denoiser may be better off with pieces of it
_ITS_OWN = 0.8  # of the held-out images' loss: images as many as a network needs differ by a few per cent
_KEPT_START = (
    "this model is PCA: no epoch was better than PCA's solution, where the training began, by more than chance; a "
    "network learns more than PCA"
)


@dataclass(frozen=True)
class Judgement:
    """A model that was fitted to images and lies in a folder, judged by what was measured on others.

    codes: what was measured of its codes. errors: its own first, then, of a denoiser, those of the corrupted images as
    they are, then those of what costs nothing. whole: the images are no patches. base: the fit that it went on from.
    """

    model: Autoencoder
    images: Images
    folder: Path
    codes: Measured
    errors: dict[str, Errors]
    whole: bool
    base: Base | None

    @cached_property
    def collapse(self) -> str:
        """What became of its codes, if that is nothing."""
        dead = self.codes.estimates.get("dead_units")
        n_dead = None if dead is None else int(dead.value or 0)
        seen = (self.codes.variation, self.codes.unexplained, self.codes.frozen)
        return str(diagnose(self.model, n_dead, *seen, clean=self.model.corruption is None) or "")

    @property
    def faults(self) -> list[str]:
        """What makes it useless, to be said again whenever it is used: a collapse, images that it makes worse."""
        if self.collapse or self.model.corruption is None:
            return [self.collapse] if self.collapse else []
        own, as_it_is, *_ = self.errors.values()
        worse = worse_than_nothing(as_it_is["mse"].value, own["mse"].value)
        return [worse] if worse else []

    def warnings(self) -> Iterator[str]:
        """Sentences on what went wrong, each with what to try."""
        model, codes, kept_start = self.model, self.codes, self.model.history_.kept_start
        if self.collapse:
            yield self.collapse
            return
        dead = codes.estimates.get("dead_units")
        if dead is not None and dead.value:
            yield f"{dead.value:,.0f} of {model.network_.code_size:,} units of the code are zero for every image"
        if kept_start and self.base is not None:
            began = f"the weights that it began with, those of {self.base.folder}"
            yield f"no epoch was better by more than chance than {began}, which are kept: {self._way_on(self.base)}"
        elif kept_start:  # the others are then as good, or better by what a rounding makes
            yield f"{_KEPT_START} from {self._more_images()}"
            return
        frozen = frozen_pixels(model, codes.unexplained, codes.frozen)
        if frozen:
            yield frozen
        better = better_than_first({name: one["mse"].value for name, one in self.errors.items()})
        if not better:
            return
        way = self._advice()
        if frozen or kept_start:
            way = ""
        elif self.base is not None and better[0] == before(self.base):
            way = self._way_on(self.base)
        yield f"this model is worse than {' and than '.join(better)}" + (f": {way}" if way else "")

    def _way_on(self, base: Base) -> str:
        """What to try where the weights of before were no worse."""
        rate = f"{self.model.training_.learning_rate / 10:.2g}"
        if base.folder == self.folder:  # more epochs of the same fit, which takes no other rate and no other images
            source = shlex.quote(str(self.folder))
            return f"try a lower learning rate or more images by --from {source} -o NEW --learning-rate {rate}"
        return f"try a lower --learning-rate, as {rate}, or more images"

    def _more_images(self) -> str:
        """What gives the network more to learn from, without what the fit has already."""
        ways = ["more images"]
        if self.model.augmentation is None:
            ways.append("--augmentation affine")
        if self.whole and self.model.corruption is not None and min(self.images.shape[1:]) >= _WORTH_CUTTING:
            ways.append("--patches 16x16")  # noise is local: a piece of a page has what it takes to see it
        return " or ".join(ways)

    def _advice(self) -> str:
        """What to change where a PCA is better: what knows its own images only needs no more epochs."""
        history = self.model.history_
        best = int(np.nanargmin(history.validation_losses))
        seen, held_out = history.losses[best], history.validation_losses[best]
        if seen < _ITS_OWN * held_out:
            return (
                f"it reconstructs its training images far better than others (loss {error_text(seen)} against "
                f"{error_text(held_out)}), so give it {self._more_images()}, or choose a smaller network"
            )
        return "train longer (--epochs), or give it more numbers or more images"


def before(base: Base) -> str:
    """The name of the model that a fit went on from, in a table."""
    return f"{base.folder.name}, before"


def better_than_first(errors: dict[str, float | None]) -> list[str]:
    """What has less error than the first: the best of it, and the mean image, which has learned nothing."""
    own = next(iter(errors.values()))
    if own is None:
        return []
    less = sorted((value, name) for name, value in errors.items() if value is not None and value < own)
    return [name for i, (_, name) in enumerate(less) if i == 0 or name == MEAN_IMAGE]
