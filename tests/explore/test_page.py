"""The page in a real browser: what a person does, by mouse and by keyboard; no error, no request off the machine."""

import base64
import csv
import io
import re
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import isthmus
from isthmus.errors import DataError
from isthmus.explore.shelf_loader import open_shelf

pytestmark = pytest.mark.slow


def pixels(page, selector):
    """What is painted on a canvas, (height, width, 4)."""
    url = page.eval_on_selector(selector, "canvas => canvas.toDataURL()")
    return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGBA"))


def errors(page):
    """The MSE on each card, by model."""
    read = "all => all.map(one => [one.querySelector('h3 .name').textContent, one.querySelector('.mse').textContent])"
    cards = page.eval_on_selector_all(".card:not(.fault)", read)
    return {name: float(value) for name, value in cards if value != "–"}


@contextmanager
def repainting(page, selector):
    """What is done inside changes a canvas; it ends when the canvas has changed."""
    before = page.eval_on_selector(selector, "canvas => canvas.toDataURL()")
    yield
    changed = "([selector, before]) => document.querySelector(selector).toDataURL() !== before"
    page.wait_for_function(changed, arg=[selector, before])


def slide(page, selector, value):
    """Move a slider, as a hand does."""
    page.eval_on_selector(selector, f"one => {{ one.value = {value}; one.dispatchEvent(new Event('input')); }}")


def level(page, value):
    """Set the level of the noise, and wait for the pictures."""
    with repainting(page, "#noisy"):
        slide(page, "#level", value)


def test_models_stand_side_by_side_and_the_best_is_named(open_page, shelf):
    page = open_page("level=0.7&models=*")
    page.wait_for_selector("text=/\\d+ steps/")  # the search has ended
    found = errors(page)
    assert list(found) == list(shelf.entries)
    best = min((value, name) for name, value in found.items() if name != "nothing")[1]
    assert page.text_content("#models .says b") == best
    np.testing.assert_array_equal(pixels(page, "#clean")[..., 0], np.rint(255 * shelf.images.pixels[0, 0]))
    page.select_option("#models select >> nth=0", "error")
    ordered = list(errors(page).values())
    assert ordered == sorted(ordered)


def test_noise_changes_with_the_slider_and_with_each_draw(open_page):
    page = open_page("models=*")
    assert (pixels(page, "#clean") == pixels(page, "#noisy")).all()
    quiet = errors(page)
    level(page, 40)
    loud = errors(page)
    assert loud["nothing"] > quiet["nothing"]
    first = pixels(page, "#noisy")
    with repainting(page, "#noisy"):
        page.click("#new-draw")
    assert (pixels(page, "#clean") != pixels(page, "#noisy")).any()
    assert (pixels(page, "#noisy") != first).any()
    with repainting(page, "#noisy"):
        page.select_option("#kind", "masking")
    assert "Masking" in page.text_content("#models .says")
    assert page.text_content("#level-says") == "0.4"


def test_the_slider_asks_for_all_its_stops_and_then_for_nothing(open_page, faults):
    page = open_page("level=0.3&models=*")
    asked = []
    page.on("request", lambda request: asked.append(re.search(r"/api/(\w+)", request.url)[1]))
    with page.expect_response("**/api/stops**"):  # the slider rests, and the page asks
        page.click("#new-draw")  # whose stops are not known: those of the first may have come by now
        level(page, 40)
    one_by_one, until = errors(page), time.monotonic() + 10
    while time.monotonic() < until:  # until the page has read the answer, which may be that to what it asked before
        page.wait_for_timeout(300)  # it asks again only while the slider rests
        asked.clear()
        for value in (60, 20, 40):
            level(page, value)
            found = errors(page)
        if "reconstruct" not in asked:
            break
    assert "reconstruct" not in asked
    assert {name: found[name] for name in found if name != "prior"} == pytest.approx(
        {name: one_by_one[name] for name in one_by_one if name != "prior"}, rel=0.02
    )
    with page.expect_response("**/api/reconstruct**"):  # other noise, which is not known yet
        page.click("#new-draw")
    with page.expect_response("**/api/stops**"):
        pass
    page.route("**/api/stops**", lambda route: route.abort())
    with page.expect_response("**/api/reconstruct**"), repainting(page, "#clean"):
        page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    with page.expect_response("**/api/reconstruct**"):  # without it, each level is asked for
        level(page, 80)
    page.wait_for_timeout(300)
    assert faults
    assert set(faults) == {"Failed to load resource: net::ERR_FAILED"}
    faults.clear()


