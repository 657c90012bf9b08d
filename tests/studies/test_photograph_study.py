"""The study of photographs: what is held out, what is measured, and that it is a study like all others."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from starlette.testclient import TestClient

from isthmus import Denoiser, GaussianNoise, Residual, load, open_images
from isthmus.cli import run_command
from isthmus.console import Lines
from isthmus.corruption import noisy_version
from isthmus.data.photographs import photograph_set
from isthmus.errors import IsthmusError, RequestError
from isthmus.estimators.denoising.classical import METHODS, ClassicalDenoiser
from isthmus.explore.folder import look
from isthmus.explore.serving.application import application
from isthmus.explore.shelf_loader import shelve
from isthmus.parts import CLASSICAL, UNet
from isthmus.report import psnr_by_level as report
from isthmus.studies.plan.context import Request
from isthmus.studies.plan.facts import facts_of
from isthmus.studies.plan.preparation import prepare
from isthmus.studies.results.outcome import Outcome
from isthmus.studies.results.photograph_measure import measure_photographs
from isthmus.studies.results.results_json import read_results
from isthmus.studies.run.engines.engine import Task
from isthmus.studies.run.engines.worker import Worker
from isthmus.studies.run.fitting import with_fixed_noise
from isthmus.studies.run.scheduler import run_study
from isthmus.studies.spec.parser import load_study, parse_study
from isthmus.studies.spec.study import ARGUMENTS
from isthmus.training.checkpoint import Checkpoints

PUBLISHED = json.loads((Path(__file__).parents[1] / "reference" / "published.json").read_text())
LEVELS = (15, 25, 50)
REAL = Path(os.environ.get("ISTHMUS_DATA", "nowhere"))
ONE = """
title = "one"
[data]
name = "photographs"
[[model]]
name = "a"
estimator = "denoiser"
"""


def write(folder: Path, n: int, first: int = 0) -> Path:
    """Photographs of different sizes, of mid greys, which noise leaves within [0, 1]: soft waves and an edge."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(first, first + n):
        rows, columns = np.mgrid[: 60 + 3 * i, : 50 + 2 * i]
        x = 128 + 20 * np.sin(rows / (5 + i)) * np.cos(columns / 7) + 15 * (columns > 20 + i)
        Image.fromarray(x.astype(np.uint8)).save(folder / f"photo{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What benchmarks have: train400 and bsd68."""
    root = tmp_path_factory.mktemp("published")
    write(root / "train400", 8)
    write(root / "bsd68", 3, first=8)
    return root


@pytest.fixture(scope="module")
def ran(folder, tmp_path_factory):
    """The folder of the shipped study, run quickly with its report."""
    out = tmp_path_factory.mktemp("runs")
    command = ["run", "photographs", "--data-dir", str(folder), "--out", str(out), "--quick"]
    assert run_command([*command, "--threads", "1", "--device", "cpu"]) == 0
    return out / "photographs"


@pytest.fixture(scope="module")
def results(ran):
    return read_results(ran)


def label(sigma):
    return f"gaussian({sigma / 255:.6g},clip=false)"


def test_each_model_is_measured_on_whole_photographs_by_level(results):
    rows = {(row.model, row.metric, row.corruption): row for row in results.rows}
    for model in load_study("photographs").models:
        for metric in ("mse", "psnr", "ssim"):
            for sigma in LEVELS:
                row = rows[model.name, metric, label(sigma)]
                assert (row.n, row.held_out) == (2, True), "of a quick run two photographs, and each counts once"
                assert row.ci95 is not None
    assert results.complete


@pytest.mark.parametrize("sigma", LEVELS[:2])
def test_doing_nothing_has_the_psnr_of_the_noise(results, sigma):
    row = results.row("noisy", "psnr", "test", label(sigma))
    assert row.value == pytest.approx(-20 * np.log10(sigma / 255), abs=0.3)


def test_a_row_is_what_one_measures_by_hand(ran, folder, results):
    """By scikit-image, with the saved model, told the level or not, on the same noise."""
    files = sorted((folder / "bsd68").glob("*.png"))[:2]
    photos = [open_images(file).floats().reshape(open_images(file).shape) for file in files]
    sigma = 25 / 255
    noise = GaussianNoise(0.0980392)
    for name, level in (("residual", sigma), ("residual-blind", sigma), ("residual-blind", None), ("wavelets", sigma)):
        model, values = load(ran / "models" / name), []
        for x in photos:
            y = noisy_version(x.reshape(1, -1), noise, x.shape).reshape(x.shape)
            x_hat = np.clip(model.denoise([y], level)[0], 0, 1)
            values.append([
                peak_signal_noise_ratio(x[0], x_hat[0], data_range=1),
                structural_similarity(x[0], x_hat[0], data_range=1),
            ])  # fmt: skip
        psnr, ssim = np.mean(values, axis=0)
        assert results.row(name, "psnr", "test", label(25)).value == pytest.approx(psnr, abs=1e-3)
        assert results.row(name, "ssim", "test", label(25)).value == pytest.approx(ssim, abs=1e-4)


def test_blind_and_told_are_one_network(ran, results):
    weights = [(ran / "models" / name / "model.safetensors").read_bytes() for name in ("residual", "residual-blind")]
    assert weights[0] == weights[1]
    told, blind = (results.row(name, "psnr", "test", label(50)).value for name in ("residual", "residual-blind"))
    assert told != blind
    pairs = {tuple(comparison["models"]) for comparison in results.comparisons if comparison["metric"] == "psnr"}
    assert ("residual", "residual-blind") in pairs
    (one,) = (
        c for c in results.comparisons
        if (c["models"], c["corruption"]) == (["residual", "residual-blind"], label(50))
    )  # fmt: skip
    assert one["difference"] == pytest.approx(told - blind)


def test_published_numbers_stand_beside_and_nothing_has_to_agree(results):
    assert len(results.references) == 21
    for reference in results.references:
        assert reference["agrees"] is None
        assert reference["measured"] == results.row(reference["model"], "psnr", "test", reference["corruption"]).value
    table = report.published(results)
    assert table["levels"] == ["σ = 15", "σ = 25", "σ = 50"]
    blind = next(line for line in table["lines"] if line["method"] == "DnCNN, blind")
    assert [cell["published"] for cell in blind["cells"]] == [31.61, 29.16, 26.23]
    assert blind["model"] == "residual-blind"


def test_the_shipped_numbers_are_the_published_ones():
    numbers = {key: (fact["value"], fact["by"]) for key, fact in PUBLISHED.items() if key.startswith("photographs.")}
    study = load_study("photographs")
    assert {one.id: (one.value, one.by) for one in study.references} == numbers
    for one in study.references:
        assert one.id.endswith(f".{255 * one.part().sigma:.3g}")
    for measure in study.measures:
        assert [round(255 * part.sigma, 3) for part in measure.corruptions()] == list(LEVELS)
        assert not any(part.clip for part in measure.corruptions())


def test_the_figures_hold_what_they_show(ran, folder):
    time = np.load(ran / "figures" / "time.npz")
    assert set(time.files) == {"residual", "unet", "from-noisy"}
    for name in time.files:
        seconds, psnr = time[name].T
        assert (np.diff(seconds) > 0).all()
        history = (ran / "models" / name / "history.jsonl").read_text().splitlines()
        losses = [json.loads(line)["validation_loss"] for line in history]
        np.testing.assert_allclose(psnr, -10 * np.log10(losses))
    crops = np.load(ran / "figures" / "crops.npz")
    images = open_images(sorted((folder / "bsd68").glob("*.png"))[1])
    x = images.floats().reshape(images.shape)
    y = noisy_version(x.reshape(1, -1), GaussianNoise(0.0980392), x.shape).reshape(x.shape)
    x_hat = load(ran / "models" / "residual").denoise([y], 0.0980392)[0].clip(0, 1)
    side = crops["residual"].shape[2]
    top, left = (x.shape[1] - side) // 2, (x.shape[2] - side) // 2
    np.testing.assert_allclose(crops["residual"][0], x_hat[:, top : top + side, left : left + side], atol=1e-5)


def test_the_page_has_the_tables_by_level(ran, results):
    page = (ran / "report.html").read_text("utf-8")
    for words in ("σ = 15", "σ = 50", "PSNR, dB", "SSIM", "DRUNet", "Crops at full size", "against training time"):
        assert words in page, words
    psnr, ssim = report.tables(results)
    assert (psnr["metric"], ssim["metric"]) == ("psnr", "ssim")
    assert psnr["best"][0] == max(line["cells"][0].value for line in psnr["lines"])


def test_findings_are_made_from_the_numbers(results, monkeypatch):
    monkeypatch.setattr(results, "quick", False)
    sentences = " ".join(report.findings(results))
    noisy = results.row("noisy", "psnr", "test", label(25)).value
    assert f"the noisy photographs have {noisy:.2f}" in sentences
    gap = 29.23 - results.row("residual", "psnr", "test", label(25)).value
    assert f"{gap:.2f} dB below DnCNN" in sentences
    assert "residual against from-noisy" in sentences


def test_explore_shows_a_run_with_all_that_take_noise_out(ran, folder):
    run = look(ran)
    assert [file.name for file in run.files] == ["photo08.png", "photo09.png", "photo10.png"]
    shelf = shelve(run)
    names = [entry.name for entry in shelf.models]
    assert names[:4] == ["residual", "residual-blind", "unet", "from-noisy"]
    assert set(names[4:]) == {"wavelets", "total-variation", "non-local-means"}
    with TestClient(application(shelf), base_url="http://127.0.0.1:8765") as client:
        about = client.get("/api/about").json()
        assert [model["blind"] for model in about["models"][:2]] == [False, True]
        assert len(about["files"]) == 3
        assert client.post("/api/picture", params={"file": 0}, headers={"origin": "http://127.0.0.1:8765"}).is_success
        key = shelf._opened.copy().popitem()[0]
        for name in names:
            answer = client.get("/api/denoised", params={"key": key, "level": 0.1, "model": name})
            assert answer.is_success, (name, answer.text)
        body = (folder / "train400" / "photo03.png").read_bytes()
        assert "unet and from-noisy were trained on this" in str(client.post("/api/picture", content=body).content)
    assert look(ran / "models" / "unet").only == "unet"


# --- the photographs ---


def test_of_ones_own_folder_some_are_held_out_whole_by_a_draw_that_stays(tmp_path):
    write(tmp_path / "mine", 20)
    dataset = photograph_set.load(str(tmp_path / "mine"), None, 1024)
    assert (len(dataset.train), len(dataset.test)) == (18, 2)
    names = {*dataset.place["test_images"]}
    assert names.isdisjoint(dataset.train.names)
    assert not dataset.is_published
    again = photograph_set.load(None, tmp_path / "mine", 1024)
    assert {*again.place["test_images"]} == names
    copied = sorted(names)[0]
    shutil.copy(tmp_path / "mine" / copied, tmp_path / "mine" / "copy.png")
    third = photograph_set.load(None, tmp_path / "mine", 1024)
    held = [third.test.arrays[i].tobytes() for i in range(len(third.test))]
    assert all(np.asarray(x).tobytes() not in held for x in third.train.arrays), "a copy is not trained on"


def test_of_large_test_photographs_the_middle_is_measured(tmp_path):
    write(tmp_path, 4)
    dataset = photograph_set.load(str(tmp_path), None, 32)
    assert all(x.shape == (1, 32, 32) for x in dataset.test.arrays)
    assert "middle" in " ".join(dataset.notes)


@pytest.mark.parametrize("n", [None, 0, 2])
def test_a_folder_with_too_few_is_refused(tmp_path, n):
    folder = tmp_path / "few"
    if n is not None:
        write(folder, n)
    with pytest.raises(IsthmusError) as refused:
        photograph_set.load(str(folder), None, 64)
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)


