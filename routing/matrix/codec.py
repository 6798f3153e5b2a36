"""The matrix as JSON and back; what cannot be obeyed is refused on the way in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any

from routing.core import matrix
from routing.core.chain import MAX_INT
from routing.core.matrix import Matrix, Row
from routing.core.values import Operation, Path, Priority, WhenDown, parse


def encode(whole: Matrix) -> list[dict[str, Any]]:
    """Return the rows of `whole`, each with `priority` None or the one it is narrowed to."""
    plain = [encode_row(row) for row in whole.rows.values()]
    return plain + [encode_row(row, p) for (_, p), row in whole.narrowed.items()]


def decode(rows: Sequence[Mapping[str, Any]], *, version: int) -> Matrix:
    """Return the matrix of `rows`; raises UnknownWord or Invalid, naming the row."""
    whole = decode_as_is(rows, version=version)
    matrix.check(whole)
    return whole


def decode_as_is(rows: Sequence[Mapping[str, Any]], *, version: int) -> Matrix:
    """Return the matrix of `rows` as far as it goes: it may break rules, never the vocabulary.

    Drafts are read so, and what was published under the rules of its day.
    """
    plain: dict[Operation, Row] = {}
    narrowed: dict[tuple[Operation, Priority], Row] = {}
    for kept in rows:
        row = _decode(kept)
        if kept["priority"] is None:
            plain[row.operation] = row
        else:
            narrowed[(row.operation, parse(Priority, kept["priority"]))] = row
    return Matrix(version=version, rows=plain, narrowed=narrowed)


def misread(rows: object) -> tuple[str, ...]:
    """Return a sentence for everything that keeps `rows` from being read, naming the row.

    Rows that can be read may still break rules: `core.matrix.problems` tells of those.
    """
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return ("The rows are no list of objects; take `manage.py matrix show --json` for one.",)
    found = [
        f"Row {number}{_called(row)} {words}"
        for number, row in enumerate(rows, 1)
        for words in (*_strange(row), *_wrong_words(row), *_wrong_numbers(row))
    ]
    seen = Counter((str(row.get("operation")), str(row.get("priority") or "")) for row in rows)
    twice = [
        f"{operation}{priority and f' at {priority}'} has {count} rows; keep one."
        for (operation, priority), count in seen.items()
        if count > 1
    ]
    return (*found, *twice)


def _called(row: Mapping[str, Any]) -> str:
    said = [row.get("operation"), row.get("priority")]
    return f" ({' at '.join(word for word in said if isinstance(word, str))})" if any(said) else ""


_WORDS: Mapping[str, tuple[type[StrEnum], bool]] = {
    "operation": (Operation, False),
    "priority": (Priority, True),
    "default_priority": (Priority, False),
    "primary": (Path, False),
    "fallback": (Path, True),
    "when_down": (WhenDown, False),
}
_NUMBERS = {"budget_ms": True, "split": False}


def _strange(row: Mapping[str, Any]) -> Iterator[str]:
    strange = sorted(set(row) - {*_WORDS, *_NUMBERS})
    if strange:
        yield f"has {', '.join(map(repr, strange))}, which no row has; leave that out."


def _wrong_words(row: Mapping[str, Any]) -> Iterator[str]:
    for name, (kind, may_be_none) in _WORDS.items():
        said = row.get(name)
        if name not in row:
            yield f"lacks {name}."
        elif said is None and may_be_none:
            continue
        elif not isinstance(said, str) or said not in set(kind):
            yield f"has the {name} {said!r}; known: {', '.join(kind)}."


def _wrong_numbers(row: Mapping[str, Any]) -> Iterator[str]:
    for name, is_needed in _NUMBERS.items():
        said = row.get(name)
        if name not in row:
            if is_needed:
                yield f"lacks {name}."
        elif type(said) is not int or abs(said) > MAX_INT:
            yield f"has the {name} {said!r}; give a whole number."


def encode_row(row: Row, priority: Priority | None = None) -> dict[str, Any]:
    """Return one row as JSON; a split of nobody is left out, so that old digests still hold."""
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
