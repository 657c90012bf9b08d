"""A network's decoder as a function to be searched: its value, its gradient, and its Gauss-Newton systems.

By automatic differentiation here, for any network; `networks.accelerators` has them as products, written out.
"""

from __future__ import annotations

import warnings

import torch

from isthmus.networks.network import Network


class Decoder:
    """decode (n, k) → (n, m), and its derivatives; m is the mean's divisor in `gradient`, as in the objective.

    network: of this dtype.
    """

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        self.network = network

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        """(n, k) → (n, m)."""
        return self.network.decode(code)

    def gradient(self, code: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Of mean_j (decode(code)_j - y_j)² at each code: (n, k)."""
        with torch.enable_grad():
            code = code.detach().requires_grad_()
            # images do not influence each other, so the gradient of the sum is that of each
            error = (self.network.decode(code) - y).square().mean(dim=1).sum()
        return torch.autograd.grad(error, code)[0]  # and not that at the weights, where it would be left

    def normal_equations(self, code: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """JᵀJ, (n, k, k), and Jᵀ(decode(code) - y), (n, k), J the Jacobian of one image, (m, k)."""
        n, k = code.shape
        # a unit vector for each number of the code, pushed forward for all images in one pass
        codes, directions = code.repeat_interleave(k, dim=0), torch.eye(k, dtype=code.dtype, device=code.device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, of something that it imports here
            x_hat, columns = torch.func.jvp(self.network.decode, (codes,), (directions.repeat(n, 1),))[:2]
        jacobian = columns.view(n, k, -1)
        residual = x_hat[::k] - y
        return jacobian @ jacobian.transpose(1, 2), (jacobian @ residual[:, :, None])[:, :, 0]
