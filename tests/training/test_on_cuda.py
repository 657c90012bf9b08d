"""What a network and a training do on CUDA is what they do on the CPU. Without a GPU these are skipped.

$ISTHMUS_DEVICE names another device to hold against the CPU: with "cpu" it is seen here that the tests themselves run.
`test_simulated_device` takes the same `USES` to a device that is not there.
"""

import copy
import os
from collections.abc import Callable
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from sklearn.frozen import FrozenEstimator
from torch import nn

from isthmus import (
    KL,
    L1,
    Affine,
    Autoencoder,
    Conv,
    DecoderPrior,
    Denoiser,
    Dense,
    Dictionary,
    Gaussian,
    GaussianNoise,
    Masking,
    Module,
    Occlusion,
    Poisson,
    Quantized,
    Residual,
    SaltAndPepper,
    Sequence,
    UNet,
    load,
)
from isthmus.data.batches import Pixels
from isthmus.networks import Gradients, build
from isthmus.networks.accelerators import training_pass
from isthmus.networks.standardization import standardization_of
from isthmus.parts import DECODERS
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.sharding.processes import Processes

DEVICE = os.environ.get("ISTHMUS_DEVICE", "cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a GPU"),
]

SHAPE = (1, 12, 12)
RATE = 2.0**-10  # the same number as a float32, which a recorded step has it as, and as a float64
NETWORKS = {
    "linear": Dense(bottleneck=5),
    "deep": Dense(hidden=(40, 20), bottleneck=5, activation="gelu", output="sigmoid"),
    "tanh": Dense(hidden=(20,), bottleneck=5, activation="tanh", output="tanh"),
    "dictionary": Dictionary(hidden=(20,), n_atoms=30),
    **{f"conv, {decoder}": Conv((4, 6), decoder=decoder, output="sigmoid") for decoder in DECODERS},
}
every_network = pytest.mark.parametrize("name", NETWORKS)
COMPOSITIONS = {
    **{name: {"network": network} for name, network in NETWORKS.items()},
    "fast": {"network": Dense((32,), 8), "recipe": "fast"},
    "patience": {"network": Dense((32,), 8), "validation_fraction": 0.2, "patience": 2},
    "noise": {"network": Dense(bottleneck=8), "corruption": GaussianNoise(0.3), "penalty": L1(1e-3, warmup=2)},
    "poisson": {"network": Dense(bottleneck=8), "corruption": Poisson(30.0)},
    "masking": {"network": Dense(bottleneck=8, activation="sigmoid"), "corruption": Masking(0.3), "penalty": KL(0.1)},
    "affine": {"network": Conv((4,)), "augmentation": Affine()},
    "bce": {"network": Dense(bottleneck=8, output="sigmoid"), "loss": "bce", "optimizer": "adamw"},
}
every_composition = pytest.mark.parametrize("name", COMPOSITIONS)


