"""Connections to the page's server: slow requests are closed, and nothing is upgraded."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0  # in which a request's headers must have arrived


class Connection(H11Protocol):
    """HTTP/1.1 whose requests must arrive: uvicorn itself waits for the rest of half-sent headers for ever."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._overdue: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._cancel()

    def _expect_headers(self) -> None:
        """Start the clock where headers are still to come, and stop it where a request is under way."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel()
        elif self._overdue is None:
            self._overdue = self.loop.call_later(HEADER_SECONDS, self._late)

    def _cancel(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None

    def _late(self) -> None:
        self._overdue = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the page has no WebSocket, and no package that could be installed gives it one."""
