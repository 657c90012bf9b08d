"""Access control: checks of Host, Origin and token, and security headers.

A page of another site can send requests to the loopback address from its visitor's browser, and with a name of its own
that resolves to 127.0.0.1 it could read the answers (DNS rebinding). Host and Origin tell such requests apart.
"""

from __future__ import annotations

import hmac
import html
import ipaddress
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from isthmus.errors import RequestError

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Whether an address or name stands for this machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def origin_of(address: str) -> tuple[str, str]:
    """(scheme, host and port) of an address that the page may be opened at. Raises RequestError for what is none."""
    origin = _origin(address)
    if origin[0] not in ("http", "https") or not _hostname(origin[1]):
        raise RequestError(f"--allow-origin must be an address like https://lab.example, got {address!r}")
    return origin


class Guard:
    """ASGI middleware. token: what a visitor must know, or None on the loopback address, where none is asked for.

    origins: other addresses, (scheme, host and port), at which a proxy shows this page.
    """

    def __init__(self, app: ASGIApp, token: str | None = None, origins: Iterable[tuple[str, str]] = ()) -> None:
        self.app, self.token, self.origins = app, token, frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        await (refusal or self.app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        proxied = host in {place for _, place in self.origins}
        if self.token is None and not proxied and not is_loopback(_hostname(host)):
            return refused(scope, f"this server answers to localhost alone, not to {host[:80]!r}", 403)
        origin = headers.get("origin")
        if origin is not None and _origin(origin) not in {("http", host), *self.origins}:
            proxy = f"if {origin[:80]!r} is your proxy, start `isthmus explore` with --allow-origin"
            return refused(scope, f"requests from other sites are refused; {proxy}", 403)
        navigates = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not navigates:
            return refused(scope, "requests from other sites are refused", 403)
        return None if self.token is None else self._without_token(scope, headers)

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        assert self.token is not None
        name = cookie_of(scope)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if scope["path"] == "/" and _same(given, self.token):
            # the token leaves the address bar; what follows the # stays. A proxy may show the page below any path:
            # the address is relative, and a cookie without a path belongs to the folder of its page
            response = RedirectResponse("./", 303)
            secure = ("https", headers.get("host", "")) in self.origins
            # lax: after a link from elsewhere, such as a notebook, the redirect would carry no strict cookie
            response.set_cookie(name, self.token, path=None, httponly=True, samesite="lax", secure=secure)
            return response
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except CookieError:
            cookies.clear()
        cookie = cookies[name].value if name in cookies else ""
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _same(cookie, self.token) or _same(bearer, self.token):
            return None
        instruction = "open the whole address that `isthmus explore` printed, with ?token=... at its end"
        return refused(scope, f"this page needs a token: {instruction}", 401)


def cookie_of(scope: Scope) -> str:
    """The name of this server's cookie: browsers keep one jar for all ports of a host."""
    _, port = scope.get("server") or ("", None)
    return f"isthmus-explore-{port or 0}"


def refused(scope: Scope, message: str, status: int, headers: dict[str, str] | None = None) -> Response:
    """A refusal: for a person who opened an address in a browser a page, else JSON."""
    request_headers = Headers(scope=scope)
    if request_headers.get("sec-fetch-mode", "navigate") != "navigate" or "text/html" not in request_headers.get(
        "accept", ""
    ):
        return JSONResponse({"error": message}, status, headers=headers)
    return HTMLResponse(_PAGE.format(status=status, message=html.escape(_sentence(message))), status, headers=headers)


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>isthmus explore: {status}</title>
</head>
<body>
<h1>This page cannot be shown</h1>
<p>{message}</p>
</body>
</html>
"""


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:].rstrip('.')}."


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _origin(origin: str) -> tuple[str, str]:
    """(scheme, host and port) of an origin; empty for what is none, like "null"."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return "", ""
    return parts.scheme.lower(), parts.netloc.lower()


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