@pytest.fixture(autouse=True)
def all_digits_of_float32(monkeypatch):
    """Else cuDNN would convolve by products of ten bits, as torch lets it, which is not what the CPU does."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def squares():
    """150 images of a bright square somewhere, in [0, 1]."""
    rng = np.random.default_rng(0)
    images = np.float32(0.1) * rng.random((150, *SHAPE), np.float32)
    for image, (i, j) in zip(images, rng.integers(0, 8, (150, 2)), strict=True):
        image[0, i : i + 4, j : j + 4] += 0.8
    return images


@pytest.fixture(scope="module")
def x():
    return squares()


def model(name, device, **changes):
    given = {"epochs": 4, "batch_size": 32, "precision": "float32", "random_state": 0, "device": device}
    return Autoencoder(**{**given, **COMPOSITIONS[name], **changes})


def near(there, here, share):
    """Whether two tensors differ by less than a share of their length."""
    there, here = there.cpu().double(), here.double()
    return float((there - here).norm()) <= share * float(here.norm()) + 1e-7


@every_network
@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-3), (torch.bfloat16, 0.3)])
def test_outputs_and_gradients(name, dtype, share, x):
    samples = torch.from_numpy(x.reshape(len(x), -1))
    here = build(NETWORKS[name], samples.shape[1], torch.Generator().manual_seed(0), SHAPE)
    here.standardize(standardization_of(Pixels(x.reshape(len(x), -1), torch.device("cpu")), 1, NETWORKS[name].output))
    there = copy.deepcopy(here).to(DEVICE)
    gradients = []
    for network, given, precision in ((here, samples, torch.float32), (there, samples.to(DEVICE), dtype)):
        for parameter in network.parameters():
            parameter.grad = torch.empty_like(parameter)
        with torch.no_grad():
            step = training_pass(network)
            (x_hat, code, _), tapes = step.record(given, precision)
            step.backward(tapes, Gradients(2 * (x_hat - given) / given.numel(), torch.ones_like(code) / code.numel()))
        gradients.append([x_hat, code, *(parameter.grad for parameter in network.parameters())])
    for at_there, at_here in zip(gradients[1], gradients[0], strict=True):
        assert at_there.device.type == DEVICE
        assert near(at_there, at_here, share)


@every_composition
def test_a_training_learns_what_it_learns_on_the_cpu(name, x):
    """Noise is drawn by each device's own generator, so the losses are those of other draws."""
    here, there = (model(name, device).fit(x) for device in ("cpu", DEVICE))
    assert there.device_ == DEVICE
    draws = {"noise", "poisson", "masking", "affine"}
    np.testing.assert_allclose(there.history_.losses, here.history_.losses, rtol=0.1 if name in draws else 5e-3)
    assert there.score(x) == pytest.approx(here.score(x), rel=0.1 if name in draws else 0.02)


@every_composition
def test_the_same_seed_gives_the_same_bits(name, x):
    one, other = (model(name, DEVICE).fit(x).network_.state_dict() for _ in range(2))
    assert all(torch.equal(one[key], other[key]) for key in one)


