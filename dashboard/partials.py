"""The register of live parts: each has one name in five places.

`flags_grid` is the function `cards.flags_grid`, the template `_flags_grid.html`, the element
`id="flags-grid"`, the entry below and the address `/e/<environment>/partials/flags_grid/`. A page
includes it, the address answers it alone, a socket will push it: all three give the same bytes.

A live part is the same for everyone who may see its environment: it knows no person and holds no
form. What differs by person stands around it. On the Flags page the live part and the list of
levers are two siblings in one CSS grid over the same rows (subgrid), so each button stands in its
flag's row although no button is inside the part that gets replaced. A lever carries the version
that its person saw; if the live part moves on beneath it, the change is refused as stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.template.loader import render_to_string

from dashboard import cards
from routing.access import queries as access
from routing.core.values import EnvironmentName
from routing.flags import queries as flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """A live part; `facts` returns what its template is told for one environment at `now`."""

    template: str
    facts: Callable[[EnvironmentName, datetime], Mapping[str, Any]]


def _flags_grid(environment: EnvironmentName, now: datetime) -> Mapping[str, Any]:
    return {"grid": flags_grid((environment,), environment, now=now)}


def flags_grid(
    environments: tuple[EnvironmentName, ...], environment: EnvironmentName, *, now: datetime
) -> cards.FlagsGrid:
    """Return the flags of `environment`, with those of the other `environments` beside them."""
    found = flags.grid(environments)
    booked = {cell.changed_by for row in found.rows for cell in row.cells.values()}
    return cards.flags_grid(found, environment, names=access.names(booked), now=now)


PARTIALS: Mapping[str, Partial] = {
    "flags_grid": Partial(template="dashboard/_flags_grid.html", facts=_flags_grid),
}


def render(name: str, environment: EnvironmentName, *, now: datetime) -> str:
    """Return the live part `name` of `environment` as HTML."""
    part = PARTIALS[name]
    return render_to_string(part.template, dict(part.facts(environment, now)))
