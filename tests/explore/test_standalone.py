"""The page in one file: opened from the disk without a network, its answers are the server's, and nothing is dead."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
from sklearn.decomposition import PCA, MiniBatchDictionaryLearning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from isthmus import Autoencoder, Conv, Dense, Dictionary, Gaussian, Quantized
from isthmus.cli import run_command
from isthmus.data.images import Images
from isthmus.data.sources import registry
from isthmus.explore.answers import noise, routes
from isthmus.explore.answers.wire import Query
from isthmus.explore.shelf import Entry, Shelf
from isthmus.explore.standalone.page_file import exported

pytestmark = pytest.mark.slow
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
    # at a marked level, whose errors are stored; between two of them; and another draw, which is in none
    for words in (
        {"kind": "gaussian", "level": 0, "draw": 0},
        {"kind": "gaussian", "level": 0.25, "draw": 0},
        {"kind": "poisson", "level": 25, "draw": 2},
    ):
        for name in shelf.entries:
            found = check(page, shelf, "hardest", {"model": name, **words, "n": 12})
            assert len(set(found["which"])) == 12
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


# --- what a person does ---


def pixels(page, selector):
    return page.eval_on_selector(selector, "canvas => canvas.toDataURL()")


@contextmanager
def repainting(page, selector):
    """What is done inside changes a canvas."""
    before = pixels(page, selector)
    yield
    changed = "([selector, before]) => document.querySelector(selector).toDataURL() !== before"
    page.wait_for_function(changed, arg=[selector, before])


def test_every_view_works_without_a_server(open_file, files):
    page = open_file(files["digits"], "level=0.3")
    assert page.text_content("#models .says b")
    with repainting(page, "#noisy"), repainting(page, '[aria-label="Reconstruction by deep"]'):
        page.eval_on_selector("#level", "one => { one.value = 60; one.dispatchEvent(new Event('input')); }")
    with repainting(page, "#noisy"):
        page.click("#new-draw")
    with repainting(page, "#noisy"):
        page.select_option("#kind", "poisson")
    page.select_option("#kind", "gaussian")
    with repainting(page, "#clean"):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("2")
    page.select_option("#inside select", "gaussian")
    page.wait_for_selector("text=On for")
    out = '[aria-label="The code, decoded"]'
    with repainting(page, out):
        page.eval_on_selector(
            ".unit input[type=range]", "one => { one.value = 90; one.dispatchEvent(new Event('input')); }"
        )
    page.wait_for_selector("text=nats")
    with repainting(page, '[aria-label="Sample 1 of the prior"]'):
        page.click("text=New samples")
    page.select_option("#inside select", "conv")
    page.wait_for_selector("text=Layer 2")
    page.keyboard.press("3")
    page.wait_for_selector("#space:has-text('60 test images by their codes')")
    under = '[aria-label="The decoded image under the pointer"]'
    with repainting(page, under):
        page.hover("#space canvas.plot", position={"x": 100, "y": 100})
    with repainting(page, under):
        page.click("text=Random walk")
    page.click("text=Stop")
    page.select_option("#space select >> nth=1", "tsne")
    page.wait_for_selector("text=t-SNE: neighbours here")
    page.keyboard.press("4")
    page.wait_for_selector("#compare td.least, #compare th.here")
    page.wait_for_function("() => document.querySelectorAll('#compare tbody tr').length === 6")
    page.click("#compare button:has-text('Show all 16')")
    page.wait_for_function("() => document.querySelectorAll('#compare tbody tr').length === 16")
    for view, name in enumerate(("isthmus-models", "isthmus-conv", "isthmus-conv-map", "isthmus-compare"), 1):
        page.keyboard.press(str(view))
        for kind in ("PNG", "CSV"):
            with page.expect_download() as download:
                page.click(f".end button:visible:has-text('{kind}')")
            assert download.value.suggested_filename.startswith(name)
    assert not any(page.locator(".busy").all_inner_texts())
    assert page.locator("#banner").is_hidden()


@pytest.fixture(scope="module")
def file_of_run(run, tmp_path_factory):
    """The file of a run that has a model of noise, and one that searches, which is left out."""
    file = tmp_path_factory.mktemp("run") / "small.html"
    assert run_command(["explore", str(run), "--export", str(file)]) == 0
    return file


ARRIVED = "() => document.addEventListener('arrived', () => { window.arrived = true; })"
IN_SIGHT = """(selector) => {
  const { top, bottom } = document.querySelector(selector).getBoundingClientRect();
  return top >= 0 && (top + bottom) / 2 < innerHeight;
}"""
SHOWN = {  # of each scene, by a word of its title: what is seen once it is set up
    "survives": "#models .card.best",
    "enough": "#models .card .mse:not(:has-text('–'))",
    "Drag": ".unit p:has-text('On for')",
    "fail": ".hardest button:visible",
    "Walk": "#space .films canvas.lit",
}


def in_order(page):
    """Nothing was refused, and nothing is out of order."""
    assert page.text_content("#toast") == ""
    assert page.locator("#banner").is_hidden()
    page.wait_for_function("() => [...document.querySelectorAll('.busy')].every((one) => !one.textContent)")
    assert "does not answer" not in page.inner_text("body")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("which", ["run", "digits", "colour"])
def test_each_scene_can_be_clicked_through_and_followed(open_file, files, file_of_run, which, width):
    file, viewport = files.get(which, file_of_run), {"width": width, "height": 900}
    page = open_file(file, viewport=viewport, has_touch=width < 500)
    page.evaluate(ARRIVED)
    links = page.eval_on_selector_all("#scenes a", "all => all.map(one => [one.textContent, one.hash.slice(1)])")
    assert len(links) == 4
    assert ("survives" in links[0][0]) == (which == "run")  # only its models were trained on noise
    for i, (title, view) in enumerate(links):
        (shown,) = [selector for word, selector in SHOWN.items() if word in title]
        if i == 0:
            page.click("#scenes a >> nth=0")
        else:
            page.click("#scenes .hint button")
        page.wait_for_selector(shown)
        assert page.locator("#scenes a[aria-current=step]").all_text_contents() == [title]
        if "fail" in title:  # from another scene of the same model
            page.wait_for_function(IN_SIGHT, arg=".hardest")
        in_order(page)
        followed = open_file(file, view, viewport=viewport)
        followed.wait_for_selector(shown)
        in_order(followed)
        followed.close()
    page.wait_for_function("() => window.arrived")
    in_order(page)


def test_the_worst_images_follow_the_slider_and_open(open_file, file_of_run):
    page = open_file(file_of_run, "view=inside&model=deep&panel=hardest")
    page.wait_for_selector(".hardest button:visible")
    first = ".hardest button >> nth=0"
    for level in (60, 61):  # a marked one, and one between
        with repainting(page, ".hardest button canvas"):
            page.eval_on_selector("#level", f"one => {{ one.value = {level}; one.dispatchEvent(new Event('input')); }}")
        page.wait_for_selector(f".hardest p:has-text('σ {level / 100:g}:')")
    worst = page.get_attribute(first, "data-image")
    with repainting(page, "#clean"):
        page.click(first)
    page.wait_for_function(f"() => document.getElementById('clean-says').textContent.includes('no. {worst},')")
    in_order(page)


def test_a_closer_look_works_without_a_server(open_file, file_of_run):
    page = open_file(file_of_run, "level=0.3&image=7")
    page.click("[aria-label='Reconstruction by deep']")
    page.wait_for_selector(".closer:visible")
    error = ".sheet canvas >> nth=2"
    with repainting(page, ".sheet canvas:nth-of-type(3)"):
        page.select_option(".closer select", "conv")
    page.uncheck(".closer [type=checkbox]")
    assert page.locator(error).is_hidden()
    page.click("#models button:has-text('Show all 7')")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 7")
    page.click("#models button:has-text('Show 4')")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 4")
    page.click(".closer button:has-text('Close')")
    assert page.locator(".closer").is_hidden()
    in_order(page)


TILES = """async () => {
  const { marks } = await import("isthmus/map.js");
  return [marks.tiles.length, marks.images.length];
}"""


def until(page, holds):
    """Wait until something holds of how many tiles and how many images are on the map."""
    for _ in range(300):
        if holds(*page.evaluate(TILES)):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"the map has {page.evaluate(TILES)}")


@pytest.mark.parametrize("model", ["deep", "conv", "wide", "pca-4-2"])
def test_the_map_is_made_of_pictures_without_a_server(open_file, file_of_run, model):
    page = open_file(file_of_run, f"view=space&model={model}")
    until(page, lambda tiles, images: tiles > 40)
    for behind, expected in (("none", 0), ("nearest", 1), ("decoded", 40)):
        page.select_option("#space select >> nth=2", behind)
        until(page, lambda tiles, images, expected=expected: tiles >= expected and (tiles == 0) == (expected == 0))
    for _ in range(6):
        page.click("#space [aria-label='Zoom in']")
    until(page, lambda tiles, images: images > 0)
    page.click("#space button:has-text('All')")
    until(page, lambda tiles, images: images == 0)
    page.select_option("#space select >> nth=1", "tsne")
    page.wait_for_selector("text=t-SNE: neighbours here")
    until(page, lambda tiles, images: tiles > 0)
    assert page.locator("#space button:has-text('Random walk')").is_disabled()  # this map has no way back to codes
    page.select_option("#space select >> nth=1", "pca")  # the same answer as before, on a map that was emptied
    page.wait_for_selector("#space .says:not(:has-text('t-SNE'))")
    until(page, lambda tiles, images: tiles > 40)
    page.click("#space button:has-text('Walk from A to B')")
    page.wait_for_selector(".films .lit")
    page.click("#space button:has-text('Stop')")
    in_order(page)


PACED = """async (gives) => {
  const { paced } = await import("isthmus/paced.js"), giveUp = new AbortController();
  let heard = 0, done = 0;
  const timer = setInterval(() => { heard++; if (gives && heard === 3) giveUp.abort(); }, 0);
  const work = (i) => { const end = performance.now() + 4; while (performance.now() < end); done++; return 2 * i; };
  try { return [await paced(60, work, giveUp.signal), heard, done]; }
  catch (error) { return [error.name, heard, done]; }
  finally { clearInterval(timer); }
}"""


def test_long_work_leaves_room_for_the_page_and_is_given_up(open_file, files):
    page = open_file(files["digits"])
    values, heard, _ = page.evaluate(PACED, False)
    assert values == [2 * i for i in range(60)]
    assert heard > 5
    name, _, done = page.evaluate(PACED, True)
    assert name == "AbortError"
    assert 0 < done < 60


def test_a_drawing_is_reconstructed_and_a_link_restores_it(open_file, files, stroke):
    page = open_file(files["digits"], "source=draw")
    with repainting(page, "#clean"):
        stroke(page)
    page.wait_for_function("() => location.hash.includes('own=')")
    page.wait_for_selector("#models .says b:visible")
    drawn, view = pixels(page, "#clean"), page.evaluate("location.hash")
    assert pixels(open_file(files["digits"], view.removeprefix("#")), "#clean") == drawn


def test_what_needs_a_server_is_not_there(open_file, files):
    page = open_file(files["digits"], "source=upload&photo=3")
    assert page.locator("#tab-upload").is_hidden()
    assert page.locator("#tab-draw").get_attribute("aria-selected") == "true"
    page.keyboard.press("u")
    page.focus("#tab-draw")
    page.keyboard.press("ArrowRight")  # comes round to the first: there is no tab that cannot be seen
    assert page.locator("#tab-pick").get_attribute("aria-selected") == "true"
    assert page.locator("#upload").is_hidden()
    page.click("#show-keys")
    assert "upload" not in page.locator("#keys").inner_text().lower()
    page = open_file(files["colour"])
    assert page.locator("[role=tablist][aria-label='Where the image comes from'] button:visible").all_inner_texts() == [
        "Pick one"
    ]
    page.keyboard.press("d")
    assert page.locator("#draw").is_hidden()


def test_a_file_that_was_cut_short_says_so(files, browser):
    page = browser.new_page()
    html = files["digits"].read_text("utf-8")
    at = html.index('id="about">') + 200
    page.set_content(html[:at] + html[html.index("</script>", at) :])
    page.wait_for_selector("text=this file is damaged or was cut short")
    page.close()


def test_a_model_of_patches_shows_its_patches(open_file, photograph_model, photographs, tmp_path):
    file = tmp_path / "patches.html"
    assert run_command(["explore", str(photograph_model), str(photographs), "--export", str(file)]) == 0
    page = open_file(file)
    page.wait_for_selector("#clean-says:has-text('test patch no. 0')")
    page.wait_for_selector("#models .says b:visible")
