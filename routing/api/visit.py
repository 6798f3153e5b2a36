"""One request behind any door: who asks, whether it may, what became of it.

The one skeleton of all doors: same order, same limits, same refusals, same booking. A dialect
only translates at its edges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial

from django.http.request import split_domain_port, validate_host

from routing.access import network
from routing.access.scope import TokenKind
from routing.access.tokens import TokenFacts
from routing.api import asked, billed, replies, report, sigv4, wire
from routing.api.booking import Booking, Denial, Unknown
from routing.api.dialect import Asked, Dialect, Place, Purpose
from routing.api.idempotency import Keys
from routing.api.outlet import Outlet
from routing.api.quota import Quota
from routing.api.refusals import BadSignature, MethodRefused
from routing.api.wire import Receive, Reply, Scope, Send
from routing.core import audience, once, rights
from routing.core.errors import Forbidden, Invalid, NotSignedIn, Unavailable
from routing.core.rights import Right
from routing.core.values import Action, Operation
from routing.decisions.record import Caller
from routing.flow import Left
from routing.router import LARGE, IntelligentRouter

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What stands behind every door; see `door.build`."""

    router: Callable[[], IntelligentRouter | None]
    find: Callable[[str, datetime], TokenFacts | None]
    find_key: Callable[[str, datetime], tuple[TokenFacts, str] | None]
    look_again: Callable[[], Awaitable[None]]
    clock: Callable[[], datetime]
    hosts: Sequence[str]
    sources: Callable[[], report.Sources | None]
    booking: Booking
    keys: Keys
    quota: Quota


