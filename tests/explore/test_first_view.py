"""What a person meets first, of a run and of photographs: by mouse, on a phone, by keyboard, through a proxy."""

import http.client
import io
import re
import threading
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from isthmus.commands.images.gallery import gallery_of
from isthmus.explore.shelf_loader import shelve

pytestmark = pytest.mark.slow


@contextmanager
def asked(page):
    """The questions that the page asks the server inside."""
    found = []

    def listen(request):
        if match := re.search(r"/api/([\w-]+)", request.url):
            found.append(match[1])

    page.on("request", listen)
    yield found
    page.remove_listener("request", listen)


def in_sight(page, selector):
    """Whether all of an element is in the window."""
    box, size = page.locator(selector).bounding_box(), page.viewport_size
    return box["y"] > -1 and box["y"] + box["height"] < size["height"] + 1


def test_a_model_of_patches_opens_on_a_whole_photograph(open_page, serve, photograph_model, tmp_path):
    with serve(shelve(photograph_model, gallery_of(photograph_model))) as address:
        page = open_page(at=address)
        page.wait_for_selector("#clean-says:has-text('china.png')")
        page.wait_for_selector("#models .says b:visible")
        assert "digit" not in page.text_content("body")
        size = "one => [one.width, one.height]"
        out = '[aria-label="Reconstruction by photos"]'
        assert page.eval_on_selector(out, size) == [90, 60]
        page.select_option("#photo", label="flower.png")
        page.wait_for_selector("#clean-says:has-text('flower.png')")
        page.wait_for_function("one => document.querySelector(one).width === 60", arg=out)
        photograph = np.random.default_rng(0).integers(0, 256, (70, 100, 3), np.uint8)
        Image.fromarray(photograph).save(tmp_path / "mine.png")
        page.set_input_files("#file", tmp_path / "mine.png")
        page.wait_for_selector("#upload-says:has-text('mine.png: 100×70, as it is')")
        page.wait_for_function("one => document.querySelector(one).width === 100", arg=out)
        assert page.eval_on_selector("#noisy", size) == [100, 70]
        page.keyboard.press("2")
        page.wait_for_selector("text=input: its middle")
        page.keyboard.press("3")
        page.wait_for_selector("text=/test patches by their codes/")
        page.keyboard.press("4")
        said = "#compare .says:has-text('test patches of 2 photographs, each of which counts once in the interval')"
        page.wait_for_selector(said)
        page.keyboard.press("p")
        page.wait_for_selector("#clean-says:has-text('test patch no. 0')")
        page.close()


def test_a_model_of_photographs_without_images_opens_on_upload_and_measures_nothing(open_page, serve, photograph_model):
    with serve(shelve(photograph_model)) as address:
        page = open_page("view=models", at=address, ready=False)
        with asked(page) as questions:
            page.wait_for_selector("html[data-ready]")
            page.wait_for_selector("text=Choose a picture.")
            page.wait_for_timeout(400)
        assert page.get_attribute("#tab-upload", "aria-selected") == "true"
        assert not {"reconstruct", "stops", "code"} & set(questions)
        assert page.text_content(".card .mse") == "–"
        page.close()


def test_an_empty_pad_is_not_measured_in_any_view(open_page, stroke):
    page = open_page("source=draw&level=0.3")
    page.wait_for_selector("text=Draw a digit on the pad")
    with asked(page) as questions:
        page.click("#new-draw")
        for key in "1234":
            page.keyboard.press(key)
            page.wait_for_timeout(200)
        assert not {"reconstruct", "stops", "code", "code-noise", "search"} & set(questions)
    page.keyboard.press("1")
    assert set(page.locator(".card .mse").all_text_contents()) == {"–"}
    stroke(page)
    page.wait_for_function("() => document.querySelector('.card .mse').textContent !== '–'")
    page.click("#clear")
    page.wait_for_selector("text=Draw a digit on the pad")
    assert set(page.locator(".card .mse").all_text_contents()) == {"–"}


