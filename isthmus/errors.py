"""Errors for users: one line each, with the thing, the rule, the value and the way out."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Iterator
from typing import Any


class IsthmusError(Exception):
    """Base of all errors that isthmus raises on purpose; the command line prints them as one line."""

    exit_code = 1
    is_known = False  # of a fit over several processes: whether another one of them says it


class RequestError(IsthmusError, ValueError):
    """A request that cannot be met: a wrong value, name, study or file. Exit code 2."""

    exit_code = 2


class DataError(RequestError):
    """A data file or an array is not what it should be."""


class DoubtWarning(UserWarning):
    """A request that can be met, but may not do what is hoped for."""


class OtherNumbersWarning(DoubtWarning):
    """Images in other numbers than those of a denoiser's training.

    span, scale: how far their numbers go, and those of the training.
    """

    def __init__(self, span: float, scale: float) -> None:
        self.span, self.scale = span, scale
        super().__init__(
            f"the numbers of Y span {span:g}, and those of the training {scale:g}: images to denoise must be in the "
            f"same numbers, so multiply them by {scale / span:.3g} or so"
        )


class PoorFitWarning(DoubtWarning):
    """A training is done, and what came of it is no better than what was there, or than what needs no training."""


class SkippedWarning(UserWarning):
    """Damaged files were left out, as requested."""


class RunError(IsthmusError):
    """A sound request that failed: training diverged, a disk was full. Exit code 1."""


class LostError(RunError):
    """Another process of the same fit ended before its time."""


class DivergedError(RunError):
    """The loss of a training is not finite. step: from 1, over all epochs. samples: of that step's batch."""

    def __init__(
        self, message: str, step: int = 0, epoch: int = 0, learning_rate: float = 0.0, samples: tuple[int, ...] = ()
    ) -> None:
        super().__init__(message)
        self.step, self.epoch, self.learning_rate, self.samples = step, epoch, learning_rate, samples


def is_fault(stop: BaseException) -> bool:
    """Whether a fit that is stopped by it would fail again: not by a signal, nor where another process is gone."""
    return isinstance(stop, Exception) and not isinstance(stop, LostError)


def require(holds: bool, name: str, rule: str, value: Any) -> None:
    """Raise `RequestError("<name> must be <rule>, got <value>")` unless `holds`.

    >>> require(0.3 >= 0, "sigma", "at least 0", 0.3)
    """
    if not holds:
        raise RequestError(f"{name} must be {rule}, got {value!r}")


@contextlib.contextmanager
def needing(extra: str, purpose: str, *packages: str) -> Iterator[None]:
    """A block that imports packages of an optional extra: of one that is missing, RequestError says how to install it.

    >>> with needing("onnx", "to_onnx", "no_such_package"):
    ...     import no_such_package
    Traceback (most recent call last):
    isthmus.errors.RequestError: to_onnx needs no_such_package: pip install 'isthmus[onnx]'
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        raise RequestError(f"{purpose} needs {error.name}: pip install 'isthmus[{extra}]'") from None


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
    r"""A message of a library, a file or a server as a part of an error: one line, no control characters.

    >>> one_line("not\n  an image\x00")
    'not an image?'
    """
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split()))


def counted(n: int, singular: str, plural: str = "") -> str:
    """A count with its noun: `plural`, or `singular` with an s, for any number except 1.

    >>> counted(1, "image"), counted(2000, "image"), counted(0, "class", "classes")
    ('1 image', '2,000 images', '0 classes')
    """
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def one_of(kind: str, word: object, known: Iterable[str]) -> None:
    """Raise `RequestError` with the nearest known word unless `word` is in the vocabulary `known`."""
    if not isinstance(word, str) or word not in known:
        raise RequestError(unknown(kind, word, known))
