"""The matrix as JSON and back; what cannot be obeyed is refused on the way in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routing.core import matrix
from routing.core.matrix import Matrix, Row
from routing.core.values import Operation, Path, Priority, WhenDown, parse


def encode(whole: Matrix) -> list[dict[str, Any]]:
    """Return the rows of `whole`, each with `priority` None or the one it is narrowed to."""
    plain = [encode_row(row) for row in whole.rows.values()]
    return plain + [encode_row(row, p) for (_, p), row in whole.narrowed.items()]


def decode(rows: Sequence[Mapping[str, Any]], *, version: int) -> Matrix:
    """Return the matrix of `rows`; raises UnknownWord or Invalid, naming the row."""
    whole = decode_draft(rows, version=version)
    matrix.check(whole)
    return whole


def decode_draft(rows: Sequence[Mapping[str, Any]], *, version: int) -> Matrix:
    """Return the matrix of `rows` as far as it goes: it may break rules, never the vocabulary."""
    plain: dict[Operation, Row] = {}
    narrowed: dict[tuple[Operation, Priority], Row] = {}
    for kept in rows:
        row = _decode(kept)
        if kept["priority"] is None:
            plain[row.operation] = row
        else:
            narrowed[(row.operation, parse(Priority, kept["priority"]))] = row
    return Matrix(version=version, rows=plain, narrowed=narrowed)


def encode_row(row: Row, priority: Priority | None = None) -> dict[str, Any]:
    """Return one row as JSON; no split is not written, so that a matrix of before keeps its digest.
    """
    said = {"split": row.split} if row.split else {}
    return said | {
        "operation": str(row.operation),
        "priority": priority and str(priority),
        "default_priority": str(row.default_priority),
        "budget_ms": row.budget_ms,
        "primary": str(row.primary),
        "fallback": row.fallback and str(row.fallback),
        "when_down": str(row.when_down),
    }


def _decode(kept: Mapping[str, Any]) -> Row:
    fallback = kept["fallback"]
    return Row(
        operation=parse(Operation, kept["operation"]),
        default_priority=parse(Priority, kept["default_priority"]),
        budget_ms=int(kept["budget_ms"]),
        primary=parse(Path, kept["primary"]),
        fallback=parse(Path, fallback) if fallback else None,
        when_down=parse(WhenDown, kept["when_down"]),
        split=int(kept.get("split", 0)),
    )
