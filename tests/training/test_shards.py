"""One fit over several processes: the same bits for any number of them, and in words what cannot be shared."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from isthmus import (
    BCE,
    KL,
    L1,
    MSE,
    Autoencoder,
    Conv,
    Denoiser,
    Dense,
    Dictionary,
    Gaussian,
    Module,
    Plain,
    Quantized,
    Residual,
    kinds,
)
from isthmus.cli import run_command
from isthmus.codes import build
from isthmus.data.batches import Pixels, batches
from isthmus.errors import LostError, RequestError, RunError
from isthmus.estimators.parameters import parameters_of
from isthmus.machine import check_shards, launched
from isthmus.networks.accelerators import products, training_pass
from isthmus.objective import Objective
from isthmus.parts import Training
from isthmus.training import checkpoint, loop
from isthmus.training.checkpoint import Checkpoints
from isthmus.training.history import Epoch, History
from isthmus.training.loop import Position
from isthmus.training.setup import Setup
from isthmus.training.sharding import processes
from isthmus.training.sharding.processes import Alone
from isthmus.training.sharding.shards import Shards, averaged_buffers
from isthmus.training.snapshots.snapshot import Snapshot
from isthmus.training.snapshots.snapshot_files import write_snapshot
from isthmus.training.weights import FlatWeights
from tests.training import fit_in_torchrun
from tests.training.fit_in_torchrun import MODELS, images, model_of, outcome

SCRIPT, ROOT = Path(fit_in_torchrun.__file__), Path(fit_in_torchrun.__file__).parents[2]


def step_of(network, setup, n_samples=32):
    trained = training_pass(network)
    beside = sum(buffer.numel() for buffer in averaged_buffers(network))
    weights = FlatWeights(network, autograd=trained is network and setup.shards == 1, beside=beside)
    return loop._Step(trained, network, weights, setup, n_samples, Position())


def gradients_of(part, code, objective, shards, x, monkeypatch):
    """The losses of a batch, its gradients in one row, and the code's buffers after it."""
    network = build(part, code, x.shape[1], torch.Generator().manual_seed(0), (1, 4, 4)).train()
    loss, penalty = objective
    objective = Objective(loss, penalty, in_nats=code.in_nats, noise=network.code.noise)
    step = step_of(network, Setup(Training(), objective, 0, image_shape=(1, 4, 4), shards=shards))
    step.division.begin(1)
    if shards > 1:  # each draws what the whole batch does for its rows: its stream is as many numbers further
        for shard, streams in step.division.each_streams.items():
            streams.begin(0, 1)
            n_before = shard * len(x) // shards
            torch.rand(n_before * x.shape[1], generator=streams.noise)
            torch.randn(n_before * getattr(code, "samples", 1) * network.code_size, generator=streams.latent)
    monkeypatch.setattr(step.optimizer, "step", lambda rate: None)
    with torch.no_grad():
        value, terms = step(x, len(x))
    gradients = torch.cat([gradient.flatten() for gradient in step.weights.gradients])
    if step.weights.gradient is not None:  # without what fills the cache lines
        gradients = torch.cat([gradients[place] for place in step.weights._places])
    return value, terms, gradients, [buffer.clone() for buffer in network.code.buffers()]


NETWORKS = {
    "dense": Dense(hidden=(8,), bottleneck=4, activation="tanh"),
    "sigmoid": Dense(hidden=(8,), bottleneck=4, output="sigmoid"),
    "sigmoid code": Dense(bottleneck=4, code_activation="sigmoid"),
    "conv": Conv(channels=(3, 4)),
    "dictionary": Dictionary(n_atoms=8),
    "module": Module(lambda shape: (nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.Tanh()), nn.Linear(8, 16))),
    "module of a code": Module(lambda shape: (nn.Sequential(nn.Flatten(), nn.Linear(16, 8)), nn.Linear(4, 16))),
}
COMPOSED = [
    *[(name, Plain(), MSE(), penalty) for name in NETWORKS if name != "module of a code"
      for penalty in (None, *(L1(0.1, per=per) for per in ("sample", "element", "batch")))],
    ("sigmoid", Plain(), BCE(), L1(0.1)),
    *[(name, code, MSE(5), None) for name in ("dense", "dictionary", "module of a code")
      for code in (Gaussian(), Gaussian(samples=2))],
    ("sigmoid", Gaussian(), BCE(), None),
    *[(name, Gaussian(noise="learned", samples=samples), MSE(), None) for name in ("dense", "module of a code")
      for samples in (1, 2)],
    *[("sigmoid code", Plain(), MSE(), KL(0.1, target=0.3, per=per)) for per in ("sample", "element")],
    ("sigmoid code", Gaussian(noise="learned"), MSE(), KL(0.1)),
]  # fmt: skip


