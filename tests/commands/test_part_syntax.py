"""Parts in the words of a command line: no second schema, and errors that name option, value and way out."""

from __future__ import annotations

import argparse
import dataclasses

import pytest

from isthmus import parts
from isthmus.commands.shared.part_syntax import (
    _NETWORK_HELP,
    add_network_options,
    fields_of,
    network_words,
    read_as_trained,
    read_words,
    words_of,
)
from isthmus.errors import RequestError
from isthmus.parts import KL, L1, MSE, Affine, GaussianNoise, Masking, Occlusion, Poisson, SaltAndPepper, Sequence

WORDS = {
    "gaussian:0.3": GaussianNoise(0.3, clip=True),
    "gaussian:0.3:false": GaussianNoise(0.3),
    "gaussian:0.3:clip=false": GaussianNoise(0.3),
    "gaussian:0.5:relative=true": GaussianNoise(0.5, relative=True),
    "salt-and-pepper:0.1": SaltAndPepper(0.1),
    "masking:0.3": Masking(0.3),
    "occlusion:6": Occlusion(6),
    "occlusion:6:value=0.5": Occlusion(6, value=0.5),
    "poisson:1e+3": Poisson(1000.0),
    "masking:0.2+gaussian:0.1": Sequence((Masking(0.2), GaussianNoise(0.1, clip=True))),
    "gaussian:0.1+poisson:30": Sequence((GaussianNoise(0.1, clip=True), Poisson(30))),
}


@pytest.mark.parametrize("text", WORDS)
def test_a_corruption_in_words(text):
    assert read_words("corruption", text, "--corruption") == WORDS[text]
    assert read_words("corruption", words_of(WORDS[text]), "--corruption") == WORDS[text]


def test_what_words_leave_unsaid_is_as_in_the_training():
    trained = Sequence((GaussianNoise(0.3), Masking(0.5, value="mean")))
    for text, expected in {
        "masking:0.2": Masking(0.2, value="mean"),
        "masking:0.2:0": Masking(0.2),
        "masking:0.2:value=0.5": Masking(0.2, value=0.5),
        "occlusion:3": Occlusion(3),  # of another kind
        "masking:0.2+gaussian:0.1": Sequence((Masking(0.2, value="mean"), GaussianNoise(0.1))),
    }.items():
        completed, note = read_as_trained(text, trained, "--corruption")
        assert read_words("corruption", completed, "--corruption") == expected
        assert note == ("" if expected == read_words("corruption", text, "--corruption") else words_of(expected))
        assert read_as_trained(text, None, "--corruption") == (text, "")
    both = Sequence((Masking(0.1, value=1), Masking(0.1)))
    assert read_as_trained("masking:0.3+masking:0.2", both, "")[0] == "masking:0.3:value=1+masking:0.2:value=0.0"


def test_augmentations_in_words():
    assert read_words("augmentation", "affine", "--augmentation") == Affine()
    assert read_words("augmentation", "affine:5:share=1", "--augmentation") == Affine(rotation=5, share=1)
    with pytest.raises(RequestError, match='--augmentation afine: unknown augmentation "afine"; known: affine'):
        read_words("augmentation", "afine", "--augmentation")


def test_penalties_and_losses_in_words():
    assert read_words("penalty", "l1:1e-5", "--penalty") == L1(1e-5)
    assert read_words("penalty", "l1:1e-5:per=element:warmup=2", "--penalty") == L1(1e-5, per="element", warmup=2)
    assert read_words("penalty", "kl:0.1:target=0.02", "--penalty") == KL(0.1, target=0.02)
    assert read_words("loss", "mse", "--loss") == MSE()


@pytest.mark.parametrize(("role", "kinds"), parts.ROLES.items())
def test_every_kind_can_be_said(role, kinds):
    """A part with each field named reads back as itself, whatever fields a new part brings."""
    examples = {"gaussian": 0.3, "occlusion": 3, "l1": 0.1, "kl": 0.1, "salt-and-pepper": 0.1, "masking": 0.2}
    for kind, cls in kinds.items():
        if role == "network" or cls is Sequence:
            continue
        required = [name for name, f in fields_of(cls).items() if f.default is dataclasses.MISSING]
        part = cls(**dict.fromkeys(required, examples.get(kind, 2)))
        said = [f"{name}={str(getattr(part, name)).lower()}" for name in fields_of(cls)]
        assert read_words(role, ":".join([kind, *said]), "--x") == part


WRONG = {
    "gausian:0.3": 'unknown corruption "gausian"; known: gaussian, masking',
    "masking:0.2+poison:3": 'Did you mean "poisson"?',
    "gaussian": "sigma is missing; write it as gaussian:SIGMA",
    "gaussian:": "sigma must be a number or a list, each a number, got ''",
    "gaussian:-1": "--corruption gaussian:-1: sigma must be at least 0, got -1",
    "gaussian:nan": "sigma must be a finite number of at least 0, got nan",
    "gaussian:0.3:sigma=0.2": "sigma is given twice",
    "gaussian:0.3:clp=true": 'unknown key "clp"',
    "gaussian:0.3:clip=maybe": "clip must be true or false, got 'maybe'",
    "masking:1:2:3": "masking takes at most masking:fraction:value, got 3 values",
    "gaussian:0.3:clip=false+poisson:3": "put it first, or clip",
    "": 'unknown corruption ""',
    "sequence:1": 'unknown corruption "sequence"',
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_word_is_told_with_the_option_and_the_value(text):
    with pytest.raises(RequestError) as caught:
        read_words("corruption", text, "--corruption")
    assert str(caught.value).startswith(f"--corruption {text}: ")
    assert WRONG[text] in str(caught.value)


def said(*arguments):
    parser = argparse.ArgumentParser()
    add_network_options(parser)
    return network_words(parser.parse_args(arguments))


def test_the_options_of_a_network_are_the_fields_of_its_parts():
    every = {name for cls in parts.NETWORKS.values() for name in fields_of(cls) if not cls.by_function}
    assert every == set(_NETWORK_HELP)
    assert said() == (None, {})
    assert said("--hidden", "512,256", "--bottleneck", "30") == ("dense", {"hidden": (512, 256), "bottleneck": 30})
    assert said("--channels", "8,16") == ("conv", {"channels": (8, 16)})
    assert said("--atoms", "100", "--unit-norm", "false") == ("dictionary", {"n_atoms": 100, "unit_norm": False})
    assert said("--activation", "tanh") == (None, {"activation": "tanh"})  # which every network has
    assert said("--network", "dictionary", "--hidden", "64") == ("dictionary", {"hidden": (64,)})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--network", "dens"], 'Did you mean "dense"?'),
        (["--network", "conv", "--bottleneck", "4"], "--bottleneck belongs to dense; --network conv takes --channels"),
        (["--channels", "8", "--bottleneck", "4"], "no network has --bottleneck and --channels"),
        (["--hidden", "12,a"], "--hidden 12,a: hidden must be a list, each an integer"),
        (["--bottleneck", "0"], "bottleneck must be an integer of at least 1, got 0"),
        (["--decoder", "unpol"], 'Did you mean "unpool"?'),
    ],
)
def test_a_wrong_network_is_told(arguments, words):
    with pytest.raises(RequestError, match="--") as caught:
        said(*arguments)
    assert words in str(caught.value)
