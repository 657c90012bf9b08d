"""Fetch a data set: each file from the first mirror that works, verified before it is renamed."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Callable
from pathlib import Path

from isthmus.data.sources.built_in import BUILT_IN
from isthmus.data.sources.idx import read_idx
from isthmus.data.sources.registry import SOURCES, Source, cache_folder
from isthmus.errors import DataError, RequestError, RunError, one_line, unknown
from isthmus.files import TEMPORARY, atomic_file, prepare_folder, sweep
from isthmus.locks import lock

MAX_FILE = 64 << 20  # the largest published file has 30 MB
_PIECE = 1 << 16

# file name, bytes so far, bytes in all (0 if the mirror does not say)
OnBytes = Callable[[str, int, int], None]


def get(
    name: str,
    data_dir: Path | None = None,
    *,
    on_bytes: OnBytes = lambda *_: None,
    mirrors: tuple[str, ...] | None = None,
    timeout: float = 30,
) -> Path:
    """Fetch the four files of a source into `<data_dir or the user's cache>/<name>/` and return that folder.

    A file that is there and sound is kept; a download that breaks off leaves nothing. Raises RequestError for a name
    that has nothing to fetch, RunError that says which mirror failed and how.
    """
    if name in BUILT_IN:
        raise RequestError(f"{name} is built in; there is nothing to fetch")
    if name not in SOURCES:
        raise RequestError(unknown("data set", name, SOURCES))
    source = SOURCES[name]
    folder = (data_dir or cache_folder()) / name
    prepare_folder(folder, needed=2 * MAX_FILE, option="--data-dir")
    with lock(folder, option="--data-dir"):
        sweep(folder)
        for role in source.sha256 or source.md5:
            path = folder / f"{role}.gz"
            if path.is_file() and _fault(source, role, path) is None:
                on_bytes(path.name, path.stat().st_size, path.stat().st_size)
                continue
            _fetch(source, role, path, mirrors or source.mirrors, on_bytes, timeout)
    return folder


def _fault(source: Source, role: str, path: Path) -> str | None:
    """What is wrong with a downloaded file, or None."""
    if expected := source.md5.get(role):
        measured = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        return None if measured == expected else f"md5 {measured}, expected {expected}"
    try:
        measured = read_idx(path).sha256
    except DataError as error:
        return str(error)
    expected = source.sha256[role]
    return None if measured == expected else f"sha256 {measured[:16]}…, expected {expected[:16]}…"


def _fetch(source: Source, role: str, path: Path, mirrors: tuple[str, ...], on_bytes: OnBytes, timeout: float) -> None:
    failures = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{path.name}"
        candidate = path.with_name(f"{path.name}.fetched{TEMPORARY}")
        try:
            _download(url, candidate, path.name, on_bytes, timeout)
            if fault := _fault(source, role, candidate):
                raise DataError(f"the download is not the published file: {fault}")
            with atomic_file(path) as file:
                file.write(candidate.read_bytes())
            return
        # URLError and time-outs are OSErrors, DataError is a ValueError, a broken chunk or status line is neither
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = str(getattr(error, "reason", None) or error) or type(error).__name__
            failures.append(f"{url}: {one_line(reason)}")
        finally:
            candidate.unlink(missing_ok=True)
    raise RunError(f"could not fetch {source.name}: {'; '.join(failures)}; digits needs no download")


def _download(url: str, to: Path, name: str, on_bytes: OnBytes, timeout: float) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "isthmus"})
    with urllib.request.urlopen(request, timeout=timeout) as response, open(to, "wb") as file:
        total = int(response.headers.get("Content-Length") or 0)
        done = 0
        while piece := response.read(_PIECE):
            done += len(piece)
            if done > MAX_FILE:
                raise DataError(f"more than {MAX_FILE >> 20} MiB were sent")
            file.write(piece)
            on_bytes(name, done, total)
        if total and done < total:
            raise DataError(f"broke off after {done:,} of {total:,} bytes")
