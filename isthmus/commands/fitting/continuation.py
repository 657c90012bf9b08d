"""Continue a fit: from the model of another folder (`--from`), or from the same one with more epochs."""

from __future__ import annotations

import argparse
import functools
import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from isthmus import persistence
from isthmus.commands.images.holdout import Parts, hold_out, hold_out_unseen
from isthmus.commands.images.leakage import Former, memory_of
from isthmus.commands.images.model_folder import Opened, Shape, as_for_the_training
from isthmus.commands.shared.part_syntax import option_of
from isthmus.data.framing import Framing, table_of
from isthmus.data.identity import marks_of
from isthmus.data.images import Images
from isthmus.data.photographs.image_list import ImageList
from isthmus.errors import RequestError, counted
from isthmus.estimators.adapters import adapter_of
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.estimators.fits.warm_start import WarmStart
from isthmus.estimators.parameters import table_of as part_table
from isthmus.fingerprints import differing

Facts = dict[str, Any]
_SPLITTING = ("--seed", "--validation", "--test")  # with the images, what decides which are held out


@dataclass(frozen=True)
class Base:
    """A fitted model, an `Autoencoder` or a `Denoiser`, with its folder and the rest of its config.json."""

    model: Any
    folder: Path
    extra: dict[str, Any]
    weights_sha256: str

    @classmethod
    def open(cls, folder: Path) -> Base:
        """Read a folder. Raises RequestError for other models, DataError for damage."""
        if not (folder / persistence.CONFIG).is_file():
            raise RequestError(f"--from {folder} is not a model's folder; `isthmus fit DATA -o MODEL` makes one")
        config, model = persistence.read_config(folder), persistence.load(folder)
        if not adapter_of(model).goes_on:
            raise RequestError(
                f"{folder} holds a {type(model).__name__}, and only an Autoencoder or a Denoiser can be trained further"
            )
        return cls(model, folder, _extra(config), config["weights_sha256"])

    @property
    def is_of_photographs(self) -> bool:
        """Whether it is a denoiser of photographs of any size."""
        return adapter_of(self.model).takes_any_size

    @property
    def facts(self) -> Facts:
        """The facts of the command that fitted it; {} for models of older versions or of Python."""
        fit = self.extra.get("fit")
        facts = fit.get("facts") if isinstance(fit, dict) else None
        return facts if isinstance(facts, dict) else {}

    @property
    def cycles(self) -> list[int]:
        """The epochs of each cycle of training so far."""
        cycles = self.extra.get("cycles")
        if isinstance(cycles, list) and all(type(n) is int for n in cycles):
            return cycles
        return [len(self.model.history_)]

    def words(self, former_epochs: int, epochs: int) -> str:
        """What the fit begins with. former_epochs: those that this very model was trained for before; 0 with --from."""
        if former_epochs:
            n, trained, done = former_epochs + epochs, sum(self.cycles), counted(former_epochs, "epoch")
            if self.is_pca:
                done = f"{self.pca}, which no epoch has bettered,"
            elif trained < former_epochs:  # more are those of --from
                done = f"{trained} of {done}, for the others were no better,"
            return f"goes on from {done} to {n}: a new cycle of {epochs}, not the bits of one fit of {n}"
        done = self.pca if self.is_pca else f"trained for {counted(sum(self.cycles), 'epoch')}"
        return f"begins with the weights of {self.folder}, {done}: {self.model.network_.part!r}"

    @property
    def is_pca(self) -> bool:
        """Whether its weights are PCA's solution still: no epoch was better."""
        return self.extra.get("is_pca") is True or self.model.fitted_.pca_of_all

    @property
    def pca(self) -> str:
        """What it is, if it is PCA's solution, in words."""
        kind = "PCA" if self.model.corruption is None else "PCA's linear filter"
        return f"{kind} of {names(self.learned_from)}"

    @property
    def learned_from(self) -> list[str]:
        """The names of the images that its weights come of, as they were given; [] where it does not know."""
        known = self.extra.get("learned_from", [self.extra.get("images")])
        return known if isinstance(known, list) and all(isinstance(name, str) and name for name in known) else []

    def knows_others(self, *given: Images) -> bool:
        """Whether it was trained on images that are not among these; judged by their name where it does not know."""
        former, marks = Former.of(self.extra.get("seen")), [marks_of(some) for some in given]
        known = [some for some in marks if some is not None]
        if former is None or len(known) < len(marks):
            return self.extra.get("images") != given[0].source
        return not np.isin(former.trained, np.concatenate(known)).all()

    @property
    def fixed_training(self) -> dict[str, Any]:
        """Arguments of the training that the weights determine."""
        return {"start": "random", "standardize": self.model.network_.standardization is not None}

    def framing(self, options: argparse.Namespace) -> Framing:
        """How images are prepared: as for the model, unless the command sets it."""
        return as_for_the_training(options, self.extra, self.folder)

    def check(self, shape: Shape, source: str, framing: Framing) -> None:
        """Raise RequestError unless the model takes images of this shape."""
        model = self.model
        opened = Opened(model, self.folder, model.image_shape_, model.n_features_in_, framing, self.weights_sha256)
        opened.check(shape, source)

    def begins_anew(self, *given: Images) -> bool:
        """Whether it is PCA's solution, of some of these images: a fit on them begins at that of those to train on."""
        fitted = self.model.fitted_
        if not fitted.pca_of_all:
            return False
        return WarmStart(fitted).is_pca_of_some(functools.reduce(Images.followed_by, given), otherwise=False)

    def hand_to(self, model: Autoencoder | Denoiser) -> None:
        """Let an unfitted estimator continue this fit."""
        model.set_params(warm_start=True)
        model.adopt(self.model.fitted_)


