"""What an entry says: its body, and the query columns that follow from it."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from routing.core import chain
from routing.core.chain import Json
from routing.core.errors import Broken, Invalid
from routing.core.rights import Actor
from routing.core.values import Action, EnvironmentName, Outcome

VERSION = 1
MAX_BYTES = 16 * 1024
MAX_REASON = 2000
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_VALUES = ("before", "after", "facts")


def write(
    *,
    stream: str,
    seq: int,
    by: Actor,
    now: datetime,
    action: Action,
    environment: EnvironmentName | None,
    object_type: str,
    object_id: str,
    outcome: Outcome,
    reason: str,
    before: Json,
    after: Json,
    facts: Json,
) -> bytes:
    """Return the canonical bytes of an entry, at most 16 KiB.

    Values too long for that are replaced by their digest and size, the longest first, and say
    so. Values are booked as given, never normalised: folding the entries must give the tables.
    The reason is a person's text, so it is brought to NFC. Raises Broken for a value that no
    entry can hold, Invalid for a reason over 2000 characters.
    """
    if len(reason) > MAX_REASON:
        raise Invalid(f"The reason has {len(reason)} characters; say it in {MAX_REASON}.")
    said: dict[str, Json] = {
        "v": VERSION,
        "stream": stream,
        "seq": seq,
        "at": moment(now),
        "actor": {
            "kind": str(by.kind),
            "id": identifier(by.id, 300),
            "role": by.role(environment) if environment else None,
        },
        "action": str(action),
        "environment": environment,
        "object": {"type": identifier(object_type, 32), "id": identifier(object_id, 200)},
        "outcome": str(outcome),
        "reason": unicodedata.normalize("NFC", _printable(reason, keep="\n\t")),
        "before": before,
        "after": after,
        "facts": facts,
        "request_id": identifier(by.request_id, 64),
        "session": identifier(by.session, 64),
        "peer": identifier(by.peer, 64),
    }
    try:
        return _within_size(said)
    except Invalid as error:
        raise Broken(f"No entry can hold this: {error.message}") from error


def _within_size(said: dict[str, Json]) -> bytes:
    lengths = {name: len(chain.canonical(said[name])) for name in _VALUES}
    while len(body := chain.canonical(said)) > MAX_BYTES:
        name = max(lengths, key=lengths.__getitem__)
        whole = chain.canonical(said[name])
        said[name] = {
            "left_out": f"longer than an entry of {MAX_BYTES} bytes has room for",
            "bytes": len(whole),
            "sha256": hashlib.sha256(whole).hexdigest(),
        }
        lengths[name] = 0
    return body


def moment(at: datetime) -> str:
    """Return `at` in UTC with six decimals and Z; raises Broken for a time without a zone."""
    if at.tzinfo is None:
        raise Broken("An entry needs a time with its zone; pass wiring.now().")
    return at.astimezone(UTC).strftime(_FORMAT)


def identifier(text: str, limit: int) -> str:
    """Return `text` fit for a column of `limit` characters, whatever a caller sent.

    Control characters and half surrogate pairs become U+FFFD; what is too long keeps its
    beginning and ends in `~` and 16 digits of its SHA-256, so that two never look alike.
    """
    clean = _printable(text, keep="")
    if len(clean) <= limit:
        return clean
    digest = hashlib.sha256(clean.encode()).hexdigest()[:16]
    return f"{clean[: limit - 17]}~{digest}"


def _printable(text: str, keep: str) -> str:
    return "".join(
        "\ufffd" if unicodedata.category(c) in ("Cc", "Cs") and c not in keep else c for c in text
    )


def columns(body: bytes) -> dict[str, Any]:
    """Return the query columns that the canonical `body` implies, `stream` and `seq` included.

    Raises Invalid when the body is not canonical or lacks what every entry has.
    """
    said = chain.read(body)
    try:
        return _columns(said)
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Invalid("The stored text is not an audit entry.") from None


def _columns(said: Any) -> dict[str, Any]:
    return {
        "stream": _is(said["stream"], str),
        "seq": _is(said["seq"], int),
        "at": parse_moment(said["at"]),
        "actor_kind": _is(said["actor"]["kind"], str),
        "actor": _is(said["actor"]["id"], str),
        "action": _is(said["action"], str),
        "environment": "" if said["environment"] is None else _is(said["environment"], str),
        "object_type": _is(said["object"]["type"], str),
        "object_id": _is(said["object"]["id"], str),
        "outcome": _is(said["outcome"], str),
        "request_id": _is(said["request_id"], str),
    }


def _is(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(kind)
    return value


def parse_moment(text: str) -> datetime:
    """Return the time that `moment` wrote; raises ValueError for any other spelling."""
    if not _MOMENT.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def plain(value: object) -> Json:
    """Return `value` as an entry can hold it: what JSON does not know becomes text.

    For the facts of a refusal, which may carry anything.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= chain.MAX_INT else str(value)
    if isinstance(value, Mapping):
        return {identifier(ascii(str(k)).strip("'"), 64): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return _printable(str(value), keep="\n\t")
