"""The machine door: who asks, whether it may, what became of it.

It stands beside Django at the ASGI root and answers from memory; the only thing that it waits
for is the router, which waits for the disk. Environment and tenant come from the token alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.http.request import split_domain_port, validate_host

from routing.access import network
from routing.access.scope import TokenKind
from routing.access.tokens import TokenFacts
from routing.api import asked, billed, idempotency, replies, report, wire
from routing.api.booking import Booking, Denial, Unknown
from routing.api.idempotency import Keys
from routing.api.quota import Quota
from routing.api.refusals import MethodRefused
from routing.api.wire import Receive, Reply, Scope, Send
from routing.core import once, rights
from routing.core.errors import (
    Forbidden,
    HybridOpsError,
    Invalid,
    NotFound,
    NotSignedIn,
    Unavailable,
)
from routing.core.rights import Right
from routing.core.values import Action, Operation
from routing.decisions.record import Caller
from routing.router import LARGE, Ask, IntelligentRouter

log = logging.getLogger(__name__)
PREFIX = "/api/"
ROUTE, EXPLAIN, REPORT = "/api/v1/route", "/api/v1/explain", "/api/v1/report"
METHODS = {ROUTE: "POST", EXPLAIN: "POST", REPORT: "GET"}
LONGEST_SECRET = 256
# Parsing more than this at once would hold up everybody else's requests.
LARGE_BYTES = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A caller whose token is in force."""

    token: TokenFacts
    actor: rights.Actor
    caller: Caller
    said: dict[str, str | None]

    @property
    def is_run(self) -> bool:
        return self.token.kind is TokenKind.RUN


