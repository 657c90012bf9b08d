"""A network's decoder as a function to be searched: its value, its gradient, and its Gauss-Newton systems.

For dense decoders these are products, written out; for any other network, automatic differentiation.
"""

from __future__ import annotations

import abc
import warnings

import torch

from isthmus.networks.activations import ACTIVATIONS, BACKWARD
from isthmus.networks.dense import DenseNetwork
from isthmus.networks.network import Network


class Decoder(abc.ABC):
    """decode (n, k) → (n, m), and its derivatives; m is the mean's divisor in `gradient`, as in the objective."""

    @abc.abstractmethod
    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, k) → (n, m)."""

    @abc.abstractmethod
    def gradient(self, code: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Of mean_j (decode(code)_j - y_j)² at each code: (n, k)."""

    @abc.abstractmethod
    def normal_equations(self, code: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """JᵀJ, (n, k, k), and Jᵀ(decode(code) - y), (n, k), J the Jacobian of one image, (m, k)."""


class DenseDecoder(Decoder):
    """The decoder of a `DenseNetwork`."""

    def __init__(self, network: DenseNetwork, dtype: torch.dtype) -> None:
        chain = network.decoder
        self.layers = [(layer.weight.detach().to(dtype), layer.bias.detach().to(dtype)) for layer in chain.layers]
        self.activations = chain.activations
        self.network = network  # which is of this dtype, and knows the data's units

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        return self._forward(code)[0]

    def _forward(self, code: torch.Tensor) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        """The images, and z and y of each layer."""
        x, kept = code, []
        for (weight, bias), activation in zip(self.layers, self.activations, strict=True):
            z = torch.addmm(bias, x, weight.t())
            x = ACTIVATIONS[activation](z)
            kept.append((z, x))
        return self.network.outward(x), kept

    def gradient(self, code: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x_hat, kept = self._forward(code)
        grad = self.network.gradient_inward((x_hat - y) * (2 / y.shape[1]))
        for (weight, _), activation, (z, x) in zip(
            reversed(self.layers), reversed(self.activations), reversed(kept), strict=True
        ):
            grad = BACKWARD[activation](grad, x, z) @ weight
        return grad

    def normal_equations(self, code: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n, k = code.shape
        x_hat, kept = self._forward(code)
        residual = x_hat - y
        # the Jacobian from the code up, (n, k + 1, width): all images' in one product with each weight. A row more is
        # kept for the residual, so that one batched product gives JᵀJ and Jᵀr: by itself Jᵀr takes five times as long
        jacobian = torch.zeros(n, k + 1, self.layers[0][0].shape[0], dtype=code.dtype, device=code.device)
        jacobian[:, :k] = self.layers[0][0].t()
        for i, ((weight, _), activation, (z, x)) in enumerate(zip(self.layers, self.activations, kept, strict=True)):
            slope = BACKWARD[activation](torch.ones_like(x), x, z)
            last = i + 1 == len(self.layers)
            if last:
                slope = self.network.gradient_inward(slope)
            if last and activation == "relu" and i:
                # without the pixels that are black in all these images: a quarter of them, and of the largest product
                lit = slope.any(dim=0).nonzero()[:, 0]
                weight, slope, residual = weight[lit], slope[:, lit], residual[:, lit]
            if i:
                jacobian = (jacobian.view(n * (k + 1), -1) @ weight.t()).view(n, k + 1, -1)
            if activation != "linear" or (last and self.network.standardization):
                jacobian *= slope[:, None, :]
        jacobian[:, k] = residual
        products = jacobian @ jacobian.transpose(1, 2)
        return products[:, :k, :k], products[:, :k, k]


class AnyDecoder(Decoder):
    """The decoder of any network, by automatic differentiation."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        return self.network.decode(code)

    def gradient(self, code: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad():
            code = code.detach().requires_grad_()
            # images do not influence each other, so the gradient of the sum is that of each
            error = (self.network.decode(code) - y).square().mean(dim=1).sum()
        return torch.autograd.grad(error, code)[0]  # and not that at the weights, where it would be left

    def normal_equations(self, code: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        n, k = code.shape
        # a unit vector for each number of the code, pushed forward for all images in one pass
        codes, directions = code.repeat_interleave(k, dim=0), torch.eye(k, dtype=code.dtype, device=code.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of something that it imports here
            x_hat, columns = torch.func.jvp(self.network.decode, (codes,), (directions.repeat(n, 1),))[:2]
        jacobian = columns.view(n, k, -1)
        residual = x_hat[::k] - y
        return jacobian @ jacobian.transpose(1, 2), (jacobian @ residual[:, :, None])[:, :, 0]


def decoder_of(network: Network, dtype: torch.dtype) -> Decoder:
    """The decoder of a fitted network, in this dtype."""
    if isinstance(network, DenseNetwork):
        return DenseDecoder(network, dtype)
    return AnyDecoder(network)