def test_a_person_draws(open_page):
    page = open_page()
    page.click("#tab-draw")
    page.wait_for_selector("text=Draw a digit on the pad")
    box = page.locator("#pad").bounding_box()
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in ((0.3, 0.2), (0.7, 0.2), (0.4, 0.8))]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()
    page.wait_for_selector("#models .says b")
    assert pixels(page, "#clean")[..., 0].max() == 255
    assert "own=" in page.evaluate("location.hash") or page.wait_for_function("() => location.hash.includes('own=')")
    page.keyboard.press("Control+z")
    page.wait_for_selector("text=Draw a digit on the pad")
    assert pixels(page, "#clean")[..., 0].max() == 0


def test_drawing_by_keyboard(open_page):
    page = open_page("source=draw")
    page.focus("#pad")
    for key in ["Shift+ArrowDown"] * 6:
        page.keyboard.press(key)
    page.wait_for_selector("#models .says b")
    assert pixels(page, "#clean")[..., 0].max() > 100
    page.click("#clear")
    page.wait_for_selector("text=Draw a digit on the pad")


def test_the_strip_is_filtered_by_label(open_page, shelf):
    page = open_page()
    page.click('#labels button[data-label="4"]')
    fours = np.flatnonzero(shelf.images.labels == 4)
    page.wait_for_selector(f'#strip button[aria-label="Image no. {fours[0]}, a 4"]')
    page.click("#strip button >> nth=1")
    page.wait_for_selector(f"text=test image no. {fours[1]}, a 4")


def test_a_unit_is_looked_into_and_moved(open_page):
    page = open_page("view=inside&model=wide&level=0.2")
    page.wait_for_selector("#inside .thumbs button")
    box = page.locator("#inside canvas.plot").bounding_box()
    side = min(box["width"], box["height"] * 12 / 11)  # 128 units are 12 columns, 11 rows
    left = box["x"] + (box["width"] - side) / 2
    page.mouse.click(left + side * 4.5 / 12, box["y"] + side * 2.5 / 12)
    number = page.locator('#inside input[type="number"]')
    page.wait_for_function("() => document.querySelector('#inside input[type=number]').value === '28'")
    assert "test images" in page.text_content("#inside .stack > .soft")
    out = '[aria-label="The code, decoded"]'
    with repainting(page, out):
        slide(page, '#inside input[type="range"]', 100)
    page.wait_for_function("() => location.hash.includes('code=28')")
    page.locator("#inside h2").first.click()
    with repainting(page, out):
        page.keyboard.press("Control+z")
    page.wait_for_function("() => !location.hash.includes('code=')")
    number.fill("3")
    number.press("Enter")
    page.wait_for_function("() => location.hash.includes('unit=3')")


def test_codes_are_bars_or_planes_too(open_page):
    for name, layers in (("deep", 0), ("conv", 2), ("pca-4-2", 0)):
        page = open_page(f"view=inside&model={name}")
        page.wait_for_selector("#inside .thumbs button")
        assert pixels(page, "#inside canvas.plot")[..., 3].any()
        assert page.locator("#inside h2:has-text('Layer')").count() == layers


def test_the_map_is_pointed_at_clicked_and_dragged_over(open_page):
    page = open_page("view=space&model=deep")
    page.wait_for_selector("text=/360 test images by their codes/")
    under = '[aria-label="The decoded image under the pointer"]'
    box = page.locator("#space canvas.plot").bounding_box()
    at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in ((0.3, 0.4), (0.7, 0.6))]
    for point in at:
        with repainting(page, under):
            page.mouse.move(*point)
    page.mouse.click(*at[0])
    page.wait_for_function("() => location.hash.includes('image=')")
    page.mouse.move(*at[0])
    page.mouse.down()
    page.mouse.move(*at[1], steps=4)
    page.mouse.up()
    page.wait_for_function("() => location.hash.includes('from=') && location.hash.includes('to=')")
    page.click("text=Random walk")
    page.wait_for_selector("text=/step [5-9]/")
    page.click("text=Stop")
    assert page.locator("#space .film >> nth=0").locator("canvas").count() == 9


