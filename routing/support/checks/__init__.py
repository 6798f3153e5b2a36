"""The checks of an infrastructure audit, in the order in which they run.

A check returns what it found, nothing where all is well; whatever it raises becomes a finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from routing.core.findings import Found
from routing.support.checks import database, machine, paths, ports, records, rules
from routing.support.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its code, what it looks at in words, and the function that looks."""

    code: str
    about: str
    look: Callable[[Site], Iterable[Found]]


CHECKS: tuple[Check, ...] = tuple(
    Check(code=code, about=about, look=look)
    for code, about, look in (
        ("database.answers", "the database answers, and soon", database.answers),
        ("database.migrations", "the database has this code's tables", database.migrations),
        ("database.durability", "a commit is on disk when it says so", database.durability),
        ("audit.guards", "audit rows cannot be altered", records.guards),
        ("audit.trail", "the audit trail verifies", records.trail),
        ("decisions.shipped", "decisions reach the database", records.segments),
        ("flags.states", "each flag has a state here", rules.flag_states),
        ("flags.drift", "flags stand as declared", rules.flag_drift),
        ("matrix.valid", "the matrix in force can be obeyed", rules.matrix_in_force),
        ("routing.paths_left", "each operation keeps a path", rules.operations),
        ("paths.settings", "both paths are configured", paths.settings),
        ("paths.residency", "both paths stay where data may go", paths.residence),
        ("paths.credentials", "direct_bedrock has credentials", paths.credentials),
        ("paths.tools", "the MCP server's tools are as accepted", paths.tools),
        ("health.fresh", "both paths were measured lately and are well", paths.measured),
        ("processes.alive", "a process serves this environment", machine.processes),
        ("processes.versions", "all processes run the same", machine.versions),
        ("disk.room", "there is room on disk", machine.disk),
        ("keys.private", "only the server's account reads the keys", machine.keys),
        ("ports.needed", "nothing listens that need not", ports.listening),
    )
)
