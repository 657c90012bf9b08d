"""The one loop: against a plain loop, and what its order, noise, averages and schedules are functions of."""

import math
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import isthmus
from isthmus import Images
from isthmus.data.batches import Pixels, epoch_order
from isthmus.errors import RunError
from isthmus.networks import Network, build
from isthmus.networks.accelerators import PASSES
from isthmus.networks.accelerators.conv import ConvPass
from isthmus.networks.conv import ConvNetwork
from isthmus.objective import Objective
from isthmus.parts import (
    ACTIVATIONS,
    BCE,
    KL,
    L1,
    MSE,
    Conv,
    Dense,
    GaussianNoise,
    Masking,
    Occlusion,
    SaltAndPepper,
    Sequence,
    Training,
)
from isthmus.rng import generator
from isthmus.training.loop import SCHEDULES, n_steps, train
from isthmus.training.setup import Setup
from isthmus.training.validation import mean_loss

CPU = torch.device("cpu")


class Scale(Network):
    """x_hat = weight * x: the smallest network. It keeps each batch it saw in training and its weight at that time."""

    multiplications, n_features = 1, 1

    def __init__(self, weight=0.5):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([weight]))
        self.seen, self.weights, self.after_steps = [], [], []

    def encode(self, x):
        self.seen.append(x.clone())
        self.weights.append(self.weight.item())
        return x

    def decode(self, code):
        return self.weight * code

    def after_step(self):
        self.after_steps.append(self.weight.item())


def run(network, x, training, *, loss=MSE(), penalty=None, corruption=None, precision="float32", seed=0):  # noqa: B008
    """All the rows of a training on an array or on `Images`."""
    setup = Setup(training, Objective(loss, penalty), seed, corruption, precision=precision)
    return list(train(network, Pixels(x, CPU, shuffle=training.shuffle, seed=seed), setup))


def visits(x, training, **kwargs):
    """What a network is shown, (epochs, n, n_features), while it hardly learns."""
    network = Scale()
    run(network, x, training, **kwargs)
    return torch.cat(network.seen).reshape(training.epochs, *x.shape)


def dense(part, n_features, seed=0):
    return build(part, n_features, generator(seed, "init"))


@pytest.mark.parametrize("given_up", [False, True])
def test_after_the_last_step_what_a_pass_keeps_from_step_to_step_is_freed(given_up, monkeypatch):
    alive = weakref.WeakSet()

    class Watched(ConvPass):
        def __init__(self, network):
            super().__init__(network)
            alive.add(self)

    monkeypatch.setitem(PASSES, ConvNetwork, Watched)
    network = build(Conv((2,)), 64, generator(0, "init"), (1, 8, 8))
    setup = Setup(Training(epochs=2), Objective(MSE()), seed=0)
    rows = train(network, Pixels(np.ones((4, 64), np.float32), CPU), setup)
    next(rows)
    assert len(alive) == 1
    rows.close() if given_up else list(rows)
    assert not alive


# --- against a loop that anyone would write ---