@pytest.mark.parametrize("shards", [2, 4])
@pytest.mark.parametrize(("name", "code", "loss", "penalty"), COMPOSED, ids=str)
def test_the_shards_of_a_batch_add_up_to_it(name, code, loss, penalty, shards, monkeypatch):
    x = torch.rand((32, 16), generator=torch.Generator().manual_seed(1)).round(decimals=2)
    objective = loss, penalty
    whole = gradients_of(NETWORKS[name], code, objective, 1, x, monkeypatch)
    cut = gradients_of(NETWORKS[name], code, objective, shards, x, monkeypatch)
    assert whole[2].abs().max() > 0
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="torch without oneDNN")
@pytest.mark.parametrize("name", ["dense", "dictionary"])
def test_gradients_that_stay_where_they_are_made_are_added_up_too(name, monkeypatch):
    x = torch.rand((32, 16), generator=torch.Generator().manual_seed(1))
    whole = gradients_of(NETWORKS[name], Plain(), (MSE(), None), 1, x, monkeypatch)
    monkeypatch.setattr(products, "is_faster_by_onednn", lambda: True)
    monkeypatch.setattr(products, "_WORTH", 0)
    cut = gradients_of(NETWORKS[name], Plain(), (MSE(), None), 2, x, monkeypatch)
    torch.testing.assert_close(cut, whole, rtol=1e-4, atol=1e-6)


def test_one_shard_is_the_step_that_there_was(monkeypatch):
    """Nothing is divided, no generator is another one, and a fit has no new fact."""
    x = torch.rand((32, 16), generator=torch.Generator().manual_seed(1))
    network = build(NETWORKS["dense"], Plain(), 16, torch.Generator().manual_seed(0))
    step = step_of(network, Setup(Training(), Objective(MSE()), 0))
    assert not isinstance(step.division, Shards)
    assert step.division.rows(7) == slice(0, 7)
    assert [len(batch) for batch in batches(Pixels(x.numpy(), torch.device("cpu")), 12, None)] == [12, 12, 8]
    assert "shards" not in facts(model_of("sigmoid", shards=1))
    assert facts(model_of("sigmoid", shards=4))["shards"] == 4


def facts(model):
    return parameters_of(model, (83, 36))


class Recorded(Alone):
    """One of several processes that run one after the other: it keeps what it has, and adds what is known of others."""

    def __init__(self, rank, size):
        self.rank, self.size, self.sums = rank, size, []

    def add_up(self, x):
        self.sums.append(x.clone())


@pytest.mark.parametrize("n", [16, 19, 3])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_processes_have_the_leaves_of_one_tree(size, n, monkeypatch):
    """Of 3 samples most of 8 shards are empty."""
    x = torch.rand((n, 16), generator=torch.Generator().manual_seed(1))
    objective = Objective(MSE(), L1(0.1))

    def sums(rank, size):
        network = build(NETWORKS["dense"], Plain(), 16, torch.Generator().manual_seed(0)).train()
        world = Recorded(rank, size)
        step = step_of(network, Setup(Training(), objective, 0, shards=8, world=world))
        monkeypatch.setattr(step.optimizer, "step", lambda rate: None)
        step.division.begin(1)
        with torch.no_grad():
            loss, _ = step(x[step.division.rows(n)], n)
        return world.sums[0], loss

    def tree(leaves):
        while len(leaves) > 1:
            leaves = [a + b for a, b in zip(leaves[::2], leaves[1::2], strict=True)]
        return leaves[0]

    parts = [sums(rank, size) for rank in range(size)]
    whole = sums(0, 1)
    assert whole[0].abs().max() > 0
    assert all(torch.equal(tree([part[i] for part in parts]), whole[i]) for i in range(2))