def test_errors_are_compared_level_by_level(open_page, shelf):
    page = open_page("view=compare&level=0.7&models=deep,wide,conv,nothing")
    page.wait_for_function("() => document.querySelectorAll('#compare tbody tr').length === 4")
    page.wait_for_function("() => !document.querySelector('#compare .says').textContent.includes('so far')")
    page.wait_for_selector("#compare td.trained")  # wide, at 0.3
    with page.expect_download() as download:
        page.click("#compare button:has-text('CSV')")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert len(rows) == 4 * 11
    assert {row["model"] for row in rows} == {"deep", "wide", "conv", "nothing"}
    best = min((float(row["mse"]), row["model"]) for row in rows if row["level"] == "0.7" and row["model"] != "nothing")
    assert page.text_content("#compare .says b") == best[1]


def test_an_exported_panel_has_the_pixels_that_are_shown(open_page):
    page = open_page("level=0.3&models=deep,wide")
    with page.expect_download() as download:
        page.click("#models button:has-text('PNG')")
    exported = np.array(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("RGBA"))
    own = page.locator("#models .cards").bounding_box()
    head = exported.shape[0] / 2 - own["height"]  # the title above the panel, at two pixels for one
    assert head > 20
    for label in ("Reconstruction by deep", "Residual of deep", "Reconstruction by wide", "Residual of wide"):
        picture = f'[aria-label="{label}"]'
        shown, box = pixels(page, picture), page.locator(picture).bounding_box()
        height, width = shown.shape[:2]
        rows = 2 * (box["y"] - own["y"] + head + box["height"] * (np.arange(height) + 0.5) / height)
        columns = 2 * (box["x"] - own["x"] + box["width"] * (np.arange(width) + 0.5) / width)
        np.testing.assert_array_equal(exported[np.ix_(rows.astype(int), columns.astype(int))], shown)
        assert len(np.unique(shown.reshape(-1, 4), axis=0)) > 8
    title = exported[: int(2 * head), :, :3]
    assert title.min() < 100 < title.max()  # something is written there


def test_an_exported_text_keeps_to_its_lines_and_its_place(open_page):
    page = open_page("level=0.3&models=deep,wide")
    label = page.locator(".card .label span >> nth=0")
    label.evaluate("one => { one.textContent = 'many words '.repeat(20); }")
    with page.expect_download() as download:
        page.click("#models button:has-text('PNG')")
    exported = np.array(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("L"))
    own = page.locator("#models .cards").bounding_box()
    head = exported.shape[0] / 2 - own["height"]

    def inked(box):
        left, top = 2 * (box["x"] - own["x"]), 2 * (box["y"] - own["y"] + head)
        part = exported[int(top) : int(top + 2 * box["height"]), int(left) : int(left + 2 * box["width"])]
        return part.min() < 200

    first, second = (page.locator(".card >> nth=" + str(i)).bounding_box() for i in (0, 1))
    gap = {"x": first["x"] + first["width"], "y": first["y"], "height": first["height"]}
    assert not inked(gap | {"width": second["x"] - gap["x"]})
    box = page.locator(".card .label >> nth=0").bounding_box()
    for half in (0, 1):  # two lines are shown
        assert inked(box | {"y": box["y"] + half * box["height"] / 2, "height": box["height"] / 2})
    assert head > page.locator(".now").bounding_box()["height"]  # the image and its noise stand above the models


def test_a_page_that_came_before_the_models_waits_and_says_so(open_page, serve, shelf):
    opening = Future()
    with serve(opening) as address:
        page = open_page(at=address, ready=False)
        page.wait_for_selector("text=Loading the models")
        opening.set_result(shelf)
        page.wait_for_selector("html[data-ready]")
        page.wait_for_selector("#models .says b")
        assert page.locator("#opening").is_hidden()
        page.close()
    shelf.closing.clear()


