"""Which process a file belongs to, and a lock of a folder, on a disk that several machines may share."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import os
import re
import secrets
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


class InUseError(RunError):
    """Another process holds a folder. summary: which one, without the way out."""

    def __init__(self, folder: Path, holder: str, option: str) -> None:
        self.summary = f"{folder} is in use by {holder.strip() or 'another process'}"
        super().__init__(f"{self.summary}; wait for it, stop it, or choose another folder with {option}")


class Sign(NamedTuple):
    """A holder's sign of life: a file's name, which is the owner's, and its content; None where it cannot be read."""

    name: str
    content: bytes | None


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
            raise InUseError(folder, file.read(), option) from None
        except OSError:  # this disk has no such locks
            has_kernels = False
        name = f"process {os.getpid()} on {socket.gethostname()} ({' '.join(sys.argv)[:200]})\n"
        holder = name.encode("utf-8", "replace")
        with _held(folder, holder, option, has_kernels=has_kernels) as hold:
            file.seek(0)
            file.truncate()
            os.write(file.fileno(), holder)  # unbuffered
            try:
                yield
            finally:
                if not hold.is_lost:  # else it has the name of the next one
                    file.truncate(0)


def check_held(path: Path) -> None:
    """Raise RunError where `path`, absolute, is in a folder whose lock this process had and another took over.

    It is called before anything gets its name there. A process that was stopped, or cut off from the disk, for half a
    minute is taken for dead; when it goes on, it must not write beside the next one.
    """
    for hold in [hold for hold in _holds if hold.folder in path.parents]:
        hold.check()


class _Hold:
    """A folder that this process holds. is_lost: whether another has taken it over, as far as is known."""

    def __init__(self, folder: Path, sign: Path) -> None:
        self.folder, self.is_lost = folder.resolve(), False
        self._sign, self._lock_file = sign, folder / LOCK
        # No two holds of one process look alike: who saw the first must not take the second for one that stands still
        self._beats, self._last, self._whole = secrets.randbelow(10**11), _seconds(), threading.Lock()

    def content(self, holder: bytes) -> bytes:
        """The first sign of life."""
        return b"%012d " % self._beats + holder

    def beat(self) -> None:
        """Renew the sign of life."""
        with self._whole:
            self._beats += 1
            try:
                with open(self._sign, "r+b") as file:  # not made again where it was taken over
                    file.write(b"%012d" % self._beats)
                self._last = _seconds()
            except FileNotFoundError:
                self.is_lost = self.is_lost or self._is_gone()
            except OSError:
                pass  # as long as the disk cannot be reached, nobody knows

    def _is_gone(self) -> bool:
        """Whether the sign is missing from a lock that is there: a folder that somebody removes has neither, soon."""
        time.sleep(0.2)
        return self._lock_file.exists() and not self._sign.exists()

    def check(self) -> None:
        """Raise RunError if another has taken the folder over."""
        if _seconds() - self._last > 2 * _BEAT:  # this process may have been stopped just now
            self.beat()
        if self.is_lost:
            raise RunError(
                f"{self.folder}: this process gave no sign of life for more than {_PATIENCE:g} s, and another one has "
                "it now, or had it since; nothing more is written, and the same command goes on from what is there"
            )


_holds: list[_Hold] = []


def _seconds() -> float:
    """A clock that goes on while the machine sleeps, where there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@contextlib.contextmanager
def _held(folder: Path, holder: bytes, option: str, *, has_kernels: bool) -> Iterator[_Hold]:
    """Hold `folder` against other machines. has_kernels: whether the kernel's lock is held, against this machine's."""
    owner, stopped = str(Owner.current()), threading.Event()
    place, building = folder / HELD, folder / f"{HELD}.{owner}.tmp"
    sign = place / owner
    hold = _Hold(folder, sign)

    def beat() -> None:
        while not stopped.wait(_BEAT):
            hold.beat()

    for leftover in folder.glob(f"{HELD}.*.tmp"):
        if (known := Owner.parsed(leftover.name.split(".")[-2])) and (known.is_dead or str(known) == owner):
            shutil.rmtree(leftover, ignore_errors=True)
    try:
        building.mkdir()
        content = hold.content(holder)
        (building / owner).write_bytes(content)
        while not _renamed(building, place):
            dead = _dead_sign(folder, option, has_kernels=has_kernels)
            if dead and _taken_over(place, dead, owner, content):
                break
        threading.Thread(target=beat, daemon=True).start()
        _holds.append(hold)
        yield hold
    finally:
        stopped.set()
        if hold in _holds:
            _holds.remove(hold)
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


def _dead_sign(folder: Path, option: str, *, has_kernels: bool) -> Sign | None:
    """The sign of life of a holder that is dead; None where there is none, now. Raises RunError for one that lives."""
    seen, since = _sign(folder / HELD), time.monotonic()
    while seen is not None:
        owner = Owner.parsed(seen.name)
        # under this kernel it would hold the kernel's lock, which is ours
        if owner and (owner.is_dead or (has_kernels and owner.shares_kernel)):
            break
        time.sleep(min(0.2, _BEAT / 5))
        now = _sign(folder / HELD)
        if now and now.name == seen.name and now.content != seen.content:
            raise InUseError(folder, (now.content or b"").partition(b" ")[2].decode("utf-8", "replace"), option)
        if now != seen:  # another holder, or none any more
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > _PATIENCE:
            if seen.content is None:  # it may be alive, or nobody's
                raise InUseError(folder, f"the holder of {folder / HELD / seen.name}, which cannot be read", option)
            break
    return seen


def _sign(place: Path) -> Sign | None:
    """The sign of life in a folder, if there is one."""
    try:
        path = next(place.iterdir())
    except (OSError, StopIteration):
        return None
    try:
        return Sign(path.name, path.read_bytes())  # opened anew: a disk on a network shows the last content then
    except FileNotFoundError:
        return None
    except OSError:
        return Sign(path.name, None)


def _taken_over(place: Path, dead: Sign, owner: str, content: bytes) -> bool:
    """Put the sign of life of `owner` in the place of a dead one's, unless another has done so; whether it is there.

    The dead one's file is renamed, which one of several can do: the folder stays where it is, for while it is away
    another could move in.
    """
    if _sign(place) != dead:
        return False
    try:
        os.rename(place / dead.name, place / owner)
    except OSError:
        return False
    with contextlib.suppress(OSError):  # it holds with the words of the dead one too
        (place / owner).write_bytes(content)
    return True
