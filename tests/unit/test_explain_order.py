"""What `explain` names is what `route` then tries: in that order, all of it, and nothing else."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import groupby
from random import Random

from routing.core import failures
from routing.core.decision import Decision
from routing.core.values import Path, Reason
from routing.router import Routed
from tests.unit.traffic import Kept, one

STATES = 10_000
TOGETHER = 500


def tried(routed: Routed) -> tuple[Path, ...]:
    """Return the paths that were tried, a retry of the same one counted once."""
    return tuple(path for path, _ in groupby(attempt.path for attempt in routed.attempts))


def check(explained: Decision, routed: Routed) -> None:
    promised = (*explained.eligible, *explained.last_resort)
    came_to = tried(routed)
    assert came_to == promised[: len(came_to)]
    last = routed.attempts[-1].failure if routed.attempts else None
    goes_on = routed.answer is None and (last is None or failures.may_fall_back(last))
    if goes_on:
        assert came_to == promised, "something promised was never tried"
    if routed.answer is not None:
        assert routed.conclusion.effective is came_to[-1]


async def test_route_tries_what_explain_names_in_ten_thousand_states(seed: int) -> None:
    rng, seen = Random(seed), Counter[str]()
    for _ in range(STATES // TOGETHER):
        for went in await asyncio.gather(*(one(rng, Kept()) for _ in range(TOGETHER))):
            explained, routed = went.explained, went.routed
            assert routed.decision == explained, went.state
            check(explained, routed)
            seen[str(explained.reason)] += 1
            seen[f"tried {len(tried(routed))}"] += 1
            seen["last resort"] += bool(routed.attempts and not explained.eligible)
    # Such a run shows nothing of what did not come about in it.
    for word in (*_COMES_ABOUT, "tried 0", "tried 1", "tried 2", "last resort"):
        assert seen[word] >= 20, (word, seen)


_COMES_ABOUT = (
    Reason.RULE,
    Reason.SPLIT,
    Reason.OVERRIDE,
    Reason.MCP_ONLY,
    Reason.FLAG_OFF,
    Reason.FALLBACK_UNHEALTHY,
    Reason.FALLBACK_BREAKER_OPEN,
    Reason.FORCED_EMERGENCY,
    Reason.LAST_RESORT,
    Reason.REFUSED_COMPLIANCE,
    Reason.NO_PATH,
)


async def test_an_order_that_was_not_promised_is_noticed(seed: int) -> None:
    """The control: of decisions of which two paths were tried, the reverse is caught."""
    rng, caught = Random(seed), 0
    for _ in range(1500):
        went = await one(rng, Kept())
        explained, routed = went.explained, went.routed
        if len(tried(routed)) < 2:
            continue
        turned = Decision(
            row=explained.row,
            matrix_path=explained.matrix_path,
            intended=explained.intended,
            candidates=explained.candidates[::-1],
            last_resort=explained.last_resort[::-1],
            reason=explained.reason,
        )
        try:
            check(turned, routed)
        except AssertionError:
            caught += 1
        else:
            # One eligible and one of the last resort: turned round they read the same.
            assert len(explained.eligible) == len(explained.last_resort) == 1
    assert caught >= 10
