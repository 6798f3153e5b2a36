"""Do the rules that requests are routed by make sense: the flags and the matrix in force?"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from routing.core.errors import Refused
from routing.core.findings import Found, Severity
from routing.core.flags import DECLARED, FlagName
from routing.core.guards import is_served
from routing.core.matrix import Matrix
from routing.core.values import EnvironmentName, Operation, Priority
from routing.flags import queries
from routing.flags.queries import Cell
from routing.matrix import store
from routing.support.site import Site


def flag_states(site: Site) -> Iterator[Found]:
    """Look for declared flags without a state in this environment."""
    held = _cells(site)
    missing = [str(flag) for flag in DECLARED if flag not in held]
    if missing:
        yield Found(
            severity=Severity.HIGH,
            title=f"{len(missing)} of {len(DECLARED)} flags have no state in {site.environment}.",
            remediation="Start the server once (`manage.py serve`), which lays them; until then "
            "their declared defaults hold and they cannot be switched.",
            evidence={"missing": missing},
        )


def flag_drift(site: Site) -> Iterator[Found]:
    """Name the flags that do not stand as the product declares them."""
    differs: dict[str, str] = {}
    for flag, cell in _cells(site).items():
        if cell.state.share != (100 if cell.default else 0):
            differs[str(flag)] = (
                f"{cell.state.share} %, declared {'on' if cell.default else 'off'}; entry "
                f"{cell.entry_seq} by {cell.changed_by}"
            )
    if differs:
        yield Found(
            severity=Severity.INFO,
            title=f"{len(differs)} flags differ from their declared state.",
            remediation="Nothing, if that is meant; each change is in the audit trail.",
            evidence={"differs": differs},
        )


def operations(site: Site) -> Iterator[Found]:
    """Look for operations that flags and matrix leave without any path."""
    cells = _cells(site)
    matrix = store.read(site.environment)
    lost: dict[str, str] = {}
    for operation in Operation:
        priorities = [p for p in Priority if _has_no_path(site, operation, p, cells, matrix)]
        if priorities:
            lost[str(operation)] = ", ".join(priorities)
    if lost:
        worst = str(Operation.EMERGENCY) in lost
        yield Found(
            severity=Severity.CRITICAL if worst else Severity.HIGH,
            title=f"No path is left for {', '.join(lost)}: callers get 503 no_path.",
            remediation="Switch a path or the fallback flag on (Flags page); its review shows "
            "which operations get a path back.",
            evidence={"operations": lost, "flags": _shares(cells)},
        )


def matrix_in_force(site: Site) -> Iterator[Found]:
    """Read the matrix in force; reading refuses one that cannot be obeyed."""
    try:
        store.read(site.environment)
    except (Refused, KeyError, TypeError, ValueError) as error:
        words = error.message if isinstance(error, Refused) else repr(error)
        yield Found(
            severity=Severity.CRITICAL,
            title=f"The matrix in force in {site.environment} cannot be obeyed.",
            remediation="Publish a matrix that is valid; processes that start now have none.",
            evidence={"problem": words},
        )


def _cells(site: Site) -> Mapping[FlagName, Cell]:
    rows = queries.grid([site.environment]).rows
    return {row.name: row.cells[site.environment] for row in rows if row.cells}


def _shares(cells: Mapping[FlagName, Cell]) -> dict[str, str]:
    return {str(flag): f"{cell.state.share} %" for flag, cell in cells.items()}


def _has_no_path(
    site: Site,
    operation: Operation,
    priority: Priority,
    cells: Mapping[FlagName, Cell],
    matrix: Matrix,
) -> bool:
    """Judge a flag that is on for a share at both ends, as somebody will get each of them."""
    here = site.environment
    ends = [[(flag, end) for end in _ends(cells.get(flag), flag, here)] for flag in FlagName]
    return any(
        not is_served(operation, dict(case), matrix, priority) for case in itertools.product(*ends)
    )


def _ends(cell: Cell | None, flag: FlagName, environment: EnvironmentName) -> tuple[bool, ...]:
    if cell is None:  # not laid: its declared state holds
        return (environment in DECLARED[flag].on_in,)
    share = cell.state.share
    return (True,) if share == 100 else (False,) if share == 0 else (False, True)
