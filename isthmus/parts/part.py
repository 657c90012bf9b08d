"""What every part is: a frozen value."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from isthmus.parts import checks


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
