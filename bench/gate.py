"""The compliance gate alone: how long one request waits for it. `python -m bench.gate [SEED]`.

Five runs over texts made from the seed: 4 kB that is half personal data, 4 kB of prose with a few
numbers, 200 bytes of prose. The gate does nothing but compute, so the goals are held to the
processor time of its thread, in µs; the wall time beside it tells how busy the machine was.
"""

from __future__ import annotations

import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from stdnum import iban, luhn
from stdnum.fr import nir
from stdnum.it import codicefiscale

from routing.compliance import gate, pii
from routing.core.values import EnvironmentName, Operation

RUNS, CALLS, TEXTS = 5, 400, 40
GOALS_US = {"4 kB, dense": 1000, "200 bytes, ordinary": 60}
WORDS = (
    *("the", "queue", "of", "workers", "was", "full", "for", "a", "while", "and", "some", "pods"),
    *("were", "restarted", "by", "hand", "so", "we", "ask", "what", "to", "look", "at", "first"),
)


def main() -> int:
    """Print the table; exit 1 where a goal is missed in the median of the runs."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 20261123
    print(f"seed {seed}, {RUNS} runs of {CALLS} calls, CPython {platform.python_version()}")
    print(f"{'text':<22}{'found':>6}{'p50 µs':>30}{'p95 µs':>30}{'p95 µs, wall':>30}")
    missed = False
    for name, make in MADE.items():
        rng = random.Random(seed)
        texts = [make(rng) for _ in range(TEXTS)]
        runs = [_run(texts) for _ in range(RUNS)]
        found = sum(len(pii.scan(text)) for text in texts) // TEXTS
        shown = "".join(_spread(run[place] for run in runs) for place in range(3))
        print(f"{name:<22}{found:>6}{shown}")
        goal = GOALS_US.get(name)
        late = goal is not None and statistics.median(run[1] for run in runs) > goal
        missed = missed or late
        if goal is not None:
            print(f"{'':<22}goal p95 ≤ {goal} µs: {'missed' if late else 'held'}")
    return int(missed)


def _run(texts: Sequence[str]) -> tuple[float, float, float]:
    cpu, wall = [], []
    for call in range(CALLS):
        text = texts[call % len(texts)]
        began, began_cpu = time.perf_counter_ns(), time.thread_time_ns()
        gate.check(
            environment=EnvironmentName.PRODUCTION,
            operation=Operation.STANDARD,
            texts=("", text),
            policy=gate.Policy(),
        )
        cpu.append((time.thread_time_ns() - began_cpu) / 1000)
        wall.append((time.perf_counter_ns() - began) / 1000)
    cuts = statistics.quantiles(cpu, n=100)
    return cuts[49], cuts[94], statistics.quantiles(wall, n=100)[94]


def _spread(figures: Iterable[float]) -> str:
    shown = " ".join(f"{figure:.0f}" for figure in sorted(figures))
    return f"{shown:>30}"


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def _iban(rng: random.Random) -> str:
    account = _digits(rng, 18)
    number = f"DE{iban.calc_check_digits(f'DE00{account}')}{account}"
    return " ".join(number[at : at + 4] for at in range(0, 22, 4))


def _card(rng: random.Random) -> str:
    body = f"4{_digits(rng, 14)}"
    number = body + luhn.calc_check_digit(body)
    return rng.choice(["", " ", "-"]).join(number[at : at + 4] for at in range(0, 16, 4))


def _nir(rng: random.Random) -> str:
    body = rng.choice("12") + _digits(rng, 4) + "75" + _digits(rng, 6)
    return body + nir.calc_check_digits(body)


def _fiscal(rng: random.Random) -> str:
    name = "".join(rng.choices("BCDFGLMNPRST", k=6))
    body = f"{name}{rng.randrange(30, 99)}{rng.choice('ABCDE')}{rng.randrange(10, 28)}H501"
    return body + codicefiscale.calc_check_digit(body)


PEOPLE: Sequence[Callable[[random.Random], str]] = (
    lambda rng: f"{rng.choice(WORDS)}.{rng.choice(WORDS)}{rng.randrange(99)}@example.org",
    _iban,
    _card,
    _nir,
    _fiscal,
    lambda rng: f"+49 30 {_digits(rng, 7)}",
    lambda rng: f"0171 {_digits(rng, 7)}",
    lambda rng: f"BSN {_digits(rng, 9)}",
)


def _dense(rng: random.Random) -> str:
    text = ""
    while len(text) < 4096:
        text += f"{rng.choice(PEOPLE)(rng)} {rng.choice(WORDS)}, "
    return text[:4096]


def _prose(rng: random.Random, length: int) -> str:
    text = ""
    while len(text) < length:
        figure = rng.choice([f"{rng.randrange(100)} %", f"{rng.randrange(5000)} ms", "2026-11-23"])
        text += " ".join([*rng.choices(WORDS, k=8), figure, ""])
    return text[:length]


MADE: dict[str, Callable[[random.Random], str]] = {
    "4 kB, dense": _dense,
    "4 kB, ordinary": lambda rng: _prose(rng, 4096),
    "200 bytes, ordinary": lambda rng: _prose(rng, 200),
}

if __name__ == "__main__":
    raise SystemExit(main())
