"""A fitted model as a folder: model.safetensors, config.json, history.jsonl. Never pickle.

config.json says what to build, from a closed set of classes; the weights are held against its sha256 and against the
shapes that were built. Outputs after a round trip are the same bits.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.preprocessing import FunctionTransformer

from isthmus import __version__
from isthmus.errors import DataError, RequestError
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.files import atomic_folder
from isthmus.networks import build
from isthmus.parts import ROLES, Part, from_table
from isthmus.training.history import History

FORMAT = 1
WEIGHTS, CONFIG, HISTORY = "model.safetensors", "config.json", "history.jsonl"
_DICTIONARY_NUMBERS = ("n_features_in_", "n_iter_", "n_steps_")
_PCA_ARRAYS = ("components_", "mean_", "explained_variance_", "explained_variance_ratio_", "singular_values_")


def save(model: BaseEstimator, folder: str | Path, *, extra: dict[str, Any] | None = None) -> None:
    """Write a fitted model to a folder, whole or not at all.

    Known: Autoencoder, DecoderPrior, and scikit-learn's PCA, MiniBatchDictionaryLearning and the identity (a
    FunctionTransformer without functions). extra: facts to keep in config.json under "extra". Raises RequestError for
    another class.
    """
    tensors, fitted = _parts_of(model)
    weights = safetensors.numpy.save(tensors)
    config = {
        "format": FORMAT,
        "isthmus": __version__,
        "class": type(model).__name__,
        "parameters": {name: _plain(value) for name, value in model.get_params(deep=False).items()},
        "fitted": fitted,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "extra": extra or {},
    }
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as building:
        (building / WEIGHTS).write_bytes(weights)
        (building / CONFIG).write_text(json.dumps(config, indent=1, allow_nan=False), "utf-8")
        trained = model.autoencoder_ if isinstance(model, DecoderPrior) else model
        if isinstance(trained, Autoencoder):
            (building / HISTORY).write_text(trained.history_.to_jsonl(), "utf-8")


def load(folder: str | Path) -> Any:
    """The fitted model that `save` wrote. Raises DataError, with the path, for anything that is not whole."""
    folder = Path(folder)
    config = read_config(folder)
    try:
        weights = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {folder / WEIGHTS}: {error.strerror}") from None
    if hashlib.sha256(weights).hexdigest() != config["weights_sha256"]:
        raise DataError(f"{folder / WEIGHTS} was changed or cut short: its sha256 is not the one in {CONFIG}")
    try:
        tensors = safetensors.numpy.load(weights)
        parameters = {name: _part(name, value) for name, value in config["parameters"].items()}
        match config["class"]:
            case "Autoencoder":
                text = (folder / HISTORY).read_text("utf-8")
                return _autoencoder(parameters, tensors, config["fitted"], History.from_jsonl(text))
            case "DecoderPrior":
                text = (folder / HISTORY).read_text("utf-8")
                return _decoder_prior(parameters, tensors, config["fitted"], History.from_jsonl(text))
            case "MiniBatchDictionaryLearning":
                return _dictionary_learning(parameters, tensors, config["fitted"])
            case "PCA":
                return _pca(parameters, tensors, config["fitted"])
            case "FunctionTransformer":
                return FunctionTransformer(check_inverse=False)
            case other:
                raise DataError(f'{folder / CONFIG}: unknown class "{other}"')
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())  # torch lists wrong shapes in several lines
        raise DataError(f"{folder} does not hold a whole model: {reason}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model's folder, its format checked."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{folder} holds no model: cannot read {path.name}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    found = config.get("format") if isinstance(config, dict) else None
    if found != FORMAT:
        raise DataError(f"{path} has format {found!r}; this isthmus reads format {FORMAT}")
    for key, kind in (("class", str), ("parameters", dict), ("fitted", dict), ("weights_sha256", str)):
        if not isinstance(config.get(key), kind):
            raise DataError(f'{path} has no "{key}"')
    return config


def _parts_of(model: BaseEstimator) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if isinstance(model, Autoencoder):
        state = model.network_.state_dict()
        tensors = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in state.items()}
        names = ("n_features_in_", "image_shape_", "seed_", "precision_")
        return tensors, {name: getattr(model, name) for name in names}
    if isinstance(model, DecoderPrior):
        tensors, fitted = _parts_of(model.autoencoder_)
        own = {name: _plain(value) for name, value in model.autoencoder_.get_params(deep=False).items()}
        return tensors, {"autoencoder": {"parameters": own, "fitted": fitted}, "seed_": model.seed_}
    if isinstance(model, MiniBatchDictionaryLearning):
        counts = {name: int(getattr(model, name)) for name in _DICTIONARY_NUMBERS}
        return {"components_": np.ascontiguousarray(model.components_)}, counts
    if isinstance(model, PCA):
        tensors = {name: np.ascontiguousarray(getattr(model, name)) for name in _PCA_ARRAYS}
        numbers = ("n_components_", "n_samples_", "n_features_in_")
        return tensors, {
            **{k: int(getattr(model, k)) for k in numbers},
            "noise_variance_": float(model.noise_variance_),
            # safetensors keeps rows; products with the transposed layout, which some solvers leave, have other bits
            "by_columns": not model.components_.flags.c_contiguous,
        }
    if isinstance(model, FunctionTransformer) and model.func is None and model.inverse_func is None:
        return {}, {}
    known = "Autoencoder, DecoderPrior, PCA, MiniBatchDictionaryLearning, identity"
    raise RequestError(f"cannot save a {type(model).__name__}; known: {known}")


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return value.table()
    if isinstance(value, np.generic):
        value = value.item()
    # a RandomState cannot be written down; the seed that came of it is in "fitted"
    return value if isinstance(value, str | int | float | bool | None) else None


def _part(role: str, value: Any) -> Any:
    """The part that a table in config.json stands for; other values as they are."""
    if not isinstance(value, dict) or role not in ROLES:
        return value
    return from_table(ROLES[role], value)


def _autoencoder(
    parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any], history: History
) -> Autoencoder:
    model = Autoencoder(**parameters)
    network_part = model._parts()[0]
    shape = tuple(fitted["image_shape_"]) if fitted["image_shape_"] else None
    network = build(network_part, fitted["n_features_in_"], torch.Generator(), shape)
    network.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in tensors.items()})
    model._fitted(network.eval(), history, shape, fitted["seed_"], fitted["precision_"])
    return model


def _decoder_prior(
    parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any], history: History
) -> DecoderPrior:
    own = fitted["autoencoder"]
    searched = {name: _part(name, value) for name, value in own["parameters"].items()}
    autoencoder = _autoencoder(searched, tensors, own["fitted"], history)
    model = DecoderPrior(**{**parameters, "autoencoder": clone(autoencoder)}).of(autoencoder)
    model.seed_ = fitted["seed_"]
    return model


def _dictionary_learning(
    parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any]
) -> MiniBatchDictionaryLearning:
    model = MiniBatchDictionaryLearning(**parameters)
    if set(tensors) != {"components_"} or tensors["components_"].shape[1:] != (fitted["n_features_in_"],):
        raise DataError(f"tensors {sorted(tensors)}, expected components_ of {fitted['n_features_in_']} columns")
    model.components_ = tensors["components_"]
    for name in _DICTIONARY_NUMBERS:
        setattr(model, name, fitted[name])
    return model


def _pca(parameters: dict[str, Any], tensors: dict[str, np.ndarray], fitted: dict[str, Any]) -> PCA:
    model = PCA(**parameters)
    if set(tensors) != set(_PCA_ARRAYS):
        raise DataError(f"tensors {sorted(tensors)}, expected {sorted(_PCA_ARRAYS)}")
    n, n_features = fitted["n_components_"], fitted["n_features_in_"]
    for name, array in tensors.items():
        shape = {"components_": (n, n_features), "mean_": (n_features,)}.get(name, (n,))
        if array.shape != shape:
            raise DataError(f"{name} has the shape {array.shape}, expected {shape}")
    if fitted.pop("by_columns", False):
        tensors["components_"] = np.asfortranarray(tensors["components_"])
    for name, value in {**tensors, **fitted}.items():
        setattr(model, name, value)
    return model
