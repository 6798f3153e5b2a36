"""What holds in an environment as a change finds it, read in the change's own transaction."""

from __future__ import annotations

from datetime import datetime

from routing.core.flags import FlagName
from routing.core.matrix import Matrix
from routing.core.values import EnvironmentName, Operation
from routing.flags import store as flags
from routing.matrix import overrides, store


def flags_for_everyone(environment: EnvironmentName) -> dict[FlagName, bool]:
    """Return the flags as they hold for everyone: on for a share counts as off."""
    states = flags.read(environment)
    return {name: name in states and states[name].share == 100 for name in FlagName}


def matrix(environment: EnvironmentName, now: datetime, *, but: Operation | None = None) -> Matrix:
    """Return the matrix in force with the overrides that hold in it, `but` one operation's."""
    inforce = store.read(environment)
    for row in overrides.open_ones(environment):
        if row.holds(now) and row.operation is not but:
            inforce = inforce.sent(row.operation, row.path)
    return inforce


def matrices(environment: EnvironmentName, now: datetime) -> tuple[Matrix, ...]:
    """Return each matrix that requests follow without anybody's doing: with overrides, and after
    their end.
    """
    plain, overridden = store.read(environment), matrix(environment, now)
    return (plain,) if plain == overridden else (plain, overridden)