def names(sources: list[str]) -> str:
    """Names of images as a command line has them, in words."""
    return " and ".join(map(shlex.quote, sources)) or "its images"


def requested_epochs(folder: Path, epochs: int | None, kind: type) -> int:
    """The epochs that the model at -o was fitted for. Raises RequestError unless more are requested now.

    kind: the class of the model that the command trains.
    """
    config = persistence.read_config(folder)
    extra = _extra(config)
    fit, cycles = extra.get("fit"), extra.get("cycles")
    former_epochs = fit.get("epochs") if isinstance(fit, dict) else None
    if config["class"] != kind.__name__:
        raise RequestError(
            f"{folder} already holds a model of class {config['class']}, and this command trains one of class "
            f"{kind.__name__}; choose another -o, or add --force to replace it"
        )
    ways = f"begin with it in another -o by --from {folder}, or add --force to replace it"
    if type(former_epochs) is not int:
        raise RequestError(f"{folder} already holds a model, which does not say how it was fitted; {ways}")
    if epochs is None or epochs <= former_epochs:
        got = "" if epochs is None else f", got --epochs {epochs}"
        more = f"raise --epochs above {former_epochs} to continue, {ways}"
        done = sum(cycles) if isinstance(cycles, list) and all(type(n) is int for n in cycles) else former_epochs
        of = f"{done} of " if done < former_epochs else ""  # more are those of --from
        raise RequestError(f"{folder} already holds a model of {of}{counted(former_epochs, 'epoch')}{got}; {more}")
    return former_epochs


def _extra(config: dict[str, Any]) -> dict[str, Any]:
    extra = config.get("extra")
    return extra if isinstance(extra, dict) else {}


def remaining(epochs: int | None, former_epochs: int) -> dict[str, int]:
    """The epochs of the next cycle, if --epochs is given."""
    return {} if epochs is None else {"epochs": epochs - former_epochs}


