"""The register of live parts: each has one name in five places.

`flags_grid` is the function `cards.flags_grid`, the template `_flags_grid.html`, the element
`id="flags-grid"`, the entry below and the address `/e/<environment>/partials/flags_grid/`. A page
includes it, the address answers it alone, the hub pushes it: all three give the same bytes.

A live part is the same for everyone who may see its environment: it knows no person and holds no
form. The one difference is by right: a part that `varies` names who and why only to those who
may read the audit trail. What differs by person stands around it. On the Flags page the live part
and the list of levers are two siblings in one CSS grid over the same rows (subgrid), so each
button stands in its flag's row although no button is inside the part that gets replaced. A lever
carries the version that its person saw; if the live part moves on beneath it, the change is
refused as stale.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.template.loader import render_to_string

from dashboard import cards, told
from dashboard.look import Look, Reader
from routing.access import queries as access
from routing.core.values import EnvironmentName
from routing.deployments import desired
from routing.flags import queries as flags
from routing.schedule import queries as schedule

AGES = re.compile(r"(data-ago>)[^<]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """A live part; `facts` returns what its template is told, `hears` which news change it.

    One that is told `from_memory` alone is rendered while the database is away, too.
    """

    template: str
    facts: Callable[[Look], Mapping[str, Any]]
    hears: frozenset[str]
    varies: bool = False
    from_memory: bool = False


def _flags_grid(look: Look) -> Mapping[str, Any]:
    place = look.environment
    return {"grid": flags_grid((place,), place, now=look.now)}


def flags_grid(
    environments: tuple[EnvironmentName, ...], environment: EnvironmentName, *, now: datetime
) -> cards.FlagsGrid:
    """Return the flags of `environment`, with those of the other `environments` beside them."""
    found = flags.grid(environments)
    booked = {cell.changed_by for row in found.rows for cell in row.cells.values()}
    return cards.flags_grid(
        found,
        environment,
        names=access.names(booked),
        now=now,
        desired=desired.of(environment),
        planned=schedule.waiting(environment),
        asked={flag: at for (_, flag), at in flags.asked([environment]).items()},
    )


_IN_FORCE = frozenset({"flags", "matrix", "deployments"})

PARTIALS: Mapping[str, Partial] = {
    "alarms": Partial(
        template="dashboard/_alarms.html",
        facts=lambda look: {"alarms": told.alarms(look)},
        hears=frozenset({"kill", "standing"}),
        from_memory=True,
    ),
    "propagation": Partial(
        template="dashboard/_propagation.html",
        facts=lambda look: {"spread": told.propagation(look)},
        hears=frozenset({"flags", "processes"}),
    ),
    "flags_grid": Partial(
        template="dashboard/_flags_grid.html",
        facts=_flags_grid,
        hears=frozenset({"flags", "schedule"}),
    ),
    "state_header": Partial(
        template="dashboard/_state_header.html",
        facts=lambda look: {"state": told.state_header(look)},
        hears=_IN_FORCE | {"health", "decisions", "kill"},
        varies=True,
    ),
    "direct_bedrock_lane": Partial(
        template="dashboard/_direct_bedrock_lane.html",
        facts=lambda look: {"direct_bedrock": told.direct_bedrock_lane(look)},
        hears=_IN_FORCE | {"health"},
    ),
    "mcp_lane": Partial(
        template="dashboard/_mcp_lane.html",
        facts=lambda look: {"mcp": told.mcp_lane(look)},
        hears=_IN_FORCE | {"health"},
    ),
    "request_table": Partial(
        template="dashboard/_request_table.html",
        facts=lambda look: {"requests": told.request_table(look)},
        hears=_IN_FORCE | {"decisions"},
    ),
    "change_feed": Partial(
        template="dashboard/_change_feed.html",
        facts=lambda look: {"feed": told.change_feed(look)},
        hears=_IN_FORCE | {"upstreams", "support", "kill", "standby", "schedule", "glass"},
        varies=True,
    ),
    "open_items": Partial(
        template="dashboard/_open_items.html",
        facts=lambda look: {"open_items": told.open_items(look), "environment": look.environment},
        hears=_IN_FORCE | {"approvals", "standing", "processes", "cost", "schedule", "glass"},
    ),
    "cost_board": Partial(
        template="dashboard/_cost_board.html",
        facts=lambda look: {"cost": told.cost_board(look)},
        hears=frozenset({"cost", "decisions"}),
    ),
    "matrix_table": Partial(
        template="dashboard/_matrix_table.html",
        facts=lambda look: {"matrix": told.matrix_table(look)},
        hears=frozenset({"flags", "matrix", "health", "kill"}),
    ),
    "breaker_board": Partial(
        template="dashboard/_breaker_board.html",
        facts=lambda look: {"board": told.breaker_board(look)},
        hears=frozenset({"breakers"}),
        varies=True,
    ),
    "rollback_targets": Partial(
        template="dashboard/_rollback_targets.html",
        facts=lambda look: {"targets": told.rollback_targets(look), "now": look.now},
        hears=frozenset({"flags", "matrix", "health"}),
    ),
    "rollback_run": Partial(
        template="dashboard/_rollback_run.html",
        facts=lambda look: {"run": told.rollback_run(look), "now": look.now},
        hears=frozenset({"deployments"}),
    ),
}


def facts(names: tuple[str, ...], look: Look) -> dict[str, Any]:
    """Return what a page tells the templates of the parts that it includes."""
    said: dict[str, Any] = {}
    for name in names:
        said |= PARTIALS[name].facts(look)
    return said


def render(name: str, look: Look) -> str:
    """Return the live part `name` as HTML."""
    part = PARTIALS[name]
    return render_to_string(part.template, dict(part.facts(look)))


def without_ages(html: str) -> str:
    """Return `html` without the words that age by themselves: what is left are the facts."""
    return AGES.sub(r"\1", html)


def reader_of(name: str, reader: Reader) -> Reader:
    """Return whose rendering of `name` a reader gets: all share one that does not vary."""
    return reader if PARTIALS[name].varies else Reader.EVERYONE
