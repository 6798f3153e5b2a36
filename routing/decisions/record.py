"""What a decision record says: the promise, what was tried, what came of it. Never the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from routing.core import arguments
from routing.core.chain import MAX_INT, Json
from routing.core.decision import Attempt, Conclusion, Decision, Request, State
from routing.core.values import EnvironmentName
from routing.decisions.log import stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asked, as the token says; `nonce` marks a run's traffic, which is always synthetic."""

    environment: EnvironmentName
    token: str
    tenant: str
    request_id: str = ""
    synthetic: bool = False
    nonce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is kept of a prompt: digest, size in bytes, classes of personal data found.

    The digest is that of what might be sent, so that none is ever kept of masked personal data,
    which is short enough to be guessed; the size is that of what was asked.
    """

    sha256: str
    size: int
    pii: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the request ended: HTTP status, µs in all, tokens where the path told them."""

    status: int
    duration_us: int
    failure: str = ""
    usage: tuple[int, int] | None = None


def prompt(*, sent: Sequence[str], asked: Sequence[str], pii: Sequence[str] = ()) -> Prompt:
    """Return what is kept; each text is hashed with its length, so none can be shifted."""
    digest = hashlib.sha256()
    for text in sent:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    size = sum(len(text.encode()) for text in asked)
    return Prompt(sha256=digest.hexdigest(), size=size, pii=tuple(str(kind) for kind in pii))


def body(
    *,
    decision_id: str,
    now: datetime,
    caller: Caller,
    request: Request,
    state: State,
    decision: Decision,
    conclusion: Conclusion,
    attempts: Sequence[Attempt],
    prompt: Prompt,
    end: End,
) -> dict[str, Json]:
    """Return the record of one decision, ready for the log."""
    effective = conclusion.effective
    return {
        "v": 1,
        "kind": "decision",
        "id": decision_id,
        "at": stamp(now),
        "environment": str(caller.environment),
        "operation": str(request.operation),
        "token": caller.token,
        "tenant": caller.tenant,
        "request_id": caller.request_id,
        "synthetic": caller.synthetic,
        "nonce": caller.nonce,
        "arguments": arguments.pack(request, state),
        "versions": {
            "matrix": state.matrix.version,
            "flags": state.versions.flags,
            "overrides": state.versions.overrides,
            "settings": state.versions.settings,
            "breakers": {str(path): n for path, n in state.versions.breakers.items()},
        },
        "matrix_path": str(decision.matrix_path),
        "intended": str(decision.intended),
        "promised": str(decision.reason),
        "candidates": [[str(c.path), c.skip and str(c.skip)] for c in conclusion.candidates],
        "eligible": [str(p) for p in decision.eligible],
        "last_resort": [str(p) for p in decision.last_resort],
        "attempts": [
            [str(a.path), a.duration_us, a.failure and str(a.failure), _words(a.detail)]
            for a in attempts
        ],
        "effective": str(effective) if effective else None,
        "reason": str(conclusion.reason),
        "status": end.status,
        "failure": end.failure,
        "budget_ms": decision.row.budget_ms,
        "duration_us": end.duration_us,
        "usage": _tokens(end.usage),
        "prompt": {"sha256": prompt.sha256, "size": prompt.size, "pii": list(prompt.pii)},
    }


def report(*, now: datetime, caller: Caller) -> dict[str, Json]:
    """Return the record that says: this process was asked by that run what it runs."""
    return {
        "v": 1,
        "kind": "report",
        "at": stamp(now),
        "environment": str(caller.environment),
        "token": caller.token,
        "tenant": caller.tenant,
        "request_id": caller.request_id,
        "synthetic": caller.synthetic,
        "nonce": caller.nonce,
    }


def _words(detail: str) -> str:
    """Return a detail that can be written: it may quote what the other side sent."""
    return detail[:200].encode("utf-8", "replace").decode()


def _tokens(usage: tuple[int, int] | None) -> list[int] | None:
    """Return what the provider counted, None where no count can be meant by it."""
    if usage is None or not all(0 <= count <= MAX_INT for count in usage):
        return None
    return list(usage)