def test_a_study_of_ones_own_photographs_has_no_published_numbers(tmp_path):
    write(tmp_path / "mine", 5)
    text = load_study("photographs").text
    text = text[: text.index("[[figure]]")] + text[text.index("[[trap]]") :]  # which take most of the time
    (tmp_path / "mine.toml").write_text(
        text.replace('name = "photographs"', f'name = "photographs"\npath = "{tmp_path}/mine"', 1)
    )
    command = ["run", str(tmp_path / "mine.toml"), "--out", str(tmp_path), "--quick", "--only", "wavelets"]
    assert run_command([*command, "--threads", "1", "--device", "cpu"]) == 0
    results = read_results(tmp_path / "mine")
    assert results.references == []
    assert results.data["splits"] == {"train": 3, "validation": 1, "test": 1}
    assert "Published" not in (tmp_path / "mine" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("denoiser", "autoencoder"), ["autoencoder", "one size", "denoiser"]),
        (('"photographs"', '"digits"'), ["denoiser", "any sizes", "autoencoder"]),
        (('"photographs"', '"digits"\npath = "x"'), ["path", "photographs"]),
        (('"photographs"', '"photographs"\npool_test = true'), ["pool_test"]),
        (('"denoiser"', '"denoiser"\ntarget = "clear"'), ["target", "noisy"]),
        (('"denoiser"', '"denoiser"\nnoise = {kind = "masking", fraction = 0.1}'), ["noise", "Gaussian"]),
        (('"denoiser"', '"denoiser"\nof = "b"'), ["b"]),
        (('"denoiser"', '"classical"\nmethod = "bm3d"'), ["method", "wavelets"]),
        (('"denoiser"\n', '"denoiser"\n[[measure]]\nmetrics = ["l0"]\n'), ["l0", "psnr"]),
        (
            ('"denoiser"\n', '"denoiser"\n[[figure]]\nname = "f"\nkind = "scatter"\nmodels = ["a"]\n'),
            ["scatter", "crops"],
        ),
    ],
)
def test_what_photographs_cannot_have_is_refused(change, words):
    with pytest.raises(RequestError) as refused:
        parse_study(ONE.replace(*change), "one", "one.toml")
    assert "\n" not in str(refused.value)
    for word in words:
        assert word in str(refused.value)


