"""What every part is, a frozen value, and what every corruption is."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.errors import require
from isthmus.parts import checks

ImageShape = tuple[int, int, int]  # (channels, height, width)


@dataclass(frozen=True, repr=False)
class Part:
    """A frozen value: equal by its fields, shown as the code that builds it, shared instead of copied."""

    kind: ClassVar[str]
    members: ClassVar[tuple[str, ...]] = ()  # fields that hold parts of the same role

    def __post_init__(self) -> None:
        # a grid's numbers are often NumPy's; as Python's they pass the checks, and repr and tables stay plain
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, checks.python(getattr(self, f.name)))

    def __deepcopy__(self, memo: dict[int, Any]) -> Part:
        return self  # frozen, so sharing is safe, and scikit-learn's clone keeps the identical object

    def __repr__(self) -> str:
        fields = dataclasses.fields(self)
        shown = [f"{f.name}={getattr(self, f.name)!r}" for f in fields if getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(shown)})"

    def as_option(self, given: Collection[str]) -> Part:
        """The part that an option of a command line means which gives these fields; the others have their defaults."""
        return self

    def table(self) -> dict[str, Any]:
        """The part as a study's TOML or a model's config.json writes it; `from_table` reads it back."""
        fields = dataclasses.fields(self)
        values = {f.name: getattr(self, f.name) for f in fields}
        plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items() if v is not None}
        plain |= {name: [part.table() for part in values[name]] for name in self.members}
        return {"kind": self.kind, **plain}


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

    @property
    def changes_nothing(self) -> bool:
        """Whether its level is the one, on purpose, that leaves every sample as it is."""
        return False

    @property
    def takes_one_region(self) -> bool:
        """Whether each image loses one region, wherever it lies: then most of its patches lose nothing."""
        return False

    def leaves_negative(self, before: bool) -> bool:
        """Whether numbers below zero may come out of it. before: whether they may go in."""
        return before

    def for_denoiser(self) -> Corruption | None:
        """The same as the noise of a `Denoiser`, not clipped; None if none can be trained on it.

        Such noise has these three; in all others they raise.
        """
        return None

    @property
    def sigma_range(self) -> tuple[float, float]:
        """The least and the greatest standard deviation that it is trained on: of Poisson noise, at white (1)."""
        raise NotImplementedError

    @property
    def shot_and_read(self) -> tuple[bool, float]:
        """Whether its variance grows with the brightness, sigma² · x, and a standard deviation that is added."""
        return False, 0.0

    def at(self, sigma: float) -> Corruption:
        """The same noise of this standard deviation alone."""
        raise NotImplementedError

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
    def changes_nothing(self) -> bool:
        return self.level_range[1] == self.clean_level

    @property
    def label(self) -> str:
        """The name in results: kind, level as %g prints it, then what differs from its default: `masking(0.2)`."""
        others = [f for f in dataclasses.fields(self) if f.name != self.level]
        changed = [f",{f.name}={_word(getattr(self, f.name))}" for f in others if getattr(self, f.name) != f.default]
        return f"{self.kind}({self._levels}{''.join(changed)})"

    @property
    def _levels(self) -> str:
        return "..".join(f"{level:g}" for level in dict.fromkeys(self.level_range))


def _word(value: Any) -> str:
    """A parameter as a label says it: a number as %g prints it, a shape as 3x32x32."""
    if isinstance(value, str):
        return value
    return "x".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
