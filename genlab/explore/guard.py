"""The rules that each request must keep before the page sees it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

METHODS = ("GET", "HEAD", "POST")
HEADERS = {
    # Everything comes from this server. Pictures that the page has made, and sounds, are blobs.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""The headers of each response."""

_NO_KEY = "Open the address that genlab has printed: it holds the key to this page.\n"


@dataclass(frozen=True)
class Keys:
    """The secrets of one server."""

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """In the address that is printed."""
    once: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """In the address with which genlab starts the browser. Other users can see it in the list of processes, so it opens
    the page a single time."""
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """In the cookie that a browser gets for the token."""


@dataclass(frozen=True)
class Refusal:
    """The reason why a request is refused, as a status and a sentence."""

    status: int
    sentence: str


class Guard:
    """ASGI middleware: lets a request pass only if it comes from the page, in a browser that was given the token."""

    def __init__(self, app: App, hosts: frozenset[str], keys: Keys, name: str) -> None:
        self.app, self.hosts, self.keys, self.name = app, hosts, keys, name
        self._unused = {keys.once}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, give a browser its cookie, or pass the request on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        refusal = self._refusal(scope, headers)
        if refusal is None and scope["type"] == "http" and scope["path"] == "/" and self._brings_token(scope):
            # Without the token in its address, the page can be left open and shown to others.
            cookie = f"{self.name}={self.keys.cookie}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 303, "", {"location": "/", "set-cookie": cookie})
            return
        if refusal is None and not self._knows(headers):
            refusal = Refusal(401, _NO_KEY)
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            # Closed before it is accepted: the browser gets status 403.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            await _answer(send, refusal.status, refusal.sentence, {})

    def _refusal(self, scope: Scope, headers: dict[str, list[str]]) -> Refusal | None:
        """Return the first rule that a request breaks."""
        host = headers.get("host", [])
        if len(host) != 1 or host[0].lower() not in self.hosts:
            return Refusal(421, "This server answers under its own address only.\n")
        if any(site not in ("same-origin", "none") for site in headers.get("sec-fetch-site", [])):
            return Refusal(403, "This request comes from another site.\n")
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if changes and [each.lower() for each in headers.get("origin", [])] != [f"http://{host[0].lower()}"]:
            return Refusal(403, "This request comes from another origin.\n")
        if scope["type"] == "http" and scope["method"] not in METHODS:
            return Refusal(405, "Use GET or POST.\n")
        return None

    def _brings_token(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if len(given) != 1:
            return False
        if given[0] in self._unused:
            self._unused.clear()
            return True
        return _equal(given[0], self.keys.token)

    def _knows(self, headers: dict[str, list[str]]) -> bool:
        """Return True if the browser sends the cookie."""
        # Split by hand: one cookie of another program on this host can end the parser of the standard library.
        pairs = (pair.strip().partition("=") for line in headers.get("cookie", []) for pair in line.split(";"))
        return any(name == self.name and _equal(value, self.keys.cookie) for name, _, value in pairs)


def _equal(given: str, secret: str) -> bool:
    """Compare in a time that does not depend on the texts."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _headers(scope: Scope) -> dict[str, list[str]]:
    found = dict[str, list[str]]()
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _with_headers(send: Send) -> Send:
    """Return a `send` that adds the headers of every response."""

    async def sending(message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, headers: dict[str, str]) -> None:
    """Send a short text."""
    content = text.encode()
    own = {"content-type": "text/plain; charset=utf-8", "content-length": str(len(content)), **headers}
    start = {"type": "http.response.start", "status": status}
    await _with_headers(send)({**start, "headers": [(name.encode(), value.encode()) for name, value in own.items()]})
    await send({"type": "http.response.body", "body": content})
