"""Every argument of `decide` in compact form, so that a decision can be replayed, not guessed.

`pack` keeps the one matrix row that was asked; `unpack` gives arguments for which `decide`
answers the same. Of the subject it keeps the bucket alone, which names nobody. The order of the
flags and paths is part of the form, so it is spelled out here and carries a version; form 1, from
before there were splits, can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routing.core.decision import Kill, Override, PathFacts, Request, State
from routing.core.errors import Invalid
from routing.core.flags import FlagName
from routing.core.matrix import Matrix, Row
from routing.core.values import Breaker, Health, Operation, Path, Priority, WhenDown

FORM = 2
_READ = frozenset({1, FORM})
_FLAGS: Sequence[FlagName] = (
    FlagName.INTELLIGENT_ROUTING,
    FlagName.DIRECT_FALLBACK,
    FlagName.MCP_INTEGRATION,
    FlagName.SUPPORT_MODE,
    FlagName.BEDROCK_PROVIDER,
    FlagName.CACHING,
    FlagName.MONITORING,
)
_PATHS: Sequence[Path] = (Path.DIRECT_BEDROCK, Path.MCP)


def pack(request: Request, state: State) -> dict[str, Any]:
    """Return the arguments as JSON of strings, integers, booleans and null; at most 1 KB."""
    row = state.matrix.row(request.operation, request.priority)
    mine = [o for o in state.overrides if o.operation is request.operation]
    return {
        "form": FORM,
        "priority": str(request.priority),
        "chosen": request.chosen,
        "bucket": request.bucket,
        "now_us": request.now_us,
        "pinned": _text(request.pinned),
        "mcp_can": request.mcp_can_say_it,
        "refusal": request.refusal,
        "matrix": state.matrix.version,
        "row": [
            str(row.operation),
            str(row.default_priority),
            row.budget_ms,
            str(row.primary),
            _text(row.fallback),
            str(row.when_down),
            row.split,
        ],
        "flags": "".join("1" if state.flags[f] else "0" for f in _FLAGS),
        "kill": _text(state.kill),
        "overrides": [[str(o.path), o.ends_us] for o in mine],
        "paths": [_facts(state.paths[path]) for path in _PATHS],
    }


def unpack(packed: Mapping[str, Any]) -> tuple[Request, State]:
    """Return the arguments that `pack` kept; raises Invalid for a form of another version."""
    if packed.get("form") not in _READ:
        raise Invalid(f"These arguments have form {packed.get('form')!r}; this code reads {FORM}.")
    row = _row(packed["row"])
    priority = Priority(packed["priority"])
    request = Request(
        operation=row.operation,
        priority=priority,
        # Form 1 does not tell whether the caller named it; the row's own was most likely meant.
        chosen=packed.get("chosen", priority is not row.default_priority),
        bucket=packed.get("bucket"),
        now_us=packed["now_us"],
        pinned=Path(packed["pinned"]) if packed["pinned"] else None,
        mcp_can_say_it=packed["mcp_can"],
        refusal=packed["refusal"],
    )
    state = State(
        matrix=Matrix(version=packed["matrix"], rows={row.operation: row}),
        flags={f: bit == "1" for f, bit in zip(_FLAGS, packed["flags"], strict=True)},
        paths={p: _unfacts(f) for p, f in zip(_PATHS, packed["paths"], strict=True)},
        kill=Kill(packed["kill"]) if packed["kill"] else None,
        overrides=tuple(
            Override(operation=row.operation, path=Path(path), ends_us=ends)
            for path, ends in packed["overrides"]
        ),
    )
    return request, state


def _text(word: object | None) -> str | None:
    return None if word is None else str(word)


def _row(kept: Sequence[Any]) -> Row:
    operation, priority, budget_ms, primary, fallback, when_down, *split = kept
    return Row(
        operation=Operation(operation),
        default_priority=Priority(priority),
        budget_ms=budget_ms,
        primary=Path(primary),
        fallback=Path(fallback) if fallback else None,
        when_down=WhenDown(when_down),
        split=split[0] if split else 0,
    )


def _facts(facts: PathFacts) -> list[Any]:
    return [facts.configured, facts.region_allowed, str(facts.health), str(facts.breaker)]


def _unfacts(kept: Sequence[Any]) -> PathFacts:
    configured, region_allowed, health, breaker = kept
    return PathFacts(
        configured=configured,
        region_allowed=region_allowed,
        health=Health(health),
        breaker=Breaker(breaker),
    )
