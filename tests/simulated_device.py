"""A device that is not there: tensors that the CPU computes, and that refuse what a GPU's would.

Where no GPU is, nothing shows that a tensor was made on the CPU and then added to one on the GPU: here it raises, as
does a draw from a generator of the other device, and a NumPy array of a tensor that was not copied back. torch has no
backend for its device "lazy", so each operation on it comes here, and is computed on the tensors behind. Numbers are
the CPU's; time, memory, kernels and CUDA's graphs are not simulated. `waits` has what a GPU would have waited for.

`torch.inference_mode` is `no_grad` inside, for what torch takes apart in Python does not come here in the former.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from isthmus.parts import training
from isthmus.training import hardware

DEVICE = torch.device("lazy")
aten = torch.ops.aten
waits: list[str] = []
_generators: dict[int, torch.Generator] = {}  # those of the device, by id: they are not to be made anew


class Elsewhere(torch.Tensor):
    """A tensor on the device. behind: the one that is computed with."""

    behind: torch.Tensor

    @staticmethod
    def __new__(cls, behind: torch.Tensor) -> Elsewhere:
        strides, offset = behind.stride(), behind.storage_offset()
        return torch.Tensor._make_wrapper_subclass(
            cls, behind.shape, strides=strides, storage_offset=offset, dtype=behind.dtype, device=DEVICE
        )

    def __init__(self, behind: torch.Tensor) -> None:
        self.behind = behind

    def __repr__(self) -> str:
        return f"Elsewhere({self.behind!r})"

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") == "__set__" and func.__self__ is torch.Tensor.data:
            with torch._C.DisableTorchFunctionSubclass():
                func(*args)  # shape and type, which torch itself keeps
            args[0].behind = args[1].behind
            return None
        if func is torch.Tensor.tolist:
            waits.append("tolist")
            return args[0].behind.tolist()
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _behind(x: Any) -> Any:
    return x.behind if isinstance(x, Elsewhere) else x


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on tensors of one device, or a copy between two. Raises RuntimeError for any other."""
    flat, spec = tree_flatten((args, kwargs))
    there = [x for x in flat if isinstance(x, Elsewhere)]
    here = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, Elsewhere)]
    device = kwargs.get("device")
    if func is aten.copy_.default:
        is_there = isinstance(args[0], Elsewhere)
    else:
        is_there = bool(there) if device is None else torch.device(device) == DEVICE
    copies = func in (aten.copy_.default, aten._to_copy.default)
    if there and not copies and any(x.ndim for x in here):  # a number of no dimension may come from the CPU
        raise RuntimeError(f"{func} of tensors on two devices; on the CPU: {[tuple(x.shape) for x in here]}")
    if func is aten._local_scalar_dense.default and there:
        is_there = False
        waits.append(str(func))
    elif copies and is_there != (bool(there) if func is aten._to_copy.default else isinstance(args[1], Elsewhere)):
        waits.append(f"a copy {'to' if is_there else 'from'} the device")
    elif func in (aten.nonzero.default, aten.masked_select.default) or (
        func in (aten.index.Tensor, aten.index_put_.default)
        and any(isinstance(i, torch.Tensor) and i.dtype == torch.bool for i in args[1])
    ):
        waits.extend([str(func)] if there else [])
    args, kwargs = tree_map(_behind, tree_unflatten(flat, spec))
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    made = func(*args, **kwargs)
    given = {id(x.behind): x for x in there}  # what is changed in place is given back as it came

    def wrapped(y: Any) -> Any:
        return given.get(id(y), Elsewhere(y) if is_there else y) if isinstance(y, torch.Tensor) else y

    return tree_map(wrapped, made)


class _Operations(TorchDispatchMode):
    """What makes a tensor, and has none that would bring it to `Elsewhere`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Draws(TorchFunctionMode):
    """Refuses a generator of another device. Deeper down a generator is not known again."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (generator := kwargs.get("generator")) is not None:
            tensors = [x for x in args if isinstance(x, torch.Tensor)]
            device = kwargs.get("device", tensors[0].device if tensors else "cpu")
            if (torch.device(device) == DEVICE) != (id(generator) in _generators):
                raise RuntimeError(f"{func.__name__} on {device} by a generator of another device")
        return func(*args, **kwargs)


class _Generator(torch.Generator):
    def __new__(cls, device: Any = "cpu") -> Any:
        made = _REAL_GENERATOR("cpu" if torch.device(device) == DEVICE else device)
        if torch.device(device) == DEVICE:
            _generators[id(made)] = made
        return made


class _Autocast(torch.autocast):
    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__("cpu" if device_type == DEVICE.type else device_type, *args, **kwargs)


_REAL_GENERATOR, _RESOLVE = torch.Generator, hardware.resolve_device


def _resolve(name: str) -> torch.device:
    return DEVICE if name in ("cuda", DEVICE.type) else _RESOLVE(name)


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """Inside, "cuda" is the device that is not there."""
    waits.clear()
    with contextlib.ExitStack() as stack:
        for module in list(sys.modules.values()):
            if getattr(module, "resolve_device", None) is _RESOLVE:
                stack.enter_context(patch.object(module, "resolve_device", _resolve))
        stack.enter_context(patch.object(training, "DEVICES", (*training.DEVICES, DEVICE.type)))
        stack.enter_context(patch.object(torch, "Generator", _Generator))
        stack.enter_context(patch.object(torch, "autocast", _Autocast))
        stack.enter_context(patch.object(torch, "inference_mode", torch.no_grad))
        stack.enter_context(_Draws())
        stack.enter_context(_Operations())
        yield
    _generators.clear()
