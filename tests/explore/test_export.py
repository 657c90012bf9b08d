"""`isthmus explore RUN --export FILE`: what goes into the file, what is left out and why, and what is refused."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from importlib import resources
from pathlib import PurePosixPath

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, Dense, Gaussian, save
from isthmus.cli import run_command
from isthmus.data.images import Images
from isthmus.errors import RequestError
from isthmus.explore.answers import codes, routes
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf import Entry, PhotographShelf, Shelf
from isthmus.explore.standalone import file_contents
from isthmus.explore.standalone.array_table import as_json, kind_of
from isthmus.explore.standalone.page_file import exported, modules
from isthmus.interchange import onnx_operations
from isthmus.interchange.operations import Operation, Pursue

PAGE = resources.files("isthmus.explore") / "page"
SCRIPT = re.compile(r'<script type="application/json" id="([\w-]+)">\n(.*?)\n</script>', re.DOTALL)


def contents(page):
    """The JSON in a file, by its id."""
    return {name: json.loads(text) for name, text in SCRIPT.findall(page)}


def file_of(shelf):
    page, left_out = exported(shelf, lambda done, total, words: None)
    return page, left_out, contents(page)


@pytest.fixture(scope="module")
def images():
    return Images(np.random.default_rng(0).random((50, 1, 6, 6), np.float32))


@pytest.fixture(scope="module")
def small(images):
    """Three models of different sizes, without t-SNE, which takes seconds."""
    x = images.floats()
    models = {
        "wide": Autoencoder(Dense((40,), 9), epochs=1, random_state=0).fit(x),
        "nothing": FunctionTransformer(check_inverse=False),
        "</script>": PCA(2).fit(x),
    }
    entries = [Entry(name, model) for name, model in models.items()]
    return Shelf("three", entries, images.shape, images=images)


@pytest.fixture(autouse=True)
def no_tsne(monkeypatch):
    monkeypatch.setattr(codes, "N_MAP", {"pca": 3000})


def test_the_file_holds_all_models_in_order_and_loads_nothing(small):
    page, left_out, held = file_of(small)
    assert left_out == ()
    assert [facts["name"] for facts in held["about"]["models"]] == ["wide", "nothing", "</script>"]
    assert held["about"]["uploads"] is False
    assert len(held["model-0"]["reconstruct"]) > len(held["model-1"]["reconstruct"]) == 0
    assert held["model-2"]["encode"][0]["kind"] == "linear"
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "default-src 'none'" in page
    assert page.count("</script>") == page.count("<script")


def test_the_largest_model_is_left_out_where_there_is_no_room(small, monkeypatch):
    n = len(exported(small, lambda *_: None)[0])
    monkeypatch.setattr(file_contents, "MOST_BYTES", n - 5000 + file_contents._FOR_NOTES)
    page, left_out, held = file_of(small)
    assert [facts["name"] for facts in held["about"]["models"]] == ["nothing", "</script>"]
    assert re.fullmatch(
        r"wide is left out of this file: it takes 0\.\d MB, and the file has at most .* MB for all\.", *left_out
    )
    assert left_out[0] in held["about"]["notes"]
    assert held["about"]["opening"] == ["nothing", "</script>"], "the page does not open with what is not there"
    assert len(page) < n


def test_what_is_too_slow_or_not_described_is_left_out_and_said(small, images, monkeypatch):
    monkeypatch.setattr(file_contents, "MOST_MULTIPLICATIONS", 100)
    _, left_out, held = file_of(small)
    assert "multiplications for an image are too many for a browser" in left_out[0]
    assert len(held["about"]["models"]) == 2

    damaged = [*small.models[1:], Entry("broken", fault="its folder holds no whole model")]
    _, left_out, _ = file_of(replace(small, models=damaged))
    assert left_out == ("broken is left out of this file: it cannot be shown, its folder holds no whole model.",)


def test_the_first_images_are_taken_where_there_are_many(small, monkeypatch):
    monkeypatch.setattr(file_contents, "MOST_IMAGES", 30)
    _, _, held = file_of(small)
    assert held["about"]["data"]["n"] == 30
    assert "This file has the first 30 of 50 test images." in held["about"]["notes"]
    pixels = held["pictures"]["arrays"][held["pictures"]["pixels"]["array"]]
    assert pixels["shape"] == [30, 1, 6, 6]
    monkeypatch.setattr(file_contents, "MOST_PICTURES", 10 * 36 * 4)
    with pytest.raises(RequestError, match="images of 1×6×6 are too large for a page in a file"):
        exported(small, lambda *_: None)


def test_without_images_or_models_nothing_is_written(small):
    with pytest.raises(RequestError, match="needs images; give them: isthmus explore MODEL DATA --export FILE"):
        exported(replace(small, images=None), lambda *_: None)
    with pytest.raises(RequestError, match="no model can be in a file"):
        exported(replace(small, models=small.models[1:2]), lambda *_: None)
    with pytest.raises(RequestError, match="denoisers of whole photographs are not exported"):
        exported(PhotographShelf("photographs", []), lambda *_: None)


def test_an_array_is_in_the_file_once():
    x = np.arange(6, dtype=np.float32)
    table = json.loads(as_json({"a": x, "b": {"c": [x, 3]}}))
    assert len(table["arrays"]) == 1
    assert table["a"] == table["b"]["c"][0]
    with pytest.raises(TypeError, match="an array of int64 has no type in the page"):
        as_json({"a": np.arange(3)})


def test_a_walk_between_long_codes_with_a_prior_is_answered(images):
    """Their row has another name than that of short codes."""
    model = Autoencoder(Dense(bottleneck=12), code=Gaussian(), epochs=1, random_state=0).fit(images.floats())
    shelf = Shelf("long", [Entry("long", model)], images.shape, images=images)
    body = images.floats(slice(0, 2)).tobytes()
    found = codes.between(shelf, Query({"model": "long", "steps": "3"}), body)[0]
    np.testing.assert_allclose(
        found["x_hat"][0].ravel(), model.inverse_transform(model.transform(images.floats()[:1]))[0], atol=1e-5
    )
    assert found["pixels"].shape == found["x_hat"].shape == (3, 1, 6, 6)


# --- the page's two ways to ask ---


def test_every_operation_has_a_function_in_the_page_and_an_onnx_node():
    code = (PAGE / "offline" / "operations.js").read_text("utf-8")
    functions = re.search(r"const OPERATIONS = \{ (.*?) \};", code)[1].split(", ")
    kinds = Operation.__subclasses__()
    assert sorted(functions) == sorted(kind_of(kind) for kind in kinds)
    assert set(kinds) - set(onnx_operations.WRITERS) == {Pursue}  # no network has it


def test_every_question_of_the_page_is_answered_in_the_file():
    asked = {path for code in modules().values() for path in re.findall(r"""\b(?:ask|follow)\("([\w-]+)\"""", code)}
    answers = re.search(r"export const ANSWERS = \{ (.*?) \};", (PAGE / "offline" / "answers.js").read_text("utf-8"))[1]
    computed = {word.partition(":")[0].strip('"') for word in answers.split(", ")}
    hidden = {"picture", "search", "stops"}  # uploads, models that search, and what is asked ahead of a slider
    assert {"hardest", "decode", "errors"} <= asked
    assert asked == computed | set(file_contents.STORED) | hidden
    assert not computed & set(file_contents.STORED)
    routed = routes.QUICK | routes.SLOW | routes.UPLOADS
    assert set(routed) == asked - {"search"}


