"""Parts: checked where they are made, equal by value, shown as the code that builds them, never changed."""

import copy
import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from isthmus import parts
from isthmus.errors import RequestError
from isthmus.parts import (
    BCE,
    CORRUPTIONS,
    KL,
    L1,
    MSE,
    PENALTIES,
    ROLES,
    Affine,
    CodeSearch,
    Conv,
    ConvLayer,
    Dense,
    Dictionary,
    DictionaryLearning,
    Gaussian,
    GaussianNoise,
    Masking,
    Module,
    Occlusion,
    Plain,
    Poisson,
    Projection,
    Quantized,
    SaltAndPepper,
    Sequence,
    Training,
    contradiction,
    doubt,
    from_table,
)

NAN, INF = float("nan"), float("inf")
EXAMPLES = [
    Dense(),
    Dense(hidden=(16,), bottleneck=3),
    Dense((64, 32), 8, decoder_hidden=(), activation="tanh", code_activation="linear", output="sigmoid"),
    Conv(),
    Conv((4,), 5, 2, "unpool", "tanh", "relu", "sigmoid", image_shape=[3, 32, 32]),
    Conv(channels=[8, 16, 16], padding=0, decoder="deconv-unpool"),
    Gaussian(),
    Gaussian(4.0, warmup=2, free_bits=0.1),
    Gaussian(samples=5),
    Quantized(16),
    Quantized(64, 2, commitment=1, decay=0.9, restart=50),
    Module(parts.from_table),
    Module(parts.from_table, {"widths": [8, 4], "norm": None}, output="sigmoid"),
    Dictionary(),
    Dictionary([16], 40, activation="tanh", code_activation="linear", unit_norm=False),
    GaussianNoise(0.3),
    GaussianNoise(0.5, clip=True),
    GaussianNoise(1, relative=True),
    SaltAndPepper(0),
    SaltAndPepper(1),
    Masking(0.25),
    Occlusion(3),
    Occlusion(4.0, value=-1, image_shape=(3, 32, 32)),
    Poisson(30),
    Sequence([Poisson(0.5)]),
    Sequence((GaussianNoise(0.3, clip=True), Occlusion(2, image_shape=[1, 8, 8]), Masking(0.2))),
    Plain(),
    Affine(),
    Affine(12, 0, shift=2, share=1, image_shape=[1, 8, 8]),
    L1(1e-5),
    L1(0, per="element"),
    L1(2.5, per="batch", warmup=0.5),
    KL(1e-3),
    KL(0, 0.5, per="element", warmup=3),
    MSE(),
    MSE(0.5),
    BCE(weight=3),
    Projection(30, whiten=True),
    Projection("best", center=False),
    DictionaryLearning(),
    DictionaryLearning(100, 5, 1, n_images=50, passes=3),
    CodeSearch(),
    CodeSearch("gradient-descent", "random", 3, lower=0.0, clip=True),
    Training(),
    Training("sgd", 1.0, "one-cycle", 3, 7, "once", 0.25, 2, "float32", "cpu"),
]
every_part = pytest.mark.parametrize("part", EXAMPLES, ids=repr)


def test_every_kind_of_part_has_an_example():
    kinds = {kind for kinds in ROLES.values() for kind in kinds.values()}
    kinds |= {CodeSearch, DictionaryLearning, Projection, Training}
    assert kinds == {type(part) for part in EXAMPLES}


@every_part
def test_repr_is_the_code_that_builds_it(part):
    assert eval(repr(part), vars(parts)) == part


@every_part
def test_a_table_reads_back_as_the_same_part(part):
    table = part.table()
    assert table["kind"] == part.kind
    assert from_table(CORRUPTIONS | {part.kind: type(part)}, json.loads(json.dumps(table))) == part


@every_part
def test_parts_cannot_be_changed(part):
    name = next((f.name for f in dataclasses.fields(part)), "kind")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(part, name, getattr(part, name))


