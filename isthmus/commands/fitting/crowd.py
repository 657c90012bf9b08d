"""A training beside other programs: threads that wait for each other may take longer than one would."""

from __future__ import annotations

import time
from typing import Any

_AFTER = 10.0  # seconds
# Of a core: two threads that are alone have two, and one 1. On two cores that two other programs kept busy, two threads
# had 0.3 to 0.6 of one, and took 2 to 3.5 s for an epoch of convolutions in bfloat16 that one thread did in 0.4.
_CROWDED = 0.75


class WatchedProgress:
    """A progress that says once, where it is so, that other programs want the cores. threads: of the training."""

    def __init__(self, progress: Any, threads: int) -> None:
        self.progress, self.threads = progress, threads
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def epoch(self, name: str, row: Any, epochs: int) -> None:
        self.progress.epoch(name, row, epochs)
        wall, cpu = time.monotonic() - self._wall, time.process_time() - self._cpu
        if self.threads < 2 or wall < _AFTER or row.epoch == epochs:
            return
        if cpu < _CROWDED * wall:
            self.note(
                f"other programs want the cores: this training had {cpu / wall:.2f} of one lately, and {self.threads} "
                "threads that wait for each other may take longer than --threads 1"
            )
            self.threads = 1  # it is said
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def note(self, sentence: str) -> None:
        self.progress.note(sentence)
