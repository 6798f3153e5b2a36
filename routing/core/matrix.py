"""The decision matrix: which path serves an operation, within what time (product.md section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from routing.core.errors import Invalid
from routing.core.values import Operation, Path, Priority, WhenDown


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation's rule; `budget_ms` is the whole answer's, or a stream's first token's."""

    operation: Operation
    default_priority: Priority
    budget_ms: int
    primary: Path
    fallback: Path | None
    when_down: WhenDown

    def order(self) -> tuple[Path, ...]:
        """Return the paths in the order in which the matrix would try them."""
        return (self.primary,) if self.fallback is None else (self.primary, self.fallback)


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
    """Raise Invalid unless `matrix` covers every operation with rules that can be obeyed.

    An emergency has no fallback, ever; a fallback differs from its primary; budgets are positive.
    """
    missing = [str(op) for op in Operation if op not in matrix.rows]
    if missing:
        raise Invalid(f"The matrix has no row for {', '.join(missing)}; add one for each.")
    for row in (*matrix.rows.values(), *matrix.narrowed.values()):
        problem = _problem(row)
        if problem:
            raise Invalid(f"The row of {row.operation} {problem}")


def _problem(row: Row) -> str:
    if row.operation is Operation.EMERGENCY and row.fallback is not None:
        return "names a fallback; an emergency never falls back. Leave it empty."
    if row.primary is row.fallback:
        return "falls back onto its own primary; name the other path or none."
    if row.budget_ms <= 0:
        return "has no time: set a budget of at least 1 ms."
    return ""
