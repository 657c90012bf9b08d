"""What a teacher clicks through: few models first, guided scenes, a closer look, and a map made of pictures."""

import shutil
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from isthmus.estimators.adapters import reconstruct
from isthmus.explore.shelf_loader import open_shelf

pytestmark = pytest.mark.slow

SCENES = "#scenes a"


def names(page):
    """The models that have a card."""
    return page.locator(".card h3 .name").all_text_contents()


def address(page, *parts):
    """What is shown, once the address has these."""
    page.wait_for_function("parts => parts.every(one => location.hash.includes(one))", arg=parts)
    return page.evaluate("location.hash.slice(1)")


def alphas(page, selector):
    """How strong the colour of each pixel of a canvas is, 0 to 255."""
    read = (
        "one => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data].filter((_, i) => i % 4 === 3)"
    )
    return np.array(page.eval_on_selector(selector, read))


def test_few_models_at_first_and_all_of_them_by_one_click(open_page, shelf):
    page = open_page("level=0.3")
    few = ["pca-4", "deep", "wide", "conv"]
    assert names(page) == few
    assert page.text_content("details.choose summary >> nth=0") == "4 of 8 models"
    page.click("#models button:has-text('Show all 8')")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 8")
    assert names(page) == list(shelf.entries)
    again = open_page(address(page, "models=*"))
    assert names(again) == list(shelf.entries)
    again.click("#models button:has-text('Show 4')")
    again.wait_for_function("() => document.querySelectorAll('.card').length === 4")
    assert names(again) == few
    again.wait_for_function("() => !location.hash.includes('models=')")  # which is as a link that does not say


def test_each_scene_is_a_link_that_sets_everything(open_page):
    page = open_page("image=5&level=0.7&models=deep")
    links = page.eval_on_selector_all(SCENES, "all => all.map(one => [one.textContent, one.hash.slice(1)])")
    assert [title for title, _ in links] == [
        "Turn up the noise: who survives?",
        "Drag one unit: what changes?",
        "Which images does it fail on?",
        "Walk from A to B",
    ]
    for i, (title, view) in enumerate(links):
        page.click(f"{SCENES}:has-text('{title}')")
        clicked = address(page, f"scene={i + 1}")
        assert page.locator("#scenes a[aria-current=step]").all_text_contents() == [title]
        assert page.locator("#scenes .hint").is_visible()
        followed = open_page(view)
        assert followed.locator("#scenes a[aria-current=step]").all_text_contents() == [title]
        for _ in range(100):  # a unit is chosen, and the address told, a little later
            here, there = page.evaluate("location.hash"), followed.evaluate("location.hash")
            if here == there and ("unit=" in here) == ("inside" in here):
                break
            page.wait_for_timeout(100)
        assert here == there
        assert "image=5" not in clicked
        assert "models=" not in clicked


def test_next_goes_through_the_scenes_and_another_view_leaves_them(open_page):
    page = open_page()
    assert page.locator("#scenes .hint").is_hidden()
    page.click(f"{SCENES} >> nth=0")
    page.wait_for_selector("#models .says b:visible")
    assert page.text_content("#level-says") == "0.3"  # at which a model was trained
    for i in (2, 3, 4, 1):
        page.click("#scenes .hint button")
        page.wait_for_function("i => document.querySelectorAll('#scenes a')[i - 1].hasAttribute('aria-current')", arg=i)
    page.keyboard.press("4")
    page.wait_for_function("() => !document.querySelector('#scenes [aria-current]')")
    page.go_back()
    page.wait_for_selector("#scenes [aria-current]")
    page.focus("#scenes a[tabindex='0']")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#inside:not([hidden])")


def test_a_run_without_noise_has_another_scene(open_page, own_run, serve):
    shutil.rmtree(own_run / "models" / "wide")  # the only one that was trained on noise
    with serve(open_shelf(own_run)) as here:
        page = open_page(at=here)
        titles = page.locator(SCENES).all_text_contents()
        assert titles[0] == "How few numbers are enough?"
        assert not any("noise" in title for title in titles)
        page.click(f"{SCENES} >> nth=0")
        page.wait_for_function("() => document.querySelector('#models select').value === 'code'")
        page.close()


