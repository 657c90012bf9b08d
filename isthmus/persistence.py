"""A fitted model as a folder: model.safetensors, config.json, history.jsonl. Never pickle.

config.json says what to build, from a closed set of classes, and is held against its own sha256. The weights are held
against the sha256 in it and, before anything of their size is made, against the shapes in their header. Outputs after a
round trip are the same bits, on the same device; but of a PCA by the solver "randomized" or "arpack" the last bit may
differ, for the layout in memory that these leave is not kept.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.numpy
import torch
from sklearn.base import clone

from isthmus.codes import build, dry_run
from isthmus.data.identity import from_text
from isthmus.errors import DataError, DoubtWarning, RequestError, one_line, one_of
from isthmus.estimators import saving
from isthmus.estimators.adapters import Adapter, adapter_of
from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.borrowed import name_features
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.estimators.saving import CONFIG, FORMAT, HISTORY, PREVIEW, WEIGHTS, check_place, digest, give, write
from isthmus.files import open_regular
from isthmus.kinds import COMPUTES, KINDS
from isthmus.networks.denoisers import build as build_denoiser
from isthmus.networks.standardization import Standardization
from isthmus.parts import MSE, PRECISIONS, ROLES, Dense, Part, Plain, Training, checks, from_table
from isthmus.training.hardware import resolve_device
from isthmus.training.history import History, Trained

# How safetensors calls what a network's tensors may be: the types that NumPy has too
_DTYPES = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.float32: "F32",
    torch.float64: "F64",
}
_CONFIG_BYTES = 16 << 20  # no config.json is nearly as long


def save(model: Any, folder: str | Path, *, extra: dict[str, Any] | None = None) -> None:
    """Write a fitted model to a folder, whole or not at all; a model that was there before is replaced.

    Known: Autoencoder, DecoderPrior, scikit-learn's PCA, MiniBatchDictionaryLearning and the identity (a
    FunctionTransformer without functions), and registered kinds. extra: facts to keep in config.json under "extra".
    Raises RequestError for another class, and for a place where something lies that is no model.
    """
    adapter = adapter_of(model)
    # a subclass has the adapter of its base class, and would be loaded as that
    saved = adapter.saved() if type(model) in COMPUTES["estimator"] else Adapter.saved(adapter)
    write(model, saved, folder, extra=extra)


def load(folder: str | Path, *, device: str | None = None, build: Any = None) -> Any:
    """The fitted model that `save` wrote. Raises DataError, with the path, for anything that is not whole.

    device: "auto", "cpu", "cuda" or "mps"; None means the model's own argument `device`, and where that is not on this
    machine, the CPU, with a DoubtWarning. build: the function that built the network, for a model of `Module`, of which
    the folder has the name, and no code.
    """
    folder = Path(folder)
    config = read_config(folder)
    builder = give(build, config, folder)
    saving.check_weights(folder, config["weights_sha256"])
    try:
        kind = KINDS["estimator"].get(config["class"])
        roles = getattr(kind, "ROLES", ROLES)
        parameters = {name: _part(name, value, roles) for name, value in config["parameters"].items()}
        if kind is None:
            raise DataError(f'unknown class "{config["class"]}" in {CONFIG}')
        if kind in _REBUILDS:
            model: Any = _REBUILDS[kind](parameters, config["fitted"], folder, device)
            _describe(model, config)
        else:
            adapter = COMPUTES["estimator"][kind]
            model = adapter.rebuilt(parameters, safetensors.numpy.load_file(folder / WEIGHTS), config["fitted"])
    except RequestError as error:
        if device is not None and str(error).startswith("device "):
            raise
        fault = f"has other weights than {builder} makes" if builder else "does not hold a whole model"
        raise DataError(f"{folder} {fault}: {error}") from None
    except (
        safetensors.SafetensorError,
        LookupError,
        TypeError,
        ValueError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
        OSError,
    ) as error:
        reason = one_line(error)  # torch lists wrong shapes in several lines
        raise DataError(f"{folder} does not hold a whole model: {reason}") from None
    return model


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model's folder, its format checked."""
    path = folder / CONFIG
    try:
        with open_regular(path) as file:
            text = file.read(_CONFIG_BYTES + 1)
        if len(text) > _CONFIG_BYTES:
            raise DataError(f"{path} is longer than {_CONFIG_BYTES >> 20} MiB, so it is not a model's")
        config = json.loads(text.decode("utf-8"))
    except OSError as error:
        raise DataError(f"{folder} holds no model: cannot read {path.name}: {error.strerror}") from None
    except DataError:
        raise
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from None
    version = config.get("format") if isinstance(config, dict) else None
    if version != FORMAT:
        newer = isinstance(version, int) and version > FORMAT
        why = ": a newer isthmus wrote it, so upgrade isthmus" if newer else ""
        raise DataError(f"{path} has format {version!r}; this isthmus reads format {FORMAT}{why}")
    stated = config.pop("sha256", None)  # which no older isthmus wrote
    if stated is not None and stated != digest(config):
        raise DataError(
            f"{path} was changed after it was written: its sha256 is not the one that it states; copy it anew"
        )
    for key, kind in (("class", str), ("parameters", dict), ("fitted", dict), ("weights_sha256", str)):
        if not isinstance(config.get(key), kind):
            raise DataError(f'{path} has no "{key}"')
    return config


