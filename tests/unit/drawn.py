"""States drawn at random from a seed, as many as wanted; tests/unit/core/worlds.py shrinks, this
one is quick.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from routing.core.decision import Kill, Override, PathFacts, State, Versions
from routing.core.flags import FlagName
from routing.core.matrix import DEFAULT, OTHER, Matrix, Row, check
from routing.core.values import Breaker, Health, Operation, Path, Priority, WhenDown

NEVER_US = 2**52


def row(rng: Random, operation: Operation) -> Row:
    """Return a row that obeys the rules."""
    primary = rng.choice(list(Path))
    base = replace(DEFAULT.rows[operation], primary=primary)
    if operation is Operation.EMERGENCY:
        return base
    return replace(
        base,
        fallback=rng.choice((None, OTHER[primary], OTHER[primary])),
        when_down=rng.choice(list(WhenDown)),
        split=rng.choice((0, 0, 30, 100)),
        default_priority=rng.choice(list(Priority)),
    )


def matrix(rng: Random) -> Matrix:
    """Return a matrix that obeys the rules, with up to two narrowed rows."""
    rows = {operation: row(rng, operation) for operation in Operation}
    keys = [(rng.choice(list(Operation)), rng.choice(list(Priority))) for _ in range(2)]
    narrowed = {key: row(rng, key[0]) for key in keys if rng.random() < 0.5}
    whole = Matrix(version=rng.randrange(1, 99), rows=rows, narrowed=narrowed)
    check(whole)
    return whole


def facts(rng: Random) -> PathFacts:
    """Return what might be known of a path; most often it is well."""
    if rng.random() < 0.4:
        return PathFacts(health=Health.HEALTHY)
    return PathFacts(
        configured=rng.random() < 0.9,
        region_allowed=rng.random() < 0.9,
        health=rng.choice(list(Health)),
        breaker=rng.choice(list(Breaker)),
    )


def state(rng: Random) -> State:
    """Return what might be in force."""
    overridden = rng.sample(list(Operation), rng.choice((0, 0, 1, 3)))
    return State(
        matrix=matrix(rng),
        flags={flag: rng.random() < 0.85 for flag in FlagName},
        paths={path: facts(rng) for path in Path},
        kill=rng.choice(list(Kill)) if rng.random() < 0.06 else None,
        overrides=tuple(
            Override(operation=o, path=rng.choice(list(Path)), ends_us=rng.choice((1, NEVER_US)))
            for o in overridden
        ),
        versions=Versions(
            flags=rng.randrange(99),
            overrides=rng.randrange(9),
            settings=1,
            breakers={path: rng.randrange(9) for path in Path},
        ),
    )