def test_the_scene_of_failures_shows_what_the_model_makes_of_its_worst_images(open_page, shelf):
    page = open_page()
    page.click(f"{SCENES}:has-text('fail')")
    page.wait_for_selector("#inside .hardest button:visible")
    assert page.evaluate("document.querySelector('.hardest').getBoundingClientRect().top < innerHeight")
    name = page.text_content("#inside .says b")
    x = shelf.images.floats()
    error = ((x - reconstruct(shelf.model(name), x)) ** 2).mean(axis=1)
    worst = int(error.argmax())
    assert page.get_attribute(".hardest button >> nth=0", "data-image") == str(worst)
    page.click(".hardest button >> nth=0")
    page.wait_for_function(f"() => document.getElementById('clean-says').textContent.includes('no. {worst},')")
    assert page.get_attribute(".hardest button >> nth=0", "aria-pressed") == "true"
    before = page.get_attribute(".hardest button >> nth=0", "aria-label")
    page.eval_on_selector("#level", "one => { one.value = 60; one.dispatchEvent(new Event('input')); }")
    page.wait_for_function(
        "before => document.querySelector('.hardest button').getAttribute('aria-label') !== before", arg=before
    )


def test_a_scene_that_follows_another_of_the_same_model_is_brought_into_sight(open_page):
    page = open_page(height=500)
    page.click(f"{SCENES}:has-text('Drag')")
    page.wait_for_selector("#inside .hardest button:visible")
    assert page.evaluate("scrollY") == 0
    page.click(f"{SCENES}:has-text('fail')")
    middle = "document.querySelector('.hardest').getBoundingClientRect()"
    page.wait_for_function(f"() => {{ const box = {middle}; return (box.top + box.bottom) / 2 < innerHeight; }}")
    page.evaluate("scrollTo(0, 0)")
    page.click("#tab-space")
    page.select_option("#space select >> nth=0", "pca-4-2")
    page.wait_for_selector("#space .says:has-text('pca-4-2')")
    page.click(f"{SCENES}:has-text('Walk')")
    page.wait_for_selector(".films .lit")


def test_a_closer_look_wipes_and_its_heat_is_the_error(open_page, shelf, image):
    page = open_page("image=7&range=0.5&models=deep,wide")
    page.click("[aria-label='Reconstruction by wide']")
    page.wait_for_selector(".closer:visible")
    assert page.eval_on_selector(".closer select", "one => one.value") == "wide"
    error = np.abs(reconstruct(shelf.model("wide"), image) - image)[0]
    found = alphas(page, ".sheet canvas >> nth=2")
    np.testing.assert_allclose(found, np.rint(235 * np.minimum(1, 1.6 * error / 0.5)), atol=1.01)
    assert found.max() > 20
    page.eval_on_selector(".closer [type=range]", "one => { one.value = 25; one.dispatchEvent(new Event('input')); }")
    for canvas in (1, 2):
        assert "25%" in page.eval_on_selector(f".sheet canvas >> nth={canvas}", "one => one.style.clipPath")
    box = page.locator(".sheet").bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20, steps=4)
    page.mouse.up()
    page.uncheck(".closer [type=checkbox]")
    assert page.locator(".sheet canvas >> nth=2").is_hidden()
    again = open_page(address(page, "look=wide", "heat=0", "wipe=75"))
    assert again.locator(".closer").is_visible()
    assert again.locator(".sheet canvas >> nth=2").is_hidden()
    again.click(".closer button:has-text('Close')")
    assert again.locator(".closer").is_hidden()
    assert again.evaluate("document.activeElement.textContent") == "Closer look"


def test_ones_own_picture_is_looked_at_closely(open_page, tmp_path):
    ink = np.zeros((60, 60), np.uint8)
    ink[10:50, 25:35] = 255
    Image.fromarray(ink).save(tmp_path / "mine.png")
    page = open_page("level=0.2")
    assert page.locator(".closer").is_hidden()
    page.set_input_files("#file", tmp_path / "mine.png")
    page.wait_for_selector(".closer:visible")
    page.wait_for_function("() => document.getElementById('clean-says').textContent === 'mine.png'")
    assert alphas(page, ".sheet canvas >> nth=2").any()
    page.keyboard.press("p")
    page.keyboard.press("0")
    page.wait_for_function("() => document.getElementById('clean-says').textContent.includes('test image')")
    assert page.locator(".closer").is_visible()


MAP = 'async () => { const map = await import("./map.js"); return %s; }'
TILES = """async () => { const { marks } = await import("./map.js");
  const red = (canvas) => [...canvas.getContext("2d").getImageData(0, 0, 8, 8).data].filter((_, i) => i % 4 === 0);
  return marks.tiles.map(({ middle, canvas }) => [middle, red(canvas)]); }"""


def until(page, what):
    """Wait until something holds of the map."""
    for _ in range(300):
        if page.evaluate(MAP % f"Boolean({what})"):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never: {what}")


def tiles(page):
    """The tiles of the map, once they are there: their middles, and their pixels."""
    until(page, "map.isDrawn() && map.marks.tiles.length")
    middles, pixels = zip(*page.evaluate(TILES), strict=True)
    return np.array(middles), np.array(pixels)


