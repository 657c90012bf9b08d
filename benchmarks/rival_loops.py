"""The best loops that anyone would write, an epoch at a time: torch, compiled torch, JAX and Keras on JAX.

Each as its own guide has it. torch: pixels resident as floats, one index for an epoch's order, Adam in one kernel, no
loss waited for; images of convolutions channels last, and autocast for bfloat16. `torch.compile` of the network and its
loss, or of the whole step with the optimizer; `mode="max-autotune-no-cudagraphs"` and the C++ wrapper, too, were no
faster with dense-64 and deep-30. JAX: see `rival_jax`. Keras: `fit` on arrays, jitted, 32 steps a call, the second term
of a loss by `add_loss`. All but isthmus begin with the same weights, isthmus with others of the same law; the last
batch is whole.

torch's and isthmus' train on any device. Of photographs all have the crops of an epoch there before the clock starts,
but isthmus, which cuts its own, flipped and turned, on the CPU as it goes.
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
from benchmarks.rival_jax import trained, trainee
from isthmus import Autoencoder, Denoiser, Dense, Gaussian, GaussianNoise, Residual
from isthmus.networks.denoisers import build
from isthmus.rng import generator

RATE, BATCH = 1e-3, 64
VAE = "variational-30"
HIDDEN, CODE = (512, 256, 128), 30
# The denoiser of photographs, whose products are bfloat16 by itself where a processor has them, and its fast recipe's
# crops and noise, but for the rate.
DENOISERS = {"denoiser": "float32", "denoiser-bfloat16": "bfloat16"}
CROP, CROPS, HIGHEST = 64, 16, 55 / 255  # the side of a crop, crops in a batch, the most noise

Epoch = Callable[[], float]  # one epoch more; its mean loss


def batch_of(name: str) -> int:
    """Samples in a batch."""
    return CROPS if name in DENOISERS else BATCH


def precision_of(name: str, precision: str) -> str:
    """Of a model's products: those of `denoiser-bfloat16` are never float32."""
    return "bfloat16" if DENOISERS.get(name) == "bfloat16" else precision


