"""What the door answers: the facts of a decision as JSON, the same for success and failure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from routing.api.wire import DECISION, Reply
from routing.breakers.board import View
from routing.core.decision import Attempt, Candidate, Decision, State
from routing.core.values import Path
from routing.router import Ask, Routed


def routed(done: Routed, request_id: str) -> Reply:
    """Return the answer, or the refusal with the same facts."""
    body = facts(done, request_id)
    return Reply(status=done.status, body=body, headers=headers(done))


def headers(done: Routed) -> dict[str, str]:
    """Return the headers of every whole answer and refusal that a decision stands behind."""
    named = {DECISION: done.decision_id}
    if done.retry_after_s is not None:
        named["retry-after"] = str(done.retry_after_s)
    return named


def facts(done: Routed, request_id: str) -> dict[str, Any]:
    """Return all that is told of `done`, with an `error` first where there is no answer."""
    if done.answer is not None:
        return _facts(done)
    said = {"code": done.code, "message": done.advice, "request_id": request_id}
    return {"error": said, **_facts(done)}


def _facts(done: Routed) -> dict[str, Any]:
    answer = done.answer
    usage = answer.usage if answer else None
    effective = done.conclusion.effective
    return {
        "decision_id": done.decision_id,
        "operation": str(done.decision.row.operation),
        "matrix_path": str(done.decision.matrix_path),
        "intended": str(done.decision.intended) if done.decision.is_made else None,
        "effective": str(effective) if effective else None,
        "reason": str(done.conclusion.reason),
        "candidates": _candidates(done.conclusion.candidates),
        "attempts": [_attempt(attempt) for attempt in done.attempts],
        "repeats": done.repeats or None,
        "text": answer.text if answer else None,
        "usage": usage
        and {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens},
        "stop_reason": answer.stop_reason if answer else None,
        "model": answer.model if answer else None,
        "pii": list(done.pii),
        "duration_ms": _ms(done.duration_us),
        **_streamed(done),
    }


def _streamed(done: Routed) -> dict[str, Any]:
    """Return what went out in pieces; `duration_ms` beside it is then until the first."""
    sent = done.streamed
    if sent is None:
        return {}
    return {
        "stream": {
            "end": str(sent.end),
            "pieces": sent.pieces,
            "bytes": sent.size,
            "total_ms": _ms(sent.total_us),
        }
    }


def explained(ask: Ask, decision: Decision, state: State) -> Reply:
    """Return the promise: which paths in which order, why, and the facts it was made from."""
    row = decision.row
    return Reply(
        status=200,
        body={
            "operation": str(ask.operation),
            "priority": str(ask.priority or row.default_priority),
            "matrix_path": str(decision.matrix_path),
            "intended": str(decision.intended),
            "candidates": _candidates(decision.candidates),
            "last_resort": [str(path) for path in decision.last_resort],
            "reason": str(decision.reason),
            "row": {
                "budget_ms": row.budget_ms,
                "primary": str(row.primary),
                "fallback": str(row.fallback) if row.fallback else None,
                "when_down": str(row.when_down),
                "split": row.split,
            },
            "state": _state(state),
        },
    )


def _state(state: State) -> dict[str, Any]:
    return {
        "matrix_version": state.matrix.version,
        "flags_version": state.versions.flags,
        "overrides_version": state.versions.overrides,
        "settings_version": state.versions.settings,
        "kill": str(state.kill) if state.kill else None,
        "flags": {str(flag): on for flag, on in state.flags.items()},
        "overrides": [
            {"operation": str(o.operation), "path": str(o.path), "ends_us": o.ends_us}
            for o in state.overrides
        ],
        "paths": {
            str(path): {
                "configured": facts.configured,
                "region_allowed": facts.region_allowed,
                "health": str(facts.health),
                "breaker": str(facts.breaker),
            }
            for path, facts in state.paths.items()
        },
    }


def breakers(views: Sequence[View]) -> list[dict[str, Any]]:
    """Return breakers as JSON; `wait_ms` is how long until an open one lets a trial through."""
    return [
        {
            "path": str(view.key.path),
            "target": view.key.target,
            "state": str(view.state),
            "wait_ms": _ms(view.wait_us),
        }
        for view in views
    ]


def _candidates(candidates: Sequence[Candidate]) -> list[list[str | None]]:
    return [[str(c.path), str(c.skip) if c.skip else None] for c in candidates]


def _attempt(attempt: Attempt) -> dict[str, Any]:
    path: Path = attempt.path
    return {
        "path": str(path),
        "ms": _ms(attempt.duration_us),
        "failure": str(attempt.failure) if attempt.failure else None,
        "detail": attempt.detail,
    }


def _ms(us: int) -> float:
    return round(us / 1000, 3)
