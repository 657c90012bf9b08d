"""The server among others: slow and strange clients, large uploads, a second server beside it, a proxy before it."""

import contextlib
import http.client
import http.cookiejar
import io
import re
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from isthmus.cli import run_command
from isthmus.errors import DataError
from isthmus.explore.answers import drawings, upload_decoder, uploads
from isthmus.explore.answers.drawings import Manner
from isthmus.explore.serving import connection
from isthmus.explore.serving.application import application

DIGITS = Manner(True, 20 / 28, (0.5, 0.5))
BROWSER = {"accept": "text/html,application/xhtml+xml", "sec-fetch-mode": "navigate", "sec-fetch-site": "none"}


def blank(side, mode="RGBA", kind="PNG"):
    """A legal picture of few bytes and many pixels."""
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, kind)
    return file.getvalue()


def resident():
    """Megabytes of this process that are in memory."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def post(host, path, body):
    """The status of an answer."""
    connection = http.client.HTTPConnection(host, timeout=120)
    try:
        connection.request("POST", path, body)
        with connection.getresponse() as response:
            response.read()
            return response.status
    finally:
        connection.close()


# --- uploads ---


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_uploads_hold_up_no_slider_and_leave_no_memory(shelf, serve, image):
    legal, too_large = blank(4000), blank(6324)  # 64 MB and 160 MB of pixels
    assert len(too_large) < 200_000
    pixels, found, busy = image.astype("<f4").tobytes(), [], []
    with serve(shelf) as address:
        host = urlsplit(address).netloc

        def step():
            start = time.perf_counter()
            assert post(host, "/api/reconstruct?models=deep,wide&level=0.3", pixels) == 200
            return time.perf_counter() - start

        step()
        before, quiet = resident(), max(step() for _ in range(5))
        senders = [
            threading.Thread(target=lambda data=data: found.append(post(host, "/api/picture", data)))
            for data in (*[legal] * 2, *[too_large] * 8)
        ]
        for sender in senders:
            sender.start()
        while any(sender.is_alive() for sender in senders):
            busy.append((step(), resident()))
        assert sorted(found) == [200] * 2 + [400] * 8
        assert len(busy) > 5
        assert max(took for took, _ in busy) < max(1.0, 20 * quiet)
        assert max(memory for _, memory in busy) - before < 50  # of 1,500 MB of pixels
    shelf.closing.clear()


@pytest.mark.parametrize(
    ("width", "height", "mode", "kind"),
    [(4200, 4000, "1", "PNG"), (20_001, 1, "L", "PNG"), (1, 20_001, "L", "TIFF"), (9000, 8000, "L", "JPEG")],
)
def test_pixels_are_counted_before_they_are_decoded(monkeypatch, width, height, mode, kind):
    file = io.BytesIO()
    Image.new(mode, (width, height)).save(file, kind)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(DataError, match=rf"{width}×{height} pixels; at most (17|67) million are read, 20,000 a side"):
        uploads.read_upload(file.getvalue(), (1, 28, 28), DIGITS)


def test_a_cameras_large_jpeg_is_read():
    x, said = uploads.read_upload(blank(6000, "L", "JPEG"), (1, 28, 28), DIGITS)  # 36 million pixels
    assert said.startswith("6000×6000")
    assert x.shape == (1, 28, 28)


def test_a_picture_is_the_same_in_a_process_of_its_own():
    ink = np.full((200, 200), 240, np.uint8)
    ink[40:160, 90:110] = 20
    file = io.BytesIO()
    Image.fromarray(ink).save(file, "PNG")
    x, said = upload_decoder.decode(file.getvalue(), (1, 28, 28), DIGITS)
    expected, words = uploads.read_upload(file.getvalue(), (1, 28, 28), DIGITS)
    np.testing.assert_array_equal(x, expected)
    assert said == words
    with pytest.raises(DataError, match=r"mine is not a PNG, .* image"):
        upload_decoder.decode(b"no picture", (1, 28, 28), DIGITS, name="mine")


def test_a_file_of_megabytes_gets_there():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)).save(file, "PNG")
    photograph = Manner(False, 1, (0.5, 0.5))
    x, said = upload_decoder.decode(file.getvalue(), (3, 16, 16), photograph, whole=True)
    assert len(file.getvalue()) > 2_000_000
    assert x.shape == (3, 547, 547)
    assert said == "900×900, scaled to 547×547, as by --resize 547x547 --patches 16x16"


def test_a_picture_that_is_waited_for_too_long_or_no_longer_is_given_up(monkeypatch):
    class LeftError(Exception):
        pass

    def left():
        raise LeftError

    monkeypatch.setattr(upload_decoder, "SECONDS", 0)
    with pytest.raises(DataError, match="not decoded within 0 s"):
        upload_decoder.decode(blank(4000), (1, 28, 28), DIGITS)
    with pytest.raises(LeftError):
        upload_decoder.decode(blank(4000), (1, 28, 28), DIGITS, go_on=left)


# --- slow and strange clients ---


def wait_for_the_end(client):
    """Read until the server closes the connection."""
    with contextlib.suppress(ConnectionError):
        while client.recv(1 << 16):
            pass


def test_half_sent_headers_are_waited_for_so_long_and_no_longer(monkeypatch, shelf, serve, image):
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.4)
    with serve(shelf) as address:
        host = urlsplit(address)
        for first in (b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n", None):
            with socket.create_connection((host.hostname, host.port), timeout=20) as client:
                if first is None:  # half of a second request, after a whole one
                    client.sendall(b"GET /map.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    assert client.recv(20).startswith(b"HTTP/1.1 200")
                    first = b"GET / HT"
                client.sendall(first)
                start = time.monotonic()
                wait_for_the_end(client)
                assert time.monotonic() - start < 5
        slow = http.client.HTTPConnection(host.netloc, timeout=20)  # one that is whole is not cut off
        slow.putrequest("POST", "/api/reconstruct?models=deep")
        slow.putheader("content-length", str(4 * image.size))
        slow.endheaders()
        time.sleep(1)
        slow.send(image.astype("<f4").tobytes())
        with slow.getresponse() as response:
            assert response.status == 200
        slow.close()
    shelf.closing.clear()


def test_a_websocket_is_refused_without_advice(shelf, serve, capfd):
    with serve(shelf) as address:
        client = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
        headers = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        client.request("GET", "/socket", headers=headers | {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ=="})
        with client.getresponse() as response:
            assert response.status == 404
        client.close()
    assert capfd.readouterr().err == ""
    shelf.closing.clear()


# --- two servers, and a proxy ---


def test_two_servers_of_one_host_do_not_lock_each_other_out(shelf, serve):
    jar = http.cookiejar.CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    with serve(shelf, "first") as one, serve(shelf, "second") as other:
        for address, token in ((one, "first"), (other, "second")):
            with browser.open(f"{address}/?token={token}") as response:
                assert b"isthmus explore" in response.read()
        for address in (one, other, one):
            with browser.open(f"{address}/api/about") as response:
                assert response.status == 200
    shelf.closing.clear()


def test_a_person_who_is_locked_out_reads_a_page_and_a_program_reads_json(shelf):
    client = TestClient(application(shelf, token="secret"), base_url="http://lab.example:8765")
    for path, status in (("/", 401), ("/?token=wrong", 401)):
        response = client.get(path, headers=BROWSER)
        assert response.status_code == status
        assert response.headers["content-type"].startswith("text/html")
        assert "Open the whole address that `isthmus explore` printed" not in response.text  # within a sentence
        assert "open the whole address that `isthmus explore` printed, with ?token=" in response.text
        assert "{" not in response.text
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "token" in client.get(path).json()["error"]
    local = TestClient(application(shelf), base_url="http://127.0.0.1:8765")
    response = local.get("/", headers=BROWSER | {"host": "<b>evil</b>.example"})
    assert response.status_code == 403
    assert "<b>" not in response.text
    assert "<h1>" in local.get("/nothing", headers=BROWSER).text
    shelf.closing.clear()


PROXY = "https://hub.example"


def test_a_proxy_that_is_named_is_let_in_with_the_token(shelf):
    server = application(shelf, token="secret", origins=[("https", "hub.example")])
    known = {"authorization": "Bearer secret"}
    for host in ("hub.example", "localhost:8765"):  # some proxies hand on the host, others have one of their own
        client = TestClient(server, base_url=f"http://{host}")
        assert client.get("/api/about", headers=known | {"origin": PROXY}).status_code == 200
        assert client.get("/api/about", headers={"origin": PROXY}).status_code == 401
        for other in ("https://evil.example", "http://hub.example:81", "https://hub.example.evil.example", "null"):
            refused = client.get("/api/about", headers=known | {"origin": other})
            assert refused.status_code == 403
            assert "--allow-origin" in refused.json()["error"]
    shelf.closing.clear()


@pytest.mark.parametrize(
    "word", ["hub.example", "", "https://", "ftp://hub.example", "https:///path", "https://[", "javascript:alert(1)"]
)
def test_an_origin_that_is_none_is_refused(word, run, capsys):
    assert run_command(["explore", str(run), "--no-browser", "--allow-origin", word]) == 2
    said = capsys.readouterr().err
    assert "--allow-origin must be an address like https://lab.example" in said
    assert said.count("\n") == 1


def test_the_address_through_the_proxy_is_told_with_its_token(forked, run):
    proxy = "https://hub.example/user/me/proxy/8765/"
    with forked("explore", run, "--no-browser", "--port", "0", "--allow-origin", proxy) as process:
        try:
            address = process.stdout.readline().strip()
            token = address.partition("?token=")[2]
            assert len(token) > 20
            with pytest.raises(urllib.error.HTTPError, match="401"):  # who may come is not left to the proxy
                urllib.request.urlopen(address.partition("?")[0])
            process.send_signal(signal.SIGINT)
            assert f"through the proxy: {proxy}?token={token}" in process.communicate(timeout=60)[1]
        finally:
            process.kill()


def test_no_address_of_the_page_begins_at_the_root():
    """Below a path, as JupyterHub shows it, such an address would be the hub's."""
    folder = Path(drawings.__file__).parents[1] / "page"
    rooted = re.compile(r"""(?:href|src)="/|fetch\(\s*[`"']/|from\s+["']/|url\(\s*["']?/""")
    for file in (path for path in folder.rglob("*") if path.is_file()):
        assert not rooted.search(file.read_text("utf-8")), file.name
