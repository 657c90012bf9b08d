"""How x becomes x_noisy: which noise, and how much of it."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.errors import RequestError, require
from isthmus.parts import checks
from isthmus.parts.part import Part

ImageShape = tuple[int, int, int]  # (channels, height, width)
MEAN = "mean"  # as the value of missing pixels: that of their image


class Corruption(Part, abc.ABC):
    """A part that says how x becomes x_noisy.

    takes_negative: whether it can be had of numbers below zero. fills: whether pixels go missing, of which its field
    `value` says what they become.
    """

    takes_negative: ClassVar[bool] = True
    fills: ClassVar[bool] = False

    @property
    @abc.abstractmethod
    def label(self) -> str:
        """The name in results: two corruptions that differ have two labels."""

    @property
    def steps(self) -> tuple[Corruption, ...]:
        """The single corruptions that it is made of, one after the other."""
        return (self,)

    @property
    def clips(self) -> bool:
        """Whether what comes out of it is cut to [0, 1]."""
        return False

    @property
    def share(self) -> float | None:
        """Its level, where that is a share of the way from black to white."""
        return None

    def leaves_negative(self, before: bool) -> bool:
        """Whether numbers below zero may come out of it. before: whether they may go in."""
        return before

    def for_denoiser(self) -> Levelled | None:
        """The same as the noise of a `Denoiser`, not clipped; None if none can be trained on it."""
        return None

    def check(self, n_features: int, image_shape: ImageShape | None) -> None:
        """Raise RequestError unless it can be applied to samples of this shape: before a training, say."""
        checks.images(image_shape, n_features)


class Levelled(Corruption):
    """A corruption of which there is more or less, as one number says.

    level: the name of its one field that a study varies. clean_level: where it changes nothing; None if nowhere.
    """

    level: ClassVar[str]
    clean_level: ClassVar[float | None] = 0.0

    @property
    def single_level(self) -> float:
        """Its level. Raises RequestError for a range of them, which a `Denoiser` alone is trained on."""
        value = getattr(self, self.level)
        require(checks.is_number(value), self.level, "one number here; a range is for the noise of a Denoiser", value)
        return float(value)

    @property
    def level_range(self) -> tuple[float, float]:
        """The least and the greatest level: the same, unless it is a range of them."""
        value = getattr(self, self.level)
        return value if isinstance(value, tuple) else (value, value)

    @property
    def label(self) -> str:
        """The name in results: kind, level as %g prints it, then what differs from its default: `masking(0.2)`."""
        others = [f for f in dataclasses.fields(self) if f.name != self.level]
        changed = [f",{f.name}={_word(getattr(self, f.name))}" for f in others if getattr(self, f.name) != f.default]
        return f"{self.kind}({getattr(self, self.level):g}{''.join(changed)})"


def _word(value: Any) -> str:
    """A parameter as a label says it: a number as %g prints it, a shape as 3x32x32."""
    if isinstance(value, str):
        return value
    return "x".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"


def _check_value(value: Any) -> None:
    """What a missing pixel becomes."""
    require(value == MEAN or checks.is_finite(value), "value", f'a number, or "{MEAN}"', value)


def _is_negative(value: Any) -> bool:
    return value != MEAN and float(value) < 0


@dataclass(frozen=True, repr=False)
class GaussianNoise(Levelled):
    """x + sigma * e, e ~ N(0, I); clipped to [0, 1] if `clip`.

    sigma: standard deviation, in the units of x; if `relative`, in units of ‖x‖/√features, image by image. A `Denoiser`
        is trained on a range of them, (low, high).
    """

    kind: ClassVar[str] = "gaussian"
    level: ClassVar[str] = "sigma"
    sigma: float | tuple[float, float]
    clip: bool = False
    relative: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.sigma, tuple | list):
            checks.level_range(self, "sigma")
        else:
            checks.not_negative("sigma", self.sigma)
        checks.flag("clip", self.clip)
        checks.flag("relative", self.relative)

    @property
    def clips(self) -> bool:
        return self.clip

    @property
    def share(self) -> float | None:
        return None if self.relative else self.level_range[1]

    def leaves_negative(self, before: bool) -> bool:
        return not self.clip

    def for_denoiser(self) -> GaussianNoise | None:
        return None if self.relative else dataclasses.replace(self, clip=False)

    def check(self, n_features: int, image_shape: ImageShape | None) -> None:
        super().check(n_features, image_shape)
        _ = self.single_level

    def as_option(self, given: Collection[str]) -> GaussianNoise:
        """Clipped unless `clip` is given: images lie in [0, 1], also noisy ones in a file."""
        if "clip" in given or self.relative or isinstance(self.sigma, tuple):
            return self
        return dataclasses.replace(self, clip=True)

    @property
    def label(self) -> str:
        """The name in results: `gaussian(0.3)` is clipped, `gaussian(0.5,relative=true)` not; what differs is said."""
        clip = "" if self.clip is not self.relative else f",clip={str(self.clip).lower()}"
        level = "..".join(f"{sigma:g}" for sigma in dict.fromkeys(self.level_range))
        return f"gaussian({level}{clip}{',relative=true' if self.relative else ''})"


@dataclass(frozen=True, repr=False)
class SaltAndPepper(Levelled):
    """Each number becomes 0 or 1, equally often, with probability `fraction`."""

    kind: ClassVar[str] = "salt-and-pepper"
    level: ClassVar[str] = "fraction"
    fraction: float

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.share("fraction", self.fraction)


@dataclass(frozen=True, repr=False)
class Masking(Levelled):
    """Each pixel, in all its channels, becomes `value` with probability `fraction` (Vincent et al. 2008).

    value: what is missing looks like: a number, or "mean", the mean of each channel of the image that it is missing in.
    Of samples that are no images, each number is a pixel.
    """

    kind: ClassVar[str] = "masking"
    fills: ClassVar[bool] = True
    level: ClassVar[str] = "fraction"
    fraction: float
    value: float | str = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.share("fraction", self.fraction)
        _check_value(self.value)

    def leaves_negative(self, before: bool) -> bool:
        return before or _is_negative(self.value)


@dataclass(frozen=True, repr=False)
class Occlusion(Levelled):
    """A square of size × size pixels becomes `value` in all channels: anywhere within the image, for each sample anew.

    value: a number, or "mean", as of `Masking`. size: a whole number of pixels, kept as an int. image_shape: (channels,
    height, width), for samples that come as (n, n_features); else the samples have it.
    """

    kind: ClassVar[str] = "occlusion"
    fills: ClassVar[bool] = True
    level: ClassVar[str] = "size"
    size: float
    value: float | str = 0.0
    image_shape: tuple[int, int, int] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.size, float) and self.size.is_integer():  # a study's levels are floats
            object.__setattr__(self, "size", int(self.size))
        checks.count("size", self.size)
        _check_value(self.value)
        if self.image_shape is not None:
            checks.image_shape(self)

    def leaves_negative(self, before: bool) -> bool:
        return before or _is_negative(self.value)

    def check(self, n_features: int, image_shape: ImageShape | None) -> None:
        """Raise RequestError for samples that are no images, and for images that are smaller than the square."""
        shape = image_shape or self.image_shape
        if shape is None:
            raise RequestError("occlusion needs images: give (n, channels, height, width), or image_shape")
        side = min(shape[1:])
        require(self.size <= side, "size", f"at most {side}, the shorter side of the images", self.size)
        checks.images(shape, n_features)


@dataclass(frozen=True, repr=False)
class Poisson(Levelled):
    """Shot noise, x_noisy ~ Poisson(x · peak) / peak: its mean is x, its variance x / peak. Needs x of at least 0.

    peak: how many events, photons or electrons, a pixel of 1 counts on average; few make much noise.
    """

    kind: ClassVar[str] = "poisson"
    level: ClassVar[str] = "peak"
    clean_level: ClassVar[float | None] = None
    takes_negative: ClassVar[bool] = False
    peak: float

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("peak", self.peak)


@dataclass(frozen=True, repr=False)
class Sequence(Corruption):
    """One corruption after the other.

    It has no level of its own: a study's levels go into the one part that leaves its own level out.
    """

    kind: ClassVar[str] = "sequence"
    members: ClassVar[tuple[str, ...]] = ("parts",)
    parts: tuple[Corruption, ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        several = isinstance(self.parts, list | tuple) and len(self.parts) > 0
        require(several, "parts", "a list of at least one corruption", self.parts)
        for part in self.parts:
            single = isinstance(part, Corruption) and part.steps == (part,)
            require(single, "each of parts", "a corruption other than a sequence", part)
        object.__setattr__(self, "parts", tuple(self.parts))
        below_zero = False
        for part in self.parts:
            if below_zero and not part.takes_negative:
                raise RequestError(
                    f"{part.kind.capitalize()} noise needs numbers of at least 0: put it first, or clip, in {self!r}"
                )
            below_zero = part.leaves_negative(below_zero)

    @property
    def steps(self) -> tuple[Corruption, ...]:
        return self.parts

    @property
    def label(self) -> str:
        """The labels of its parts: `gaussian(0.3)+masking(0.2)`."""
        return "+".join(part.label for part in self.parts)

    def leaves_negative(self, before: bool) -> bool:
        for part in self.parts:
            before = part.leaves_negative(before)
        return before

    def check(self, n_features: int, image_shape: ImageShape | None) -> None:
        """Raise RequestError unless each of its parts can be applied."""
        for part in self.parts:
            part.check(n_features, image_shape)
