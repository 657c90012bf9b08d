"""What the page shows stays as it is, and where it is, until a person changes it. In a browser."""

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow


def painted(page, selector):
    """What is painted on a canvas, as text."""
    return page.eval_on_selector(selector, "one => one.toDataURL()")


def wait_for_saying(page, view, text):
    """Wait until the sentence on top of a view holds the text."""
    page.wait_for_selector(f"#{view} .says:has-text('{text}')")


def test_upload_leaves_the_image_until_there_is_a_file(open_page, stroke, tmp_path):
    page = open_page("image=3")
    page.click("#tab-draw")
    wait_for_saying(page, "models", "Draw a digit on the pad")
    stroke(page)
    page.wait_for_selector("#models .says b:visible")
    page.wait_for_function("() => location.hash.includes('own=')")  # once the last of the stroke was answered
    drawing = painted(page, "#clean")
    page.click("#tab-upload")
    page.wait_for_timeout(200)
    assert page.text_content("#clean-says") == "your drawing"
    page.click("#tab-pick")
    page.wait_for_selector("text=test image no. 3,")
    picked = painted(page, "#clean")
    page.keyboard.press("u")
    page.wait_for_selector("#upload:visible")
    # not that of the drawing, which had this tab open too
    page.wait_for_function("() => location.hash.includes('tab=upload') && !location.hash.includes('source=draw')")
    assert painted(page, "#clean") == picked
    again = open_page(page.evaluate("location.hash.slice(1)"))
    assert again.locator("#upload").is_visible()
    assert painted(again, "#clean") == picked
    again.close()
    file = tmp_path / "mine.png"
    Image.fromarray(np.eye(40, dtype=np.uint8) * 255).save(file)
    page.set_input_files("#file", file)
    page.wait_for_selector("#clean-says:has-text('mine.png')")
    page.click("#tab-draw")  # the drawing that is on the pad, and no longer the file
    page.wait_for_selector("#clean-says:has-text('your drawing')")
    assert painted(page, "#clean") == drawing


def test_a_long_description_can_be_read_to_its_end(open_page):
    page = open_page("models=deep,wide")
    card = page.locator(".card >> nth=0")
    label = card.locator(".label span")
    label.evaluate("one => { one.textContent = 'many words '.repeat(20); }")
    heights = "one => [one.clientHeight, one.scrollHeight]"
    low, high = label.evaluate(heights)
    assert low < high
    at = page.locator(".card .pair >> nth=0").bounding_box()["y"]
    assert at == page.locator(".card .pair >> nth=1").bounding_box()["y"]
    card.locator("h3 button").focus()
    low, high = label.evaluate(heights)
    assert low == high
    assert page.locator(".card .pair >> nth=0").bounding_box()["y"] == at


@pytest.mark.parametrize("width", [390, 1280])
def test_no_sentence_moves_what_is_below_it(open_page, width):
    page = open_page("view=inside&model=deep&unit=1", width=width, height=800)
    wait_for_saying(page, "inside", "turns this image")
    tools = "#{} .tools"
    before = page.locator(tools.format("inside")).bounding_box()
    page.evaluate("location.hash = 'view=inside&model=deep&unit=1&code=1:0'")
    wait_for_saying(page, "inside", "1 set by hand")
    assert page.locator(tools.format("inside")).bounding_box() == before
    page.evaluate("location.hash = 'view=compare&level=0.7&models=deep,wide,nothing'")
    page.wait_for_function("() => document.querySelectorAll('#compare tbody tr').length === 3")
    page.evaluate("scrollTo(0, 0)")
    places = set()
    for level in ("0.7", "0.73", "0.1", "0"):
        page.evaluate(f"location.hash = 'view=compare&level={level}&models=deep,wide,nothing'")
        page.wait_for_timeout(300)
        places.add(page.locator(tools.format("compare")).bounding_box()["y"])
    assert len(places) == 1


@pytest.mark.parametrize("noise", ["kind=occlusion&level=8", "kind=masking&level=1", "kind=salt-and-pepper&level=1"])
def test_nothing_is_called_best_where_nothing_is_left(open_page, noise):
    page = open_page(noise)
    wait_for_saying(page, "models", "Nothing of the image is left")
    assert page.locator(".card.best").count() == 0
    assert not any(page.locator(".rank").all_text_contents())


def test_on_a_phone_the_table_shows_the_level_of_the_slider(open_page):
    page = open_page("view=compare&level=0.7&models=deep,wide,nothing", width=390, height=800)
    page.wait_for_function("() => document.querySelectorAll('#compare tbody tr').length === 3")
    in_sight = """() => {
      const [names, cell, box] = ["th", "th.here", ".scroll"].map((one) =>
        document.querySelector(`#compare ${one}`).getBoundingClientRect());
      return cell.left >= names.right - 1 && cell.right <= box.right + 1; }"""
    page.wait_for_function(in_sight)
    page.evaluate("location.hash = 'view=compare&level=0&models=deep,wide,nothing'")
    page.wait_for_function("() => document.querySelector('#compare th.here').textContent === '0'")
    page.wait_for_function(in_sight)