def plain_loop(network, x, training, *, loss, penalty, optimizer, seed):
    """The same training with torch's modules and autograd only, no corruption and a constant learning rate."""
    kinds = {
        "gelu": nn.GELU,
        "leakyrelu": nn.LeakyReLU,
        "linear": nn.Identity,
        "relu": nn.ReLU,
        "sigmoid": nn.Sigmoid,
        "silu": nn.SiLU,
        "tanh": nn.Tanh,
    }

    def stack(chain):
        modules = []
        for layer, activation in zip(chain.layers, chain.activations, strict=True):
            copied = nn.utils.skip_init(nn.Linear, layer.in_features, layer.out_features)
            copied.load_state_dict(layer.state_dict())
            modules += [copied, kinds[activation]()]
        return nn.Sequential(*modules)

    encoder, decoder = stack(network.encoder), stack(network.decoder)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    updates = optimizer(parameters, lr=training.learning_rate)
    x, losses = torch.from_numpy(x), []
    for epoch in range(1, training.epochs + 1):
        order = epoch_order(len(x), training.shuffle, seed, epoch, CPU)
        for which in order.split(training.batch_size):
            batch = x[which]
            code = encoder(batch)
            value = loss(decoder(code), batch) + penalty * code.abs().sum(dim=1).mean()
            updates.zero_grad()
            value.backward()
            updates.step()
            losses.append(value.item())
    return losses, parameters


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_training_equals_a_plain_loops(activation, optimizer, x):
    training = Training(optimizer, 0.01, epochs=3, batch_size=32)
    network = dense(Dense(hidden=(12, 8), bottleneck=4, activation=activation), 16)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    expected, parameters = plain_loop(
        network, x, training, loss=functional.mse_loss, penalty=0.01, optimizer=kinds[optimizer], seed=3
    )
    rows = run(network, x, training, penalty=L1(0.01), seed=3)
    losses = [loss for row in rows for loss in row.step_losses]
    np.testing.assert_allclose(losses, expected, rtol=2e-3)
    for ours, theirs in zip(network.parameters(), parameters, strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=0, atol=2e-3)
    assert losses[-1] < losses[0]


def test_training_with_cross_entropy_equals_a_plain_loops(x):
    x = (x - x.min()) / (x.max() - x.min())
    training = Training(learning_rate=0.01, epochs=3, batch_size=32, shuffle="once")
    network = dense(Dense(bottleneck=4, activation="tanh", output="sigmoid"), 16)
    expected, _ = plain_loop(
        network, x, training, loss=functional.binary_cross_entropy, penalty=0, optimizer=torch.optim.Adam, seed=3
    )
    rows = run(network, x, training, loss=BCE(), seed=3)
    np.testing.assert_allclose([loss for row in rows for loss in row.step_losses], expected, rtol=1e-4)


def test_a_trained_network_can_be_trained_on_by_autograd(x):
    network = dense(Dense(hidden=(8,), bottleneck=3), 16)
    run(network, x, Training(epochs=1))
    batch = torch.from_numpy(x[:8])
    network.zero_grad()
    network(batch)[0].square().mean().backward()
    once = [p.grad.clone() for p in network.parameters()]
    network(batch)[0].square().mean().backward()
    for parameter, gradient in zip(network.parameters(), once, strict=True):
        assert gradient.abs().sum() > 0
        torch.testing.assert_close(parameter.grad, 2 * gradient, msg="gradients add up, as autograd's do")


# --- what the documentation claims of a step ---


