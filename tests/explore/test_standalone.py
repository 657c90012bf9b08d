"""The page in one file: opened from the disk without a network, its answers are the server's."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, Conv, Dense, Dictionary, Gaussian, Quantized
from isthmus.data.images import Images
from isthmus.data.sources import registry
from isthmus.explore.answers import noise, routes
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf import Entry, Shelf
from isthmus.explore.standalone import file_contents
from isthmus.explore.standalone.array_table import kind_of
from isthmus.explore.standalone.page_file import exported, modules
from isthmus.interchange.operations import Operation

TOLERANCE = 1e-4
NO_ACTIVATION = {"code_activation": "linear"}


def networks(x):
    """Fitted models of every kind that a file holds, by name."""

    def fitted(network, **parameters):
        return Autoencoder(network, **{"epochs": 3, "learning_rate": 1e-2, "random_state": 0, **parameters}).fit(x)

    rows = x.reshape(len(x), -1)
    deep = fitted(Dense((24, 12), 6, activation="gelu", **NO_ACTIVATION, output="sigmoid"))
    dictionary = MiniBatchDictionaryLearning(
        20, max_iter=2, random_state=0, transform_algorithm="omp", transform_n_nonzero_coefs=3
    )
    return {
        "nothing": FunctionTransformer(check_inverse=False),
        "pca": PCA(5, random_state=0).fit(rows),
        "white": PCA(5, whiten=True, random_state=0).fit(rows),
        "deep": deep,
        "one-layer": fitted(Dense(bottleneck=12, output="sigmoid"), standardize=True),
        "silu": fitted(Dense((9,), 4, activation="silu", code_activation="tanh", output="leakyrelu"), standardize=True),
        "conv": fitted(Conv((3, 4), output="sigmoid")),
        "unpool": fitted(Conv((4, 4), decoder="unpool", activation="tanh")),
        "deconv-unpool": fitted(Conv((3, 5), decoder="deconv-unpool"), standardize=True),
        "atoms": fitted(Dictionary((16,), 30)),
        "gaussian": fitted(Dense((16,), 11, **NO_ACTIVATION), code=Gaussian()),
        "gaussian-conv": fitted(Conv((3, 4), **NO_ACTIVATION), code=Gaussian()),
        "quantized": fitted(Dense((16,), 6, **NO_ACTIVATION), code=Quantized(8, 2), epochs=6),
        "quantized-conv": fitted(Conv((3, 4), **NO_ACTIVATION), code=Quantized(8, 2), epochs=6),
        "pursuit": dictionary.fit(rows),
        "pca-of-deep": make_pipeline(deep, PCA(3, random_state=0).fit(deep.transform(x))),
    }


def shelf_of(images, **options):
    x = images.floats().reshape(len(images), *images.shape)
    entries = [Entry(name, model) for name, model in networks(x).items()]
    return Shelf("of every kind", entries, images.shape, images=images, data_title="some images", **options)


def blobs(shape, n=40):
    """Colour images of 12 bits with a ground that is the same everywhere, where all maxima of a window are equal."""
    rng = np.random.default_rng(0)
    x = np.zeros((n, *shape), np.float32)
    for image in x:
        top, left = rng.integers(0, shape[1] - 5), rng.integers(0, shape[2] - 5)
        image[:, top : top + 5, left : left + 5] = rng.random((shape[0], 5, 5))
    return Images(np.rint(4095 * x).astype(np.float32) / 4095)


@pytest.fixture(scope="module")
def shelves():
    digits = registry.load_unseen("digits").images.take(slice(0, 60))
    return {"digits": shelf_of(digits), "colour": shelf_of(blobs((3, 13, 11)))}


@pytest.fixture(scope="module")
def files(shelves, tmp_path_factory):
    """The file of each shelf."""
    folder = tmp_path_factory.mktemp("Bilder für «ü»")
    for name, shelf in shelves.items():
        page, left_out = exported(shelf, lambda done, total, words: None)
        assert left_out == ()
        (folder / f"{name} ж.html").write_text(page, "utf-8")
    return {name: folder / f"{name} ж.html" for name in shelves}


@pytest.fixture
def open_file(browser, faults):
    """`open_file(path, hash)`: the file in a browser that has no network; any request but that for the file fails."""
    contexts = []

    def opened(path, view="", **options):
        context = browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        address = path.as_uri()

        def route(handler):
            if handler.request.url.partition("#")[0] == address:
                return handler.continue_()
            faults.append(handler.request.url)
            return handler.abort()

        context.route("**/*", route)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith((address, "data:", "blob:")) or faults.append(request.url),
        )
        page.goto(f"{address}#{view}")
        page.wait_for_selector("html[data-ready]")
        page.wait_for_function("() => document.querySelector('#noisy-says').textContent.trim()")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


ASK = """async ([path, words, body]) => {
  const { ask } = await import("isthmus/server.js");
  const { words: beside, ...arrays } = await ask(path, words, body && Float32Array.from(body).buffer);
  return Object.entries(arrays).map(([name, { data, shape }]) => [name, Array.from(data, String), shape]);
}"""


def asked_of_page(page, path, words, body=None):
    body = None if body is None else np.asarray(body, np.float64).ravel().tolist()
    rows = page.evaluate(ASK, [path, words, body])
    return {name: np.array([float(each) for each in data]).reshape(shape) for name, data, shape in rows}


def asked_of_server(shelf, path, words, body=None):
    body = b"" if body is None else np.asarray(body, np.float32).tobytes()
    words = {key: str(value) for key, value in words.items()}
    return (routes.QUICK | routes.SLOW)[path](shelf, Query(words), body)[0]


def check(page, shelf, path, words, body=None, most=TOLERANCE):
    """The page's answer is the server's, array by array; returns the latter."""
    expected, actual = asked_of_server(shelf, path, words, body), asked_of_page(page, path, words, body)
    assert set(actual) == set(expected)
    for name, array in expected.items():
        assert actual[name].shape == array.shape
        # an error in dB has another scale
        tolerance = 0.01 if name == "psnr" else most
        np.testing.assert_allclose(actual[name], array, rtol=0, atol=tolerance, err_msg=f"{path} {words} {name}")
    return expected


@pytest.mark.filterwarnings("ignore:Orthogonal matching pursuit ended")
@pytest.mark.parametrize("which", ["digits", "colour"])
def test_answers_are_the_servers(open_file, files, shelves, which):
    """Each model, image, noise and draw: what is reconstructed, its code, its maps, and what lies inside."""
    page, shelf = open_file(files[which]), shelves[which]
    x = shelf.images.floats()
    names = {"models": ",".join(shelf.entries)}
    for i, (kind, slider) in enumerate(noise.kinds(shelf.shape, shelf).items()):
        for level in (slider["stops"][1], slider["stops"][len(slider["stops"]) // 2], slider["stops"][-1]):
            answer = check(page, shelf, "reconstruct", {**names, "kind": kind, "level": level, "draw": i}, x[i])
        assert np.abs(answer["noisy"].ravel() - x[i]).max() > 0.1, "there is noise at the last level"
    clean = check(page, shelf, "reconstruct", {**names, "kind": "gaussian", "level": 0, "draw": 0}, x[7])
    assert (clean["x_hat"].reshape(len(shelf.entries), -1).std(axis=1) > 1e-3).all(), "no model draws one colour"
    noisy = {"kind": "gaussian", "level": 0.2, "draw": 3}
    for name in shelf.entries:
        if name == "nothing":
            continue
        code = check(page, shelf, "code", {"model": name, **noisy}, x[3])["code"]
        assert code.std() > 0
        codes = np.stack([code, 0.5 * code])
        check(page, shelf, "decode", {"model": name, "n": 2}, codes)
        check(page, shelf, "unit", {"model": name, "unit": 1})
        check(page, shelf, "interpolate", {"model": name, "steps": 5}, x[3:5])
        check(page, shelf, "code-noise", {"model": name, "level": 0.4, "draw": 2}, x[3])
        check(page, shelf, "units", {"model": name}, most=0)
        check(page, shelf, "map", {"model": name, "method": "pca"}, most=0)
        check(page, shelf, "errors", {"model": name, "kind": "masking"}, most=0)
    for name in ("gaussian", "gaussian-conv"):
        check(page, shelf, "sample", {"model": name, "n": 3, "draw": 5})
    check(page, shelf, "images", {"positions": "0,5,11"}, most=0)


def test_a_drawing_is_placed_as_the_server_places_it(open_file, files, shelves):
    page, rng = open_file(files["digits"]), np.random.default_rng(0)
    for height, width in ((180, 60), (30, 200), (4, 4), (250, 250)):
        ink = np.zeros((256, 256), np.uint8)
        ink[3 : 3 + height, 2 : 2 + width] = rng.integers(0, 256, (height, width))
        expected = routes.drawing(shelves["digits"], Query({}), ink.tobytes())[0]["x"]
        script = """async (ink) => {
          const { ask } = await import("isthmus/server.js");
          return Array.from((await ask("drawing", {}, Uint8Array.from(ink))).x.data);
        }"""
        actual = np.reshape(page.evaluate(script, ink.ravel().tolist()), expected.shape)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1 / 255)
        assert expected.max() > 0.5
