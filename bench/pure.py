"""What a decision and a flag cost: `python -m bench.pure`.

Five runs of each; the clock's own cost is taken off. Waffle is asked through its own model methods
with its cache in this process's memory, for a flag that it finds on for nobody: its rows hold no
state here, so it looks at each of its conditions.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import django

from bench.ground import machine

CALLS = 20_000


def prepare() -> None:
    """Lay a database of our own in a temporary home."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hybridops.settings")
    os.environ["HYBRIDOPS_HOME"] = tempfile.mkdtemp(prefix="hybridops-bench-")
    os.environ.pop("DATABASE_URL", None)
    django.setup()
    from django.conf import settings

    memory = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES[settings.WAFFLE_CACHE_NAME] = {"BACKEND": memory}
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from routing import wiring
    from routing.core.rights import shell_actor

    wiring.first_run(by=shell_actor(user="bench", host="here"), now=wiring.now())
    wiring.refresh()


def times_us(one: Callable[[], object], calls: int = CALLS) -> tuple[float, float]:
    """Return p50 and p99 of `one` in µs."""
    clock = time.perf_counter_ns
    own = statistics.median(-(clock() - clock()) for _ in range(1000))
    seen = []
    for _ in range(calls):
        began = clock()
        one()
        seen.append(clock() - began - own)
    seen.sort()
    return seen[len(seen) // 2] / 1000, seen[len(seen) * 99 // 100] / 1000


def decisions(seed: int, narrowed: bool) -> Callable[[], object]:
    """Return a call that decides the next of 1 000 random requests under random states."""
    from routing.core.decision import PathFacts, Request, State, decide
    from routing.core.flags import FlagName
    from routing.core.matrix import DEFAULT
    from routing.core.values import Breaker, Health, Operation, Path, Priority

    draw = random.Random(seed)
    whole = DEFAULT
    if narrowed:
        rows = {
            (o, p): replace(DEFAULT.rows[o], budget_ms=1000) for o in Operation for p in Priority
        }
        whole = replace(DEFAULT, narrowed=rows)
    asked = []
    for _ in range(1000):
        state = State(
            matrix=whole,
            flags={flag: draw.random() < 0.8 for flag in FlagName},
            paths={
                path: PathFacts(
                    health=draw.choice(list(Health)), breaker=draw.choice(list(Breaker))
                )
                for path in Path
            },
        )
        operation, priority = draw.choice(list(Operation)), draw.choice(list(Priority))
        asked.append((Request(operation=operation, priority=priority, now_us=1), state))
    place = iter(range(10**9))

    def one() -> object:
        request, state = asked[next(place) % 1000]
        return decide(request, state)

    return one


def flags() -> Sequence[tuple[str, Callable[[], object]]]:
    """Return what evaluates one flag: ours whole and for a share, Waffle's with a warm cache."""
    from django.contrib.auth.models import AnonymousUser
    from django.test import RequestFactory
    from waffle import get_waffle_flag_model
    from waffle.models import AbstractUserFlag

    from routing.core.flags import FlagName, Subject
    from routing.core.values import EnvironmentName
    from routing.flags import snapshot

    name = FlagName.INTELLIGENT_ROUTING
    model = get_waffle_flag_model()
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    look = snapshot.current()
    shared = replace(
        look,
        environments={
            e: replace(own, states={n: replace(s, percentage=50) for n, s in own.states.items()})
            for e, own in look.environments.items()
        },
    )

    own: Any = AbstractUserFlag.get
    get = own.__func__  # Waffle's own, with its cache; our model answers from the snapshot

    def waffles() -> object:
        return AbstractUserFlag.is_active(get(model, str(name)), request)

    assert get(model, str(name)).pk, "Waffle does not find the flag"

    here, tenant = EnvironmentName.DEVELOPMENT, Subject(name="tenant")
    return (
        ("flag, ours", lambda: look.is_on(name, here, tenant)),
        ("flag for a share, ours", lambda: shared.is_on(name, here, tenant)),
        ("flag, Waffle", waffles),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=20261129)
    chosen = parser.parse_args()
    prepare()
    measured = [
        ("decide", decisions(chosen.seed, narrowed=False)),
        ("decide, 28 narrowed rows", decisions(chosen.seed, narrowed=True)),
        *flags(),
    ]
    print(f"{machine()}; seed {chosen.seed}, {chosen.runs} runs of {CALLS} calls\n")
    print("| what | p50 µs | p99 µs |\n|---|---|---|")
    middles = {}
    for name, one in measured:
        runs = [times_us(one) for _ in range(chosen.runs)]
        middles[name] = statistics.median(p50 for p50, _ in runs)
        print(f"| {name} | {_spread([r[0] for r in runs])} | {_spread([r[1] for r in runs])} |")
    print(f"\nWaffle / ours: {middles['flag, Waffle'] / middles['flag, ours']:.0f} times")


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
