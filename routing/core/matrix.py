"""The decision matrix: which path serves an operation, within what time (product.md section 3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from routing.core import rollout
from routing.core.errors import Invalid
from routing.core.values import Operation, Path, Priority, WhenDown

OTHER: Mapping[Path, Path] = {Path.DIRECT_BEDROCK: Path.MCP, Path.MCP: Path.DIRECT_BEDROCK}
LONGEST_BUDGET_MS = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation's rule; `budget_ms` is the whole answer's, or a stream's first token's.

    `split` is the percentage of its subjects, 0 to 100, that begin on the other path.
    """

    operation: Operation
    default_priority: Priority
    budget_ms: int
    primary: Path
    fallback: Path | None
    when_down: WhenDown
    split: int = 0

    def order(self) -> tuple[Path, ...]:
        """Return the paths in the order in which the matrix would try them."""
        return (self.primary,) if self.fallback is None else (self.primary, self.fallback)

    def begun_on(self, path: Path) -> tuple[Path, ...]:
        """Return the order that begins on `path`; a row without a fallback has none there, too."""
        return (path,) if self.fallback is None else (path, OTHER[path])

    def orders(self) -> tuple[tuple[Path, ...], ...]:
        """Return the order of every group of subjects that there is."""
        split = (self.begun_on(OTHER[self.primary]),) if self.split else ()
        return (self.order(), *split) if self.split < rollout.SHARES else split

    def takes_other(self, bucket: int | None) -> bool:
        """Tell whether a subject in `bucket` (0 to 99) begins on the other path."""
        return bucket is not None and bucket < self.split


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """One version of the matrix of one environment; `narrowed` rows win for their priority."""

    version: int
    rows: Mapping[Operation, Row]
    narrowed: Mapping[tuple[Operation, Priority], Row] = field(default_factory=dict)

    def row(self, operation: Operation, priority: Priority | None = None) -> Row:
        """Return the rule for `operation`, narrowed by `priority` where such a row exists."""
        base = self.rows[operation]
        return self.narrowed.get((operation, priority or base.default_priority), base)

    def sent(self, operation: Operation, path: Path) -> Matrix:
        """Return the matrix in which all rows of `operation` begin on `path`, unsplit."""

        def turned(row: Row) -> Row:
            order = row.begun_on(path)
            return replace(row, primary=path, fallback=order[1] if order[1:] else None, split=0)

        return replace(
            self,
            rows={**self.rows, operation: turned(self.rows[operation])},
            narrowed={k: turned(r) if k[0] is operation else r for k, r in self.narrowed.items()},
        )


def _row(
    operation: Operation,
    priority: Priority,
    budget_s: int,
    order: tuple[Path, Path | None],
    when_down: WhenDown,
) -> Row:
    return Row(
        operation=operation,
        default_priority=priority,
        budget_ms=budget_s * 1000,
        primary=order[0],
        fallback=order[1],
        when_down=when_down,
    )


_DIRECT_ONLY = (Path.DIRECT_BEDROCK, None)
_DIRECT_FIRST = (Path.DIRECT_BEDROCK, Path.MCP)
_MCP_FIRST = (Path.MCP, Path.DIRECT_BEDROCK)

DEFAULT = Matrix(
    version=1,
    rows={
        row.operation: row
        for row in (
            _row(Operation.EMERGENCY, Priority.CRITICAL, 5, _DIRECT_ONLY, WhenDown.LAST_RESORT),
            _row(
                Operation.INFRASTRUCTURE,
                Priority.CRITICAL,
                10,
                _DIRECT_FIRST,
                WhenDown.LAST_RESORT,
            ),
            _row(Operation.META_MONITOR, Priority.HIGH, 15, _DIRECT_FIRST, WhenDown.FAIL_CLOSED),
            _row(Operation.IMPLEMENTATION, Priority.HIGH, 15, _DIRECT_FIRST, WhenDown.FAIL_CLOSED),
            _row(
                Operation.KIRO_COMMUNICATION,
                Priority.MEDIUM,
                30,
                _MCP_FIRST,
                WhenDown.FAIL_CLOSED,
            ),
            _row(Operation.STANDARD, Priority.MEDIUM, 30, _MCP_FIRST, WhenDown.FAIL_CLOSED),
            _row(Operation.BACKGROUND_TASKS, Priority.LOW, 60, _MCP_FIRST, WhenDown.FAIL_CLOSED),
        )
    },
)


def check(matrix: Matrix) -> None:
    """Raise Invalid, naming every problem of `matrix`, unless its rules can be obeyed."""
    found = problems(matrix)
    if found:
        raise Invalid(" ".join(found), problems=list(found))


def check_rows(matrix: Matrix) -> None:
    """Raise Invalid unless every operation has a row; without one nothing could be decided."""
    missing = _missing(matrix)
    if missing:
        raise Invalid(missing)


def _missing(matrix: Matrix) -> str:
    missing = [str(op) for op in Operation if op not in matrix.rows]
    return f"The matrix has no row for {', '.join(missing)}; add one for each." if missing else ""


def problems(matrix: Matrix) -> tuple[str, ...]:
    """Return a sentence for everything that keeps `matrix` from being obeyed, naming the row.

    An emergency has no fallback and no split, ever, and stays last_resort; a fallback differs
    from its primary; budgets lie between 1 ms and 10 min, shares between 0 and 100 %.
    """
    missing = _missing(matrix)
    found = [missing] if missing else []
    for name, row in named_rows(matrix):
        found += [f"The row of {name} {problem}" for problem in _problems(row)]
    return tuple(found)


def named_rows(matrix: Matrix) -> Iterator[tuple[str, Row]]:
    """Yield every row with the name that people know it by."""
    for operation, row in matrix.rows.items():
        yield str(operation), row
    for (operation, priority), row in matrix.narrowed.items():
        yield row_name(operation, priority), row


def row_name(operation: Operation, priority: Priority | None) -> str:
    """Return what people call a row: its operation, and the priority it is narrowed to."""
    return str(operation) if priority is None else f"{operation} at {priority}"


def _problems(row: Row) -> Iterator[str]:
    if row.operation is Operation.EMERGENCY:
        yield from _problems_of_emergency(row)
    if row.primary is row.fallback:
        yield "falls back onto its own primary; name the other path or none."
    if row.budget_ms <= 0:
        yield "has no time: set a budget of at least 1 ms."
    if row.budget_ms > LONGEST_BUDGET_MS:
        yield f"has a budget of {row.budget_ms} ms; nobody waits longer than {LONGEST_BUDGET_MS}."
    if not 0 <= row.split <= rollout.SHARES:
        yield f"sends {row.split} % to the other path; give 0 to {rollout.SHARES}."


def _problems_of_emergency(row: Row) -> Iterator[str]:
    if row.fallback is not None:
        yield "names a fallback; an emergency never falls back. Leave it empty."
    if row.split:
        yield "is split; an emergency goes one known way. Set its share to 0."
    if row.when_down is not WhenDown.LAST_RESORT:
        yield "fails closed; an emergency is tried to the last. Leave it last_resort."