@every_part
def test_copies_are_the_same_object_and_replacing_a_field_checks_it(part):
    assert copy.deepcopy(part) is part
    assert copy.deepcopy({"network": [part]})["network"][0] is part
    assert hash(part) == hash(dataclasses.replace(part))
    for name in [f.name for f in dataclasses.fields(part)][:1]:
        with pytest.raises(RequestError):
            dataclasses.replace(part, **{name: "no such value"})


def test_equal_means_equal_fields():
    assert Dense(bottleneck=3) == Dense(bottleneck=3) != Dense(bottleneck=4)
    assert Dense(hidden=[16, 8]) == Dense(hidden=(16, 8))
    assert MSE(2.0) != BCE(2.0)
    assert SaltAndPepper(0.5) != Masking(0.5)
    assert Sequence([Masking(0.5), Poisson(3)]) == Sequence((Masking(0.5), Poisson(3))) != Sequence([Poisson(3)])


NOT_POSITIVE = [0, -1, NAN, INF, "1", None, True]
NOT_A_SIZE = [-0.3, NAN, INF, "0.3", None, True]
NOT_A_COUNT = [0, -3, 2.0, NAN, "8", None, True]
WRONG = [
    *[(GaussianNoise, "sigma", value) for value in NOT_A_SIZE],
    *[(part, "fraction", value) for part in (SaltAndPepper, Masking) for value in (*NOT_A_SIZE, 1.01)],
    *[(Occlusion, "size", value) for value in (0, -3, 2.5, NAN, INF, "8", None, True)],
    *[(Occlusion, "value", value) for value in (NAN, INF, "0", None, True)],
    *[(Occlusion, "image_shape", value) for value in (28, "1x2", (28, 28), (1, 1, 28, 28))],
    *[(Poisson, "peak", value) for value in NOT_POSITIVE],
    *[(Sequence, "parts", value) for value in ((), [], Masking(0.1), "masking", None)],
    *[(part, name, value) for part in (L1, KL) for name in ("weight", "warmup") for value in NOT_A_SIZE],
    *[(KL, "target", value) for value in (0, 1, -0.1, 1.5, NAN, "0.1", None, True)],
    (KL, "per", "batch"),
    *[(MSE, "weight", value) for value in NOT_POSITIVE],
    *[(BCE, "weight", value) for value in NOT_POSITIVE],
    *[(Dense, "bottleneck", value) for value in NOT_A_COUNT],
    *[(Dictionary, "n_atoms", value) for value in NOT_A_COUNT],
    *[(Dictionary, "hidden", value) for value in (16, "16")],
    *[(Dictionary, "unit_norm", value) for value in ("no", 0, None)],
    *[(Projection, "n_components", value) for value in (*NOT_A_COUNT, "all")],
    *[(DictionaryLearning, name, value) for name in ("n_atoms", "n_nonzero", "passes") for value in NOT_A_COUNT],
    *[(DictionaryLearning, "alpha", value) for value in NOT_POSITIVE],
    (DictionaryLearning, "n_nonzero", 257),
    *[(CodeSearch, name, value) for name in ("n_starts", "max_iter") for value in NOT_A_COUNT],
    *[(CodeSearch, name, value) for name in ("tol", "learning_rate") for value in NOT_POSITIVE],
    *[(CodeSearch, "lower", value) for value in ("zero", True)],
    *[(Training, "epochs", value) for value in NOT_A_COUNT],
    *[(Training, "batch_size", value) for value in NOT_A_COUNT],
    *[(Training, "patience", value) for value in NOT_A_COUNT if value is not None],
    *[(Training, "learning_rate", value) for value in NOT_POSITIVE],
    *[(Training, "validation_fraction", value) for value in (0, 1, -0.1, 1.5, NAN, "0.1", True)],
    *[(Training, "shuffle", value) for value in (0, 1, "twice", None)],
    *[(Dense, name, value) for name in ("hidden", "decoder_hidden") for value in (16, "16")],
    *[(GaussianNoise, name, value) for name in ("clip", "relative") for value in ("false", 0, None)],
    *[(Projection, name, value) for name in ("whiten", "center") for value in ("no", 0, None)],
    *[(Conv, "channels", value) for value in (8, "8", None, [])],
    *[(Conv, "kernel", value) for value in NOT_A_COUNT],
    *[(Conv, "padding", value) for value in (-1, 3, 0.5, NAN, "1", None, True)],
    *[(Conv, "image_shape", value) for value in (28, "1x2", (28, 28), (1, 1, 28, 28))],
]


