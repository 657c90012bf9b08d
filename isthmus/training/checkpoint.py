"""Checkpoints: everything that a training is between two epochs, on disk, so that it can go on as if nothing happened.

A checkpoint is a folder with a snapshot's files. It appears whole or not at all, and the one before it stays until the
next.
"""

from __future__ import annotations

import contextlib
import functools
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import safetensors

from isthmus.errors import DataError, DoubtWarning, RequestError, is_fault
from isthmus.files import atomic_folder, held_folder, is_temporary, remove
from isthmus.fingerprints import differing
from isthmus.locks import LOCKS
from isthmus.training.history import History
from isthmus.training.snapshots.snapshot import Snapshot
from isthmus.training.snapshots.snapshot_files import FILES, read_snapshot, write_snapshot
from isthmus.training.snapshots.states import States

EVERY = 10.0  # seconds of training steps from one checkpoint to the next, for networks of up to 3 million weights
# Large networks wait longer, so that checkpoints cost them 1 % or so too: at the least _PACE times what the last one
# took to write, and before the first, what is to be expected at 250 MB/s (12 million weights: 0.9 s were measured).
_PACE, _BYTES_PER_SECOND = 100, 250e6
_KEPT = 2  # the newest, and one to fall back on

_warn = functools.partial(warnings.warn, category=DoubtWarning)


class OtherTrainingError(RequestError):
    """A folder holds checkpoints of another training. summary: where, and what differs."""

    def __init__(self, summary: str) -> None:
        super().__init__(f"{summary}; ask for the same again to go on with it, or remove the folder to begin anew")
        self.summary = summary


