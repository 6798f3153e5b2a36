"""Random requests, matrices and states, as far as they can come about."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from routing.core.decision import Kill, Override, PathFacts, Request, State
from routing.core.flags import FlagName
from routing.core.matrix import DEFAULT, OTHER, Matrix, Row, problems
from routing.core.values import Breaker, Health, Operation, Path, Priority, WhenDown

NOW_US = 1_000_000


def _row(operation: Operation, primary: Path, alone: bool, when: WhenDown, split: int) -> Row:
    row = DEFAULT.rows[operation]
    if operation is Operation.EMERGENCY:
        return replace(row, primary=primary)
    fallback = None if alone else OTHER[primary]
    return replace(row, primary=primary, fallback=fallback, when_down=when, split=split)


def rows_of(operation: Operation) -> st.SearchStrategy[Row]:
    """Rows of `operation` that obey the rules."""
    return st.builds(
        _row,
        operation=st.just(operation),
        primary=st.sampled_from(Path),
        alone=st.booleans(),
        when=st.sampled_from(WhenDown),
        split=st.sampled_from((0, 0, 1, 30, 99, 100)),
    )


def _narrow(whole: Matrix, keys: set[tuple[Operation, Priority]], turn: bool) -> Matrix:
    narrowed = {key: whole.rows[key[0]] for key in keys}
    if turn:
        narrowed = {
            key: replace(row, primary=OTHER[row.primary], fallback=row.fallback and row.primary)
            for key, row in narrowed.items()
        }
    return replace(whole, narrowed=narrowed)


keys = st.tuples(st.sampled_from(Operation), st.sampled_from(Priority))
matrices = st.builds(
    _narrow,
    whole=st.builds(
        Matrix,
        version=st.integers(1, 9),
        rows=st.fixed_dictionaries({op: rows_of(op) for op in Operation}),
    ),
    keys=st.sets(keys, max_size=3),
    turn=st.booleans(),
).filter(lambda matrix: not problems(matrix))
facts = st.builds(
    PathFacts,
    configured=st.sampled_from((True, True, True, False)),
    region_allowed=st.sampled_from((True, True, True, False)),
    health=st.sampled_from(Health),
    breaker=st.sampled_from(Breaker),
)
flags = st.fixed_dictionaries(dict.fromkeys(FlagName, st.sampled_from((True, True, True, False))))
states = st.builds(
    State,
    matrix=matrices,
    flags=flags,
    paths=st.fixed_dictionaries(dict.fromkeys(Path, facts)),
    kill=st.sampled_from((None, None, None, None, *Kill)),
    overrides=st.lists(
        st.builds(
            Override,
            operation=st.sampled_from(Operation),
            path=st.sampled_from(Path),
            ends_us=st.integers(0, 2 * NOW_US),
        ),
        max_size=2,
    ),
)
requests = st.builds(
    Request,
    operation=st.sampled_from(Operation),
    priority=st.sampled_from(Priority),
    now_us=st.just(NOW_US),
    pinned=st.sampled_from((None, None, None, *Path)),
    mcp_can_say_it=st.sampled_from((True, True, True, False)),
    refusal=st.sampled_from(("", "", "", "pii")),
    bucket=st.none() | st.integers(0, 99),
    chosen=st.booleans(),
)