def test_noise_that_is_not_gaussian_is_refused_before_anything_is_trained(tmp_path, capsys):
    write(tmp_path / "mine", 4)
    text = ONE + '[[measure]]\nmetrics = ["psnr"]\ncorruption = {kind = "gaussian", sigma = 0.1, clip = true}\n'
    (tmp_path / "one.toml").write_text(text)
    assert (
        run_command(["run", str(tmp_path / "one.toml"), "--data-dir", str(tmp_path / "mine"), "--out", str(tmp_path)])
        == 2
    )
    assert "clip" in capsys.readouterr().err


@pytest.mark.skipif(not (REAL / "photographs" / "bsd68").is_dir(), reason="needs photographs in $ISTHMUS_DATA")
def test_of_the_real_photographs_noise_leaves_what_is_known():
    """20.50 dB of the first twelve at σ = 25, as another program measured it: README's table."""
    dataset = photograph_set.load(None, REAL, 1024)
    assert (len(dataset.train), len(dataset.test), dataset.is_published) == (400, 68, True)
    assert {x.shape for x in dataset.test.arrays} == {(1, 321, 481), (1, 481, 321)}
    nothing = ClassicalDenoiser("nothing").fit(dataset.train.take(slice(0, 1)))
    few = dataset.test.take(slice(0, 12))
    measured = measure_photographs(nothing, few, ("psnr", "ssim"), GaussianNoise(25 / 255))
    assert measured.estimates["psnr"].value == pytest.approx(20.50, abs=0.02)
    assert measured.estimates["psnr"].n == 12


