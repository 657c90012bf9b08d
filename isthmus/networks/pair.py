"""An encoder and a decoder of one's own, any torch modules, as a `Network`."""

from __future__ import annotations

import inspect
import math
import weakref
from typing import Any

import torch
from torch import nn

from isthmus.errors import RequestError, one_line
from isthmus.networks.counting import Products
from isthmus.networks.network import Network, Shape
from isthmus.parts import Module

_returned: weakref.WeakSet[nn.Module] = weakref.WeakSet()  # by any build: modules are never shared by two networks


class PairNetwork(Network):
    """The modules that a `Module` part's function builds, standardized at their two ends.

    They are built, and run once on zeros, on the CPU: of what one may write, not all runs on torch's meta device.
    Raises RequestError for what is no encoder and decoder of samples.
    """

    def __init__(
        self, part: Module, n_features: int, generator: torch.Generator, image_shape: Shape = None, encoded: int = 1
    ) -> None:
        super().__init__()
        self.n_features, self.sample_shape = n_features, tuple(image_shape or (n_features,))
        self.name, self.is_sigmoid = part.name, part.output == "sigmoid"
        is_dry = torch.get_default_device().type == "meta"
        with torch.device("cpu"), torch.random.fork_rng(devices=[]):
            seed = int(torch.randint(2**62, (), generator=generator))
            self.encoder, self.decoder = _built(part, self.sample_shape, seed)
            _check_tensors(self, part.name)
            with Products() as products:
                self.inner_shape = self._measured(encoded)
            if not is_dry:
                self._check_again(_built(part, self.sample_shape, seed))
        self.multiplications = products.n // 2  # of two samples
        self.code_size = math.prod(self.inner_shape)
        self.code_shape = self.inner_shape if len(self.inner_shape) == 3 else None
        if is_dry:
            self.to("meta")

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(self.inward(x).reshape(-1, *self.sample_shape)).flatten(1)

    def decode(self, code: torch.Tensor) -> torch.Tensor:
        return self.decode_both(code, None)

    def decode_both(self, code: torch.Tensor, beside: Any, *, logits: bool = False) -> torch.Tensor:
        y = self.decoder(code.reshape(-1, *self.inner_shape)).flatten(1)
        return self.outward(y.sigmoid() if self.is_sigmoid and not logits else y)

    @torch.no_grad()
    def _measured(self, encoded: int) -> tuple[int, ...]:
        """The shape of a code that the decoder sees, found by a pass of zeros, which also makes lazy layers."""
        self.eval()
        x = torch.zeros(2, *self.sample_shape)
        z = _output(self.encoder, x, f"the encoder of {self.name}")
        if z.ndim < 2 or len(z) != 2 or z.shape[1] % encoded or not z.numel():
            wanted = "(n, ...)" if encoded == 1 else f"(n, {encoded} * k, ...)"
            raise RequestError(f"the encoder of {self.name} must give {wanted} for {_of(x)}, got {_of(z)}")
        shape = (z.shape[1] // encoded, *z.shape[2:])
        x_hat = _output(self.decoder, torch.zeros(2, *shape), f"the decoder of {self.name}")
        if x_hat.shape not in (x.shape, x.flatten(1).shape):
            raise RequestError(f"the decoder of {self.name} must give {_of(x)} for {_of(x)}, got {_of(x_hat)}")
        return shape

    def _check_again(self, pair: tuple[nn.Module, nn.Module]) -> None:
        """Raise RequestError unless `build` makes the same weights again from the same seed."""
        for side, module in zip(("encoder", "decoder"), pair, strict=True):
            again = module.state_dict()
            for name, tensor in getattr(self, side).state_dict().items():
                if nn.parameter.is_lazy(other := again.get(name, tensor)):
                    continue
                if name not in again or other.shape != tensor.shape or not torch.equal(other, tensor):
                    raise RequestError(
                        f"{self.name} builds other modules when it is called again ({side}.{name} of "
                        f"{tuple(tensor.shape)}, then {tuple(other.shape)}); let it keep no state, and draw weights by "
                        "torch alone"
                    )


def _built(part: Module, shape: tuple[int, ...], seed: int) -> tuple[nn.Module, nn.Module]:
    """What the function returns, its weights drawn from torch's generator with this seed."""
    build, name = part.function, part.name
    torch.default_generator.manual_seed(seed)
    try:
        inspect.signature(build).bind(shape, **part.params)
    except TypeError as error:
        raise RequestError(f"{name} cannot be called with the shape and {part.params}: {error}") from None
    except ValueError:
        pass  # of a builtin, whose signature is not known
    try:
        pair = build(shape, **part.params)
    except RequestError:
        raise
    except Exception as error:
        raise RequestError(f"{name} failed for {shape}: {type(error).__name__}: {one_line(error)}") from error
    if not (isinstance(pair, tuple | list) and len(pair) == 2 and all(isinstance(each, nn.Module) for each in pair)):
        made = [type(each).__name__ for each in pair] if isinstance(pair, tuple | list) else type(pair).__name__
        raise RequestError(f"{name} must return an encoder and a decoder, two torch modules, got {made}")
    if any(each in _returned for each in pair):
        raise RequestError(f"{name} returned a module that it had returned before; it must build new ones at each call")
    _returned.update(pair)
    encoder, decoder = pair
    return encoder, decoder


def _output(module: nn.Module, x: torch.Tensor, name: str) -> torch.Tensor:
    try:
        y = module(x)
    except Exception as error:
        raise RequestError(f"{name} cannot take {_of(x)}: {type(error).__name__}: {one_line(error)}") from error
    if not isinstance(y, torch.Tensor):
        raise RequestError(f"{name} must give a tensor, got a {type(y).__name__}")
    return y


def _check_tensors(network: PairNetwork, name: str) -> None:
    for path, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if tensor.device.type != "cpu":
            raise RequestError(
                f"{name} must build on the CPU, from where a model moves it; {path} is on {tensor.device}"
            )
        if isinstance(tensor, nn.Parameter) and tensor.dtype != torch.float32:
            raise RequestError(f"{name} must build float32 weights, got {path} of {tensor.dtype}")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise RequestError(f"{name} builds modules without weights to train")


def _of(tensor: torch.Tensor) -> str:
    return (
        f"(n, {', '.join(map(str, tensor.shape[1:]))})"
        if tensor.ndim > 1 and len(tensor) == 2
        else f"{tuple(tensor.shape)}"
    )