class Checkpoints:
    """The checkpoints of one training, in a folder of their own, which is locked for this process.

    folder: made if it is not there, and of its own: one that holds anything else is refused, for it will be removed.
    None keeps nothing. every: seconds of training steps from one to the next; None is `EVERY`. replace: whether a
    checkpoint of another training is written over; else it is refused, for it is work that somebody may want. say: is
    called with a sentence when one is damaged, written over, or cannot be written; as it comes, a DoubtWarning. states:
    of the same training, to be looked at; none unless given. wait: until another process, which holds the folder, has
    ended; else that is an error.

    The caller who passes a `Checkpoints` to `fit` must remove it when the trained model is safe elsewhere.
    """

    def __init__(
        self,
        folder: str | Path | None,
        *,
        every: float | None = None,
        replace: bool = False,
        say: Callable[[str], None] = _warn,
        states: States | None = None,
        wait: bool = False,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.every, self.replace, self.say = EVERY if every is None else every, replace, say
        self.states = States() if states is None else states
        self._waiting = say if wait else None
        self._facts: Callable[[], dict[str, Any]] = dict
        self._seconds = 0.0  # of training, when the last one was written
        self._wait, self._failed = self.every, False
        self._unwritten: Snapshot | None = None  # of the last epoch, if it came after the last checkpoint
        self._spare: Snapshot | None = None  # of the one before, whose memory the next one takes

    @contextlib.contextmanager
    def held(self, n_bytes: int) -> Iterator[None]:
        """Hold the folder. n_bytes: of all weights; a checkpoint has up to four times that.

        What is stopped inside, by a signal or by a caller who has seen enough, leaves a checkpoint of the last epoch.
        Raises RequestError if the folder cannot be written to or holds anything but checkpoints, RunError if another
        process holds it.
        """
        if self.folder is None:
            yield
            return
        if strange := next((path for path in _entries(self.folder) if not _is_own(path)), None):
            way_out = "give a folder of its own with checkpoint="
            raise RequestError(f"{self.folder} holds {strange.name}, which is not a checkpoint; {way_out}")
        if self.every:
            self._wait = max(self.every, _PACE / 2 * 4 * n_bytes / _BYTES_PER_SECOND)
        with held_folder(self.folder, 4 * n_bytes * (_KEPT + 1), "checkpoint=", self._waiting):
            for leftover in filter(is_temporary, _entries(self.folder)):
                remove(leftover)
            try:
                yield
            except BaseException as stop:
                if self._unwritten is not None and not is_fault(stop):
                    self._write_last(self.folder, self._unwritten)
                raise

    def begin(self, facts: Callable[[], dict[str, Any]]) -> Snapshot | None:
        """The newest checkpoint that is whole and of this very training, if there is one.

        facts: gives what must be the same, as JSON has it. It is called when it is needed: data take time to hash.
        Raises RequestError for a checkpoint of another training, unless it may be replaced.
        """
        self._facts = functools.cache(lambda: json.loads(json.dumps(facts())))  # tuples are lists there
        self._seconds, self._unwritten, self._spare = 0.0, None, None
        others = []
        for place in reversed(self._places()):
            try:
                snapshot, its_facts = read_snapshot(place)
            except DataError as error:
                self.say(f"{error}; the one before it is used, if there is one")
                remove(place)
                continue
            if names := differing(its_facts, self._facts()):
                others.append(", ".join(names))
                continue
            self._seconds = snapshot.history.seconds
            return snapshot
        if others:
            summary = f"{self.folder} holds another training (different: {others[0]})"
            if not self.replace:
                raise OtherTrainingError(summary)
            self.say(f"{summary}; this one begins anew and will write over it")
        return None

    def due(self, history: History, share: float = 1.0) -> bool:
        """Whether this share of the time from one checkpoint to the next was trained since the last one."""
        return self.folder is not None and history.seconds - self._seconds >= share * self._wait

    def keep(self, now: Callable[[], Snapshot], share: float = 1.0) -> None:
        """Write an epoch's end if it is due, else copy it, to be written if the next one is not finished."""
        if self.folder is None:
            return
        snapshot = now()
        if not self.due(snapshot.history, share):
            self._unwritten, self._spare = snapshot.copy(self._spare), self._unwritten
            return
        self._unwritten = snapshot  # a signal may come while it is written
        self._write_to(self.folder, snapshot)
        self._unwritten = None  # its memory is the network's

    def _write_last(self, folder: Path, snapshot: Snapshot) -> None:
        """Write that of a training which was stopped. A signal that comes meanwhile is obeyed when it is there.

        Where a process is killed, the others lose it, and torchrun ends them soon afterwards.
        """
        try:
            self._write_to(folder, snapshot)
        except BaseException:
            self._write_to(folder, snapshot)
            raise

    def _write_to(self, folder: Path, snapshot: Snapshot) -> None:
        """Add a checkpoint, and remove those that are too old. Where that fails, training goes on, and it is said."""
        start, places = time.perf_counter(), self._places()
        number = int(places[-1].name) + 1 if places else 1
        self._seconds = snapshot.history.seconds
        try:
            with atomic_folder(folder / f"{number:06d}") as building:
                write_snapshot(snapshot, self._facts(), building)
        except (OSError, safetensors.SafetensorError) as error:  # the latter for what the system told safetensors
            reason = getattr(error, "strerror", None) or error
            if not self._failed:
                self.say(f"no checkpoint could be written to {folder}, training goes on: {reason}")
            self._failed = True
            return
        for place in self._places()[:-_KEPT]:
            remove(place)
        self._wait = max(self.every, _PACE * (time.perf_counter() - start) if self.every else 0)

    def remove(self) -> None:
        """Remove all of it: the training is finished. What somebody else put there meanwhile stays."""
        if self.folder is None:
            return
        for path in (*filter(_is_own, _entries(self.folder)), *(self.folder / name for name in LOCKS)):
            remove(path)
        with contextlib.suppress(OSError):  # there is something left in it, or it never was there
            self.folder.rmdir()

    def _places(self) -> list[Path]:
        """The checkpoints' folders, the oldest first."""
        return [] if self.folder is None else [path for path in _entries(self.folder) if _is_checkpoint(path)]


def _entries(folder: Path) -> list[Path]:
    """What is in a folder, in order, but for hidden files, which file managers leave anywhere."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _is_own(path: Path) -> bool:
    """Whether it is a checkpoint, or what a process that was killed left of one."""
    return is_temporary(path) or _is_checkpoint(path)


def _is_checkpoint(path: Path) -> bool:
    """Whether a folder is called as a checkpoint is and holds nothing else; it may be damaged."""
    return path.name.isdecimal() and path.is_dir() and all(file.name in FILES for file in _entries(path))
