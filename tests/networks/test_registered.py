"""A network from outside the package, by the public seam: a torch module with `encode` and `decode`, and a part."""

import argparse
from contextlib import closing
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from isthmus import L1, Autoencoder, DecoderPrior, Dense, GaussianNoise, Images, kinds, load, probe
from isthmus.cli import run_command
from isthmus.commands.shared.part_syntax import add_network_options, network_words
from isthmus.errors import DataError, RequestError
from isthmus.estimators.adapters import adapter_of
from isthmus.networks import _BUILDS, Network, Output, Term, build, register
from isthmus.networks.accelerators import decoder_of, training_pass
from isthmus.parts import ROLES, NetworkPart, from_table
from isthmus.persistence import CONFIG, WEIGHTS
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.history import History


class Own(nn.Module):
    """What somebody has: batch normalization with its buffers, dropout, a frozen layer, weights that stay positive."""

    def __init__(self, n_features, width):
        super().__init__()
        self.down = nn.Sequential(nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, width))
        self.noise = nn.Dropout(0.1)
        self.up, self.scale = nn.Linear(width, n_features), nn.Linear(n_features, n_features)
        self.scale.requires_grad_(False)
        with torch.no_grad():
            self.scale.weight.copy_(torch.eye(n_features))
            self.scale.bias.zero_()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def encode(self, x):
        return self.down(x).relu()

    def decode(self, code):
        return self.scale(self.up(self.noise(code)))

    @torch.no_grad()
    def after_step(self):
        self.steps += 1
        self.up.weight.clamp_(min=0)


@dataclass(frozen=True, repr=False)
class OwnPart(NetworkPart):
    kind: ClassVar[str] = "own"
    output: ClassVar[str] = "linear"
    code_activation: ClassVar[str] = "relu"
    width: int = 5


@pytest.fixture(autouse=True)
def registered():
    register(OwnPart, lambda part, n_features, generator, image_shape: Own(n_features, part.width))
    yield
    kinds.unregister("network", OwnPart)


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    return (rng.random((200, 4)) @ rng.random((4, 12))).astype(np.float32)


def model(**changes):
    return Autoencoder(
        OwnPart(), **{"epochs": 5, "batch_size": 32, "learning_rate": 0.01, "random_state": 0, **changes}
    )


