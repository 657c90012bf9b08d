"""The derivatives of a dense decoder, as products written out."""

from __future__ import annotations

import math

import torch

from isthmus.networks.accelerators.products import affine, multiplied
from isthmus.networks.activations import ACTIVATIONS, BACKWARD
from isthmus.networks.decoders import Decoder
from isthmus.networks.dense import DenseNetwork

_LIT = 64  # the number of pixels that are computed is rounded up to a multiple of it


class DenseDecoder(Decoder):
    """The decoder of a `DenseNetwork`."""

    def __init__(self, network: DenseNetwork, dtype: torch.dtype) -> None:
        super().__init__(network, dtype)
        chain = network.decoder
        self.layers = [(layer.weight.detach().to(dtype), layer.bias.detach().to(dtype)) for layer in chain.layers]
        self.activations = chain.activations

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        return self._forward(code)[0]

    def _forward(self, code: torch.Tensor) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        """The images, and z and y of each layer."""
        x, outputs = code, []
        for (weight, bias), activation in zip(self.layers, self.activations, strict=True):
            z = affine(bias, x, weight)
            x = ACTIVATIONS[activation](z)
            outputs.append((z, x))
        return self.network.outward(x), outputs

    def gradient(self, code: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x_hat, outputs = self._forward(code)
        grad = self.network.gradient_inward((x_hat - y) * (2 / y.shape[1]))
        for (weight, _), activation, (z, x) in zip(
            reversed(self.layers), reversed(self.activations), reversed(outputs), strict=True
        ):
            grad = multiplied(BACKWARD[activation](grad, x, z), weight)
        return grad

    def normal_equations(self, code: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n, k = code.shape
        x_hat, outputs = self._forward(code)
        residual = x_hat - y
        # the Jacobian from the code up, (n, k + 1, width): all images' in one product with each weight. A row more is
        # kept for the residual, so that one batched product gives JᵀJ and Jᵀr: by itself Jᵀr takes five times as long
        jacobian = torch.zeros(n, k + 1, self.layers[0][0].shape[0], dtype=code.dtype, device=code.device)
        jacobian[:, :k] = self.layers[0][0].t()
        for i, ((weight, _), activation, (z, x)) in enumerate(zip(self.layers, self.activations, outputs, strict=True)):
            slope = BACKWARD[activation](torch.ones_like(x), x, z)
            last = i + 1 == len(self.layers)
            if last:
                slope = self.network.gradient_inward(slope)
            if last and activation == "relu" and i:
                # without the pixels that are black in all these images: a quarter of them, and of the largest product.
                # A few black ones, whose slope is 0, fill up to a multiple: oneDNN compiles and keeps each shape
                is_lit = slope.any(dim=0)
                n_kept = _LIT * math.ceil(int(is_lit.sum()) / _LIT)
                lit = is_lit.sort(descending=True, stable=True).indices[:n_kept]
                weight, slope, residual = weight[lit], slope[:, lit], residual[:, lit]
            if i:
                jacobian = multiplied(jacobian.view(n * (k + 1), -1), weight.t()).view(n, k + 1, -1)
            if activation != "linear" or (last and self.network.standardization):
                jacobian *= slope[:, None, :]
        jacobian[:, k] = residual
        products = jacobian @ jacobian.transpose(1, 2)
        return products[:, :k, :k], products[:, :k, k]