def normalized(shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 4), nn.BatchNorm1d(4)), nn.Linear(4, 36)


class Counting(nn.Module):
    """It keeps a running mean of what it has seen."""

    def __init__(self):
        super().__init__()
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.seen += x.mean()
        return x


def counting(shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 4), Counting()), nn.Linear(4, 36)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"code": Gaussian(free_bits=0.1), "loss": MSE(5)}, "the term paid_kl"),
        ({"code": Quantized(n_vectors=4), "network": Dense(bottleneck=4)}, "moves code"),
        ({"network": Module(normalized)}, "BatchNorm1d, normalizes|a BatchNorm1d.*GroupNorm"),
        ({"network": Module(counting)}, "moves encoder.2.seen"),
        ({"shards": 3}, r"shards must be a power of two \(1, 2, 4, 8"),
        ({"shards": 0}, "shards must be a power of two"),
        ({"shards": True}, "shards must be a power of two"),
        ({"shards": "4"}, "shards must be a power of two"),
        ({"shards": 32, "batch_size": 16}, r"at most the 16 samples of a batch \(1, 2, 4, 8, 16\), got 32"),
        ({"shards": 128, "batch_size": 512}, r"at most the 83 samples of a batch \(1, .*, 64\), got 128"),
    ],
    ids=str,
)
def test_what_is_no_sum_over_samples_is_refused_before_training(changes, message, monkeypatch, tmp_path):
    monkeypatch.setattr("isthmus.training.loop.train", lambda *_: pytest.fail("a step was taken"))
    model = Autoencoder(**{"network": Dense(bottleneck=4), "shards": 2, "random_state": 0, **changes})
    with pytest.raises(RequestError, match=message):
        model.fit(images(), checkpoint=tmp_path / "checkpoint")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("role", "kind"), [("penalty", L1), ("loss", MSE)])
def test_a_part_whose_value_of_a_sample_depends_on_the_others_is_refused(role, kind, monkeypatch):
    """As one from outside may; of all in the package, what they need of a whole batch is known."""
    monkeypatch.setitem(kinds.COMPUTES[role], kind, lambda part, y, *x: y / y.mean(dim=0))
    model = Autoencoder(Dense(bottleneck=4), shards=2, random_state=0, **{role: kind(0.5)})
    with pytest.raises(RequestError, match=rf"{role} {kind.__name__}.* depends on all samples of a batch at once"):
        model.fit(images())


def test_a_pass_takes_no_shards():
    with pytest.raises(RequestError, match="shards must be 1 for partial_fit"):
        model_of("sigmoid").partial_fit(images())


@pytest.mark.parametrize(
    ("shards", "n_processes", "most", "message"),
    [
        (1, 2, None, r"a multiple of the 2 processes \(2, 4, 8"),
        (2, 4, None, r"a multiple of the 4 processes \(4, 8, 16"),
        (4, 3, None, "1, 2, 4, 8, … processes, and torchrun started 3"),
        (8, 8, 4, "8 processes are too many for batches of 4 samples"),
    ],
)
def test_it_says_which_shards_are_possible(shards, n_processes, most, message):
    with pytest.raises(RequestError, match=message):
        check_shards(shards, n_processes, most=most)


