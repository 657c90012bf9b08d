"""`isthmus explore` of denoisers of photographs: noisy, denoised and clean, whole, side by side, and under a wipe."""

import base64
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image
from sklearn.datasets import load_sample_image
from starlette.testclient import TestClient

import isthmus
from isthmus import Denoiser, GaussianNoise, Residual, metrics, persistence
from isthmus.commands.images.photograph_gallery import is_of_photographs, photograph_gallery
from isthmus.corruption import noisy_version
from isthmus.data.framing import Framing
from isthmus.data.identity import identities_of, to_text
from isthmus.errors import RequestError
from isthmus.estimators.adapters import adapter_of
from isthmus.estimators.denoising import tiles
from isthmus.estimators.denoising.denoiser_adapter import AtLevel
from isthmus.explore import shelf as shelves
from isthmus.explore.answers import photograph_routes as answers
from isthmus.explore.answers import uploads
from isthmus.explore.answers.wire import Query
from isthmus.explore.folder import look
from isthmus.explore.serving.application import application
from isthmus.explore.shelf import Leaving, PhotographShelf
from isthmus.explore.shelf_loader import shelve

HERE = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def folders(tmp_path_factory, photographs):
    """Two denoisers, one of colour photographs, of which it was trained on the first, and one of grey ones."""
    folder, made = tmp_path_factory.mktemp("restorers"), []
    images = [np.asarray(Image.open(file)) for file in sorted(photographs.glob("*.png"))]
    kinds = {"colour": lambda x: x.transpose(2, 0, 1), "grey": lambda x: x.mean(2)[None]}
    for name, kind in kinds.items():
        training = {"crop": 16, "crops_per_epoch": 512, "epochs": 1, "batch_size": 8, "learning_rate": 0.01}
        model = Denoiser(Residual(8, 4), noise=GaussianNoise((0, 0.2)), **training, random_state=0)
        model.fit([kind(x).astype(np.float32) / 255 for x in images])
        seen = {"trained": to_text(identities_of(images[0].transpose(2, 0, 1)[None])), "selected": to_text([])}
        persistence.save(model, folder / name, extra={"seen": seen} if name == "colour" else {})
        made.append(folder / name)
    return made


@pytest.fixture(scope="module")
def denoisers(folders, photographs):
    return shelve(folders[0], photograph_gallery(folders[0], str(photographs)), folders[1:])


@pytest.fixture
def client(denoisers):
    with TestClient(application(denoisers), base_url=HERE) as opened:
        yield opened
    denoisers.closing.clear()


def answer(response):
    """The arrays and the words of an answer."""
    assert response.status_code == 200, response.text
    length = int.from_bytes(response.content[:8], "little")
    words = json.loads(response.content[8 : 8 + length]).get("__metadata__", {})
    return safetensors.numpy.load(response.content), words


def refusal(response):
    assert response.status_code == 400
    return response.json()["error"]


def saved(pixels, kind="PNG", **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def shown(x):
    return np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)


