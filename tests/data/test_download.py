import gzip
import hashlib
import os
import socket
from pathlib import Path

import pytest

from isthmus.data.sources import download
from isthmus.data.sources.download import get
from isthmus.data.sources.registry import SOURCES, Source, load
from isthmus.errors import RequestError, RunError
from isthmus.locks import lock


@pytest.fixture
def packed(tiny):
    """The tiny data set as a mirror holds it."""
    return {f"{name}.gz": gzip.compress(content) for name, content in tiny.items()}


@pytest.fixture(params=["sha256", "md5"])
def source(request, monkeypatch, tiny, packed):
    """The tiny data set as a known source, with the sums of its contents or of its compressed files."""
    if request.param == "sha256":
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in tiny.items()}
    else:
        sums = {name: hashlib.md5(packed[f"{name}.gz"], usedforsecurity=False).hexdigest() for name in tiny}
    made_up = Source("tiny", "A tiny set", ("http://127.0.0.1:9/",), **{request.param: sums})
    monkeypatch.setitem(SOURCES, "tiny", made_up)
    return made_up


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def failure(tmp_path, *mirrors):
    """What a `get` that finds no working mirror says, having left nothing behind."""
    with pytest.raises(RunError) as caught:
        get("tiny", tmp_path, mirrors=tuple(one if isinstance(one, str) else one.url for one in mirrors), timeout=5)
    assert files_in(tmp_path / "tiny") == {}
    assert "\n" not in str(caught.value)
    assert "digits needs no download" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("manner", ["whole", "unannounced"])
def test_all_files_arrive_and_can_be_read(tmp_path, source, packed, mirror, manner):
    served = mirror(packed, manner)
    folder = get("tiny", tmp_path, mirrors=(served.url,))
    assert folder == tmp_path / "tiny"
    assert files_in(folder) == packed
    assert len(load("tiny", tmp_path).train) == 12


def test_progress_tells_each_file_from_start_to_end(tmp_path, source, packed, mirror):
    steps = []
    get("tiny", tmp_path, mirrors=(mirror(packed).url,), on_bytes=lambda *step: steps.append(step))
    last = {name: (done, total) for name, done, total in steps}
    assert last == {name: (len(content), len(content)) for name, content in packed.items()}


def test_the_sources_own_mirrors_are_the_default(tmp_path, source, packed, mirror, monkeypatch):
    monkeypatch.setitem(SOURCES, "tiny", Source("tiny", "", (mirror(packed).url,), source.md5, source.sha256))
    assert files_in(get("tiny", tmp_path)) == packed


def test_sound_files_are_kept_and_not_fetched_again(tmp_path, source, packed, mirror):
    served = mirror(packed)
    folder = get("tiny", tmp_path, mirrors=(served.url,))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name in packed}
    damaged = folder / "t10k-labels-idx1-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    served.asked.clear()
    get("tiny", tmp_path, mirrors=(served.url,))
    assert served.asked == [damaged.name]
    assert files_in(folder) == packed
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name in packed}
    assert {name for name in packed if after[name] != before[name]} == {damaged.name}


@pytest.mark.parametrize("manner", ["truncated", "broken chunk"])
def test_a_transfer_that_breaks_off_leaves_nothing(tmp_path, source, packed, mirror, manner):
    assert "train-images-idx3-ubyte.gz: " in failure(tmp_path, mirror(packed, manner))


def test_how_far_a_truncated_transfer_came_is_said(tmp_path, source, packed, mirror):
    n = len(packed["train-images-idx3-ubyte.gz"])
    assert f"broke off after {n // 2} of {n} bytes" in failure(tmp_path, mirror(packed, "truncated"))


def test_a_wrong_file_is_refused(tmp_path, source, packed, mirror):
    packed["train-images-idx3-ubyte.gz"] = packed["t10k-images-idx3-ubyte.gz"]
    text = failure(tmp_path, mirror(packed))
    assert "not the published file" in text
    assert ("sha256" if source.sha256 else "md5") in text


def test_a_page_instead_of_the_file_is_refused(tmp_path, source, packed, mirror):
    pages = dict.fromkeys(packed, b"<html>Please sign in to the network</html>")
    assert "not the published file" in failure(tmp_path, mirror(pages))