def _describe(model: Any, config: dict[str, Any]) -> None:
    """Give a model what is noted of its samples and codes, so that it is there when it is saved again."""
    for name in ("input", "code"):
        if isinstance(config.get(name), dict):
            setattr(adapter_of(model).trained, f"{name}_", config[name])


def _part(role: str, value: Any, roles: Mapping[str, Mapping[str, type[Part]]] = ROLES) -> Any:
    """The part that a table in config.json stands for; other values as they are."""
    if not isinstance(value, dict) or role not in roles:
        return value
    return from_table(roles[role], value)


def _autoencoder(parameters: dict[str, Any], fitted: dict[str, Any], folder: Path, device: str | None) -> Autoencoder:
    for name in parameters:
        one_of("parameter of an Autoencoder", name, Autoencoder._get_param_names())
    if parameters.get("network") is None:  # in an older model, whatever its recipe: there it meant this one
        parameters = {**parameters, "network": Dense()}
    model = Autoencoder(**parameters)
    (network_part, _, _, training), code = model.parts(), parameters.get("code") or Plain()
    if code != model.part("code"):  # an older model, whose recipe left the noise to the loss
        model.set_params(loss=MSE())
    n, shape = _whole_number(fitted, "n_features_in_", 1), fitted["image_shape_"]
    if shape is not None:
        if not (isinstance(shape, list) and len(shape) == 3 and all(type(length) is int for length in shape)):
            raise DataError(f"image_shape_ must be three numbers, got {shape!r}")
        if math.prod(shape) != n:
            raise DataError(f"images of {shape} do not have {n} numbers")
        shape = tuple(shape)
    seed, precision = _whole_number(fitted, "seed_"), fitted["precision_"]
    if precision not in PRECISIONS:
        raise DataError(f"unknown precision {precision!r}")
    # a network is as large as config.json says, so before it is made it is held against what is in the file
    in_file, described = _n_numbers(folder / WEIGHTS), code.n_weights(network_part, n, shape)
    if in_file != described and not network_part.by_function:  # of which the shapes are named below
        raise DataError(f"{WEIGHTS} holds {in_file} numbers, and the network that {CONFIG} describes has {described}")
    _check_tensors(folder / WEIGHTS, dry_run(code, network_part, n, shape).state_dict())
    network = build(network_part, code, n, torch.Generator(), shape)
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    with open_regular(folder / HISTORY) as file:
        history = History.from_jsonl(file.read().decode("utf-8"))
    if (table := fitted.get("standardization")) is not None:
        network.standardize(Standardization.from_table(table))
    network.to(_device(device, training.device)).eval()
    if (chosen := fitted.get("training_")) is not None:  # what a recipe chose; older models have no recipe
        training = from_table({Training.kind: Training}, chosen)
    model.adopt(
        Trained(
            network,
            training,
            history,
            shape,
            seed,
            precision,
            pca_of_all=fitted.get("pca_of_all") is True,
            pca_samples=from_text(fitted.get("pca_samples")),
        )
    )
    name_features(model, fitted)
    return model