@pytest.mark.parametrize("loss", [MSE(), BCE()])
@pytest.mark.parametrize(
    "corruption", [None, GaussianNoise(0.3), SaltAndPepper(0.2), Sequence((Masking(0.2), GaussianNoise(0.1)))], ids=repr
)
def test_no_step_waits_for_the_device(corruption, loss, x, monkeypatch):
    """Whatever reads a number back waits: it is done as often in an epoch of many steps as in one of few."""
    network = dense(Dense(bottleneck=3, output="sigmoid"), 16)
    x, reads = (x - x.min()) / (x.max() - x.min()), []
    for name in ("item", "tolist", "cpu", "numpy", "nonzero", "__bool__", "__float__", "__int__"):
        whole = getattr(torch.Tensor, name)

        def reading(tensor, *args, _whole=whole, **kwargs):
            reads.append(_whole.__name__)
            return _whole(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, reading)
    counts = []
    for batch_size in (len(x) // 2, 4):
        reads.clear()
        run(network, x, Training(epochs=1, batch_size=batch_size), loss=loss, penalty=L1(0.01), corruption=corruption)
        counts.append(len(reads))
    assert counts[0] == counts[1] > 0


def test_weights_are_trained_by_the_loop_alone():
    """No other module makes an optimizer."""
    package = Path(isthmus.__file__).parent
    makers = [
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if "OPTIMIZERS[" in (text := path.read_text("utf-8")) or "torch.optim." in text
    ]
    assert makers == ["training/loop.py"]


# --- averages ---


def test_the_epochs_loss_is_the_mean_over_samples_whatever_the_last_batch_holds():
    x = np.ones((10, 4), np.float32)
    x[8:] = 10  # the last batch holds two samples, and these have a hundred times the error
    rows = run(Scale(0.5), x, Training("sgd", 1e-12, epochs=1, batch_size=4, shuffle=False))
    assert rows[0].step_losses == pytest.approx((0.25, 0.25, 25))
    assert rows[0].loss == pytest.approx(float(np.mean((0.5 * x) ** 2)))
    assert rows[0].loss != pytest.approx(np.mean(rows[0].step_losses))


def test_rows_are_counted_from_1_and_have_a_loss_per_step(x):
    training = Training(epochs=3, batch_size=64)
    rows = run(dense(Dense(bottleneck=3), 16), x, training)
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert [len(row.step_losses) for row in rows] == [4, 4, 4]
    assert n_steps(len(x), training) == 12
    assert all(row.seconds > 0 and row.validation_loss is None for row in rows)


@pytest.mark.parametrize("seed", [0, 7])
def test_validation_noise_is_that_of_no_training_epoch(seed):
    """Of the same samples in the same order: whoever learned one epoch's noise by heart gains nothing."""
    x, sigma = np.zeros((50, 40), np.float32), GaussianNoise(1.0)
    trained = visits(x, Training(epochs=4, batch_size=50, shuffle=False), corruption=sigma, seed=seed)
    network = Scale()
    mean_loss(network, Pixels(x, CPU), Setup(Training(), Objective(MSE()), seed, sigma))
    (validated,) = network.seen
    assert validated.std() == pytest.approx(1, rel=0.1)
    for epoch in trained:
        assert epoch.std() == pytest.approx(1, rel=0.1)
        together = np.corrcoef(np.ravel(epoch), validated.numpy().ravel())[0, 1]
        assert abs(together) < 0.1  # 4.5 standard errors of 2,000 pairs


def test_mean_loss_does_not_depend_on_the_chunk_and_draws_the_same_noise_again(x):
    network, pixels = dense(Dense(bottleneck=3), 16), Pixels(x, CPU)

    def loss(corruption=None, seed=0, **chunk):
        return mean_loss(network, pixels, Setup(Training(), Objective(MSE()), seed, corruption), **chunk)

    plain = loss()
    whole = functional.mse_loss(network(pixels.values)[0].detach(), pixels.values).item()
    assert plain == pytest.approx(whole, rel=1e-6)
    assert loss(chunk=7) == pytest.approx(plain, rel=1e-6)
    noisy = [loss(GaussianNoise(1.0), seed) for seed in (0, 0, 1)]
    assert noisy[0] == noisy[1] != noisy[2]
    assert noisy[0] != plain


# --- order ---


@pytest.mark.parametrize("shuffle", [True, "once"])
def test_an_epoch_visits_every_sample_once_in_a_drawn_order(shuffle):
    x = np.arange(50, dtype=np.float32)[:, None]
    training = Training("sgd", 1e-12, epochs=3, batch_size=8, shuffle=shuffle)
    orders = visits(x, training)[:, :, 0]
    assert all(torch.equal(order.sort().values, torch.arange(50.0)) for order in orders)
    assert not torch.equal(orders[0], torch.arange(50.0))
    assert torch.equal(orders[0], orders[1]) is torch.equal(orders[1], orders[2]) is (shuffle == "once")
    assert torch.equal(visits(x, training)[:, :, 0], orders)
    assert not torch.equal(visits(x, training, seed=1)[:, :, 0], orders)


def test_without_shuffling_the_order_is_the_datas():
    x = np.arange(50, dtype=np.float32)[:, None]
    orders = visits(x, Training("sgd", 1e-12, epochs=2, batch_size=8, shuffle=False))[:, :, 0]
    assert torch.equal(orders, torch.arange(50.0).repeat(2, 1))


# --- noise: a function of (seed, purpose, epoch) ---


def test_noise_is_new_in_each_epoch_and_the_same_in_each_run():
    x = np.zeros((40, 6), np.float32)
    training = Training("sgd", 1e-12, epochs=3, batch_size=16)
    noise = visits(x, training, corruption=GaussianNoise(1.0))
    assert noise.std().item() == pytest.approx(1, abs=0.1)
    assert not torch.equal(noise[0], noise[1])
    assert len(torch.unique(noise)) > 700, "no draw is used twice"
    assert torch.equal(visits(x, training, corruption=GaussianNoise(1.0)), noise)
    assert not torch.equal(visits(x, training, corruption=GaussianNoise(1.0), seed=1), noise)


def test_order_and_noise_do_not_depend_on_each_other_or_on_how_long_training_goes_on():
    x = np.repeat(1000 * np.arange(40, dtype=np.float32)[:, None], 6, axis=1)
    noisy = {"corruption": GaussianNoise(1.0)}
    long = visits(x, Training("sgd", 1e-20, epochs=3, batch_size=16), **noisy)
    order = (long / 1000).round()
    noise = long - 1000 * order
    assert torch.equal(visits(x, Training("sgd", 1e-20, epochs=3, batch_size=16)), 1000 * order)
    in_order = visits(x, Training("sgd", 1e-20, epochs=3, batch_size=16, shuffle=False), **noisy) - torch.from_numpy(x)
    torch.testing.assert_close(in_order, noise, rtol=0, atol=0.01)  # floats near 40,000 are 0.004 apart
    assert torch.equal(visits(x, Training("sgd", 1e-20, epochs=2, batch_size=16), **noisy), long[:2])


def test_the_target_is_the_clean_sample():
    x = np.ones((64, 8), np.float32)
    rows = run(Scale(0.0), x, Training("sgd", 1e-12, epochs=1), corruption=GaussianNoise(5.0))
    assert rows[0].loss == pytest.approx(1)


def test_a_longer_training_begins_like_a_shorter_one(x):
    part, corruption = Dense(hidden=(8,), bottleneck=3), GaussianNoise(0.5)
    short, long = dense(part, 16), dense(part, 16)
    two = run(short, x, Training(epochs=2), corruption=corruption)
    four = run(long, x, Training(epochs=4), corruption=corruption)
    assert [row.step_losses for row in two] == [row.step_losses for row in four[:2]]
    assert four[3].loss != four[1].loss


# --- learning rates ---


def rates(schedule, n=100, peak=0.01):
    """The learning rate of each step, from how far the weight went: d/dw mean((w - 1)²) is 2 (w - 1)."""
    network = Scale(0.0)
    run(network, np.ones((n, 1), np.float32), Training("sgd", peak, schedule, epochs=1, batch_size=1))
    w = np.array([*network.weights, network.weight.item()])
    return np.diff(w) / (2 * (1 - w[:-1])) / peak


def test_a_constant_rate_is_constant():
    np.testing.assert_allclose(rates("constant"), 1, rtol=1e-3)


def test_the_network_may_change_itself_after_every_step(x):
    network = Scale()
    run(network, x, Training("sgd", 0.01, epochs=2, batch_size=50))
    assert len(network.after_steps) == 8
    assert network.after_steps[:-1] == network.weights[1:], "before the next step sees them"
    assert len(set(network.after_steps)) == 8


def test_cosine_falls_from_the_peak_to_nothing():
    factors = rates("cosine")
    assert factors[0] == pytest.approx(1, rel=1e-3)
    assert factors[50] == pytest.approx(0.5, abs=1e-3)
    assert factors[-1] == pytest.approx(0, abs=1e-3)
    assert (np.diff(factors) < 1e-4).all()


def test_one_cycle_rises_from_a_25th_to_the_peak_and_falls_to_nothing():
    factors = rates("one-cycle")
    assert factors[0] == pytest.approx(1 / 25, rel=1e-2)
    assert factors[30] == pytest.approx(1, rel=1e-3)
    assert factors[-1] == pytest.approx(0, abs=2e-3)
    assert (np.diff(factors[:30]) > 0).all()
    assert (np.diff(factors[30:]) < 1e-4).all()


def test_one_cycle_is_torchs():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1, total_steps=10_001)
    factors = [theirs.get_last_lr()[0]]
    for _ in range(10_000):
        optimizer.step()
        theirs.step()
        factors += theirs.get_last_lr()
    ours = [SCHEDULES["one-cycle"](step / 10_000) for step in range(10_001)]
    np.testing.assert_allclose(ours, factors, atol=1e-3)
    assert SCHEDULES["one-cycle"](1.0) == pytest.approx(1 / 250_000)


