"""The tools of an MCP server as they were pinned, and as they are listed now: what differs.

What a tool is told to be (its name, description, input schema and annotations) steers whoever
uses it. A server that changes that after it was looked at is not the one that was looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

MOST_TOOLS = 1_000
MOST_WORDS = 65_536  # bytes of the configured tool's contract that are kept to compare with
LONGEST_NAME = 128
SHORT = 16  # hex characters of a tool's digest in a listing, 64 bits
_FIELDS = ("description", "input_schema", "annotations")
NAMED = 10  # tools that a sentence names


class Drift(StrEnum):
    """What differs from the pin; the last is the gravest."""

    NONE = "none"
    OTHERS = "others"
    TOOL = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool as its server describes it."""

    name: str
    description: str = ""
    input_schema: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)

    @property
    def contract(self) -> dict[str, Any]:
        """All but the name, as it is pinned."""
        return {name: getattr(self, name) for name in _FIELDS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a server listed, reduced to what is compared.

    `digest` is over all tools, `tools` has the short digest of each by name, `count` how many
    are named as the configured `tool`, `contract` what it says; None without exactly one of a
    size that can be kept.
    """

    tool: str
    digest: str
    tools: Mapping[str, str]
    count: int
    contract: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What was accepted of a server, and whether something else was seen since (`drift`).

    `drift` stays until a person accepts what is there: a server that changes back could change
    again.
    """

    tool: str
    digest: str
    tools: Mapping[str, str]
    contract: Mapping[str, Any]
    drift: Drift = Drift.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How a listing differs from its pin: parts of the configured tool, names of the others."""

    drift: Drift
    parts: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


def listing(tools: Iterable[Tool], tool: str) -> Listing:
    """Return `tools` as they are compared; `tool` is the configured one."""
    kept = sorted(tools, key=lambda one: (one.name, canonical(one.contract)))
    own = [one for one in kept if one.name == tool]
    texts = [canonical({"name": one.name, **one.contract}) for one in kept]
    return Listing(
        tool=tool,
        digest=hashlib.sha256(b"\n".join(texts)).hexdigest(),
        tools={_key(one.name): digest(one.contract)[:SHORT] for one in kept},
        count=len(own),
        contract=own[0].contract if len(own) == 1 and _is_kept(own[0]) else None,
    )


def _key(name: str) -> str:
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[:LONGEST_NAME]} {digest(name)[:SHORT]}"


def _is_kept(tool: Tool) -> bool:
    return len(canonical(tool.contract)) <= MOST_WORDS


def canonical(value: Any) -> bytes:
    """Return the one text of a JSON value that is digested: sorted keys, no spaces, UTF-8.

    Unlike `chain.canonical` it takes fractions: schemas have them.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode()


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value's canonical text, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def pin(seen: Listing) -> Pin | None:
    """Return the pin of what is seen; None where the configured tool is not there just once."""
    if seen.contract is None:
        return None
    return Pin(tool=seen.tool, digest=seen.digest, tools=seen.tools, contract=seen.contract)


def compare(pinned: Pin, seen: Listing) -> Difference:
    """Return how `seen` differs from `pinned`."""
    if pinned.digest == seen.digest:
        return Difference(drift=Drift.NONE)
    others = {name for name in {*pinned.tools, *seen.tools} if name != pinned.tool}
    was, now = pinned.tools, seen.tools
    found = seen.contract
    parts = tuple(
        name for name in _FIELDS if found is None or found.get(name) != pinned.contract.get(name)
    )
    return Difference(
        drift=Drift.TOOL if parts else Drift.OTHERS,
        parts=parts if found is not None else (),
        added=tuple(sorted(name for name in others if name not in was)),
        removed=tuple(sorted(name for name in others if name not in now)),
        changed=tuple(sorted(n for n in others if n in was and n in now and was[n] != now[n])),
    )


def worse(one: Drift, other: Drift) -> Drift:
    """Return the graver of two."""
    order = list(Drift)
    return max(one, other, key=order.index)


def refusal(pinned: Pin | None, seen: Listing) -> str:
    """Return why the configured tool must not be called, empty when it may be."""
    if seen.count != 1:
        times = f"{seen.count} tools" if seen.count else "no tool"
        return (
            f"The server has {times} named {seen.tool}, so nothing is called. Mend the server, or "
            "name another tool in this environment's settings."
        )
    if seen.contract is None:
        return (
            f"What the server says of {seen.tool} is over {MOST_WORDS} bytes, too much to be "
            "compared, so it is not called. Have the tool described in less."
        )
    if pinned is None or pinned.tool != seen.tool:
        return ""
    difference = compare(pinned, seen)
    if difference.drift is not Drift.TOOL and pinned.drift is not Drift.TOOL:
        return ""
    what = ", ".join(p.replace("_", " ") for p in difference.parts) or "what it says of itself"
    return (
        f"The tool {seen.tool} changed since it was pinned ({what}), so it is not called. Compare "
        "with `manage.py mcp tools`, then accept it there with a reason, or mend the server."
    )


def shown(text: str, most: int = 200) -> str:
    """Return a server's words as one inert line: no controls, no hidden characters."""
    plain = "".join(c if c.isprintable() else " " for c in text[: most * 4])
    return " ".join(plain.split())[:most]


def named(names: Iterable[str]) -> str:
    """Return names for a sentence, the first few of many."""
    kept = [shown(name, 80) for name in names]
    more = f" and {len(kept) - NAMED} more" if len(kept) > NAMED else ""
    return ", ".join(kept[:NAMED]) + more
