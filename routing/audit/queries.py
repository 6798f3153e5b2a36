"""Reading the control stream: every row is told from the bytes that are hashed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from routing.audit import body, ledger
from routing.audit.models import Entry
from routing.core import chain
from routing.core.chain import Json
from routing.core.errors import Invalid, NotFound
from routing.core.values import Action, EnvironmentName, Outcome

MAX_SIZE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRow:
    """One entry as its body tells it; `environment` is empty where none was concerned.

    `broken` says in words why the entry cannot be trusted: its text does not match its hash, or
    cannot be read (then the words are empty and `at` is the year 1). Empty for a good entry; the
    links to its neighbours are for `verify` to judge.
    """

    stream: str
    seq: int
    at: datetime
    actor_kind: str
    actor: str
    role: str
    action: str
    environment: str
    object_type: str
    object_id: str
    outcome: str
    reason: str
    before: Json
    after: Json
    facts: Json
    request_id: str
    hash: str
    prev: str
    broken: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What to show; None shows all. `since` is inclusive, `until` is not.

    An empty `environment` shows what concerns none, such as accounts. `environments` and
    `actions` show any of them.
    """

    environment: EnvironmentName | Literal[""] | None = None
    environments: Collection[EnvironmentName] | None = None
    actor: str | None = None
    action: Action | None = None
    actions: Collection[Action] | None = None
    object_type: str | None = None
    object_id: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Rows, newest first; `next_before_seq` asks for the page behind, None on the last."""

    rows: tuple[EntryRow, ...]
    next_before_seq: int | None


def page(*, filters: Filters, before_seq: int | None = None, size: int = 50) -> Page:
    """Return up to `size` (1 to 500) entries of the control stream older than `before_seq`."""
    if not 1 <= size <= MAX_SIZE:
        raise Invalid(f"A page has 1 to {MAX_SIZE} entries; {size} were asked for.")
    asked = _asked(filters)
    if before_seq is not None:
        asked["seq__lt"] = before_seq
    found = Entry.objects.filter(stream=ledger.CONTROL, **asked).order_by("-seq")
    rows = [_row(*raw) for raw in found.values_list(*_RAW)[: size + 1]]
    more = len(rows) > size
    return Page(rows=tuple(rows[:size]), next_before_seq=rows[size - 1].seq if more else None)


def entry(*, stream: str, seq: int) -> EntryRow:
    """Return one entry; raises NotFound."""
    raw = Entry.objects.filter(stream=stream, seq=seq).values_list(*_RAW).first()
    if raw is None:
        raise NotFound(f"There is no entry {seq} in the stream {stream}.")
    return _row(*raw)


_RAW = ("stream", "seq", "body", "prev", "hash")


def _asked(filters: Filters) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "environment": filters.environment,
        "environment__in": _words(filters.environments),
        "actor": filters.actor,
        "action": filters.action,
        "action__in": _words(filters.actions),
        "object_type": filters.object_type,
        "object_id": filters.object_id,
        "outcome": filters.outcome,
        "at__gte": filters.since,
        "at__lt": filters.until,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _words(wanted: Collection[object] | None) -> list[str] | None:
    return None if wanted is None else [str(one) for one in wanted]


def _row(stream: str, seq: int, text: Any, prev: Any, digest: Any) -> EntryRow:
    text, prev, digest = bytes(text), bytes(prev), bytes(digest)
    broken = ""
    if len(prev) != chain.HASH_BYTES or chain.link(stream, seq, prev, text) != digest:
        broken = "The text of this entry does not match its hash: it was altered."
    try:
        said = body.columns(text)
        values: Any = chain.read(text)
    except Invalid as error:
        return _unreadable(stream, seq, prev, digest, broken or error.message)
    return EntryRow(
        **said | {"stream": stream, "seq": seq},
        role=values["actor"].get("role") or "",
        reason=str(values.get("reason", "")),
        before=values.get("before"),
        after=values.get("after"),
        facts=values.get("facts"),
        hash=digest.hex(),
        prev=prev.hex(),
        broken=broken,
    )


def _unreadable(stream: str, seq: int, prev: bytes, digest: bytes, broken: str) -> EntryRow:
    words = ("actor_kind", "actor", "role", "action", "environment", "object_type", "object_id")
    return EntryRow(
        stream=stream,
        seq=seq,
        at=datetime(1, 1, 1, tzinfo=UTC),
        **dict.fromkeys((*words, "outcome", "reason", "request_id"), ""),
        before=None,
        after=None,
        facts=None,
        hash=digest.hex(),
        prev=prev.hex(),
        broken=broken,
    )
