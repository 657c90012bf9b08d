"""A figure of a study: its keys, what they must be, and the arrays that it is plotted from. A kind is a subclass."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from isthmus.errors import one_of, require
from isthmus.studies.spec.levels import at_levels

if TYPE_CHECKING:
    import numpy as np

    from isthmus.data.images import Images

SPLITS = ("train", "validation", "test", "all")
DATA = (
    "digits",
    "fashion-mnist",
    "kmnist",
    "letters",
    "mnist",
)  # what `data.sources` knows, which costs numpy to import
Arrays = dict[str, "np.ndarray"]
ERRORS = ("mse", "psnr", "ssim")
AXES = ("level", "square", "noise")
THEORY = "of a levels figure under Gaussian noise that is not clipped"  # the rule for the key


class Context(Protocol):
    """What a figure is made from: the run's study, the images of each split and of other data sets, and sizes."""

    @property
    def study(self) -> Any: ...
    @property
    def splits(self) -> dict[str, Images]: ...
    @property
    def others(self) -> dict[str, Images]: ...
    def code_width(self, model: Any) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Keys that figures share; a kind that has others adds fields. Which of them matter depends on the kind.

    images: positions in the split, or in the test images of `source`. source: "noise" for images of uniform noise, or
    another data set. n: how many images of the scatter, atoms, steps of the interpolation, pixels to a side of crops.
    first_epoch, per: of the curves, by "epoch", "step" or "time". side, channel, units: which filters. corruption,
    levels: as a measure's; the levels of latent-noise are standard deviations on the code; if `relative`, in units of
    its own spread. metric: of levels. axis: of levels, the "level", its "square", or the "noise" that there really is,
    which is the error of the model identity. theory: of levels, also the line of a search: what is left at level 0, and
    k/n of the noise.

    Class variables of a kind: one_model, whether it shows just one; needs_models, whether any; needs_code, whether
    each must have filters and a code; needs_corruption; shows_images, whether `images` must be there; any_size,
    whether it may be of photographs of any sizes; beside, arrays that are no rows of it.
    """

    kind: ClassVar[str]
    one_model: ClassVar[bool] = False
    needs_models: ClassVar[bool] = True
    needs_code: ClassVar[bool] = False
    needs_corruption: ClassVar[bool] = False
    shows_images: ClassVar[bool] = True
    any_size: ClassVar[bool] = False
    beside: ClassVar[tuple[str, ...]] = ("labels", "positions")
    members: ClassVar[tuple[str, ...]] = ()

    name: str
    models: tuple[str, ...] = ()
    section: str = ""
    split: str = "test"
    images: tuple[int, ...] = tuple(range(10))
    source: str = ""
    n: int | None = None
    first_epoch: int = 1
    per: str = "epoch"
    side: str = "encoder"
    channel: int = 0
    units: tuple[int, ...] = ()
    corruption: dict[str, Any] | list[Any] | None = None
    levels: tuple[float, ...] = ()
    relative: bool = False
    metric: str = "mse"
    axis: str = "level"
    theory: bool = False
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        one_of("split", self.split, SPLITS)
        good = re.fullmatch(r"[a-z0-9][a-z0-9.-]*", self.name)
        require(bool(good), "a figure's name", "small letters, digits, dots and hyphens", self.name)
        require(len(self.images) > 0 and min(self.images) >= 0, "images", "positions of at least 0", self.images)
        require(not self.units or min(self.units) >= 0, "units", "positions of at least 0", self.units)
        require(self.channel >= 0, "channel", "at least 0", self.channel)
        for name, value in (("n", self.n), ("first_epoch", self.first_epoch)):
            require(value is None or value >= 1, name, "at least 1", value)
        one_of('value of "per"', self.per, ("epoch", "step", "time"))
        one_of("side", self.side, ("encoder", "decoder"))
        one_of("metric of a figure", self.metric, ERRORS)
        one_of("axis", self.axis, AXES)
        if self.source:
            one_of("source", self.source, ("noise", *DATA))
        for level in self.levels:
            require(level >= 0, "levels", "numbers of at least 0", self.levels)
        require(not self.needs_models or len(self.models) > 0, "models", "a list of at least one model", self.models)
        if self.one_model:
            require(len(self.models) == 1, f"the models of a {self.kind} figure", "one model", self.models)
        if self.needs_corruption:
            require(self.corruption is not None, f"the corruption of a {self.kind} figure", "a table", None)
        self.check()
        self.corruptions()

    def check(self) -> None:
        """Raise RequestError for keys that this kind cannot have."""
        require(not self.theory, "theory", THEORY, self.corruption)

    def check_models(self, models: list[Any], where: str) -> None:
        """Raise RequestError if there is nothing to show of a study's models that the figure's patterns stand for."""
        names = [model.name for model in models]
        if self.one_model:
            require(len(models) == 1, f"{where}: the models of a {self.kind} figure", "one model", names)
        if self.needs_code:
            without = [model.name for model in models if not model.has_code]
            require(not without, f"{where}: models", "models with filters and codes of their own", without)
        if self.axis == "noise":  # which is measured as the error of doing nothing
            there = any(model.part and not model.part.learns for model in models)
            require(there, f"{where}: models", "with the identity, whose error is the noise", names)

    def check_data(self, context: Context, models: list[Any]) -> None:
        """Raise RequestError for what the images do not allow: positions that there are none of, say."""
        images = context.others.get(self.source) if self.source else context.splits[self.split]
        shape = context.splits["train"].shape
        if self.shows_images and images is not None:
            require(images.shape == shape, "images", f"of {self.source} as large as the study's, {shape}", images.shape)
            rule = f'below {len(images)}, the size of split "{"test" if self.source else self.split}"'
            require(max(self.images) < len(images), "images", rule, max(self.images))

    def corruptions(self) -> list[Any]:
        """The corruption at each of its levels, or as it is; [None] for the images as they are."""
        return at_levels(self.corruption, self.levels)

    def measured(self) -> list[Any]:
        """The corruptions under which the study must measure the models, because the figure shows the results."""
        return []

    def arrays(self, models: dict[str, Any], context: Context, rows: Iterable[Any]) -> Arrays:
        """Named arrays, in the order in which they are plotted; none if the models have nothing to show.

        models: the fitted ones, by name. rows: what the run has measured with the study's own seed.
        """
        raise NotImplementedError

    def images_of(self, context: Context) -> Images:
        """The images that it shows: of its split, of another data set, or uniform noise."""
        import numpy as np

        from isthmus.analysis.probe import uniform_noise

        split = context.splits[self.split]
        if self.source == "noise":
            return uniform_noise(len(self.images), split.shape)
        return context.others.get(self.source, split).take(np.array(self.images))

    def with_labels(self, rows: Mapping[str, np.ndarray], images: Images) -> Arrays:
        """The rows, and which images they show."""
        import numpy as np

        names = np.array(images.label_names) if images.label_names else None
        labels = images.labels if names is None or images.labels is None else names[images.labels]
        known = {} if labels is None else {"labels": labels}
        return {**rows, **known, "positions": np.array(self.images)}
