"""What a notebook shows: what was learned and measured, escaped, and progress in place, by a real kernel."""

import base64
import io
import os
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import sklearn
from PIL import Image
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import isthmus
from isthmus import Autoencoder, Denoiser, Dense, GaussianNoise, Images, Residual
from isthmus.data.images import Dataset
from isthmus.notebook.live_html import in_notebook
from isthmus.notebook.markup import bar, curves, table
from isthmus.training.history import Epoch, History

X = np.random.default_rng(0).random((80, 1, 6, 9)).astype("float32")
VOID = {"img", "input", "br"}
NASTY = '<script>alert("x")</script>&'


class Balance(HTMLParser):
    """Raises AssertionError for tags that are not closed in their order."""

    def __init__(self, markup):
        super().__init__()
        self.open, self.tags, self.words = [], set(), ""
        self.feed(markup)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.fixture(scope="module")
def model():
    return Autoencoder(Dense(bottleneck=3), epochs=4, validation_fraction=0.2, standardize=True, random_state=0).fit(X)


def test_an_estimator_shows_what_was_fitted(model):
    for markup in (model._repr_html_(), model._repr_mimebundle_()["text/html"]):
        assert "code of 3 numbers" in markup
        assert f"{model.n_parameters_:,} weights" in markup
        assert f"4 epochs · {model.history_.seconds:.1f} s · loss {model.history_[-1].loss:.6f}" in markup
        assert markup.count("<polyline") == 2
    new = Autoencoder(Dense(bottleneck=3))
    assert "Fitted</b>" not in new._repr_html_()
    assert "weights" not in make_pipeline(StandardScaler(), new)._repr_html_()
    denoiser = Denoiser(Residual(width=4, depth=2), noise=GaussianNoise((0, 0.2)), crop=8, crops_per_epoch=8, epochs=1)
    shown = denoiser.set_params(random_state=0).fit(np.tile(X, (1, 1, 2, 2)))._repr_html_()
    assert "1 epoch" in shown
    assert "code of" not in shown
    with sklearn.config_context(display="text"):
        assert "text/html" not in model._repr_mimebundle_()


def test_a_history_is_numbers_and_curves(model):
    shown = Balance(model.history_._repr_html_())
    assert f"best validation {np.nanmin(model.history_.validation_losses):.6f}" in shown.words
    assert "validation" not in Balance(History([Epoch(1, 0.5, 0.1), Epoch(2, 0.2, 0.1)])._repr_html_()).words
    assert Balance(History()._repr_html_()).words == "no epochs"


@pytest.mark.parametrize("values", [[1.0, 0.1, 0.01], [-3.0, -5.0], [2.0, 2.0], [np.nan, 1.0, 2.0], [1.0, np.inf, 3.0]])
def test_curves_stay_in_their_frame(values):
    svg = ET.fromstring(curves([values], "<loss>"))
    points = [tuple(map(float, point.split(","))) for point in svg[1].attrib["points"].split()]
    assert len(points) == np.isfinite(values).sum()
    width, height = int(svg.attrib["width"]), int(svg.attrib["height"])
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)
    falling = values[0] > values[-1]
    assert not falling or points[0][1] < points[-1][1]  # downwards on the screen


def test_curves_are_logarithmic_where_they_can_be():
    svg = ET.fromstring(curves([[1.0, 0.1, 0.01]], "loss"))
    y = [float(point.split(",")[1]) for point in svg[1].attrib["points"].split()]
    assert y[1] - y[0] == pytest.approx(y[2] - y[1], abs=0.2)


def png_of(markup):
    return Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", markup)[1])))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_images_are_shown_as_they_are(channels):
    pixels = np.random.default_rng(0).integers(0, 256, (30, channels, 6, 9), dtype=np.uint8)
    markup = Images(pixels, source=NASTY)._repr_html_()
    assert "script" not in Balance(markup).tags
    assert NASTY in Balance(markup).words
    sheet = np.asarray(png_of(markup))
    assert sheet.shape == (2 * 6 + 2, 12 * 9 + 11 * 2, 4)
    expected = pixels[13].transpose(1, 2, 0) if channels == 3 else pixels[13, 0]
    actual = sheet[8:14, 11:20, :3] if channels == 3 else sheet[8:14, 11:20, 0]  # the second of the second row
    assert np.array_equal(actual, expected)


