"""What was trained or measured is used again only if all that it depends on is the same: each default, each fact."""

from __future__ import annotations

import dataclasses
import inspect
from typing import ClassVar

import pytest
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, DecoderPrior, parts
from isthmus.fingerprints import CODE, differing, table_fingerprint, versions
from isthmus.parts import (
    AUGMENTATIONS,
    CODES,
    CORRUPTIONS,
    LOSSES,
    NETWORKS,
    PENALTIES,
    CodeSearch,
    Dense,
    DictionaryLearning,
    GaussianNoise,
    Identity,
    Projection,
    Training,
)
from isthmus.studies.plan import facts
from isthmus.studies.plan.context import Request
from isthmus.studies.plan.facts import facts_of
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.results import cache
from isthmus.studies.spec.estimator import estimator
from isthmus.studies.spec.parser import _ARGUMENTS, parse_study
from isthmus.studies.spec.study import Compare, Measure
from isthmus.training.checkpoint import Checkpoints

HEAD = """
title = "all"
seed = 3
[data]
name = "digits"
train = 300
validation = 60
test = 120
"""
# one model of each estimator, and an autoencoder with each part, all with as many defaults as they can have
ARGUMENTS = {
    "plain": "",
    "deep": 'network = {kind = "dense"}',
    "conv": 'network = {kind = "conv"}',
    "atomic": 'network = {kind = "dictionary"}',
    "gaussian": 'corruption = {kind = "gaussian", sigma = 0.1}',
    "salt-and-pepper": 'corruption = {kind = "salt-and-pepper", fraction = 0.1}',
    "masking": 'corruption = {kind = "masking", fraction = 0.1}',
    "occlusion": 'corruption = {kind = "occlusion", size = 2}',
    "poisson": 'corruption = {kind = "poisson", peak = 10}',
    "sequence": 'corruption = [{kind = "gaussian", sigma = 0.1}, {kind = "masking", fraction = 0.1}]',
    "affine": 'augmentation = {kind = "affine"}',
    "l1": 'penalty = {kind = "l1", weight = 1e-3}',
    "kl": 'penalty = {kind = "kl", weight = 1e-3}\nnetwork = {kind = "dense", activation = "sigmoid"}',
    "mse": 'loss = "mse"',
    "bce": 'loss = "bce"\nnetwork = {kind = "dense", output = "sigmoid"}',
    "fast": 'recipe = "fast"',
    "variational": 'code = {kind = "gaussian"}\nnetwork = {kind = "dense", code_activation = "linear"}',
    "quantized": 'code = {kind = "quantized", n_vectors = 8}\nnetwork = {kind = "dense", code_activation = "linear"}',
}
OTHERS = """
[[model]]
name = "pca"
estimator = "pca"
n_components = 4
[[model]]
name = "learned"
estimator = "dictionary-learning"
[[model]]
name = "nothing"
estimator = "identity"
[[model]]
name = "searched"
estimator = "decoder-prior"
of = "plain"
[[measure]]
models = ["pca"]
corruption = {kind = "gaussian"}
levels = [0.2]
[[compare]]
models = ["pca", "plain"]
corruption = {kind = "gaussian"}
levels = [0.2]
[[measure]]
models = ["plain"]
corruption = {kind = "gaussian"}
levels = [0.2]
"""
TEXT = (
    HEAD
    + "".join(f'[[model]]\nname = "{name}"\nestimator = "autoencoder"\n{said}\n' for name, said in ARGUMENTS.items())
    + OTHERS
)
AUTOENCODERS = set(ARGUMENTS)


def context_of(text=TEXT, **request):
    options = {"out": request.pop("out", None), "threads": 1, "device": "cpu", **request}
    return prepare(parse_study(text, "all", "all.toml"), Request(**options))[0]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    return context_of(out=tmp_path_factory.mktemp("runs"))


def all_facts(context):
    """The facts of every model, of a study that is read anew."""
    context = dataclasses.replace(context, study=parse_study(TEXT, "all", "all.toml"))
    return {model.name: facts_of(context, model, 3) for model in context.study.models}


@pytest.fixture(scope="module")
def before(context):
    return all_facts(context)


