"""Regular files, atomic files and folders: beside locks, the only code that renames.

A file is written under a temporary name in its own folder, flushed, fsynced and renamed, and the folder is
fsynced; a folder is built beside its place and renamed. A killed process leaves either the old or the new one.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import glob
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from isthmus.errors import RequestError
from isthmus.locks import LOCKS, PATTERN, InUseError, Owner, check_held, lock

TEMPORARY = ".tmp"
_LOOK = 1.0  # seconds from one look at a folder that is waited for to the next
_REPLACED = f".old{TEMPORARY}"
_OURS = re.compile(  # by a process, by one of an earlier version of isthmus, replaced, or of a download
    rf"\.({PATTERN.pattern}|\d+|old|fetched){re.escape(TEMPORARY)}$"
)


def cache_folder(kind: str) -> Path:
    """Where entries of a kind lie: below $ISTHMUS_CACHE, or below the user's cache folder, as the platform has it."""
    if chosen := os.environ.get("ISTHMUS_CACHE"):
        return Path(chosen) / kind
    import platformdirs

    return Path(platformdirs.user_cache_dir("isthmus", appauthor=False)) / kind


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading. A pipe or a device, which might block or never end, is an OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, "it is a pipe or a device, not a file")
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@contextlib.contextmanager
def atomic_file(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open `path` for writing; it appears, complete, only if the block ends without an error.

    A symbolic link stays one: what it points to is replaced.
    """
    path = path.resolve()
    sweep_dead_processes(path.parent, path.name)
    temporary = _beside(path)
    try:
        with open(temporary, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_held(path)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _fsync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as strict JSON (no NaN, no Infinity), atomically."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    with atomic_file(path, "w") as file:
        file.write(text + "\n")


def save_array(file: IO[bytes], array: Any) -> None:
    """Write an array as `numpy.save` does, whose own error of a full disk has no number by which it is known as one."""
    import numpy as np

    writer: Any = SimpleNamespace(write=file.write)  # of a file NumPy would ask for its descriptor
    np.save(writer, array, allow_pickle=False)


def stream_array(file: IO[bytes], rows: Iterable[Any], dtype: Any) -> tuple[int, ...]:
    """Write rows, at least one and all of one shape, as `numpy.save` writes them stacked, one by one; that shape.

    file: at its beginning, and one that can be sought in: NumPy leaves room for any number of rows in its header.
    """
    import numpy as np
    from numpy.lib import format as npy

    facts: dict[str, Any] = {"descr": np.dtype(dtype).str, "fortran_order": False}
    shape: tuple[int, ...] = ()
    for row in rows:
        if not shape:
            shape = (0, *row.shape)
            npy.write_array_header_1_0(file, facts | {"shape": shape})
        if row.shape != shape[1:]:
            raise ValueError(f"rows of {shape[1:]} and of {row.shape}")
        file.write(np.ascontiguousarray(row, dtype).data)
        shape = (shape[0] + 1, *shape[1:])
    file.seek(0)
    npy.write_array_header_1_0(file, facts | {"shape": shape})
    return shape


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder to fill; it takes the place of `path`, whole, only if the block ends without an error.

    A symbolic link stays one: what it points to is replaced.
    """
    path = path.resolve()
    building = _beside(path)
    replaced = path.with_name(f"{path.name}{_REPLACED}")
    remove(building)
    sweep_dead_processes(path.parent, path.name)
    building.mkdir(parents=True)
    try:
        yield building
        for entry in [*building.rglob("*"), building]:
            _fsync(entry)
        check_held(path)
        if not (path.exists() and _exchanged(building, path)):
            remove(replaced)
            if path.exists():  # a folder cannot be renamed onto one that is not empty
                os.replace(path, replaced)
            os.replace(building, path)
    except BaseException:
        if replaced.exists() and not path.exists():
            os.replace(replaced, path)
        remove(building)
        raise
    _fsync(path.parent)
    remove(building)  # where it was exchanged, this is the old one now
    remove(replaced)


def _exchanged(first: Path, second: Path) -> bool:
    """Exchange two paths in one step, so that neither is ever missing; False where the system cannot.

    Linux: renameat2 with RENAME_EXCHANGE; macOS: renamex_np with RENAME_SWAP. Some file systems have neither.
    """
    libc, here, swap = ctypes.CDLL(None, use_errno=True), -100, 2
    paths = os.fsencode(first), os.fsencode(second)
    if hasattr(libc, "renameat2"):
        return libc.renameat2(here, paths[0], here, paths[1], ctypes.c_uint(swap)) == 0
    return hasattr(libc, "renamex_np") and libc.renamex_np(*paths, ctypes.c_uint(swap)) == 0


def sweep_dead_processes(folder: Path, name: str | None = None) -> None:
    """Remove temporary files in `folder` whose process is known to have ended: those of `name`, or all."""
    for leftover in folder.glob(f"{'*' if name is None else glob.escape(name)}.*{TEMPORARY}"):
        owner = Owner.parsed(leftover.name.removesuffix(TEMPORARY).rpartition(".")[2])
        if owner is not None and owner.is_dead:
            remove(leftover)


def _beside(path: Path) -> Path:
    """The temporary name of what this process writes at a path."""
    return path.with_name(f"{path.name}.{Owner.current()}{TEMPORARY}")


def is_temporary(path: Path) -> bool:
    """Whether a path has one of our temporary names."""
    return _OURS.search(path.name) is not None


def remove(path: Path) -> None:
    """Remove a file or a whole folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed process left. The caller must hold the folder's lock.

    A process that was killed between the two renames of `atomic_folder` left the old folder, which gets its name back.
    """
    depths = ("*", "*/*", "*/*/*")  # the last: in the folder of a model's checkpoint
    for leftover in [path for depth in depths for path in folder.glob(f"{depth}{TEMPORARY}")]:
        if not is_temporary(leftover) or not os.path.lexists(leftover):  # or it went with the folder that it was in
            continue
        place = leftover.with_name(leftover.name.removesuffix(_REPLACED))
        if leftover.name.endswith(_REPLACED) and not place.exists():
            os.replace(leftover, place)
        else:
            remove(leftover)


def prepare_folder(folder: Path, needed: int, option: str = "--out") -> None:
    """Make `folder`, and check before any work that `needed` bytes can be written there.

    Raises RequestError with the system's reason: a read-only place, a file in the way, a full disk.
    """
    probe = _beside(folder / "writable")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(probe, "wb") as file:
            file.write(bytes(65536))
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise OSError(errno.ENOSPC, f"{free / 2**20:.0f} MiB free, {needed / 2**20:.0f} MiB needed")
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise RequestError(f"cannot write to {folder}: {reason}; choose another folder with {option}") from None


@contextlib.contextmanager
def held_folder(folder: Path, needed: int, option: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """A folder as by `prepare_folder`, under `lock`; a new one that is empty goes again on a signal or a refusal.

    waiting: is called, once, with a sentence where another process holds it, and that is waited for; None raises.
    """
    is_new, looks = not folder.exists(), 0
    with contextlib.ExitStack() as locked:
        while True:
            prepare_folder(folder, needed, option)
            try:
                locked.enter_context(lock(folder, option))
                break
            except (InUseError, FileNotFoundError) as error:  # the latter where its holder has removed it meanwhile
                if waiting is None:
                    raise
                if isinstance(error, InUseError) and not looks:
                    waiting(f"{error.summary}, waiting until that ends, or is stopped")
            looks += 1
            time.sleep(_LOOK)
        try:
            yield
        except BaseException as stop:
            if isinstance(stop, Exception | GeneratorExit) and not isinstance(stop, RequestError):
                raise
            with contextlib.suppress(OSError):
                if is_new and all(path.name in LOCKS for path in folder.iterdir()):
                    remove(folder)
            raise
