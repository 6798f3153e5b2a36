"""What stands before every answer: request id, host, methods, body cap, security headers.

Django spools a whole body to the disk before any view runs and never sees an answer that it did
not make itself, so these rules live outside it and hold for static files and errors too.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http.request import split_domain_port, validate_host

from routing import chance

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger(__name__)

KIB = 1024
BODY_CAP = 1024 * KIB
# The import form takes documents of 2 MiB; the margin is for the multipart frame around them.
IMPORT_CAP = 2 * 1024 * KIB + 64 * KIB
IMPORT_PATH = re.compile(r"\A/e/[a-z]+/deployments/import/\Z")
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
# Asked by an orchestrator under whatever address it knows; they tell nothing.
ANY_HOST = frozenset({"/livez", "/readyz"})
STATIC = "/static/"
REMEMBERED_HOSTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the edge needs to know; `origins` are full ones such as https://ops.example.org."""

    origins: Sequence[str]
    hosts: Sequence[str]
    https: bool


class BodyTooLarge(Exception):
    """Ends the reading of a body; the edge answers 413."""


def guard(app: App, rules: Rules) -> App:
    """Return `app` behind the edge; every http answer carries the headers and a request id."""
    fixed = _Fixed(security_headers(rules))
    hosts = _Hosts(rules.hosts)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        scope["request_id"] = chance.word()
        answer = _Answer(scope, send, fixed)
        refusal = _refusal(scope, hosts)
        if refusal is not None:
            await _say(answer, *refusal)
            return
        await _run(app, scope, _Capped(scope, receive), answer)

    return guarded


async def _run(app: App, scope: Scope, capped: _Capped, answer: _Answer) -> None:
    """Run `app`; turn what it could not answer into words, and log it once."""
    try:
        await app(scope, capped, answer)
    except BodyTooLarge:
        if not answer.started:
            await _say(answer, 413, _too_large(capped.cap))
    except Exception:
        log.exception("request %s failed outside Django", scope["request_id"])
        if answer.started:
            raise  # the server cuts the connection: half an answer must not look whole
        await _say(answer, 500, "Something broke on our side. Nothing is known to be changed.")


def _refusal(scope: Scope, hosts: _Hosts) -> tuple[int, str] | None:
    """Return the status and words with which the edge turns a request away, or None."""
    if scope["method"] not in METHODS:
        return 405, "This method is not served here."
    named, said, fetched = _picked(scope["headers"])
    if scope["path"] not in ANY_HOST and not (len(named) == 1 and hosts.are_ours(named[0])):
        return 400, "This server does not answer under that host name."
    if scope["method"] not in SAFE_METHODS and _is_cross_site(fetched):
        return 403, "The request came from another site, so it was not done."
    if said and (len(set(said)) > 1 or not said[0].isdigit()):
        return 400, "The length of the body is not a number."
    if said and int(said[0]) > body_cap(scope["path"]):
        return 413, _too_large(body_cap(scope["path"]))
    return None


def _picked(
    headers: Sequence[tuple[bytes, bytes]],
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Return the values of Host, Content-Length and Sec-Fetch-Site, in one pass."""
    named: list[bytes] = []
    said: list[bytes] = []
    fetched: list[bytes] = []
    for name, value in headers:
        if name == b"host":
            named.append(value)
        elif name == b"content-length":
            said.append(value)
        elif name == b"sec-fetch-site":
            fetched.append(value)
    return named, said, fetched


def body_cap(path: str) -> int:
    """Return how many bytes a request to `path` may carry."""
    return IMPORT_CAP if path[:3] == "/e/" and IMPORT_PATH.match(path) else BODY_CAP


def _too_large(cap: int) -> str:
    return f"The request is larger than {cap // KIB} KiB. Send less; nothing was changed."


class _Hosts:
    """The host names that are served; a name that was judged is remembered."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self._judged: dict[bytes, bool] = {}

    def are_ours(self, named: bytes) -> bool:
        """Tell whether `named`, the value of a Host header, is one of them."""
        known = self._judged.get(named)
        if known is None:
            domain, _port = split_domain_port(named.decode("latin-1"))
            known = bool(domain) and validate_host(domain, self._hosts)
            if len(self._judged) < REMEMBERED_HOSTS:
                self._judged[named] = known
        return known


def _is_cross_site(fetched: Sequence[bytes]) -> bool:
    # Browsers set it and pages cannot forge it; programs do not send it. A page on another port
    # of this host counts as same-site and is refused as well.
    return any(value not in (b"same-origin", b"none") for value in fetched)


class _Capped:
    """A receive that stops at the cap, also when the client never said how much will come."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._read = 0
        self.cap = body_cap(scope["path"])

    async def __call__(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            if self._read > self.cap:
                raise BodyTooLarge
        return message


class _Fixed:
    """The headers that every answer carries, and their names."""

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self.pairs = tuple(pairs)
        self.names = frozenset({name for name, _ in pairs} | {b"x-request-id"})


class _Answer:
    """A send that puts the edge's headers on the answer, in place of any of the same name."""

    def __init__(self, scope: Scope, send: Send, fixed: _Fixed) -> None:
        self._send = send
        self._static = scope["path"].startswith(STATIC)
        self._fixed = fixed
        self.request_id: str = scope["request_id"]
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message = {**message, "headers": self._dressed(message.get("headers", ()))}
        await self._send(message)

    def _dressed(self, headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        ours = self._fixed.names
        kept: list[tuple[bytes, bytes]] = []
        stored = self._static
        for pair in headers:
            name = pair[0].lower()
            if name in ours:
                continue
            stored = stored or name == b"cache-control"
            kept.append(pair)
        if not stored:
            kept.append((b"cache-control", b"no-store"))
        kept += self._fixed.pairs
        kept.append((b"x-request-id", self.request_id.encode()))
        return kept


async def _say(answer: _Answer, status: int, words: str) -> None:
    body = f"{words}\nRequest {answer.request_id}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        # An unread body must not be taken for the next request on this connection.
        (b"connection", b"close"),
    ]
    await answer({"type": "http.response.start", "status": status, "headers": headers})
    await answer({"type": "http.response.body", "body": body})


def security_headers(rules: Rules) -> list[tuple[bytes, bytes]]:
    """Return the headers that every answer carries."""
    sockets = " ".join(dict.fromkeys(o.replace("http", "ws", 1) for o in rules.origins))
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"font-src 'self'; connect-src 'self' {sockets}; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    headers = [
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (
            b"permissions-policy",
            b"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ]
    if rules.https:
        headers.append(
            (b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload")
        )
    return headers