def test_facts_are_the_same_whenever_they_are_asked_for(context, before):
    assert all_facts(context) == before
    assert len({table_fingerprint(one) for one in before.values()}) == len(before) - 2
    assert before["plain"] == before["deep"] == before["mse"], "a default that is said is the default"


# --- each default ---

SAY_CODE = {"variational", "quantized"}
SAY_NETWORK = {"deep", "conv", "atomic", "kl", "bce"} | SAY_CODE
SAY_CORRUPTION = {"gaussian", "salt-and-pepper", "masking", "occlusion", "poisson", "sequence"}
DENSE = AUTOENCODERS - {"conv", "atomic"}
CHOSEN = AUTOENCODERS - {"fast"}  # by nobody else than the defaults
# For each class the arguments that have a default: another value, and the models that it makes others.


@dataclasses.dataclass(frozen=True, repr=False)
class Other(parts.CodePart):
    """Another code than the plain one, which nothing computes."""

    kind: ClassVar[str] = "other"


DEFAULTS = {
    parts.GaussianNoise: {"clip": (True, {"gaussian", "sequence"}), "relative": (True, {"gaussian", "sequence"})},
    parts.SaltAndPepper: {},
    parts.Masking: {"value": (0.5, {"masking", "sequence"})},
    parts.Occlusion: {"value": (0.5, {"occlusion"}), "image_shape": ((1, 8, 8), {"occlusion"})},
    parts.Poisson: {},
    parts.Sequence: {},
    parts.Affine: {
        **{name: (0.25, {"affine"}) for name in ("rotation", "scale", "shear", "shift", "share")},
        "fill": ("zeros", {"affine"}),
        "image_shape": ((1, 8, 8), {"affine"}),
    },
    parts.Plain: {"activation": ("linear", AUTOENCODERS - SAY_CODE)},
    parts.Gaussian: {
        **{name: (2.0, {"variational"}) for name in ("beta", "warmup", "free_bits")},
        "samples": (3, {"variational"}),
        "noise": ("learned", {"variational"}),
    },
    parts.Quantized: {
        **{name: (0.5, {"quantized"}) for name in ("commitment", "decay")},
        **{name: (2, {"quantized"}) for name in ("n_parts", "restart")},
    },
    parts.L1: {"per": ("batch", {"l1"}), "warmup": (2.0, {"l1"})},
    parts.KL: {"target": (0.1, {"kl"}), "per": ("element", {"kl"}), "warmup": (2.0, {"kl"})},
    parts.MSE: {"weight": (2.0, AUTOENCODERS - {"bce"})},
    parts.BCE: {"weight": (2.0, {"bce"}), "binary": (True, {"bce"})},
    parts.Dense: {
        "hidden": ((9,), DENSE),
        "bottleneck": (33, DENSE),
        "decoder_hidden": ((7,), DENSE),
        "activation": ("tanh", DENSE - {"kl"}),
        "code_activation": ("sigmoid", DENSE - {"fast"} - SAY_CODE),  # where the recipe says it
        "output": ("tanh", DENSE - {"bce", "fast"}),
    },
    parts.Conv: {
        "channels": ((3,), {"conv"}),
        "kernel": (2, {"conv"}),
        "padding": (2, {"conv"}),
        "decoder": ("unpool", {"conv"}),
        "activation": ("tanh", {"conv"}),
        "code_activation": ("tanh", {"conv"}),
        "output": ("sigmoid", {"conv"}),
        "image_shape": ((1, 8, 8), {"conv"}),
    },
    parts.Dictionary: {
        "hidden": ((9,), {"atomic"}),
        "n_atoms": (33, {"atomic"}),
        "activation": ("tanh", {"atomic"}),
        "code_activation": ("linear", {"atomic"}),
        "unit_norm": (False, {"atomic"}),
    },
    Training: {
        "learning_rate": (0.5, CHOSEN),
        "schedule": ("cosine", CHOSEN),
        "epochs": (3, CHOSEN),
        "batch_size": (16, CHOSEN),
        "start": ("data", CHOSEN),
        "recipe": ("fast", CHOSEN),
        "validation_fraction": (0.25, CHOSEN),
        "patience": (4, CHOSEN),
        # which an Autoencoder always says
        "optimizer": ("sgd", set()),
        "shuffle": ("once", set()),
        "precision": ("bfloat16", set()),
        "standardize": (True, set()),
        "device": ("cpu", set()),
    },
    Autoencoder: {
        "network": (Dense(bottleneck=5), AUTOENCODERS - SAY_NETWORK),
        "code": (Other(), AUTOENCODERS - SAY_CODE),
        "corruption": (GaussianNoise(0.5), AUTOENCODERS - SAY_CORRUPTION),
        "augmentation": (parts.Affine(), AUTOENCODERS - {"affine"}),
        "penalty": (parts.L1(0.5), AUTOENCODERS - {"l1", "kl"}),
        "loss": ("bce", AUTOENCODERS - {"mse", "bce"}),
        "optimizer": ("sgd", AUTOENCODERS),
        "learning_rate": (0.5, AUTOENCODERS),
        "schedule": ("cosine", AUTOENCODERS),
        "epochs": (3, AUTOENCODERS),
        "batch_size": (17, AUTOENCODERS),
        "shuffle": ("once", AUTOENCODERS),
        "validation_fraction": (0.25, AUTOENCODERS),
        "patience": (4, AUTOENCODERS),
        "start": ("data", AUTOENCODERS),
        "recipe": ("fast", CHOSEN),
        # which a study or its run says, or which computes nothing
        "precision": ("bfloat16", set()),
        "standardize": (True, set()),
        "device": ("cuda", set()),
        "verbose": (1, set()),
        "random_state": (7, set()),
        "warm_start": (True, set()),  # which a new model has nothing to go on from
        "shards": (2, AUTOENCODERS),
    },
    DecoderPrior: {
        "solver": ("adam", {"searched"}),
        "start": ("random", {"searched"}),
        "n_starts": (2, {"searched"}),
        "lower": (-1.0, {"searched"}),
        "max_iter": (51, {"searched"}),
        "tol": (1e-5, {"searched"}),
        "learning_rate": (0.5, {"searched"}),
        "clip": (True, {"searched"}),
        "autoencoder": (7, set()),
        "verbose": (1, set()),
        "random_state": (7, set()),
    },
    CodeSearch: {
        "solver": ("adam", {"searched"}),
        "start": ("random", {"searched"}),
        "n_starts": (2, {"searched"}),
        "lower": (-1.0, {"searched"}),
        "max_iter": (51, {"searched"}),
        "tol": (1e-5, {"searched"}),
        "learning_rate": (0.5, {"searched"}),
        "clip": (True, {"searched"}),
    },
    DictionaryLearning: {
        "n_atoms": (255, {"learned"}),
        "n_nonzero": (19, {"learned"}),
        "alpha": (0.2, {"learned"}),
        "batch_size": (255, {"learned"}),
        "n_images": (9999, {"learned"}),
        "passes": (2, {"learned"}),
    },
    MiniBatchDictionaryLearning: {
        "n_jobs": (2, {"learned"}),
        "shuffle": (False, {"learned"}),
        "dict_init": (0.5, {"learned"}),
        "transform_alpha": (0.5, {"learned"}),
        "split_sign": (True, {"learned"}),
        "positive_code": (True, {"learned"}),
        "positive_dict": (True, {"learned"}),
        "transform_max_iter": (999, {"learned"}),
        "callback": (0.5, {"learned"}),
        "tol": (0.5, {"learned"}),
        "max_no_improvement": (3, {"learned"}),
        # which a study always says
        **{name: (7, set()) for name in ("n_components", "alpha", "max_iter", "batch_size", "random_state", "verbose")},
        **{name: (7, set()) for name in ("fit_algorithm", "transform_algorithm", "transform_n_nonzero_coefs")},
    },
    Identity: {},
    Projection: {"whiten": (True, {"pca"}), "center": (False, {"pca"})},
    PCA: {
        "whiten": (True, {"pca"}),
        "tol": (0.5, {"pca"}),
        "iterated_power": (5, {"pca"}),
        "n_oversamples": (11, {"pca"}),
        "power_iteration_normalizer": ("LU", {"pca"}),
        **{name: (7, set()) for name in ("n_components", "copy", "svd_solver", "random_state")},
    },
    FunctionTransformer: {
        **{name: (True, {"nothing"}) for name in ("validate", "accept_sparse")},
        **{name: (7, {"nothing"}) for name in ("func", "inverse_func", "feature_names_out", "kw_args", "inv_kw_args")},
        "check_inverse": (7, set()),
    },
}
CASES = [(cls, name) for cls, names in DEFAULTS.items() for name in names]