def test_large_images_are_small_there_and_a_data_set_says_how_many():
    images = Images(np.zeros((3, 3, 500, 250), np.uint8))
    assert png_of(images._repr_html_()).size == (3 * 48 + 4, 96)
    data = Dataset("a", NASTY, images, images)._repr_html_()
    assert "3 to train on, 3 to test" in Balance(data).words
    assert "script" not in Balance(data).tags


def test_tables_escape_and_say_what_is_not_measured():
    shown = Balance(table((NASTY, "b"), [("c", NASTY)]))
    assert "script" not in shown.tags
    assert shown.words.count(NASTY) == 2
    result = isthmus.representation(None, X.reshape(80, -1))
    words = Balance(result._repr_html_()).words
    assert f"{result['effective_rank'].value:.3f}" in words
    assert all(reason in words for reason in result.omitted.values())
    assert result.omitted
    assert 'value="0" max="1"' in bar(0, 0)


def test_without_a_notebook_there_are_lines(capsys):
    assert not in_notebook()
    Autoencoder(Dense(bottleneck=2), epochs=3, verbose=1, random_state=0).fit(X)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert "IPython" not in sys.modules or not in_notebook()


CELLS = (
    "import isthmus, numpy as np\nfrom isthmus import Autoencoder, Denoiser, Dense, Residual\n"
    "X = np.random.default_rng(0).random((80, 1, 6, 9)).astype('float32')",
    "model = Autoencoder(Dense(bottleneck=2), epochs=30, verbose=1, random_state=0)\n"
    "model = model.set_callbacks(lambda row, model: row.epoch == 20).fit(X)",
    "model",
    "quiet = Autoencoder(Dense(bottleneck=2), epochs=2, random_state=0).fit(X)",
    "big = np.tile(X, (1, 1, 2, 2))\n"
    "Denoiser(Residual(width=4, depth=2), crop=8, crops_per_epoch=8, epochs=2, verbose=1, random_state=0).fit(big);",
    "done = isthmus.run('digits', quick=True, only=['pca-8', 'dense-8'], threads=1, out='runs')",
    "done",
)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What each cell of a notebook shows, by a Jupyter kernel."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    folder = tmp_path_factory.mktemp("notebook")
    client = nbclient.NotebookClient(
        book, kernel_name="python3", timeout=120, resources={"metadata": {"path": str(folder)}}
    )
    here = str(Path(isthmus.__file__).parent.parent)
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    client.execute(env={**os.environ, "PYTHONPATH": path})
    return [cell.outputs for cell in book.cells]


def test_a_kernel_shows_one_bar_that_ends_where_the_fit_ended(outputs):
    (shown,) = [output for output in outputs[1] if output.output_type == "display_data"]
    assert shown.data["text/plain"].startswith("Autoencoder: epoch 20/30: loss ")
    assert 'value="20" max="30"' in shown.data["text/html"]
    assert not any("epoch 1/" in output.get("text", "") for output in outputs[1])
    (model,) = [output for output in outputs[2] if output.output_type == "execute_result"]
    assert "20 epochs" in model.data["text/html"]
    assert not [output for output in outputs[3] if output.output_type == "display_data"]
    (denoiser,) = [output for output in outputs[4] if output.output_type == "display_data"]
    assert 'Denoiser <progress value="2" max="2"' in denoiser.data["text/html"]


def test_a_kernel_shows_a_study_as_a_table(outputs):
    (shown,) = [output for output in outputs[5] if output.output_type == "display_data"]
    words = Balance(shown.data["text/html"]).words
    assert re.search(r"pca-8\s*fitted in .*test MSE 0\.02", words)
    assert re.search(r"dense-8\s*fitted in .*test MSE 0\.", words)
    (done,) = [output for output in outputs[6] if output.output_type == "execute_result"]
    words = Balance(done.data["text/html"]).words
    assert "95 % interval" in words
    assert "report.html" in words
    assert png_of(done.data["text/html"]).width > 200