@pytest.fixture
def second_of_two(monkeypatch):
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("isthmus.cli._HEAD_START", 0)
    assert launched() == (1, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fit", "digits", "-o", "model"], "--shards must be .* multiple of the 2 processes"),
        (["fit", "digits", "-o", "model", "--shards", "3"], "--shards must be a power of two"),
        (["fit", "digits", "-o", "model", "--shards", "2", "--threads", "2"], "--threads must be left out"),
        (["score", "model", "digits"], "only `isthmus fit ... --shards 2` is shared by several"),
        (["run", "digits"], "give this command without torchrun"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_the_command_refuses_what_processes_cannot_share(
    arguments, message, second_of_two, capsys, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    assert run_command(arguments) == 2
    line = capsys.readouterr().err
    assert line.startswith("isthmus, rank 1: ")
    assert len(line.splitlines()) == 1
    assert re.search(message, line)


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "images.npy", np.random.default_rng(0).integers(0, 256, (60, 6, 6), np.uint8))
    return str(tmp_path / "images.npy")


FIT = ["--shards", "4", "--epochs", "1", "--batch-size", "16", "--hidden", "8", "--bottleneck", "2"]


def test_the_command_trains_in_shards_and_resumes_with_no_others(data, tmp_path, capsys):
    out = str(tmp_path / "model")
    assert run_command(["fit", data, "-o", out, *FIT]) == 0
    assert json.loads((tmp_path / "model" / "config.json").read_text())["parameters"]["shards"] == 4
    error = "--shards must be a power of two, at most the 16 samples of a batch (1, 2, 4, 8, 16), got 32"
    capsys.readouterr()
    assert run_command(["fit", data, "-o", out + "2", *FIT, "--shards", "32"]) == 2
    assert error in capsys.readouterr().err


def test_another_process_than_the_first_writes_and_prints_nothing(data, tmp_path, capsys, second_of_two, monkeypatch):
    worlds = []

    def processes_for(shards):
        worlds.append(Recorded(1, 2))
        return worlds[-1]

    monkeypatch.setattr("isthmus.estimators.fits.one_fit.processes_for", processes_for)
    assert run_command(["fit", data, "-o", str(tmp_path / "model"), *FIT]) == 0
    assert len(worlds) == 1
    assert worlds[0].sums
    assert capsys.readouterr() == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["images.npy"]


@pytest.mark.parametrize("changes", [{}, {"target": "noisy"}, {"recipe": "fast", "batch_size": 8}])
def test_a_denoiser_learns_in_shards(changes):
    model = Denoiser(Residual(width=4, depth=4), crop=16, crops_per_epoch=24, random_state=0, shards=2)
    model.set_params(**{"epochs": 2, "batch_size": 8, **changes})
    model.fit(fit_in_torchrun.photographs())
    whole = clone(model).set_params(shards=1).fit(fit_in_torchrun.photographs())
    assert np.allclose(model.history_.losses, whole.history_.losses, rtol=0.5)
    assert model.history_[0].loss != whole.history_[0].loss
    with pytest.raises(RequestError, match="at most the 8 samples of a batch"):
        model.set_params(shards=16).fit(fit_in_torchrun.photographs())


def test_a_warm_fit_and_the_next_one_have_the_same_shards():
    model = model_of("gaussian", warm_start=True).fit(images())
    again = model_of("gaussian", warm_start=True).fit(images())
    assert outcome(model.fit(images())) == outcome(again.fit(images()))


def torchrun(n, *arguments, restarts=0, **environment):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n)]
    command += ["--max-restarts", str(restarts), str(SCRIPT), *map(str, arguments)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def outcomes_of(n, *arguments, **options):
    process = torchrun(n, *arguments, **options)
    try:
        output, _ = process.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends those that it started, which SIGKILL would leave
        output, _ = process.communicate()
    assert process.returncode == 0, output.decode()
    return [json.loads((arguments[1] / f"{rank}.json").read_text()) for rank in range(n)]


@pytest.fixture(scope="module")
def alone():
    """What one process makes of the models."""
    return {name: outcome(model_of(name).fit(images())) for name in MODELS}


@pytest.mark.parametrize("n", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_end_with_the_bits_of_one(n, alone, tmp_path):
    """A fit that one process began, too. And what they see or ask for differently is refused, with both named."""
    checkpoints = Checkpoints(tmp_path / "checkpoint", every=0)
    with contextlib.closing(model_of("gaussian").fit_epochs(images(), checkpoint=checkpoints)) as rows:
        next(rows)
    ranks = outcomes_of(n, "all", tmp_path)
    expected = {**alone, "resumed": alone["gaussian"], "without": alone["dictionary"]}
    expected["stopped"] = outcome(model_of("gaussian").set_params(epochs=2).fit(images()))
    expected["denoiser"] = outcome(fit_in_torchrun.denoiser().fit(fit_in_torchrun.photographs()))
    for outcomes in ranks:
        assert {name: outcomes[name] == value for name, value in expected.items()} == dict.fromkeys(expected, True)
    for rank, outcomes in enumerate(ranks):
        without, with_all = outcomes["times"]
        assert (with_all > 0) is hasattr(os, "memfd_create")
        assert (without > 0) is (with_all > 0 and n == 4 and rank > 0)  # the first has no partner
    assert all(outcomes["unseeded"] == ranks[0]["unseeded"] for outcomes in ranks)
    assert len({alone[name][0] for name in alone}) == len(alone)
    for name, words in {
        "other data": "different samples: rank 0 has .*… and rank 1 has .*…; every process must read the same",
        "other parameters": "different learning_rate: rank 0 has 0.001 and rank 1 has 0.002",
        "too few shards": f"shards must be a power of two and a multiple of the {n} processes",
    }.items():
        assert all(re.search(words, outcomes[name]) for outcomes in ranks), name
    assert not (tmp_path / "checkpoint").exists()
    for rank in range(n):  # one of the group's that ran on aborted the process, now and then
        threads = json.loads((tmp_path / f"{rank}.threads.json").read_text())
        assert [name for name in threads if "gloo" in name] == []


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("every", [0, 1000])
def test_a_killed_process_starts_again_from_the_checkpoint_and_ends_with_the_same_bits(rank, every, alone, tmp_path):
    """Where none is due yet, the first process leaves one of the last epoch, if it was another one that was killed."""
    ranks = outcomes_of(2, "killed", tmp_path, restarts=1, KILLED=str(rank), EVERY=str(every))
    assert [outcomes["outcome"] == alone["gaussian"] for outcomes in ranks] == [True, True]
    assert {outcomes["restarts"] for outcomes in ranks} == {"1"}
    first = {outcomes["first epoch"] for outcomes in ranks}
    assert first <= ({3, 4} if every == 0 or rank == 1 else {1})


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_fit_leaves_no_process_and_a_checkpoint(sent, tmp_path):
    process = torchrun(2, "endless", tmp_path)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*.started"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, sent) if sent == signal.SIGINT else process.send_signal(sent)
    process.communicate(timeout=60)
    time.sleep(0.5)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert sent != signal.SIGINT or list(tmp_path.glob("checkpoint/0*/state.json"))


def test_where_another_process_is_gone_a_checkpoint_of_the_last_epoch_is_written(tmp_path):
    for error, n_checkpoints in ((RunError("diverged"), 0), (LostError("gone"), 1)):
        checkpoints = Checkpoints(tmp_path / type(error).__name__)
        with pytest.raises(type(error)):
            stopped_by(error, checkpoints)
        assert len(checkpoints._places()) == n_checkpoints


def test_a_signal_while_the_last_checkpoint_is_written_does_not_lose_it(tmp_path, monkeypatch):
    """torchrun ends those that are left, which may be writing it already."""
    written = []

    def write(*arguments):
        written.append(arguments)
        if len(written) == 1:
            raise SystemExit(143)
        return write_snapshot(*arguments)

    monkeypatch.setattr(checkpoint, "write_snapshot", write)

    checkpoints = Checkpoints(tmp_path / "checkpoint")
    with pytest.raises(SystemExit):
        stopped_by(LostError("gone"), checkpoints)
    assert len(checkpoints._places()) == 1
    assert len(written) == 2


def stopped_by(error, checkpoints):
    """A fit after whose first epoch no checkpoint is due yet."""
    with checkpoints.held(100):
        checkpoints.begin(dict)
        history = History([Epoch(1, 1.0, 0.1)])
        checkpoints.keep(lambda: Snapshot(0, history, {"w": np.zeros(2)}, {}, np.inf, 0, None))
        raise error


def test_a_peer_that_is_gone_is_said_in_words():
    words = "another process of this fit ended, or was not heard of for 10 minutes; the same command resumes"
    with pytest.raises(LostError, match=words), processes._together():
        raise RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer")


def test_restarted_processes_do_not_read_what_the_former_ones_wrote():
    """In a store that outlives them, as torchrun's does."""
    store = torch.distributed.HashStore()
    tokens = []
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            found = [pool.submit(processes._agreed_token, store, rank, 4) for rank in range(4)]
            tokens.append({each.result(timeout=10) for each in found})
    assert [len(each) for each in tokens] == [1, 1, 1]
    assert len(set.union(*tokens)) == 3
