"""A run of every kind of model on the built-in digits, made once, and its page on a real port."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
import uvicorn
from PIL import Image
from sklearn.datasets import load_sample_images

from isthmus.cli import run_command
from isthmus.explore.serving.application import application
from isthmus.explore.serving.server import _listen, config_of
from isthmus.explore.shelf_loader import open_shelf

STUDY = """
title = "small"
question = "What does each make of it?"
[data]
name = "digits"
[[model]]
name = "nothing"
estimator = "identity"
[[model]]
name = "pca-4"
estimator = "pca"
n_components = 4
[[model]]
name = "pca-4-2"
estimator = "pca"
n_components = 2
of = "pca-4"
[[model]]
name = "deep"
estimator = "autoencoder"
network = {kind = "dense", hidden = [32], bottleneck = 5, code_activation = "linear", output = "sigmoid"}
[[model]]
name = "wide"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 128, output = "sigmoid"}
penalty = {kind = "l1", weight = 1e-3}
corruption = {kind = "gaussian", sigma = 0.3, clip = true}
[[model]]
name = "conv"
estimator = "autoencoder"
network = {kind = "conv", channels = [3, 4], output = "sigmoid"}
[[model]]
name = "unpool"
estimator = "autoencoder"
network = {kind = "conv", channels = [3, 4], decoder = "unpool", output = "sigmoid"}
[[model]]
name = "prior"
estimator = "decoder-prior"
of = "deep"
"""


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A run's folder. Tests that change it copy it first."""
    folder = tmp_path_factory.mktemp("explore")
    (folder / "small.toml").write_text(STUDY, "utf-8")
    assert run_command(["run", str(folder / "small.toml"), "--quick", "--threads", "1", "--out", str(folder)]) == 0
    return folder / "small"


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of two photographs of different sizes."""
    folder = tmp_path_factory.mktemp("own") / "photographs"
    folder.mkdir()
    china, flower = load_sample_images().images
    Image.fromarray(china[100:160, 200:290]).save(folder / "china.png")
    Image.fromarray(flower[100:180, 250:310]).save(folder / "flower.png")
    return folder


@pytest.fixture(scope="session")
def photograph_model(photographs):
    """A denoiser of their patches, as `isthmus fit` makes it."""
    folder = photographs.with_name("photos")
    words = ["--patches", "8", "--corruption", "gaussian:0.1", "--bottleneck", "48", "--epochs", "2", "--threads", "1"]
    assert run_command(["fit", str(photographs), "-o", str(folder), *words]) == 0
    return folder


@pytest.fixture
def own_run(run, tmp_path):
    """A copy of the run, to be changed."""
    return shutil.copytree(run, tmp_path / "small")


@pytest.fixture(scope="session")
def shelf(run):
    return open_shelf(run)


@pytest.fixture(scope="session")
def image(shelf):
    """One test image, (1, 64) float32."""
    return shelf.images.floats(slice(7, 8))


@pytest.fixture(scope="session")
def serve():
    """`with serve(shelf) as address`."""
    return serving


@contextmanager
def serving(shelf, token=None, origins=()):
    """The page of a shelf, or of one that is still to come, at the address that is yielded."""
    listening, _ = _listen("127.0.0.1", 0)
    server = uvicorn.Server(config_of(application(shelf, token=token, origins=origins)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < until
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()


# --- the page in a browser ---


@pytest.fixture(scope="module")
def address(shelf, serve):
    with serve(shelf) as here:
        yield here
    shelf.closing.clear()


@pytest.fixture
def faults():
    """What went wrong on the pages of a test; a test that expects something takes it out."""
    return []


@pytest.fixture
def open_page(browser, address, faults):
    """`open_page(hash)`: a page whose first pictures are there."""
    contexts = []

    def opened(view="", *, at=address, width=1280, height=900, ready=True, **options):
        context = browser.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: _is_local(request.url) or faults.append(request.url))
        page.goto(f"{at}/{view and '#'}{view}")
        if ready:
            page.wait_for_selector("html[data-ready]")
            page.wait_for_function("() => document.querySelector('#noisy-says').textContent.trim()")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def stroke():
    """`stroke(page)`: a line across the pad, drawn with the mouse."""

    def draw(page):
        box = page.locator("#pad").bounding_box()
        page.mouse.move(box["x"] + 60, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 150, box["y"] + 200, steps=5)
        page.mouse.up()

    return draw


def _is_local(url):
    return url.startswith(("data:", "blob:")) or urlsplit(url).hostname == "127.0.0.1"
