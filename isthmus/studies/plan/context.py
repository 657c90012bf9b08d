"""State of a run: what was asked, the images, where things lie, and which models are fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isthmus.data.images import Dataset
from isthmus.data.splits import split_dataset
from isthmus.estimators.denoising import denoiser_fit
from isthmus.estimators.parameters import training_of
from isthmus.networks.denoisers import size_of
from isthmus.parts import Training
from isthmus.studies.plan.workload import Work, how_many_at_once
from isthmus.studies.spec.estimator import estimator
from isthmus.studies.spec.study import Model, Study, matches
from isthmus.training.hardware import resolve_precision, step_threads
from isthmus.training.loop import n_steps

Shape = tuple[int, int, int]  # (channels, height, width)
Split = Any  # `Images`, or an `ImageList` of photographs of any sizes


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
    engine: str = "local"
    address: str = ""
    launch: str = ""
    hosts: tuple[str, ...] = ()
    workers: int = 1
    keep_states: int = 0  # of each training, to look at its epochs


@dataclass
class Context:
    """The study, the request, the images of each split, and the fitted models by (name, seed)."""

    study: Study
    request: Request
    dataset: Dataset
    splits: dict[str, Split]
    device: torch.device
    others: dict[str, Split] = field(default_factory=dict)  # test images of the data sets that figures show
    fitted: dict[tuple[str, int], Any] = field(default_factory=dict)
    products: dict[str, int] = field(default_factory=dict)  # of a model's pass, once they were counted by a dry run
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

    def code_width(self, model: Model) -> int:
        """Numbers in the code of a model, fitted or not."""
        return code_width(self.study, model, self.shape)

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that this run is about."""
        return self.study.only(self.request.only)

    @property
    def seeds(self) -> range:
        """The study's seed, and those that follow it."""
        return range(self.study.seed, self.study.seed + self.request.seeds)

    @cached_property
    def baseline(self) -> np.ndarray | None:
        """The training mean of each pixel; None of photographs, which differ in size."""
        return None if self.study.data.is_photographs else self.splits["train"].pixel_means()

    def fit_split(self, model: Model) -> str:
        """The split that a model is fitted on."""
        return "all" if self.study.pools(model) else "train"

    def seen(self, model: Model, split: str) -> bool:
        """Whether a model, or one that it is of, was fitted on images of this split."""
        if split in ("train", "all") or (split == "test" and self.study.pools(model)):
            return True
        return model.of is not None and self.seen(self.study.model(model.of), split)

    def selected(self, model: Model, split: str) -> bool:
        """Whether images of this split chose something of a model, or of one that it is of: its best epoch, or how many
        components it keeps.
        """
        reached = {"validation": ("validation",), "train": ("train", "all"), "all": ("train", "test", "all"), None: ()}
        if split in reached[self._chosen_by(model)]:
            return True
        return model.of is not None and self.selected(self.study.model(model.of), split)

    def _chosen_by(self, model: Model) -> str | None:
        """The split on which a model chooses, if it does."""
        if model.arguments.get("n_components") == "best":
            return "validation"
        if model.training is None or model.training.patience is None:
            return None
        # without a split for it, a share of the images that it is fitted on
        return "validation" if "validation" in self.splits else self.fit_split(model)

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
    def plans(self) -> tuple[int, ...]:
        """The threads of each model: by this run's plan, and by that of the whole study where it is another.

        Seeds do not count, so that a model is the same whatever their number; with --only few models may have more
        threads each, and then what the whole study's plan trained is used too.
        """
        if self.device.type != "cpu":
            return (self.request.threads,)
        threads, n_bytes = self.request.threads, self._n_bytes
        plans = [
            threads // how_many_at_once([self.work(model, self.study.seed) for model in models], threads, n_bytes)
            for models in (self.models, self.study.models)
        ]
        return tuple(dict.fromkeys(plans))

    @cached_property
    def n_parallel(self) -> int:
        """How many models train at once."""
        works = [self.work(model, seed) for seed in self.seeds for model in self.models]
        each, threads = self.threads_each, self.request.threads
        return how_many_at_once(works, threads, self._n_bytes, each) if self.device.type == "cpu" else 1

    @property
    def _n_bytes(self) -> int:
        """What the pixels of the whole data set take in memory, of which every process has a copy."""
        return int(self.dataset.train.n_bytes + self.dataset.test.n_bytes)

    def n_images(self, split: str) -> int:
        """The images of a split; of "all" also where this run has no use for it."""
        return len(self.splits["train"]) + len(self.splits["test"]) if split == "all" else len(self.splits[split])

    def shape_of(self, split: str) -> tuple[int, int]:
        """(n, n_features) of a split."""
        return self.n_images(split), self.dataset.train.n_features

    def training(self, model: Model) -> Training | None:
        """How a model is trained, if it is trained by the loop, with what its recipe chooses for its images."""
        if model.training is None:
            return None
        unfitted = estimator(model, 0, self.device.type)
        if model.part:
            return denoiser_fit.training_of(unfitted)
        return training_of(unfitted, self.shape_of(self.fit_split(model)))

    @property
    def threads_each(self) -> int:
        """The threads of each of the models that train at once."""
        return self.plans[0]

    def threads(self, model: Model, threads_each: int | None = None) -> int:
        """The threads that a model is trained with, by this plan or another: a function of its arguments alone."""
        each, training = threads_each or self.threads_each, self.training(model)
        if training is None or model.part is not None:
            return each
        return step_threads(self._multiplications(model), training.batch_size, each, self.device)

    def precision(self, model: Model) -> str:
        """The precision that a model is trained in."""
        if (training := self.training(model)) is None:
            return "float32"
        products = math.inf if model.part else self._multiplications(model) * training.batch_size
        return resolve_precision(training.precision, self.device, products)

    def _multiplications(self, model: Model) -> int:
        if model.part is not None and (trained := model.part.of_crops):
            return size_of(trained[0], self.shape[0], trained[1])[1]
        if model.name not in self.products:
            n, shape = inputs(self.study, model, self.splits["train"].shape)
            self.products[model.name] = model.code.multiplications(model.network, n, shape)
        return self.products[model.name]

    def work(self, model: Model, seed: int) -> Work:
        """What is to be done for one model; a training is 6 operations for each product, sample and epoch."""
        n, training = self.n_fitted(model), self.training(model)
        if training:
            n = n if model.part is None else model.part.n_per_epoch(n)
            operations = 6 * self._multiplications(model) * training.epochs * n
            return Work(
                model.name, seed, model.of, n_steps(n, training), 1e-9 * operations, precision=self.precision(model)
            )
        assert model.part is not None
        other = model.part.seconds_to_fit * n + model.part.seconds_to_code * self.n_measured(model)
        return Work(model.name, seed, model.of, 0, 2e-9 * self.splits["train"].n_features ** 2 * n, other)

    def n_fitted(self, model: Model) -> int:
        """The images that a model is fitted on."""
        n = self.n_images(self.fit_split(model))
        return n if model.part is None else model.part.n_fitted(n)

    def n_measured(self, model: Model) -> int:
        """The images that a model is measured on, each under each corruption."""
        sets: set[tuple[str, Any]] = {("test", None)}
        for measure in self.study.measures:
            if matches(model, measure.models) and not measure.images:
                sets |= {(measure.split, part) for part in measure.corruptions()}
        return sum(self.n_images(split) for split, _ in sets)

    def plan_row(self, model: Model, seed: int) -> dict[str, Any]:
        """What is to be done for one model, as results.json has it."""
        work, training = self.work(model, seed), self.training(model)
        return {
            "model": model.name,
            "seed": seed,
            "samples": self.n_fitted(model),
            "epochs": training.epochs if training else None,
            "steps": work.steps,
            "gflop": round(work.gflop, 1),
            "threads": self.threads(model),
            "side_by_side": self.n_parallel,
            **({"other_seconds": round(work.other, 1)} if work.other else {}),
            **({} if (precision := self.precision(model)) == "float32" else {"precision": precision}),
        }

    def room(self) -> int:
        """Bytes that the weights of all models to be trained may take, and the largest one's checkpoints."""
        sizes = [4 * self.n_weights(model) for model in self.models]
        trained = [size for size, model in zip(sizes, self.models, strict=True) if model.training]
        checkpoints = 12 * max(trained, default=0)  # weights, moments and best weights; two of them and a third
        return len(self.seeds) * sum(sizes) + checkpoints

    def n_weights(self, model: Model) -> int:
        """Numbers that a model learns, or has of the model that it is of."""
        n, shape = inputs(self.study, model, self.shape) if self.shape[1] else (0, None)
        if model.part is None:
            return model.code.n_weights(model.network, n, shape)
        if model.part.any_size:
            return size_of(model.part.of_crops[0], self.shape[0], 64)[0] if model.part.of_crops else 0
        return self.n_weights(self.study.model(str(model.of))) if model.part.searches else model.part.n_weights(n)


def split_for(study: Study, dataset: Dataset, models: tuple[Model, ...]) -> dict[str, Split]:
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
        n_train, whole = len(splits["train"]), splits["train"].followed_by(splits["test"])
        splits |= {"all": whole, "train": whole.take(slice(0, n_train)), "test": whole.take(slice(n_train, None))}
    return splits


def inputs(study: Study, model: Model, shape: Shape) -> tuple[int, Shape | None]:
    """Numbers that go into a model, an image's or the code's of the model that it is of; and an image's shape."""
    if model.of:
        return code_width(study, study.model(model.of), shape), None
    return math.prod(shape), shape


def code_width(study: Study, model: Model, shape: Shape) -> int:
    """Numbers in the code of a model that is not fitted yet."""
    if model.part is None:
        return model.code.width(model.network, *inputs(study, model, shape))
    if model.part.searches:
        return code_width(study, study.model(str(model.of)), shape)
    return model.part.code_width(inputs(study, model, shape)[0])