# --- what learns nothing, and what learns without clean photographs ---


def test_each_noisy_photograph_has_one_level_and_stays_as_it_is(tmp_path):
    images = photograph_set.load(str(write(tmp_path, 12)), None, 1024).train
    first, second = (with_fixed_noise(images, GaussianNoise((0.0, 0.2))) for _ in range(2))
    sigmas = [float((y - images.floats(i)).std()) for i, y in enumerate(first.arrays)]
    assert first.fingerprint == second.fingerprint
    assert min(sigmas) < 0.06
    assert max(sigmas) > 0.14
    assert all(abs(float((y - images.floats(i)).mean())) < 0.02 for i, y in enumerate(first.arrays))


@pytest.mark.parametrize("target", ["clean", "noisy"])
def test_validation_is_against_clean_photographs_whatever_is_learned_from(tmp_path, target):
    """A network that begins as the identity, and hardly moves, leaves the variance of the noise."""
    images = photograph_set.load(str(write(tmp_path, 6)), None, 1024)
    settings = {"crop": 16, "crops_per_epoch": 16, "epochs": 1, "learning_rate": 1e-9, "random_state": 0}
    model = Denoiser(Residual(8, 4), noise=GaussianNoise(0.1), target=target, **settings)
    x = with_fixed_noise(images.train, GaussianNoise(0.1)) if target == "noisy" else images.train
    (row,) = model.fit_epochs(x, validation=images.test)
    share_with_noise = 1 - 1 / 64 - 1 / 32
    assert row.validation_loss == pytest.approx(0.01 * share_with_noise, rel=0.1)