# --- penalties ---


def ramps(x, training, penalty):
    """The objective of each step over what it would be without penalty, less 1: L1's factor, for codes that are x."""
    network = Scale(0.0)  # whose loss of x = 1 is 1, whose code is x, and which hardly learns
    rows = run(network, x, training, penalty=penalty)
    return np.array([row.step_losses for row in rows]) - 1


@pytest.mark.parametrize(("warmup", "per_step"), [(2, 1 / 10), (0.5, 1 / 2.5), (7, 1 / 35)])
def test_a_penalty_warms_up_step_by_step(warmup, per_step):
    x, training = np.ones((40, 1), np.float32), Training("sgd", 1e-12, epochs=4, batch_size=8)
    found = ramps(x, training, L1(0.5, warmup=warmup))
    expected = 0.5 * np.minimum(1, np.arange(20) * per_step).reshape(4, 5)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[0, 0] == 0
    if warmup == 2:
        assert found[1, -1] < 0.5
        np.testing.assert_allclose(found[2:], 0.5, rtol=1e-6)


def test_without_warm_up_a_penalty_is_whole_from_the_first_step():
    x, training = np.ones((40, 1), np.float32), Training("sgd", 1e-12, epochs=2, batch_size=8)
    np.testing.assert_allclose(ramps(x, training, L1(0.5)), 0.5, rtol=1e-6)


