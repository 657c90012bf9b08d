"""States of a training: its weights after some of its epochs, to be looked at. No training goes on from them.

A state is one file, 000012.safetensors: the tensors of the network after epoch 12, and in its header which training it
is of. Epoch 0 is the start. It is written before the checkpoint of its epoch, so that a training that was killed and
goes on has all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import safetensors
import safetensors.numpy
from torch.nn import Module

from isthmus.errors import DataError
from isthmus.files import atomic_file, remove
from isthmus.training.snapshots.snapshot import Arrays, arrays_of

SUFFIX = ".safetensors"
_TRAINING = "training"  # the word in a file's header


def epochs_with_states(epochs: int, n: int) -> tuple[int, ...]:
    """Epochs after which to keep a state: the start (0), the last, and others whose ratios are as equal as can be.

    Most is learned in the first epochs, so they lie closer there. Returns n of them, or all if there are fewer.

    >>> epochs_with_states(100, 8)
    (0, 1, 2, 4, 9, 20, 45, 100)
    >>> epochs_with_states(4, 20)
    (0, 1, 2, 3, 4)
    """
    if n >= epochs + 1:
        return tuple(range(epochs + 1))
    chosen = [0, 1]
    while (left := n - len(chosen)) > 0:
        ratio = (epochs / chosen[-1]) ** (1 / left)
        chosen.append(max(chosen[-1] + 1, round(chosen[-1] * ratio)))
    return tuple(chosen) if n > 2 else (0, epochs)


class States:
    """The states of one training, in a folder of their own.

    folder: None keeps nothing. n: how many to keep; 0 for none, and those of a former training are removed. training:
    what tells it from others. say: is called with a sentence when a state is missing or cannot be written.
    """

    def __init__(
        self,
        folder: Path | None = None,
        n: int = 0,
        training: str = "",
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.folder, self.n, self.training, self.say = folder, n, training, say
        self._epochs: tuple[int, ...] = ()
        self._failed = False

    def begin(self, network: Module, epochs: int, done: int) -> None:
        """Keep the start, or those that a training which goes on after epoch `done` has; remove all others."""
        if self.folder is None:
            return
        self._epochs = epochs_with_states(epochs, self.n) if self.n else ()
        present = read_states(self.folder, self.training) if done else {}
        wanted = {epoch for epoch in present if epoch <= done and (epoch in self._epochs or epoch == done)}
        try:
            if self.folder.is_dir() and not (self._epochs and wanted):
                remove(self.folder)
            for path in set(_files(self.folder)) - {present[epoch] for epoch in wanted}:
                remove(path)
        except OSError as error:
            self._fail(error)
        if not done:
            self.keep(network, 0)
        elif missing := sum(epoch <= done and epoch not in wanted for epoch in self._epochs):
            self.say(f"{missing} of {len(self._epochs)} states are missing: they were not kept when it began")

    def keep(self, network: Module, epoch: int, *, is_last: bool = False) -> None:
        """Write the state after an epoch, if it is one of those to keep. Where that fails, training goes on."""
        if self.folder is None or not self._epochs or not (is_last or epoch in self._epochs):
            return
        data = safetensors.numpy.save(arrays_of(network.state_dict()), {_TRAINING: self.training})
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(self.folder / f"{epoch:06d}{SUFFIX}") as file:
                file.write(data)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self._failed:
            self.say(f"no state could be written to {self.folder}, training goes on: {error.strerror or error}")
        self._failed = True


def read_states(folder: Path, training: str) -> dict[int, Path]:
    """The files of a training's states by their epochs, in order. Those of another training are left out."""
    files = {}
    for path in _files(folder):
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                header = file.metadata() or {}
        except (OSError, safetensors.SafetensorError):
            continue
        if path.stem.isdecimal() and header.get(_TRAINING) == training:
            files[int(path.stem)] = path
    return dict(sorted(files.items()))


def read_state(path: Path) -> Arrays:
    """The tensors of a state. Raises DataError for a file that is damaged or no longer there."""
    try:
        return safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"the state {path} is damaged: {' '.join(str(error).split())}") from None


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