def test_models_that_cannot_be_read_are_said_on_the_page(open_page, serve, faults):
    opening = Future()
    with serve(opening) as address:
        page = open_page(at=address, ready=False)
        opening.set_exception(DataError("deep was cut short"))
        page.wait_for_selector("#banner:has-text('deep was cut short')")
        page.close()
    faults[:] = [one for one in faults if "503" not in one]  # the browser's own line


def test_the_address_restores_the_exact_view(open_page, stroke):
    page = open_page("source=draw&models=*")
    stroke(page)
    page.wait_for_selector("#models .says b")
    level(page, 25)
    page.click("#new-draw")
    page.select_option("#models select >> nth=1", "0.25")
    page.wait_for_function(
        "() => ['own=', 'level=0.25', 'draw=1', 'range=0.25'].every(one => location.hash.includes(one))"
    )
    page.wait_for_timeout(300)
    again = open_page(page.evaluate("location.hash.slice(1)"))
    again.wait_for_selector("text=/\\d+ steps/")
    page.wait_for_selector("text=/\\d+ steps/")
    assert errors(again) == errors(page)
    for selector in ("#clean", "#noisy", '[aria-label="Residual of deep"]'):
        np.testing.assert_array_equal(pixels(again, selector), pixels(page, selector))


def test_the_address_has_the_axis_and_the_lines_too(open_page):
    page = open_page("view=compare&models=deep,wide")
    page.select_option("#compare .tools select", "log")
    page.click('[data-line="wide"]')
    page.mouse.move(0, 0)
    page.wait_for_function("() => location.hash.includes('line=wide') && location.hash.includes('axis=log')")
    again = open_page(page.evaluate("location.hash.slice(1)"))
    again.wait_for_selector('[data-line="wide"][aria-pressed="true"]')
    assert again.eval_on_selector("#compare .tools select", "one => one.value") == "log"
    assert "wide without noise" in again.text_content(".read")
    page.evaluate("location.hash = 'view=space&model=deep&from=3&to=9'")
    clear = page.locator("#space button:text-is('Clear')")
    page.wait_for_function("one => !one.disabled", arg=clear.element_handle())
    clear.click()
    page.wait_for_function("() => !location.hash.includes('from=')")
    assert clear.is_disabled()


def test_an_address_is_followed_though_the_page_writes_the_former_one_before_it_hears_of_it(open_page):
    page = open_page("view=models")
    page.evaluate("location.hash = 'view=compare'; history.replaceState(null, '', '#view=models')")
    page.wait_for_selector("#compare:not([hidden])")


def test_back_and_the_skip_link_keep_what_was_set(open_page):
    page = open_page("image=3&level=0.3")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "views"
    page.click(".card h3 button:text-is('deep')")
    page.wait_for_selector("#inside .says b")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=test image no. 4,")
    page.go_back()
    page.wait_for_selector("text=test image no. 3,")
    assert page.locator("#models").is_visible()
    assert page.text_content("#level-says") == "0.3"
    page.go_forward()
    page.wait_for_selector("#inside:visible")


def fingers(page):
    """`touch(kind, *points)`: fingers on the screen, as the browser hears of them."""
    session = page.context.new_cdp_session(page)

    def touch(kind, *points):
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    return touch


