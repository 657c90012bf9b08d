"""What the tests share: small data that can be learned, a browser, and the two global generators that nothing may
touch."""

import gc
import os
import random
import re
import shutil
import signal
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from isthmus import Images, kinds
from isthmus.commands.shared import options
from isthmus.machine import COLLECT_AFTER
from tests.forking import forking

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EXTENDING = Path(__file__).parent.parent / "examples" / "extending"


def pytest_configure():
    """Listen to Ctrl-C, for the programs that tests start do as this one: what & starts in a shell ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.set_threshold(COLLECT_AFTER)


# Files whose marked tests take a quarter of a minute or more, longest first: workers take tests of each other
# from the end of the order, and none is to be left with one of these
LONG = (
    *("test_compress.py", "test_sheets.py", "test_thirty.py", "test_letters.py", "test_ray.py", "test_kill.py"),
    *("test_readme.py", "test_beyond_memory.py", "test_engines.py", "test_stored.py", "test_small_sets.py"),
)


def pytest_collection_modifyitems(items):
    """Begin with what takes long."""

    def place(item):
        is_long = item.path.name in LONG and any(map(item.get_closest_marker, ("slow", "mnist")))
        return LONG.index(item.path.name) if is_long else len(LONG)

    items.sort(key=place)


def pytest_collection_finish():
    """Of thousands of tests none is garbage, and looking through them takes as long as a small test."""
    gc.freeze()


@pytest.fixture(scope="session")
def forked():
    """`forked(*arguments, first="")`: the command in a process of its own, as a `subprocess.Popen`, without waiting for
    torch."""
    with forking() as start:
        yield start


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium here; `make browser` installs it")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as p:
        launched = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def pages_in_print(browser):
    """Call it with the folder of a run: how many pages of A4 its report has on paper."""

    def counted(folder):
        page = browser.new_page()
        page.goto((folder / "report.html").as_uri())
        document = page.pdf(format="A4")
        page.close()
        return len(re.findall(rb"/Type\s*/Page\b", document))

    return counted


@pytest.fixture(scope="session", autouse=True)
def a_thread_to_each_command():
    """Where tests leave --threads unsaid: two threads of each worker wait for each other, up to four times as
    long as one takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "threads_unsaid", lambda: 1)
        yield


@pytest.fixture(autouse=True)
def process_as_it_was():
    """Torch's threads and the process's cores, which all tests share: a second thread where each of two workers has one
    core makes small products a hundred times as slow, in all tests that come after."""
    before = _shared()
    yield
    assert _shared() == before


def _shared():
    return torch.get_num_threads(), getattr(os, "sched_getaffinity", lambda _: None)(0)


@pytest.fixture
def x():
    """(200, 16) float32: three hidden numbers, mixed, and a little noise; nothing is centred or scaled."""
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(200, 3)) * [3, 2, 1] @ rng.normal(size=(3, 16))
    return (mixed + 0.1 * rng.normal(size=(200, 16)) + 0.5).astype(np.float32)


@pytest.fixture
def images():
    """60 uint8 images of 1×8×8: a bright square on a dark ground, somewhere; labelled by its row."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 40, (60, 1, 8, 8), dtype=np.uint8)
    rows, columns = rng.integers(0, 6, (2, 60))
    for image, i, j in zip(pixels, rows, columns, strict=True):
        image[0, i : i + 3, j : j + 3] += 200
    return Images(pixels, labels=rows)


@pytest.fixture
def global_generators():
    """Call it for the state of torch's and NumPy's global generators, as comparable bytes."""
    return lambda: (torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes())  # noqa: NPY002


@pytest.fixture
def extension(monkeypatch):
    """`extension(name)`: a module of examples/extending, imported. What it registers is gone after the test."""
    from isthmus.data.formats import image_file
    from isthmus.studies.run import engines

    before, endings = list(kinds._registered), dict(image_file.KINDS)
    monkeypatch.setattr(engines, "_ENGINES", {**engines._ENGINES})
    monkeypatch.setattr(image_file, "_FORMATS", [*image_file._FORMATS])
    monkeypatch.setattr(image_file, "_OUTSIDE", [])
    monkeypatch.syspath_prepend(EXTENDING)
    yield import_module
    for kind in [kind for kind in kinds._registered if kind not in before]:
        kinds.unregister(kinds._registered[kind][0], kind)
    image_file.KINDS.clear()
    image_file.KINDS.update(endings)
    for path in EXTENDING.glob("*.py"):
        sys.modules.pop(path.stem, None)


# what means much in a header, in numbers or in JSON
_TELLING = [bytes([b]) * n for b in (0, 0x7F, 0x80, 0xFF) for n in (1, 2, 4, 8)] + [
    *(b"O", b"'|O'", b"9" * 30, b"\n", b"("),
    *(b"null", b"-1", b'"', b"{", b"[]", b"true", b"1e99"),
]


@pytest.fixture(scope="session")
def mutate():
    """`mutate(content, number)`: bytes that were changed in one to four places. The number alone says how.

    Bytes are replaced, put in, repeated, or cut out, up to all of the rest. Hypothesis would take most of the time.
    """

    def mutated(content, number):
        draw, content = random.Random(number), bytearray(content)
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(min(len(content), 200 if draw.random() < 0.5 else 1 << 30) + 1)
            repeated = bytes(content[at : at + 64] * draw.randint(2, 4))
            new = draw.choice([draw.choice(_TELLING), draw.choice(_TELLING), draw.randbytes(2), repeated, b""])
            content[at : at + draw.choice([0, len(new), len(new), 7, draw.choice([16, len(content)])])] = new
        return bytes(content)

    return mutated


@pytest.fixture
def small_products_in_bfloat16(monkeypatch):
    """Products in bfloat16 of the small networks of tests too, which are in float32 by themselves, being faster so."""
    monkeypatch.setattr("isthmus.networks.accelerators.dense._WORTH", 0)
