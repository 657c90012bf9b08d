"""The errors that users meet: one line each, with the thing, the rule, the value and the way out."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class IsthmusError(Exception):
    """Base of every error that isthmus raises on purpose; the command line prints it as one line."""

    exit_code = 1


class RequestError(IsthmusError, ValueError):
    """What was asked for cannot be done as asked: a value, a name, a study, a file. Exit code 2."""

    exit_code = 2


class DataError(RequestError):
    """A data file or an array is not what it should be."""


class DoubtWarning(UserWarning):
    """What was asked for can be done, and may well not do what is hoped for."""


class SkippedWarning(UserWarning):
    """Some of what was to be read is damaged, and was left out as asked."""


class RunError(IsthmusError):
    """The request was sound, and the run failed all the same: training diverged, a disk filled. Exit code 1."""


class DivergedError(RunError):
    """A training's loss stopped being finite. step: counted from 1 over all epochs. samples: of that step's batch."""

    def __init__(
        self, message: str, step: int = 0, epoch: int = 0, learning_rate: float = 0.0, samples: tuple[int, ...] = ()
    ) -> None:
        super().__init__(message)
        self.step, self.epoch, self.learning_rate, self.samples = step, epoch, learning_rate, samples


def require(holds: bool, name: str, rule: str, value: Any) -> None:
    """Raise `RequestError("<name> must be <rule>, got <value>")` unless `holds`.

    >>> require(0.3 >= 0, "sigma", "at least 0", 0.3)
    """
    if not holds:
        raise RequestError(f"{name} must be {rule}, got {value!r}")


def unknown(kind: str, word: object, known: Iterable[str]) -> str:
    """The sentence for a word outside a closed vocabulary, with the nearest known one.

    >>> unknown("network kind", "dens", ["dense", "conv"])
    'unknown network kind "dens"; known: conv, dense. Did you mean "dense"?'
    """
    names = sorted(known)
    near = difflib.get_close_matches(str(word), names, n=1)
    hint = f'. Did you mean "{near[0]}"?' if near else ""
    return f'unknown {kind} "{word}"; ' + (f"known: {', '.join(names)}{hint}" if names else "there is none")


def one_line(text: object) -> str:
    r"""What a library, a file or a stranger's server said, as a part of an error: one line, no control characters.

    >>> one_line("not\n  an image\x00")
    'not an image?'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))


def counted(n: int, singular: str, plural: str = "") -> str:
    """A count in words: `several`, or `one` with an s, for any number but 1.

    >>> counted(1, "image"), counted(2000, "image"), counted(0, "class", "classes")
    ('1 image', '2,000 images', '0 classes')
    """
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def one_of(kind: str, word: object, known: Iterable[str]) -> None:
    """Raise `RequestError` with the nearest known word unless `word` is in the vocabulary `known`."""
    if not isinstance(word, str) or word not in known:
        raise RequestError(unknown(kind, word, known))
