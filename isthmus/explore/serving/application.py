"""The web application: routes, limits on bodies and threads, and errors as text.

The page is served before the models are loaded: nothing here imports torch, and questions wait for the shelf.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import resources
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from isthmus.errors import IsthmusError, one_line
from isthmus.explore.serving.guard import Guard, refused

if TYPE_CHECKING:
    from isthmus.explore.answers.wire import Answer, Query
    from isthmus.explore.shelf import PhotographShelf, Shelf

    Question = Callable[[Any, Query, bytes], Answer]

MOST_BYTES = 10 << 20  # in a request's body; of an upload, what its routes say
MOST_UPLOADS = 4  # that are in memory; others wait to be received
BODY_SECONDS = 30  # in which a body must have arrived
_MOST_EPOCH = 10**9
ARRAYS = "application/x-safetensors"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def application(
    shelf: Shelf | PhotographShelf | Future[Shelf | PhotographShelf],
    *,
    token: str | None = None,
    threads: int = 2,
    origins: Iterable[tuple[str, str]] = (),
) -> Starlette:
    """The page and its answers as an ASGI application.

    shelf: or one that is still being opened. threads: that answer what must be quick; as many again compute what takes
    longer, so that a slider never waits for a map, and one decodes uploads. token, origins: as `Guard` has them.
    """
    server = _Server(shelf if isinstance(shelf, Future) else _done(shelf), threads)
    return Starlette(
        routes=[
            Route("/api/about", server.about),
            Route("/api/search", server.search, methods=["POST"]),
            Route("/api/{name}", server.answer, methods=["GET", "POST"]),
            *(Route(path, server.file(name, kind)) for path, name, kind in _files()),
        ],
        middleware=[Middleware(Guard, token=token, origins=tuple(origins))],
        exception_handlers={HTTPException: _refused, Exception: _failed},
        lifespan=server.lifespan,
    )


def _done(shelf: Shelf | PhotographShelf) -> Future[Shelf | PhotographShelf]:
    opened: Future[Shelf | PhotographShelf] = Future()
    opened.set_result(shelf)
    return opened


def _files() -> list[tuple[str, str, str]]:
    """(address, name, type) of each file of the page. What is not in this list cannot be asked for."""
    folder = resources.files("isthmus.explore") / "page"
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    files = [("/" if name == "index.html" else f"/{name}", name, "." + name.rsplit(".", 1)[-1]) for name in names]
    return [(path, name, _TYPES[suffix]) for path, name, suffix in files if suffix in _TYPES]


class _Server:
    def __init__(self, opening: Future[Shelf | PhotographShelf], threads: int) -> None:
        self.opening = opening
        self.quick = ThreadPoolExecutor(threads, "quick")
        self.slow = ThreadPoolExecutor(threads, "slow")
        self.uploads = ThreadPoolExecutor(1, "uploads")
        self.receiving = asyncio.Semaphore(MOST_UPLOADS)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        if self.opening.done() and self.opening.exception() is None:
            self.opening.result().closing.set()
        for pool in (self.quick, self.slow, self.uploads):
            pool.shutdown(wait=False, cancel_futures=True)

    def file(self, name: str, kind: str) -> Callable[..., Any]:
        """The endpoint of one file of the page."""
        data = (resources.files("isthmus.explore") / "page" / name).read_bytes()
        headers = {"etag": f'"{hashlib.sha256(data).hexdigest()[:32]}"', "cache-control": "no-cache"}

        async def endpoint(request: Request) -> Response:
            if request.headers.get("if-none-match") == headers["etag"]:
                return Response(status_code=304, headers=headers)
            return Response(data, media_type=kind, headers=headers)

        return endpoint

    async def shelf(self) -> Shelf | PhotographShelf:
        """The shelf, once it is open. Raises HTTPException if it could not be opened."""
        try:
            return self.opening.result() if self.opening.done() else await asyncio.wrap_future(self.opening)
        except (IsthmusError, OSError) as error:
            raise HTTPException(503, one_line(error)) from None

    async def about(self, request: Request) -> Response:
        shelf = await self.shelf()
        return JSONResponse(_routes(shelf).about(shelf))

    async def answer(self, request: Request) -> Response:
        """The answer to one question."""
        shelf = await self.shelf()
        routes, name = _routes(shelf), request.path_params["name"]
        for questions, pool in (
            (routes.QUICK, self.quick),
            (routes.SLOW, self.slow),
            (routes.UPLOADS, self.uploads),
        ):
            if name in questions:
                is_upload = pool is self.uploads
                most = getattr(routes, "MOST_BYTES", MOST_BYTES) if is_upload else MOST_BYTES
                async with self.receiving if is_upload else contextlib.nullcontext():
                    return await self._computed(request, shelf, pool, questions[name], most)
        raise HTTPException(404)

    async def _computed(
        self, request: Request, shelf: Any, pool: ThreadPoolExecutor, answer: Question, most: int
    ) -> Response:
        from isthmus.explore.answers import wire
        from isthmus.explore.shelf import Leaving

        body, gone = await _body(request, most), threading.Event()
        query = wire.Query(request.query_params, gone)

        def compute() -> tuple[bytes, float]:
            query.go_on()  # the client may have left while this waited for a thread
            start = time.perf_counter()
            packed = wire.pack(answer(_at_epoch(shelf, query), query, body))
            return packed, 1000 * (time.perf_counter() - start)

        computing = asyncio.get_running_loop().run_in_executor(pool, compute)
        leaves = asyncio.create_task(_leaves(request, gone))
        try:
            data, milliseconds = await computing
        except (Leaving, asyncio.CancelledError):  # which uvicorn cancels when it ends
            raise HTTPException(503, "the server is closing, or the client has left") from None
        except ValueError as error:  # RequestError, DataError, and scikit-learn's own checks of arrays
            raise HTTPException(400, one_line(error)) from None
        finally:
            leaves.cancel()
        return Response(data, media_type=ARRAYS, headers={"server-timing": f"compute;dur={milliseconds:.2f}"})

    async def search(self, request: Request) -> Response:
        """Each step of a search as it is made: its length, uint32 little endian, then its arrays."""
        body, shelf, gone = await _body(request), await self.shelf(), threading.Event()
        from isthmus.explore.answers import reconstructions, wire
        from isthmus.explore.shelf import Leaving, Shelf

        if not isinstance(shelf, Shelf):
            raise HTTPException(404)

        query = wire.Query(request.query_params)
        loop = asyncio.get_running_loop()
        steps: asyncio.Queue[Answer | BaseException | None] = asyncio.Queue()

        def send(answer: Answer | BaseException | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(steps.put_nowait, answer)

        def compute() -> None:
            try:
                if not gone.is_set():
                    send(reconstructions.searched(shelf, query, body, send, gone))
                send(None)
            except Leaving:
                send(None)
            except Exception as error:
                send(error)

        self.slow.submit(compute)
        try:
            first = await steps.get()
        except asyncio.CancelledError:
            gone.set()
            raise
        if isinstance(first, ValueError):
            raise HTTPException(400, one_line(first))
        if isinstance(first, BaseException):
            raise first

        async def frames() -> AsyncIterator[bytes]:
            answer: Answer | BaseException | None = first
            try:
                while answer is not None and not isinstance(answer, BaseException):
                    data = wire.pack(answer)
                    yield struct.pack("<I", len(data)) + data
                    answer = await steps.get()
            finally:
                gone.set()

        return StreamingResponse(frames(), media_type="application/octet-stream")


def _at_epoch(shelf: Any, query: Any) -> Any:
    """The shelf that a question is about: as it is, or as it was after the `epoch` of the question."""
    from isthmus.explore.shelf import Shelf

    if "epoch" not in query.words or not isinstance(shelf, Shelf):
        return shelf
    return shelf.at(query.integer("epoch", 0, _MOST_EPOCH))


def _routes(shelf: Shelf | PhotographShelf) -> Any:
    """The questions that a shelf answers: with `about`, QUICK, SLOW and UPLOADS."""
    from isthmus.explore.answers import photograph_routes, routes
    from isthmus.explore.shelf import Shelf

    return routes if isinstance(shelf, Shelf) else photograph_routes


async def _leaves(request: Request, gone: threading.Event) -> None:
    """Set `gone` when the client closes the connection. The body must have been read."""
    while not gone.is_set():
        if (await request.receive())["type"] == "http.disconnect":
            gone.set()


async def _body(request: Request, most: int = MOST_BYTES) -> bytes:
    """The request's body. Raises HTTPException for one that is too long, or takes too long to come."""
    if request.method == "GET":
        return b""
    parts, size = [], 0
    with contextlib.suppress(ValueError):
        size = int(request.headers.get("content-length", "0"))
    too_long = HTTPException(413, f"at most {most >> 20} MB can be sent")
    if size > most:
        raise too_long
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_long
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"what was sent did not arrive within {BODY_SECONDS} s") from None
    except ClientDisconnect:
        raise HTTPException(400, "what was sent was cut short") from None
    return b"".join(parts)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = {404: "there is nothing at this address", 405: "this address needs another method"}
    detail = known.get(error.status_code, error.detail)
    return refused(request.scope, detail, error.status_code, dict(error.headers or {}))


async def _failed(request: Request, error: Exception) -> Response:
    reason = f"{type(error).__name__}: {one_line(error)}"
    print(f"isthmus: {request.url.path} failed: {reason}", file=sys.stderr, flush=True)
    return JSONResponse({"error": f"the server could not compute this: {reason}"}, 500)
