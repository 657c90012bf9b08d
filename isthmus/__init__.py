"""isthmus: learned representations of images, trained, compared and looked at.

The names below are imported when they are first used, so `import isthmus` is quick and computes nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Affine": "isthmus.parts",
    "Autoencoder": "isthmus.estimators.autoencoder",
    "BCE": "isthmus.parts",
    "Conv": "isthmus.parts",
    "DecoderPrior": "isthmus.estimators.decoder_prior",
    "Denoiser": "isthmus.estimators.denoising.denoiser",
    "Dense": "isthmus.parts",
    "Dictionary": "isthmus.parts",
    "Gaussian": "isthmus.parts",
    "GaussianNoise": "isthmus.parts",
    "Images": "isthmus.data.images",
    "IsthmusError": "isthmus.errors",
    "KL": "isthmus.parts",
    "L1": "isthmus.parts",
    "MSE": "isthmus.parts",
    "Masking": "isthmus.parts",
    "Module": "isthmus.parts",
    "Occlusion": "isthmus.parts",
    "Plain": "isthmus.parts",
    "Poisson": "isthmus.parts",
    "Quantized": "isthmus.parts",
    "Residual": "isthmus.parts",
    "SaltAndPepper": "isthmus.parts",
    "Sequence": "isthmus.parts",
    "UNet": "isthmus.parts",
    "denoising_scorer": "isthmus.estimators.scoring",
    "load": "isthmus.persistence",
    "load_dataset": "isthmus.data.sources.registry",
    "open_images": "isthmus.data.collections.collection",
    "open_rows": "isthmus.data.stored.stored_rows",
    "representation": "isthmus.analysis.representation",
    "run": "isthmus.displays.study_run",
    "save": "isthmus.persistence",
}

if TYPE_CHECKING:
    from isthmus.analysis.representation import representation
    from isthmus.data.collections.collection import open_images
    from isthmus.data.images import Images
    from isthmus.data.sources.registry import load as load_dataset
    from isthmus.data.stored.stored_rows import open_rows
    from isthmus.displays.study_run import run
    from isthmus.errors import IsthmusError
    from isthmus.estimators.autoencoder import Autoencoder
    from isthmus.estimators.decoder_prior import DecoderPrior
    from isthmus.estimators.denoising.denoiser import Denoiser
    from isthmus.estimators.scoring import denoising_scorer
    from isthmus.parts import (
        BCE,
        KL,
        L1,
        MSE,
        Affine,
        Conv,
        Dense,
        Dictionary,
        Gaussian,
        GaussianNoise,
        Masking,
        Module,
        Occlusion,
        Plain,
        Poisson,
        Quantized,
        Residual,
        SaltAndPepper,
        Sequence,
        UNet,
    )
    from isthmus.persistence import load, save

__all__ = [
    "BCE",
    "KL",
    "L1",
    "MSE",
    "Affine",
    "Autoencoder",
    "Conv",
    "DecoderPrior",
    "Denoiser",
    "Dense",
    "Dictionary",
    "Gaussian",
    "GaussianNoise",
    "Images",
    "IsthmusError",
    "Masking",
    "Module",
    "Occlusion",
    "Plain",
    "Poisson",
    "Quantized",
    "Residual",
    "SaltAndPepper",
    "Sequence",
    "UNet",
    "denoising_scorer",
    "load",
    "load_dataset",
    "open_images",
    "open_rows",
    "representation",
    "run",
    "save",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'isthmus' has no attribute {name!r}")
    module = importlib.import_module(_HOME[name])
    value = getattr(module, "load" if name == "load_dataset" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