def defaults_of(cls):
    """The arguments of a constructor that have a default."""
    arguments = inspect.signature(cls.__init__).parameters.values()
    return {one.name: one.default for one in arguments if one.default is not inspect.Parameter.empty}


def with_default(monkeypatch, cls, name, value):
    """Give an argument of a constructor another default, for this test."""
    function = cls.__init__
    if name in (function.__kwdefaults__ or {}):
        monkeypatch.setattr(function, "__kwdefaults__", {**function.__kwdefaults__, name: value})
    else:
        positional = [
            one.name for one in inspect.signature(function).parameters.values() if one.kind == one.POSITIONAL_OR_KEYWORD
        ]
        values = list(function.__defaults__)
        values[positional.index(name) - len(positional)] = value
        monkeypatch.setattr(function, "__defaults__", tuple(values))
    assert defaults_of(cls)[name] == value


def test_no_part_no_estimator_and_no_default_is_forgotten():
    kinds = {
        *(kind for kind in NETWORKS.values() if not kind.by_function),  # which is in tests/networks/test_pair.py
        *CODES.values(),
        *CORRUPTIONS.values(),
        *AUGMENTATIONS.values(),
        *PENALTIES.values(),
        *LOSSES.values(),
    }
    made = {type(estimator(model, 0)) for model in parse_study(TEXT, "all", "all.toml").models}
    of_one_size = {part for part, _ in _ARGUMENTS.values() if not getattr(part, "any_size", False)}
    assert set(DEFAULTS) == kinds | made | of_one_size, "those for photographs are in test_photograph_study"
    for cls, names in DEFAULTS.items():
        assert set(names) == set(defaults_of(cls)), cls


