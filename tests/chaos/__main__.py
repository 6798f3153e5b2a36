"""The long runs: `make chaos`, or `python -m tests.chaos --seed N --seconds 60 --minutes 30`.

Each fault on each path for a minute, both paths down, five times the capacity, PostgreSQL cut off
and frozen. One line each, then the count; what does not fit into the minutes is called skipped,
and the exit status is honest.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import django

Work = Callable[[Path], Coroutine[Any, Any, Sequence[list[str]]]]

BEFORE_S, AFTER_S = 2.0, 17.0  # of load around a fault: the promise is to be back after 15 s
SLACK_S = 60.0  # start, end, load around it and the slowest request


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _faults(home: Path, fault: str, said: argparse.Namespace) -> Sequence[list[str]]:
    """Break one primary path, then the other one."""
    from routing.core.values import EnvironmentName, Operation
    from tests.chaos import failover, ground

    times = failover.Times(
        before_s=BEFORE_S, fault_s=said.seconds, after_s=AFTER_S, rate=said.rate
    )
    terms = ground.Terms(probe_s=5.0, idempotent=True)
    found = []
    async with ground.laid(home, said.seed, terms) as laid:
        for where in (
            (EnvironmentName.PRODUCTION, Operation.STANDARD),
            (EnvironmentName.DEVELOPMENT, Operation.IMPLEMENTATION),
        ):
            outcome = await failover.run(laid, where, fault, times, said.seed)
            _say(outcome.line())
            found.append(failover.problems(outcome))
    return found


async def _both_down(home: Path, said: argparse.Namespace) -> Sequence[list[str]]:
    from routing.core.values import EnvironmentName
    from tests.chaos import failover, ground

    times = failover.Times(before_s=0, fault_s=min(said.seconds, 30), after_s=0, rate=said.rate)
    async with ground.laid(home, said.seed, ground.Terms(probe_s=5.0, idempotent=True)) as laid:
        try:
            _say(await failover.both_down(laid, EnvironmentName.PRODUCTION, times, said.seed))
        except AssertionError as error:
            return [[str(error)]]
    return [[]]


async def _overload(home: Path, said: argparse.Namespace) -> Sequence[list[str]]:
    from tests.chaos import ground, overload

    size = overload.Size(capacity=10, latency_ms=500)
    async with ground.laid(home, said.seed, size.terms) as laid:
        outcome = await overload.run(laid, size, (10, said.seconds), said.seed)
    _say(outcome.line())
    return [overload.problems(outcome)]


async def _outage(home: Path, how: str, said: argparse.Namespace) -> Sequence[list[str]]:
    """Take PostgreSQL away from a real server; two restarts fall into it."""
    from tests import needs
    from tests.chaos import outage

    if missing := needs.postgresql():
        return [[missing]]
    outcome = await outage.run(home, how, seconds=said.seconds, rate=said.rate, seed=said.seed)
    _say(outcome.line())
    return [outcome.wrong]


def _runs(said: argparse.Namespace) -> list[tuple[str, Work]]:
    from tests.chaos import failover

    def struck(fault: str) -> Work:
        return lambda home: _faults(home, fault, said)

    runs: list[tuple[str, Work]] = [
        *((fault, struck(fault)) for fault in failover.FAULTS),
        ("down", lambda home: _both_down(home, said)),
        ("overload", lambda home: _overload(home, said)),
        ("database-cut", lambda home: _outage(home, "cut", said)),
        ("database-frozen", lambda home: _outage(home, "freeze", said)),
    ]
    return [(name, work) for name, work in runs if not said.only or name in said.only]


def _load() -> str:
    """Return what else the machine has to do: figures of a busy one say little."""
    return f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"


def main() -> int:
    """Run what was chosen and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--seconds", type=float, default=60.0, help="under each fault; 60")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second; 50")
    parser.add_argument("--minutes", type=float, default=30.0, help="for all of it; 30")
    parser.add_argument("--only", nargs="*", default=[], help="names of runs, all without it")
    said = parser.parse_args()
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    logging.disable(logging.WARNING)  # clients tell each call that a fault cut off
    ends, passed, failed, skipped = time.monotonic() + said.minutes * 60, 0, 0, 0
    _say(f"seed {said.seed}, {said.seconds:.0f} s each at {said.rate:.0f}/s; load {_load()}")
    for name, work in _runs(said):
        if time.monotonic() + said.seconds + SLACK_S > ends:
            _say(f"{name}: skipped, the minutes are over")
            skipped += 1
            continue
        with tempfile.TemporaryDirectory(prefix="hybridops-chaos-") as home:
            for wrong in asyncio.run(work(Path(home))):
                passed, failed = passed + (not wrong), failed + bool(wrong)
                for sentence in wrong:
                    _say(f"  FAILED: {sentence}")
    _say(f"{passed} passed, {failed} failed, {skipped} skipped; seed {said.seed}; load {_load()}")
    return 1 if failed or skipped or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