@pytest.mark.parametrize(("part", "name", "value"), WRONG)
def test_a_wrong_value_is_named_with_its_rule(part, name, value):
    required = {GaussianNoise: {"sigma": 1.0}, Occlusion: {"size": 2}, KL: {"weight": 1}, L1: {"weight": 1}}
    needed = {Projection: {"n_components": 2}, **required}.get(part, {})
    with pytest.raises(RequestError) as caught:
        part(**{**needed, name: value})
    sentence = str(caught.value)
    assert sentence.startswith(f"{name} must be ")
    assert sentence.endswith(f", got {value!r}")
    assert "\n" not in sentence


@pytest.mark.parametrize("width", [0, -1, 2.5, "8", None])
@pytest.mark.parametrize(("part", "name"), [(Dense, "hidden"), (Dense, "decoder_hidden"), (Conv, "channels")])
def test_each_width_is_checked(part, name, width):
    with pytest.raises(RequestError, match=rf"each width in {name} must be an integer .*, got {width!r}"):
        part(**{name: (16, width)})


@pytest.mark.parametrize("length", [0, -1, 2.5, "8", None])
def test_each_number_of_a_shape_is_checked(length):
    for part, needed in ((Occlusion, {"size": 2}), (Conv, {})):
        with pytest.raises(RequestError, match=rf"each number in image_shape must be an integer .*, got {length!r}"):
            part(**needed, image_shape=(1, length, 8))


@pytest.mark.parametrize("wrong", [0.5, "masking", None, L1(1), Masking, Sequence((Masking(0.1),))])
def test_a_sequence_holds_corruptions_that_are_none(wrong):
    with pytest.raises(RequestError, match="each of parts must be a corruption other than a sequence, got "):
        Sequence((Masking(0.1), wrong))


