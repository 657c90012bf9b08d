"""What is said of a picture follows where it came from, whatever tab is open; of one model nothing is called best."""

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from isthmus.explore.shelf_loader import open_shelf

pytestmark = pytest.mark.slow


def caption(page, text):
    """Wait until the picture is called so."""
    page.wait_for_function("text => document.getElementById('clean-says').textContent === text", arg=text)


def verdict(page, text):
    page.wait_for_function("text => document.querySelector('#models .says').textContent.includes(text)", arg=text)


def settled(page, *parts):
    """The address, once it has these."""
    page.wait_for_function("parts => parts.every(one => location.hash.includes(one))", arg=parts)
    return page.evaluate("location.hash.slice(1)")


@pytest.fixture
def ink(tmp_path):
    """A photograph of a bar on paper."""
    paper = np.full((120, 120), 240, np.uint8)
    paper[30:90, 50:64] = 20
    Image.fromarray(paper).save(tmp_path / "bar.png")
    return tmp_path / "bar.png"


def test_a_caption_follows_the_pictures_source(open_page, stroke, ink):
    page = open_page()
    caption(page, "test image no. 0, a 2")
    page.click("#tab-draw")
    caption(page, "no image yet")
    verdict(page, "Draw a digit on the pad.")
    page.click("#tab-upload")
    caption(page, "no image yet")
    verdict(page, "Choose a picture.")
    page.click("#tab-draw")
    verdict(page, "Draw a digit on the pad.")
    stroke(page)
    caption(page, "your drawing")
    drawn = settled(page, "own=", "source=draw")
    page.click("#tab-upload")  # there is no file yet: the drawing stays, and is called one
    caption(page, "your drawing")
    assert page.text_content("#upload-says").startswith("PNG, JPEG")
    page.set_input_files("#file", ink)
    caption(page, "bar.png")
    assert page.text_content("#upload-says").startswith("bar.png: 120×120, dark on light")
    uploaded = settled(page, "own=", "source=upload")
    page.keyboard.press("p")
    caption(page, "test image no. 0, a 2")
    assert page.text_content("#upload-says").startswith("PNG, JPEG"), "no word of a picture that is not shown"
    page.evaluate("hash => { location.hash = hash; }", drawn)
    caption(page, "your drawing")
    page.click("#clear")
    caption(page, "no image yet")
    for view, text in ((drawn, "a drawing, from the link"), (uploaded, "a picture, from the link")):
        caption(open_page(view), text)


def test_what_is_refused_is_named_and_the_picture_before_it_stays(open_page, ink, tmp_path, faults):
    page = open_page("source=upload")
    page.set_input_files("#file", ink)
    caption(page, "bar.png")
    heic = tmp_path / "IMG 0001.HEIC"
    heic.write_bytes(b"\0\0\0\x18ftypheic" + bytes(40))
    page.set_input_files("#file", heic)
    page.wait_for_selector(
        "#upload-says:has-text('IMG 0001.HEIC is a HEIC image, which is not read; convert it to PNG')"
    )
    caption(page, "bar.png")
    faults[:] = [one for one in faults if "400" not in one]  # the browser's own line


def test_more_than_eight_bits_are_not_rounded_for_the_address(open_page, tmp_path):
    ramp = np.linspace(20_000, 21_000, 64).astype(np.uint16).reshape(8, 8)
    ramp[[0, -1]] = ramp[:, [0, -1]] = 0
    (tmp_path / "deep.png").write_bytes(imagecodecs.png_encode(ramp))
    page = open_page("models=nothing,pca-4")
    with page.expect_request(lambda request: "/api/reconstruct" in request.url) as asked:
        page.set_input_files("#file", tmp_path / "deep.png")
    sent = np.frombuffer(asked.value.post_data_buffer, "<f4")
    np.testing.assert_array_equal(sent, ramp.ravel() / np.float32(65535))
    caption(page, "deep.png")
    page.wait_for_function("() => location.hash.includes('source=upload')")
    assert "own=" not in page.evaluate("location.hash")
    page.click("#copy-link")
    page.wait_for_selector("#toast:has-text('Your picture itself is not in it')")


@pytest.mark.parametrize("models", ["", "models=wide&", "models=wide,nothing&"])
def test_of_one_model_nothing_is_best_and_nothing_bold(open_page, serve, run, models):
    path = run if models else run / "models" / "wide"
    with serve(open_shelf(path)) as address:
        page = open_page(f"{models}level=0.7", at=address)
        verdict(page, "wide denoises this image: MSE")
        page.wait_for_timeout(400)
        assert page.locator(".card.best").count() == 0
        assert set(page.locator(".rank").all_text_contents()) == {""}
        page.keyboard.press("4")
        starts = "() => document.querySelector('#compare .says').textContent.startsWith('wide at σ 0.7: MSE 0.')"
        page.wait_for_function(starts)
        said = page.text_content("#compare .says")
        assert "95 % interval" in said
        assert ("The noisy images themselves have" in said) == bool(models)
        assert page.locator("#compare td.least, #compare .says b").count() == 0
        assert "best" not in page.text_content("#compare").lower()
        page.close()
