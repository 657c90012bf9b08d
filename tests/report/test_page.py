"""The report: one file, without network, made from what lies on disk alone."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from isthmus.cli import run_command
from isthmus.errors import DataError
from isthmus.report.numbers import number
from isthmus.report.page import write_report
from isthmus.report.sentences import found, section
from isthmus.studies.results import read_results

STUDY = """
title = "A <b>bold</b> & \\"quoted\\" title"
question = "Is <script>alert(1)</script> text?"
[data]
name = "digits"
train = 200
validation = 50
[[model]]
name = "nothing"
estimator = "identity"
note = "<i>nothing</i>"
[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4
label = "64 <- 4"
[[model]]
name = "dense-4"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 2
[[measure]]
metrics = ["mse"]
corruption = {kind = "gaussian"}
levels = [0.3]
[[measure]]
metrics = ["mse"]
split = "train"
[[figure]]
name = "rows"
kind = "reconstructions"
models = ["pca-4", "dense-4"]
title = "Rows <of> images"
[[figure]]
name = "noisy"
kind = "denoising"
models = ["*"]
corruption = {kind = "gaussian"}
levels = [0.3]
[[figure]]
name = "curves"
kind = "curves"
models = ["dense-4"]
[[figure]]
name = "scatter"
kind = "scatter"
models = ["pca-4"]
[[figure]]
name = "filters"
kind = "filters"
models = ["dense-4", "pca-4"]
[[figure]]
name = "first"
kind = "images"
images = [0]
[[trap]]
what = "The trap of <one>."
instead = "What is done & why."
[[trap]]
what = "The second trap."
instead = "Something else."
[[reference]]
id = "small.agrees"
model = "pca-4"
metric = "code_size"
value = 4
atol = 0
[[reference]]
id = "small.differs"
model = "dense-4"
metric = "loss"
split = "train"
value = [9.0, 8.0]
rtol = 0.01
"""
FIGURES = ["rows", "noisy", "curves", "scatter", "filters", "first"]


class Page(HTMLParser):
    """The tags, the attributes and the text of a page."""

    def __init__(self, html: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.texts = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a finished run; tests that change it copy it."""
    where = tmp_path_factory.mktemp("report")
    (where / "small.toml").write_text(STUDY)
    assert run_command(["run", str(where / "small.toml"), "--out", str(where), "--threads", "1", "--seeds", "2"]) == 0
    return where / "small"


@pytest.fixture(scope="module")
def html(finished) -> str:
    return (finished / "report.html").read_text("utf-8")


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "moved"))


def test_the_page_is_whole_and_small(html):
    page = Page(html)
    assert page.open == []
    assert page.tags[0] == ("html", {"lang": "en"})
    assert len(html.encode()) < 10e6


def test_doing_nothing_is_called_so_whatever_its_name(finished):
    results = read_results(finished)
    for row in results.rows:
        if (row.model, row.metric) == ("nothing", "mse"):
            object.__setattr__(row, "value", 1e-4)
    assert "nothing, which does nothing, comes closest" in " ".join(found(results))


def test_the_page_needs_no_network(html):
    for tag, attributes in Page(html).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/png;base64,", "#")), (tag, name, value[:80])
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest", html)


def test_the_links_within_the_page_lead_somewhere(html):
    tags = Page(html).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    links = {attributes["href"][1:] for tag, attributes in tags if tag == "a"}
    assert len(ids) == len(set(ids))
    assert links
    assert links <= set(ids)


def test_every_figure_is_there_and_is_its_file(finished, html):
    images = [attributes for tag, attributes in Page(html).tags if tag == "img"]
    shown = [base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) for image in images]
    files = [(finished / "figures" / f"{name}.png").read_bytes() for name in FIGURES]
    assert shown == files
    assert len(set(files)) == len(FIGURES)
    assert all(image["alt"] for image in images)
    assert {file.stem for file in (finished / "figures").glob("*.npz")} == set(FIGURES)


