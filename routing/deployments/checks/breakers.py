"""Breakers: one of our own is walked through all its states on the board that serves requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing.breakers.board import Board, Key
from routing.core.circuit import CircuitSettings, Result
from routing.core.values import Breaker, Path, TestStatus
from routing.core.verdict import Mismatch
from routing.deployments.checks import base
from routing.deployments.checks.base import Ground, Looked
from routing.deployments.evidence import Claim, Journal

TARGET = "check:"
FAILURES = CircuitSettings().consecutive_failures
TRIALS = CircuitSettings().trials_to_close
GOOD = "opens, is seen open, holds back, tries again, closes"
# Half-open lets trials through, and every other call is held back.
_SHUT = (str(Breaker.OPEN), str(Breaker.HALF_OPEN), str(Breaker.FORCED_OPEN))


async def circuit_breaker_system(ground: Ground) -> Looked:
    """Trip a breaker that guards nothing, see it in the report, mend it; leave no trace."""
    if ground.board is None:
        return base.skipped(
            "The breakers are another process's; run it where requests are served."
        )
    key = Key(
        environment=ground.environment,
        path=Path.MCP,
        target=f"{TARGET}{ground.nonce}",
        private=True,
    )
    try:
        looked = await _walk(ground, ground.board, key)
    except BaseException:
        ground.board.forget(key)
        raise
    return looked


async def _walk(ground: Ground, board: Board, key: Key) -> Looked:
    said = ["opens" if _trip(board, key) is Breaker.OPEN else "stays closed"]
    report = await ground.run.report(ground.nonce)
    if not report.ok:
        board.forget(key)
        return Looked(status=TestStatus.FAIL, error=base.refused(report))
    seen = _state(report.body, key)
    said.append("is seen open" if seen == str(Breaker.OPEN) else f"is seen {seen}")
    held = board.admit(key) is None
    said.append("holds back" if held else "lets through")
    board.probe_ok(key)
    half = board.state(key) is Breaker.HALF_OPEN
    said.append("tries again" if half else f"is {board.state(key)} after a good probe")
    closed = _mend(board, key) is Breaker.CLOSED
    said.append("closes" if closed else "does not close")
    shut = _shut(report.body)
    claim = Claim(
        journal=Journal.REPORT,
        nonce=ground.nonce,
        says={"target": key.target, "state": str(Breaker.CLOSED)},
    )
    return Looked(
        status=TestStatus.PASS if ", ".join(said) == GOOD and not shut else TestStatus.FAIL,
        expected=f"{GOOD}; the breakers in use are closed",
        actual=f"{', '.join(said)}; {'; '.join(shut) or 'the breakers in use are closed'}",
        kind=Mismatch.HEALTH_FALLBACK if shut else None,
        claims=(claim,),
        after=lambda: board.forget(key),
    )


def _trip(board: Board, key: Key) -> Breaker:
    for _ in range(FAILURES):
        permit = board.admit(key)
        if permit is None:
            break
        board.settle(key, permit, Result.FAILURE)
    return board.state(key)


def _mend(board: Board, key: Key) -> Breaker:
    for _ in range(TRIALS):
        permit = board.admit(key)
        if permit is None:
            break
        board.settle(key, permit, Result.SUCCESS)
    return board.state(key)


def _state(body: Mapping[str, Any], key: Key) -> str:
    found = (view["state"] for view in body["breakers"] if view["target"] == key.target)
    return str(next(found, "nowhere"))


def _shut(body: Mapping[str, Any]) -> list[str]:
    return [
        f"the breaker of {view['path']} is {view['state']}"
        for view in body["breakers"]
        if not view["target"].startswith(TARGET) and view["state"] in _SHUT
    ]
