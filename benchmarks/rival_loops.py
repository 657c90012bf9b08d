"""The best loops that anyone would write, an epoch at a time: torch, compiled torch, JAX and Keras on JAX.

Each as its own guide has it. torch: pixels resident as floats, one index for an epoch's order, Adam in one kernel, no
loss waited for; `torch.compile` of the network and its loss. JAX: one jitted call for an epoch, `lax.scan` over its
batches, the state donated, optax's Adam. Keras: `fit` on arrays, jitted, 32 steps a call. All but isthmus
begin with the same weights, isthmus with others of the same law; the last batch is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from benchmarks.notebook_loop import MODELS, dense
from benchmarks.recipes import NETWORKS, autoencoder
from isthmus import Autoencoder, Dense, Gaussian

RATE, BATCH = 1e-3, 64
VAE = "variational-30"
HIDDEN, CODE = (512, 256, 128), 30

Epoch = Callable[[], float]  # one epoch more; its mean loss


class Variational(nn.Module):
    """An encoder of means and variances, a draw, and a decoder; the pixels as logits, and the code's two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = dense(784, *HIDDEN, 2 * CODE)[:-1]  # without its last activation
        self.decoder = dense(CODE, *reversed(HIDDEN), 784)[:-1]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return self.decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean)), mean, log_variance


def objective(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The mean squared error of pixels, or minus the evidence lower bound of an image in nats."""
    made = model(x)
    if isinstance(made, torch.Tensor):
        return mse_loss(made.float(), x.flatten(1))
    logits, mean, log_variance = (part.float() for part in made)
    error = binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="none").sum(dim=1).mean()
    return error - 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()


def begun(name: str) -> nn.Module:
    """The network as torch starts it, the same each time."""
    torch.manual_seed(0)
    return Variational() if name == VAE else MODELS[name]()


def torch_loop(name: str, x: np.ndarray, precision: str, *, compiled: bool = False) -> Epoch:
    model, images = begun(name), torch.from_numpy(x.reshape(-1, 1, 28, 28))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    loss_of = torch.compile(partial(objective, model)) if compiled else partial(objective, model)

    def epoch() -> float:
        losses = []
        for which in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                loss = loss_of(images[which])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    return epoch


def jax_loop(name: str, x: np.ndarray, precision: str) -> Epoch:
    """Of dense networks; what max-unpooling does has no operation there."""
    import jax
    import jax.numpy as jnp
    import optax

    model = begun(name)
    halves = (model.encoder, model.decoder) if isinstance(model, Variational) else (model,)
    # each layer's weight as rows are multiplied with it, and its bias
    start = [
        [(layer.weight.detach().numpy().T.copy(), layer.bias.detach().numpy()) for layer in _linear_layers(half)]
        for half in halves
    ]
    half_precision = jnp.bfloat16 if precision == "bfloat16" else jnp.float32

    def through(layers: Any, y: Any) -> Any:
        for i, (weight, bias) in enumerate(layers):
            y = jnp.dot(y.astype(half_precision), weight.astype(half_precision)).astype(jnp.float32) + bias
            y = jax.nn.relu(y) if i < len(layers) - 1 else y
        return y

    def plain(state: Any, y: Any, key: Any) -> Any:
        return jnp.square(jax.nn.sigmoid(through(state[0], y)) - y).mean()

    def variational(state: Any, y: Any, key: Any) -> Any:
        mean, log_variance = jnp.split(through(state[0], y), 2, axis=1)
        code = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
        error = optax.sigmoid_binary_cross_entropy(through(state[1], code), y).sum(axis=1).mean()
        return error - 0.5 * (1 + log_variance - mean**2 - jnp.exp(log_variance)).sum(axis=1).mean()

    loss_of = variational if name == VAE else plain
    adam = optax.adam(RATE)

    def step(state: Any, batch: Any) -> Any:
        weights, moments, images, key = state
        key, noise = jax.random.split(key)
        loss, gradient = jax.value_and_grad(loss_of)(weights, images[batch], noise)
        change, moments = adam.update(gradient, moments)
        return (optax.apply_updates(weights, change), moments, images, key), loss

    @partial(jax.jit, donate_argnums=(0, 1))
    def one_epoch(weights: Any, moments: Any, images: Any, key: Any) -> Any:
        key, order = jax.random.split(key)
        batches = jax.random.permutation(order, len(images)).reshape(-1, BATCH)
        (weights, moments, _, _), losses = jax.lax.scan(step, (weights, moments, images, key), batches)
        return weights, moments, losses.mean()

    weights = jax.tree.map(jnp.asarray, start)
    moments, images, keys = adam.init(weights), jnp.asarray(x.reshape(len(x), -1)), iter(range(10**9))

    def epoch() -> float:
        nonlocal weights, moments
        weights, moments, loss = one_epoch(weights, moments, images, jax.random.key(next(keys)))
        return float(loss)

    return epoch


def keras_loop(name: str, x: np.ndarray, precision: str) -> Epoch:
    """Of dense networks."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    layers = _linear_layers(begun(name))
    model = keras.Sequential([keras.Input((784,))])
    for i, layer in enumerate(layers):
        last = i == len(layers) - 1
        model.add(keras.layers.Dense(layer.out_features, "sigmoid" if last else "relu"))
    model.set_weights([array.detach().numpy() for layer in layers for array in (layer.weight.T, layer.bias)])
    model.compile(keras.optimizers.Adam(RATE), "mse", jit_compile=True, steps_per_execution=32)
    rows = x.reshape(len(x), -1)

    def epoch() -> float:
        return float(model.fit(rows, rows, batch_size=BATCH, epochs=1, verbose=0).history["loss"][0])

    return epoch


def isthmus_loop(name: str, x: np.ndarray, precision: str) -> Epoch:
    changes: dict[str, Any] = {"epochs": 10**6, "precision": precision}
    if name == VAE:
        network, objective = Dense(HIDDEN, CODE, output="sigmoid"), {"code": Gaussian(), "loss": "bce"}
        model = Autoencoder(network, **objective, batch_size=BATCH, learning_rate=RATE, random_state=0, **changes)
    else:
        model = autoencoder(name, **changes)
    rows = model.fit_epochs(x.reshape(-1, 1, 28, 28) if name == "conv-unpool" else x.reshape(len(x), -1))
    return lambda: float(next(rows).loss)


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


LOOPS: dict[str, Callable[[str, np.ndarray, str], Epoch]] = {
    "isthmus": isthmus_loop,
    "torch": torch_loop,
    "torch.compile": partial(torch_loop, compiled=True),
    "JAX scan": jax_loop,
    "Keras on JAX": keras_loop,
}
PACKAGES = {"JAX scan": ("jax", "optax"), "Keras on JAX": ("keras", "jax")}
CASES = (*NETWORKS, VAE)


def is_for(loop: str, name: str) -> bool:
    """Whether a rival has this network: JAX and Keras have no max-unpooling, and Keras' own loop has no two terms."""
    return not (name == "conv-unpool" and loop in PACKAGES) and not (name == VAE and loop.startswith("Keras"))