@pytest.mark.parametrize(
    ("build", "hint"),
    [
        (lambda: Dense(activation="rellu"), 'unknown activation "rellu".*Did you mean "relu"'),
        (lambda: Dense(code_activation="tahn"), 'unknown code activation "tahn".*Did you mean "tanh"'),
        (lambda: Dense(output="sigmod"), 'unknown output activation "sigmod".*Did you mean "sigmoid"'),
        (lambda: Conv(activation="rellu"), 'unknown activation "rellu".*Did you mean "relu"'),
        (lambda: Conv(code_activation="tahn"), 'unknown code activation "tahn".*Did you mean "tanh"'),
        (lambda: Conv(output="sigmod"), 'unknown output activation "sigmod".*Did you mean "sigmoid"'),
        (lambda: Conv(decoder="unpol"), 'unknown decoder "unpol"; known: deconv, deconv-unpool, unpool.*"unpool"'),
        (lambda: L1(1, per="samples"), 'unknown value of "per" "samples".*Did you mean "sample"'),
        (lambda: KL(1, per="samples"), 'unknown value of "per" "samples"; known: element, sample.*"sample"'),
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
    conv = Conv([np.int64(4)], kernel=np.int32(5), image_shape=(np.int64(1), 8, 8))
    assert repr(conv) == "Conv(channels=(4,), kernel=5, image_shape=(1, 8, 8))"
    assert Training(shuffle=np.bool_(False)).shuffle is False
    assert (
        repr(Occlusion(np.float64(3), image_shape=np.array([1, 8, 8]).tolist()))
        == "Occlusion(size=3, image_shape=(1, 8, 8))"
    )
    assert type(Occlusion(np.float32(4.0), image_shape=[np.int64(1), 8, 8]).image_shape[0]) is int


def test_a_size_is_whole_and_kept_as_an_integer():
    part = Occlusion(4.0)
    assert part == Occlusion(4)
    assert type(part.size) is int
    assert repr(part) == "Occlusion(size=4)"


@pytest.mark.parametrize(
    ("part", "label"),
    [
        (GaussianNoise(0.3, clip=True), "gaussian(0.3)"),
        (GaussianNoise(0.3), "gaussian(0.3,clip=false)"),
        (GaussianNoise(0.3**0.5, relative=True), "gaussian(0.547723,relative=true)"),
        (SaltAndPepper(0.1), "salt-and-pepper(0.1)"),
        (Masking(1), "masking(1)"),
        (Occlusion(8.0), "occlusion(8)"),
        (Occlusion(8, value=0.5), "occlusion(8,value=0.5)"),
        (Occlusion(8, -1, (3, 32, 32)), "occlusion(8,value=-1,image_shape=3x32x32)"),
        (Poisson(1e4 / 3), "poisson(3333.33)"),
        (Sequence((GaussianNoise(0.3, clip=True), Masking(0.2))), "gaussian(0.3)+masking(0.2)"),
        (Sequence((Poisson(10),)), "poisson(10)"),
    ],
)
def test_labels_of_corruptions_are_designs(part, label):
    assert part.label == label


def test_labels_tell_the_examples_apart():
    corruptions = [part for part in EXAMPLES if isinstance(part, tuple(CORRUPTIONS.values()))]
    assert len({part.label for part in corruptions}) == len(corruptions)


@pytest.mark.parametrize("kind", CORRUPTIONS.values())
def test_a_level_is_the_one_field_that_must_be_given(kind):
    required = [field.name for field in dataclasses.fields(kind) if field.default is dataclasses.MISSING]
    assert required == [getattr(kind, "level", "parts")]


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"kind": "gausian", "sigma": 1},
        {"kind": ["gaussian"]},
        {"kind": "gaussian"},
        {"kind": "gaussian", "sigma": -1},
        {"kind": "gaussian", "sigma": 1, "more": 1},
        {"kind": "sequence"},
        {"kind": "sequence", "parts": 3},
        {"kind": "sequence", "parts": ["masking"]},
        {"kind": "sequence", "parts": []},
        {"kind": "sequence", "parts": [{"kind": "sequence", "parts": [{"kind": "masking", "fraction": 0.1}]}]},
    ],
)
def test_another_table_is_no_part(table):
    before = copy.deepcopy(table)
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_table(CORRUPTIONS, table)
    assert table == before


# --- a convolutional network's sizes, known without torch ---


def test_the_images_shape_comes_before_the_parts_own():
    part = Conv(image_shape=(3, 32, 32))
    assert part.shape(None) == (3, 32, 32)
    assert part.shape((1, 8, 8)) == (1, 8, 8)
    with pytest.raises(RequestError, match=r"needs images: give \(n, channels, height, width\), or Conv\(image_shape="):
        Conv().shape(None)


def test_the_layers_of_an_encoder_by_hand():
    # 10×7, a 3×3 convolution without padding: 8×5, pooled to 4×2, whose next convolution would give 2×0
    (layer,) = Conv((4,), padding=0).encoder_layers((3, 10, 7))
    assert layer == ConvLayer(3, 4, (10, 7), (8, 5), (3, 3), padding=(0, 0), pool=(4, 2))
    with pytest.raises(
        RequestError, match=r"2 layers is deeper than images of 10×7 allow: layer 2 gets 4×2, too little "
    ):
        Conv((4, 4), padding=0).encoder_layers((3, 10, 7))
    assert [layer.pool for layer in Conv((4, 4)).encoder_layers((3, 10, 7))] == [(5, 3), (2, 1)]


@pytest.mark.parametrize(("decoder", "switches"), [("deconv", 0), ("unpool", 4 * 15 + 6 * 2), ("deconv-unpool", 72)])
def test_the_size_of_a_code_and_of_its_switches(decoder, switches):
    part = Conv((4, 6), decoder=decoder)  # 10×7 is pooled to 5×3, and that to 2×1
    assert part.code_width(210, (3, 10, 7)) == 6 * 2
    assert part.n_switches((3, 10, 7)) == switches


