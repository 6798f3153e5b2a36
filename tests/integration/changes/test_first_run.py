"""The first run lays what is missing, books it, and does nothing the second time."""

from __future__ import annotations

import pytest

from routing.changes import first_run
from routing.core.errors import Forbidden
from routing.core.flags import FlagName, defaults
from routing.core.values import EnvironmentName
from routing.flags import queries, snapshot
from routing.fleet import queries as fleet
from tests.integration.changes.ground import (
    DEV,
    NOW,
    OPERATOR,
    SHELL,
    STG,
    apply,
    entries,
    lay,
    to,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_environment_starts_with_the_declared_flags() -> None:
    lay()
    for row in queries.grid(EnvironmentName).rows:
        for environment, cell in row.cells.items():
            assert cell.state.on is defaults(environment)[row.name]
            assert (cell.state.version, cell.state.percentage) == (1, 100)
            assert cell.default is cell.state.on
        assert set(row.cells) == set(EnvironmentName)
    assert snapshot.current().source == "database"


def test_what_was_laid_is_booked_once_and_the_states_name_their_entry() -> None:
    lay()
    booked = [(e.action, e.environment) for e in reversed(entries())]
    assert booked[0][0] == "stream.open"
    assert booked[1:] == [
        (action, environment)
        for environment in EnvironmentName
        for action in ("environment.create", "flag.create")
    ]
    seqs = {e.seq: e for e in entries()}
    for row in queries.grid(EnvironmentName).rows:
        for environment, cell in row.cells.items():
            entry = seqs[cell.entry_seq]
            assert (entry.action, entry.environment) == ("flag.create", environment)


def test_a_second_run_changes_and_books_nothing() -> None:
    lay()
    apply([to(FlagName.CACHING, False)])
    before, seq = queries.grid(EnvironmentName), entries()[0].seq
    lay()
    assert queries.grid(EnvironmentName) == before
    assert entries()[0].seq == seq


def test_embedded_paths_lead_to_the_stand_ins_and_others_to_nothing() -> None:
    first_run.lay(by=SHELL, now=NOW, environments=[DEV], embedded=True)
    first_run.lay(by=SHELL, now=NOW, environments=[STG], embedded=False)
    dev, stg = fleet.environment(DEV), fleet.environment(STG)
    assert (dev.residency, dev.bedrock_target, dev.mcp_target) == (
        "local",
        "local:bedrock",
        "local:mcp",
    )
    assert (stg.residency, stg.bedrock_target, stg.mcp_target) == ("eu", "", "")


def test_laying_the_ground_is_for_admins() -> None:
    with pytest.raises(Forbidden):
        first_run.lay(by=OPERATOR, now=NOW, environments=[DEV], embedded=True)
    assert queries.grid([DEV]).versions == {}
