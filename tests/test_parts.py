"""Parts: checked where they are made, equal by value, shown as the code that builds them, never changed."""

import copy
import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from isthmus import parts
from isthmus.errors import RequestError
from isthmus.parts import BCE, L1, MSE, ROLES, Dense, GaussianNoise, Projection, Training

NAN, INF = float("nan"), float("inf")
EXAMPLES = [
    Dense(),
    Dense(hidden=(16,), bottleneck=3),
    Dense((64, 32), 8, decoder_hidden=(), activation="tanh", code_activation="linear", output="sigmoid"),
    GaussianNoise(0.3),
    GaussianNoise(0.5, clip=True),
    GaussianNoise(1, relative=True),
    L1(1e-5),
    L1(0, per="element"),
    L1(2.5, per="batch"),
    MSE(),
    MSE(0.5),
    BCE(weight=3),
    Projection(30, whiten=True),
    Training(),
    Training("sgd", 1.0, "one-cycle", 3, 7, "once", 0.25, 2, "float32", "cpu"),
]
every_part = pytest.mark.parametrize("part", EXAMPLES, ids=repr)


def test_every_kind_of_part_has_an_example():
    kinds = {kind for kinds in ROLES.values() for kind in kinds.values()} | {Projection, Training}
    assert kinds == {type(part) for part in EXAMPLES}


@every_part
def test_repr_is_the_code_that_builds_it(part):
    assert eval(repr(part), vars(parts)) == part


@every_part
def test_a_table_reads_back_as_the_same_part(part):
    table = part.table()
    assert table.pop("kind") == part.kind
    assert type(part)(**table) == part


@every_part
def test_parts_cannot_be_changed(part):
    name = dataclasses.fields(part)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(part, name, getattr(part, name))


@every_part
def test_copies_are_the_same_object_and_replacing_a_field_checks_it(part):
    assert copy.deepcopy(part) is part
    assert copy.deepcopy({"network": [part]})["network"][0] is part
    assert hash(part) == hash(dataclasses.replace(part))
    name = dataclasses.fields(part)[0].name
    with pytest.raises(RequestError):
        dataclasses.replace(part, **{name: "no such value"})


def test_equal_means_equal_fields():
    assert Dense(bottleneck=3) == Dense(bottleneck=3) != Dense(bottleneck=4)
    assert Dense(hidden=[16, 8]) == Dense(hidden=(16, 8))
    assert MSE(2.0) != BCE(2.0)


NOT_POSITIVE = [0, -1, NAN, INF, "1", None, True]
NOT_A_SIZE = [-0.3, NAN, INF, "0.3", None, True]
NOT_A_COUNT = [0, -3, 2.0, NAN, "8", None, True]
WRONG = [
    *[(GaussianNoise, "sigma", value) for value in NOT_A_SIZE],
    *[(L1, "weight", value) for value in NOT_A_SIZE],
    *[(MSE, "weight", value) for value in NOT_POSITIVE],
    *[(BCE, "weight", value) for value in NOT_POSITIVE],
    *[(Dense, "bottleneck", value) for value in NOT_A_COUNT],
    *[(Projection, "n_components", value) for value in NOT_A_COUNT],
    *[(Training, "epochs", value) for value in NOT_A_COUNT],
    *[(Training, "batch_size", value) for value in NOT_A_COUNT],
    *[(Training, "patience", value) for value in NOT_A_COUNT if value is not None],
    *[(Training, "learning_rate", value) for value in NOT_POSITIVE],
    *[(Training, "validation_fraction", value) for value in (0, 1, -0.1, 1.5, NAN, "0.1", True)],
    *[(Training, "shuffle", value) for value in (0, 1, "twice", None)],
    *[(Dense, name, value) for name in ("hidden", "decoder_hidden") for value in (16, "16")],
    *[(GaussianNoise, name, value) for name in ("clip", "relative") for value in ("false", 0, None)],
    (Projection, "whiten", "no"),
]


@pytest.mark.parametrize(("part", "name", "value"), WRONG)
def test_a_wrong_value_is_named_with_its_rule(part, name, value):
    needed = {"sigma": 1.0} if part is GaussianNoise else {"n_components": 2} if part is Projection else {}
    with pytest.raises(RequestError) as caught:
        part(**{**needed, name: value})
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} must be ")
    assert sentence.endswith(f", got {value!r}")
    assert "\n" not in sentence


@pytest.mark.parametrize("width", [0, -1, 2.5, "8", None])
@pytest.mark.parametrize("name", ["hidden", "decoder_hidden"])
def test_each_width_is_checked(name, width):
    with pytest.raises(RequestError, match=rf"each width in {name} must be an integer .*, got {width!r}"):
        Dense(**{name: (16, width)})


@pytest.mark.parametrize(
    ("build", "hint"),
    [
        (lambda: Dense(activation="rellu"), 'unknown activation "rellu".*Did you mean "relu"'),
        (lambda: Dense(code_activation="tahn"), 'unknown code activation "tahn".*Did you mean "tanh"'),
        (lambda: Dense(output="sigmod"), 'unknown output activation "sigmod".*Did you mean "sigmoid"'),
        (lambda: L1(1, per="samples"), 'unknown value of "per" "samples".*Did you mean "sample"'),
        (lambda: Training(optimizer="Adam"), 'unknown optimizer "Adam".*Did you mean "adam"'),
        (lambda: Training(schedule="onecycle"), 'unknown schedule "onecycle".*Did you mean "one-cycle"'),
        (lambda: Training(precision="float16"), 'unknown precision "float16"; known: auto, bfloat16, float32'),
        (lambda: Training(device="gpu"), 'unknown device "gpu"; known: auto, cpu, cuda, mps'),
        (lambda: Dense(activation=["relu"]), "unknown activation"),
    ],
)
def test_an_unknown_word_is_answered_with_the_nearest(build, hint):
    with pytest.raises(RequestError, match=hint):
        build()


def test_numbers_from_numpy_become_plain():
    part = Dense(hidden=[np.int64(16)], bottleneck=np.int32(3))
    assert part == Dense(hidden=(16,), bottleneck=3)
    assert repr(part) == "Dense(hidden=(16,), bottleneck=3)"
    assert repr(L1(np.float64(0.5))) == "L1(weight=0.5)"
    assert GaussianNoise(np.float32(0.25)) == GaussianNoise(0.25)
    assert Training(shuffle=np.bool_(False)).shuffle is False


@pytest.mark.parametrize(
    ("part", "label"),
    [
        (GaussianNoise(0.3, clip=True), "gaussian(0.3)"),
        (GaussianNoise(0.3), "gaussian(0.3,clip=false)"),
        (GaussianNoise(0.3**0.5, relative=True), "gaussian(0.547723,relative=true)"),
    ],
)
def test_labels_of_corruptions_are_designs(part, label):
    assert part.label == label


def test_importing_parts_imports_no_library():
    code = "import sys, isthmus.parts; print([m for m in ('torch', 'sklearn', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