def test_the_multiplications_by_hand():
    # each of 8×8 outputs is of 2·9 products for each of 3 channels; a transposed convolution has as many for each input
    down = 3 * 2 * 9 * 64
    assert Conv((3,), decoder="unpool").multiplications(128, (2, 8, 8)) == down + 2 * 3 * 9 * 64
    assert Conv((3,), decoder="deconv-unpool").multiplications(128, (2, 8, 8)) == down + 2 * 3 * 9 * 64
    assert Conv((3,), decoder="deconv").multiplications(128, (2, 8, 8)) == down + 2 * 3 * 16 * 16  # 4×4 at each of 4×4


# --- what no part can know alone ---


def test_what_goes_together_has_no_contradiction():
    sigmoid = Dense(activation="sigmoid")
    for network, penalty, loss in [
        (Dense(), None, None),
        (Dense(), L1(1), MSE()),
        (Dense(output="sigmoid"), L1(1), BCE()),
        (sigmoid, KL(1), MSE()),
        (Conv(code_activation="sigmoid", output="sigmoid"), KL(1), BCE()),
        (Dense(code_activation="sigmoid", output="sigmoid"), KL(1), BCE()),
    ]:
        assert contradiction(network, penalty, loss) is None


@pytest.mark.parametrize(
    ("network", "penalty", "loss", "sentence"),
    [
        (
            Dense(bottleneck=4),
            None,
            BCE(),
            'loss "bce" needs output="sigmoid", got output="linear" in Dense(bottleneck=4)',
        ),
        (Dense(activation="sigmoid"), KL(1), BCE(), 'loss "bce" needs output="sigmoid", got output="linear"'),
        (Conv(), None, BCE(), 'loss "bce" needs output="sigmoid", got output="linear" in Conv()'),
        (Conv(output="sigmoid"), KL(1), BCE(), 'code_activation="sigmoid", got "relu" in Conv('),
        (Dense(), KL(1), MSE(), 'penalty "kl" needs codes between 0 and 1, code_activation="sigmoid", got "relu" in '),
        (Dense(activation="sigmoid", code_activation="tanh"), KL(1), None, 'code_activation="sigmoid", got "tanh"'),
    ],
)
def test_a_contradiction_is_a_sentence(network, penalty, loss, sentence):
    found = contradiction(network, penalty, loss)
    assert sentence in found
    assert "\n" not in found


def test_l1_on_a_code_that_is_never_zero_is_doubted():
    assert doubt(Dense(code_activation="linear"), L1(1e-3)) == (
        'L1 makes this code small but never exactly zero, because its activation is "linear"; '
        'with code_activation="relu" units can be off'
    )
    assert '"tanh"' in doubt(Dense(activation="tanh"), L1(1e-3))
    assert '"linear"' in doubt(Conv(code_activation="linear"), L1(1e-3))
    for network, penalty in [
        (Dense(), L1(1e-3)),
        (Dense(activation="tanh", code_activation="relu"), L1(1e-3)),
        (Dense(code_activation="linear"), None),
        (Dense(code_activation="linear"), L1(0)),
        (Dense(activation="sigmoid"), KL(1)),
    ]:
        assert doubt(network, penalty) is None


@pytest.mark.parametrize("penalty", PENALTIES.values())
def test_every_penalty_has_what_the_loop_asks_for(penalty):
    assert (penalty(0.5).weight, penalty(0.5).per, penalty(0.5).warmup) == (0.5, "sample", 0)


def test_importing_parts_imports_no_library():
    code = "import sys, isthmus.parts; print([m for m in ('torch', 'sklearn', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_poisson_after_numbers_below_zero_is_refused_before_anything_is_drawn():
    noise, shots = GaussianNoise(0.3), Poisson(10)
    for wrong in ((noise, shots), (Occlusion(2, value=-1), shots), (noise, Masking(0.1), shots)):
        with pytest.raises(ValueError, match="put it first, or clip"):
            Sequence(wrong)
    for right in (
        (shots, noise),
        (GaussianNoise(0.3, clip=True), shots),
        (noise, GaussianNoise(0.1, clip=True), shots),
    ):
        assert Sequence(right).parts == right