def state(fitted):
    return fitted.network_.state_dict()


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"recipe": "fast"},
        {"standardize": True, "corruption": GaussianNoise(0.1), "penalty": L1(1e-4, warmup=1)},
        {"precision": "bfloat16"},
        {"validation_fraction": 0.2, "patience": 3},
    ],
    ids=str,
)
def test_it_learns_with_the_one_loop_and_the_same_seed_gives_the_same_bits(given, x, global_generators):
    before = global_generators()
    one, again = (model(**given).fit(x) for _ in range(2))
    other = model(**given, **{"random_state": 1}).fit(x) if "random_state" not in given else None
    assert global_generators() == before
    assert same(state(one), state(again))
    assert other is None or not same(state(one), state(other))
    assert one.history_.losses[-1] < 0.7 * one.history_.losses[0]
    code = one.transform(x)
    assert code.shape == (200, 5)
    np.testing.assert_allclose(one.reconstruct(x), one.inverse_transform(code), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(one.reconstruct(x[:7]), one.reconstruct(x)[:7], rtol=1e-4, atol=1e-5)


def test_the_module_is_told_of_each_step_and_what_is_frozen_stays(x):
    network = model().fit(x).network_
    assert training_pass(network) is network
    assert int(network.module.steps) == 5 * 7
    assert (network.module.up.weight >= 0).all()
    assert (network.module.up.weight == 0).any()
    assert torch.equal(network.module.scale.weight, torch.eye(12))
    assert not network.module.training


def test_it_is_counted_without_being_built(x):
    part = OwnPart(width=3)
    network = build(part, 12, torch.Generator().manual_seed(0))
    assert part.code_width(12, None) == network.code_size == 3
    assert part.multiplications(12, None) == 12 * 16 + 16 * 3 + 3 * 12 + 12 * 12
    assert part.n_weights(12, None) == sum(tensor.numel() for tensor in network.state_dict().values())
    assert OwnPart(width=10**9).n_weights(12, None) > 10**10


def test_it_is_resumed_with_its_buffers_to_the_same_bits(x, tmp_path):
    whole = model().fit(x)
    with closing(model().fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        for row in rows:
            if row.epoch == 3:
                break
    assert same(state(model().fit(x, checkpoint=tmp_path / "c")), state(whole))


def test_it_is_saved_and_loaded_to_the_same_bits(x, tmp_path):
    fitted = model(standardize=True).fit(x)
    fitted.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert same(state(again), state(fitted))
    assert again.network == OwnPart()
    np.testing.assert_array_equal(again.reconstruct(x), fitted.reconstruct(x))


@pytest.mark.parametrize("change", ["type", "shape", "missing", "more"])
def test_a_file_with_other_tensors_than_declared_is_refused(change, x, tmp_path, sealed):
    model(epochs=1).fit(x).save(tmp_path / "m")
    arrays = safetensors.numpy.load_file(tmp_path / "m" / WEIGHTS)
    name = "module.steps"
    if change == "type":
        arrays[name] = arrays[name].astype(np.float32)
    elif change == "shape":
        arrays[name] = arrays[name].reshape(1)
    elif change == "missing":
        arrays["module.other"] = arrays.pop(name)
    else:
        arrays["module.other"], arrays["module.up.bias"] = arrays[name], arrays["module.up.bias"][1:]
    sealed(tmp_path / "m", safetensors.numpy.save(arrays))
    with pytest.raises(DataError, match="module"):
        load(tmp_path / "m")


@pytest.fixture
def sealed():
    """Put other weights into a model's folder, with the hashes that belong to them."""
    import hashlib
    import json

    def put(folder, weights):
        config = json.loads((folder / CONFIG).read_text())
        (folder / WEIGHTS).write_bytes(weights)
        config["weights_sha256"] = hashlib.sha256(weights).hexdigest()
        del config["sha256"]  # as an older isthmus wrote it
        (folder / CONFIG).write_text(json.dumps(config))

    return put


class Variational(Network):
    """Codes that are sampled in training, from the step's generator, and a term that keeps them small."""

    def __init__(self, part, n_features, generator, image_shape):
        super().__init__()
        self.n_features, self.code_size = n_features, part.width
        self.down, self.up = nn.Linear(n_features, part.width), nn.Linear(part.width, n_features)

    def encode(self, x):
        return self.down(self.inward(x))

    def decode(self, code):
        return self.outward(self.up(code))

    def forward(self, x, *, logits=False, generator=None):
        code = sampled = self.encode(x)
        if generator is not None:
            sampled = code + 0.1 * torch.randn(code.shape, generator=generator)
        return Output(self.decode(sampled), code, {"size": Term(code.square(), 1e-3)})


def test_a_networks_own_term_counts_in_training_and_its_sampling_is_a_stream_of_the_seed(x, tmp_path, monkeypatch):
    monkeypatch.setitem(_BUILDS, OwnPart, Variational)
    fitted = model().fit(x)
    assert same(state(fitted), state(model().fit(x)))
    with closing(model().fit_epochs(x, checkpoint=Checkpoints(tmp_path / "c", every=0))) as rows:
        for row in rows:
            if row.epoch == 3:
                break
    assert same(state(model().fit(x, checkpoint=tmp_path / "c")), state(fitted))
    np.testing.assert_array_equal(fitted.reconstruct(x), fitted.reconstruct(x))
    plain = type(
        "Plain", (Variational,), {"forward": lambda self, x, **_: Output(self.decode(self.encode(x)), self.encode(x))}
    )
    monkeypatch.setitem(_BUILDS, OwnPart, plain)
    without = model().fit(x)
    assert np.abs(fitted.transform(x)).mean() != np.abs(without.transform(x)).mean()
    assert fitted.history_.losses[0] > without.history_.losses[0], "the term and the noise are in the loss"
    sizes = [row.terms["size"] for row in fitted.history_]
    assert sizes[-1] == pytest.approx(float((fitted.transform(x) ** 2).sum(axis=1).mean()), rel=0.2)
    assert [row.terms for row in History.from_jsonl(fitted.history_.to_jsonl())] == [{"size": size} for size in sizes]
    assert "terms" not in without.history_.to_jsonl()


def test_its_codes_can_be_searched(x):
    fitted = model().fit(x)
    prior = DecoderPrior(model(), random_state=0).fit(x)
    error = ((prior.inverse_transform(prior.transform(x[:20])) - x[:20]) ** 2).mean()
    assert error <= ((fitted.reconstruct(x[:20]) - x[:20]) ** 2).mean()
    assert adapter_of(prior).n_parameters == 5 * 12 + 12 + 12 * 12 + 12
    assert type(decoder_of(fitted.network_, torch.float32)).__name__ == "Decoder"


def test_probes_say_what_is_not_known_of_it_and_show_its_code(x):
    fitted, images = model(start="data").fit(x), Images(x.reshape(-1, 1, 3, 4) / x.max())
    with pytest.raises(RequestError, match="a network of kind own has no filters"):
        probe.filters(fitted, (1, 3, 4))
    assert not probe.has_atoms(fitted)
    assert probe.activation_maps(fitted, images)[""].shape == (200, 1, 2, 3)
    assert same(state(fitted), state(model().fit(x))), "the start that it has is kept"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (nn.Linear(12, 12), "a Linear has no encode"),
        (type("Empty", (nn.Module,), {"encode": lambda _, x: x, "decode": lambda _, x: x})(), "needs weights"),
        (
            type("Short", (Own,), {"decode": lambda self, code: self.up(code)[:, 1:]})(12, 3),
            r"decode must give \(n, 12\)",
        ),
        (type("Map", (Own,), {"encode": lambda self, x: self.down(x)[:, None]})(12, 3), "encode must give"),
    ],
    ids=["no encode", "no weights", "another width", "another rank"],
)
def test_a_module_that_is_no_network_is_refused(wrong, words, monkeypatch):
    monkeypatch.setitem(_BUILDS, OwnPart, lambda *_: wrong)
    with pytest.raises(RequestError, match=words):
        build(OwnPart(), 12, torch.Generator())


