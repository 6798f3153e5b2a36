"""Check at start-up that every table that mentions our words speaks of all of them, and only them.

A table is described by a Table: the enum it speaks of and the words it mentions. The tables of
the core are listed here; matrices in force and further tables are handed in by their owners.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from routing.core import aliases, approval, failures, lifecycle, plans, rights
from routing.core.circuit_state import Result
from routing.core.errors import Broken
from routing.core.flags import DECLARED, FlagName
from routing.core.matrix import DEFAULT, Matrix
from routing.core.rights import Right
from routing.core.values import (
    EnvironmentName,
    Failure,
    Operation,
    Path,
    PlanState,
    Priority,
    ProposalState,
    Role,
    WhenDown,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The `mentioned` words of a table; `exact` demands each member of `words` once or more.

    A plain text is a mismatch even where it is spelled like a member.
    """

    name: str
    words: type[StrEnum]
    mentioned: tuple[object, ...]
    exact: bool = True


def keys(name: str, words: type[StrEnum], mentioned: Iterable[object]) -> Table:
    """Describe a table that has to speak of every member of `words`."""
    return Table(name=name, words=words, mentioned=tuple(mentioned))


def some(name: str, words: type[StrEnum], mentioned: Iterable[object]) -> Table:
    """Describe a table that may speak of only some members of `words`."""
    return Table(name=name, words=words, mentioned=tuple(mentioned), exact=False)


def mismatches(table: Table) -> list[str]:
    """Return a sentence for every foreign word in `table` and every word that it lacks."""
    words = table.words
    foreign = [m for m in table.mentioned if not isinstance(m, words)]
    found = [f"{table.name}: {word!r} is no {words.__name__}." for word in foreign]
    if table.exact:
        lacking = [w for w in words if not any(m is w for m in table.mentioned)]
        found += [f"{table.name}: {words.__name__} {word} is missing." for word in lacking]
    return found


def check(*, matrices: Mapping[str, Matrix] | None = None, tables: Sequence[Table] = ()) -> None:
    """Raise Broken, listing every mismatch, unless all tables and the enums agree.

    `matrices` maps a name for the message, such as the environment's, to the matrix in force
    there; the default matrix is looked at in any case.
    """
    matrices = {"default matrix": DEFAULT, **(matrices or {})}
    every = [*core_tables(), *tables]
    for name, matrix in matrices.items():
        every += matrix_tables(name, matrix)
    found = [sentence for table in every for sentence in mismatches(table)]
    found += _shadowed()
    for name, matrix in matrices.items():
        found += _misfiled(name, matrix)
    if found:
        raise Broken(
            "The tables and the vocabulary disagree; mend them before starting:\n"
            + "\n".join(found),
            mismatches=found,
        )


def core_tables() -> list[Table]:
    """Return the tables of the core that mention words of the vocabulary."""
    held = [right for granted in rights.RIGHTS.values() for right in granted]
    named = [declared.name for declared in DECLARED.values()]
    on_in = [where for declared in DECLARED.values() for where in declared.on_in]
    counts = [row.counts for row in failures.TABLE.values()]
    planned = [state for states in plans.NEXT.values() for state in states]
    following = [stage for stages in lifecycle.NEXT.values() for stage in stages]
    return [
        keys("rights by role", Role, rights.RIGHTS),
        keys("rights held by some role", Right, held),
        keys("declared flags", FlagName, DECLARED),
        keys("names of declared flags", FlagName, named),
        some("environments of declared flags", EnvironmentName, on_in),
        keys("failure table", Failure, failures.TABLE),
        some("failure table, weight for the breaker", Result, counts),
        keys("deployment stages", lifecycle.Stage, lifecycle.NEXT),
        some("deployment stages, moves", lifecycle.Stage, following),
        keys("proposal states", ProposalState, approval.NEXT),
        some("proposal states, moves", ProposalState, _flat(approval.NEXT.values())),
        keys("flags that need approval, environments", EnvironmentName, approval.DEFAULT),
        some("flags that need approval", FlagName, _flat(approval.DEFAULT.values())),
        keys("states of planned changes", PlanState, plans.NEXT),
        some("states of planned changes, moves", PlanState, planned),
        some("states of planned changes, alarms", PlanState, plans.ALARMS),
        *(
            some(f"aliases of {kind.__name__}", kind, known.values())
            for kind, known in aliases.ALIASES.items()
        ),
    ]


def _flat(groups: Iterable[Iterable[object]]) -> list[object]:
    return [word for group in groups for word in group]


def stored(name: str, words: type[StrEnum], found: Iterable[str]) -> Table:
    """Describe what a database holds: a text that is no word of ours stays the text it is."""
    known = {str(word): word for word in words}
    return some(name, words, [known.get(text, text) for text in found])


def matrix_tables(name: str, matrix: Matrix) -> list[Table]:
    """Return what `matrix` mentions, under `name`."""
    rows = [*matrix.rows.values(), *matrix.narrowed.values()]
    fallbacks = [row.fallback for row in rows if row.fallback is not None]
    narrowed = list(matrix.narrowed)
    return [
        keys(f"{name}, rows", Operation, matrix.rows),
        some(f"{name}, operations", Operation, [row.operation for row in rows]),
        some(f"{name}, priorities", Priority, [row.default_priority for row in rows]),
        some(f"{name}, primary paths", Path, [row.primary for row in rows]),
        some(f"{name}, fallback paths", Path, fallbacks),
        some(f"{name}, when down", WhenDown, [row.when_down for row in rows]),
        some(f"{name}, narrowed operations", Operation, [key[0] for key in narrowed]),
        some(f"{name}, narrowed priorities", Priority, [key[1] for key in narrowed]),
    ]


def _shadowed() -> list[str]:
    """An alias spelled like a word of its own kind would never be looked up."""
    return [
        f"aliases of {kind.__name__}: {text!r} is a word of its own."
        for kind, known in aliases.ALIASES.items()
        for text in known
        if text in set(kind)
    ]


def _misfiled(name: str, matrix: Matrix) -> list[str]:
    """A row is read by its key, so it has to be about that operation."""
    return [
        f"{name}: the row of {row.operation!r} stands under {operation!r}."
        for operation, row in (
            *matrix.rows.items(),
            *((key[0], row) for key, row in matrix.narrowed.items()),
        )
        if row.operation is not operation
    ]
