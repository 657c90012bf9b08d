"""Decode uploads in a worker process, so that its memory is freed and a crash ends that process alone."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from isthmus.data.formats.image_file import register_all, registered
from isthmus.data.framing import Framing
from isthmus.errors import DataError
from isthmus.explore.answers.drawings import Manner
from isthmus.explore.answers.uploads import check, read_photograph, read_upload
from isthmus.machine import worker

SECONDS = 20  # for one picture, the start of the process included
MOST_MEMORY = 2 << 30  # bytes of address space; the largest picture of 8 bits needs a quarter


def decode(
    data: bytes,
    shape: tuple[int, int, int],
    manner: Manner,
    *,
    whole: bool = False,
    framing: Framing | None = None,
    name: str = "the picture",
    go_on: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, str]:
    """Call `read_upload` in a process that then ends.

    go_on: called now and then; what it raises ends the process. Raises DataError as `read_upload` does, and for a
    picture that takes more than SECONDS or MOST_MEMORY.
    """
    head = {"shape": shape, "manner": dataclasses.asdict(manner), "whole": whole}
    x, answer = _decoded(data, head, framing or Framing(), name, go_on)
    return x, answer["words"]


def decode_photograph(
    data: bytes, framing: Framing, *, name: str = "the picture", go_on: Callable[[], None] = lambda: None
) -> tuple[np.ndarray, str, int]:
    """Call `read_photograph` in a process that then ends, as `decode` does."""
    x, answer = _decoded(data, {}, framing, name, go_on)
    return x, answer["words"], answer["identity"]


def _decoded(
    data: bytes, head: dict[str, Any], framing: Framing, name: str, go_on: Callable[[], None]
) -> tuple[np.ndarray, dict[str, Any]]:
    check(data, name, is_photograph="shape" not in head)
    head = head | {"framing": dataclasses.asdict(framing), "name": name, "formats": registered()}
    sent, out = json.dumps(head).encode() + b"\n" + data, [b""]
    until = time.monotonic() + SECONDS
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread takes address space
    with worker("isthmus.explore.answers.upload_decoder:main", alone) as process:
        # `communicate` with a timeout would not go on with what was not sent yet
        talk = threading.Thread(target=lambda: out.append(process.communicate(sent)[0]), name="decode")
        talk.start()
        try:
            while talk.is_alive():
                talk.join(0.1)
                go_on()
                if talk.is_alive() and time.monotonic() > until:
                    raise DataError(f"{name} was not decoded within {SECONDS} s; make it smaller")
        finally:
            process.kill()
            talk.join()
    line, _, pixels = out[-1].partition(b"\n")
    if process.returncode or not line:
        raise DataError(f"{name} cannot be decoded; save it again as a PNG or JPEG")
    answer = json.loads(line)
    if "error" in answer:
        raise DataError(answer["error"])
    return np.frombuffer(pixels, answer["dtype"]).reshape(answer["shape"]), answer


def main() -> None:
    """Read a line of JSON and a file from stdin; write a line of JSON and the pixels to stdout."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    warnings.simplefilter("ignore")  # of Pillow, on damaged files
    head = json.loads(sys.stdin.buffer.readline())
    try:
        register_all(head["formats"])
        data, framing, name = sys.stdin.buffer.read(), Framing(**head["framing"]), head["name"]
        answer: dict[str, Any] = {}
        if "shape" in head:
            shape, manner = tuple(head["shape"]), Manner(**head["manner"])
            x, words = read_upload(data, shape, manner, whole=head["whole"], framing=framing, name=name)
        else:
            x, words, answer["identity"] = read_photograph(data, framing, name=name)
        answer |= {"shape": x.shape, "dtype": x.dtype.str, "words": words}
        pixels: Any = np.ascontiguousarray(x).reshape(-1).view(np.uint8).data  # which is no second copy
    except DataError as error:
        answer, pixels = {"error": str(error)}, b""
    except MemoryError:
        answer, pixels = {"error": f"{name} takes too much memory; make it smaller"}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    sys.stdout.buffer.write(pixels)