@pytest.mark.parametrize(("cls", "name"), CASES, ids=lambda one: getattr(one, "__name__", one))
def test_another_default_is_another_model(cls, name, context, before, monkeypatch):
    value, expected = DEFAULTS[cls][name]
    with_default(monkeypatch, cls, name, value)
    now = all_facts(context)
    searched = {"searched"} if "plain" in expected else set()  # which is of it
    assert {model for model in now if now[model] != before[model]} == expected | searched


def test_a_default_that_was_changed_is_trained_again(run, folder, monkeypatch):
    """As it was found: the notes of 0.1 had only what the TOML said."""
    text = HEAD + '[[model]]\nname = "learned"\nestimator = "dictionary-learning"\nn_atoms = 20\nn_nonzero = 5\n'
    first = run(text).value("learned", "mse", "test")
    assert run(text).value("learned", "mse", "test") == first
    with_default(monkeypatch, DictionaryLearning, "alpha", 2.0)
    second = run(text).value("learned", "mse", "test")
    assert second != first
    assert run(text, fresh=True).value("learned", "mse", "test") == second


# --- each fact ---


def of(context, name="plain", seed=3):
    return facts_of(context, context.study.model(name), seed)


def test_a_seed_and_its_offset_are_one_fact(context):
    assert differing(of(context), of(context, seed=4)) == ["random_state"]
    later = dataclasses.replace(context, study=dataclasses.replace(context.study, models=tuple(
        dataclasses.replace(model, seed_offset=1) for model in context.study.models
    )))  # fmt: skip
    assert of(later) == of(context, seed=4)


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("train = 300", "train = 301", ["samples", "splits", "validation samples"]),
        ("validation = 60", "validation = 61", ["splits", "validation samples"]),
        ("test = 120", "test = 121", ["splits"]),
        ("test = 120", "test = 120\npool_test = true", ["samples", "splits"]),
        ("seed = 3", "seed = 4", ["samples", "validation samples"]),
        ("[data]", '[data]\nsplit = "file"', ["samples", "splits", "validation samples"]),
        ("[data]", "[data]\nclasses = [1, 2]", ["samples", "splits", "validation samples"]),
        ("[[model]]", "[[model]]\nstandardize = true", ["standardize"]),
        ("[[model]]", '[[model]]\nprecision = "bfloat16"', ["precision"]),
        ("[[model]]", "[[section]]\nname = 's'\ntitle = 'S'\n[[model]]", []),
    ],
)
def test_images_are_facts_and_so_is_how_they_are_split(old, new, names, context):
    assert old in TEXT
    other = context_of(TEXT.replace(old, new, 1), out=context.request.out)
    assert differing(of(context), of(other)) == names