def test_every_trap_model_and_reference_is_there(finished, html):
    text = Page(html).text
    for words in ("The trap of <one>.", "What is done & why.", "The second trap.", "Something else."):
        assert words in text
    for model in ("nothing", "pca-4", "dense-4"):
        assert model in text
    agrees = text.index("small.agrees")
    differs = text.index("small.differs")
    assert "✓ agrees" in text[agrees:differs]
    assert "✗ differs" in text[differs:]
    assert "1 of 2 published results" in text
    results = read_results(finished)
    assert number(results.value("dense-4", "mse", "test")) in text
    assert results.data["sha256"] in text
    assert results.environment["command"] in text
    assert "gaussian(0.3,clip=false)" in text


def test_what_a_study_says_is_text_and_never_markup(html):
    page = Page(html)
    assert 'A <b>bold</b> & "quoted" title' in page.text
    assert "Is <script>alert(1)</script> text?" in page.text
    assert "<i>nothing</i>" in page.text
    assert "64 <- 4" in page.text
    assert not [tag for tag, _ in page.tags if tag == "i"]
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "alert(1)</script>" not in html
    assert ("img", "Rows <of> images") in [(tag, attributes.get("alt")) for tag, attributes in page.tags]


def test_the_report_is_written_again_from_disk_alone(copied, capsys):
    before = {file.name: file.read_bytes() for file in (copied / "figures").glob("*.png")}
    html = (copied / "report.html").read_bytes()
    for file in (*(copied / "figures").glob("*.png"), copied / "report.html"):
        file.unlink()
    shutil.rmtree(copied / "models")  # the pictures need no model
    assert run_command(["report", str(copied)]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == (f"{copied / 'report.html'}\n", "")
    assert {file.name: file.read_bytes() for file in (copied / "figures").glob("*.png")} == before
    assert (copied / "report.html").read_bytes() == html
    assert len(before) == len(FIGURES)


def test_a_number_that_changes_on_disk_changes_on_the_page(copied):
    table = json.loads((copied / "results.json").read_text())
    for row in table["rows"]:
        if (row["model"], row["metric"], row["split"], row["corruption"]) == ("pca-4", "psnr", "test", None):
            row.update(value=77.77, ci95=None)
    (copied / "results.json").write_text(json.dumps(table))
    assert "77.77" in write_report(copied).read_text()


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "text", "another"])
def test_arrays_that_cannot_be_read(copied, damage, capsys):
    path = copied / "figures" / "rows.npz"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "another":
        shutil.copy(copied / "figures" / "curves.npz", path)
    else:
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"not arrays"}[damage])
    with pytest.raises(DataError, match=r"rows\.npz.*run the study again"):
        write_report(copied)
    assert run_command(["report", str(copied)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_a_folder_without_results(tmp_path, copied):
    with pytest.raises(DataError, match="holds no results"):
        write_report(tmp_path)
    (copied / "results.json").write_text("{")
    with pytest.raises(DataError, match="does not hold a study's results"):
        write_report(copied)


def test_an_incomplete_run_says_so(finished, copied):
    assert "Not every model" not in (finished / "report.html").read_text()
    study = copied.parent / "moved.toml"
    study.write_text(STUDY)
    assert (
        run_command(["run", str(study), "--out", str(copied.parent / "other"), "--only", "pca-4", "--threads", "1"])
        == 0
    )
    html = (copied.parent / "other" / "moved" / "report.html").read_text()
    assert "Not every model" in html
    assert "not judged" in html


def test_the_sentences_are_made_from_the_numbers(finished):
    results = read_results(finished)
    said = " ".join(found(results))
    errors = {name: results.value(name, "mse", "test") for name in ("pca-4", "dense-4")}
    best, worst = sorted(errors, key=errors.get)
    assert f"With 4 numbers for 64 pixels, {best} reconstructs unseen test images best" in said
    assert f"{errors[worst] / errors[best]:.1f} times less than {worst}" in said
    for row in results.rows:  # the other way round, and the sentence turns round
        if row.metric == "mse" and row.model == best:
            object.__setattr__(row, "value", 1.0)
    assert f"{worst} reconstructs unseen test images best" in " ".join(found(results))


SECTIONS = """
title = "In sections"
[data]
name = "digits"
train = 300
validation = 50
[[section]]
name = "first"
title = "The first part"
text = "What is compared."
models = ["pca-4", "dense-4", "dead"]
[[section]]
name = "second"
title = "The second part"
models = ["unpool", "searched"]
[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4
[[model]]
name = "dense-4"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, code_activation = "linear", output = "sigmoid"}
epochs = 60
learning_rate = 0.01
corruption = {kind = "gaussian", sigma = 0.3, clip = true}
[[model]]
name = "dead"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
penalty = {kind = "l1", weight = 10, per = "batch"}
learning_rate = 0.01
epochs = 8
[[model]]
name = "unpool"
estimator = "autoencoder"
network = {kind = "conv", channels = [4, 4], decoder = "unpool", output = "sigmoid"}
epochs = 30
learning_rate = 0.01
[[model]]
name = "searched"
estimator = "decoder-prior"
of = "dense-4"
[[measure]]
metrics = ["mse"]
corruption = {kind = "gaussian", clip = true}
levels = [0.3, 0.5]
[[measure]]
models = ["pca-4"]
metrics = ["published_sse"]
images = [0, 1]
[[compare]]
models = ["searched", "dense-4"]
section = "second"
corruption = {kind = "gaussian", clip = true}
levels = [0.3]
[[figure]]
name = "rows"
section = "first"
kind = "reconstructions"
models = ["dense-4"]
[[figure]]
name = "loose"
kind = "images"
[[trap]]
what = "A trap of the first part."
instead = "What is done there."
section = "first"
[[trap]]
what = "A trap of all."
instead = "What is done."
[[reference]]
id = "size"
model = "unpool"
metric = "code_size"
value = 16
atol = 0
"""


@pytest.fixture(scope="module")
def sectioned(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("sections")
    (where / "parts.toml").write_text(SECTIONS)
    assert run_command(["run", str(where / "parts.toml"), "--out", str(where), "--threads", "1"]) == 0
    return where / "parts"


def test_sections_hold_what_belongs_to_them(sectioned):
    html = (sectioned / "report.html").read_text("utf-8")
    page = Page(html)
    assert page.open == []
    _, first, second = re.split(r"<section>", html)
    second, rest = second.split("</section>")
    first, second, rest = (unescape(re.sub(r"<[^>]+>", "", part)) for part in (first, second, rest))
    assert "What is compared." in first
    assert "A trap of the first part." in first
    assert "A trap of the first part." not in second + rest
    assert "A trap of all." in rest
    assert "size" in second
    assert "✗ differs" in second, "16 numbers and 80 switches are a code of 96"
    assert "published_sse" in first
    assert "searched − dense-4" in second
    assert "How the searches ended" in second
    assert "rows" in {attributes.get("id") for _, attributes in page.tags}
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links.index("#first") < links.index("#second") < links.index("#models")


def test_collapse_is_named_with_its_cause_wherever_the_model_stands(sectioned):
    text = Page((sectioned / "report.html").read_text("utf-8")).text
    assert "dead has collapsed: all 4 units of its code are zero for every image" in text
    assert "a weight of 10 at a batch size of 128 is 1280 for each sample" in text
    assert text.count("dead collapsed") >= 2, "the tag stands in every table of models"
    results = read_results(sectioned)
    assert "dead has collapsed" in " ".join(found(results))
    for facts in results.models:
        facts["collapsed"] = None
    assert "collapsed" not in " ".join(found(results) + section(results, ["pca-4", "dense-4", "dead"]))


def test_a_sections_sentences_turn_with_its_numbers(sectioned):
    results = read_results(sectioned)
    names = ["pca-4", "dense-4"]
    errors = {name: results.value(name, "mse", "test") for name in names}
    best, worst = sorted(errors, key=errors.get)
    assert f"Of these, {best} reconstructs clean unseen test images best" in section(results, names)[0]
    for row in results.rows:
        if row.metric == "mse" and row.model == best:
            object.__setattr__(row, "value", 1.0)
    said = section(results, names)
    assert f"Of these, {worst} reconstructs clean unseen test images best" in said[0]
    assert f"Under gaussian(0.5), {worst}" in " ".join(said)


def test_what_was_trained_on_noise_is_judged_under_noise(sectioned):
    results = read_results(sectioned)
    first, second = (" ".join(one for one in found(results) if one.startswith(f"The {part} part")) for part in
                     ("first", "second"))  # fmt: skip
    assert "The first part: under gaussian(0.5), " in first
    assert "draws" not in first
    assert "reconstructs unseen test images best" in second, "neither was trained on noise"


def test_each_kind_of_noise_has_its_sentences(sectioned):
    results = read_results(sectioned)
    names, kinds = ["pca-4", "dense-4"], ("masking({})", "gaussian({})+masking(0.2)", "poisson({})")
    for row in [row for row in results.rows if row.corruption == "gaussian(0.3)" and row.metric == "mse"]:
        results.rows += [dataclasses.replace(row, corruption=kind.format(n)) for kind in kinds for n in (1, 2, 3)]
    said = [one.split(", ")[0] for one in section(results, names) if one.startswith("Under ")]
    more = [f"Under {kind.format(n)}" for kind in kinds for n in (1, 3)]
    assert said == ["Under gaussian(0.3)", "Under gaussian(0.5)", *more]
    short = [one.split(", ")[0] for one in found(results) if one.startswith("The first part")]
    assert short == [f"The first part: under {one}" for one in ("gaussian(0.5)", *(k.format(3) for k in kinds))]


def test_a_column_without_a_number_is_left_out(sectioned, html):
    assert "it was fitted" not in (sectioned / "report.html").read_text(), "nothing was measured on training images"
    assert "it was fitted" in html


def test_no_sentence_contradicts_the_table_of_models_that_have_collapsed(sectioned):
    results = read_results(sectioned)
    names = ["pca-4", "dense-4", "dead"]
    said = section(results, names)
    assert said[0].startswith("Of those that have not collapsed, "), "the table has one that is worse"
    for row in results.rows:
        if (row.model, row.metric, row.corruption) == ("dead", "mse", "gaussian(0.5)"):
            object.__setattr__(row, "value", 1e-3)
    under = " ".join(section(results, names))
    assert "Under gaussian(0.5), dead, which has collapsed, comes closest to the clean image: MSE 0.001000." in under


def test_intervals_that_overlap_are_told(sectioned):
    results = read_results(sectioned)
    names, said = ["pca-4", "dense-4"], {}
    for width in (1e-6, 1.0):
        for row in results.rows:
            if row.metric == "mse" and row.model in names:
                object.__setattr__(row, "ci95", (row.value - width, row.value + width))
        said[width] = [one for one in section(results, names) if "best" in one or "closest" in one]
        assert len(said[width]) == 3, "clean, and under the least and the greatest noise"
    assert not any("overlap" in one for one in said[1e-6])
    assert all("overlap: they alone do not tell which is better." in one for one in said[1.0])


def test_the_code_alone_is_told_beside_the_switches(sectioned):
    results = read_results(sectioned)
    with_switches, alone = (results.value("unpool", metric, "test") for metric in ("mse", "mse_code_only"))
    said = " ".join(section(results, ["unpool"]))
    assert f"with these switches its MSE is {number(with_switches)}, from the code alone {number(alone)}" in said
    assert alone > with_switches