def test_a_restored_drawing_is_on_the_pad_and_can_be_drawn_on(open_page, stroke):
    page = open_page("source=draw")
    stroke(page)
    page.wait_for_selector("#models .says b:visible")
    page.wait_for_function("() => location.hash.includes('own=')")
    again = open_page(page.evaluate("location.hash.slice(1)"))
    light = """() => { const pad = document.getElementById('pad'), at = pad.getContext('2d');
        const data = at.getImageData(0, 0, 256, 256).data;
        return data.filter((value, i) => i % 4 === 0 && value > 100).length; }"""
    assert again.evaluate(light) > 2000
    assert again.locator("#pad-says").is_hidden()
    before = again.evaluate(light)
    box = again.locator("#pad").bounding_box()
    again.mouse.move(box["x"] + 20, box["y"] + box["height"] - 20)
    again.mouse.down()
    again.mouse.move(box["x"] + 60, box["y"] + box["height"] - 20, steps=3)
    again.mouse.up()
    assert again.evaluate(light) > before
    again.click("#clear")
    again.wait_for_selector("text=Draw a digit on the pad")
    assert again.evaluate(light) == 0
    assert again.locator("#pad-says").is_visible()


@pytest.mark.parametrize("button", ["#clear", "#undo"])
def test_a_pad_that_is_cleared_while_the_server_looks_at_the_drawing_stays_empty(open_page, stroke, button):
    page, held = open_page("source=draw"), []
    page.route("**/api/drawing", lambda route: route.continue_() if held else held.append(route))
    stroke(page)
    page.wait_for_function("() => document.getElementById('pad-says').hidden")
    while not held:
        page.wait_for_timeout(20)
    page.click(button)
    held[0].continue_()
    page.wait_for_selector("text=Draw a digit on the pad")
    assert page.locator("#pad-says").is_visible()


def test_looking_inside_begins_with_the_best_model_that_has_a_code(open_page, shelf, run):
    from isthmus.studies.results.results_json import read_results

    errors = {
        row.model: row.value
        for row in read_results(run).rows
        if (row.metric, row.split, row.corruption) == ("mse", "test", None) and shelf.entries[row.model].model
    }
    coded = [name for name in errors if name not in ("nothing", "prior")]
    page = open_page("view=inside")
    page.wait_for_selector("#inside .says b")
    assert page.text_content("#inside .says b") == min(coded, key=errors.get)


def test_a_random_walk_stays_on_the_map(open_page):
    page = open_page("view=space&model=deep&level=0.9")  # whose noise may lie off the map
    page.wait_for_selector("text=/360 test images by their codes/")
    page.wait_for_selector("text=at this image")
    page.evaluate(
        """async () => { const map = await import("./map.js"); window.strayed = 0; window.steps = 0;
        const push = map.marks.trail.push; setInterval(() => { for (const point of map.marks.trail.slice(1)) {
        window.steps++; if (!map.holds(point)) window.strayed++; } }, 50); }"""
    )
    page.click("text=Random walk")
    page.wait_for_selector("text=/step [3-9][0-9]/", timeout=60_000)
    page.click("text=Stop")
    assert page.evaluate("window.steps") > 100
    assert page.evaluate("window.strayed") == 0


def test_an_exported_picture_has_every_word_of_its_labels(open_page):
    page = open_page("level=0.3&models=deep,wide")
    low = page.locator("#models .cards").bounding_box()["height"]
    page.locator(".card .label span >> nth=0").evaluate("one => { one.textContent = 'many words '.repeat(20); }")
    page.locator(".card h3 .name >> nth=0").evaluate("one => { one.textContent = 'a-name-that-is-long'.repeat(2); }")
    with page.expect_download() as download:
        page.click("#models button:has-text('PNG')")
    assert page.locator("#models .cards").bounding_box()["height"] == low  # as it was, once it is exported
    exported = Image.open(io.BytesIO(download.value.path().read_bytes()))
    page.evaluate("document.documentElement.classList.add('exporting')")
    whole = page.locator("#models .cards").bounding_box()
    assert whole["height"] > low + 40
    head = exported.height / 2 - whole["height"]
    pixels = np.array(exported.convert("L"))
    for selector in (".card .label span >> nth=0", ".card h3 .name >> nth=0"):
        box = page.locator(selector).bounding_box()
        lines = round(box["height"] / 16)
        assert lines >= 2
        for line in range(lines):  # something is written on each of them
            top = 2 * (box["y"] - whole["y"] + head) + 2 * box["height"] * line / lines
            left = 2 * (box["x"] - whole["x"])
            part = pixels[int(top) : int(top + 2 * box["height"] / lines), int(left) : int(left + 2 * box["width"])]
            assert part.min() < 200


