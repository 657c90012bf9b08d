"""Modules and files of a fitted estimator, for programs without isthmus."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted
from torch import nn

from isthmus import __version__
from isthmus.errors import RequestError
from isthmus.estimators.saving import Savable
from isthmus.files import atomic_file
from isthmus.interchange import onnx_files
from isthmus.interchange.torch_modules import AutoencoderModule, DenoiserModule
from isthmus.parts import Plain


class Portable(Savable, abc.ABC):
    """An estimator with a network of its own."""

    network_: Any

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "fitted_")


class PortableAutoencoder(Portable, abc.ABC):
    """An autoencoder as a plain module, or as a file."""

    def as_module(self, function: str = "reconstruct") -> nn.Module:
        """A plain torch module with a copy of the network, on the CPU, through which nothing leads back here.

        function: what calling it does; all three are methods too. "reconstruct": samples → x_hat, as `reconstruct`.
        "encode": samples → codes, as `transform`. "decode": codes → x_hat, as `inverse_transform`. Samples are images
        (n, channels, height, width) if `fit` saw images, else rows (n, n_features); codes are (n, code_size); all are
        float32, in the data's units. The numbers are the estimator's, bit for bit if it has as many samples at a time:
        2 to 2,048, fewer of large ones. `torch.export.export` takes it, with any number of samples, and what
        `torch.export.save` writes of that needs isthmus no more. Raises ValueError for another function.

        >>> import numpy as np
        >>> import torch
        >>> from isthmus import Autoencoder, Dense
        >>> X = np.random.default_rng(0).normal(size=(64, 5)).astype("float32")
        >>> model = Autoencoder(Dense(bottleneck=2), epochs=2, random_state=0).fit(X)
        >>> code = model.as_module("encode")(torch.from_numpy(X))
        >>> np.array_equal(code.detach(), model.transform(X))
        True
        """
        check_is_fitted(self)
        model: Any = self
        return AutoencoderModule(model.network_, model.image_shape_, function)

    def to_onnx(self, path: str | Path, function: str = "reconstruct") -> None:
        """Write one function of the fitted model as an ONNX file, for any number of samples; needs `isthmus[onnx]`.

        function: "reconstruct", x → x_hat; "encode", x → code; "decode", code → x_hat: shapes and units are those of
        `as_module`. What comes out is within 1e-5 of the estimator's float32, where numbers are about 1; between two
        vectors of a codebook that are as near, rounding decides. The file's metadata say the shape and the range of the
        training's samples. Modules of one's own go through torch's exporter, which needs the
        package onnxscript too.

        Raises ValueError for another function, for a file's place that cannot be written, where a package is missing,
        and for modules that torch's exporter refuses.
        """
        module: Any = self.as_module(function)
        facts = {"function": function, "network": repr(module.network.part)}
        if module.network.code_part != Plain():
            facts["code"] = repr(module.network.code_part)
        if module.image_shape is not None:
            facts["image_shape"] = ",".join(map(str, module.image_shape))
        if known := getattr(self, "input_", None):
            facts |= {f"training_{name}": f"{known[name]:g}" for name in ("minimum", "maximum", "n_samples")}
        _write(path, onnx_files.of_autoencoder(module, facts | _versions()))


class PortableDenoiser(Portable, abc.ABC):
    """A denoiser as a plain module, or as a file."""

    def as_module(self) -> nn.Module:
        """A plain torch module with a copy of the network, on the CPU, through which nothing leads back here.

        It takes noisy images (n, c, h, w) in float32, of any height and width, and the level of their noise: its
        standard deviation in the images' unit, (1, 1, 1, 1) for all, (n, 1, 1, 1) for each, or a plane for each pixel,
        (n, 1, h, w); of `Poisson` noise that of a pixel of 1, as `sigma` of `denoise`. It gives what `denoise` does,
        but for rounding (and for products in bfloat16), in one piece: a large image takes more memory. The level has to
        be told, also of a blind model: estimating it is no part of the network. `torch.export.export` takes it with any
        number of images of one size.

        >>> import numpy as np
        >>> import torch
        >>> from isthmus import Denoiser, Residual
        >>> photos = np.random.default_rng(0).random((4, 1, 40, 50), np.float32)
        >>> model = Denoiser(Residual(width=8, depth=4), crop=16, crops_per_epoch=32, epochs=1, random_state=0)
        >>> module = model.fit(photos).as_module()
        >>> x_hat = module(torch.from_numpy(photos), torch.full((1, 1, 1, 1), 0.1))
        >>> x_hat.shape
        torch.Size([4, 1, 40, 50])
        """
        check_is_fitted(self)
        model: Any = self
        is_shot, read = model.noise.shot_and_read
        read = read if is_shot and model.target == "clean" else None
        return DenoiserModule(model.network_, model.scale_, read, self_ensemble=model.self_ensemble)

    def to_onnx(self, path: str | Path) -> None:
        """Write the fitted denoiser as an ONNX file; needs `isthmus[onnx]`.

        Its inputs y and level and its output x_hat are those of `as_module`: any number of images of any height and
        width. What comes out is within 1e-5 of what `denoise` gives in float32, of images in [0, 1]. Raises ValueError
        for a network that is neither `Residual` nor `UNet`, for a place that cannot be written, and where a package is
        missing.
        """
        module: Any = self.as_module()
        model: Any = self
        facts = {"network": repr(module.network.part), "noise": repr(model.noise), "scale": f"{model.scale_:.9g}"}
        _write(path, onnx_files.of_denoiser(module, facts | _versions()))


def _versions() -> dict[str, str]:
    return {"isthmus": __version__}


def _write(path: str | Path, content: bytes) -> None:
    try:
        with atomic_file(Path(path)) as file:
            file.write(content)
    except OSError as error:
        raise RequestError(f"cannot write {path}: {error.strerror or error}") from None