def check_network(base: Base, kind: str | None, fields: dict[str, Any]) -> None:
    """Raise RequestError for network options that differ from the model's."""
    part = base.model.network_.part
    wrong = [("--network", kind, part.kind)] if kind not in (None, part.kind) else []
    wrong += [(option_of(name), value, getattr(part, name, None)) for name, value in fields.items()]
    for option, value, expected in wrong:
        if value != expected:
            raise RequestError(
                f"{option} {_word(value)}: {base.folder} has {_word(expected)}, and its weights fit no other network; "
                f"leave {option} out, or fit a new model in another -o"
            )


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def facts_of(
    options: argparse.Namespace,
    training: dict[str, Any],
    parts: dict[str, Any],
    framing: Framing,
    images: Images | ImageList,
    base: Base | None,
) -> Facts:
    """What decides a fit but for its epochs and its network, by the names of the options, as JSON has it.

    training, parts: what was said, and the parts as they turned out. base: of --from.
    """
    facts = {f"--{role}": part_table(part) for role, part in parts.items()}
    facts |= {f"--{name.replace('_', '-')}": value for name, value in training.items() if name != "epochs"}
    facts |= {f"--{name}": value for name, value in table_of(framing).items()}
    facts |= {f"--{name}": getattr(options, name) for name in ("recipe", "seed", "classes", "validation", "test")}
    facts |= {"--patches-per-image": framing.patches_per_image, "the images": images.fingerprint}
    facts["--from"] = None if base is None else base.weights_sha256
    return dict(json.loads(json.dumps(facts)))


def check_same(base: Base, facts: Facts) -> None:
    """Raise RequestError, naming what differs, unless the model at -o was fitted by the same command."""
    if names := differing(base.facts, facts):
        raise RequestError(
            f"{base.folder} holds a model that was fitted differently (different: {', '.join(names)}); use the same "
            f"to continue, start from it in another -o with --from {base.folder}, or add --force to replace it"
        )


_TRAIN_ON_MORE = "--test 0 or a smaller --validation holds out fewer"


def hold_out_again(base: Base, images: Images, options: argparse.Namespace) -> Parts:
    """Split the images so that none is held out that the model was trained on, as far as it knows them.

    Where it does not, the parts say so: their errors are not to be called those of held-out images.
    """
    shares = options.validation, options.test
    if was_split_so(base, images.fingerprint, options):
        return hold_out(images, options.seed, *shares)  # the very parts that it had
    known = known_images(base, marks_of(images), images.names, options.data)
    if known is None:
        return replace(hold_out(images, options.seed, *shares), doubt=f"which {base.folder} may have been trained on")
    trained_on, selected_on = known
    words = "none of which is held out"
    n = len(np.unique(images.photographs[trained_on]))
    if (~trained_on & ~selected_on).any() and base.begins_anew(images):
        trained_on = trained_on & ~selected_on  # what chose may choose again: the weights that know it are left
        words = "none of which is measured on"
    parts = hold_out_unseen(images, options.seed, *shares, trained_on=trained_on, selected_on=selected_on)
    if parts is None:
        return replace(hold_out(images, options.seed, *shares), doubt=f"which {base.folder} was trained on")
    note = f"; {base.folder} was trained on {n:,} of them, {words}" if n else ""
    if n and parts.train.n_photographs <= n < images.n_photographs:
        note += f", and none of the others is trained on: of these all are held out; {_TRAIN_ON_MORE}"
    return replace(parts, summary=parts.summary + note)


def was_split_so(base: Base, fingerprint: str, options: argparse.Namespace) -> bool:
    """Whether a model that began anew held out of these very images what the command would hold out now."""
    now = {name: getattr(options, name[2:]) for name in _SPLITTING} | {"the images": fingerprint}
    facts = base.facts
    return "--from" in facts and not facts["--from"] and all(facts.get(name) == value for name, value in now.items())


def known_images(
    base: Base, marks: np.ndarray | None, names: tuple[str, ...], data: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """Which images a model was trained on, and which chose its epoch, (n,) each; None where it does not know.

    marks: (n,), as of `marks_of`. names: of their files, if they have some.
    """
    table = base.extra.get("seen")
    former = Former.of(table)
    if marks is not None and former is not None:
        return former.trained_on(marks), former.selected_on(marks)
    before = memory_of(table, data, "train", "").whole  # an older isthmus knew a collection's files by their names
    if before is None or before.left_out is None or not names:
        return None
    selected_on = before.selected_on or frozenset()
    return (
        np.array([name not in before.left_out for name in names]),
        np.array([name in selected_on for name in names]),
    )
