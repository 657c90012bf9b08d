"""How a run uses the machine: how many models train side by side, with how many threads each, and for about how long.

A second thread makes a training 1.2 to 1.9 times as fast, a second training beside it nearly twice as much work. So
models that do not wait for each other train at once, in processes of their own, with few threads each. The plan is a
function of the study, --only, --seeds and --threads alone, for the number of threads decides the bits of a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_GFLOP_PER_SECOND = 50  # of one thread, roughly
_STEP = 0.0012  # seconds that a step costs on top of its arithmetic, whatever its size
_THREADS_GAIN = 0.7  # n threads are n ** 0.7 times as fast as one
_START = 6.0  # seconds until a process of its own has imported torch and read the images
_MOST_PIXELS = 4 << 30  # bytes that the processes' copies of the images may take together


@dataclass(frozen=True)
class Work:
    """What is to be done for one model: steps of training and the billions of operations in all of them.

    of: the model that must be there first. other: seconds of what is no training, such as scikit-learn's fits.
    """

    model: str
    seed: int
    of: str | None
    steps: int = 0
    gflop: float = 0.0
    other: float = 0.0

    def seconds(self, threads: int) -> float:
        """A first guess at the time that it takes."""
        return self.gflop / (_GFLOP_PER_SECOND * threads**_THREADS_GAIN) + _STEP * self.steps + self.other


def how_many_at_once(works: list[Work], threads: int, pixel_bytes: int) -> int:
    """How many models train side by side: as many as there are threads where that pays, else 1.

    >>> how_many_at_once([Work(name, 0, None, gflop=3000) for name in "abcdef"], threads=2, pixel_bytes=0)
    2
    >>> how_many_at_once([Work("a", 0, None, gflop=3000)], threads=2, pixel_bytes=0)
    1
    """
    at_once = min(threads, len(chains(works)))
    if at_once < 2 or at_once * pixel_bytes > _MOST_PIXELS:
        return 1
    each = threads // at_once
    one_by_one = sum(work.seconds(threads) for work in works)
    return at_once if _START + makespan(works, at_once, each) < one_by_one else 1


def makespan(works: Iterable[Work], at_once: int, threads: int) -> float:
    """Seconds until all is done, if the longest chains are begun first."""
    busy = [0.0] * at_once
    for chain in sorted(chains(works), key=lambda chain: -_length(chain, threads)):
        busy[busy.index(min(busy))] += _length(chain, threads)
    return max(busy)


def guessed_seconds(rows: list[dict[str, Any]]) -> float:
    """A first guess at the time of these rows of results.json's plan, which all train the same number at once."""
    works = [Work(row["model"], row["seed"], None, row["steps"], row["gflop"]) for row in rows]
    threads = max((row["threads"] for row in rows), default=1)
    at_once = max((row["side_by_side"] for row in rows), default=1)
    return makespan(works, at_once, threads)


def chains(works: Iterable[Work]) -> list[list[Work]]:
    """Models that wait for each other, together: a model and those that are of it, in the study's order."""
    found: dict[tuple[str, int], list[Work]] = {}
    for work in works:
        chain = found.get((str(work.of), work.seed), [])
        chain.append(work)
        found[work.model, work.seed] = chain
    return list({id(chain): chain for chain in found.values()}.values())


def _length(chain: list[Work], threads: int) -> float:
    return sum(work.seconds(threads) for work in chain)
