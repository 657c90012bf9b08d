"""A study's model fitted: the estimator that it stands for, its training, and the time that it took."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import persistence
from isthmus.errors import DataError, DoubtWarning
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.common import encode
from isthmus.studies.context import Context
from isthmus.studies.listener import Listener
from isthmus.studies.study import Model


def estimator(context: Context, model: Model, seed: int) -> Any:
    """The unfitted estimator that a study's model stands for."""
    match model.estimator:
        case "pca":
            arguments = {name: value for name, value in model.arguments.items() if name != "center"}
            # the covariance of 784 pixels costs one product, however many images there are
            return PCA(**arguments, svd_solver="covariance_eigh", copy=False)
        case "identity":
            return FunctionTransformer(check_inverse=False)
        case _:
            return Autoencoder(**{**model.arguments, "device": context.device.type, "random_state": seed})


def fit(context: Context, model: Model, seed: int, listener: Listener) -> tuple[Any, dict[str, Any]]:
    """Fit a model, and time it: training steps only."""
    images = context.splits[context.fit_split(model)]
    unfitted, training = estimator(context, model, seed), model.training
    given: list[Any]
    label = context.label(model.name, seed)
    listener.started(label, training.epochs if training else 0)
    if isinstance(unfitted, Autoencoder):
        assert training is not None
        given = [images, context.splits.get("validation")]
        if model.of:
            given = [encode(context.fitted[model.of, seed], one) if one else None for one in given]
        x, held_out = given
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DoubtWarning)  # the report says it, and the console did
            for row in unfitted.fit_epochs(x, validation=held_out):
                listener.epoch(label, row, training.epochs)
        seconds = unfitted.history_.seconds
    else:
        x = encode(context.fitted[model.of, seed], images) if model.of else images.floats()
        start = time.perf_counter()
        unfitted.fit(x)
        seconds = time.perf_counter() - start
        if not model.arguments.get("center", True):
            unfitted.mean_ = np.zeros_like(unfitted.mean_)  # from here on images are projected as they are
    return unfitted, {
        "model": model.name,
        "seed": seed,
        "phase": "fit",
        "seconds": seconds,
        "samples": len(images),
        "epochs": len(unfitted.history_) if training else None,
        "threads": context.threads(model),
        "precision": context.precision(model),
        "side_by_side": 1,
    }


def keep(context: Context, model: Model, seed: int, own: Any) -> None:
    """Put a fitted model into the context; a model of another model's codes is a pipeline of both."""
    upstream = context.fitted[model.of, seed] if model.of else None
    context.fitted[model.name, seed] = Pipeline([(str(model.of), upstream), (model.name, own)]) if upstream else own


def available(context: Context, name: str) -> bool:
    """Have a model of the study's own seed in memory, if this run or an earlier one finished it."""
    seed, model = context.study.seed, context.study.model(name)
    if (name, seed) in context.fitted:
        return True
    if not context.finished(model, seed) or (model.of and not available(context, model.of)):
        return False
    try:
        keep(context, model, seed, persistence.load(context.model_folder(model, seed)))
    except DataError:
        return False
    return True
