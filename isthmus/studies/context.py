"""A run under way: what was asked, the images, where things lie, and what is finished."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus import __version__, persistence
from isthmus.data.images import Dataset, Images, split_dataset
from isthmus.errors import DataError
from isthmus.fingerprints import code_fingerprint
from isthmus.parts import Dense, DictionaryLearning, Training
from isthmus.studies.measure import pixel_means
from isthmus.studies.plan import Work, how_many_at_once
from isthmus.studies.study import Model, Study, matches
from isthmus.training.hardware import resolve_precision, step_threads
from isthmus.training.loop import n_steps
from isthmus.training.recipe import completed

Shape = tuple[int, int, int]  # (channels, height, width)
# Seconds for an image, roughly, of what is not counted in operations: scikit-learn's fit, and finding an image's code
# by matching pursuit or by a search, each time that it is measured.
_SECONDS_TO_FIT = {"dictionary-learning": 0.003}
_SECONDS_TO_CODE = {"dictionary-learning": 0.001, "gauss-newton": 0.005, "gradient-descent": 0.04, "adam": 0.04}


@dataclass(frozen=True)
class Request:
    """How a study is to be run: the options of `isthmus run`."""

    out: Path
    data_dir: Path | None = None
    device: str = "auto"
    threads: int = 1
    seeds: int = 1
    only: tuple[str, ...] = ()
    fresh: bool = False
    quick: bool = False
    command: str = ""


@dataclass
class Context:
    """The study, the request, the images of each split, and the fitted models by (name, seed)."""

    study: Study
    request: Request
    dataset: Dataset
    splits: dict[str, Images]
    device: torch.device
    others: dict[str, Images] = field(default_factory=dict)  # test images of the data sets that figures show
    fitted: dict[tuple[str, int], Any] = field(default_factory=dict)
    # each image's MSE by (model, split, corruption), of the study's own seed: for comparisons image by image
    errors: dict[tuple[str, str, str | None], np.ndarray] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """runs/<study>."""
        return self.request.out / self.study.name

    @property
    def shape(self) -> Shape:
        """Of the images: (channels, height, width)."""
        return self.splits["train"].shape

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that this run is about."""
        return self.study.only(self.request.only)

    @property
    def seeds(self) -> range:
        """The study's seed, and those that follow it."""
        return range(self.study.seed, self.study.seed + self.request.seeds)

    @cached_property
    def baseline(self) -> np.ndarray:
        """The training mean of each pixel."""
        return pixel_means(self.splits["train"])

    def fit_split(self, model: Model) -> str:
        """The split that a model is fitted on."""
        return "all" if self.study.pools(model) else "train"

    def seen(self, model: Model, split: str) -> bool:
        """Whether a model, or one that it is of, was fitted on images of this split."""
        if split in ("train", "all") or (split == "test" and self.study.pools(model)):
            return True
        return model.of is not None and self.seen(self.study.model(model.of), split)

    def label(self, model: str, seed: int) -> str:
        """The name of a model's folder: the model's own, and the seed if it is not the study's."""
        return model if seed == self.study.seed else f"{model}.seed-{seed}"

    def model_folder(self, model: Model, seed: int) -> Path:
        """Where a fitted model lies."""
        return self.folder / "models" / self.label(model.name, seed)

    def checkpoint_folder(self, model: Model, seed: int) -> Path:
        """Where a model's training is kept until it is finished."""
        return self.folder / "checkpoints" / self.label(model.name, seed)

    @cached_property
    def side_by_side(self) -> int:
        """How many models train at once."""
        if self.device.type != "cpu":
            return 1
        works = [self.work(model, seed) for seed in self.seeds for model in self.models]
        return how_many_at_once(works, self.request.threads, n_bytes(self.splits))

    def training(self, model: Model) -> Training | None:
        """How a model is trained, if it is trained by the loop, with what its recipe chooses for its images."""
        if model.training is None:
            return None
        n = len(self.splits[self.fit_split(model)])
        return completed(model.said, network_of(model), model.arguments.get("penalty"), n)

    @property
    def threads_each(self) -> int:
        """The threads of each of the models that train at once."""
        return self.request.threads // self.side_by_side

    def threads(self, model: Model) -> int:
        """The threads that a model is trained with: a function of the study, --only, --seeds and --threads alone."""
        training = self.training(model)
        if training is None:
            return self.threads_each
        return step_threads(self._multiplications(model), training.batch_size, self.threads_each, self.device)

    def precision(self, model: Model) -> str:
        """The precision that a model is trained in."""
        return resolve_precision(model.training.precision, self.device) if model.training else "float32"

    def _multiplications(self, model: Model) -> int:
        n, shape = inputs(self.study, model, self.splits["train"].shape)
        return network_of(model).multiplications(n, shape)

    def work(self, model: Model, seed: int) -> Work:
        """What is to be done for one model; a training is 6 operations for each product, sample and epoch."""
        n, training = self._n_fitted(model), self.training(model)
        if training:
            operations = 6 * self._multiplications(model) * training.epochs * n
            return Work(model.name, seed, model.of, n_steps(n, training), 1e-9 * operations)
        kind = model.estimator
        solver = model.arguments.get("solver", "gauss-newton") if kind == "decoder-prior" else kind
        to_code = _SECONDS_TO_CODE.get(solver, 0.0) * self._n_measured(model)
        other = _SECONDS_TO_FIT.get(kind, 0.0) * n + to_code
        return Work(model.name, seed, model.of, 0, 2e-9 * self.splits["train"].n_features ** 2 * n, other)

    def _n_fitted(self, model: Model) -> int:
        """The images that a model is fitted on."""
        n = len(self.splits[self.fit_split(model)])
        return min(n, DictionaryLearning(**model.arguments).n_images) if model.estimator == "dictionary-learning" else n

    def _n_measured(self, model: Model) -> int:
        """The images that a model is measured on, each under each corruption."""
        sets: set[tuple[str, Any]] = {("test", None)}
        for one in self.study.measures:
            if matches(model, one.models) and not one.images:
                sets |= {(one.split, part) for part in one.corruptions()}
        return sum(len(self.splits[split]) for split, _ in sets)

    def plan_row(self, model: Model, seed: int) -> dict[str, Any]:
        """What is to be done for one model, as results.json has it."""
        work, training = self.work(model, seed), self.training(model)
        return {
            "model": model.name,
            "seed": seed,
            "samples": self._n_fitted(model),
            "epochs": training.epochs if training else None,
            "steps": work.steps,
            "gflop": round(work.gflop, 1),
            "threads": self.threads(model),
            "side_by_side": self.side_by_side,
        }

    def key(self, model: Model, seed: int) -> str:
        """What must be the same for a finished model to be used again, as one hash."""
        facts = {
            "model": model.table(),
            "data": self.dataset.fingerprint,
            "splits": dataclasses.asdict(self.study.data),
            "split": self.fit_split(model),
            "split_seed": self.study.seed,
            "seed": seed,
            "device": self.device.type,
            # what was asked for: with --only another plan may give a model more threads, and it is still that model
            "threads": self.request.threads,
            "precision": self.precision(model),
            "isthmus": __version__,
            "of": self.key(self.study.model(model.of), seed) if model.of else None,
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def noted(self, model: Model, seed: int) -> dict[str, Any]:
        """What a model's folder is to remember of it: what must be the same for it to be used again."""
        return {"key": self.key(model, seed), "code": code_fingerprint()}

    def finished(self, model: Model, seed: int) -> bool:
        """Whether this very model was finished before."""
        noted = self._noted_before(model, seed)
        return self.noted(model, seed).items() <= noted.items()

    def outdated(self, model: Model, seed: int) -> bool:
        """Whether this model was finished before, by code that has changed since."""
        return self._noted_before(model, seed).get("key") == self.key(model, seed) and not self.finished(model, seed)

    def _noted_before(self, model: Model, seed: int) -> dict[str, Any]:
        with contextlib.suppress(DataError):
            noted = persistence.read_config(self.model_folder(model, seed)).get("extra")
            return noted if isinstance(noted, dict) else {}
        return {}

    def room(self) -> int:
        """Bytes that the weights of all models to be trained may take, and the largest one's checkpoints."""
        sizes = [4 * self._n_weights(model) for model in self.models]
        trained = [size for size, model in zip(sizes, self.models, strict=True) if model.training]
        checkpoints = 12 * max(trained, default=0)  # weights, moments and best weights; two of them and a third
        return len(self.seeds) * sum(sizes) + checkpoints

    def _n_weights(self, model: Model) -> int:
        n, shape = inputs(self.study, model, self.shape)
        match model.estimator:
            case "pca" | "dictionary-learning":
                return (code_width(self.study, model, self.shape) + 1) * n
            case "identity":
                return 0
            case "decoder-prior":
                return self._n_weights(self.study.model(str(model.of)))
            case _:
                return network_of(model).n_weights(n, shape)


def split_for(study: Study, dataset: Dataset, models: tuple[Model, ...]) -> dict[str, Images]:
    """The splits that a study needs; "all", where it is needed, holds the pixels of "train" and "test" once."""
    data = study.data
    splits = split_dataset(
        dataset,
        train=data.train,
        validation=data.validation,
        split=data.split,
        classes=data.classes,
        seed=study.seed,
    )
    if data.test is not None:
        splits["test"] = splits["test"].take(slice(0, data.test))
    wanted = {m.split for m in study.measures} | {f.split for f in study.figures} | {r.split for r in study.references}
    if "all" in wanted or any(study.pools(model) for model in models):
        n_train = len(splits["train"])
        splits["all"] = splits["train"].followed_by(splits["test"])
        splits["train"] = splits["all"].take(slice(0, n_train))
        splits["test"] = splits["all"].take(slice(n_train, None))
    return splits


def n_bytes(splits: Mapping[str, Images]) -> int:
    """Bytes of the pixels of all splits, those that several splits share counted once."""
    owners: dict[int, int] = {}
    for pixels in (images.pixels for images in splits.values()):
        owner = id(pixels if pixels.base is None else pixels.base)
        owners[owner] = max(owners.get(owner, 0), pixels.nbytes)
    return sum(owners.values())


def network_of(model: Model) -> Any:
    """The network part of an autoencoder."""
    return model.arguments.get("network", Dense())


def inputs(study: Study, model: Model, shape: Shape) -> tuple[int, Shape | None]:
    """Numbers that go into a model, an image's or the code's of the model that it is of; and an image's shape."""
    if model.of:
        return code_width(study, study.model(model.of), shape), None
    return math.prod(shape), shape


def code_width(study: Study, model: Model, shape: Shape) -> int:
    """Numbers in the code of a model that is not fitted yet."""
    match model.estimator:
        case "pca":
            asked = model.arguments["n_components"]
            return inputs(study, model, shape)[0] if asked == "best" else asked
        case "dictionary-learning":
            return DictionaryLearning(**model.arguments).n_atoms
        case "decoder-prior":
            return code_width(study, study.model(str(model.of)), shape)
        case "identity":
            return inputs(study, model, shape)[0]
        case _:
            return network_of(model).code_width(*inputs(study, model, shape))
