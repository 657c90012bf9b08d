"""Networks of torch, and how they are trained, as JAX's own guides have it; weights and results are the same.

An epoch of a dense network is one jitted call, which scans over its batches. Convolutions take a jitted call for each
step: in a loop of XLA's they are three to forty times as slow on a CPU (jax-ml/jax#12868). The state is donated.

Images are rows, or (n, height, width, channels) for convolutions, the order that XLA prefers on a CPU. bfloat16 is that
of products, and of what lies between convolutions. Max-unpooling is a product with the places of the maxima, one-hot:
six times as fast as by the gradient of `lax.reduce_window`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from isthmus.networks.denoisers.residual import ResidualNetwork

Layers = Any  # a list of each layer's weight and bias
# (weights, a batch, a key of random numbers) → its mean loss
Loss = Callable[[Any, Any, Any], Any]


class Trainee(NamedTuple):
    """A loss, the weights that it begins with, and the shape of a sample as it takes them. is_scanned: see above."""

    loss: Loss
    weights: Any
    shape: tuple[int, ...]
    is_scanned: bool = False


def trainee(network: nn.Module, precision: str, highest: float) -> Trainee:
    """The same network. highest: of the noise that crops get, which a denoiser takes out."""
    import jax

    jax.config.update("jax_default_matmul_precision", "float32")  # which a CPU has anyway
    if isinstance(network, ResidualNetwork):
        return _denoiser(network, precision, highest)
    if hasattr(network, "down"):
        return _unpooling(network, precision)
    return _dense(network, precision)


def trained(it: Trainee, images: np.ndarray, batch_size: int, rate: float) -> Callable[[], float]:
    """What trains an epoch more, and gives its mean loss. images: (n, *shape), in any shape."""
    import jax
    import jax.numpy as jnp
    import optax

    adam = optax.adam(rate)

    def order(key: Any) -> Any:
        return jax.random.permutation(key, len(images)).reshape(-1, batch_size)

    def step(images: Any, state: Any, batch: Any) -> Any:
        weights, moments, key = state
        key, of_step = jax.random.split(key)
        loss, gradient = jax.value_and_grad(it.loss)(weights, images[batch], of_step)
        change, moments = adam.update(gradient, moments)
        return (optax.apply_updates(weights, change), moments, key), loss

    @partial(jax.jit, donate_argnums=1)
    def scanned(images: Any, state: Any, key: Any) -> Any:
        state, losses = jax.lax.scan(partial(step, images), state, order(key))
        return state, losses.mean()

    one_order, one_step = jax.jit(order), jax.jit(step, donate_argnums=1)

    def stepped(images: Any, state: Any, key: Any) -> Any:
        losses = []
        for batch in one_order(key):
            state, loss = one_step(images, state, batch)
            losses.append(loss)
        return state, jnp.stack(losses).mean()

    weights = jax.tree.map(jnp.array, it.weights)
    state, keys = (weights, adam.init(weights), jax.random.key(0)), iter(range(1, 10**9))
    pixels = jnp.asarray(images.reshape(len(images), *it.shape))

    def epoch() -> float:
        nonlocal state
        state, loss = (scanned if it.is_scanned else stepped)(pixels, state, jax.random.key(next(keys)))
        return float(loss)

    return epoch


def _dtype(precision: str) -> Any:
    import jax.numpy as jnp

    return jnp.bfloat16 if precision == "bfloat16" else jnp.float32


def _dense(network: Any, precision: str) -> Trainee:
    """A chain, or the encoder and the decoder of a variational autoencoder."""
    import jax
    import jax.numpy as jnp
    import optax

    dtype, is_variational = _dtype(precision), hasattr(network, "encoder")

    def through(layers: Layers, y: Any) -> Any:
        for i, (weight, bias) in enumerate(layers):
            y = jnp.dot(y.astype(dtype), weight.astype(dtype)).astype(jnp.float32) + bias
            y = jax.nn.relu(y) if i < len(layers) - 1 else y
        return y

    def plain(weights: Any, y: Any, key: Any) -> Any:
        return jnp.square(jax.nn.sigmoid(through(weights[0], y)) - y).mean()

    def variational(weights: Any, y: Any, key: Any) -> Any:
        mean, log_variance = jnp.split(through(weights[0], y), 2, axis=1)
        code = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
        error = optax.sigmoid_binary_cross_entropy(through(weights[1], code), y).sum(axis=1).mean()
        return error - 0.5 * (1 + log_variance - mean**2 - jnp.exp(log_variance)).sum(axis=1).mean()

    halves = (network.encoder, network.decoder) if is_variational else (network,)
    # each layer's weight as rows are multiplied with it
    weights = [
        [(one.weight.detach().numpy().T.copy(), one.bias.detach().numpy()) for one in half if hasattr(one, "weight")]
        for half in halves
    ]
    return Trainee(variational if is_variational else plain, weights, (784,), is_scanned=True)


def _kernel(layer: Any) -> tuple[np.ndarray, np.ndarray]:
    """(height, width, channels in, channels out) of a convolution, of a transposed one that of its full one; biases."""
    weight = layer.weight.detach().numpy()
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight[:, :, ::-1, ::-1].transpose(2, 3, 0, 1)
    else:
        weight = weight.transpose(2, 3, 1, 0)
    return np.ascontiguousarray(weight), layer.bias.detach().numpy()


def _convolved(x: Any, layer: Any, padding: int) -> Any:
    """In the type of x."""
    import jax

    weight, bias = (array.astype(x.dtype) for array in layer)
    order = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, weight, (1, 1), [(padding, padding)] * 2, dimension_numbers=order) + bias


def _unpooling(network: Any, precision: str) -> Trainee:
    """Convolutions and max-pooling, and back: the values return to where the maxima were."""
    import jax
    import jax.numpy as jnp

    dtype = _dtype(precision)

    def pooled(x: Any) -> tuple[Any, Any]:
        """A side that is odd loses its last row, as torch has it."""
        n, h, w, c = x.shape
        squares = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
        squares = squares.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // 2, w // 2, 4, c)
        places = jax.nn.one_hot(squares.argmax(axis=3), 4, axis=3, dtype=x.dtype)
        return (squares * places).sum(axis=3), places

    def unpooled(x: Any, places: Any, height: int, width: int) -> Any:
        n, h, w, c = x.shape
        squares = (places * x[:, :, :, None]).reshape(n, h, w, 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
        return jnp.pad(squares.reshape(n, 2 * h, 2 * w, c), [(0, 0), (0, height - 2 * h), (0, width - 2 * w), (0, 0)])

    def loss(weights: Any, y: Any, key: Any) -> Any:
        x, memory = y.astype(dtype), list[Any]()
        for layer in weights[0]:
            x = jax.nn.relu(_convolved(x, layer, 0))
            size = x.shape[1:3]
            x, places = pooled(x)
            memory.append((places, *size))
        for i, layer in enumerate(weights[1]):
            x = _convolved(unpooled(x, *memory.pop()), layer, 2)
            x = jax.nn.relu(x) if i < 2 else x
        return jnp.square(jax.nn.sigmoid(x.astype(jnp.float32)) - y).mean()

    return Trainee(loss, [[_kernel(layer) for layer in half] for half in (network.down, network.up)], (28, 28, 1))


def _denoiser(network: Any, precision: str, highest: float) -> Trainee:
    """The residual network of grey photographs, at half the resolution."""
    import jax
    import jax.numpy as jnp

    dtype = _dtype(precision)

    def denoised(weights: Any, y: Any, sigma: Any) -> Any:
        n, h, w, _ = y.shape
        squares = (y - y.mean(axis=(1, 2), keepdims=True)).reshape(n, h // 2, 2, w // 2, 2)
        level = jnp.broadcast_to(sigma, (n, h // 2, w // 2, 1))
        x = jnp.concatenate([squares.transpose(0, 1, 3, 2, 4).reshape(n, h // 2, w // 2, 4), level], axis=3)
        head, *blocks, tail = weights
        x = _convolved(x.astype(dtype), head, 1)
        for first, second in blocks:
            x = x + 0.5 * _convolved(jax.nn.relu(_convolved(x, first, 1)), second, 1)
        noise = _convolved(x, tail, 1).reshape(n, h // 2, w // 2, 2, 2).transpose(0, 1, 3, 2, 4)
        return y - noise.reshape(n, h, w, 1).astype(jnp.float32)

    def loss(weights: Any, x: Any, key: Any) -> Any:
        of_level, of_noise = jax.random.split(key)
        sigma = highest * jax.random.uniform(of_level, (len(x), 1, 1, 1))
        noisy = x + sigma * jax.random.normal(of_noise, x.shape)
        return jnp.square(denoised(weights, noisy, sigma) - x).mean()

    blocks = [(_kernel(block.first), _kernel(block.second)) for block in network.blocks]
    return Trainee(loss, [_kernel(network.head), *blocks, _kernel(network.tail)], (64, 64, 1))
