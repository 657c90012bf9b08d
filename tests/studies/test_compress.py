"""The first published study against STUDIES.md, and on MNIST: every number agrees, in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from isthmus.studies.spec.parser import load_study

# STUDIES.md: 784-32-784 and 784-256-64-32-64-256-784; pca-32-2 takes the 32 codes of pca-32
WIDTHS = {"dense-32": [784, 32, 784]} | {
    f"deep-32-{a}": [784, 256, 64, 32, 64, 256, 784] for a in ("relu", "tanh", "leakyrelu")
}


def test_compress_has_the_published_widths():
    import torch

    from isthmus.networks import build

    study = load_study("compress")
    built = {}
    for model in study.models:
        if model.training:
            network = build(model.arguments["network"], 784, torch.Generator().manual_seed(0))
            built[model.name] = sum(p.numel() for p in network.parameters())
    expected = {name: sum(a * b + b for a, b in pairwise(widths)) for name, widths in WIDTHS.items()}
    assert built == expected | {f"{name}-right": count for name, count in expected.items()}


def test_compress_is_trained_as_published():
    study = load_study("compress")
    assert (study.data.name, study.data.pool_test, study.data.train) == ("mnist", True, None)
    for name in WIDTHS:
        training, network = study.model(name).training, study.model(name).arguments["network"]
        epochs = 11 if name == "dense-32" else 10
        assert (training.optimizer, training.learning_rate, training.batch_size) == ("adam", 1e-3, 128)
        assert (training.epochs, training.schedule, training.shuffle) == (epochs, "constant", True)
        activation = "relu" if name == "dense-32" else name.removeprefix("deep-32-")
        assert (network.activation, network.code_activation or activation) == (activation, activation)
        assert network.output == "sigmoid"
        right = study.model(f"{name}-right")  # differs in nothing but the images that it is fitted on
        assert right.arguments == study.model(name).arguments
        assert study.pools(study.model(name))
        assert not study.pools(right)
    components = {m.name: (m.arguments["n_components"], m.of) for m in study.models if m.estimator == "pca"}
    assert components == {
        "pca-2": (2, None),
        "pca-32": (32, None),
        "pca-32-2": (2, "pca-32"),
        "pca-32-right": (32, None),
    }


def test_compress_has_every_published_number():
    path = Path(__file__).parents[1] / "reference" / "published.json"
    published = {k: v for k, v in json.loads(path.read_text()).items() if k.startswith("compress.")}
    references = {reference.id: reference for reference in load_study("compress").references}
    assert references.keys() == published.keys()
    assert published
    for name, fact in published.items():
        reference = references[name]
        value = list(reference.value) if isinstance(reference.value, tuple) else reference.value
        assert (value, reference.rtol, reference.atol) == (fact["value"], fact["rtol"], None)
        assert reference.model == name.split(".")[1]
        if fact.get("data") == "all 70,000":
            assert reference.split == "all"
        if "epochs 1, 5, 10" in fact.get("note", ""):
            assert reference.epochs == (1, 5, 10)


@pytest.mark.mnist
@pytest.mark.slow
def test_compress_agrees_with_every_published_number(tmp_path):
    assert os.environ.get("ISTHMUS_DATA"), "set ISTHMUS_DATA to a folder that holds MNIST"
    # ru_maxrss of a process counts what the one had that started it, so pytest's would be in it: VmHWM is its own
    program = (
        "import resource, sys; from isthmus.cli import run_command; "
        "from isthmus.commands.planning.step_timer import resident; code = run_command(sys.argv[1:]); "
        "workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024; "
        "print(max(resident('VmHWM'), workers)); sys.exit(code)"
    )
    # of what is done right PCA is enough: its autoencoders are in no published number, and double the time
    study = load_study("compress")
    names = [model.name for model in study.models if study.pools(model)] + ["pca-32-right"]
    only = [word for name in names for word in ("--only", name)]
    command = [sys.executable, "-c", program, "run", "compress", *only, "--out", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    *shown, peak = done.stdout.splitlines()
    results = json.loads("\n".join(shown))
    assert results == json.loads((tmp_path / "compress" / "results.json").read_text())
    verdicts = {reference["id"]: reference["agrees"] for reference in results["references"]}
    assert len(verdicts) == 9
    assert set(verdicts.values()) == {True}, results["references"]
    # what is done right is measured on images that were not fitted, and those are harder than the fitted ones
    test_rows = {r["model"]: r for r in results["rows"] if (r["metric"], r["split"]) == ("mse", "test")}
    assert {name: row["seen"] for name, row in test_rows.items()} == {name: name != "pca-32-right" for name in names}
    assert test_rows["pca-32"]["value"] < test_rows["pca-32-right"]["value"]
    assert (tmp_path / "compress" / "report.html").stat().st_size < 10e6
    if sys.platform == "linux":
        assert 0 < int(peak) < 1.2 * 2**30, peak
