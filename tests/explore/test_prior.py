"""Codes with a prior on the page: what each unit tells, what moving it draws, and samples of the prior."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from starlette.testclient import TestClient

from isthmus import Autoencoder, Dense, Gaussian, save
from isthmus.analysis import probe
from isthmus.data.sources import registry
from isthmus.explore.folder import Gallery
from isthmus.explore.serving.application import application
from isthmus.explore.shelf_loader import open_shelf, shelve

AUDIT = (Path(__file__).parent / "audit.js").read_text("utf-8")
HERE = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def variational(tmp_path_factory):
    """The page of a variational model of ten units, of which some are told nothing."""
    folder, data = tmp_path_factory.mktemp("explore") / "variational", registry.load("digits")
    model = Autoencoder(Dense((32,), 10, output="sigmoid"), code=Gaussian(), loss="bce", epochs=20, random_state=0)
    save(model.fit(data.train), folder)
    return shelve(folder, Gallery(data.test, "digits"))


@pytest.fixture(scope="module")
def client(variational):
    with TestClient(application(variational), base_url=HERE) as one:
        yield one
    variational.closing.clear()


def arrays(response):
    assert response.status_code == 200, response.text
    return safetensors.numpy.load(response.content)


def test_units_have_their_nats_where_the_code_has_a_prior(client, variational, shelf):
    (facts,) = client.get("/api/about").json()["models"]
    assert facts["prior"] is True
    model = variational.model("variational")
    found = arrays(client.get("/api/units?model=variational"))
    np.testing.assert_allclose(found["nats"], probe.unit_nats(model, variational.images), rtol=1e-6)
    with TestClient(application(shelf), base_url=HERE) as other:
        assert {one.get("prior", False) for one in other.get("/api/about").json()["models"]} == {False}
        assert "nats" not in arrays(other.get("/api/units?model=deep"))
        assert "no prior to sample from" in other.get("/api/sample?model=deep").json()["error"]
    shelf.closing.clear()


def test_samples_are_the_models_own_and_a_draw_names_them(client, variational):
    found = arrays(client.get("/api/sample?model=variational&n=5&draw=3"))["x_hat"]
    expected = variational.model("variational").sample(5, random_state=3)
    np.testing.assert_array_equal(found, expected)
    again = arrays(client.get("/api/sample?model=variational&n=5&draw=4"))["x_hat"]
    assert np.abs(again - found).max() > 0.1
    for wrong in ("n=65", "n=0", "draw=-1", "draw=1.5"):
        assert client.get(f"/api/sample?model=variational&{wrong}").status_code == 400


# --- in a browser ---


@pytest.fixture(scope="module")
def here(variational, serve):
    with serve(variational) as address:
        yield address
    variational.closing.clear()


PIXELS = """(one) => {
  const copy = new OffscreenCanvas(one.width, one.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(one, 0, 0);
  return [...copy.getImageData(0, 0, one.width, one.height).data];
}"""


def pictures(page, selector):
    return np.array(page.eval_on_selector_all(selector, f"all => all.map({PIXELS})"))


def test_the_units_that_tell_most_come_first_and_are_moved_along_the_prior(open_page, here, variational):
    page = open_page("view=inside&image=7", at=here)
    page.wait_for_selector(".traversals .row button:has-text('nats')")
    model = variational.model("variational")
    image = variational.images.take(slice(7, 8))
    rows = probe.traversals(model, image, variational.images, steps=7)
    texts = [text.split() for text in page.locator(".traversals .row button").all_text_contents()]
    expected = [name.replace(",", "").split() for name in rows]
    assert [(text[1], float(text[2])) for text in texts] == [(name[1], float(name[2])) for name in expected]
    page.wait_for_function("() => document.querySelector('.traversals canvas').width === 8")
    found = pictures(page, ".traversals canvas").reshape(8, 7, 8, 8, 4)[..., 0]
    np.testing.assert_allclose(found / 255, np.stack([row[:, 0] for row in rows.values()]), atol=0.51 / 255)
    page.click(".traversals .row >> nth=2 >> button")
    unit = page.locator(".traversals .row button").nth(2).get_attribute("data-unit")
    page.wait_for_function("unit => location.hash.includes(`unit=${unit}`)", arg=unit)


def test_a_button_samples_new_images_and_the_address_has_them(open_page, here, variational):
    page = open_page("view=inside", at=here)
    page.wait_for_function("() => document.querySelector('.samples canvas').width === 8")
    before = pictures(page, ".samples canvas")
    page.click("button:text-is('New samples')")
    page.wait_for_function("() => location.hash.includes('sample=1')")
    page.wait_for_function(
        f"before => JSON.stringify([...document.querySelectorAll('.samples canvas')].map({PIXELS})) !== before",
        arg=json.dumps(before.tolist(), separators=(",", ":")),
    )
    found = pictures(page, ".samples canvas").reshape(-1, 8, 8, 4)[..., 0]
    expected = variational.model("variational").sample(len(found), random_state=1)[:, 0]
    np.testing.assert_allclose(found / 255, expected, atol=0.51 / 255)
    assert len(found) == len(before)
    assert np.abs(found.ravel() - before.reshape(-1, 8, 8, 4)[..., 0].ravel()).max() > 20


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (768, "dark"), (1280, "light")])
def test_it_fits_and_can_be_read(open_page, here, width, scheme):
    page = open_page("view=inside&level=0.2", at=here, width=width, color_scheme=scheme)
    page.wait_for_selector(".traversals .row button:has-text('nats')")
    assert page.evaluate(f"(() => {{ {AUDIT}; return [...nameless(), ...faint()]; }})()") == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".traversals canvas").first.bounding_box()["width"] >= 20


def test_what_is_not_painted_yet_has_no_nameless_buttons(open_page, here):
    """The hardest images are asked for last."""
    page = open_page("view=inside&level=0.2", at=here)
    page.route("**/api/hardest**", lambda route: None)  # never answered
    page.evaluate("location.hash = 'view=inside&level=0.25'")
    page.wait_for_selector(".traversals .row button:has-text('nats')")
    page.reload()
    page.wait_for_selector(".traversals .row button:has-text('nats')")
    assert page.locator(".hardest:visible").count() == 1
    assert page.evaluate(f"(() => {{ {AUDIT}; return nameless(); }})()") == []


def test_other_models_have_neither(open_page):
    page = open_page("view=inside&model=deep")
    page.wait_for_selector("#inside .panel.unit:visible")
    assert page.locator(".traversals:visible, .samples:visible").count() == 0


def test_without_test_images_the_units_stand_in_their_order(open_page, serve, tmp_path, variational):
    save(variational.model("variational"), tmp_path / "alone")
    with serve(open_shelf(tmp_path / "alone")) as address:
        page = open_page("view=inside&source=draw", at=address)
        page.wait_for_timeout(300)
        pad = page.locator("#pad").bounding_box()
        page.mouse.move(pad["x"] + 60, pad["y"] + 50)
        page.mouse.down()
        page.mouse.move(pad["x"] + 150, pad["y"] + 200, steps=5)
        page.mouse.up()
        page.wait_for_selector(".traversals .row button:has-text('unit')")
        texts = page.locator(".traversals .row button").all_text_contents()
        assert [text.strip() for text in texts] == [f"unit {i}" for i in range(8)]
        page.close()