def test_whoever_answers_gives_the_page_what_it_imports():
    named = {
        name.strip()
        for path in PAGE.iterdir()
        if path.name.endswith(".js")
        for words in re.findall(r'import \{ ([^}]+) \} from "./server.js"', path.read_text("utf-8"))
        for name in words.split(",")
    } | {"onReach", "about"}  # of those that import it as a whole
    for path in ("server.js", "offline/server.js"):
        code = (PAGE / path).read_text("utf-8")
        exports = set(re.findall(r"export (?:async )?(?:function|const) (\w+)", code))
        exports |= {name.strip() for words in re.findall(r"export \{ ([^}]+) \}", code) for name in words.split(",")}
        assert named <= exports, path


def test_every_module_of_the_page_is_in_the_file_under_its_name():
    codes_by_name = modules()
    assert {"main.js", "server.js", "operations.js"} <= set(codes_by_name)
    assert "photographs.js" not in codes_by_name
    assert "fetch(" not in "".join(codes_by_name.values())
    for code in codes_by_name.values():
        for name in re.findall(r'from "([^"]+)"', code):
            assert name.removeprefix("isthmus/") in codes_by_name
    paths = [path for folder in (PAGE, PAGE / "offline") for path in folder.iterdir() if path.name.endswith(".js")]
    names = [PurePosixPath(path.name).name for path in paths]
    assert sorted(name for name in names if names.count(name) > 1) == ["server.js", "server.js"]