def test_on_a_phone_the_results_are_seen_with_the_pad(open_page):
    page = open_page("source=draw&models=*", width=390, height=844)
    pad = page.locator("#pad")
    pad.evaluate("one => one.scrollIntoView({ block: 'end' })")
    assert in_sight(page, "#pad")
    assert in_sight(page, "#glance")
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 200, steps=5)
    page.mouse.up()
    page.wait_for_selector("#glance .best")
    # the same numbers as on the cards, once the last stroke was answered
    page.wait_for_function(
        """() => { const cards = [...document.querySelectorAll(".card:not(.fault)")].map((one) =>
          [one.querySelector("h3 .name").textContent, one.querySelector(".mse").textContent].join());
        const glance = [...document.querySelectorAll("#glance figure")].map((one) =>
          [one.querySelector("figcaption").firstChild.data, one.querySelector("small").textContent].join());
        return glance.length === 8 && String(glance) === String(cards); }"""
    )
    assert page.eval_on_selector("#glance canvas", "one => one.width") == 8
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_views_are_a_few_tabs_away_and_the_thumbnails_are_one_stop(open_page):
    page = open_page()
    stops = []
    for _ in range(20):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.closest('[id]')?.id ?? ''"))
        if stops[-1] == "tab-models":
            break
    assert stops[-1] == "tab-models"
    assert len(stops) <= 14
    assert stops.count("strip") == stops.count("labels") == 1
    page.focus("#strip button[tabindex='0']")
    for key, image in (("ArrowRight", 1), ("ArrowDown", 7), ("ArrowLeft", 6), ("ArrowUp", 0), ("ArrowLeft", 359)):
        page.keyboard.press(key)
        page.wait_for_selector(f"text=test image no. {image},")
        page.wait_for_function(
            f"() => (document.activeElement.getAttribute('aria-label') ?? '').startsWith('Image no. {image},')"
        )
    page.focus("#labels button[tabindex='0']")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.textContent") == "0"
    page.keyboard.press("Enter")
    page.wait_for_function("() => location.hash.includes('label=0')")


def test_a_copied_link_says_where_it_opens(open_page, serve, shelf):
    page = open_page("level=0.3", permissions=["clipboard-read", "clipboard-write"])
    page.click("#copy-link")
    page.wait_for_selector("#toast:has-text('It opens on this machine')")
    assert page.evaluate("navigator.clipboard.readText()") == page.evaluate("location.href")


@contextmanager
def proxied(folder):
    """A proxy that shows a server below a path, with a Host of its own, as JupyterHub does: (its origin, connect)."""

    class Proxy(BaseHTTPRequestHandler):
        backend = None

        def do_GET(self):
            assert self.path.startswith(folder), self.path
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            # a page that closes gives up what it asked for
            with closing(http.client.HTTPConnection(self.backend, timeout=30)) as connection, suppress(ConnectionError):
                connection.request(self.command, "/" + self.path.removeprefix(folder), body, headers)
                with connection.getresponse() as response:
                    data = response.read()
                    self.send_response(response.status)
                    for name, value in response.getheaders():
                        if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                            self.send_header(name, value)
                    self.send_header("content-length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", lambda address: setattr(Proxy, "backend", address)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(30)


def test_the_page_works_below_a_path_of_a_proxy(open_page, serve, shelf):
    folder = "/user/me/proxy/8765/"
    with (
        proxied(folder) as (origin, connect),
        serve(shelf, "secret", [("http", urlsplit(origin).netloc)]) as address,
    ):
        connect(urlsplit(address).netloc.replace("127.0.0.1", "localhost"))
        page = open_page("level=0.3", at=f"{origin}{folder}?token=secret&from=")
        page.wait_for_selector("#models .says b:visible")
        assert page.url.startswith(f"{origin}{folder}#level=0.3")  # without the token
        page.close()
    shelf.closing.clear()
