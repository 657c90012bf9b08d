"""States of a run's models after some of their epochs, which `--keep-states` asks for and `isthmus explore` shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from isthmus.fingerprints import table_fingerprint
from isthmus.studies.plan.context import Context
from isthmus.studies.plan.facts import facts_of, noted
from isthmus.studies.spec.study import Model
from isthmus.training.snapshots.states import States, epochs_with_states, read_states

_HEADER = 16 << 10  # bytes of a file beside its weights, at the most


def has_epochs(model: Model) -> bool:
    """Whether a model has states: an autoencoder has; what is trained on photographs of any size has none yet."""
    return model.training is not None and model.part is None


def states_folder(run: Path, label: str) -> Path:
    """Where the states of a model of a run lie; label: the name of the model's folder."""
    return run / "states" / label


def states_to_keep(context: Context, model: Model, seed: int, say: Callable[[str], None]) -> States:
    """What a model's training keeps; without --keep-states it removes what an earlier one kept."""
    if not has_epochs(model):
        return States()
    folder = states_folder(context.folder, context.label(model.name, seed))
    return States(folder, context.request.keep_states, _training(facts_of(context, model, seed)), say)


def states_of(run: Path, label: str, facts: Any) -> dict[int, Path]:
    """The files of a finished model's states by their epochs. facts: those that its folder notes."""
    folder = states_folder(run, label)
    return read_states(folder, _training(facts)) if folder.is_dir() else {}


def room_for_states(context: Context) -> int:
    """Bytes that the states of all models to be trained may take."""
    n, total = context.request.keep_states, 0
    for model in context.models if n else ():
        if has_epochs(model) and (training := context.training(model)):
            total += len(epochs_with_states(training.epochs, n)) * (4 * context.n_weights(model) + _HEADER)
    return len(context.seeds) * total


def stateless(context: Context, finished: set[tuple[str, int]]) -> list[str]:
    """Labels of finished models that have no states, though they are asked for."""
    labels = []
    for name, seed in sorted(finished) if context.request.keep_states else ():
        model, label = context.study.model(name), context.label(name, seed)
        if has_epochs(model) and not states_of(context.folder, label, noted(context, model, seed)):
            labels.append(label)
    return labels


def _training(facts: Any) -> str:
    """What tells a training from others: all that decides its bits."""
    return table_fingerprint(facts)
