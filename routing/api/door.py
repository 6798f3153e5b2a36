"""The doors for machines as one ASGI app; what happens behind each of them is `visit`'s.

They stand beside Django at the ASGI root and answer from memory; the only thing that they wait
for is the router, which waits for the disk. Environment and tenant come from the token alone.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from routing.access.tokens import TokenFacts
from routing.api import idempotency, report, wire
from routing.api.bedrock_words import Bedrock
from routing.api.booking import Booking
from routing.api.dialect import ONE_MODEL, Dialect
from routing.api.idempotency import Keys
from routing.api.openai_words import OpenAi
from routing.api.own import EXPLAIN, REPORT, ROUTE, Own
from routing.api.quota import Quota
from routing.api.visit import Behind, Visit, not_running
from routing.api.wire import Receive, Scope, Send
from routing.core.errors import Broken, HybridOpsError, Unavailable
from routing.router import IntelligentRouter

__all__ = ["EXPLAIN", "PREFIXES", "REPORT", "ROUTE", "build", "is_ours"]

log = logging.getLogger(__name__)
PREFIXES = (Own.prefix, OpenAi.prefix, Bedrock.prefix)


def is_ours(path: str) -> bool:
    """Tell whether a door stands at `path`."""
    return path.startswith(PREFIXES)


def _no_key(_: str, __: datetime) -> None:
    return None


async def _no_look() -> None:
    pass


def build(
    *,
    router: Callable[[], IntelligentRouter | None],
    find: Callable[[str, datetime], TokenFacts | None],
    clock: Callable[[], datetime],
    hosts: Sequence[str],
    sources: Callable[[], report.Sources | None],
    booking: Booking,
    find_key: Callable[[str, datetime], tuple[TokenFacts, str] | None] = _no_key,
    look_again: Callable[[], Awaitable[None]] = _no_look,
    models: Sequence[str] = (ONE_MODEL,),
    keys: Keys | None = None,
) -> wire.App:
    """Return the doors as an ASGI app for everything under PREFIXES.

    `router` and `sources` answer None before the start and after the end of the server; `hosts`
    is as in ALLOWED_HOSTS; `find_key` returns the token of an access key with its secret;
    `look_again` is awaited before a token that `find` does not know is refused;
    `models` are the names that callers of the foreign doors may send. `booking` and `keys` are
    closed by whoever made them; without `keys` no earlier request is known.
    """
    behind = Behind(
        router=router,
        find=find,
        find_key=find_key,
        look_again=look_again,
        clock=clock,
        hosts=hosts,
        sources=sources,
        booking=booking,
        keys=keys or idempotency.fresh(clock),
        quota=Quota(),
    )
    known = tuple(models)
    return Door(
        behind=behind,
        dialects=(OpenAi(known=known, clock=clock), Bedrock(known=known), Own()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    behind: Behind
    dialects: tuple[Dialect, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever a caller sends gets words, and never a 500."""
        request_id = str(scope.get("request_id") or secrets.token_hex(8))
        visit = Visit(
            behind=self.behind,
            dialect=self._dialect(scope["path"]),
            scope=scope,
            receive=receive,
            send=send,
            request_id=request_id,
            read=not wire.has_body(scope),
        )
        try:
            reply = await visit.serve()
        except wire.Gone:
            return
        except wire.Outside as outside:
            raise outside.__cause__ or outside from None
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - logged in _told
            refusal = _told(error, request_id)
            if visit.outlet is not None and visit.outlet.begun:
                await visit.outlet.fail(refusal)
                return
            reply = visit.dialect.refused(refusal, request_id)
        if reply is not None:
            await wire.answer(
                send, reply, request_id=request_id, method=scope["method"], read=visit.read
            )

    def _dialect(self, path: str) -> Dialect:
        return next(
            (one for one in self.dialects if path.startswith(one.prefix)), self.dialects[-1]
        )


def _told(error: BaseException, request_id: str) -> HybridOpsError:
    """Return what a caller is told of `error`; what is our fault is logged."""
    if isinstance(error, Unavailable) or (
        isinstance(error, HybridOpsError) and error.status < 500
    ):
        return error
    if isinstance(error, asyncio.CancelledError):
        # Only a server that ends cancels a request; what was cut off is booked by now.
        return not_running()
    log.error("request %s broke", request_id, exc_info=error)
    return Broken("Something broke on our side; give an operator the request id.")