def test_a_kind_that_there_is_is_refused():
    other = dataclass(frozen=True)(type("Other", (OwnPart,), {}))
    with pytest.raises(RequestError, match='network kind "own" already stands for OwnPart'):
        register(other, Own)
    with pytest.raises(RequestError, match='network kind "dense" already'):
        register(Dense, Own)


def test_a_class_that_is_defined_again_takes_the_place_of_the_former(x):
    again = dataclass(frozen=True, repr=False)(type("OwnPart", (OwnPart,), {"__module__": __name__}))
    register(again, lambda part, n_features, generator, image_shape: Own(n_features, 3))
    try:
        assert from_table(ROLES["network"], {"kind": "own"}) == again()
        assert Autoencoder(again(), epochs=1).fit_transform(x).shape == (200, 3)
    finally:
        register(OwnPart, Own)


def test_a_command_has_its_options_and_its_own_defaults(tmp_path):
    folder = tmp_path / "m"
    assert run_command(["fit", "digits", "-o", str(folder), "--network", "own", "--width", "3", "--epochs", "1"]) == 0
    assert load(folder).network == OwnPart(width=3)
    with pytest.raises(RequestError, match="--bottleneck belongs to dense; --network own takes --width"):
        parse(["--network", "own", "--bottleneck", "3"])
    assert parse(["--width", "3"]) == ("own", {"width": 3})
    assert parse(["--activation", "relu"])[0] is None


def parse(arguments):
    parser = argparse.ArgumentParser()
    add_network_options(parser)
    return network_words(parser.parse_args(arguments))
