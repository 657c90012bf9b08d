"""`isthmus plan`: what a study costs, from steps that are measured."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from pathlib import Path

import pytest

from isthmus.cli import run_command
from isthmus.commands.planning import crew, step_timer
from isthmus.commands.planning.crew import Measured
from isthmus.commands.planning.forecast import Cost, Forecast, exchanged_bytes, forecast, state_bytes, training_seconds
from isthmus.commands.planning.step_memory import activations
from isthmus.commands.planning.step_timer import StepTime, step_time
from isthmus.errors import RunError
from isthmus.studies.plan.context import Request
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.spec.parser import parse_study

STUDY = """
title = "small"
[data]
name = "digits"
train = 300
validation = 60
test = 120
[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4
[[model]]
name = "dense-4"
estimator = "autoencoder"
network = {kind = "dense", hidden = [16], bottleneck = 4, output = "sigmoid"}
corruption = {kind = "gaussian", sigma = 0.1}
epochs = 2
batch_size = 50
patience = 1
[[model]]
name = "of-codes"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 2, output = "linear"}
of = "dense-4"
epochs = 3
batch_size = 100
[[model]]
name = "recipe"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 3, code_activation = "linear", output = "linear"}
recipe = "fast"
"""
MEASURED = Measured(
    {name: StepTime(0.01, 0.5, 10, 10**9) for name in ("dense-4", "of-codes", "recipe")}, start=2.0, resident=10**8
)


@pytest.fixture
def study(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(STUDY, "utf-8")
    return path


def context_of(text=STUDY, **request):
    return prepare(parse_study(text, "small", "small.toml"), Request(Path("runs"), device="cpu", **request))[0]


def plan(text=STUDY, measured=MEASURED, nodes=1, per_node=1, **request):
    return forecast(context_of(text, **request), measured, nodes, per_node)


def costs_of(text=STUDY, **request):
    return {cost.model: cost for cost in plan(text, **request).costs}


def test_the_table_has_every_model(study, done):
    out, err = done("plan", study, "--device", "cpu", "--threads", 1, "--seconds", 0.01, "--nodes", 3, "--gpus", 2)
    head, *lines = out.split("\n\n")[0].splitlines()
    assert head.split() == ["model", "steps", "a", "step", "training", "measuring", "memory", "measured", "written"]
    assert [line.split()[0] for line in lines] == ["pca-4", "dense-4", "of-codes", "recipe"]
    assert ["guessed" in line for line in lines] == [True, False, False, False]
    assert "at most" in lines[1], "it may stop early"
    assert "on 3 nodes like this one" in out
    assert "no step was measured on one" in out, "of a GPU nothing is known here"
    assert "measuring steps of 3 models, 1 at a time" in err
    assert not (study.parent / "runs").exists()


def test_json_is_of_one_line_and_says_the_same(study, done):
    arguments = ("plan", study, "--device", "cpu", "--threads", 1, "--seconds", 0.01, "--seeds", 2, "--only", "dense-*")
    out, _ = done(*arguments, "--json")
    assert out.count("\n") == 1
    table = json.loads(out)
    assert [(row["model"], row["seed"], row["steps"]) for row in table["models"]] == [
        ("dense-4", i, 12) for i in (0, 1)
    ]
    first = table["models"][0]
    assert first["training"] >= first["step"] * first["steps"] > 0
    assert first["hours"] == pytest.approx((first["training"] + first["measuring"]) / 3600)
    assert table["hours"] == pytest.approx(sum(row["hours"] for row in table["models"]))
    assert table["one_node_hours"] == table["wall_hours"] >= table["longest_hours"] > 0
    assert table["moved"] == table["images"] + sum(row["written"] for row in table["models"])


def test_twice_the_epochs_are_twice_the_hours():
    once, twice = costs_of(), costs_of(STUDY.replace("epochs = 2", "epochs = 4"))
    assert twice["dense-4"].steps == 2 * once["dense-4"].steps
    assert twice["dense-4"].training == pytest.approx(2 * once["dense-4"].training)
    assert twice["of-codes"].training == once["of-codes"].training == pytest.approx(training_seconds(0.01, 9, 0.5, 3))


def test_steps_are_those_of_the_run():
    context = context_of()
    assert {name: cost.steps for name, cost in costs_of().items() if cost.steps} == {
        name: context.plan_row(context.study.model(name), 0)["steps"] for name in ("dense-4", "of-codes", "recipe")
    }


def forecast_of(seconds, of=None, nodes=1):
    of = of or [None] * len(seconds)
    each = [
        Cost(str(i), 0, parent, 1, 1, one, one, 0.0, 0, 0, 0, 0)
        for i, (one, parent) in enumerate(zip(seconds, of, strict=True))
    ]
    return Forecast("study", tuple(each), nodes, 2, 1, "cpu", 0.0, 0)


def test_two_nodes_are_never_slower_than_one_and_never_twice_as_fast_as_that():
    drawn = random.Random(0)
    for _ in range(50):
        seconds = [drawn.uniform(1, 100) for _ in range(drawn.randint(1, 12))]
        one, two = (forecast_of(seconds, nodes=nodes) for nodes in (1, 2))
        assert one.wall() / 2 * 0.85 <= two.wall() <= one.wall()  # the longest first is up to a sixth from the best
        assert two.longest == max(seconds) <= two.wall()
        assert one.efficiency == 1
    even = forecast_of([10.0] * 8, nodes=2)
    assert (even.wall(), even.wall(1), even.efficiency) == (20.0, 40.0, 1.0)


def test_models_that_wait_for_each_other_gain_nothing_from_nodes():
    chain = forecast_of([10.0, 20.0, 30.0], of=[None, "0", "1"], nodes=4)
    assert chain.wall() == chain.wall(1) == chain.longest == 60.0
    assert chain.efficiency == 0.25


def test_memory_and_bytes_follow_their_formulas():
    cost = costs_of()["dense-4"]
    weights = (64 * 16 + 16) + (16 * 4 + 4) + (4 * 16 + 16) + (16 * 64 + 64)
    assert cost.weights == weights
    states = 4 * weights * 5  # weights, gradients, two moments, and those of the best epoch
    assert state_bytes(weights, best=True) == states
    made = 4 * (2 * 64 + 16 + 4 + 16 + 64 + 4 + 64)  # input, target, what layers give, gradients at code and x_hat
    per_sample = activations(context_of(), context_of().study.model("dense-4"))
    assert made <= per_sample <= 2 * made
    assert cost.memory == MEASURED.resident + states + 50 * per_sample
    assert cost.written == 4 * weights + 1 * (states - 4 * weights), "two epochs are a second: one checkpoint"
    assert plan().images == 1797 * 64 * 4, "of the whole data set, in float32"
    many = plan(nodes=5)
    assert many.moved == 5 * many.images + sum(each.written for each in many.costs)
    assert state_bytes(10, 0) == 80
    assert [exchanged_bytes(1000, n) for n in (1, 2, 4)] == [0, 4000, 8000]


def test_a_model_that_has_no_steps_is_guessed_as_a_run_guesses_it():
    context, cost = context_of(), costs_of()["pca-4"]
    assert cost.step is None
    assert cost.training == context.work(context.study.model("pca-4"), 0).seconds(1)


@pytest.mark.parametrize("name", ["dense-4", "of-codes", "recipe"])
def test_a_step_that_is_measured_is_one_of_the_loop(name, monkeypatch):
    """A step that is made slow takes longer, in each kind of model; the first ones do not count."""
    context, slow = context_of(), 0.02
    monkeypatch.setattr(step_timer, "_EPOCH", 0.1)
    from isthmus.training import loop

    compute = loop._Step._compute

    def slower(self, *arguments):
        time.sleep(slow if self.done else 20 * slow)
        return compute(self, *arguments)

    monkeypatch.setattr(loop._Step, "_compute", slower)
    measured = step_time(context, context.study.model(name), 0.05)
    assert slow <= measured.step < 3 * slow
    assert measured.steps >= 3


def test_without_validation_images_a_recipe_holds_some_out_and_others_have_no_pass():
    text = STUDY.replace("validation = 60\n", "").replace("patience = 1\n", "")
    context = context_of(text)
    measured = {name: step_time(context, context.study.model(name), 0.01) for name in ("dense-4", "of-codes", "recipe")}
    assert all(timed.step > 0 for timed in measured.values())
    assert measured["recipe"].pass_ > 0
    costs = {cost.model: cost for cost in plan(text).costs}
    assert costs["dense-4"].steps == 2 * 6
    recipe = context.training(context.study.model("recipe"))
    assert costs["recipe"].steps == recipe.epochs * -(-240 // recipe.batch_size), "a fifth of 300 is held out"
    assert costs["recipe"].epochs == recipe.epochs


PHOTOGRAPHS = """
title = "grains"
[data]
name = "photographs"
path = "PATH"
validation = 1
[[model]]
name = "nothing"
estimator = "classical"
method = "nothing"
[[model]]
name = "clean"
estimator = "denoiser"
network = {kind = "residual", width = 4, depth = 4}
crop = 16
crops_per_epoch = 64
epochs = 2
[[model]]
name = "blind"
estimator = "denoiser"
of = "clean"
blind = true
[[model]]
name = "noisy"
estimator = "denoiser"
network = {kind = "residual", width = 4, depth = 4}
target = "noisy"
crop = 16
crops_per_epoch = 64
epochs = 2
"""


def test_denoisers_of_photographs(photographs, tmp_path):
    text = PHOTOGRAPHS.replace("PATH", str(photographs))
    context = context_of(text)
    models = [model for model in context.models if context.training(model)]
    assert [model.name for model in models] == ["clean", "noisy"]
    seen = []
    measured = crew.measure(context, models, 0.01, lambda done, total, words: seen.append((done, total, words)))
    assert seen == [(0, 2, ", clean"), (1, 2, ", noisy")]
    costs = {cost.model: cost for cost in forecast(context, measured, 1, 1).costs}
    assert costs["clean"].steps == costs["noisy"].steps == 2 * 4
    assert costs["blind"].step is None
    assert costs["blind"].measuring == pytest.approx(2 * costs["clean"].measuring)
    assert costs["blind"].measuring > 0
    assert activations(context, models[0]) > 4 * 4 * 16 * 16 / 4


def test_models_that_train_side_by_side_are_measured_side_by_side():
    context = context_of()
    context.n_parallel = 2
    model = context.study.model("dense-4")
    with crew._in_processes(context) as (measured, ask):
        assert measured.start > 0
        assert measured.resident > 10**7
        assert all(answer.step > 0 for answer in ask(model, 0.01))
        assert len(ask(model, 0.01)) == 2
        with pytest.raises(RunError, match="was ended with exit code 1"):
            ask(dataclasses.replace(model, name="gone"), 0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["digts"], 'Did you mean "digits"?'),
        (["digits", "--nodes", "0"], "nodes must be at least 1, got 0"),
        (["digits", "--gpus", "-1"], "gpus must be at least 0, got -1"),
        (["digits", "--seeds", "0"], "seeds must be at least 1, got 0"),
        (["digits", "--seconds", "0"], "seconds must be more than 0, got 0"),
        (["digits", "--only", "deap-8"], 'Did you mean "deep-8"?'),
        (["digits", "--device", "tpu"], "tpu"),
        ([], "STUDY"),
    ],
)
def test_wrong_input_is_one_line(arguments, words, refused):
    assert words in refused("plan", *arguments)


def test_a_busy_machine_is_told(study, done, monkeypatch):
    arguments = ("plan", study, "--device", "cpu", "--threads", 1, "--only", "dense-4")
    for share in (0.5, 0.9):
        monkeypatch.setattr(crew, "step_time", lambda *_, share=share: StepTime(0.01, 0.0, 4, share=share))
        _, err = done(*arguments)
        assert ("a training had 50 % of its cores" in err) == (share == 0.5)


def test_help_says_what_is_not_counted(capsys):
    assert run_command(["plan", "--help"]) == 0
    assert "Not counted" in capsys.readouterr().out
