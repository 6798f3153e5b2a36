"""The draft of a matrix as its editor shows it, and what the editor sends back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from routing.core.matrix import Matrix, Row, row_name
from routing.core.values import Operation, Path, Priority, WhenDown

_WHOLE = re.compile(r"-?[0-9]{1,15}")
MOST_ROWS = len(Operation) * (1 + len(Priority))


@dataclass(frozen=True, slots=True, kw_only=True)
class EditedRow:
    """One row of the editor; every value as the form holds it, also one that will not do."""

    number: int
    name: str
    operation: str
    priority: str
    primary: str
    fallback: str
    split: str
    budget_ms: str
    when_down: str
    default_priority: str


def edited_rows(whole: Matrix) -> tuple[EditedRow, ...]:
    """Return the rows of `whole`, each operation's own before its narrowed ones."""
    keyed = [(op, None, row) for op, row in whole.rows.items()]
    narrowed = [(op, priority, row) for (op, priority), row in whole.narrowed.items()]
    order = list(Operation)
    rows = sorted([*keyed, *narrowed], key=lambda key: (order.index(key[0]), key[1] is not None))
    return tuple(_edited(number, priority, row) for number, (_, priority, row) in enumerate(rows))


def _edited(number: int, priority: Priority | None, row: Row) -> EditedRow:
    return EditedRow(
        number=number,
        name=row_name(row.operation, priority),
        operation=str(row.operation),
        priority=str(priority or ""),
        primary=str(row.primary),
        fallback=str(row.fallback or ""),
        split=str(row.split),
        budget_ms=str(row.budget_ms),
        when_down=str(row.when_down),
        default_priority=str(row.default_priority),
    )


def typed_rows(said: Mapping[str, str]) -> tuple[EditedRow, ...]:
    """Return the rows as they were typed, to be shown again beside what is wrong with them."""
    found = []
    for number in range(MOST_ROWS):
        if f"operation-{number}" in said:
            values = {name: said.get(f"{name}-{number}", "") for name in _FIELDS}
            name = values["operation"]
            name += f" at {values['priority']}" if values["priority"] else ""
            found.append(EditedRow(number=number, name=name, **values))
    return tuple(found)


_FIELDS = (
    "operation",
    "priority",
    "primary",
    "fallback",
    "split",
    "budget_ms",
    "when_down",
    "default_priority",
)


def rows_of(said: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the rows that a form sends, without those to be dropped, with the one to be added.

    What is no number stays text: whoever reads the rows says so, with all else that is wrong.
    """
    kept = [row for row in typed_rows(said) if f"drop-{row.number}" not in said]
    rows = [_as_row(row) for row in kept]
    operation, priority = said.get("add-operation", ""), said.get("add-priority", "")
    if operation and priority:
        base = next((r for r in rows if r["operation"] == operation), None)
        if base is not None:
            rows.append(base | {"priority": priority})
    return rows


def _as_row(row: EditedRow) -> dict[str, Any]:
    return {
        "operation": row.operation,
        "priority": row.priority or None,
        "default_priority": row.default_priority,
        "budget_ms": _number(row.budget_ms),
        "primary": row.primary,
        "fallback": row.fallback or None,
        "when_down": row.when_down,
        "split": _number(row.split),
    }


def _number(text: str) -> int | str:
    return int(text) if _WHOLE.fullmatch(text.strip()) else text


CHOICES: Mapping[str, list[tuple[str, str]]] = {
    "paths": [(str(p), str(p)) for p in Path],
    "fallbacks": [("", "none"), *((str(p), str(p)) for p in Path)],
    "whens": [(str(w), str(w).replace("_", " ")) for w in WhenDown],
    "priorities": [(str(p), str(p)) for p in Priority],
    "operations": [(str(o), str(o)) for o in Operation],
}
