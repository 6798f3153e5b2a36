"""Our own words: the door under `/api/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from routing.api import asked, events, replies, wire
from routing.api.dialect import Asked, Place, Purpose
from routing.api.wire import Reply
from routing.core.errors import HybridOpsError, Invalid, NotFound
from routing.decisions.record import Caller
from routing.flow import Opening
from routing.router import Routed

ROUTE, EXPLAIN, REPORT = "/api/v1/route", "/api/v1/explain", "/api/v1/report"
_PLACES = {
    ROUTE: Place(purpose=Purpose.ROUTE, method="POST"),
    EXPLAIN: Place(purpose=Purpose.EXPLAIN, method="POST"),
    REPORT: Place(purpose=Purpose.REPORT, method="GET"),
}


class Own:
    """The dialect in which nothing is translated."""

    prefix: ClassVar[str] = "/api/"
    signs: ClassVar[bool] = False

    def place(self, path: str) -> Place:
        found = _PLACES.get(path)
        if found is None:
            raise NotFound(f"There is nothing here; known: {', '.join(_PLACES)}.")
        return found

    def read(
        self, data: bytes, place: Place, *, said: Mapping[str, str | None], caller: Caller
    ) -> Asked:
        found = asked.document(data)
        streams = asked.streams(found, said["Accept"])
        if streams and place.purpose is Purpose.EXPLAIN:
            raise Invalid("explain makes no call, so it has nothing to stream; leave that out.")
        return Asked(ask=asked.clean(found, said=said, caller=caller), streams=streams)

    def models(self, place: Place) -> Reply:
        raise NotFound("There is no list of models here.")

    def answered(self, done: Routed, request_id: str) -> Reply:
        return replies.routed(done, request_id)

    def refused(self, error: HybridOpsError, request_id: str) -> Reply:
        return wire.refused(error, request_id, {})

    def wording(self, asked: Asked, request_id: str) -> OwnWording:
        return OwnWording(request_id=request_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnWording:
    """Events `opened`, `piece`, `end` and `error`; the last two say all that is known."""

    request_id: str
    content_type: str = events.CONTENT_TYPE
    still_there: bytes = events.STILL_THERE

    def opened(self, opening: Opening) -> bytes:
        body = {
            "decision_id": opening.decision_id,
            "path": str(opening.path) if opening.path else None,
            "reason": str(opening.reason),
            "one_piece": opening.in_one_piece,
        }
        return events.event(body, "opened")

    def piece(self, text: str) -> bytes:
        return events.event({"text": text}, "piece")

    def end(self, done: Routed) -> bytes:
        name = "end" if done.answer is not None else "error"
        return events.event(replies.facts(done, self.request_id), name)

    def failed(self, error: HybridOpsError) -> bytes:
        return events.event(wire.refused(error, self.request_id, {}).body, "error")