def test_a_map_of_two_numbers_is_made_of_the_codes_there_decoded(open_page, shelf):
    page = open_page("view=space&model=pca-4-2")
    middles, pixels = tiles(page)
    assert len(middles) > 40
    x_hat = shelf.model("pca-4-2").inverse_transform(middles.astype(np.float32))
    np.testing.assert_allclose(pixels, 255 * np.clip(x_hat, 0, 1), atol=1)
    assert pixels.std(axis=0).max() > 10  # they differ
    page.select_option("#space select >> nth=2", "none")
    until(page, "!map.marks.tiles.length")
    assert "behind=none" in address(page, "behind=none")


def test_a_map_that_cannot_be_decoded_has_test_images(open_page, shelf):
    page = open_page("view=space&model=deep&method=tsne")
    _, pixels = tiles(page)
    images = np.rint(255 * shelf.images.floats())
    for tile in pixels:
        assert np.abs(images - tile).max(axis=1).min() <= 1
    assert page.eval_on_selector("#space select >> nth=2", "one => one.value") == "nearest"
    assert page.eval_on_selector("#space select >> nth=2", "one => one.options[0].disabled")


def test_near_by_points_are_images_and_the_zoom_is_in_the_address(open_page):
    page = open_page("view=space&model=pca-4-2")
    before, _ = tiles(page)
    canvas = page.locator("#space canvas.plot")
    canvas.focus()
    for _ in range(5):
        page.keyboard.press("+")
    until(page, "map.marks.images.length && map.marks.images.length === map.inSight().length")
    page.wait_for_timeout(300)
    after, _ = tiles(page)
    assert np.ptp(after, axis=0).max() < np.ptp(before, axis=0).max() / 4
    near = MAP % "[map.inSight(), map.marks.images.map((one) => one.image), map.zoom()]"
    sight, images, zoom = page.evaluate(near)
    assert images == sight
    assert zoom == pytest.approx(1.6**5, rel=1e-3)
    again = open_page(address(page, "area="))
    tiles(again)
    assert again.evaluate(near)[0] == sight
    for _ in range(40):  # the pointer leads what is in sight
        page.keyboard.press("ArrowRight")
    assert page.evaluate(MAP % "map.isInSight(map.marks.cursor)")
    page.click("#space button:has-text('All')")
    until(page, "map.zoom() === 1")
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    under = MAP % "map.back([0.3 * map.size().width, 0.4 * map.size().height])"
    point = page.evaluate(under)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    until(page, "map.zoom() > 1.5")
    np.testing.assert_allclose(page.evaluate(under), point, atol=0.02 * np.ptp(before))  # what is pointed at stays


def test_two_fingers_zoom_the_map_and_draw_no_line(open_page):
    page = open_page("view=space&model=pca-4-2", has_touch=True)
    tiles(page)
    box = page.locator("#space canvas.plot").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touch = page.context.new_cdp_session(page)

    def fingers(kind, far):
        points = [{"x": x - far, "y": y, "id": 0}, {"x": x + far, "y": y, "id": 1}] if far else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    fingers("touchStart", 30)
    for far in (40, 60, 90):
        fingers("touchMove", far)
    fingers("touchEnd", 0)
    until(page, "map.zoom() > 2")
    assert page.evaluate(MAP % "map.marks.line") is None
    assert page.evaluate(MAP % "map.zoom()") < 5


WATCH = """async () => {
  const { marks } = await import("./map.js"), held = { way: null };
  window.shares = new Set(); window.pictures = new Set();
  Object.defineProperty(marks, "way", { get: () => held.way, set: (one) => {
    held.way = one;
    if (one) { window.shares.add(one.share); window.pictures.add(one.canvas.toDataURL()); }
  } });
  document.addEventListener("arrived", () => { window.arrived = true; }); }"""


@pytest.mark.parametrize(("motion", "frames"), [("no-preference", 33), ("reduce", 9)])
def test_the_way_from_a_to_b_is_gone_picture_by_picture(open_page, motion, frames):
    page = open_page("view=space&model=pca-4-2", reduced_motion=motion)
    tiles(page)
    page.evaluate(WATCH)
    page.click(f"{SCENES}:has-text('Walk')")
    page.wait_for_function("() => window.arrived")
    shares = page.evaluate("[...window.shares]")
    assert len(shares) == frames
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0, 1)
    assert page.evaluate("window.pictures.size") > frames / 3
    assert page.locator(".films .lit").count() == 0  # it is over
    page.click("#space button:has-text('Walk from A to B')")
    page.wait_for_selector(".films .lit")
    page.click("#space button:has-text('Stop')")
    assert page.locator(".films .lit").count() == 0


def test_scenes_ask_nothing_of_anybody_else(open_page):
    page = open_page()
    asked = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).hostname))
    for i in range(4):
        page.click(f"{SCENES} >> nth={i}")
        page.wait_for_timeout(400)
    assert set(asked) == {"127.0.0.1"}
