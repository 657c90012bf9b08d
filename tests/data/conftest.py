"""What the data tests share: IDX files made on the spot, a machine without data, and mirrors on 127.0.0.1."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from isthmus import open_images
from isthmus.errors import RequestError

TYPE_BYTES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array):
    """The array as the IDX format writes it."""
    header = bytes([0, 0, TYPE_BYTES[array.dtype.str[1:]], array.ndim])
    sizes = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


def four_files(n_train=12, n_test=5, side=4):
    """The contents of a small data set in the layout of MNIST, by published name, not compressed."""
    rng = np.random.default_rng(n_train)
    contents = {}
    for part, n in (("train", n_train), ("t10k", n_test)):
        pixels = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
        contents[f"{part}-images-idx3-ubyte"] = idx_bytes(pixels)
        contents[f"{part}-labels-idx1-ubyte"] = idx_bytes(np.arange(n, dtype=np.uint8) % 10)
    return contents


def write_all(folder, contents, compress=False):
    """Write files into a folder, which is made; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        path = folder / (f"{name}.gz" if compress else name)
        path.write_bytes(gzip.compress(content) if compress else content)
    return folder


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """A user who has no data set: no environment variable, an empty home and cache. Returns the home."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.delenv("ISTHMUS_DATA", raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    return home


class Mirror(ThreadingHTTPServer):
    """A real web server on 127.0.0.1: `files` by name, served as `manner` says; `asked` are the requests so far."""

    def __init__(self, files, manner="whole"):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.manner, self.asked = files, manner, []
        self.url = f"http://127.0.0.1:{self.server_port}/data/"
        self.thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def stop(self):
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        name, server = self.path.rsplit("/", 1)[1], self.server
        server.asked.append(name)
        body = server.files.get(name)
        if server.manner == "nonsense":  # not even a status line
            self.wfile.write(b"\x00\xffno web server\r\n\r\n")
            return
        if body is None:
            self.send_error(404)
            return
        self.send_response(200)
        if server.manner in ("whole", "truncated"):
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if server.manner == "whole" else body[: len(body) // 2])
        elif server.manner == "unannounced":
            self.end_headers()
            self.wfile.write(body)
        elif server.manner == "broken chunk":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"ffff\r\n" + body[:10])
        else:
            raise ValueError(server.manner)

    def handle(self):
        try:
            super().handle()
        except ConnectionError:  # the client had enough
            self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def mirror(monkeypatch):
    """Start mirrors: `mirror(files, manner)`; they end with the test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    started = []

    def start(files, manner="whole"):
        started.append(Mirror(files, manner))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def idx():
    """`idx(array)`: the array as IDX bytes."""
    return idx_bytes


@pytest.fixture
def tiny():
    """The four files of a small data set, by published name."""
    return four_files()


@pytest.fixture
def make_set():
    """`make_set(n_train, n_test, side)`: the contents of four files."""
    return four_files


@pytest.fixture
def write():
    """`write(folder, contents, compress=False)`."""
    return write_all


# --- collections of images ---

RNG = np.random.default_rng(0)


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch):
    """The cache of decoded images is a test's own: its folder."""
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("ISTHMUS_CACHE", str(place))
    return place


@pytest.fixture
def folder(tmp_path):
    """Where images will be: there is no folder yet."""
    return tmp_path / "images"


def _store(path, shape=(6, 8), dtype=np.uint8, **options):
    """An image file of noise; returns its pixels."""
    pixels = RNG.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def _fill(folder, n=5, **options):
    return np.stack([_store(folder / f"{i}.png", **options) for i in range(n)])


def _said(source, **options):
    """The one line that open_images says instead of giving images."""
    with pytest.raises(RequestError) as caught:
        open_images(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def store():
    """`store(path, shape=(6, 8), dtype=np.uint8, **options)`: an image file of noise; its pixels."""
    return _store


@pytest.fixture
def fill():
    """`fill(folder, n=5, **options)`: image files of noise, 0.png and on; their pixels."""
    return _fill


@pytest.fixture
def said():
    """`said(source, **options)`: the one line that open_images says instead of giving images."""
    return _said
