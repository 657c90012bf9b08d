"""How x becomes x_noisy: which noise, and how much of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.errors import RequestError, require
from isthmus.parts import checks
from isthmus.parts.part import Corruption, ImageShape, Levelled

MEAN = "mean"  # as the value of missing pixels: that of their image


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

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.level_range

    def at(self, sigma: float) -> GaussianNoise:
        return dataclasses.replace(self, sigma=sigma)

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
        return f"gaussian({self._levels}{clip}{',relative=true' if self.relative else ''})"


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

    @property
    def takes_one_region(self) -> bool:
        return True

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

    peak: how many events, photons or electrons, a pixel of 1 counts on average; few make much noise. A `Denoiser` is
        trained on a range of them, (low, high).
    """

    kind: ClassVar[str] = "poisson"
    level: ClassVar[str] = "peak"
    clean_level: ClassVar[float | None] = None
    takes_negative: ClassVar[bool] = False
    peak: float | tuple[float, float]

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.peak, tuple | list):
            checks.level_range(self, "peak")
        for peak in self.level_range:
            checks.positive("peak", peak)

    def for_denoiser(self) -> Poisson:
        return self

    @property
    def sigma_range(self) -> tuple[float, float]:
        low, high = self.level_range
        return high**-0.5, low**-0.5

    @property
    def shot_and_read(self) -> tuple[bool, float]:
        return True, 0.0

    def at(self, sigma: float) -> Poisson:
        return dataclasses.replace(self, peak=sigma**-2)

    def check(self, n_features: int, image_shape: ImageShape | None) -> None:
        super().check(n_features, image_shape)
        _ = self.single_level


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

    def for_denoiser(self) -> Sequence | None:
        """Of shot noise and the noise of reading it, Poisson and then Gaussian of one sigma."""
        parts = tuple(part for part in (part.for_denoiser() for part in self.parts) if part is not None)
        if len(parts) < len(self.parts) or [part.shot_and_read[0] for part in parts] != [True, False]:
            return None
        low, high = parts[1].sigma_range
        return Sequence(parts) if low == high else None

    @property
    def sigma_range(self) -> tuple[float, float]:
        return self.parts[0].sigma_range

    @property
    def shot_and_read(self) -> tuple[bool, float]:
        return True, self.parts[1].sigma_range[0]

    def at(self, sigma: float) -> Sequence:
        return Sequence((self.parts[0].at(sigma), *self.parts[1:]))

    @property
    def label(self) -> str:
        """The labels of its parts: `gaussian(0.3)+masking(0.2)`."""
        return "+".join(part.label for part in self.parts)

    @property
    def changes_nothing(self) -> bool:
        return all(part.changes_nothing for part in self.parts)

    @property
    def takes_one_region(self) -> bool:
        return any(part.takes_one_region for part in self.parts)

    def leaves_negative(self, before: bool) -> bool:
        for part in self.parts:
            before = part.leaves_negative(before)
        return before

    def check(self, n_features: int, image_shape: ImageShape | None) -> None:
        """Raise RequestError unless each of its parts can be applied."""
        for part in self.parts:
            part.check(n_features, image_shape)