def build(
    *,
    router: Callable[[], IntelligentRouter | None],
    find: Callable[[str, datetime], TokenFacts | None],
    clock: Callable[[], datetime],
    hosts: Sequence[str],
    sources: Callable[[], report.Sources | None],
    booking: Booking,
    keys: Keys | None = None,
) -> wire.App:
    """Return the door as an ASGI app for everything under `/api/`.

    `router` and `sources` answer None before the start and after the end of the server; `hosts`
    is as in ALLOWED_HOSTS. `booking` and `keys` are closed by whoever made them; without
    `keys` no earlier request is known.
    """
    return Door(
        router=router,
        find=find,
        clock=clock,
        hosts=hosts,
        sources=sources,
        booking=booking,
        keys=keys or idempotency.fresh(clock),
        quota=Quota(),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    router: Callable[[], IntelligentRouter | None]
    find: Callable[[str, datetime], TokenFacts | None]
    clock: Callable[[], datetime]
    hosts: Sequence[str]
    sources: Callable[[], report.Sources | None]
    booking: Booking
    keys: Keys
    quota: Quota

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever a caller sends gets words, and never a 500."""
        request_id = str(scope.get("request_id") or secrets.token_hex(8))
        visit = Visit(
            door=self,
            scope=scope,
            receive=receive,
            request_id=request_id,
            read=not wire.has_body(scope),
        )
        try:
            reply = await visit.serve()
        except wire.Gone:
            return
        except wire.Outside as outside:
            raise outside.__cause__ or outside from None
        except HybridOpsError as error:
            if error.status >= 500 and not isinstance(error, Unavailable):
                log.exception("request %s broke", request_id)
                reply = _broken(request_id)
            else:
                reply = wire.refused(error, request_id, {})
        except Exception:
            log.exception("request %s failed", request_id)
            reply = _broken(request_id)
        except asyncio.CancelledError:
            # Only a server that ends cancels a request; what was cut off is booked by now.
            reply = wire.refused(_not_running(), request_id, {})
        await wire.answer(
            send, reply, request_id=request_id, method=scope["method"], read=visit.read
        )


def _broken(request_id: str) -> Reply:
    message = "Something broke on our side; give an operator the request id."
    said = {"code": "broken", "message": message, "request_id": request_id}
    return Reply(status=500, body={"error": said})


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request; `read` says that nothing of its body is left to read."""

    door: Door
    scope: Scope
    receive: Receive
    request_id: str
    read: bool

    async def serve(self) -> Reply:
        """Check in the order of cost: address, token, rate, body; then do what was asked."""
        self._check_address()
        known = self._know()
        await self.door.quota.hit(known.token)
        with self.door.quota.hold(known.token):
            if self.scope["path"] == REPORT:
                return await self._report(known)
            return await self._route(known)

    def _check_address(self) -> None:
        host = wire.header(self.scope, "Host") or ""
        domain, _port = split_domain_port(host)
        if not domain or not validate_host(domain, self.door.hosts):
            raise Invalid("This server does not answer under that host name.")
        method = METHODS.get(self.scope["path"])
        if method is None:
            raise NotFound(f"There is nothing here; known: {', '.join(METHODS)}.")
        if self.scope["method"] != method:
            raise MethodRefused(f"Use {method} here.", allow=method)
        if self.scope["query_string"]:
            raise Invalid("This door takes no query parameters; send them in the body.")

    def _know(self) -> Known:
        """Return who asks; raises NotSignedIn, Forbidden (booked), Invalid."""
        token = self._token()
        peer = network.of(self._address())
        actor = token.actor(request_id=self.request_id, peer=peer)
        names = (asked.OPERATION, asked.PRIORITY, asked.PATH, asked.NONCE)
        said = {name: wire.header(self.scope, name) for name in names}
        caller = Caller(
            environment=token.environment,
            token=token.id,
            tenant=token.tenant,
            request_id=self.request_id,
            synthetic=token.kind is TokenKind.RUN,
            nonce=asked.nonce(said[asked.NONCE]),
        )
        known = Known(token=token, actor=actor, caller=caller, said=said)
        self._check_rights(known)
        return known

    def _token(self) -> TokenFacts:
        said = wire.header(self.scope, "Authorization") or ""
        scheme, _, secret = said.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not 0 < len(secret) <= LONGEST_SECRET:
            raise NotSignedIn("Send a token: Authorization: Bearer <secret>.")
        now = self.door.clock()
        token = self.door.find(secret, now)
        if token is None:
            self.door.booking.put(Unknown(network=network.of(self._address()), now=now))
            raise NotSignedIn("The token is unknown, revoked or expired; ask an admin for one.")
        return token

    def _address(self) -> str:
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    def _check_rights(self, known: Known) -> None:
        is_report = self.scope["path"] == REPORT
        try:
            rights.check(known.actor, Right.ROUTE, known.token.environment)
            if is_report and not known.is_run:
                raise Forbidden("Only a run's own token may ask for a report.")
            kept = [name for name in (asked.PATH, asked.NONCE) if known.said[name] is not None]
            if kept and not known.is_run:
                raise Forbidden(
                    f"{' and '.join(kept)} may be sent with a run's own token only; leave it out.",
                    headers=kept,
                )
        except Forbidden as refusal:
            action = Action.REPORT_READ if is_report else Action.ROUTE_ASK
            self._book(known, refusal, action, "door", str(self.scope["path"]))
            raise

    async def _report(self, known: Known) -> Reply:
        if not known.caller.nonce:
            raise Invalid(f"A report needs a nonce; send it in {asked.NONCE}.")
        sources = self.door.sources()
        if sources is None:
            raise _not_running()
        return await report.make(sources, caller=known.caller, now=self.door.clock())

    async def _route(self, known: Known) -> Reply:
        wire.check_media(self.scope)
        data = await wire.read_body(self.receive)
        self.read = True
        if len(data) > LARGE_BYTES:
            found = await asyncio.to_thread(asked.document, data)
        else:
            found = asked.document(data)
        ask = asked.clean(found, said=known.said, caller=known.caller)
        self._check_operation(known, ask.operation)
        router = self.door.router()
        if router is None:
            raise _not_running()
        if self.scope["path"] == EXPLAIN:
            if ask.size > LARGE:
                return replies.explained(ask, *await asyncio.to_thread(router.explain, ask))
            return replies.explained(ask, *router.explain(ask))
        return await self._routed(router, known, ask, data)

    async def _routed(
        self, router: IntelligentRouter, known: Known, ask: Ask, data: bytes
    ) -> Reply:
        quota, token = self.door.quota, known.token
        key = asked.key(wire.header(self.scope, asked.ONCE))
        if key is None:
            work = billed.route(router, quota, token, ask)
        else:
            work = self.door.keys.once(
                once.digest(token.id, key),
                once.digest(*known.said.values(), data),
                lambda made: billed.route_on(router, quota, token, replace(ask, once=made)),
            )
        done = await wire.while_there(self.receive, work)
        return replies.routed(done, self.request_id)

    def _check_operation(self, known: Known, operation: Operation) -> None:
        if known.token.may(operation):
            return
        allowed = sorted(str(o) for o in Operation if known.token.may(o))
        refusal = Forbidden(
            f"This token may not ask for {operation}; it may for {', '.join(allowed) or 'nothing'}"
            ". Ask an admin for a token with that scope.",
            operation=str(operation),
            allowed=allowed,
        )
        self._book(known, refusal, Action.ROUTE_ASK, "operation", str(operation))
        raise refusal

    def _book(
        self, known: Known, refusal: Forbidden, action: Action, object_type: str, object_id: str
    ) -> None:
        self.door.booking.put(
            Denial(
                by=known.actor,
                now=self.door.clock(),
                action=action,
                environment=known.token.environment,
                object_type=object_type,
                object_id=object_id,
                refusal=refusal,
            )
        )


def _not_running() -> Unavailable:
    return Unavailable("This server is starting or ending; try again.", retry_after_s=1)
