"""The epoch slider: models as they were during training, in the answers and on the page."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy
from starlette.testclient import TestClient

from isthmus import persistence
from isthmus.cli import run_command
from isthmus.explore.earlier import model_at
from isthmus.explore.serving.application import application
from isthmus.explore.shelf import MOST_EPOCHS
from isthmus.explore.shelf_loader import open_shelf

HERE = "http://127.0.0.1:8765"
EPOCHS = 6
STUDY = """
title = "epochs"
[data]
name = "digits"
train = 300
test = 100
[[model]]
name = "pca"
estimator = "pca"
n_components = 4
[[model]]
name = "long"
estimator = "autoencoder"
network = {kind = "dense", hidden = [12], bottleneck = 4, output = "sigmoid"}
epochs = 6
batch_size = 30
learning_rate = 0.01
[[model]]
name = "short"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 4, output = "sigmoid"}
epochs = 3
batch_size = 30
[[model]]
name = "of-codes"
estimator = "autoencoder"
network = {kind = "dense", bottleneck = 2}
epochs = 3
batch_size = 30
of = "pca"
"""


@pytest.fixture(scope="module")
def epochs_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("epochs")
    (folder / "epochs.toml").write_text(STUDY, "utf-8")
    command = ["run", str(folder / "epochs.toml"), "--threads", "1", "--device", "cpu", "--out", str(folder)]
    assert run_command([*command, "--keep-states"]) == 0
    return folder / "epochs"


@pytest.fixture(scope="module")
def epochs_shelf(epochs_run):
    return open_shelf(epochs_run)


@pytest.fixture(scope="module")
def client(epochs_shelf):
    with TestClient(application(epochs_shelf), base_url=HERE) as one:
        yield one
    epochs_shelf.closing.clear()


@pytest.fixture(scope="module")
def address(epochs_shelf, serve):
    with serve(epochs_shelf) as here:
        yield here
    epochs_shelf.closing.clear()


def ask(client, path, shelf=None):
    body = None if shelf is None else shelf.images.floats(slice(7, 8)).astype("<f4").tobytes()
    response = client.get(f"/api/{path}") if body is None else client.post(f"/api/{path}", content=body)
    assert response.status_code == 200, response.text
    return safetensors.numpy.load(response.content)


def test_the_page_says_which_models_have_which_epochs(client, shelf):
    models = {facts["name"]: facts.get("epochs") for facts in client.get("/api/about").json()["models"]}
    assert models == {"pca": None, "long": [*range(7)], "short": [*range(4)], "of-codes": [*range(4)]}
    assert all("epochs" not in facts for facts in _about(shelf)["models"]), "without states nothing changes"


def _about(shelf):
    with TestClient(application(shelf), base_url=HERE) as one:
        about = one.get("/api/about").json()
    shelf.closing.clear()
    return about


def test_an_answer_of_an_epoch_is_of_the_models_as_they_were_then(client, epochs_shelf, epochs_run):
    x = epochs_shelf.images.floats(slice(7, 8))
    now = ask(client, "reconstruct?models=pca,long,short", epochs_shelf)
    then = ask(client, "reconstruct?models=pca,long,short&epoch=1", epochs_shelf)
    np.testing.assert_array_equal(then["x_hat"][0], now["x_hat"][0])
    for place, name in ((1, "long"), (2, "short")):
        assert np.abs(then["x_hat"][place] - now["x_hat"][place]).max() > 0.01
        state = epochs_run / "states" / name / "000001.safetensors"
        earlier = model_at(persistence.load(epochs_run / "models" / name), state)
        np.testing.assert_array_equal(then["x_hat"][place].ravel(), earlier.reconstruct(x).ravel())
    assert then["mse"][1] > now["mse"][1]


def test_from_its_last_epoch_on_a_model_is_as_it_is_and_between_two_the_nearest(client, epochs_shelf):
    def at(name, epoch=None):
        words = "" if epoch is None else f"&epoch={epoch}"
        return ask(client, f"reconstruct?models={name}{words}", epochs_shelf)["x_hat"].tobytes()

    assert at("short", 3) == at("short", 5) == at("short", 10**9) == at("short")
    assert len({at("long", epoch) for epoch in range(EPOCHS + 1)}) == EPOCHS + 1
    states = dict(epochs_shelf.entries["long"].states)
    try:
        epochs_shelf.entries["long"].states = {epoch: states[epoch] for epoch in (0, 2, 6)}
        epochs_shelf._epochs.clear()
        assert at("long", 3) == at("long", 2)
        assert at("long", 1) == at("long", 0), "of two that are as near the earlier"
        assert at("long", 5) == at("long")
    finally:
        epochs_shelf.entries["long"].states = states
        epochs_shelf._epochs.clear()


def test_a_model_of_codes_is_of_the_other_model_as_it_is(client, epochs_shelf):
    now, then = (ask(client, f"code?model=of-codes{words}", epochs_shelf)["code"] for words in ("", "&epoch=0"))
    assert now.shape == then.shape == (2,)
    assert np.abs(now - then).max() > 1e-3
    assert epochs_shelf.at(0).model("of-codes").steps[0][1] is epochs_shelf.model("of-codes").steps[0][1]


def test_units_and_the_map_are_of_the_epoch(client, epochs_shelf):
    for question in ("units?model=long", "map?model=long"):
        now, then = ask(client, question), ask(client, f"{question}&epoch=1")
        assert any(np.abs(now[name] - then[name]).max() > 1e-3 for name in now)
    # a point of the plane still stands for a code: those of the images are as near to it as before it was turned
    found = ask(client, "map?model=long&epoch=1")
    codes = epochs_shelf.at(1).model("long").transform(epochs_shelf.images.floats())
    np.testing.assert_allclose((codes - found["centre"]) @ found["axes"].T, found["points"], atol=1e-3)
    np.testing.assert_allclose(found["axes"] @ found["axes"].T, np.eye(2), atol=1e-5)
    # and it lies with the map as it is: not mirrored in the one or the other axis
    now = ask(client, "map?model=long")["points"]
    for mirror in ([-1, 1], [1, -1], [-1, -1]):
        assert np.sum(found["points"] * now) >= np.sum(found["points"] * mirror * now)


def test_a_few_epochs_stay_in_memory(epochs_shelf):
    for epoch in range(3 * MOST_EPOCHS):
        epochs_shelf.at(epoch)
    assert len(epochs_shelf._epochs) == MOST_EPOCHS
    last = epochs_shelf.at(3 * MOST_EPOCHS - 1)
    assert last.model("long") is epochs_shelf.at(3 * MOST_EPOCHS - 1).model("long")


@pytest.mark.parametrize("epoch", ["-1", "1.5", "x", "1e12"])
def test_an_epoch_that_is_none_is_refused(client, epoch):
    response = client.get(f"/api/units?model=long&epoch={epoch}")
    assert response.status_code == 400
    assert "epoch" in response.json()["error"]


def test_damaged_states_are_said_and_those_of_another_training_left_out(epochs_run, tmp_path):
    run = shutil.copytree(epochs_run, tmp_path / "epochs")
    shutil.copy(run / "states" / "short" / "000001.safetensors", run / "states" / "long" / "000001.safetensors")
    (run / "states" / "long" / "000002.safetensors").write_bytes(b"nothing")
    shelf = open_shelf(run)
    assert list(shelf.entries["long"].states) == [0, 3, 4, 5, 6]
    state = run / "states" / "long" / "000003.safetensors"
    state.write_bytes(state.read_bytes()[:-50])
    with TestClient(application(shelf), base_url=HERE) as one:
        response = one.get("/api/units?model=long&epoch=3")
    assert response.status_code == 400
    assert "000003.safetensors is damaged" in response.json()["error"]


def test_a_finished_run_says_that_states_need_another_training(epochs_run, tmp_path, capsys):
    run = shutil.copytree(epochs_run, tmp_path / "epochs")
    before = json.loads((run / "results.json").read_text("utf-8"))
    shutil.rmtree(run / "states" / "long")
    command = ["run", str(epochs_run.parent / "epochs.toml"), "--threads", "1", "--device", "cpu", "--out"]
    assert run_command([*command, str(tmp_path), "--keep-states"]) == 0
    assert "finished without states: long; --fresh trains again, and keeps them" in capsys.readouterr().err
    after = json.loads((run / "results.json").read_text("utf-8"))
    assert after.keys() == before.keys()
    assert after["rows"] == before["rows"]
    assert run_command([*command, str(tmp_path)]) == 0
    assert "states" not in capsys.readouterr().err
    assert run_command([*command, str(tmp_path), "--keep-states", "1"]) == 2
    assert "--keep-states must be at least 2, got 1" in capsys.readouterr().err


# --- the page in a browser ---

OUTPUT = ".epochs output"


def wait_for(page, text):
    page.wait_for_function("text => document.querySelector('.epochs output').textContent === text", arg=text)


def error_of(page, place):
    return page.locator(".card dd.mse").nth(place).text_content()


@pytest.mark.slow
def test_the_slider_shows_an_epoch_in_every_view_and_in_the_address(open_page):
    page = open_page()
    slider = page.get_by_role("slider", name="Epoch")
    assert slider.get_attribute("aria-valuetext") == "the end, epoch 6"
    ends = [error_of(page, place) for place in range(3)]
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    wait_for(page, "1 / 6")
    assert slider.get_attribute("aria-valuetext") == "1 of 6"
    page.wait_for_function("end => document.querySelectorAll('.card dd.mse')[1].textContent !== end", arg=ends[1])
    assert error_of(page, 0) == ends[0]
    assert page.locator(".card .tags").first.text_content() == "no epochs, as it is"
    page.wait_for_function("() => location.hash.includes('epoch=1')")
    then = [error_of(page, place) for place in range(3)]
    again = open_page(page.evaluate("location.hash.slice(1)"))
    wait_for(again, "1 / 6")
    assert [error_of(again, place) for place in range(3)] == then
    for view, name in (("inside", "long"), ("space", "long"), ("inside", "pca")):
        again = open_page(f"view={view}&model={name}&epoch=2")
        wait_for(again, "2 / 6")
        note = again.locator(".epochs p").text_content()
        assert note == ("pca: no epochs, as it is." if name == "pca" else "")
        again.wait_for_selector(f"#{view} .says b:has-text('{name}')")
    again = open_page("view=compare&epoch=2")
    assert again.locator(".epochs").is_hidden()


@pytest.mark.slow
@pytest.mark.parametrize("view", ["models", "inside", "space"])
def test_play_goes_from_the_start_to_the_end(open_page, view):
    page = open_page(f"view={view}&model=long", width=390, height=800)
    page.evaluate("""() => { window.texts = [];
        const output = document.querySelector(".epochs output"), kinds = { characterData: true, subtree: true };
        new MutationObserver(() => texts.push(output.textContent)).observe(output, kinds); }""")
    page.get_by_role("button", name="Play the training").click()
    page.get_by_role("button", name="Stop").wait_for()
    page.get_by_role("button", name="Play the training").wait_for()
    assert page.evaluate("texts") == [*(f"{epoch} / 6" for epoch in range(6)), "end"]
    page.keyboard.press("e")
    page.get_by_role("button", name="Stop").wait_for()
    page.keyboard.press("e")
    page.get_by_role("button", name="Play the training").wait_for()


@pytest.mark.slow
def test_play_is_slow_for_who_wants_less_motion(open_page):
    page = open_page("epoch=4", reduced_motion="reduce")
    page.evaluate("() => { window.begun = performance.now(); }")
    page.get_by_role("button", name="Play the training").click()
    wait_for(page, "end")
    assert page.evaluate("performance.now() - begun") > 1500


@pytest.mark.slow
def test_an_epoch_that_there_is_not_is_the_nearest(open_page):
    wait_for(open_page("epoch=5.7"), "5 / 6")
    wait_for(open_page("epoch=700"), "end")


@pytest.mark.slow
def test_without_states_there_is_no_slider(open_page, shelf, serve):
    with serve(shelf) as here:
        page = open_page("epoch=3", at=here)
        page.keyboard.press("e")
        assert page.locator(".epochs").count() == 0
        page.keyboard.press("n")  # after which the address is written anew
        page.wait_for_function("() => location.hash.includes('draw=1')")
        assert "epoch" not in page.evaluate("location.hash")
    shelf.closing.clear()