@dataclass(slots=True, kw_only=True)
class Visit:
    """One request; `read` says that nothing of its body is left to read.

    `outlet` is there once the answer may go out in pieces.
    """

    behind: Behind
    dialect: Dialect
    scope: Scope
    receive: Receive
    send: Send
    request_id: str
    read: bool
    data: bytes | None = None
    outlet: Outlet | None = None

    @property
    def begun(self) -> bool:
        """Whether something of an answer has gone out."""
        return self.outlet is not None and self.outlet.begun

    async def serve(self) -> Reply | None:
        """Check in the order of cost: address, token, rate, body; then do what was asked.

        Returns None when the answer went out in pieces. A signature covers the body, so there
        the body is read before the rate is asked.
        """
        place = self._check_address()
        known = await self._know(place)
        self.behind.quota.hit(known.token)
        with self.behind.quota.hold(known.token):
            if place.purpose is Purpose.REPORT:
                return await self._report(known)
            if place.purpose is Purpose.MODELS:
                return self.dialect.models(place)
            return await self._route(known, place)

    def _check_address(self) -> Place:
        host = wire.header(self.scope, "Host") or ""
        if not _is_ours(host, tuple(self.behind.hosts)):
            raise Invalid("This server does not answer under that host name.")
        place = self.dialect.place(wire.raw_path(self.scope))
        if self.scope["method"] != place.method:
            raise MethodRefused(f"Use {place.method} here.", allow=place.method)
        if self.scope["query_string"]:
            raise Invalid("This door takes no query parameters; send them in the body.")
        return place

    async def _know(self, place: Place) -> Known:
        """Return who asks; raises NotSignedIn, Forbidden (booked), Invalid."""
        token = await self._token()
        peer = network.of(self._address())
        actor = token.actor(request_id=self.request_id, peer=peer)
        names = (asked.OPERATION, asked.PRIORITY, asked.PATH, asked.NONCE, asked.CACHE, "Accept")
        said = {name: wire.header(self.scope, name) for name in names}
        caller = Caller(
            environment=token.environment,
            token=token.id,
            tenant=token.tenant,
            request_id=self.request_id,
            synthetic=token.kind is TokenKind.RUN,
            nonce=asked.nonce(said[asked.NONCE]),
            groups=audience.of(tenant=token.tenant, token=token.name, role=token.role),
        )
        known = Known(token=token, actor=actor, caller=caller, said=said)
        self._check_rights(known, place)
        return known

    async def _token(self) -> TokenFacts:
        said = wire.header(self.scope, "Authorization") or ""
        scheme, _, secret = said.partition(" ")
        if self.dialect.signs and scheme == sigv4.ALGORITHM:
            return await self._signed(said)
        secret = secret.strip()
        if scheme.lower() != "bearer" or not 0 < len(secret) <= LONGEST_SECRET:
            raise NotSignedIn("Send a token: Authorization: Bearer <secret>.")
        token = self.behind.find(secret, self.behind.clock())
        if token is None:
            await self.behind.look_again()
            token = self.behind.find(secret, self.behind.clock())
        if token is None:
            self._note_unknown()
            raise NotSignedIn("The token is unknown, revoked or expired; ask an admin for one.")
        return token

    async def _signed(self, authorization: str) -> TokenFacts:
        """Return the token whose access key signed the request; raises BadSignature."""
        signed, headers = sigv4.read(authorization), self.scope["headers"]
        now = self.behind.clock()
        sigv4.check(signed, headers, now)
        found = self.behind.find_key(signed.access_key_id, now)
        if found is None:
            await self.behind.look_again()
            found = self.behind.find_key(signed.access_key_id, now)
        if found is None:
            self._note_unknown()
            raise NotSignedIn("The access key is unknown, revoked or expired; ask an admin.")
        token, secret = found
        try:
            sigv4.verify(
                signed,
                secret=secret,
                method=self.scope["method"],
                raw_path=wire.raw_path(self.scope).encode("latin-1"),
                headers=headers,
                body=await self._body(),
            )
        except BadSignature:
            self._note_unknown()
            raise
        return token

    def _note_unknown(self) -> None:
        now = self.behind.clock()
        self.behind.booking.put(Unknown(network=network.of(self._address()), now=now))

    def _address(self) -> str:
        client = self.scope.get("client")
        return str(client[0]) if client else ""

    async def _body(self) -> bytes:
        """Return the body, which is read once."""
        if self.data is None:
            wire.check_media(self.scope)
            self.data = await wire.read_body(self.receive)
            self.read = True
        return self.data

    def _check_rights(self, known: Known, place: Place) -> None:
        is_report = place.purpose is Purpose.REPORT
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
        sources = self.behind.sources()
        if sources is None:
            raise not_running()
        return await report.make(sources, caller=known.caller, now=self.behind.clock())

    async def _route(self, known: Known, place: Place) -> Reply | None:
        found = await self._asked(known, place)
        ask = found.ask
        self._check_operation(known, ask.operation)
        router = self.behind.router()
        if router is None:
            raise not_running()
        if place.purpose is Purpose.EXPLAIN:
            if ask.size > LARGE:
                return replies.explained(ask, *await asyncio.to_thread(router.explain, ask))
            return replies.explained(ask, *router.explain(ask))
        carry = self._streamed if found.streams else self._whole
        return await wire.while_there(self.receive, carry(router, known, found))

    async def _asked(self, known: Known, place: Place) -> Asked:
        data = await self._body()

        def read() -> Asked:
            return self.dialect.read(data, place, said=known.said, caller=known.caller)

        return await asyncio.to_thread(read) if len(data) > LARGE_BYTES else read()

    async def _whole(self, router: IntelligentRouter, known: Known, found: Asked) -> Reply:
        quota, token, ask = self.behind.quota, known.token, found.ask
        key = asked.key(wire.header(self.scope, asked.ONCE))
        if key is None:
            done = await billed.carry_out(router.route, quota, token, ask)
        else:
            done = await self.behind.keys.once(
                once.digest(token.id, key),
                once.digest(wire.raw_path(self.scope), *known.said.values(), self.data),
                lambda made: billed.go_on(router.route, quota, token, replace(ask, once=made)),
            )
        return self.dialect.answered(done, self.request_id)

    async def _streamed(
        self, router: IntelligentRouter, known: Known, found: Asked
    ) -> Reply | None:
        """Return None after the answer went out, or the reply where none has begun."""
        if wire.header(self.scope, asked.ONCE) is not None:
            raise Invalid(
                f"{asked.ONCE} goes with a whole answer: a stream cannot be joined. Leave out one "
                "of the two."
            )
        quota, token = self.behind.quota, known.token
        wording = self.dialect.wording(found, self.request_id)
        self.outlet = Outlet(send=self.send, wording=wording, request_id=self.request_id)
        async with self.outlet:
            try:
                done = await billed.carry_out(
                    partial(router.stream, outlet=self.outlet), quota, token, found.ask
                )
            except Left:
                raise wire.Gone from None
            if not self.outlet.begun:
                return self.dialect.answered(done, self.request_id)
            await self.outlet.end(done)
            return None

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
        self.behind.booking.put(
            Denial(
                by=known.actor,
                now=self.behind.clock(),
                action=action,
                environment=known.token.environment,
                object_type=object_type,
                object_id=object_id,
                refusal=refusal,
            )
        )


@lru_cache(maxsize=256)
def _is_ours(host: str, hosts: tuple[str, ...]) -> bool:
    domain, _port = split_domain_port(host)
    return bool(domain) and validate_host(domain, hosts)


def not_running() -> Unavailable:
    """Return what is told while there is no router."""
    return Unavailable("This server is starting or ending; try again.", retry_after_s=1)