# --- the command ---


@pytest.fixture(scope="module")
def model(run):
    return run / "models" / "deep"


def test_the_command_writes_one_file_without_a_server(model, tmp_path, capsys, monkeypatch):
    for package in ("starlette", "uvicorn"):
        monkeypatch.setitem(sys.modules, package, None)
    file = tmp_path / "für Ж" / "page «1».html"
    assert run_command(["explore", str(model), "--export", str(file)]) == 0
    said = capsys.readouterr()
    assert said.out == f"{file}\n"
    assert re.search(r"\d\.\d MB; it opens anywhere in a browser, without isthmus and without a network", said.err)
    held = contents(file.read_text("utf-8"))
    assert held["about"]["data"]["n"] == 360
    assert [path.name for path in file.parent.iterdir()] == [file.name]
    before = file.read_bytes()
    assert run_command(["explore", str(model), "--export", str(file)]) == 2
    assert "already exists; choose another name, or add --force to replace a file" in capsys.readouterr().err
    assert run_command(["explore", str(model), "--export", str(file), "--force"]) == 0
    assert file.read_bytes() == before, "the same models give the same bytes"


def test_what_cannot_be_exported_is_refused_in_a_line(run, tmp_path, capsys):
    def refused(*words):
        assert run_command(["explore", *map(str, words)]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        (line,) = said.err.splitlines()
        return line

    target = tmp_path / "page.html"
    assert "--export must be a file that ends in .html" in refused(run, "--export", tmp_path / "page.txt")
    (tmp_path / "folder.html").mkdir()
    assert "already exists" in refused(run, "--export", tmp_path / "folder.html", "--force")
    assert "holds neither results.json nor config.json" in refused(run / "models", "--export", target)
    (tmp_path / "in the way").write_text("a file")
    assert "cannot write to" in refused(run, "--export", tmp_path / "in the way" / "page.html")
    assert "--force must be given with --export" in refused(run, "--force")
    assert not target.exists()


def test_a_model_without_its_images_asks_for_them(tmp_path, capsys):
    x = np.random.default_rng(0).random((40, 36), np.float32)
    save(PCA(2).fit(x), tmp_path / "pca")
    assert run_command(["explore", str(tmp_path / "pca"), "--export", str(tmp_path / "page.html")]) == 2
    assert "needs images; give them: isthmus explore MODEL DATA --export FILE" in capsys.readouterr().err
    np.save(tmp_path / "images.npy", x.reshape(40, 1, 6, 6))
    words = [str(tmp_path / "pca"), str(tmp_path / "images.npy"), "--export", str(tmp_path / "page.html")]
    assert run_command(["explore", *words]) == 0
    assert contents((tmp_path / "page.html").read_text("utf-8"))["about"]["shape"] == [1, 6, 6]