def test_a_warm_up_that_has_not_begun_changes_no_weight(x):
    def weights(penalty):
        network = dense(Dense(bottleneck=4), 16)
        run(network, x, Training(epochs=1, batch_size=len(x)), penalty=penalty)  # one step
        return torch.cat([p.detach().flatten() for p in network.parameters()])

    assert torch.equal(weights(L1(0.5, warmup=1)), weights(None))
    assert not torch.equal(weights(L1(0.5)), weights(None))


def test_kl_brings_activations_to_the_target(x):
    def mean_activations(penalty):
        network = dense(Dense(bottleneck=8, activation="sigmoid"), 16)
        run(network, x, Training("adam", 0.02, epochs=60, batch_size=50), penalty=penalty)
        return network.encode(torch.from_numpy(x)).detach().mean(dim=0)

    free, sparse = mean_activations(None), mean_activations(KL(10.0, target=0.1))
    assert (sparse - 0.1).abs().max() < 0.1 < (free - 0.1).abs().mean()
    assert sparse.std() > 0


# --- corruptions that know images ---


def test_a_corruption_has_the_images_shape():
    x, training = np.ones((40, 12), np.float32), Training("sgd", 1e-12, epochs=2, batch_size=16)
    corruption = Sequence((Occlusion(2), Masking(0.1)))
    network = Scale()
    pixels, setup = Pixels(x, CPU), Setup(training, Objective(MSE()), 0, corruption, image_shape=(3, 2, 2))
    list(train(network, pixels, setup))
    assert (torch.cat(network.seen) == 0).all(), "a square of 2×2 is the whole of such an image"
    loss = mean_loss(network, pixels, replace(setup, corruption=Occlusion(1)))
    # one pixel of four is hidden in all channels, and there the error is 1; elsewhere Scale gives half of the number
    assert loss == pytest.approx((1 + 3 * 0.25) / 4)


