"""The unfitted estimator that a study's model stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.preprocessing import FunctionTransformer

from isthmus.estimators.autoencoder import Autoencoder
from isthmus.estimators.decoder_prior import DecoderPrior
from isthmus.estimators.denoising.classical import ClassicalDenoiser
from isthmus.estimators.denoising.denoiser import Denoiser
from isthmus.parts import DictionaryLearning
from isthmus.studies.spec.study import Model


def estimator(model: Model, seed: int, device: str = "cpu") -> Any:
    """Make the estimator with this random_state. device: the kind on which an autoencoder is trained."""
    if model.part is None:
        return Autoencoder(**{**model.arguments, **model.training_arguments, "device": device, "random_state": seed})
    made = _MAKES[model.estimator](dict(model.arguments), seed)
    return made.set_params(device=device) if isinstance(made, Denoiser) else made


def _pca(arguments: dict[str, Any], _: int) -> PCA:
    arguments = {name: value for name, value in arguments.items() if name not in ("center", "corruption")}
    if arguments["n_components"] == "best":
        arguments["n_components"] = None  # all, until it is known how many are best
    # the covariance of 784 pixels costs one product, however many images there are
    return PCA(**arguments, svd_solver="covariance_eigh", copy=False)


def _dictionary_learning(arguments: dict[str, Any], seed: int) -> MiniBatchDictionaryLearning:
    part = DictionaryLearning(**arguments)
    return MiniBatchDictionaryLearning(
        part.n_atoms,
        alpha=part.alpha,
        max_iter=part.passes,
        batch_size=part.batch_size,
        fit_algorithm="cd",
        transform_algorithm="omp",
        transform_n_nonzero_coefs=part.n_nonzero,
        random_state=seed,
    )


def _decoder_prior(arguments: dict[str, Any], seed: int) -> DecoderPrior:
    if arguments.get("lower") == "none":
        arguments["lower"] = None
    return DecoderPrior(**arguments, random_state=seed)


def _denoiser(arguments: dict[str, Any], seed: int) -> Denoiser:
    return Denoiser(**{"precision": "float32", **arguments}, random_state=seed)


_MAKES: dict[str, Callable[[dict[str, Any], int], Any]] = {
    "classical": lambda arguments, _: ClassicalDenoiser(arguments["method"]),
    "decoder-prior": _decoder_prior,
    "denoiser": _denoiser,
    "dictionary-learning": _dictionary_learning,
    "identity": lambda *_: FunctionTransformer(check_inverse=False),
    "pca": _pca,
}
