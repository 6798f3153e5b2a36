"""A second verifier of the control stream, written apart from the first.

Raw SQL and hashlib alone; nothing of the application is imported, so a mistake in its arithmetic
is not made twice. Works on any DB-API cursor of SQLite (`?`) or PostgreSQL (`%s`).
"""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import UTC, datetime
from typing import Any

NAME = "hybridops-audit/1"
TEXT_COLUMNS = {
    "actor_kind": ("actor", "kind"),
    "actor": ("actor", "id"),
    "action": ("action",),
    "environment": ("environment",),
    "object_type": ("object", "type"),
    "object_id": ("object", "id"),
    "outcome": ("outcome",),
    "request_id": ("request_id",),
}


def first_bad(cursor: Any, mark: str) -> tuple[int, int | None]:
    """Return how many entries are good and the number of the first bad one, if any."""
    cursor.execute(f"SELECT log_id FROM routing_stream WHERE name = {mark}", ("control",))
    opened = cursor.fetchone()
    if opened is None:
        return 0, 1
    expected = hashlib.sha256(NAME.encode() + b"/genesis\0" + bytes(opened[0])).digest()
    cursor.execute(
        f"SELECT seq, prev, hash, body, COALESCE(at, NULL), {', '.join(TEXT_COLUMNS)} "
        f"FROM routing_entry WHERE stream = {mark} ORDER BY seq",
        ("control",),
    )
    good = 0
    for seq, prev, digest, body, at, *columns in cursor.fetchall():
        if seq != good + 1 or bytes(prev) != expected:
            return good, good + 1
        if _hash(seq, expected, bytes(body)) != bytes(digest):
            return good, seq
        if not _columns_agree(bytes(body), seq, at, columns):
            return good, seq
        if seq == 1 and json.loads(bytes(body))["facts"]["log_id"] != bytes(opened[0]).hex():
            return good, seq
        expected, good = bytes(digest), seq
    return good, None if good else 1


def _hash(seq: int, prev: bytes, body: bytes) -> bytes:
    packed = struct.pack(">17sxI7sQ32sI", NAME.encode(), 7, b"control", seq, prev, len(body))
    return hashlib.sha256(packed + body).digest()


def _columns_agree(body: bytes, seq: int, at: Any, columns: list[Any]) -> bool:
    try:
        said = json.loads(body)
        again = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        if again.encode() != body or said["stream"] != "control" or said["seq"] != seq:
            return False
        if _utc(at) != datetime.strptime(said["at"], "%Y-%m-%dT%H:%M:%S.%f%z"):
            return False
        for (_, path), held in zip(TEXT_COLUMNS.items(), columns, strict=True):
            value = said
            for key in path:
                value = value[key]
            if (value or "") != held:
                return False
    except (ValueError, KeyError, TypeError):
        return False
    return True


def _utc(at: Any) -> datetime:
    if isinstance(at, str):  # SQLite keeps text, without a zone
        at = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert isinstance(at, datetime)
    return at
