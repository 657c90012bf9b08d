"""Decode uploads in a process of their own: memory goes back whatever one took, and a crash ends that process alone."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import threading
import time
import warnings
from collections.abc import Callable

import numpy as np

from isthmus.errors import DataError
from isthmus.explore.pictures import Manner, check, read_picture
from isthmus.machine import worker

SECONDS = 20  # for one picture, the start of the process included
MOST_MEMORY = 2 << 30  # bytes of address space; the largest picture that is read needs a quarter


def decode(
    data: bytes,
    shape: tuple[int, int, int],
    manner: Manner,
    *,
    whole: bool = False,
    go_on: Callable[[], None] = lambda: None,
) -> tuple[np.ndarray, str]:
    """Call `read_picture` in a process that then ends.

    go_on: called now and then; what it raises ends the process. Raises DataError as `read_picture` does, and for a
    picture that takes more than SECONDS or MOST_MEMORY.
    """
    check(data)
    head = {"shape": shape, "manner": dataclasses.asdict(manner), "whole": whole}
    sent, out = json.dumps(head).encode() + b"\n" + data, [b""]
    until = time.monotonic() + SECONDS
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # each thread takes address space
    with worker("isthmus.explore.decode:main", alone) as process:
        # `communicate` with a timeout would not go on with what was not sent yet
        talk = threading.Thread(target=lambda: out.append(process.communicate(sent)[0]), name="decode")
        talk.start()
        try:
            while talk.is_alive():
                talk.join(0.1)
                go_on()
                if talk.is_alive() and time.monotonic() > until:
                    raise DataError(f"the picture was not decoded within {SECONDS} s; make it smaller")
        finally:
            process.kill()
            talk.join()
    line, _, pixels = out[-1].partition(b"\n")
    if process.returncode or not line:
        raise DataError("the picture cannot be decoded; save it again as a PNG or JPEG")
    answer = json.loads(line)
    if "error" in answer:
        raise DataError(answer["error"])
    return np.frombuffer(pixels, np.float32).reshape(answer["shape"]).copy(), answer["words"]


def main() -> None:
    """Read a line of JSON and a file from stdin; write a line of JSON and the pixels to stdout."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    warnings.simplefilter("ignore")  # Pillow's, of damaged files: whoever sent one is told
    head = json.loads(sys.stdin.buffer.readline())
    try:
        data, manner = sys.stdin.buffer.read(), Manner(**head["manner"])
        x, words = read_picture(data, tuple(head["shape"]), manner, whole=head["whole"])
        answer, pixels = {"shape": x.shape, "words": words}, np.ascontiguousarray(x, np.float32).tobytes()
    except DataError as error:
        answer, pixels = {"error": str(error)}, b""
    except MemoryError:
        answer, pixels = {"error": "the picture takes too much memory; make it smaller"}, b""
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + pixels)
