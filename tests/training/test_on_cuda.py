"""What a network and a training do on CUDA is what they do on the CPU. Without a GPU these are skipped.

$ISTHMUS_DEVICE names another device to hold against the CPU: with "cpu" it is seen here that the tests themselves run.
"""

import copy
import os
from contextlib import closing

import numpy as np
import pytest
import torch

from isthmus import KL, L1, Affine, Autoencoder, Conv, Dense, Dictionary, GaussianNoise, Masking, Poisson, load
from isthmus.data.batches import Pixels
from isthmus.networks import Gradients, build
from isthmus.networks.accelerators import training_pass
from isthmus.networks.standardization import standardization_of
from isthmus.parts import DECODERS
from isthmus.training.checkpoint import Checkpoints

DEVICE = os.environ.get("ISTHMUS_DEVICE", "cuda")
pytestmark = pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a GPU")

SHAPE = (1, 12, 12)
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


@pytest.fixture(scope="module")
def x():
    """150 images of a bright square somewhere, in [0, 1]."""
    rng = np.random.default_rng(0)
    images = np.float32(0.1) * rng.random((150, *SHAPE), np.float32)
    for image, (i, j) in zip(images, rng.integers(0, 8, (150, 2)), strict=True):
        image[0, i : i + 4, j : j + 4] += 0.8
    return images


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
