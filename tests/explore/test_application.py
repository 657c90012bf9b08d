"""The HTTP interface: the answers are the library's, bit for bit; guests are refused; nothing ends the server."""

import http.client
import struct
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import t as student
from starlette.testclient import TestClient

from isthmus import metrics
from isthmus.analysis import probe
from isthmus.estimators.adapters import reconstruct
from isthmus.explore.answers import reconstructions, routes
from isthmus.explore.answers.noise import apply, part_of
from isthmus.explore.serving.application import MOST_BYTES, application
from isthmus.explore.shelf import Leaving, Shelf
from isthmus.studies.results.measure import measure

PIXELS = 64
HERE = "http://127.0.0.1:8765"


@pytest.fixture(scope="module")
def client(shelf):
    with TestClient(application(shelf), base_url=HERE) as one:
        yield one
    shelf.closing.clear()  # the shelf outlives this server


def body(*rows):
    """Arrays as a request holds them."""
    return np.concatenate([np.ravel(row) for row in rows]).astype("<f4").tobytes()


def arrays(response):
    assert response.status_code == 200, response.text
    return safetensors.numpy.load(response.content)


def test_the_page_says_what_there_is(client, shelf):
    about = client.get("/api/about").json()
    assert [one["name"] for one in about["models"]] == list(shelf.entries)
    assert about["data"]["n"] == 360
    assert about["data"]["student"] == pytest.approx(student.ppf(0.975, 359))
    assert about["data"]["labels"] == shelf.images.labels.tolist()


def test_images_are_the_test_images(client, shelf):
    found = arrays(client.get("/api/images?positions=3,1,3"))["pixels"]
    np.testing.assert_array_equal(found, shelf.images.pixels[[3, 1, 3]])


def test_reconstructions_are_the_librarys_of_one_noisy_image(client, shelf, image):
    names = ["nothing", "pca-4-2", "deep", "unpool"]
    found = arrays(client.post(f"/api/reconstruct?models={','.join(names)}&level=0.4&draw=3", content=body(image)))
    x_in = apply(part_of("gaussian", 0.4), image, shelf.shape, 3)
    np.testing.assert_array_equal(found["noisy"].ravel(), x_in[0])
    for i, name in enumerate(names):
        x_hat = reconstruct(shelf.model(name), x_in)
        np.testing.assert_array_equal(found["x_hat"][i].ravel(), x_hat[0].astype(np.float32))
        assert found["mse"][i] == pytest.approx(metrics.squared_error(image, x_hat)[0], rel=1e-6)
    np.testing.assert_allclose(found["psnr"], -10 * np.log10(found["mse"]))
    assert found["mse"][0] == found["noisy_mse"][0]  # the model that does nothing
    assert arrays(client.post("/api/reconstruct?models=", content=body(image)))["x_hat"].shape == (0, 1, 8, 8)


