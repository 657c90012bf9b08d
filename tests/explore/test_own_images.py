"""`isthmus explore MODEL` of one's own photographs: which images it shows, and larger pictures patch by patch."""

import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from isthmus.analysis.patchwork import of_patches, patchwork
from isthmus.cli import run_command
from isthmus.commands.images.gallery import gallery_of
from isthmus.errors import RequestError
from isthmus.explore.answers import routes
from isthmus.explore.answers.noise import apply, part_of
from isthmus.explore.folder import Run, look
from isthmus.explore.serving.application import application
from isthmus.explore.shelf_loader import shelve


def test_a_model_finds_the_images_that_it_was_fitted_on(photograph_model, photographs):
    found = gallery_of(photograph_model)
    assert found.images.shape == (3, 8, 8)
    assert len(found.images) <= 3000
    assert [one.name for one in found.files] == ["china.png", "flower.png"]
    assert "trained on these 2 images" in found.notes[0]
    shelf = shelve(photograph_model, found)
    assert shelf.whole
    about = routes.about(shelf)
    assert (about["whole"], about["plain"], about["files"]) == (True, False, ["china.png", "flower.png"])
    # the patches that models are measured on are of all photographs
    assert len(set(found.images.names[:50])) == 2


def test_what_is_not_as_it_was_is_not_shown_and_the_way_out_is_told(photograph_model, photographs, tmp_path, capsys):
    config = json.loads((photograph_model / "config.json").read_text())
    assert config["extra"]["images"] == str(photographs)
    other = shutil.copytree(photographs, tmp_path / "photographs")
    (other / "china.png").unlink()
    hidden = photographs.rename(photographs.with_name("hidden"))
    try:
        gone = gallery_of(photograph_model)
        said = capsys.readouterr().err
        shutil.copytree(other, photographs)  # in its place something else
        changed = gallery_of(photograph_model)
        shutil.rmtree(photographs)
    finally:
        hidden.rename(photographs)
    for found in (gone, changed):
        assert found.images is None
        assert found.files == ()
        assert found.photographs
    assert f"give them: isthmus explore {photograph_model} DATA" in said
    given = gallery_of(photograph_model, str(other))
    assert [one.name for one in given.files] == ["flower.png"]
    assert given.notes == (f"{photograph_model} was trained on this image: expect larger errors on new ones.",)


def test_held_out_images_are_shown_where_it_is_known_which_they_are(tmp_path, x):
    folder = tmp_path / "digits"
    folder.mkdir()
    for i in range(40):
        Image.fromarray((255 * x[i]).reshape(4, 4).astype(np.uint8)).save(folder / f"{i}.png")
    command = ["fit", str(folder), "-o", str(tmp_path / "m"), "--bottleneck", "2", "--epochs", "1", "--threads", "1"]
    assert run_command(command) == 0
    found = gallery_of(tmp_path / "m")
    seen = json.loads((tmp_path / "m" / "config.json").read_text())["extra"]["seen"]
    tested = sorted(set(seen["left_out"]) - set(seen["selected_on"]))
    assert sorted(found.images.names) == tested
    assert 0 < len(tested) < 40
    assert f"{len(tested)} images, held out of the training" in found.title
    assert found.notes == ()


def test_data_goes_with_a_model_that_takes_it(run, photographs, tmp_path, capsys):
    assert run_command(["explore", str(run), str(photographs), "--no-browser"]) == 2
    assert "give DATA with one of its models" in capsys.readouterr().err
    assert run_command(["explore", str(run / "models" / "wide"), "phtos", "--no-browser"]) == 2
    assert "there is no file or folder phtos" in capsys.readouterr().err
    model = run / "models" / "wide"
    assert isinstance(look(model), Run)
    assert look(model, alone=True) == model.resolve()
    np.save(tmp_path / "large.npy", np.zeros((3, 9, 9), np.uint8))
    with pytest.raises(RequestError, match=r"3 images holds images of 1×9×9, and .* takes 1×8×8"):
        shelve(model, gallery_of(model, str(tmp_path / "large.npy")))
    assert len(shelve(model, gallery_of(model, "digits")).images) == 360


@pytest.fixture
def whole(photograph_model):
    """The shelf of a model of patches, and a client of its page."""
    shelf = shelve(photograph_model, gallery_of(photograph_model))
    with TestClient(application(shelf), base_url="http://127.0.0.1:8765") as client:
        yield shelf, client


def arrays(response):
    import safetensors.numpy

    assert response.status_code == 200, response.text
    return safetensors.numpy.load(response.content)


def test_a_larger_picture_goes_through_patch_by_patch(whole, photographs):
    shelf, client = whole
    x = arrays(client.post("/api/picture", content=(photographs / "china.png").read_bytes()))["x"]
    assert x.shape == (3, 60, 90)  # and not 8×8
    np.testing.assert_array_equal(x, arrays(client.get("/api/picture?file=0"))["x"])
    words = "models=photos&level=0.2&rows=60&columns=90"
    found = arrays(client.post(f"/api/reconstruct?{words}", content=x.astype("<f4").tobytes()))
    x_in = apply(part_of("gaussian", 0.2), x.reshape(1, -1), x.shape, 0)
    np.testing.assert_array_equal(found["noisy"].ravel(), x_in[0])
    model = shelf.model("photos")
    expected = patchwork(of_patches(model, 3), x_in.reshape(x.shape), (8, 8))
    np.testing.assert_allclose(found["x_hat"][0], expected, atol=1e-6)
    assert found["mse"][0] == pytest.approx(((expected - x) ** 2).mean(), rel=1e-5)
    for words, reason in (
        ("rows=7&columns=90", "rows must be from 8"),
        ("rows=60000&columns=60000", "rows × columns must be at most 600,000"),
        ("rows=60&columns=91", "pixels"),
    ):
        refused = client.post(f"/api/reconstruct?models=photos&{words}", content=x.astype("<f4").tobytes())
        assert refused.status_code == 400
        assert reason in refused.json()["error"]
    assert "file must be from" in client.get("/api/picture?file=2").json()["error"]


@pytest.mark.parametrize(
    ("size", "becomes"),
    [((60, 40), (60, 40)), ((3000, 2000), (670, 447)), ((4, 20), (8, 40)), ((16, 16), (16, 16))],
)
def test_a_whole_picture_is_scaled_down_to_what_is_quick_and_no_smaller_than_a_patch(whole, size, becomes):
    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, "PNG")
    x = arrays(whole[1].post("/api/picture", content=file.getvalue()))["x"]
    assert x.shape == (3, *becomes[::-1])
    assert (x.mean(axis=(1, 2)) == [1, 0, 0]).all()


def test_a_strip_is_refused(whole):
    file = io.BytesIO()
    Image.new("RGB", (20_000, 2)).save(file, "PNG")
    assert whole[1].post("/api/picture", content=file.getvalue()).json()["error"].startswith("the picture is a strip")