def _denoiser(parameters: dict[str, Any], fitted: dict[str, Any], folder: Path, device: str | None) -> Denoiser:
    for name in parameters:
        one_of("parameter of a Denoiser", name, Denoiser._get_param_names())
    model = Denoiser(**parameters)
    channels, seed = _whole_number(fitted, "n_channels_", 1), _whole_number(fitted, "seed_")
    scale, precision, training = fitted["scale_"], fitted["precision_"], fitted["training_"]
    if not (checks.is_finite(scale) and scale > 0):
        raise DataError(f"scale_ must be a positive number, got {scale!r}")
    if precision not in PRECISIONS:
        raise DataError(f"unknown precision {precision!r}")
    part = model.part("network")
    with torch.device("meta"):
        declared = build_denoiser(part, channels, torch.Generator()).state_dict()
    _check_tensors(folder / WEIGHTS, declared)
    network = build_denoiser(part, channels, torch.Generator())
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    with open_regular(folder / HISTORY) as file:
        history = History.from_jsonl(file.read().decode("utf-8"))
    training = from_table({Training.kind: Training}, training)
    network.to(_device(device, training.device)).eval()
    shape = (channels, model.crop, model.crop)
    is_shot = fitted.get("is_shot", model.noise.shot_and_read[0])  # older models do not say it
    if type(is_shot) is not bool:
        raise DataError(f"is_shot must be true or false, got {is_shot!r}")
    known = {"scale": scale, "is_shot": is_shot, "images": fitted.get("images")}
    model.adopt(Trained(network, training, history, shape, seed, precision, **known))
    return model


def _n_numbers(path: Path) -> int:
    """Numbers in all tensors of a safetensors file, by its header alone."""
    with safetensors.safe_open(path, framework="numpy") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _check_tensors(path: Path, declared: dict[str, torch.Tensor]) -> None:
    """Raise DataError for a safetensors file whose header has other tensors than a network declares."""
    with safetensors.safe_open(path, framework="numpy") as file:
        parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        stored = {name: (part.get_dtype(), tuple(part.get_shape())) for name, part in parts.items()}
    for name in {**declared, **stored}:
        if name not in stored or name not in declared:
            raise DataError(f"{WEIGHTS} has {'no' if name in declared else 'a'} {name}, other than its network")
        expected = _DTYPES.get(declared[name].dtype), tuple(declared[name].shape)
        if stored[name] != expected:
            (dtype, shape), (kind, size) = stored[name], expected
            raise DataError(f"{WEIGHTS} holds {name} as {dtype} of shape {shape}, expected {kind} of shape {size}")


def _whole_number(fitted: dict[str, Any], name: str, least: int | None = None) -> int:
    value = fitted[name]
    if type(value) is not int or (least is not None and value < least):
        raise DataError(f"{name} must be a whole number, got {value!r}")
    return value


def _device(requested: str | None, preferred: str) -> torch.device:
    if requested is not None:
        return resolve_device(requested)
    try:
        return resolve_device(preferred)
    except RequestError:
        warning = f'the model\'s device "{preferred}" is not on this machine; it is loaded on the CPU'
        warnings.warn(warning, DoubtWarning, stacklevel=4)
        return torch.device("cpu")


def _decoder_prior(
    parameters: dict[str, Any], fitted: dict[str, Any], folder: Path, device: str | None
) -> DecoderPrior:
    saved = fitted["autoencoder"]
    searched = {name: _part(name, value) for name, value in saved["parameters"].items()}
    autoencoder = _autoencoder(searched, saved["fitted"], folder, device)
    model = DecoderPrior(**{**parameters, "autoencoder": clone(autoencoder)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DoubtWarning)  # which was said when it was fitted
        model.of(autoencoder)
    model.seed_ = _whole_number(fitted, "seed_")
    return model


# How isthmus' own estimators are built again, whose weights go to a device; the adapters of others do it themselves
_REBUILDS: dict[type, Callable[..., Any]] = {
    Autoencoder: _autoencoder,
    DecoderPrior: _decoder_prior,
    Denoiser: _denoiser,
}

__all__ = ["CONFIG", "PREVIEW", "check_place", "load", "read_config", "save"]
