"""What was read once comes from the cache, unless anything has changed; a damaged entry is made again."""

import json
import os

import pytest

from isthmus import open_images
from isthmus.data.collections import pixel_cache, reader_pool

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def cached(folder, monkeypatch, store):
    monkeypatch.setattr(pixel_cache, "WORTH_FILES", 1)
    for i in range(6):
        store(folder / f"{'ab'[i % 2]}" / f"{i}.png")
    return folder, open_images(folder)


def reads(monkeypatch):
    """A list that grows by one whenever files are read."""
    seen, real = [], reader_pool.read_all
    monkeypatch.setattr("isthmus.data.collections.loading.read_all", lambda *a: seen.append(1) or real(*a))
    return seen


def test_an_unchanged_folder_comes_from_the_cache(cached, monkeypatch):
    folder, first = cached
    seen = reads(monkeypatch)
    heard = []
    again = open_images(folder, on_progress=lambda *step: heard.append(step))
    assert not seen
    assert heard == [(6, 6)]
    for field in ("fingerprint", "label_names", "names", "notes", "source"):
        assert getattr(again, field) == getattr(first, field)
    assert again.labels.tolist() == first.labels.tolist()
    assert open_images(folder, cache=False).fingerprint == first.fingerprint
    assert seen


def test_a_seed_matters_only_where_something_is_drawn(cached, monkeypatch):
    folder, first = cached
    seen = reads(monkeypatch)
    assert open_images(folder, seed=7).fingerprint == first.fingerprint
    assert not seen
    drawn = [open_images(folder, patches=(2, 2), patches_per_image=2, seed=seed).fingerprint for seed in (0, 7, 0)]
    assert drawn[0] == drawn[2] != drawn[1]
    assert len(seen) == 2


def test_any_change_is_seen(cached, monkeypatch):
    folder, first = cached
    seen = reads(monkeypatch)
    assert open_images(folder, crop=(2, 2)).shape == (1, 2, 2)
    facts = (folder / "a/0.png").stat()
    other = bytearray((folder / "b/1.png").read_bytes())
    (folder / "a/0.png").write_bytes(other)
    os.utime(folder / "a/0.png", ns=(facts.st_atime_ns, facts.st_mtime_ns))  # as an unpacked archive would
    assert open_images(folder).fingerprint != first.fingerprint
    (folder / "a/0.png").rename(folder / "a/9.png")
    assert open_images(folder).names[2] == "a/9.png"
    (folder / "a/9.png").unlink()
    assert len(open_images(folder)) == 5
    assert len(seen) == 4


def test_a_damaged_entry_is_made_again(cached, own_cache, monkeypatch):
    folder, first = cached
    seen = reads(monkeypatch)
    (entry,) = (own_cache / "decoded").iterdir()

    def flip(path):
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)

    damages = [
        lambda: flip(entry / "pixels.npy"),
        lambda: flip(entry / "about.json"),
        lambda: (entry / "pixels.npy").write_bytes(b""),
        lambda: (entry / "about.json").write_text("[]"),
        lambda: (entry / "about.json").write_text("{" * 100_000),
        lambda: (entry / "about.json").write_text(json.dumps({"sha256": "", "labels": "x"})),
        lambda: (entry / "about.json").unlink(),
    ]
    for i, damage in enumerate(damages):
        damage()
        assert open_images(folder).fingerprint == first.fingerprint
        assert len(seen) == i + 1
        assert open_images(folder).names == first.names
        assert len(seen) == i + 1, "and is then whole"


def test_the_longest_unused_go_first(folder, own_cache, monkeypatch, fill):
    monkeypatch.setattr(pixel_cache, "WORTH_FILES", 1)
    monkeypatch.setattr(pixel_cache, "MAX_BYTES", 30_000)
    fill(folder, 4, shape=(50, 50))
    kept = []
    for size in ((50, 50), (50, 49), (50, 48)):
        open_images(folder, crop=size)
        kept.append(len(list((own_cache / "decoded").iterdir())))
    assert kept == [1, 2, 2]
    seen = reads(monkeypatch)
    open_images(folder, crop=(50, 49))
    assert not seen
    open_images(folder, crop=(50, 50))
    assert seen


def test_a_cache_that_cannot_be_written_is_no_error(folder, tmp_path, monkeypatch, fill):
    monkeypatch.setattr(pixel_cache, "WORTH_FILES", 1)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ISTHMUS_CACHE", str(tmp_path / "file"))
    fill(folder)
    assert len(open_images(folder)) == 5


def test_a_small_folder_is_not_kept(folder, own_cache, fill):
    fill(folder)
    open_images(folder)
    assert not list(own_cache.iterdir())
