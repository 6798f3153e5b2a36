"""Times, values and differences in words; nothing here knows a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from routing.core.flags import State

LONGEST_VALUE = 80
FLAG_STATE = frozenset({"on", "percentage", "version"})


def ago(at: datetime, now: datetime) -> str:
    """Return how long before `now` a thing happened, in words; the future is `just now`."""
    seconds = max(0, int((now - at).total_seconds()))
    if seconds < 5:
        return "just now"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def left(at: datetime, now: datetime) -> str:
    """Return how long it is from `now` to `at`, in words; `over` once it has come."""
    seconds = int((at - now).total_seconds())
    if seconds <= 0:
        return "over"
    hours, minutes = divmod(-(-seconds // 60), 60)
    if seconds < 60:
        return f"{seconds} s left"
    return f"{hours} h {minutes} min left" if hours else f"{minutes} min left"


def absolute(at: datetime) -> str:
    """Return the time to the second with its zone."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def diff(before: Any, after: Any) -> tuple[tuple[str, str, str], ...]:
    """Return what differs as (name, before, after), nested names joined by a dot.

    A flag's state is one word. A side that is absent is empty; equal sides differ in nothing.
    """
    old, new = dict(_flat("", before)), dict(_flat("", after))
    names = [*old, *(name for name in new if name not in old)]
    told = ((name, old.get(name, ""), new.get(name, "")) for name in names)
    return tuple(line for line in told if line[1] != line[2])


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, Mapping):
        yield name, _plain(value)
    elif FLAG_STATE.issubset(value):
        yield name, flag_text(value["on"], value["percentage"], value.get("groups", ()))
    else:
        for key, inner in value.items():
            yield from _flat(f"{name} · {key}" if name else str(key), inner)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return ("no", "yes")[value]
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        text = ", ".join(_plain(inner) for inner in value)
    else:
        text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def flag_word(state: State) -> str:
    """Return the word that the shape of a flag's state goes by."""
    return "off" if not state.on else "on" if state.percentage == 100 else "partly"


def flag_text(on: Any, percentage: Any, groups: Any = ()) -> str:
    """Word the state of a flag."""
    if not on:
        return "off"
    if percentage == 100:
        return "on"
    groups = groups if isinstance(groups, list | tuple) else ()
    whom = [f"{percentage} %"] if percentage or not groups else []
    return f"on for {' and '.join([*whom, *map(str, groups)])}"


def took(us: int | None) -> str:
    """Return a duration with its unit, to three figures; `no data` for none."""
    if us is None:
        return "no data"
    if us < 1_000:
        return f"{us / 1000:.1f} ms"
    if us < 1_000_000:
        return f"{us / 1000:.0f} ms"
    return f"{us / 1_000_000:.3g} s"


def share(part: int, whole: int) -> str:
    """Return a percentage that is 0 or 100 only when it is exactly; `no data` of nothing."""
    if not whole:
        return "no data"
    percent = part * 100 / whole
    if part in (0, whole):
        return f"{percent:.0f} %"
    return (
        f"{min(max(percent, 0.1), 99.9):.1f} %"
        if percent < 1 or percent > 99
        else f"{percent:.0f} %"
    )
