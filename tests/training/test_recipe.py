"""The recipe: what is said is kept, what is chosen can be trained, more images are gone through less often."""

from __future__ import annotations

import math

import pytest

from isthmus.parts import KL, L1, Conv, Dense, Dictionary, Gaussian, GaussianNoise, Plain, Training
from isthmus.training.recipe import completed, described

FAST = {"recipe": "fast"}
SHAPE = (50_000, 784)
DEEP = Dense((512, 256, 128), 30, (128, 256))


def test_without_a_recipe_the_defaults_are_what_is_not_said():
    assert completed({}, DEEP, None, SHAPE) == Training()
    assert completed({"epochs": 3}, DEEP, None, SHAPE) == Training(epochs=3)


@pytest.mark.parametrize(
    "said",
    [
        {"epochs": 7},
        {"batch_size": 33},
        {"learning_rate": 0.5},
        {"schedule": "cosine"},
        {"start": "random"},
        {"precision": "float32", "optimizer": "adamw", "patience": 2},
    ],
    ids=str,
)
def test_what_is_said_is_kept_and_the_rest_is_chosen(said):
    training, free = completed(FAST | said, DEEP, None, SHAPE), completed(FAST, DEEP, None, SHAPE)
    assert {name: getattr(training, name) for name in said} == said
    names = {"epochs", "batch_size", "learning_rate", "schedule", "start"} - set(said)
    assert any(getattr(training, name) != getattr(Training(), name) for name in names)
    assert free != Training(recipe="fast")


@pytest.mark.parametrize("network", [DEEP, Dense(), Conv(), Dictionary()], ids=lambda part: part.kind)
@pytest.mark.parametrize("penalty", [None, L1(0.1), KL(0.1)], ids=["none", "l1", "kl"])
def test_any_number_of_samples_has_a_training(network, penalty):
    former = math.inf
    for n in (2, 10, 100, 1000, 10_000, 100_000, 1_000_000, 100_000_000):
        training = completed(FAST, network, penalty, (n, 784))
        assert 1 <= training.epochs <= former
        assert 0 < training.learning_rate <= 0.02
        former = training.epochs


def test_a_deeper_network_has_a_lower_rate():
    shallow, deep = (completed(FAST, part, None, SHAPE).learning_rate for part in (Dense(), DEEP))
    assert shallow > deep > Training().learning_rate


def test_wider_samples_have_a_lower_rate_and_convolutions_the_same():
    """At the rate of 784 numbers, the loss of 64×64 pages rose to forty times their variance."""
    shapes = [(50_000, d) for d in (64, 784, 4 * 784, 16 * 784)]
    narrow, former, wide, wider = (completed(FAST, Dense(), None, shape).learning_rate for shape in shapes)
    assert narrow == former == pytest.approx(2 * wide) == pytest.approx(4 * wider)
    assert len({completed(FAST, Conv(), None, shape).learning_rate for shape in shapes}) == 1


def test_more_noise_in_a_step_means_more_steps():
    small, large = (completed(FAST | {"batch_size": size}, DEEP, None, (51_200, 784)) for size in (64, 256))
    assert small.epochs * 51_200 / 64 > large.epochs * 51_200 / 256


def test_a_code_in_nats_takes_more_steps_up_to_the_most_passes():
    for n in (10_000, 1_000_000):
        plain, nats = (completed(FAST, DEEP, None, (n, 784), code=code).epochs for code in (Plain(), Gaussian()))
        assert plain < nats <= Gaussian.recipe_passes
    assert completed(FAST, DEEP, None, (60_000, 784), code=Gaussian()).epochs == 800  # as README's likelihood had


def test_of_samples_whose_noise_is_learned_some_choose_the_epoch():
    def chosen(n, code, **said):
        training = completed(FAST | said, Dense((8,), 2), None, (n, 9), code=code)
        return training.validation_fraction, training.patience, training.epochs

    learned = Gaussian(noise="learned")
    for n, held_out in ((20, 8), (60, 8), (300, 30), (5_000, 500), (50_000, 500)):
        fraction, patience, epochs = chosen(n, learned)
        assert fraction * n == pytest.approx(held_out)
        assert patience == epochs, "it is not stopped: the rate has to fall"
    assert chosen(300, learned, epochs=7)[1:] == (7, 7)
    assert chosen(300, learned, validation_fraction=0.3)[0] == 0.3
    assert chosen(19, learned)[:2] == chosen(300, Gaussian())[:2] == (None, None)


def test_a_penalty_that_is_summed_over_the_batch_keeps_its_strength():
    sizes = [completed(FAST, DEEP, L1(0.1, per="batch"), (n, 784)).batch_size for n in (100, 50_000)]
    assert sizes == [Training().batch_size] * 2


@pytest.mark.parametrize("said", [{"optimizer": "sgd"}, {"schedule": "constant"}], ids=str)
def test_a_rate_for_a_cycle_of_adam_is_given_to_nothing_else(said):
    assert completed(FAST | said, DEEP, None, SHAPE).learning_rate == Training().learning_rate


def test_a_choice_is_said_in_words():
    assert described(completed(FAST, DEEP, None, SHAPE)) == (
        "4 epochs in batches of 256, one-cycle 0.0053, scaled to the data at the start"
    )
    assert described(completed(FAST | {"epochs": 1}, Conv(), None, SHAPE)).startswith("1 epoch in")


def test_a_penalty_takes_more_steps_and_l1_on_a_wide_code_the_start_as_drawn():
    free, kl, l1 = (completed(FAST, Dense(), penalty, (5000, 784)) for penalty in (None, KL(0.1), L1(0.1)))
    assert kl.epochs == l1.epochs > free.epochs
    assert (free.start, kl.start, l1.start) == ("data", "data", "random")
    assert completed(FAST, Dense((64,), 128), L1(0.1), (5000, 784)).start == "random"
    assert (
        completed(FAST, DEEP, L1(0.1), (5000, 784)).start == "data"
    )  # narrow: as drawn, three quarters of its units died


@pytest.mark.parametrize("penalty", [None, KL(0.1), L1(0.1)], ids=["none", "kl", "l1"])
def test_convolutions_take_more_steps_of_a_higher_rate_from_a_start_at_the_data(penalty):
    dense, conv = (completed(FAST, part, penalty, SHAPE) for part in (Dense((8,), 4), Conv((4, 4))))
    assert conv.epochs >= dense.epochs
    assert penalty is not None or conv.epochs > dense.epochs
    assert conv.learning_rate > dense.learning_rate  # at the same depth
    assert conv.start == "data"  # as drawn, L1 took every unit of a convolutional ReLU code


@pytest.mark.parametrize("network", [DEEP, Conv(), Dictionary()], ids=lambda part: part.kind)
def test_few_samples_are_not_gone_through_for_ever(network):
    assert (
        completed(FAST, network, KL(0.1), (50, 784)).epochs == completed(FAST, network, None, (20, 784)).epochs == 200
    )


def test_a_dense_denoiser_has_a_lower_rate_for_few_samples():
    noise = GaussianNoise(0.1)

    def rates(network, penalty, corruption):
        return [
            completed(FAST, network, penalty, (n, 64), corruption).learning_rate for n in (20, 125, 500, 2000, 50_000)
        ]

    free = rates(Dense(), None, noise)
    assert free == pytest.approx([free[-1] * share for share in (0.25, 0.25, 0.5, 1, 1)])
    for network, penalty in ((Conv(), None), (Dense(), L1(0.1)), (Dictionary(), None)):
        assert len(set(rates(network, penalty, noise))) == 1
    assert len(set(rates(Dense(), None, None))) == 1, "few start at PCA's solution"