def test_404(tmp_path, source, mirror):
    served = mirror({})
    assert f"{served.url}train-images-idx3-ubyte.gz: Not Found" in failure(tmp_path, served)


def test_what_is_no_web_server(tmp_path, source, packed, mirror):
    text = failure(tmp_path, mirror(packed, "nonsense"))
    assert "train-images-idx3-ubyte.gz: " in text
    assert text.isprintable()


def test_nobody_listens(tmp_path, source):
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        assert "refused" in failure(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}/")


@pytest.mark.parametrize("address", ["no address", "http://127.0.0.1:port/"])
def test_an_address_that_is_none(tmp_path, source, address):
    assert address in failure(tmp_path, address)


def test_more_than_a_file_may_have_is_not_taken(tmp_path, source, packed, mirror, monkeypatch):
    monkeypatch.setattr(download, "MAX_FILE", 1 << 20)
    packed["train-images-idx3-ubyte.gz"] = bytes((1 << 20) + 1)
    assert "more than 1 MiB were sent" in failure(tmp_path, mirror(packed))


@pytest.mark.parametrize("manner", ["truncated", "nonsense", "broken chunk"])
def test_the_second_mirror_is_asked_when_the_first_fails(tmp_path, source, packed, mirror, manner):
    first, second = mirror(packed, manner), mirror(packed)
    assert files_in(get("tiny", tmp_path, mirrors=(first.url, second.url))) == packed
    assert len(first.asked) == 4
    assert sorted(second.asked) == sorted(packed)


def test_every_mirror_that_failed_is_named(tmp_path, source, packed, mirror):
    text = failure(tmp_path, mirror({}), mirror(packed, "truncated"))
    assert "Not Found" in text
    assert "broke off" in text


def test_what_came_before_the_failure_is_kept_and_gone_on_from(tmp_path, source, packed, mirror):
    some = {name: packed[name] for name in list(packed)[:2]}
    with pytest.raises(RunError):
        get("tiny", tmp_path, mirrors=(mirror(some).url,))
    assert files_in(tmp_path / "tiny") == some
    served = mirror(packed)
    get("tiny", tmp_path, mirrors=(served.url,))
    assert sorted(served.asked) == sorted(set(packed) - set(some))


def test_leftovers_of_a_killed_download_are_removed(tmp_path, source, packed, mirror):
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "train-images-idx3-ubyte.gz.fetched.tmp").write_bytes(b"half")
    assert files_in(get("tiny", tmp_path, mirrors=(mirror(packed).url,))) == packed


def test_two_downloads_into_one_folder(tmp_path, source, packed, mirror):
    (tmp_path / "tiny").mkdir()
    with lock(tmp_path / "tiny"), pytest.raises(RunError, match=f"process {os.getpid()} .*--data-dir"):
        get("tiny", tmp_path, mirrors=(mirror(packed).url,))
    assert files_in(tmp_path / "tiny") == {}


def test_without_a_folder_the_users_cache_is_filled(no_data, source, packed, mirror):
    folder = get("tiny", mirrors=(mirror(packed).url,))
    assert no_data in folder.parents
    assert len(load("tiny").test) == 5


def test_an_unwritable_place_is_refused_before_any_request(tmp_path, source, packed, mirror):
    (tmp_path / "file").write_bytes(b"")
    served = mirror(packed)
    with pytest.raises(RequestError, match=r"cannot write to .*--data-dir"):
        get("tiny", tmp_path / "file", mirrors=(served.url,))
    assert served.asked == []


def test_digits_and_unknown_names_are_not_fetched(tmp_path):
    with pytest.raises(RequestError, match="nothing to fetch"):
        get("digits", tmp_path)
    with pytest.raises(RequestError, match='Did you mean "kmnist"'):
        get("kmnits", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.mnist
def test_mnist_from_a_mirror(tmp_path, mirror):
    root = Path(os.environ["ISTHMUS_DATA"])
    found = [path for folder in (root / "mnist", root) for path in folder.glob("*-ubyte.gz")][:4]
    files = {path.name: path.read_bytes() for path in found}
    assert files_in(get("mnist", tmp_path, mirrors=(mirror(files).url,))) == files
    assert len(load("mnist", tmp_path).train) == 60000
