"""How a run uses the machine: how many models train side by side, with how many threads each, and for about how long.

A second thread makes a training 1.2 to 1.9 times as fast, a second training beside it nearly twice as much work. So
models that do not wait for each other train at once, in processes of their own, with few threads each. How many threads
a model has is a function of the study, --only and --threads alone, for it decides the model's bits; how many train at
once, of --seeds too.

Which models are beside each other is not planned, for unlike ones gain nothing. Measured on two cores, milliseconds a
step: sparse-1024 13.3 alone, 14.3 beside another of its kind, 14.4 beside conv-unpool; conv-unpool 13.6, 14.7, and 14.9
beside sparse-1024. So what counts is that no core waits: the longest way first, and what is of a model as soon as that
is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Pair = tuple[str, int]  # a model's name, and a seed

# Of one thread, roughly. Measured with AVX-512 while all cores were busy, bfloat16: a denoiser's chain of convolutions
# 190, a U-Net 150, dense networks 125; float32: 90 for the same, and less without AVX-512.
_GFLOP_PER_SECOND = {"float32": 50, "bfloat16": 180}
_STEP = 0.0012  # seconds that a step costs on top of its arithmetic, whatever its size
_THREADS_GAIN = 0.7  # n threads are n ** 0.7 times as fast as one
_START = 6.0  # seconds until a process of its own has imported torch and read the images
_MOST_PIXELS = 4 << 30  # bytes that the processes' copies of the images may take together


@dataclass(frozen=True)
class Work:
    """What is to be done for one model: steps of training and the billions of operations in all of them.

    of: the model that must be there first. precision: of the training. other: seconds of what is no training, such as
    scikit-learn's fits, or searches while it is measured.
    """

    model: str
    seed: int
    of: str | None
    steps: int = 0
    gflop: float = 0.0
    other: float = 0.0
    precision: str = "float32"

    @property
    def pair(self) -> Pair:
        """Its name in a run."""
        return self.model, self.seed

    def seconds(self, threads: int) -> float:
        """A first guess at the time that it takes."""
        return (
            self.gflop / (_GFLOP_PER_SECOND[self.precision] * threads**_THREADS_GAIN) + _STEP * self.steps + self.other
        )


def how_many_at_once(works: list[Work], threads: int, pixel_bytes: int, each: int | None = None) -> int:
    """How many models train side by side: as many as there are threads where that pays, else 1.

    each: the threads of one of them, where another plan has said it; None to share all of them out.

    >>> how_many_at_once([Work(name, 0, None, gflop=3000) for name in "abcdef"], threads=2, pixel_bytes=0)
    2
    >>> how_many_at_once([Work("a", 0, None, gflop=3000)], threads=2, pixel_bytes=0)
    1
    """
    parents = {(work.of, work.seed) for work in works}
    most = threads // (each or 1)
    at_once = min(most, sum(work.pair not in parents for work in works))  # more never are
    if at_once < 2 or at_once * pixel_bytes > _MOST_PIXELS:
        return 1
    one_by_one = sum(work.seconds(each or threads) for work in works)
    return at_once if _START + makespan(works, at_once, each or threads // at_once) < one_by_one else 1


def makespan(works: Iterable[Work], at_once: int, threads: int) -> float:
    """Seconds until all is done, if a free worker takes the first that is ready in the order of `longest_first`."""
    waiting = longest_first(works, threads)
    now, busy = 0.0, dict[Work, float]()  # until when
    while waiting or busy:
        while len(busy) < at_once and (work := ready(waiting, {work.pair for work in busy})):
            waiting.remove(work)
            busy[work] = now + work.seconds(threads)
        done = min(busy, key=lambda work: busy[work])
        now = busy.pop(done)
    return now


def guessed_seconds(rows: list[dict[str, Any]]) -> float:
    """A first guess at the time of these rows of results.json's plan, which all train the same number at once."""
    works = [
        Work(
            *(row["model"], row["seed"], None, row["steps"], row["gflop"]),
            row.get("other_seconds", 0.0),
            row.get("precision", "float32"),
        )
        for row in rows
    ]
    threads = max((row["threads"] for row in rows), default=1)
    at_once = max((row["side_by_side"] for row in rows), default=1)
    return makespan(works, at_once, threads)


def longest_first(works: Iterable[Work], threads: int) -> list[Work]:
    """In the order in which they are to be begun: first what takes longest, with all that waits for it one after it."""
    works = list(works)
    ways: dict[Pair, float] = {}
    for work in reversed(works):  # a study names a model before those that are of it
        after = max((ways[later.pair] for later in works if (later.of, later.seed) == work.pair), default=0.0)
        ways[work.pair] = work.seconds(threads) + after
    return sorted(works, key=lambda work: -ways[work.pair])


def ready(waiting: Iterable[Work], busy: Iterable[Pair] = ()) -> Work | None:
    """The first that waits for none of these, nor for one that is busy; None if all do."""
    waiting = list(waiting)
    missing = {*busy, *(work.pair for work in waiting)}
    return next((work for work in waiting if (work.of, work.seed) not in missing), None)