@every_composition
def test_a_training_that_was_stopped_ends_with_the_same_bits(name, x, tmp_path):
    whole = model(name, DEVICE).fit(x).network_.state_dict()
    with closing(model(name, DEVICE).fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        for row in rows:
            if row.epoch == 2:
                break
    resumed = model(name, DEVICE).fit(x, checkpoint=tmp_path / "c").network_.state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@every_composition
def test_a_saved_model_gives_the_same_on_the_cpu(name, x, tmp_path):
    there = model(name, DEVICE).fit(x)
    there.save(tmp_path / "m")
    here = load(tmp_path / "m", device="cpu")
    assert near(torch.from_numpy(there.reconstruct(x)), torch.from_numpy(here.reconstruct(x)), 1e-3)
    assert near(torch.from_numpy(there.transform(x)), torch.from_numpy(here.transform(x)), 1e-3)


def test_bfloat16_is_what_auto_means_there_and_learns_as_much(x):
    network = {"network": Dense((64,), 16), "recipe": "fast", "epochs": 20}
    full, auto = (model("fast", DEVICE, **network, precision=precision).fit(x) for precision in ("float32", "auto"))
    if DEVICE == "cuda":
        assert auto.precision_ == "bfloat16"
    assert auto.score(x) == pytest.approx(full.score(x), rel=0.25)


def layered(shape: tuple[int, ...], dropout: float = 0.0) -> tuple[nn.Module, nn.Module]:
    """Modules with what torch draws itself, and with buffers."""
    layers = nn.Linear(144, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 8)
    return nn.Sequential(nn.Flatten(), *layers), nn.Linear(8, 144)


def photographs() -> list[np.ndarray]:
    """Four of a size of their own, of ramps and edges."""
    ramps = [np.linspace(0, 1, 40 + i, dtype=np.float32) for i in range(4)]
    return [(ramp[None, None] * 0.6 + (ramp[None, :, None] > 0.5) * 0.3).astype(np.float32) for ramp in ramps]


def fitted(device: str, x: np.ndarray, **arguments: Any) -> Autoencoder:
    given = {"epochs": 2, "batch_size": 32, "learning_rate": RATE, "precision": "float32", "random_state": 0}
    return Autoencoder(**{**given, "network": Dense((16,), 8), "device": device, **arguments}).fit(x)


def of_model(model: Autoencoder, x: np.ndarray) -> list[np.ndarray]:
    """What it makes of samples, in float32 and in float64."""
    return [model.transform(x), model.reconstruct(x), model.transform(x.astype(np.float64)), np.float64(model.score(x))]


def autoencoder(**arguments: Any) -> Callable[[str, np.ndarray], list[np.ndarray]]:
    return lambda device, x: of_model(fitted(device, x, **arguments), x)


def denoiser(**arguments: Any) -> Callable[[str, np.ndarray], list[np.ndarray]]:
    def use(device: str, x: np.ndarray) -> list[np.ndarray]:
        images = photographs()
        given = {"noise": GaussianNoise((0, 0.2)), "crop": 16, "crops_per_epoch": 40, "epochs": 2, "batch_size": 8}
        given |= {"network": Residual(8, 4), "precision": "float32", "random_state": 0, "device": device, **arguments}
        pairs = given.pop("pairs", False)
        model = Denoiser(**given).fit(images, images if pairs else None)
        return [*model.denoise(images[:2], 0.1), *model.denoise(images[:1]), np.float64(model.score(images))]

    return use


def prior(**arguments: Any) -> Callable[[str, np.ndarray], list[np.ndarray]]:
    def use(device: str, x: np.ndarray) -> list[np.ndarray]:
        decoder = FrozenEstimator(fitted(device, x, network=Dense((16,), 4, output="sigmoid")))
        search = DecoderPrior(decoder, random_state=0, max_iter=4, **arguments).fit(x)
        return [search.denoise(x[:10]), search.denoise(x[:3].astype(np.float64)), search.search(x[:5]).objective]

    return use


def passes(device: str, x: np.ndarray) -> list[np.ndarray]:
    model = fitted(device, x)
    for _ in range(2):
        model.partial_fit(x)
    return of_model(model, x)


def warm(device: str, x: np.ndarray) -> list[np.ndarray]:
    return of_model(fitted(device, x, warm_start=True).fit(x), x)


def generated(**arguments: Any) -> Callable[[str, np.ndarray], list[np.ndarray]]:
    def use(device: str, x: np.ndarray) -> list[np.ndarray]:
        model = fitted(device, x, code=Gaussian(**arguments), loss="bce", network=Dense((16,), 8, output="sigmoid"))
        return [*of_model(model, x), model.sample(3, random_state=0), model.log_likelihood(x[:5], n_samples=4)]

    return use


def modules(device: str, x: np.ndarray) -> list[np.ndarray]:
    """As plain modules, on the CPU as a user's program has them, and of a denoiser."""
    rows = torch.from_numpy(x.reshape(len(x), -1))
    with torch.no_grad():
        return [fitted(device, x).as_module("encode").cpu()(rows).numpy()]


# (device, samples) → arrays; those of which a training draws on the device itself differ from one device to the other
USES: dict[str, Callable[[str, np.ndarray], list[np.ndarray]]] = {
    "module": autoencoder(network=Module(layered)),
    "standardized": autoencoder(standardize=True),
    "sgd": autoencoder(optimizer="sgd"),
    "quantized": autoencoder(code=Quantized(n_vectors=8)),
    "quantized maps": autoencoder(network=Conv((4, 6)), code=Quantized(n_vectors=8)),
    "shards": autoencoder(network=Dense(bottleneck=8, activation="sigmoid"), penalty=KL(0.1), shards=4),
    "passes": passes,
    "warm start": warm,
    "modules": modules,
    "gauss-newton": prior(),
    "adam": prior(solver="adam"),
    "random starts": prior(start="random", n_starts=2),
    "denoiser, pairs": denoiser(pairs=True),
}
DRAWING = {
    "dropout": autoencoder(network=Module(layered, {"dropout": 0.2})),
    "salt and pepper": autoencoder(corruption=SaltAndPepper(0.2)),
    "occlusion": autoencoder(corruption=Occlusion(4)),
    "sequence": autoencoder(corruption=Sequence((Poisson(30.0), GaussianNoise(0.1)))),
    "variational": generated(),
    "variational, draws": generated(samples=3),
    "variational, free bits": generated(free_bits=0.1),
    "variational, noise learned": autoencoder(code=Gaussian(noise="learned")),
    "variational shards": autoencoder(code=Gaussian(noise="learned"), shards=2),
    "denoiser": denoiser(),
    "denoiser, U-Net": denoiser(network=UNet(8, 2)),
    "denoiser, recipe": denoiser(recipe="fast"),
    "denoiser, shot noise": denoiser(noise=Sequence((Poisson(30.0), GaussianNoise(0.05)))),
    "denoiser, noisy images": denoiser(target="noisy"),
    "denoiser, validation": denoiser(validation_fraction=0.25, patience=2),
    "denoiser, shards": denoiser(shards=2),
    "denoiser, views": denoiser(self_ensemble=True),
}


@pytest.mark.parametrize("name", USES)
def test_what_is_used_gives_the_same(name, x):
    for there, here in zip(USES[name](DEVICE, x), USES[name]("cpu", x), strict=True):
        assert near(torch.from_numpy(np.asarray(there)), torch.from_numpy(np.asarray(here)), 0.05)


@pytest.mark.parametrize("name", DRAWING)
def test_what_draws_gives_the_same_twice_and_what_is_like_it_on_the_cpu(name, x):
    one, other, here = (DRAWING[name](device, x) for device in (DEVICE, DEVICE, "cpu"))
    for first, second, cpu in zip(one, other, here, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.shape == cpu.shape
        assert np.isfinite(first).all()
    assert abs(one[-1]).mean() == pytest.approx(abs(here[-1]).mean(), rel=0.3)  # a score or a likelihood


@pytest.mark.parametrize("name", ["linear", "conv, deconv", "noise"])
def test_bfloat16_learns_what_float32_does(name, x):
    full, half = (model(name, DEVICE, precision=precision).fit(x) for precision in ("float32", "bfloat16"))
    assert half.precision_ == "bfloat16"
    assert half.score(x) == pytest.approx(full.score(x), rel=0.05)


def test_a_denoiser_learns_in_bfloat16_and_is_the_same_on_the_cpu(tmp_path):
    images = photographs()
    given = {"crop": 16, "crops_per_epoch": 64, "epochs": 3, "batch_size": 8, "random_state": 0}
    there = Denoiser(Residual(8, 4), **given, precision="bfloat16", device=DEVICE).fit(images)
    assert there.history_.losses[-1] < there.history_.losses[0]
    there.save(tmp_path / "m")
    here = load(tmp_path / "m", device="cpu").denoise(images[:1], 0.1)[0]
    assert near(torch.from_numpy(there.denoise(images[:1], 0.1)[0]), torch.from_numpy(here), 0.02)


def test_a_denoiser_that_was_stopped_ends_with_the_same_bits(tmp_path):
    given = {"crop": 16, "crops_per_epoch": 64, "epochs": 4, "batch_size": 8, "random_state": 0, "device": DEVICE}
    whole = Denoiser(Residual(8, 4), **given).fit(photographs()).network_.state_dict()
    stopped = Denoiser(Residual(8, 4), **given).fit_epochs(photographs(), checkpoint=Checkpoints(tmp_path, every=0))
    with closing(stopped) as rows:
        for row in rows:
            if row.epoch == 2:
                break
    resumed = Denoiser(Residual(8, 4), **given).fit(photographs(), checkpoint=tmp_path).network_.state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_processes_speak_by_the_backends_of_the_device(tmp_path):
    """One process: that there is NCCL, and what is decided and compared goes through it or through gloo."""
    backend = "cpu:gloo,cuda:nccl" if DEVICE == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1)
    try:
        x = torch.ones(3, device=DEVICE)
        dist.all_reduce(x)
        world = Processes(0, 1)
        world.add_up(x)
        assert x.tolist() == [1, 1, 1]
        assert world.decided(lambda: {"seed": 3}) == {"seed": 3}
        world.agree(lambda: {"samples": "these"})
    finally:
        dist.destroy_process_group()
