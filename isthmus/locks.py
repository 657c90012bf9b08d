"""Which process a file belongs to, and a lock of a folder, on a disk that several machines may share."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import re
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from isthmus.errors import RunError

_MACHINE_ID = "/etc/machine-id"
LOCKS = LOCK, HELD = ".lock", ".lock.held"  # a file and a folder
_BEAT, _PATIENCE = 5.0, 30.0  # seconds from one sign of life to the next, and without one until a lock is taken over


class Owner(NamedTuple):
    """A process. Its number means something only in this boot of this host, and in this namespace of numbers."""

    process: int
    host: str
    boot: str
    namespace: int

    @classmethod
    def current(cls) -> Owner:
        """This process."""
        return cls(os.getpid(), *_here())

    @classmethod
    def parsed(cls, text: str) -> Owner | None:
        """The owner whose `str` it is; None for what is none."""
        match = PATTERN.fullmatch(text)
        return None if match is None else cls(int(match[1]), match[2], match[3], int(match[4]))

    def __str__(self) -> str:
        return f"{self.process}-{self.host}-{self.boot}-{self.namespace}"

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended: of a process of another host or container nothing is known."""
        if not self.shares_kernel:
            # of hosts without a machine-id several may have one name, each with a boot of its own
            return self.host == _here()[0] and bool(_read(_MACHINE_ID)) and self.boot != _here()[1]
        if self.namespace != _here()[2]:
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False  # it runs as another user
        return False

    @property
    def shares_kernel(self) -> bool:
        """Whether it runs, or ran, under the kernel that runs here now."""
        return (self.host, self.boot) == _here()[:2]


PATTERN = re.compile(r"(\d+)-([0-9a-f]{8})-([0-9a-f]{8})-(\d+)")


@functools.cache
def _here() -> tuple[str, str, int]:
    """This host, its boot and the namespace of process numbers. Hosts of one name differ by their machine-id."""
    host = _digest(socket.gethostname(), _read(_MACHINE_ID))
    try:
        namespace = os.stat("/proc/self/ns/pid").st_ino
    except OSError:  # not Linux
        namespace = 0
    return host, _digest(_read("/proc/sys/kernel/random/boot_id")), namespace


def _digest(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError:
        return ""


@contextlib.contextmanager
def lock(folder: Path, option: str = "--out") -> Iterator[None]:
    """Hold `folder` for this process; raise RunError that names the holder if another process has it.

    A kernel lock (flock), which is gone with the process, however that ends. On some shared disks it excludes nobody on
    another machine, so there is a folder too, which is renamed into place in one step, with a sign of life that its
    holder renews. A machine that died holds nothing after half a minute.
    """
    with open(folder / LOCK, "a+", encoding="utf-8", errors="replace") as file:  # arguments need not be valid UTF-8
        has_kernels = True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise _in_use(folder, file.read(), option) from None
        except OSError:  # this disk has no such locks
            has_kernels = False
        name = f"process {os.getpid()} on {socket.gethostname()} ({' '.join(sys.argv)[:200]})\n"
        holder = name.encode("utf-8", "replace")
        with _held(folder, holder, option, has_kernels=has_kernels):
            file.seek(0)
            file.truncate()
            os.write(file.fileno(), holder)  # unbuffered
            try:
                yield
            finally:
                file.truncate(0)


def _in_use(folder: Path, holder: str, option: str) -> RunError:
    who = holder.strip() or "another process"
    return RunError(f"{folder} is in use by {who}; wait for it, stop it, or choose another folder with {option}")


@contextlib.contextmanager
def _held(folder: Path, holder: bytes, option: str, *, has_kernels: bool) -> Iterator[None]:
    """Hold `folder` against other machines. has_kernels: whether the kernel's lock is held, against this machine's."""
    owner, stopped = str(Owner.current()), threading.Event()
    place, building = folder / HELD, folder / f"{HELD}.{owner}.tmp"
    sign = place / owner

    def beat() -> None:
        beats = 0
        while not stopped.wait(_BEAT):
            beats += 1
            try:
                with open(sign, "r+b") as file:  # not made again where it was taken over
                    file.write(b"%012d" % beats)
            except OSError:
                continue

    for leftover in folder.glob(f"{HELD}.*.tmp"):
        if (known := Owner.parsed(leftover.name.split(".")[-2])) and (known.is_dead or str(known) == owner):
            shutil.rmtree(leftover, ignore_errors=True)
    try:
        building.mkdir()
        content = b"%012d " % 0 + holder
        (building / owner).write_bytes(content)
        while not _renamed(building, place):
            if _taken_over(place, _dead_sign(folder, option, has_kernels=has_kernels), owner, content):
                break
        threading.Thread(target=beat, daemon=True).start()
        yield
    finally:
        stopped.set()
        shutil.rmtree(building, ignore_errors=True)
        with contextlib.suppress(OSError):  # where another machine has it, or took this one for dead
            sign.unlink()
            place.rmdir()


def _renamed(folder: Path, place: Path) -> bool:
    """Rename a folder, in one step; False where there is one with something in it."""
    try:
        os.rename(folder, place)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def _dead_sign(folder: Path, option: str, *, has_kernels: bool) -> tuple[str, bytes]:
    """The sign of life, name and content, of a holder that is dead. Raises RunError for one that lives."""
    seen, since = _sign(folder / HELD), time.monotonic()
    while (folder / HELD).exists():
        owner = Owner.parsed(seen[0])
        # under this kernel it would hold the kernel's lock, which is ours
        if owner and (owner.is_dead or (has_kernels and owner.shares_kernel)):
            break
        time.sleep(min(0.2, _BEAT / 5))
        now = _sign(folder / HELD)
        if now[0] == seen[0] and now[1] != seen[1]:
            raise _in_use(folder, now[1].partition(b" ")[2].decode("utf-8", "replace"), option)
        if now != seen:  # another holder, or none any more
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            break
    return seen


def _sign(place: Path) -> tuple[str, bytes]:
    """The name and the content of a sign of life; empty where there is none."""
    try:
        path = next(place.iterdir())
        return path.name, path.read_bytes()  # opened anew: a disk on a network shows the last content then
    except (OSError, StopIteration):
        return "", b""


def _taken_over(place: Path, dead: tuple[str, bytes], owner: str, content: bytes) -> bool:
    """Put the sign of life of `owner` in the place of a dead one's, unless another has done so; whether it is there.

    The dead one's file is renamed, which one of several can do: the folder stays where it is, for while it is away
    another could move in.
    """
    if _sign(place) != dead:
        return False
    try:
        if not dead[0]:
            shutil.rmtree(place)  # no holder has written what is there
            return False
        os.rename(place / dead[0], place / owner)
    except OSError:
        return False
    with contextlib.suppress(OSError):  # it holds with the words of the dead one too
        (place / owner).write_bytes(content)
    return True