@pytest.mark.parametrize("kind", ["gaussian", "masking", "salt-and-pepper", "occlusion", "poisson"])
def test_all_stops_at_once_are_each_stop_by_itself(client, shelf, image, kind):
    path = f"?models=nothing,pca-4-2,deep,unpool&kind={kind}&draw=3"
    found = arrays(client.post(f"/api/stops{path}", content=body(image)))
    stops = client.get("/api/about").json()["noise"][kind]["stops"]
    assert found["level"].tolist() == stops
    assert found["x_hat"].shape == (4, len(stops), 1, 8, 8)
    for i in (0, 1, len(stops) // 2, len(stops) - 1):
        one = arrays(client.post(f"/api/reconstruct{path}&level={stops[i]}", content=body(image)))
        np.testing.assert_array_equal(found["noisy"][i], one["noisy"])
        assert found["noisy_mse"][i] == one["noisy_mse"][0]
        np.testing.assert_allclose(found["x_hat"][:, i], one["x_hat"], atol=1e-5)
        np.testing.assert_allclose(found["mse"][:, i], one["mse"], rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(found["psnr"][:, i], one["psnr"], rtol=1e-4)


def test_too_many_pixels_for_all_stops_are_refused(client, image, monkeypatch):
    monkeypatch.setattr(reconstructions, "MOST_AHEAD", 101 * 3 * PIXELS)
    assert client.get("/api/about").json()["most_ahead"] == 101 * 3 * PIXELS
    assert client.post("/api/stops?models=deep,wide", content=body(image)).status_code == 200
    refused = client.post("/api/stops?models=deep,wide,conv", content=body(image))
    assert refused.status_code == 400
    assert "too many pixels" in refused.json()["error"]


def test_a_search_is_told_step_by_step_and_ends_where_the_library_does(client, shelf, image):
    response = client.post("/api/search?model=prior&level=0.2&draw=1", content=body(image))
    assert response.status_code == 200
    data, frames = response.content, []
    while data:
        (size,) = struct.unpack_from("<I", data)
        frames.append(safetensors.numpy.load(data[4 : 4 + size]))
        data = data[4 + size :]
    found = shelf.model("prior").search(apply(part_of("gaussian", 0.2), image, shelf.shape, 1))
    np.testing.assert_array_equal(frames[-1]["x_hat"].ravel(), found.x_hat[0])
    assert frames[-1]["step"][0] == found.n_iter[0]
    assert len(frames) > 2
    steps = [frame["objective"][0] for frame in frames[:-1]]
    assert steps[-1] < steps[0]
    assert "does not search" in client.post("/api/search?model=deep", content=body(image)).json()["error"]


@pytest.mark.parametrize("name", ["pca-4-2", "deep", "conv", "wide"])
def test_codes_go_there_and_back(client, shelf, image, name):
    found = arrays(client.post(f"/api/code?model={name}", content=body(image)))
    code = shelf.model(name).transform(image)
    np.testing.assert_array_equal(found["code"], code[0])
    drawn = arrays(client.post(f"/api/decode?model={name}&n=2", content=body(code, 0 * code)))["x_hat"]
    expected = shelf.model(name).inverse_transform(np.concatenate([code, 0 * code]))
    np.testing.assert_array_equal(drawn.ravel(), np.ravel(expected).astype(np.float32))
    if name == "conv":
        maps = probe.activation_maps(shelf.model("conv"), shelf.images.take(slice(7, 8)))
        np.testing.assert_array_equal(found["layer 1"], maps["layer 1"][0])


def test_units(client, shelf):
    found = arrays(client.get("/api/units?model=wide"))
    np.testing.assert_allclose(found["usage"], probe.usage(shelf.model("wide"), shelf.images))
    unit = int(found["usage"].argmax())
    one = arrays(client.get(f"/api/unit?model=wide&unit={unit}"))
    assert one["top_code"][0] == pytest.approx(found["high"][unit])
    np.testing.assert_array_equal(one["pixels"], shelf.images.pixels[one["top"]])
    assert {"filter", "atom"} <= set(one)


def test_maps_and_what_lies_between(client, shelf, image):
    found = arrays(client.get("/api/map?model=deep"))
    assert found["points"].shape == (360, 2)
    other = shelf.images.floats(slice(9, 10))
    rows = arrays(client.post("/api/interpolate?model=deep&steps=5", content=body(image, other)))
    np.testing.assert_allclose(rows["pixels"][0].ravel(), image[0], atol=1e-6)
    np.testing.assert_allclose(rows["x_hat"][-1].ravel(), reconstruct(shelf.model("deep"), other)[0], atol=1e-5)


def test_noise_on_the_code(client, image):
    quiet = arrays(client.post("/api/code-noise?model=deep&level=0", content=body(image)))
    loud = arrays(client.post("/api/code-noise?model=deep&level=1", content=body(image)))
    np.testing.assert_allclose(quiet["from_code"], quiet["from_noisy"], atol=1e-5)
    assert np.abs(loud["from_code"] - quiet["from_code"]).max() > 1e-3


def test_errors_by_level_are_the_studies_measure(client, shelf):
    found = arrays(client.get("/api/errors?model=wide&kind=gaussian"))
    at = list(found["level"]).index(0.3)
    expected = measure(shelf.model("wide"), shelf.images, ("mse",), np.zeros(64), part_of("gaussian", 0.3))
    assert found["mse"][at] == pytest.approx(expected.estimates["mse"].value)
    assert (found["low"] <= found["mse"]).all()
    assert (found["mse"] <= found["high"]).all()


def test_drawings_and_pictures_become_images(client):
    pad = np.zeros((routes.DRAWING, routes.DRAWING), np.uint8)
    pad[40:200, 100:130] = 255
    drawn = arrays(client.post("/api/drawing", content=pad.tobytes()))["x"]
    assert drawn.shape == (1, 8, 8)
    assert drawn.max() > 0.5
    refused = client.post("/api/picture", content=b"no picture")
    assert refused.status_code == 400
    assert "the picture is not a PNG" in refused.json()["error"]


# --- who may ask ---


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:8765"},
        {"host": ""},
        {"host": "127.0.0.1.evil.example"},
        {"host": "[::1"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1:8765"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost:8765"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_sites_are_refused(client, headers):
    response = client.get("/api/about", headers=headers)
    assert response.status_code == 403
    assert response.json()["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8765", "127.0.0.1:1", "[::1]:8765"])
def test_this_machines_names_are_let_in(client, host):
    assert client.get("/api/about", headers={"host": host}).status_code == 200


def test_a_link_from_elsewhere_opens_the_page_but_asks_nothing(client):
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/api/about", headers=headers).status_code == 403


def test_the_page_keeps_to_itself(client):
    for path in ("/", "/api/about", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http:" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


def test_an_exposed_page_wants_its_token(shelf):
    client = TestClient(application(shelf, token="secret"), base_url="http://lab.example:8765")
    assert client.get("/").status_code == 401
    assert client.get("/api/about").status_code == 401
    assert client.get("/?token=wrong").status_code == 401
    assert client.get("/api/about?token=secret").status_code == 401  # the page alone takes it from the address
    assert client.get("/api/about", headers={"authorization": "Bearer secret"}).status_code == 200
    assert client.get("/api/about", headers={"cookie": "isthmus-explore=secrét".encode()}).status_code == 401
    response = client.get("/?token=secret", follow_redirects=False)
    assert response.status_code == 303
    assert response.headers["location"] == "./"  # a proxy may show the page below any path
    assert "httponly" in response.headers["set-cookie"].lower()
    assert client.get("/?token=secret").status_code == 200
    assert client.get("/api/about").status_code == 200  # by the cookie
    assert client.get("/api/about", headers={"origin": "http://evil.example"}).status_code == 403


def test_files_outside_the_page_cannot_be_had(client):
    for path in ("/server.py", "/../server.py", "/..%2fserver.py", "/%2e%2e/server.py", "/etc/passwd", "//etc/passwd"):
        assert client.get(path).status_code == 404
    assert client.get("/main.js").headers["content-type"].startswith("text/javascript")
    tag = client.get("/main.js").headers["etag"]
    assert client.get("/main.js", headers={"if-none-match": tag}).status_code == 304


# --- wrong requests ---


def test_too_much_is_refused_before_it_is_read(client):
    assert client.post("/api/picture", content=b"0" * (MOST_BYTES + 1)).status_code == 413
    pieces = (b"0" * (1 << 20) for _ in range(12))
    assert client.post("/api/picture", content=pieces).status_code == 413  # without a length


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("reconstruct?models=depp", 'Did you mean "deep"'),
        ("reconstruct?models=deep&level=x", "level must be a number"),
        ("reconstruct?models=deep&level=nan", "level must be from 0"),
        ("reconstruct?models=deep&level=0.1&kind=gausian", 'Did you mean "gaussian"'),
        ("reconstruct?models=deep&kind=masking&level=2", "fraction must be"),
        ("reconstruct?models=deep&kind=occlusion&level=9", "size must be at most 8"),
        ("reconstruct?models=deep&draw=-1", "draw must be from 0"),
        ("reconstruct?models=deep,deep", "once each"),
        ("reconstruct?models=" + "d" * 9000, "unknown model"),
        ("reconstruct?models=deep&kind=poisson&level=1e-300", "leaves no numbers"),
        ("stops?models=depp", 'Did you mean "deep"'),
        ("stops?models=deep&kind=fog", "unknown corruption"),
        ("stops?models=deep&draw=x", "draw must be a number"),
        ("code?model=prior", "searches for its code"),
        ("code?model=nothing", "has no code"),
        ("code", 'needs "model"'),
        ("decode?model=deep&n=1000", "n must be from 1 to 64"),
        ("decode?model=deep&n=1.5", "whole number"),
        ("unit?model=deep&unit=5", "unit must be from 0 to 4"),
        ("map?model=deep&method=umap", "pca"),
        ("images?positions=360", "positions must be from 0 to 359"),
        ("images?positions=" + ",".join("0" * 300), "at most 256"),
        ("errors?model=deep&kind=fog", "unknown corruption"),
        ("drawing", "256×256"),
    ],
)
def test_wrong_requests_are_told_why(client, image, path, reason):
    response = client.post(f"/api/{path}", content=body(image))
    assert response.status_code == 400
    assert reason in response.json()["error"]
    assert len(response.json()["error"]) < 400


@pytest.mark.parametrize(
    "content", [b"", b"123", bytes(4 * PIXELS + 1), body(np.full(PIXELS, 2)), body(np.full(PIXELS, np.nan))]
)
def test_wrong_pixels_are_told_why(client, content):
    response = client.post("/api/reconstruct?models=deep", content=content)
    assert response.status_code == 400
    assert "pixels" in response.json()["error"]


PATHS = [f"/api/{name}" for name in (*routes.QUICK, *routes.SLOW, "search", "about", "none")] + [
    "/",
    "/main.js",
    "/x",
]
WORDS = ["models", "model", "kind", "level", "draw", "n", "unit", "method", "positions", "steps", "token"]
VALUES = [
    "deep",
    "wide",
    "conv",
    "prior",
    "nothing",
    "gaussian",
    "poisson",
    "occlusion",
    "pca",
    "0",
    "1",
    "-1",
    "1e9",
    "1,2",
    "nan",
    "inf",
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "BREW"]),
    st.sampled_from(PATHS),
    st.dictionaries(st.sampled_from(WORDS), st.one_of(st.sampled_from(VALUES), st.text(max_size=20)), max_size=4),
    st.one_of(st.binary(max_size=300), st.just(bytes(4 * PIXELS)), st.just(bytes(256 * 256))),
)
def test_no_request_is_the_servers_fault(client, method, path, words, content):
    response = client.request(method, path, params=words, content=content, follow_redirects=False)
    assert response.status_code < 500, response.text
    if response.status_code >= 400 and method != "HEAD":
        assert response.json()["error"]
        assert "\n" not in response.json()["error"]


