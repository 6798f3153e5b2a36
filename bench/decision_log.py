"""The decision log alone: records a second, and how long one is awaited.

    python -m bench.decision_log [--folder DIR] [--seconds S] [--runs N]

Closed loop: so many callers, each awaiting the acknowledgement of its record before it brings the
next. A record is what the router books of a request (about 1 kB); it is acknowledged when it is
synced. The sync floor is one fdatasync of one record, for the disk's share in the figures; CPU is
this process's time for one record, the callers' share included, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import Any

import uvloop

from routing.core import chain
from routing.core.decision import Attempt, PathFacts, Request, State, conclude, decide
from routing.core.flags import defaults
from routing.core.matrix import DEFAULT
from routing.core.values import EnvironmentName, Health, Operation, Path, Priority
from routing.decisions import record
from routing.decisions.log import DecisionLog

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CALLERS = (1, 16, 64, 512)
GOAL, GOAL_FROM = 20_000, 64
BODIES = 1000


def main() -> int:
    """Print the table; exit 1 where the goal is missed in the median of the runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--folder", type=Folder, default=Folder(tempfile.gettempdir()))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    bodies = [_body(number) for number in range(BODIES)]
    size = len(chain.canonical(bodies[0]))
    print(f"CPython {platform.python_version()}, {os.cpu_count()} cores, {size} bytes a record")
    print(f"sync floor in {asked.folder}: {_sync_floor(asked.folder, size):.0f} µs")
    print(
        f"{'callers':>7} {'records/s, each run':>38} {'median':>8} {'p50 µs':>8} {'p99 µs':>8}"
        f" {'CPU µs':>7}"
    )
    missed = False
    for callers in CALLERS:
        runs = [_run(asked.folder, bodies, callers, asked.seconds) for _ in range(asked.runs)]
        rate = statistics.median(run[0] for run in runs)
        shown = " ".join(f"{run[0]:.0f}" for run in sorted(runs))
        p50, p99, cpu = (statistics.median(run[place] for run in runs) for place in (1, 2, 3))
        print(f"{callers:>7} {shown:>38} {rate:>8.0f} {p50:>8.0f} {p99:>8.0f} {cpu:>7.1f}")
        missed = missed or (callers >= GOAL_FROM and rate < GOAL)
    print(f"goal ≥ {GOAL} records/s from {GOAL_FROM} callers: {'missed' if missed else 'held'}")
    return int(missed)


def _run(
    folder: Folder, bodies: Sequence[Mapping[str, Any]], callers: int, seconds: float
) -> tuple[float, float, float, float]:
    with tempfile.TemporaryDirectory(dir=folder) as made:
        log = DecisionLog(Folder(made), process="bench", boot="b")
        log.open(NOW)
        began = time.process_time()
        try:
            waits, took = uvloop.run(_load(log, bodies, callers, seconds))
        finally:
            log.close(NOW)
    cpu = (time.process_time() - began) * 1_000_000 / len(waits)
    cuts = statistics.quantiles(waits, n=100)
    return len(waits) / took, cuts[49], cuts[98], cpu


async def _load(
    log: DecisionLog, bodies: Sequence[Mapping[str, Any]], callers: int, seconds: float
) -> tuple[list[float], float]:
    """Return how long each acknowledgement took in µs, and the seconds in all."""
    waits: list[float] = []
    turns = itertools.cycle(bodies)
    ends = time.perf_counter() + seconds

    async def caller() -> None:
        while (began := time.perf_counter()) < ends:
            await log.record(next(turns))
            waits.append((time.perf_counter() - began) * 1_000_000)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return waits, time.perf_counter() - began


def _sync_floor(folder: Folder, size: int) -> float:
    took = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(200):
            file.write(bytes(size))
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1_000_000)
    return statistics.median(took)


def _body(number: int) -> dict[str, Any]:
    """Return the record of an answered request, made as the router makes it."""
    request = Request(
        operation=Operation.STANDARD,
        priority=Priority.MEDIUM,
        now_us=1_764_000_000_000_000 + number,
    )
    state = State(
        matrix=DEFAULT,
        flags=defaults(EnvironmentName.PRODUCTION),
        paths={path: PathFacts(health=Health.HEALTHY) for path in Path},
    )
    decision = decide(request, state)
    attempts = [Attempt(path=Path.MCP, duration_us=412_345 + number)]
    promise = record.Promise(
        decision_id=f"d0199{number:019x}",
        now=NOW,
        caller=record.Caller(
            environment=EnvironmentName.PRODUCTION,
            token="tok_0123456789abcdef",
            tenant="acme",
            request_id=f"{number:016x}",
        ),
        request=request,
        state=state,
        decision=decision,
        conclusion=conclude(decision, attempts),
        attempts=attempts,
        prompt=record.prompt(masked=("", f"What is the state of {number}?"), asked=("x" * 200,)),
        judged=record.Judged(),
    )
    end = record.End(status=200, duration_us=412_999 + number, usage=(812, 344))
    return record.body(promise, end)


if __name__ == "__main__":
    raise SystemExit(main())