def test_of_is_the_same_network_that_is_never_told(tmp_path):
    images = photograph_set.load(str(write(tmp_path, 4)), None, 1024)
    settings = {"crop": 16, "crops_per_epoch": 256, "epochs": 1, "learning_rate": 0.01, "random_state": 0}
    model = Denoiser(Residual(8, 4), noise=GaussianNoise((0, 0.2)), **settings).fit(images.train)
    blind = Denoiser(blind=True).of(model)
    y = [images.test.floats(0) + 0.1 * np.random.default_rng(0).standard_normal(images.test.arrays[0].shape)]
    np.testing.assert_array_equal(blind.denoise(y, 0.3)[0], model.denoise(y)[0])
    assert np.abs(model.denoise(y, 0.3)[0] - model.denoise(y)[0]).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_classical_method_is_saved_and_loaded(tmp_path, method):
    images = photograph_set.load(str(write(tmp_path / "photos", 4)), None, 1024)
    model = ClassicalDenoiser(method).fit(images.train.take(slice(0, 1)))
    model.save(tmp_path / "model")
    x = images.test.floats(0)
    y = noisy_version(x.reshape(1, -1), GaussianNoise(0.1), x.shape).reshape(x.shape)
    x_hat = model.denoise([y], 0.1)[0]
    np.testing.assert_array_equal(load(tmp_path / "model").denoise([y], 0.1)[0], x_hat)
    error, before = (float(np.square(z - x).mean()) for z in (x_hat, y))
    assert error == before if method == "nothing" else error < 0.5 * before


def test_the_words_of_a_study_are_the_methods_that_there_are():
    assert tuple(METHODS) == CLASSICAL


def test_strengths_are_the_best_of_the_photographs_at_each_level(tmp_path):
    images = photograph_set.load(str(write(tmp_path, 4)), None, 1024)
    few = images.train.take(slice(0, 2))
    model = ClassicalDenoiser("total-variation").fit(few)

    def error(strengths, sigma):
        model.strengths_ = strengths
        total = 0.0
        for i in range(len(few)):
            x = few.floats(i)
            y = noisy_version(x.reshape(1, -1), GaussianNoise(sigma), x.shape).reshape(x.shape)
            total += float(np.log(np.square(model.denoise([y], sigma)[0].clip(0, 1) - x).mean()))
        return total

    chosen = model.strengths_
    for i, sigma in enumerate(np.array([10, 25, 50, 75]) / 255):
        best = error(chosen, sigma)
        assert all(best <= error([s] * 4, sigma) + 1e-9 for s in METHODS["total-variation"][1]), (i, chosen)


ANOTHER = {
    "denoiser": {
        **{"network": UNet(), "noise": GaussianNoise((0.0, 0.3)), "target": "noisy", "blind": True},
        **{"self_ensemble": True, "crop": 32, "crops_per_epoch": 16, "optimizer": "sgd", "learning_rate": 0.1},
        **{
            "schedule": "cosine",
            "epochs": 3,
            "batch_size": 8,
            "patience": 2,
            "precision": "bfloat16",
            "recipe": "fast",
        },
    },
    "classical": {"method": "nothing", "n_images": 5},
}


