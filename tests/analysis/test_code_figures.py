"""Figures that a kind of code brings: silent units, vectors in use, and those of a code of one's own."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch

from isthmus import MSE, Autoencoder, Dense, Gaussian, Quantized, kinds
from isthmus.analysis.probe import unit_nats
from isthmus.cli import run_command
from isthmus.codes import Code, register
from isthmus.data.images import Images
from isthmus.errors import RequestError
from isthmus.parts import CodePart
from isthmus.studies.results import measure as measuring
from isthmus.studies.results.measure import has_likelihood, has_prior, measure, nll

LINEAR = Dense((12,), 6, code_activation="linear", output="sigmoid")
OF_CODES = ("mse", "l0", "dead_units")


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return Images((255 * rng.random((90, 2)) @ rng.random((2, 16)) / 2).astype(np.uint8).reshape(-1, 1, 4, 4))


def model(code, images, **changes):
    given = {"epochs": 30, "batch_size": 30, "learning_rate": 0.01, "random_state": 0}
    return Autoencoder(LINEAR, code=code, **{**given, **changes}).fit(images)


def figures(fitted, images):
    return {name: estimate.value for name, estimate in measure(fitted, images, OF_CODES).estimates.items()}


def test_units_that_tell_nothing_are_silent_and_not_dead(images):
    fitted = model(Gaussian(), images, loss=MSE(100.0), epochs=100)
    found, nats = figures(fitted, images), unit_nats(fitted, images)
    assert found["dead_units"] == 0
    assert 0 < found["silent_units"] == (nats < 0.01).sum() < 6
    all_of_them = figures(model(Gaussian(beta=50), images), images)
    assert (all_of_them["dead_units"], all_of_them["silent_units"]) == (0, 6)


def test_vectors_in_use_and_perplexity_are_of_the_images(images, monkeypatch):
    fitted = model(Quantized(8, 2), images)
    found = figures(fitted, images)
    counts = [np.unique(part, axis=0, return_counts=True)[1] for part in np.split(fitted.transform(images), 2, axis=1)]
    assert found["vectors_in_use"] == sum(map(len, counts)) > 4
    shares = [each / each.sum() for each in counts]
    assert found["perplexity"] == pytest.approx(np.mean([np.exp(-(p * np.log(p)).sum()) for p in shares]))
    monkeypatch.setattr(measuring, "chunks", lambda n: [slice(i, min(i + 7, n)) for i in range(0, n, 7)])
    assert figures(fitted, images) == pytest.approx(found), "however they come"
    one = figures(fitted, images.take(np.array([3])))
    assert (one["vectors_in_use"], one["perplexity"]) == (2, 1)


def test_a_plain_code_brings_none(images):
    assert set(figures(model(None, images), images)) == set(OF_CODES)


@dataclass(frozen=True, repr=False)
class Halved(CodePart):
    kind: ClassVar[str] = "halved"


class HalvedCode(Code):
    """Half of what the encoder gives, with a prior and, if `draws`, codes of a sample beside it."""

    name = "largest"

    def __init__(self, part, code_size, generator):
        super().__init__()
        self.code_size = code_size

    def at_inference(self, z):
        return z / 2

    def prior(self, n, generator):
        return torch.randn((n, self.code_size), generator=generator)

    def tally(self, z):
        return self.at_inference(z).sum(dim=0)

    def figures(self, total, n):
        return {self.name: float(total.max() / n)}


class Drawing(HalvedCode):
    def draw(self, z, noise):
        """From N(z / 2, 1)."""
        code = z[:, None] / 2 + noise
        return code, 0.5 * (code.square() - noise.square()).sum(dim=2)


@pytest.fixture
def halved():
    yield lambda make: register(Halved, make)
    kinds.unregister("code", Halved)


def test_a_code_of_ones_own_brings_its_own(halved, images, tmp_path, capsys):
    halved(HalvedCode)
    fitted = model(Halved(), images, epochs=2)
    largest = fitted.transform(images).mean(axis=0).max()
    assert figures(fitted, images)["largest"] == pytest.approx(largest, rel=1e-5)
    fitted.save(tmp_path / "m")
    np.save(tmp_path / "x.npy", images.pixels)
    assert run_command(["evaluate", str(tmp_path / "m"), str(tmp_path / "x.npy"), "--corruption", "masking:0.2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("largest")]
    assert f"{largest:.4g}" in line
    assert run_command(["evaluate", str(tmp_path / "m"), str(tmp_path / "x.npy"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    (row,) = [row for row in rows if row["metric"] == "largest"]
    assert row["value"] == pytest.approx(largest, rel=1e-5)
    assert (row["n"], row["ci95"]) == (90, None)


@pytest.mark.parametrize(
    ("name", "words"), [("mse", "is a metric of its own"), ("My figure", "is no word of a-z, 0-9 and _")]
)
def test_a_figure_of_a_name_that_means_something_else_is_refused(name, words, halved, images, monkeypatch):
    halved(HalvedCode)
    monkeypatch.setattr(HalvedCode, "name", name)
    with pytest.raises(RequestError, match=f"HalvedCode.figures: '{name}' {words}; give it another name"):
        figures(model(Halved(), images, epochs=1), images)


def test_a_code_of_ones_own_with_a_prior_needs_draws_for_a_likelihood(halved, images):
    halved(HalvedCode)
    fitted = model(Halved(), images, epochs=1, loss="bce")
    assert fitted.sample(3).shape == (3, 1, 4, 4)
    assert (has_prior(fitted), has_likelihood(fitted)) == (True, False)
    assert nll(fitted, images, 5) is None
    with pytest.raises(RequestError, match=r"code Halved\(\) has a prior and no likelihood: HalvedCode has no draw"):
        fitted.log_likelihood(images, n_samples=5)
    kinds.unregister("code", Halved)
    halved(Drawing)
    fitted = model(Halved(), images, epochs=1, loss="bce")
    few, many = (fitted.log_likelihood(images, n_samples=n).mean() for n in (1, 500))
    assert few < many < 0
    assert nll(fitted, images, 500).value == pytest.approx(-many, rel=1e-5)