def test_so_are_other_images(context):
    dataset = context.dataset
    first = dataset.test.take(slice(1, None)).followed_by(dataset.test.take(slice(0, 1)))
    other = dataclasses.replace(context, dataset=dataclasses.replace(dataset, test=first))
    assert differing(of(context), of(other)) == ["data"]


def test_threads_are_those_that_compute(context):
    """A step that is worth one thread is the same by two; what scikit-learn computes is not."""
    two = context_of(out=context.request.out, threads=2)
    for name, names in (("plain", []), ("pca", ["threads"])):
        model = context.study.model(name)
        assert differing(facts_of(context, model, 3, 1), facts_of(two, model, 3, 2)) == names
    wide = TEXT.replace('network = {kind = "dense"}', 'network = {kind = "dense", bottleneck = 2048}')
    one, two = (context_of(wide, out=context.request.out, threads=2) for _ in range(2))
    assert differing(facts_of(one, one.study.model("deep"), 3, 1), facts_of(two, two.study.model("deep"), 3, 2)) == [
        "threads"
    ]


def test_the_device_the_code_and_the_versions_are_facts(context, monkeypatch):
    before = of(context)
    assert set(versions()) < set(before)
    monkeypatch.setattr(facts, "processor_of", lambda device: "another")
    assert differing(before, of(context)) == ["device"]
    monkeypatch.setattr("isthmus.fingerprints.code_fingerprint", lambda: "other")
    assert differing(before, of(context)) == ["device", CODE]
    monkeypatch.setattr("torch.__version__", "0.0.1")
    assert differing(before, of(context)) == ["device", CODE, "torch"]
    assert differing(of(context, "plain"), of(context, "searched"))


def test_what_a_model_is_of_is_a_fact(context):
    other = context_of(
        TEXT.replace('[[model]]\nname = "plain"', '[[model]]\nepochs = 3\nname = "plain"', 1), out=context.request.out
    )
    assert differing(of(context, "searched"), of(other, "searched")) == ["of"]


def test_a_study_and_a_checkpoint_have_one_list(context, monkeypatch):
    """But for what only a study has: its arguments, its splits, what a model is of."""
    told = {}
    monkeypatch.setattr(Checkpoints, "begin", lambda self, facts: told.update(facts()))
    images = context.splits
    for _ in estimator(context.study.model("plain"), 3).fit_epochs(images["train"], validation=images["validation"]):
        break
    now = of(context)
    assert set(now) - set(told) == {"arguments", "data", "of", "splits"}
    assert set(told) - set(now) == {"image_shape"}
    assert {name for name in set(now) & set(told) if now[name] != told[name]} <= {"samples", "validation samples"}


# --- what is measured ---

GAUSSIAN = {"kind": "gaussian"}
MEASURE = Measure(("pca",), corruption=GAUSSIAN, levels=(0.2,))
COMPARE = Compare(("pca", "plain"), corruption=GAUSSIAN, levels=(0.2,))


def key(context, measure=MEASURE, compare=COMPARE, seed=3, threads=1, name="pca"):
    study = dataclasses.replace(context.study, measures=(measure,), compares=(compare,))
    return cache._key(dataclasses.replace(context, study=study), study.model(name), seed, threads)


