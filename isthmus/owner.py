"""Which process a file belongs to, on a disk that several machines may share."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import socket
from pathlib import Path
from typing import NamedTuple


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
        found = PATTERN.fullmatch(text)
        return None if found is None else cls(int(found[1]), found[2], found[3], int(found[4]))

    def __str__(self) -> str:
        return f"{self.process}-{self.host}-{self.boot}-{self.namespace}"

    @property
    def is_dead(self) -> bool:
        """Whether it is known to have ended: of a process of another host or container nothing is known."""
        host, boot, namespace = _here()
        if self.host != host:
            return False
        if self.boot != boot:
            return True
        if self.namespace != namespace:
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False  # it runs as another user
        return False


PATTERN = re.compile(r"(\d+)-([0-9a-f]{8})-([0-9a-f]{8})-(\d+)")


@functools.cache
def _here() -> tuple[str, str, int]:
    """This host, its boot and the namespace of process numbers. Hosts of one name differ by their machine-id."""
    host = _digest(socket.gethostname(), _read("/etc/machine-id"))
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