# --- pixels, precision, errors, the world outside ---


def test_uint8_pixels_train_like_their_floats(images):
    as_floats = Images(images.floats().reshape(-1, *images.shape))
    assert as_floats.pixels.dtype == np.float32
    part, training = Dense(hidden=(16,), bottleneck=4, output="sigmoid"), Training(epochs=3, batch_size=16)
    rows, states = [], []
    for pixels in (images, as_floats):
        network = dense(part, 64)
        rows.append([row.step_losses for row in run(network, pixels, training, corruption=GaussianNoise(0.1))])
        states.append(network.state_dict())
    assert rows[0] == rows[1]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_a_loss_that_is_not_finite_is_an_error_that_names_the_step(bad):
    x = np.ones((12, 3), np.float32)
    x[9, 1] = bad  # the third batch of four
    with pytest.raises(RunError, match=r"the loss was (inf|nan) at step 3 \(epoch 1\), learning rate 0.001;"):
        run(Scale(), x, Training("sgd", batch_size=4, shuffle=False))


def test_divergence_is_an_error_that_names_epoch_and_rate(x):
    with pytest.raises(RunError, match=r"step \d+ \(epoch \d+\), learning rate 100;") as caught:
        run(dense(Dense(bottleneck=3, activation="linear"), 16), x, Training("sgd", 100.0, epochs=50))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scale", "standardize", "is_named"), [(1, False, False), (1000, False, True), (1000, True, False)]
)
def test_divergence_on_large_numbers_names_what_makes_them_small(x, scale, standardize, is_named):
    training = Training("sgd", 1e9, epochs=50, standardize=standardize)
    with pytest.raises(RunError) as caught:
        run(dense(Dense(bottleneck=3, activation="linear"), 16), scale * x, training)
    assert ("standardize=True" in str(caught.value)) == is_named


def test_training_neither_reads_nor_moves_a_global_generator(x, global_generators):
    def losses():
        rows = run(dense(Dense(bottleneck=3), 16), x, Training(epochs=2), corruption=GaussianNoise(0.5))
        return [row.step_losses for row in rows]

    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = global_generators()
        first = losses()
        assert global_generators() == state
        torch.manual_seed(2)
        assert losses() == first


def test_bfloat16_products_keep_float32_weights_and_learn_alike(x, small_products_in_bfloat16):
    final, x = {}, x / x.std()
    for precision in ("float32", "bfloat16"):
        network = dense(Dense(hidden=(12,), bottleneck=3, activation="silu", code_activation="linear"), 16)
        rows = run(network, x, Training("adam", 0.01, "cosine", 40, 32), precision=precision)
        assert all(p.dtype == torch.float32 for p in network.parameters())
        assert rows[-1].loss < rows[0].loss / 2
        final[precision] = rows[-1].loss
    assert final["bfloat16"] != final["float32"]
    assert math.isclose(final["bfloat16"], final["float32"], rel_tol=0.05)


def test_weights_that_the_last_step_made_infinite_are_an_error_too():
    x = np.full((4, 3), 1.0, np.float32)
    training = Training(epochs=1, batch_size=4, optimizer="sgd", learning_rate=3e38)
    with pytest.raises(RunError, match=r"diverged: the loss was 961.0 at step 1 "):  # before which all is well
        run(Scale(-30.0), x, training)


def test_weights_that_are_large_but_finite_are_none(x):
    """Their sum is infinite, and samples of zeros make nothing of them."""
    network = dense(Dense(bottleneck=3), 16)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        next(network.parameters()).fill_(3e38)
    (row,) = run(network, np.zeros_like(x), Training("sgd", epochs=1))
    assert row.loss == 0