@pytest.mark.parametrize(
    ("what", "changes", "same"),
    [
        ("measure", {}, True),
        ("measure", {"metrics": ("mse", "psnr")}, True),  # the default
        ("measure", {"metrics": ("mse",)}, False),
        ("measure", {"split": "train"}, False),
        ("measure", {"levels": (0.3,)}, False),
        ("measure", {"corruption": {**GAUSSIAN, "clip": False}}, True),
        ("measure", {"corruption": {**GAUSSIAN, "clip": True}}, False),
        ("measure", {"corruption": {"kind": "masking"}}, False),
        ("measure", {"models": ("nothing",)}, False),
        ("compare", {"models": ("pca", "deep")}, False),
        ("compare", {"models": ("deep", "plain")}, False),
        ("compare", {"split": "train"}, False),
        ("compare", {"levels": (0.3,)}, False),
        ("compare", {"corruption": {**GAUSSIAN, "clip": True}}, False),
    ],
)
def test_what_is_asked_of_a_model_decides_whether_it_is_measured_again(what, changes, same, context):
    asked = dataclasses.replace({"measure": MEASURE, "compare": COMPARE}[what], **changes)
    assert (key(context, **{what: asked}) == key(context)) is same


def test_what_is_asked_of_others_does_not(context):
    assert key(context, name="nothing") == key(context, dataclasses.replace(MEASURE, levels=(0.3,)), name="nothing")
    assert key(context, name="deep") == key(context, compare=dataclasses.replace(COMPARE, levels=(0.3,)), name="deep")


def test_another_default_of_a_corruption_is_measured_again(context, monkeypatch):
    before = key(context)
    with_default(monkeypatch, GaussianNoise, "clip", True)
    assert key(context) != before


def test_so_is_what_was_measured_by_other_threads_or_quickly_or_of_another_model(context, monkeypatch):
    quick = dataclasses.replace(context, request=dataclasses.replace(context.request, quick=True))
    keys = [key(context), key(context, threads=2), key(quick), key(context, seed=4)]
    monkeypatch.setattr(cache, "noted", lambda *_: {"another": "model"})
    keys.append(key(context))
    assert len(set(keys)) == len(keys)


def test_what_is_compared_anew_is_measured_for_it(run, folder):
    """The errors of each image are kept of what is compared alone: asked for later, they are measured."""
    text = (
        HEAD
        + OTHERS[: OTHERS.index('[[model]]\nname = "learned"')]
        + '[[model]]\nname = "nothing"\nestimator = "identity"\n'
    )
    assert run(text).comparisons == []
    text += '[[compare]]\nmodels = ["pca", "nothing"]\n'
    (line,) = run(text).comparisons
    assert (line["models"], line["n"]) == (["pca", "nothing"], 120)


def test_a_model_of_another_split_is_trained_again_though_its_seed_and_folder_are_the_same(run, folder, tools):
    """Seed 4 of a study with seed 3 and of one with seed 2 are fitted on other images."""
    text = tools.HEAD + tools.PCA
    first = run(text, seeds=2)
    before = tools.written(folder)
    second = run(text.replace("seed = 3", "seed = 2"), seeds=3)
    assert tools.written(folder)["pca-4.seed-4"] != before["pca-4.seed-4"]
    values = [
        next(row.value for row in one.rows if (row.seed, row.metric, row.split) == (4, "mse", "test"))
        for one in (first, second)
    ]
    assert values[0] != values[1]


def test_the_whole_studys_plan_counts_and_with_only_ones_own_too(run, tmp_path, monkeypatch):
    """Alone a model may have more threads: then the whole study trains it again, but never the other way round."""
    monkeypatch.setattr("isthmus.studies.plan.workload._START", 0.0)
    text = HEAD + "".join(f'[[model]]\nname = "{name}"\nestimator = "pca"\nn_components = 4\n' for name in "abcd")

    def context(**request):
        study = parse_study(text, "small", "small.toml")
        return prepare(study, Request(tmp_path / "runs", threads=2, device="cpu", **request))[0]

    whole, alone, seeds = context(), context(only=("a",)), context(seeds=5)
    assert (whole.plans, alone.plans, seeds.plans) == ((1,), (2, 1), (1,))
    assert (whole.n_parallel, alone.n_parallel, seeds.n_parallel) == (2, 1, 2)
    model = whole.study.model("a")
    run(text, threads=2, only=("a",))
    assert facts.finished(alone, model, 3)
    assert facts.changed(whole, model, 3) == ["threads"]
    run(text, threads=1, fresh=True)
    assert facts.finished(whole, model, 3)
    assert facts.finished(alone, model, 3)
