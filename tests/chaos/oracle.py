"""What must have come of a run, from the other sides' journals and the segment's bytes alone.

Nothing of the product is imported: its formats and its default matrix are written down here once
more, so that a fault in them is not repeated.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIRECT, MCP = "direct_bedrock", "mcp"
CALLS = {DIRECT: "converse_stream", MCP: "tools/call"}
PRIMARY = {
    "emergency": DIRECT,
    "infrastructure": DIRECT,
    "meta_monitor": DIRECT,
    "implementation": DIRECT,
    "kiro_communication": MCP,
    "standard": MCP,
    "background_tasks": MCP,
}
# Falling back onto direct_bedrock is off in development, on in production.
DIRECT_FALLBACK = {"development": False, "production": True}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One ask as its caller saw it: HTTP's status, the code when there was no answer."""

    environment: str
    operation: str
    decision_id: str
    status: int
    code: str
    retry_after_s: int | None


def has_fallback(environment: str, operation: str) -> bool:
    """Tell whether another path may answer when the primary does not."""
    if operation == "emergency":
        return False
    return PRIMARY[operation] == DIRECT or DIRECT_FALLBACK[environment]


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """One call as the other side booked it; `good` if it answered and was told to do no harm."""

    path: str
    good: bool


def journals(homes: Iterable[Path]) -> dict[str, list[Met]]:
    """Return the calls that each decision made, in the order of their arrival per path."""
    found: dict[str, list[Met]] = {}
    for home in homes:
        for file in sorted((home / "run" / "journal").glob("*.jsonl")):
            for line in file.read_text().splitlines():
                entry = json.loads(line)
                if entry["event"] == "ended" and entry["kind"] == CALLS[entry["path"]]:
                    good = entry["status"] == 200 and entry["fault"] is None
                    met = Met(path=entry["path"], good=good)
                    found.setdefault(entry["decision"], []).append(met)
    return found


def decisions(segment: Path, stream: str) -> list[dict[str, Any]]:
    """Return the decisions in `segment`; raises ValueError where its chain does not hold.

    A record is u32 length, body, 32 bytes of link: SHA-256 over label, stream, number, the link
    before and the body.
    """
    data, at, number, bodies = segment.read_bytes(), 0, 0, []
    before = b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body, link = data[at + 4 : at + 4 + size], data[at + 4 + size : at + 36 + size]
        at += 36 + size
        number += 1
        said = json.loads(body)
        if number == 1:
            log = bytes.fromhex(said["log_id"])
            before = hashlib.sha256(b"hybridops-audit/1/genesis\x00" + log).digest()
        if _link(stream, number, before, body) != link or said["seq"] != number:
            raise ValueError(f"record {number} does not follow from the one before it")
        before = link
        bodies.append(said)
    if at != len(data):
        raise ValueError("the segment ends within a record")
    return [body for body in bodies if body["kind"] == "decision"]


def _link(stream: str, number: int, before: bytes, body: bytes) -> bytes:
    name = stream.encode()
    parts = [b"hybridops-audit/1", b"\x00", len(name).to_bytes(4, "big"), name]
    parts += [number.to_bytes(8, "big"), before, len(body).to_bytes(4, "big"), body]
    return hashlib.sha256(b"".join(parts)).digest()


def problems(
    asked: Sequence[Asked],
    met: Mapping[str, Sequence[Met]],
    booked: Sequence[Mapping[str, Any]],
    failing: str,
) -> list[str]:
    """Return what is wrong with the run; `failing` is the path that was made to fail."""
    found = [f"{ask.decision_id}: {wrong}" for ask in asked for wrong in _ask(ask, met, failing)]
    counts = Counter(entry["id"] for entry in booked)
    found += [f"{name} is booked {n} times" for name, n in counts.items() if n != 1]
    known = {ask.decision_id: ask for ask in asked}
    found += [f"{name} was never asked" for name in counts if name not in known]
    found += [f"{name} is not booked" for name in known if name not in counts]
    found += [f"{name} was called but never asked" for name in met if name not in known]
    for entry in booked:
        if entry["id"] in known:
            found += _entry(entry, known[entry["id"]], met.get(entry["id"], ()))
    return found


def _ask(ask: Asked, met: Mapping[str, Sequence[Met]], failing: str) -> list[str]:
    calls = met.get(ask.decision_id, ())
    answered, good = ask.status == 200, [call for call in calls if call.good]
    wrong = []
    if answered != bool(good):
        wrong.append(f"status {ask.status}, and {len(good)} good answers left the other side")
    if len(good) > 1:
        wrong.append(f"was answered {len(good)} times")
    sound = PRIMARY[ask.operation] != failing or has_fallback(ask.environment, ask.operation)
    if sound and not answered:
        wrong.append(f"{ask.operation} in {ask.environment} had a path left and got none")
    if not answered and (ask.status != 503 or ask.code not in {"no_path", "shed"}):
        wrong.append(f"was refused with {ask.status} {ask.code}")
    if not answered and not (ask.retry_after_s and 1 <= ask.retry_after_s <= 60):
        wrong.append(f"was told to come back in {ask.retry_after_s} s")
    return wrong


def _entry(entry: Mapping[str, Any], ask: Asked, calls: Sequence[Met]) -> list[str]:
    good = [call.path for call in calls if call.good]
    wanted = {
        "environment": ask.environment,
        "operation": ask.operation,
        "matrix_path": PRIMARY[ask.operation],
        "intended": PRIMARY[ask.operation],
        "effective": good[0] if good else None,
        "status": ask.status,
    }
    tried = Counter(path for path, *_ in entry["attempts"])
    wrong = [
        f"{entry['id']}: {name} is {entry[name]!r}, not {value!r}"
        for name, value in wanted.items()
        if entry[name] != value
    ]
    if tried != Counter(call.path for call in calls):
        wrong.append(f"{entry['id']}: books other attempts than the other sides saw")
    return wrong
