"""What a decision record says: the promise, what was tried, what came of it. Never the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from routing.core import arguments, cost
from routing.core.chain import MAX_INT, Json
from routing.core.cost import Charge
from routing.core.decision import Attempt, Conclusion, Decision, Request, State
from routing.core.once import Once
from routing.core.values import (
    EnvironmentName,
    Failure,
    Operation,
    Priority,
    Reason,
    StreamEnd,
)
from routing.decisions.log import stamp

OPENING = "begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asked, as the token says; `nonce` marks a run's traffic, which is always synthetic.

    `groups` are those that flags know (`core.audience`).
    """

    environment: EnvironmentName
    token: str
    tenant: str
    request_id: str = ""
    synthetic: bool = False
    nonce: str = ""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What is kept of a prompt: digest, size in bytes, classes of personal data found.

    The digest is that of the masked texts, sent so or not, so that none is ever kept of personal
    data, which is short enough to be guessed; the size is that of what was asked.
    """

    sha256: str
    size: int
    pii: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Streamed:
    """What reached a caller piece by piece: pieces, bytes of their text, µs from first to last.

    `total_us` counts from the arrival of the request.
    """

    end: StreamEnd
    pieces: int
    size: int
    total_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Which version of the policy judged, what it does with personal data, the rule broken."""

    policy: int = 0
    pii: str = "mask"
    broken: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the request ended: HTTP status, µs in all and in the line before execution, tokens where
    the path told them, and what they cost; `charge` is None where nothing can have been billed.

    Of an answer in pieces `duration_us` is until the first, which is what its budget is about.
    """

    status: int
    duration_us: int
    failure: str = ""
    usage: tuple[int, int] | None = None
    stop_reason: str = ""
    streamed: Streamed | None = None
    waited_us: int = 0
    charge: Charge | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What is known of a decision before its end; `conclusion` is as it stands at `now`.

    `repeats` is the decision whose answer is given again, empty for a new answer; `once` is set
    for a request under an idempotency key.
    """

    decision_id: str
    now: datetime
    caller: Caller
    request: Request
    state: State
    decision: Decision
    conclusion: Conclusion
    attempts: Sequence[Attempt]
    prompt: Prompt
    judged: Judged
    repeats: str = ""
    once: Once | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Away:
    """A request that was sent away at the door: nothing was decided, no text was looked at.

    `matrix` is the version whose row gave `priority` and the budget.
    """

    decision_id: str
    now: datetime
    caller: Caller
    priority: Priority
    matrix: int
    decision: Decision
    status: int
    failure: Failure
    duration_us: int


def prompt(*, masked: Sequence[str], asked: Sequence[str], pii: Sequence[str] = ()) -> Prompt:
    """Return what is kept; each text is hashed with its length, so none can be shifted."""
    digest = hashlib.sha256()
    for text in masked:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "big") + data)
    size = sum(len(text.encode()) for text in asked)
    return Prompt(sha256=digest.hexdigest(), size=size, pii=tuple(str(kind) for kind in pii))


def body(promise: Promise, end: End) -> dict[str, Json]:
    """Return the record of one decision, ready for the log."""
    return {
        **_said(promise),
        "kind": "decision",
        "status": end.status,
        "failure": end.failure,
        "duration_us": end.duration_us,
        "waited_us": end.waited_us,
        "usage": _tokens(end.usage),
        "cost": cost.pack(end.charge),
        "stop_reason": _words(end.stop_reason),
        "streamed": _stream(end.streamed),
    }


def away(gone: Away) -> dict[str, Json]:
    """Return the record of a request that was sent away before anything was decided.

    It has no arguments to decide by again, and neither an intended path nor a prompt's digest.
    """
    row = gone.decision.row
    return {
        **_asked(gone.decision_id, gone.now, gone.caller, row.operation),
        "kind": "decision",
        "priority": str(gone.priority),
        "arguments": None,
        "versions": {"matrix": gone.matrix},
        "matrix_path": str(row.primary),
        "intended": None,
        "attempts": [],
        "effective": None,
        "reason": str(Reason.SHED),
        "budget_ms": row.budget_ms,
        "status": gone.status,
        "failure": str(gone.failure),
        "duration_us": gone.duration_us,
        "waited_us": 0,
    }


def opening(promise: Promise) -> dict[str, Json]:
    """Return the record that stands before the first piece of an answer.

    The decision's own record follows it, under the same id; this one is not counted.
    """
    return {**_said(promise), "kind": OPENING}


def lost(opened: Mapping[str, Json], *, now: datetime) -> dict[str, Json]:
    """Return the record of a decision whose process died while its answer went out."""
    known = {key: value for key, value in opened.items() if key not in ("stream", "seq")}
    return {
        **known,
        "kind": "decision",
        "at": stamp(now),
        "effective": None,
        "reason": str(Reason.NO_PATH),
        "status": 500,
        "failure": str(Failure.OUTCOME_UNKNOWN),
        "duration_us": None,
        "waited_us": None,
        "usage": None,
        "cost": cost.pack(Charge(open=opened.get("reason") != Reason.CACHE_HIT)),
        "stop_reason": "",
        "streamed": {"end": str(StreamEnd.LOST), "pieces": None, "bytes": None, "total_us": None},
    }


def _said(promise: Promise) -> dict[str, Json]:
    caller, conclusion = promise.caller, promise.conclusion
    decision, prompt, state = promise.decision, promise.prompt, promise.state
    judged, once = promise.judged, promise.once
    keyed: dict[str, Json] = {"once": [once.key, once.body]} if once else {}
    return {
        **_asked(promise.decision_id, promise.now, caller, promise.request.operation),
        "arguments": arguments.pack(promise.request, state),
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
            for a in promise.attempts
        ],
        "effective": str(conclusion.effective) if conclusion.effective else None,
        "reason": str(conclusion.reason),
        "repeats": promise.repeats or None,
        "budget_ms": decision.row.budget_ms,
        "prompt": {"sha256": prompt.sha256, "size": prompt.size, "pii": list(prompt.pii)},
        "compliance": {"policy": judged.policy, "pii": judged.pii, "broken": judged.broken},
        **keyed,
    }


def _asked(
    decision_id: str, now: datetime, caller: Caller, operation: Operation
) -> dict[str, Json]:
    return {
        "v": 1,
        "id": decision_id,
        "at": stamp(now),
        "environment": str(caller.environment),
        "operation": str(operation),
        "token": caller.token,
        "tenant": caller.tenant,
        "request_id": caller.request_id,
        "synthetic": caller.synthetic,
        "nonce": caller.nonce,
    }


def _stream(streamed: Streamed | None) -> Json:
    if streamed is None:
        return None
    return {
        "end": str(streamed.end),
        "pieces": streamed.pieces,
        "bytes": streamed.size,
        "total_us": streamed.total_us,
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
