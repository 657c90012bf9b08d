"""Products of matrices, in float32 on a CPU by the faster of the two libraries that torch has.

torch multiplies float32 by MKL, which uses AVX-512 on Intel's processors alone. oneDNN, which torch has for bfloat16,
uses it on all: on a core of an AMD EPYC with 512 bits of data path 200 to 230 GFLOP/s, where MKL has 100. Both are
float32 throughout. None of this is for autograd: `linear.py` is.
"""

from __future__ import annotations

import contextlib
import functools
import platform

import torch

# Products of two numbers from which on oneDNN is faster there, of a weight's gradient too, which is copied to its
# place: a call of it takes 10 microseconds more. MKL's time over its: 0.8 of 1.0 million, 1.1 to 1.3 of 1.6, 1.2 to 1.7
# of 3.2, 1.9 to 2.2 of 26.
_WORTH = 1_500_000


def affine(bias: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """x @ weight.t() + bias, as nn.Linear has it."""
    if takes_onednn(len(x), x, weight):
        return _by_onednn(x, weight, bias)
    return torch.addmm(bias, x, weight.t())


def multiplied(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a @ b."""
    return _by_onednn(a, b.t(), None) if takes_onednn(len(a), a, b) else a @ b


def put_gradient(weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """Leave a @ b as the gradient of a weight that has one: over what was there, or where oneDNN makes it."""
    assert weight.grad is not None
    if weight.dtype == a.dtype and takes_onednn(len(a), a, b) and not _is_tall(a, b):
        weight.grad = None  # its memory is free for the next
        weight.grad = multiplied(a, b)
    else:
        multiply_into(weight.grad, a, b)


def multiply_into(out: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> None:
    """a @ b into out, whatever its dtype."""
    if a.dtype == out.dtype and not takes_onednn(len(a), a, b):
        torch.mm(a, b, out=out)
    elif _is_tall(a, b):
        out.copy_(multiplied(b.t(), a.t()).t())
    else:
        out.copy_(multiplied(a, b))


def _is_tall(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether b and a @ b are fewer numbers than a, which oneDNN copies if it does not lie in rows, as a gradient."""
    return b.numel() + len(a) * b.shape[1] < a.numel()


def takes_onednn(rows: int, x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether oneDNN multiplies so many rows, as x has them, by weight.t()."""
    is_large = rows * weight.numel() >= _WORTH
    return is_large and x.dtype == torch.float32 == weight.dtype and x.device.type == "cpu" and is_faster_by_onednn()


def _by_onednn(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return made


@functools.cache
def is_faster_by_onednn() -> bool:
    """Whether this CPU has AVX-512, is not Intel's, and this torch has oneDNN's products.

    Known, not measured: the bits of a training depend on it, and are to be the same each time.
    """
    has_products = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return has_products and torch.backends.cpu.get_cpu_capability() == "AVX512" and "GenuineIntel" not in _maker()


def _maker() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line for line in file if line.startswith("vendor_id")), "")
    return platform.processor()