@pytest.fixture
def china(client, photographs):
    """The key of the first photograph, and its pixels."""
    arrays, words = answer(client.get("/api/picture?file=0"))
    x = np.asarray(Image.open(photographs / "china.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(arrays["x"], x)
    return words["key"], x.astype(np.float32) * np.float32(1 / 255)


def test_the_page_says_what_there_is(client, folders):
    about = client.get("/api/about").json()
    assert [facts["name"] for facts in about["models"]] == ["colour", "grey"]
    assert about["title"] == "colour beside grey"
    assert about["files"] == ["china.png", "flower.png"]
    assert about["models"][0]["trained"] == [0, 0.2]
    assert about["models"][0]["parameters"] == isthmus.load(folders[0]).n_parameters_
    assert about["levels"][0] == 0
    assert client.get("/photographs.js").status_code == 200
    for path in ("images?positions=0", "map", "stops"):  # questions to other models
        assert client.get(f"/api/{path}").status_code == 404
    assert client.post("/api/search?model=colour").status_code == 404


@pytest.mark.parametrize("place", [0, 1])
def test_pictures_and_errors_are_the_librarys(client, denoisers, folders, china, place):
    key, x = china
    y = noisy_version(x.reshape(1, -1), GaussianNoise(0.1), x.shape, seed=3).reshape(x.shape)
    assert y.min() < 0  # not clipped
    arrays, _ = answer(client.get(f"/api/noisy?key={key}&level=0.1&draw=3"))
    np.testing.assert_array_equal(arrays["x"], shown(y))
    assert arrays["psnr"][0] == pytest.approx(20, abs=0.5)
    model = isthmus.load(folders[place])
    for blind, sigma in ((0, 0.1), (1, None)):
        at_level, path = AtLevel(model, sigma), f"denoised?key={key}&level=0.1&draw=3&blind={blind}"
        x_hat = adapter_of(at_level).reconstruct_image(y)
        arrays, _ = answer(client.get(f"/api/{path}&model={folders[place].name}"))
        np.testing.assert_array_equal(arrays["x"], shown(x_hat))
        assert arrays["sigma"].tolist() == at_level.sigmas
        assert arrays["psnr"][0] == pytest.approx(metrics.psnr(metrics.squared_error(x[None], x_hat[None]))[0])
        assert arrays["psnr"][0] > 20.5
    # two questions at once would mix what is noted on a model, so that none is
    assert not hasattr(denoisers.model(folders[place].name), "sigma_")


def test_a_photograph_as_it_is_is_denoised_by_the_level_that_is_estimated(client, folders, china):
    key, x = china
    arrays, _ = answer(client.get(f"/api/denoised?key={key}&model=colour&blind=0"))
    model = isthmus.load(folders[0])
    np.testing.assert_array_equal(arrays["x"], shown(model.denoise([x])[0]))
    assert arrays["sigma"][0] == model.sigma_[0] > 0


def test_a_colour_image_has_the_level_of_all_its_channels(folders):
    y = np.random.default_rng(0).normal(0.5, 1, (3, 64, 64)) * np.array([0.01, 0.02, 0.2])[:, None, None]
    model = isthmus.load(folders[1])
    each = [model.denoise([plane[None]]) and model.sigma_[0] for plane in y]
    at_level = AtLevel(model, None)
    adapter_of(at_level).reconstruct_image(y)
    assert at_level.sigmas == pytest.approx([np.sqrt(np.mean(np.square(each)))])
    assert each[0] < at_level.sigmas[0] < each[2]


def test_an_upload_is_read_as_commands_read_it_and_of_a_large_one_the_middle(client, monkeypatch, photographs):
    file = (photographs / "flower.png").read_bytes()
    arrays, words = answer(client.post("/api/picture?name=mine.png", content=file))
    whole = np.asarray(Image.open(photographs / "flower.png")).transpose(2, 0, 1)
    np.testing.assert_array_equal(arrays["x"], whole)
    assert (words["said"], words["seen"]) == ("60×80, as it is", "")
    monkeypatch.setattr(uploads, "MOST_PHOTOGRAPH", 1200)
    x, said, identity = uploads.read_photograph(file, Framing())
    np.testing.assert_array_equal(x, whole[:, 20:60, 15:45], strict=True)
    assert said == "60×80, too large to show whole: its middle of 30×40"
    assert identity == identities_of(whole[None])[0]
    deep = np.random.default_rng(0).integers(0, 65536, (70, 70), np.uint16)
    arrays, words = answer(client.post("/api/picture?name=deep.png", content=saved(deep)))
    np.testing.assert_array_equal(arrays["x"], np.broadcast_to(shown(deep / 65535), (3, 70, 70)))  # as colour
    assert "mine is not a PNG" in refusal(client.post("/api/picture?name=mine", content=b"no picture"))
    assert "file must be from 0 to 1" in refusal(client.get("/api/picture?file=2"))


def test_what_a_model_was_trained_on_is_known_by_its_pixels(client, photographs):
    again = saved(np.asarray(Image.open(photographs / "china.png")), "TIFF")
    words = answer(client.post("/api/picture?name=renamed.tif", content=again))[1]
    assert words["seen"] == "colour was trained on this photograph: expect larger errors on new ones."
    assert answer(client.get("/api/picture?file=1"))[1]["seen"] == ""


def test_thumbnails_are_small(client, monkeypatch):
    monkeypatch.setattr(answers, "THUMBNAIL", 45)
    assert answer(client.get("/api/thumbnail?file=0"))[0]["x"].shape == (3, 30, 45)


def test_questions_that_cannot_be_answered(client, china):
    key, _ = china
    assert "not open any more" in refusal(client.get("/api/noisy?key=none&level=0.1"))
    assert "level must be from 0 to 10" in refusal(client.get(f"/api/noisy?key={key}&level=11"))
    assert "level must be from 0 to 10" in refusal(client.get(f"/api/noisy?key={key}&level=nan"))
    assert 'unknown model "gray"' in refusal(client.get(f"/api/denoised?key={key}&model=gray"))
    assert 'needs "key"' in refusal(client.get("/api/denoised?model=grey"))


def test_the_photograph_that_was_used_longest_ago_is_closed(denoisers, monkeypatch):
    monkeypatch.setattr(shelves, "MOST_OPENED", 2)
    shelf = PhotographShelf("", denoisers.models)
    for key in ("a", "b"):
        shelf.open(key, np.zeros((3, 1, 1), np.float32))
    shelf.photograph("a")
    shelf.open("c", np.ones((3, 1, 1), np.float32))
    assert shelf.photograph("a").sum() == 0
    with pytest.raises(RequestError, match="choose it again"):
        shelf.photograph("b")


def test_what_nobody_waits_for_ends_with_its_tile(denoisers, monkeypatch):
    gone, done = threading.Event(), []
    denoisers.open("large", np.random.default_rng(0).random((3, 40, 40), np.float32))
    monkeypatch.setattr(tiles.denoise_tiles, "__kwdefaults__", tiles.denoise_tiles.__kwdefaults__ | {"tile": 20})
    query = Query({"key": "large", "level": "0.1", "model": "colour"}, gone)
    monkeypatch.setattr(query, "go_on", lambda: (done.append(1), len(done) == 2 and gone.set(), Query.go_on(query)))
    with pytest.raises(Leaving):
        answers.denoised(denoisers, query, b"")
    assert len(done) == 2  # of four tiles


def test_how_far_a_question_is_can_be_asked(denoisers, client, monkeypatch):
    seen = []
    denoisers.open("large", np.random.default_rng(0).integers(0, 256, (3, 40, 40), np.uint8))
    monkeypatch.setattr(tiles.denoise_tiles, "__kwdefaults__", tiles.denoise_tiles.__kwdefaults__ | {"tile": 20})

    def tiles_done():
        return answer(client.get("/api/progress?task=mine"))[0]["tiles"].tolist()

    query = Query({"key": "large", "level": "0.1", "model": "colour", "task": "mine"})
    monkeypatch.setattr(query, "go_on", lambda: seen.append(tiles_done()))
    assert answers.denoised(denoisers, query, b"")[0]["x"].shape == (3, 40, 40)
    assert seen == [[0, 0], [1, 4], [2, 4], [3, 4]]  # asked before each is noted
    assert tiles_done() == [0, 0]
    query = Query({"key": "large", "level": "0.1", "model": "colour", "task": "a" * 41})
    with pytest.raises(RequestError, match="task must be of at most 40 letters"):
        answers.denoised(denoisers, query, b"")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_a_photograph_of_a_phone_is_opened_whole(client, denoisers, kind):
    """12 million pixels: in 8 bits, and beyond what other models' pictures may have."""
    x = np.tile(np.asarray(load_sample_image("china.jpg")), (8, 7, 1))[:3024, :4032]
    file = saved(
        x, kind, **({"quality": 80} if kind == "JPEG" else {"compression": "tiff_lzw"} if kind == "TIFF" else {})
    )
    arrays, words = answer(client.post(f"/api/picture?name=phone.{kind.lower()}", content=file))
    assert words["said"] == "4032×3024, as it is"
    assert arrays["x"].shape == (3, 3024, 4032)
    if kind != "JPEG":
        np.testing.assert_array_equal(arrays["x"], x.transpose(2, 0, 1))
    assert denoisers.photograph(words["key"]).dtype == np.uint8  # a quarter of float32


def test_what_is_larger_is_cut_to_its_middle_whatever_its_format(client):
    x = np.zeros((4500, 4600), np.uint8)
    arrays, words = answer(client.post("/api/picture?name=scan.png", content=saved(x)))
    assert words["said"].startswith("4600×4500, too large to show whole: its middle of 4141×4051")
    assert arrays["x"].shape == (3, 4051, 4141)
    for kind in ("BMP", "TIFF"):
        sizes = np.zeros((8200, 8200), bool)
        assert "at most 67 million are read" in refusal(client.post("/api/picture?name=a", content=saved(sizes, kind)))


def test_few_photographs_of_a_phone_are_held(denoisers, monkeypatch):
    monkeypatch.setattr(shelves, "MOST_BYTES", 250)
    shelf = PhotographShelf("", denoisers.models)
    for key in "abcd":
        shelf.open(key, np.zeros((3, 5, 8), np.uint8))  # 120 bytes
    assert shelf.photograph("d").size == shelf.photograph("c").size
    with pytest.raises(RequestError, match="choose it again"):
        shelf.photograph("b")
    shelf.open("e", np.zeros((3, 50, 80), np.uint8))  # one is always held
    assert shelf.photograph("e").size == 12_000


def test_what_stands_beside_a_denoiser_is_one(folders, photograph_model, run):
    gallery = photograph_gallery(folders[0])
    assert gallery.files == ()
    assert not is_of_photographs(photograph_model)
    for target, beside, reason in (
        (folders[0], photograph_model, "photos is not a denoiser of whole photographs"),
        (photograph_model, folders[0], "photos is not a denoiser of whole photographs"),
        (folders[0], folders[0], "given once"),
        (look(run), folders[0], "is a run"),
    ):
        with pytest.raises(RequestError, match=reason):
            shelve(target, gallery, [beside])


@pytest.mark.parametrize("data", ["digits", "numbers.npy"])
def test_a_denoiser_is_shown_files(folders, tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    np.save("numbers.npy", np.zeros((2, 60, 60)))
    with pytest.raises(RequestError, match=rf"{data}: a denoiser is shown photographs; give a folder of image files"):
        photograph_gallery(folders[0], data)


# --- in a browser ---


def painted(page, selector):
    """What is painted on a canvas, (height, width, 3)."""
    url = page.eval_on_selector(selector, "canvas => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).convert("RGB"))


def says(page, text):
    page.wait_for_function(
        "text => document.querySelector('#photograph-says').textContent.match(text)", arg=text, timeout=30_000
    )
    return page.text_content("#photograph-says")


def slide(page, selector, value):
    page.eval_on_selector(selector, f"one => {{ one.value = {value}; one.dispatchEvent(new Event('input')); }}")


def divider(page):
    return page.eval_on_selector("#divider", "one => parseFloat(one.style.left)")


CANVAS = "#sheet canvas >> nth={}"


@pytest.mark.slow
def test_a_person_wipes_magnifies_and_uploads(open_page, serve, denoisers, photographs):
    rng = np.random.default_rng(0)
    with serve(denoisers) as address:
        page = open_page("level=0.1", at=address, ready=False)
        page.wait_for_selector("html[data-ready]")
        assert "The best of 2, colour, raises the PSNR from 19.9 to " in says(page, "PSNR")
        # each picture at full size, the wipe between the noisy one and the first model's
        assert page.eval_on_selector("#sheet", "one => [one.offsetWidth, one.offsetHeight]") == [90, 60]
        clean = np.asarray(Image.open(photographs / "china.png"))
        np.testing.assert_array_equal(painted(page, CANVAS.format(3)), clean)
        noisy, denoised = (painted(page, CANVAS.format(i)).astype(float) for i in (0, 1))
        assert ((denoised - clean) ** 2).mean() < ((noisy - clean) ** 2).mean()
        assert divider(page) == 45
        page.focus("#wipe")
        page.keyboard.press("Home")
        assert divider(page) == 0
        slide(page, "#wipe", 80)
        assert divider(page) == 72
        assert page.eval_on_selector(CANVAS.format(0), "one => one.style.clipPath") == "inset(0px 18px 0px 0px)"
        assert page.eval_on_selector(CANVAS.format(1), "one => one.style.clipPath") == "inset(0px 0px 0px 72px)"
        box = page.locator(".knob").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 2 - 27, box["y"], steps=3)
        page.mouse.up()
        assert divider(page) == pytest.approx(45, abs=1)
        # the lens follows the pointer, and shows the same place of all pictures
        page.hover("#sheet", position={"x": 30, "y": 24})
        for i in range(4):
            whole = painted(page, CANVAS.format(i))
            np.testing.assert_array_equal(painted(page, f".lenses canvas >> nth={i}"), whole[:48, 6:54])
        page.focus("#sheet")
        page.keyboard.press("ArrowDown")
        np.testing.assert_array_equal(painted(page, ".lenses canvas >> nth=3"), clean[8:56, 6:54])
        # the models estimate, and then nothing is added
        page.check("#blind")
        page.wait_for_selector(r".lenses >> text=/σ 0\.\d\d\d estimated · \d+\.\d dB/")
        slide(page, "#level", 0)
        assert "add noise for that" in says(page, "Nothing clean is known")
        assert page.locator(".lenses figure:visible").count() == 3
        wide = saved(rng.integers(0, 255, (70, 700, 3), np.uint8))
        page.set_input_files("#file", {"name": "mine.png", "mimeType": "image/png", "buffer": wide})
        assert "mine.png, 700×70, as it is. colour finds noise of σ 0." in says(page, "mine.png.*Nothing")
        # a wide picture scrolls on a phone, and the divider stays in sight
        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.eval_on_selector("#stage", "one => { one.scrollLeft = 300; }")
        page.wait_for_function("() => parseFloat(document.querySelector('#divider').style.left) > 310")
        audit = (Path(__file__).parent / "audit.js").read_text("utf-8")
        assert page.evaluate(f"(() => {{ {audit}; return [...nameless(), ...faint()]; }})()") == []
        page.click(".strip button >> nth=1")
        says(page, "flower.png")
        page.wait_for_function("() => location.hash.includes('photo=1')")
    denoisers.closing.clear()


def test_a_large_photograph_says_how_far_it_is(open_page, serve, denoisers, monkeypatch):
    """Some dozens of tiles, each of which takes a twentieth of a second longer."""
    monkeypatch.setattr(tiles, "TILE", 20)
    go_on = Query.go_on
    monkeypatch.setattr(Query, "go_on", lambda query: (go_on(query), "task" in query.words and time.sleep(0.05)))
    x = saved(np.random.default_rng(0).integers(0, 255, (120, 120, 3), np.uint8))
    with serve(denoisers) as address:
        page = open_page("level=0", at=address, ready=False)
        page.wait_for_selector("html[data-ready]")
        says(page, "Nothing clean is known")
        page.set_input_files("#file", {"name": "large.png", "mimeType": "image/png", "buffer": x})
        assert "large.png, 120×120, as it is. Denoising … " in says(page, r"large.* Denoising … \d0 %")
        page.wait_for_selector(r".lenses >> text=/denoising … \d+ %/")
        says(page, "large.* Nothing clean is known")
        assert "%" not in page.text_content(".lenses")
        page.close()
    denoisers.closing.clear()


@pytest.mark.slow
def test_many_models_are_summed_up_and_a_narrow_picture_has_no_pane_beside_it(
    open_page, serve, folders, photographs, tmp_path
):
    shutil.copytree(folders[0], tmp_path / "third")
    shelf = shelve(folders[0], photograph_gallery(folders[0], str(photographs)), [folders[1], tmp_path / "third"])
    with serve(shelf) as address:
        page = open_page("level=0", at=address, ready=False)
        page.wait_for_selector("html[data-ready]")
        assert re.search(
            r"as it is\. The 3 models find noise of σ (0\.\d{3}) to (0\.\d{3}) in it, \d+ to \d+ of 255\.",
            says(page, "Nothing clean is known"),
        )
        estimated = page.locator(".lenses >> text=/σ 0.* estimated/").all_text_contents()
        assert len(estimated) == 3
        assert page.eval_on_selector("#stage", "one => one.clientWidth") == 90
    shelf.closing.clear()


@pytest.mark.slow
def test_scenes_of_photographs_set_the_page_up_by_one_click(open_page, serve, denoisers):
    with serve(denoisers) as here:
        page = open_page(at=here, ready=False)
        page.wait_for_selector("html[data-ready]")
        titles = page.locator("#scenes a").all_text_contents()
        assert len(titles) == 4
        page.click("#scenes a:has-text('Where is it wrong?')")
        page.wait_for_selector("#photograph-says:has-text('PSNR')")
        assert page.is_checked("#heat")
        assert page.text_content("#level-says") == "0.10"  # half of the most that a model learned from
        page.click("#scenes .hint button")
        page.wait_for_function("() => document.getElementById('blind').checked")
        assert not page.is_checked("#heat")
        page.click(f"#scenes a:has-text('{titles[3]}')")
        page.wait_for_function("() => document.getElementById('from').value === 'colour'")
        assert page.eval_on_selector("#to", "one => one.value") == "grey"
        page.close()
    denoisers.closing.clear()


def test_the_heat_of_a_denoised_photograph_lies_over_the_models_side(open_page, serve, denoisers):
    with serve(denoisers) as here:
        page = open_page("level=0.1&from=0&to=1", at=here, ready=False)
        page.wait_for_selector("#photograph-says:has-text('PSNR')")
        hot = "#sheet > canvas:last-of-type"
        assert page.locator(hot).is_hidden()
        page.check("#heat")
        assert page.locator(hot).is_visible()
        read = "one => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data]"
        strength = np.array(page.eval_on_selector(hot, read)[3::4])
        assert strength.std() > 1
        assert page.eval_on_selector(hot, "one => one.style.clipPath").startswith("inset(0px 0px 0px ")
        again = open_page("level=0.1&from=0&to=1&heat=1", at=here, ready=False)
        again.wait_for_selector(f"{hot}:visible")
        again.select_option("#to", "noisy")  # two pictures that no model made
        again.wait_for_selector(hot, state="hidden")
        assert again.locator("#heat").is_disabled()
        again.close()
        page.close()
    denoisers.closing.clear()


def test_the_command_opens_the_page(folders, photographs):
    readme = (Path(isthmus.__file__).parents[1] / "README.md").read_text("utf-8")
    assert "`isthmus explore restorer photographs/`" in readme
    options = ["--beside", str(folders[1]), "--no-browser", "--port", "0"]
    command = [sys.executable, "-m", "isthmus", "explore", str(folders[0]), str(photographs), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{address}api/about", timeout=60) as response:
                about = json.load(response)
            assert [facts["name"] for facts in about["models"]] == ["colour", "grey"]
            assert about["notes"] == [f"{photographs}: 2 photographs"]
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
