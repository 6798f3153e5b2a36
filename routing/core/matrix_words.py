"""What differs between two matrices, in words."""

from __future__ import annotations

from collections.abc import Iterator

from routing.core.matrix import OTHER, Matrix, Row, named_rows


def differences(before: Matrix, after: Matrix) -> tuple[str, ...]:
    """Return a sentence for everything in which `after` differs from `before`, row by row."""
    old, new = dict(named_rows(before)), dict(named_rows(after))
    names = [*old, *(name for name in new if name not in old)]
    return tuple(words for name in names for words in _row(name, old.get(name), new.get(name)))


def _row(name: str, old: Row | None, new: Row | None) -> Iterator[str]:
    if old is None and new is not None:
        yield f"{name}: a row of its own, {summary(new)}."
    elif new is None:
        yield f"{name}: no row of its own any more."
    elif old is not None:
        for what, was, becomes in _parts(old, new):
            if was != becomes:
                yield f"{name}: {what} {was} → {becomes}."


def _parts(old: Row, new: Row) -> Iterator[tuple[str, str, str]]:
    yield "primary", str(old.primary), str(new.primary)
    yield "fallback", str(old.fallback or "none"), str(new.fallback or "none")
    yield "share sent to the other path", split_words(old), split_words(new)
    yield "budget", budget_words(old), budget_words(new)
    yield "when everything looks down", str(old.when_down), str(new.when_down)
    yield "default priority", str(old.default_priority), str(new.default_priority)


def summary(row: Row) -> str:
    """Return a whole row in one clause."""
    way = f"{row.primary}, then {row.fallback}" if row.fallback else f"{row.primary} alone"
    split = f", {split_words(row)}" if row.split else ""
    return f"{way}{split}, within {budget_words(row)}, {row.when_down}"


def split_words(row: Row) -> str:
    """Return the share of a row that goes the other way."""
    return f"{row.split} % to {OTHER[row.primary]}" if row.split else "none"


def budget_words(row: Row) -> str:
    """Return a budget in whole seconds where it is some, else in ms."""
    whole, rest = divmod(row.budget_ms, 1000)
    return f"{row.budget_ms} ms" if rest else f"{whole} s"