@pytest.mark.parametrize(("width", "height"), [(360, 740), (768, 1024)])
def test_fingers_draw_and_point(open_page, width, height):
    page = open_page(width=width, height=height, has_touch=True, is_mobile=True)
    touch = fingers(page)
    page.tap("#tab-draw")
    page.locator("#pad").scroll_into_view_if_needed()
    box, before = page.locator("#pad").bounding_box(), page.evaluate("scrollY")

    def at(x, y):
        return box["x"] + box["width"] * x, box["y"] + box["height"] * y

    touch("touchStart", at(0.3, 0.2))
    for i in range(1, 6):
        touch("touchMove", at(0.3, 0.2 + i / 10))
    touch("touchEnd")
    page.wait_for_selector("#models .says b:visible")
    one_finger = pixels(page, "#pad").astype(int)
    assert page.evaluate("scrollY") == before
    page.tap("#clear")
    box = page.locator("#pad").bounding_box()
    touch("touchStart", at(0.3, 0.2))
    touch("touchStart", at(0.3, 0.2), at(0.9, 0.9))  # a palm
    for i in range(1, 6):
        touch("touchMove", at(0.3, 0.2 + i / 10), at(0.9 - i / 50, 0.9))
    touch("touchEnd")
    page.wait_for_selector("#models .says b:visible")
    # a line to the palm would be white on black; where a stroke's pieces meet, its edge may be a little softer
    assert np.abs(pixels(page, "#pad") - one_finger).max() < 128
    page.tap("#tab-space")
    page.wait_for_selector("text=/360 test images by their codes/")
    canvas = page.locator("#space canvas.plot")
    canvas.evaluate("one => one.scrollIntoView({ block: 'center' })")
    box, before = canvas.bounding_box(), page.evaluate("scrollY")
    page.wait_for_selector("text=at this image")
    touch("touchStart", at(0.4, 0.4))
    page.wait_for_selector("text=under the pointer")
    touch("touchMove", at(0.5, 0.6))
    side = page.locator("#space .side figcaption >> nth=0").bounding_box()
    assert 0 <= side["y"] < box["y"]  # seen above the map, and not under the finger
    touch("touchEnd")
    assert page.evaluate("scrollY") == before


@pytest.mark.parametrize(
    "view",
    [
        "view=nowhere&image=99999&level=7&kind=fog&unit=-3&model=none&own=%%%&source=draw",
        "models=-",
        "range=99&sort=x&image=1e99",
        "level=&image=",
        "draw=1e300&level=0.3",
        "view=inside&model=deep&unit=1e99&code=9:2,1:x,-1:3,2:1e300,",
    ],
)
def test_a_wrong_address_is_no_fault(open_page, view):
    page = open_page(view)
    page.wait_for_timeout(300)  # until every view has asked for what it shows
    assert page.locator(".card").count() in (0, 4)


def test_files_good_and_bad(open_page, tmp_path, faults):
    page = open_page()
    page.click("#tab-upload")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    page.set_input_files("#file", bad)
    page.wait_for_selector("#upload-says:has-text('bad.png is a damaged image')")
    faults[:] = [one for one in faults if "400" not in one]  # the browser's own line
    ink = np.full((200, 200), 240, np.uint8)
    ink[40:160, 90:110] = 20
    good = tmp_path / "good.png"
    Image.fromarray(ink).save(good)
    page.set_input_files("#file", good)
    page.wait_for_selector("#upload-says:has-text('dark on light')")
    page.wait_for_selector("#models .says b")
    assert pixels(page, "#clean")[..., 0].max() > 200
    page.evaluate(
        """() => { const data = new DataTransfer(); data.items.add(new File([new Uint8Array(11 << 20)], "large.png"));
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })); }"""
    )
    page.wait_for_selector("#upload-says:has-text('at most 10 MB')")


def test_everything_by_keyboard(open_page):
    page = open_page()
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("text=test image no. 1,")
    for _ in range(6):
        page.keyboard.press("+")
    page.wait_for_function("() => document.getElementById('level-says').textContent === '0.3'")
    page.keyboard.press("n")
    page.keyboard.press("2")
    page.wait_for_selector("#inside .says b")
    page.keyboard.press("3")
    page.wait_for_selector("#space:not([hidden])")
    page.keyboard.press("1")
    page.keyboard.press("0")
    page.wait_for_function("() => document.getElementById('level-says').textContent === 'none'")
    page.keyboard.press("?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    reached = set()
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("document.activeElement.id || document.activeElement.textContent.trim().slice(0, 20)")
        )
    assert {"kind", "level", "new-draw", "tab-pick", "tab-models", "PNG", "CSV", "deep"} <= reached
    page.focus("#tab-models")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-inside"


AUDIT = (Path(__file__).parent / "audit.js").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["models", "inside", "space", "compare"])
def test_everything_has_a_name_and_can_be_read(open_page, scheme, view):
    page = open_page(f"view={view}&level=0.3", color_scheme=scheme)
    page.wait_for_timeout(500)
    assert page.evaluate(f"(() => {{ {AUDIT}; return nameless(); }})()") == []
    assert page.evaluate(f"(() => {{ {AUDIT}; return faint(); }})()") == []