def test_a_failure_is_said_and_the_server_lives_on(monkeypatch, shelf, image, capsys):
    def fails(*_):
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(routes.QUICK, "code", fails)
    client = TestClient(application(shelf), base_url=HERE, raise_server_exceptions=False)
    response = client.post("/api/code?model=deep", content=body(image))
    assert response.status_code == 500
    assert "ZeroDivisionError: by zero" in response.json()["error"]
    assert "failed" in capsys.readouterr().err
    assert client.get("/api/about").status_code == 200


def test_what_nobody_waits_for_is_not_computed(monkeypatch, shelf, image, serve):
    real, free, asked = routes.SLOW["stops"], threading.Event(), []

    def held_up(shelf, query, body):
        asked.append(query)
        assert free.wait(30)
        return real(shelf, query, body)

    def ask(models):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        connection.request("POST", f"/api/stops?models={models}", body(image))
        return connection

    def until(condition):
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)

    monkeypatch.setitem(routes.SLOW, "stops", held_up)
    with serve(shelf) as address:
        running = [ask("deep"), ask("deep")]  # as many as there are threads
        until(lambda: len(asked) == 2)
        waiting = [ask("wide") for _ in range(5)]
        for connection in (*waiting, *running):
            connection.close()
        until(lambda: all(query.gone.is_set() for query in asked))
        last = ask("pca-4")
        free.set()
        with last.getresponse() as response:
            assert response.status == 200
        last.close()
        assert [query.text("models") for query in asked] == ["deep", "deep", "pca-4"]
        with pytest.raises(Leaving):  # nor is what was begun computed to its end
            real(shelf, asked[0], body(image))
    shelf.closing.clear()


def test_without_data_there_is_drawing_and_the_rest_says_why(shelf, image):
    alone = Shelf("alone", [shelf.entries["wide"]], shelf.shape)
    client = TestClient(application(alone), base_url=HERE)
    assert client.get("/api/about").json()["data"] is None
    assert arrays(client.post("/api/reconstruct?models=wide", content=body(image)))["mse"].shape == (1,)
    assert {"filter", "atom"} == set(arrays(client.get("/api/unit?model=wide&unit=1")))
    for path in ("images?positions=0", "units?model=wide", "map?model=wide", "errors?model=wide"):
        assert "no data set is known" in client.get(f"/api/{path}").json()["error"]


def test_many_at_once_get_the_same_answer(client, image):
    path, found = "/api/reconstruct?models=deep,wide,conv&level=0.3", []
    threads = [
        threading.Thread(target=lambda: found.append(client.post(path, content=body(image)).content)) for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(set(found)) == 1
