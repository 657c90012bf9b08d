"""The report: one file, without network, made from what lies on disk alone."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from isthmus.cli import run_command
from isthmus.errors import DataError
from isthmus.report import headline, html_page
from isthmus.report.figures import arrays_of, drawn, figure_png, svg_of
from isthmus.report.html_page import write_report
from isthmus.report.numbers import number
from isthmus.report.sentences import findings, section
from isthmus.studies.results.results_json import read_results

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
[[measure]]
metrics = ["linear_probe", "knn", "silhouette", "trustworthiness", "effective_rank"]
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
id = "small.seeds"
model = "pca-4"
metric = "code_size"
value = 4.5
atol = 0
over_seeds = [4, 5, 4, 5, 4, 5, 4, 5, 4, 5]
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


def test_the_page_answers_before_anything_else(finished, html):
    results, page = read_results(finished), Page(html)
    answers = re.search(r'<ol class="answers">(.*?)</ol>', html, re.DOTALL)
    sentences = [" ".join(unescape(item).split()) for item in re.findall(r"<li>(.*?)</li>", answers[1], re.DOTALL)]
    assert sentences == headline.sentences(results)
    assert 1 <= len(sentences) <= 3
    places = [page.text.index(words) for words in ("original", sentences[0], "Error of every model", results.question)]
    assert places == sorted(places)
    assert html.index('aria-label="Error of every model"') < html.index("<nav>")


def test_the_first_picture_is_of_test_images_and_what_was_made_of_them(finished, html):
    clean, noisy = (np.load(finished / "examples" / f"{name}.npz") for name in ("clean", "noisy"))
    shown = dict(re.findall(r'alt="([^"]+)" src="data:image/png;base64,([^"]+)"', html))
    assert {"original", "noisy"} < shown.keys()
    for name, images in (("original", clean["original"]), ("noisy", noisy["gaussian(0.3,clip=false)"])):
        with Image.open(io.BytesIO(base64.b64decode(shown[name]))) as picture:
            pixels = np.asarray(picture).astype(float) / 255
        assert pixels.shape == (3 * 8 + 2, 8, 2), "three images, and between them a line through which the page is seen"
        np.testing.assert_allclose(pixels[9:17, :, 0], np.clip(images[1, 0], 0, 1), atol=1 / 255)
        assert pixels[:, 0, 1].tolist() == [1.0] * 8 + [0.0] + [1.0] * 8 + [0.0] + [1.0] * 8


def test_a_run_of_before_has_no_first_picture(copied):
    shutil.rmtree(copied / "examples")
    html = write_report(copied).read_text("utf-8")
    assert 'class="pictures"' not in html
    assert 'class="answers"' in html


def test_numbers_have_three_digits(html, sectioned):
    """A PSNR has hundredths of a dB, which are as much. The page holds all digits for sorting."""
    for page in (html, (sectioned / "report.html").read_text("utf-8")):
        cells = re.findall(r'<td class="number[^>]*data-value="([^"]*)">([^<]*)', page)
        texts = [number for _, text in cells for number in re.findall(r"[\d,]+\.\d+(?:e-\d+)?", text)]
        assert len(texts) > 20
        for text in texts:
            digits = re.sub(r"e.*|\D", "", text).lstrip("0")
            assert len(digits) <= 3 or re.fullmatch(r"\d\d\.\d\d", text), text


def test_the_line_that_opens_the_models_is_there(finished, html):
    assert f"isthmus explore {finished}" in Page(html).text


def grown(folder):
    """The results of a run, as if its models of two epochs were no worse than the mean image."""
    results = read_results(folder)
    for facts in results.models:
        facts["collapsed"] = None
    return results


def test_doing_nothing_is_called_so_whatever_its_name(finished):
    results = grown(finished)
    for row in results.rows:
        if (row.model, row.metric) == ("nothing", "mse"):
            object.__setattr__(row, "value", 1e-4)
    assert "Doing nothing leaves 0.000100, less than any of them." in " ".join(findings(results))


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


def test_every_figure_is_there_and_is_its_arrays(finished, html):
    """As SVG in the page, with the same letters in both, and as PNG beside it."""
    results, shown = read_results(finished), []
    for facts in results.figures:
        arrays = arrays_of(finished / "figures" / f"{facts['name']}.npz", facts["rows"])
        assert (finished / "figures" / f"{facts['name']}.png").read_bytes() == figure_png(facts, arrays)
        shown.append(svg_of(drawn(facts, arrays), facts))
    assert [facts["name"] for facts in results.figures] == FIGURES
    assert len(set(shown)) == len(FIGURES)
    places = [html.index(svg) for svg in shown]
    assert places == sorted(places)
    pictures = [attributes for tag, attributes in Page(html).tags if tag in ("img", "svg") and "x" not in attributes]
    assert len(pictures) > len(FIGURES)
    assert all(picture.get("alt") or picture.get("aria-label") for picture in pictures)
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
    assert "1 of 2 within their tolerance, and 1 of 1 within the 95 % interval of one more seed" in text
    results = read_results(finished)
    assert number(results.value("dense-4", "mse", "test")) in text
    assert results.data["sha256"] in text
    assert results.environment["command"] in text
    assert "gaussian(0.3,clip=false)" in text


def test_the_spread_over_seeds_is_printed_beside_the_verdict(html):
    line = Page(re.search(r"<tr><td><code>small\.seeds.*?</tr>", html, re.DOTALL).group()).text
    # t of 9 degrees of freedom times the standard deviation of 5 fours and 5 fives times √1.1
    margin = 2.2621572 * (2.5 / 9) ** 0.5 * 1.1**0.5
    assert "4.54seed 0; 10 seeds: 4.00 to 5.00the 2 seeds of this run: 4.00 to 4.00" in line
    assert f"{4.5 - margin:.2f} to {4.5 + margin:.2f}one more seed, 95 %: ± {margin / 4.5:.0%} of the mean" in line
    assert line.endswith("✓ agrees")


def test_what_a_study_says_is_text_and_never_markup(html):
    page = Page(html)
    assert 'A <b>bold</b> & "quoted" title' in page.text
    assert "Is <script>alert(1)</script> text?" in page.text
    assert "<i>nothing</i>" in page.text
    assert "64 <- 4" in page.text
    assert not [tag for tag, _ in page.tags if tag == "i"]
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "alert(1)</script>" not in html
    assert ("svg", "Rows <of> images") in [(tag, attributes.get("aria-label")) for tag, attributes in page.tags]


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


def test_what_codes_are_worth_stands_beside_the_pixels(finished, html):
    results = grown(finished)
    rows = {name: results.row(name, "linear_probe", "test") for name in ("nothing", "pca-4", "dense-4")}
    table = html[html.index('<h2 id="worth">') :].split("</table>")[0]
    assert [table.index(f"<td>{name}") for name in ("pca-4", "dense-4", "nothing")] == sorted(
        table.index(f"<td>{name}") for name in rows
    )
    assert all(number(row.value, "linear_probe") in table for row in rows.values())
    assert "linear_probe, knn: by classifiers of 200 images to train on" in table
    assert "trustworthiness of nothing not measured: the codes are the samples themselves" in table
    assert "Measured on test images, of 360 for" not in table
    assert "Measured on test images, of 360; in" in table
    pixels, told = number(rows["nothing"].value, "linear_probe"), " ".join(findings(results))
    assert (
        f"told by a linear probe of the pixels themselves with an accuracy of {pixels}; codes of 0 of 2 models" in told
    )
    object.__setattr__(rows["pca-4"], "value", 0.999)
    object.__setattr__(rows["pca-4"], "ci95", (0.99, 1.0))
    assert f"{pixels}; codes of 1 of 2 models do better; best of pca-4: 0.999." in " ".join(findings(results))


def test_the_sentences_are_made_from_the_numbers(finished):
    results = grown(finished)
    said = " ".join(findings(results))
    errors = {name: results.value(name, "mse", "test") for name in ("pca-4", "dense-4")}
    best, worst = sorted(errors, key=errors.get)
    assert f"With 4 numbers for 64 pixels, {best} is the better of two on unseen test images" in said
    assert f"{worst} has {number(errors[worst])}, {errors[worst] / errors[best]:.1f} times as much." in said
    for row in results.rows:  # the other way round, and the sentence turns round
        if row.metric == "mse" and row.model == best:
            object.__setattr__(row, "value", 1.0)
    assert f"{worst} is the better of two on unseen test images" in " ".join(findings(results))


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
    assert "dead has collapsed" in " ".join(findings(results))
    for facts in results.models:
        facts["collapsed"] = None
    assert "collapsed" not in " ".join(findings(results) + section(results, ["pca-4", "dense-4", "dead"]))


def test_a_denoiser_and_the_search_of_its_decoder_are_told_at_the_noise_of_its_training(sectioned):
    results = read_results(sectioned)
    errors = {r.model: number(r.value) for r in results.rows if (r.metric, r.corruption) == ("mse", "gaussian(0.3)")}
    told = (
        f"Under gaussian(0.3), which they were trained for, the MSE to the clean image is {errors['dense-4']} of "
        f"dense-4 (4 numbers) and {errors['searched']} of searched (4 numbers)."
    )
    assert told in findings(results)
    assert told in Page((sectioned / "report.html").read_text("utf-8")).text
    assert not any("gaussian(0.5)" in one for one in findings(results)), "nobody was trained for it"


def test_a_column_without_a_number_is_left_out(sectioned, html):
    assert "it was fitted" not in (sectioned / "report.html").read_text(), "nothing was measured on training images"
    assert "it was fitted" in html


def test_the_code_alone_is_told_beside_the_switches(sectioned):
    results = read_results(sectioned)
    with_switches, alone = (results.value("unpool", metric, "test") for metric in ("mse", "mse_code_only"))
    said = " ".join(section(results, ["unpool"]))
    assert f"with these switches its MSE is {number(with_switches)}, from the code alone {number(alone)}" in said
    assert alone > with_switches


# --- as it is shown ---

LETTERS = """() => Math.min(...[...document.querySelectorAll("body *")].flatMap((element) => {
  const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!text || ["STYLE", "SCRIPT"].includes(element.tagName) || !element.getClientRects().length) return [];
  const svg = element.closest("svg[role]");
  const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
  return [parseFloat(getComputedStyle(element).fontSize) * scale];
}))"""


@pytest.fixture
def opened(browser):
    """`opened(folder, width)`: the report of a run in a browser, with all that is folded open."""
    pages = []

    def open_report(folder, width, **options):
        page = browser.new_page(viewport={"width": width, "height": 800}, **options)
        pages.append(page)
        page.goto((folder / "report.html").as_uri())
        page.evaluate("() => document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        return page

    yield open_report
    for page in pages:
        page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_cut_and_letters_can_be_read(finished, sectioned, opened, width):
    for folder in (finished, sectioned):
        page = opened(folder, width)
        page.evaluate("""() => {  // as of a study of noise alone, whose four columns are in one group
          const column = document.querySelector(".column");
          column.after(column.cloneNode(true));
        }""")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(LETTERS) >= 9.9
        cut = page.evaluate("""() => [...document.querySelectorAll("main *")].filter((element) => {
          const box = element.getBoundingClientRect();
          return box.right > innerWidth + 1 && !element.closest(".scroll, .wide, pre");
        }).map((element) => element.outerHTML.slice(0, 80))""")
        assert cut == []


def test_in_the_dark_nothing_is_a_white_slab(sectioned, opened):
    """White is what letters, lines and pixels of images are; a figure on white would be most of the page."""
    shares = {}
    for scheme in ("dark", "light"):
        picture = opened(sectioned, 1280, color_scheme=scheme).screenshot(full_page=True)
        with Image.open(io.BytesIO(picture)) as image:
            shares[scheme] = float((np.asarray(image.convert("L")) > 235).mean())
    assert shares["dark"] < 0.05
    assert shares["light"] > 0.8


def test_a_printed_report_is_short(pages_in_print, finished, sectioned):
    assert 1 <= pages_in_print(finished) <= 3
    assert 1 <= pages_in_print(sectioned) <= 3


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("isthmus run t", "runs/t"),
        ("isthmus run t --out elsewhere", "elsewhere/t"),
        ("isthmus run t '--out=my runs'", "'my runs/t'"),
        ("isthmus.run('t')", "runs/t"),
        ("isthmus.run('t', out='elsewhere')", "elsewhere/t"),
        ('isthmus.run("mine\'s", out="a\'b")', "'a'\"'\"'b/t'"),
        ("isthmus run it's", "runs/t"),
        (None, "runs/t"),
    ],
)
def test_the_line_that_looks_inside_names_the_folder_of_the_run(command, folder):
    results = SimpleNamespace(study="t", environment={"command": command})
    assert html_page._explore_command(results) == f"isthmus explore {folder}"
