"""What is known of both paths: judged anew since the run began, and in step with what we see."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from routing.core.flags import FlagName
from routing.core.guards import PROVIDER
from routing.core.values import Health, Path, TestStatus
from routing.deployments.checks import base
from routing.deployments.checks.base import Ground, Looked
from routing.health import queries
from routing.runs import Reply

Rows = Mapping[Path, Mapping[str, Any]]
FRESH_WITHIN_S = 12.0  # two probe intervals and a little
LOOK_EVERY_S = 0.3
_ANSWERS = frozenset({str(Health.HEALTHY), str(Health.DEGRADED)})


async def health_check_basic(ground: Ground) -> Looked:
    """Ask both paths, then hold the judgement that comes after to what they did."""
    if not ground.wants(FlagName.MONITORING):
        return base.skipped("The release has ai.monitoring.enabled off, so nothing is measured.")
    answers = {path: await _answers(ground, path) for path in _open(ground)}
    reply, rows = await fresh(
        ground,
        ground.clock(),
        until=lambda rows: all(_agrees(rows.get(path), ok) for path, ok in answers.items()),
    )
    expected = {path: "answers" if ok else "does not answer" for path, ok in answers.items()}
    actual = {path: _judged(rows.get(path)) for path in answers}
    return base.compared(
        expected=_words({p: f"judged as it {word}" for p, word in expected.items()}),
        actual=_words(
            {
                path: f"judged as it {expected[path]}"
                if _agrees(rows.get(path), ok)
                else actual[path]
                for path, ok in answers.items()
            }
        ),
        claims=(base.reported(ground, reply),),
    )


async def monitoring_system(ground: Ground) -> Looked:
    """Route one request and find it, and the probes around it, in what the monitor counts."""
    began = ground.clock()
    reply = await ground.run.route(base.prompt(ground), nonce=ground.nonce, max_tokens=16)
    if "candidates" not in reply.body:
        return Looked(status=TestStatus.FAIL, error=base.refused(reply))
    _, rows = await fresh(ground, ground.clock())
    effective = reply.body["effective"]
    missing = [str(path) for path in _open(ground) if not _probed(rows.get(path))]
    counted = effective is not None and _counts(rows.get(Path(effective)))
    kept = await ground.db(_minutes, ground, began)
    actual = [
        f"probes of {', '.join(missing)} missing" if missing else "both paths probed",
        "the request counted" if counted else "the request not counted",
        "history kept" if kept else "no history",
    ]
    return base.compared(
        expected="both paths probed; the request counted; history kept",
        actual="; ".join(actual),
        claims=base.routed(ground, reply),
    )


async def fresh(
    ground: Ground, since: datetime, until: Callable[[Rows], bool] = lambda _: True
) -> tuple[Reply, Rows]:
    """Return a report and its judgements that are newer than `since`, those that came in time.

    A path that just came back takes two good probes to be healthy, so what is seen may take until
    it is as `until` asks.
    """
    since_us = int(since.timestamp() * 1_000_000)
    deadline = time.monotonic() + FRESH_WITHIN_S
    while True:
        reply = await ground.run.report(ground.nonce)
        rows = {
            Path(row["path"]): row
            for row in reply.body.get("health", ())
            if row["observed_us"] > since_us
        }
        there = len(rows) == len(Path) and until(rows)
        if there or time.monotonic() > deadline:
            return reply, rows
        await asyncio.sleep(LOOK_EVERY_S)


async def _answers(ground: Ground, path: Path) -> bool:
    reply = await ground.run.route(
        base.prompt(ground), path=path, nonce=ground.nonce, max_tokens=16
    )
    return reply.ok and reply.body.get("effective") == str(path)


def _open(ground: Ground) -> tuple[Path, ...]:
    return tuple(path for path in Path if ground.wants(PROVIDER[path]))


def _judged(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return f"no judgement newer than the run within {FRESH_WITHIN_S:.0f} s"
    return f"{row['status']} ({'; '.join(row['why'])})"


def _agrees(row: Mapping[str, Any] | None, answered: bool) -> bool:
    if row is None:
        return False
    if answered:
        return row["status"] in _ANSWERS
    return row["status"] in (str(Health.DEGRADED), str(Health.UNHEALTHY))


def _probed(row: Mapping[str, Any] | None) -> bool:
    return row is not None and bool(row["stages"])


def _counts(row: Mapping[str, Any] | None) -> bool:
    return row is not None and row["figures"]["synthetic"] > 0


def _minutes(ground: Ground, began: datetime) -> bool:
    """Tell whether the history holds probes of every open path around now."""
    since = began.replace(second=0, microsecond=0) - timedelta(minutes=1)
    return all(
        any(minute.probes for minute in queries.minutes(ground.environment, path, since))
        for path in _open(ground)
    )


def _words(said: Mapping[Path, str]) -> str:
    return "; ".join(f"{path} {words}" for path, words in said.items())