@pytest.mark.parametrize("width", [360, 740, 768, 1280, 3840])
@pytest.mark.parametrize("view", ["models", "inside", "space", "compare"])
def test_no_width_is_too_narrow(open_page, width, view):
    page = open_page(f"view={view}&level=0.3", width=width)
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.eval_on_selector_all(".tabs", "all => all.filter(one => one.scrollWidth > one.clientWidth).length") == 0
    assert page.locator("#clean").bounding_box()["width"] >= 60
    for source in ("p", "d", "u"):
        page.keyboard.press(source)
        assert page.eval_on_selector("aside", "one => one.scrollWidth - one.clientWidth") <= 0


def test_nothing_jumps_while_the_slider_moves(open_page):
    page = open_page("level=0.1&models=*")
    page.wait_for_selector("text=/\\d+ steps/")
    page.evaluate(
        """() => {
          window.jumps = [];
          const seen = new PerformanceObserver(list => window.jumps.push(...list.getEntries().map(one => one.value)));
          seen.observe({ type: "layout-shift" });
        }"""
    )
    for value in (20, 45, 70, 95, 30):
        level(page, value)
    page.wait_for_timeout(500)
    assert sum(page.evaluate("window.jumps")) < 0.02


def test_a_damaged_model_is_shown_as_such(open_page, own_run, serve):
    (own_run / "models" / "deep" / "model.safetensors").write_bytes(b"cut short")
    with serve(open_shelf(own_run)) as address:
        page = open_page("level=0.2", at=address)
        assert "sha256" in page.text_content(".card.fault")
        assert set(errors(page)) >= {"wide", "conv", "pca-4"}
        page.close()


def test_a_model_alone_is_drawn_for(open_page, serve, tmp_path, shelf):
    isthmus.save(shelf.model("wide"), tmp_path / "mine")
    with serve(open_shelf(tmp_path / "mine")) as address:
        page = open_page(at=address)
        assert page.get_attribute("#tab-pick", "disabled") is not None
        assert page.get_attribute("#tab-draw", "aria-selected") == "true"
        for view in ("3", "4"):
            page.keyboard.press(view)
            page.wait_for_selector(".empty:visible")
        page.close()


def test_a_server_that_is_gone_is_said_and_its_return_noticed(open_page, serve, own_run, faults):
    with serve(open_shelf(own_run)) as address:
        page = open_page(at=address)
        page.route("**/api/**", lambda route: route.abort())
        page.click("#new-draw")  # whose stops are not known: those of the first may have come by now
        slide(page, "#level", 30)
        page.wait_for_selector("#banner:visible")
        assert "does not answer" in page.text_content("#banner")
        page.unroute("**/api/**")
        page.wait_for_selector("#banner", state="hidden")
        page.wait_for_function("() => document.getElementById('noisy-says').textContent.startsWith('MSE')")
        page.close()
    faults[:] = [one for one in faults if not re.search("Failed to load resource|ERR_FAILED", one)]


def test_a_server_that_comes_back_with_other_models_is_shown_anew(open_page, faults):
    page, is_back = open_page("level=0.3"), threading.Event()
    page.route("**/api/about", lambda route: route.fulfill(json=route.fetch().json() | {"title": "another run"}))
    page.route("**/api/**", lambda route: route.fallback() if is_back.is_set() else route.abort())
    page.click("#new-draw")
    page.wait_for_selector("#banner:visible")
    is_back.set()
    page.wait_for_selector("#title:has-text('another run')")
    page.wait_for_selector("#models .says b")
    assert page.text_content("#level-says") == "0.3"
    faults[:] = [one for one in faults if not re.search("Failed to load resource|ERR_FAILED", one)]


def test_the_page_is_small(address, browser):
    page = browser.new_page()
    sizes = []
    page.on("response", lambda response: "/api/" in response.url or sizes.append(len(response.body())))
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    page.close()
    assert 20_000 < sum(sizes) < 300_000