@pytest.fixture(scope="module")
def context(folder, tmp_path_factory):
    text = ONE + '[[model]]\nname = "b"\nestimator = "classical"\nmethod = "wavelets"\n'
    return prepare(parse_study(text, "two", "two.toml"), Request(tmp_path_factory.mktemp("two"), folder))[0]


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in ANOTHER.items() for name in names])
def test_another_argument_is_another_model(context, kind, name):
    assert set(ANOTHER[kind]) == {field.name for field in dataclasses.fields(ARGUMENTS[kind])}
    model = next(model for model in context.study.models if model.estimator == kind)
    changed = dataclasses.replace(model, arguments={**model.arguments, name: ANOTHER[kind][name]})
    assert facts_of(context, changed, 0) != facts_of(context, model, 0) == facts_of(context, model, 0)


@pytest.fixture
def tiny():
    network = "network = {kind = 'residual', width = 8, depth = 4}\ncrop = 16\ncrops_per_epoch = 32\nepochs = 2\n"
    blind = "[[model]]\nname = 'b'\nestimator = 'denoiser'\nof = 'a'\nblind = true\n"
    measure = '[[measure]]\nmetrics = ["mse", "psnr"]\ncorruption = {kind = "gaussian", sigma = 0.1}\n'
    return parse_study(ONE + network + blind + measure, "tiny", "tiny.toml")


def test_a_worker_measures_the_same(tiny, folder, tmp_path):
    """It is told the study's text and the request, as JSON, and finds the photographs itself."""
    requests = [Request(tmp_path / name, folder, threads=1, device="cpu") for name in ("here", "there")]
    here = run_study(tiny, requests[0], Lines())
    messages, context = [], prepare(tiny, requests[1])[0]
    for part in ("models", "measured"):
        (context.folder / part).mkdir(parents=True)
    for name in ("a", "b"):
        Worker().run(Task(**json.loads(json.dumps(Task.of(context, (name, 0)).table()))), messages.append)
    there = [row for message in messages if "done" in message for row in Outcome.from_table(message["done"]).rows]
    assert there == here.rows
    for name in ("a", "b"):
        sums = [
            (tmp_path / place / f"tiny/models/{name}/model.safetensors").read_bytes() for place in ("here", "there")
        ]
        assert sums[0] == sums[1]


def test_a_second_run_trains_and_measures_nothing_again(tiny, folder, tmp_path, capsys):
    request = Request(tmp_path, folder, threads=1, device="cpu")
    first = run_study(tiny, request, Lines())
    before = {file: file.read_bytes() for file in (tmp_path / "tiny").glob("measured/*.json")}
    assert len(before) == 2
    assert run_study(tiny, request, Lines()).rows == first.rows
    assert capsys.readouterr().err.count("finished before") == 2
    assert {file: file.read_bytes() for file in before} == before


def test_a_training_that_is_stopped_ends_as_one_that_was_not(tmp_path):
    images = photograph_set.load(str(write(tmp_path / "photos", 5)), None, 1024)
    settings = {"crop": 16, "crops_per_epoch": 32, "epochs": 4, "learning_rate": 0.01, "random_state": 0}
    x = with_fixed_noise(images.train, GaussianNoise((0.0, 0.2)))

    def trained(**keywords):
        model = Denoiser(Residual(8, 4), noise=GaussianNoise((0, 0.2)), target="noisy", **settings)
        return model, model.fit_epochs(x, validation=images.test, **keywords)

    whole, rows = trained()
    losses = [row.validation_loss for row in rows]
    with contextlib.closing(trained(checkpoint=Checkpoints(tmp_path / "c", every=0))[1]) as rows:
        assert next(rows).validation_loss == losses[0]
        next(rows)
    resumed, rows = trained(checkpoint=Checkpoints(tmp_path / "c", every=0))
    epochs = [row.epoch for row in rows]
    assert epochs[0] > 1
    assert resumed.history_.validation_losses.tolist() == losses
    for name, tensor in whole.network_.state_dict().items():
        assert (tensor == resumed.network_.state_dict()[name]).all(), name


def test_bits_do_not_depend_on_where_the_folder_lies(folder, tmp_path):
    """The facts of a model name its photographs, not their place."""
    shutil.copytree(folder, tmp_path / "elsewhere")
    sums = [photograph_set.load(str(place), None, 64).fingerprint for place in (folder, tmp_path / "elsewhere")]
    assert sums[0] == sums[1]
