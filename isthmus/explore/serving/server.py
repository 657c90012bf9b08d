"""Run the server: open the address and the browser at once, then the models, and close cleanly."""

from __future__ import annotations

import errno
import gc
import os
import secrets
import socket
import sys
import threading
import warnings
import webbrowser
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette

from isthmus.errors import RequestError
from isthmus.explore.folder import Gallery, Run, look
from isthmus.explore.serving.application import application
from isthmus.explore.serving.connection import Connection
from isthmus.explore.serving.guard import is_loopback, origin_of

if TYPE_CHECKING:
    from isthmus.explore.shelf import PhotographShelf, Shelf

HOST, PORT = "127.0.0.1", 8765
_TRIES = 50  # ports after the first that are tried


def serve(
    path: Path,
    *,
    host: str = HOST,
    port: int = PORT,
    browser: bool = True,
    data_dir: Path | None = None,
    allow_origins: Sequence[str] = (),
    alone: bool = False,
    gallery: Callable[[Path], Gallery] = lambda model: Gallery(),
    beside: Sequence[Path] = (),
    say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    shown: Callable[[str], None] = lambda line: print(line, flush=True),
) -> None:
    """Show a run's or a model's folder until Ctrl-C. say: messages; shown: the page's address, once it answers.

    gallery: finds the images for a model by itself; alone: also for a model of a run. beside: other denoisers, if it is
    one. allow_origins: addresses at which a proxy shows the page. With these, or on another address than the loopback,
    whoever opens the page needs the token in the address. Raises RequestError for an address that cannot be had, and
    what `shelf_loader` raises.
    """
    origins = [origin_of(origin) for origin in allow_origins]
    listening, taken = _listen(host, port)
    with listening, ThreadPoolExecutor(1, "open") as opener:
        target = look(path, data_dir, alone=alone)  # what is wrong is mostly wrong here, before there is a page
        token = None if is_loopback(host) and not origins else secrets.token_urlsafe(16)
        opening = opener.submit(_open, target, gallery, beside, say)
        threads = max(2, min(8, os.cpu_count() or 1))
        config = config_of(application(opening, token=token, threads=threads, origins=origins))
        bound_port = listening.getsockname()[1]
        if taken:
            say(f"port {port} is taken; this is on {bound_port}")
        if not is_loopback(host):
            say(
                f"this address can be reached from other machines ({host}): anyone with the token sees the models and "
                "the data; the connection is not encrypted"
            )
        ending = f"?token={token}" if token else ""
        address = f"http://{_in_address(host)}:{bound_port}/{ending}"
        for origin in allow_origins:
            say(f"through the proxy: {origin.rstrip('/')}/{ending}")
        server = uvicorn.Server(config)
        _on_exit(server, lambda: _close(opening))
        opening.add_done_callback(lambda opened: _end(server) if opened.exception() else None)
        _when_up(server, lambda: _announce(address, browser, say, shown))
        try:
            server.run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            say("stopped")
        if opening.done():
            opening.result()


def config_of(app: Starlette) -> uvicorn.Config:
    """How uvicorn serves the page: quietly, and without waiting for whoever is too slow."""
    return uvicorn.Config(
        app,
        http=Connection,
        log_level="warning",
        access_log=False,
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=1,
    )


def _open(
    target: Run | Path, gallery: Callable[[Path], Gallery], beside: Sequence[Path], say: Callable[[str], None]
) -> Shelf | PhotographShelf:
    """The shelf, after the imports that take seconds. It runs while the page is already there."""
    gc.disable()  # a collection during the imports finds nothing, and half a second goes by
    try:
        import torch

        from isthmus.explore.answers import photograph_routes  # noqa: F401 - now, rather than at the first question
        from isthmus.explore.shelf_loader import shelve

        shelf = shelve(target, None if isinstance(target, Run) else gallery(target), beside)
    finally:
        gc.freeze()  # else a full collection, some 100 ms, may come while a slider moves
        gc.enable()
    warnings.filterwarnings("ignore", module=r"PIL\.")  # of damaged uploads, whoever sent them is told
    warnings.filterwarnings("ignore", "Orthogonal matching pursuit ended")  # an image that fewer atoms draw already
    torch.set_num_threads(1)  # one image has no work for two, and each thread of the pool would start its own
    for entry in shelf.entries.values():
        if entry.fault is not None:
            say(f"{entry.name} cannot be shown: {entry.fault}")
    return shelf


def _end(server: uvicorn.Server) -> None:
    server.should_exit = True


def _on_exit(server: uvicorn.Server, call: Callable[[], None]) -> None:
    """Call when a signal ends the server: before it waits for the answers that are under way."""
    end = server.handle_exit

    def handle_exit(sig: int, frame: FrameType | None) -> None:
        call()
        end(sig, frame)

    server.handle_exit = handle_exit  # type: ignore[method-assign]


def _close(opening: Future[Shelf | PhotographShelf]) -> None:
    if opening.done() and opening.exception() is None:
        opening.result().closing.set()


def _announce(address: str, browser: bool, say: Callable[[str], None], shown: Callable[[str], None]) -> None:
    shown(address)
    say("Ctrl-C ends it")
    # a text browser would take over the terminal
    if browser and (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        webbrowser.open(address)


def _when_up(server: uvicorn.Server, call: Callable[[], None]) -> None:
    """Call once the server answers, in a thread of its own."""

    def wait() -> None:
        pause = threading.Event()
        while not server.started and not server.should_exit:
            pause.wait(0.02)
        if server.started:
            call()

    threading.Thread(target=wait, name="announce", daemon=True).start()


def _in_address(host: str) -> str:
    """How a host stands in an address; what listens everywhere is reached by this machine's name."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> tuple[socket.socket, bool]:
    """A listening socket, and whether the port is another one because the first was taken."""
    if not 0 <= port <= 65535:
        raise RequestError(f"port must be from 0 to 65535, got {port}")
    for number in range(port, min(port + _TRIES, 65536)):
        try:
            return _bind(host, number), number != port
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
            reason = error.strerror or str(error)
            raise RequestError(f"cannot listen on {host}:{number}: {reason}; choose --host and --port") from None
        except OverflowError:
            break
    raise RequestError(f"ports {port} to {min(port + _TRIES, 65536) - 1} are all taken; choose another with --port")


def _bind(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # a port that was given back a moment ago can be had again
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except BaseException:
        listening.close()
        raise
    return listening