class Variational(nn.Module):
    """An encoder of means and variances, a draw, and a decoder; the pixels as logits, and the code's two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = dense(784, *HIDDEN, 2 * CODE)[:-1]  # without its last activation
        self.decoder = dense(CODE, *reversed(HIDDEN), 784)[:-1]

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return self.decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean)), mean, log_variance


def objective(model: Any, x: torch.Tensor) -> torch.Tensor:
    """The mean squared error of pixels, or minus the evidence lower bound of an image in nats."""
    made = model(x)
    if isinstance(made, torch.Tensor):
        return mse_loss(made.float(), x.flatten(1))
    logits, mean, log_variance = (part.float() for part in made)
    error = binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="none").sum(dim=1).mean()
    return error - 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()


def denoising_error(model: Any, x: torch.Tensor) -> torch.Tensor:
    """The mean squared error of crops that get noise, each of a level of its own, which the network is told."""
    sigma = HIGHEST * torch.rand(len(x), 1, 1, 1, device=x.device)
    x_hat = model.denoise(x + sigma * torch.randn_like(x), sigma.expand_as(x))
    return mse_loss(x_hat.float(), x)


def begun(name: str) -> Any:
    """The network as torch starts it, and the denoiser as isthmus builds it, the same each time."""
    torch.manual_seed(0)
    if name in DENOISERS:
        return build(Residual(), 1, generator(0, "init"))
    return Variational() if name == VAE else MODELS[name]()


def torch_loop(
    name: str, x: np.ndarray, precision: str, *, compiled: str = "", batch_size: int = 0, device: str = "cpu"
) -> Epoch:
    """compiled: "", the "loss" with the network, or the whole "step". batch_size: 0 for the table's."""
    model, images, error = begun(name).to(device), torch.from_numpy(x).to(device), objective
    if name in DENOISERS:
        model, error = model.to(memory_format=torch.channels_last), denoising_error
        images = images.contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    loss_of = torch.compile(partial(error, model)) if compiled == "loss" else partial(error, model)

    def step(batch: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            loss = loss_of(batch)
        loss.backward()
        optimizer.step()
        return loss.detach()

    step = torch.compile(step) if compiled == "step" else step

    def epoch() -> float:
        order = torch.randperm(len(images), device=device).split(batch_size or batch_of(name))
        return float(torch.stack([step(images[which]) for which in order]).mean())

    return epoch


def jax_loop(name: str, x: np.ndarray, precision: str) -> Epoch:
    return trained(trainee(begun(name), precision, HIGHEST), x, batch_of(name), RATE)


def keras_loop(name: str, x: np.ndarray, precision: str) -> Epoch:
    """Of dense networks."""
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    layers = _linear_layers(begun(name))
    rows = x.reshape(len(x), -1)

    class Draw(keras.layers.Layer):
        """A code's two halves → a draw of it, and its divergence from the prior as a loss."""

        def __init__(self) -> None:
            super().__init__(dtype="float32")
            self.seeds = keras.random.SeedGenerator(0)

        def call(self, code: Any) -> Any:
            mean, log_variance = keras.ops.split(code, 2, axis=1)
            of_each = 1 + log_variance - mean**2 - keras.ops.exp(log_variance)
            self.add_loss(-0.5 * keras.ops.mean(keras.ops.sum(of_each, axis=1)))
            noise = keras.random.normal(keras.ops.shape(mean), seed=self.seeds)
            return mean + keras.ops.exp(0.5 * log_variance) * noise

    def error(x: Any, logits: Any) -> Any:  # in nats of an image
        return 784 * keras.losses.binary_crossentropy(x, logits, from_logits=True)

    model = keras.Sequential([keras.Input((784,))])
    for i, layer in enumerate(layers):
        is_last = i == len(layers) - 1
        is_code = name == VAE and i == len(HIDDEN)
        activation = "linear" if is_code or (is_last and name == VAE) else "sigmoid" if is_last else "relu"
        model.add(keras.layers.Dense(layer.out_features, activation))
        if is_code:
            model.add(Draw())
    weights = iter([array.detach().numpy() for layer in layers for array in (layer.weight.T, layer.bias)])
    for weight in model.trainable_variables:
        weight.assign(next(weights))
    loss = error if name == VAE else "mse"
    model.compile(keras.optimizers.Adam(RATE), loss, jit_compile=True, steps_per_execution=32)

    def epoch() -> float:
        return float(model.fit(rows, rows, batch_size=BATCH, epochs=1, verbose=0).history["loss"][0])

    return epoch


def isthmus_loop(name: str, x: np.ndarray, precision: str, *, batch_size: int = 0, device: str = "auto") -> Epoch:
    """batch_size: 0 for the table's."""
    changes: dict[str, Any] = {"epochs": 10**6, "precision": precision, "random_state": 0, "device": device}
    changes["batch_size"] = batch_size or batch_of(name)
    model: Any
    if name in DENOISERS:
        of_crops = {"crop": CROP, "crops_per_epoch": len(x), "learning_rate": RATE}
        model = Denoiser(Residual(), noise=GaussianNoise((0, HIGHEST)), **of_crops, **changes)
    elif name == VAE:
        network, parts = Dense(HIDDEN, CODE, output="sigmoid"), {"code": Gaussian(), "loss": "bce"}
        model = Autoencoder(network, **parts, learning_rate=RATE, **changes)  # type: ignore[arg-type]
    else:
        model = autoencoder(name, **changes)
    takes_images = name in DENOISERS or name == "conv-unpool"
    rows = model.fit_epochs(x if takes_images else x.reshape(len(x), -1))
    return lambda: float(next(rows).loss)


def _linear_layers(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


LOOPS: dict[str, Callable[[str, np.ndarray, str], Epoch]] = {
    "isthmus": isthmus_loop,
    "torch": torch_loop,
    "torch.compile": partial(torch_loop, compiled="loss"),
    "torch.compile, step": partial(torch_loop, compiled="step"),
    "JAX": jax_loop,
    "Keras on JAX": keras_loop,
}
PACKAGES = {"JAX": ("jax", "optax"), "Keras on JAX": ("keras", "jax")}
CASES = (*NETWORKS, VAE, *DENOISERS)


def is_for(loop: str, name: str) -> bool:
    """Whether a rival has this network: convolutions by Keras are those of JAX, and it has no unpooling at all."""
    return not (loop.startswith("Keras") and (name == "conv-unpool" or name in DENOISERS))
