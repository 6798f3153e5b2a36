"""Requests routed for real, logged, shipped, and decided again from what the database holds."""

from __future__ import annotations

import asyncio
import json
from io import StringIO
from pathlib import Path as Folder
from random import Random

import pytest
from django.core.management import call_command
from django.db import connection

from routing.audit import guards
from routing.changes import preview
from routing.core import chain
from routing.core.admission import QueueSettings, Rank
from routing.core.errors import Invalid
from routing.core.flags import FlagName
from routing.core.replay import Proposal
from routing.core.values import EnvironmentName, Operation, Path, Reason
from routing.decisions import queries, replay, verify
from routing.decisions.log import DecisionLog
from routing.decisions.models import Decision
from routing.decisions.shipper import Shipper
from routing.router import Routed
from tests.integration.changes import ground
from tests.unit import stage
from tests.unit.stage import NOW
from tests.unit.traffic import Went, one

pytestmark = pytest.mark.django_db(transaction=True)
DEV, STG, _ = EnvironmentName
COUNT = 300


def route_and_ship(folder: Folder, seed: int, count: int = COUNT) -> list[Went]:
    """Route random requests in development under ever other states; ship their records."""
    log = DecisionLog(folder, process="p", boot="replay")
    log.open(NOW)

    async def all_of_them() -> list[Went]:
        rng = Random(seed)
        return await asyncio.gather(*(one(rng, log) for _ in range(count)))

    went = asyncio.run(all_of_them())
    log.close(NOW)
    Shipper(folder, live="decision:p:other", synced=lambda: 0).ship()
    return went


def command(*words: str) -> tuple[int, dict[str, object]]:
    out, status = StringIO(), 0
    try:
        call_command("replay", "--environment", "development", *words, "--json", stdout=out)
    except SystemExit as end:
        status = int(end.code or 0)
    said: dict[str, object] = json.loads(out.getvalue())
    return status, said


def test_unchanged_all_of_them_come_out_as_they_were_stored(tmp_path: Folder, seed: int) -> None:
    ground.lay()
    went = route_and_ship(tmp_path, seed)
    stored = {body["id"]: body for body in replay.stored(DEV, COUNT)}
    assert {w.routed.decision_id for w in went} == set(stored)
    found = preview.effect(DEV, Proposal())
    assert (found.total, found.mismatched, found.unreadable, found.changed) == (COUNT, (), (), 0)
    assert preview.effect(STG, Proposal()).total == 0, "another environment's are not counted"
    status, said = command()
    assert (status, said["ok"], said["decisions"]) == (0, True, COUNT)


def test_a_stored_record_with_one_other_argument_is_named(tmp_path: Folder, seed: int) -> None:
    """The control. The guards of the database are lifted to put it there.

    What was answered would not have been under that kill file, whatever the seed drew.
    """
    ground.lay()
    route_and_ship(tmp_path, seed, 100)
    victim = Decision.objects.filter(kind="decision").exclude(effective="").first()
    assert victim is not None
    body = chain.read(bytes(victim.body))
    assert isinstance(body, dict) and isinstance(body["arguments"], dict)
    spoiled = {**body, "arguments": {**body["arguments"], "kill": "stop"}}
    guards.lift(connection)
    try:
        Decision.objects.filter(stream=victim.stream, seq=victim.seq).update(
            body=chain.canonical(spoiled)
        )
    finally:
        guards.install(connection)
    status, said = command()
    assert (status, said["ok"], said["mismatched"]) == (1, False, [victim.decision_id])
    assert "1 do not come out as they were stored" in str(said["words"])


def test_who_was_sent_away_undecided_is_shipped_verified_and_replayed(tmp_path: Folder) -> None:
    ground.lay()

    async def two() -> Routed:
        with stage.raised(tmp_path, queue=QueueSettings(capacity=1, reserved=1, room=0)) as place:
            await place.router.route(stage.ask(Operation.STANDARD))
            async with place.admission.place(Rank.LOW, left_s=60):
                return await place.router.route(stage.ask(Operation.STANDARD))

    away = asyncio.run(two())
    Shipper(tmp_path, live="decision:p:other", synced=lambda: 0).ship()
    row = Decision.objects.get(decision_id=away.decision_id)
    assert (row.kind, row.reason, row.intended, row.effective) == ("decision", "shed", "", "")
    assert verify.verify().ok
    found = replay.effect(EnvironmentName.PRODUCTION, Proposal())
    assert (found.total, found.unreadable, found.mismatched, found.changed) == (2, (), (), 0)
    rows = queries.recent(EnvironmentName.PRODUCTION).rows
    assert {(r.reason, r.intended) for r in rows} == {(Reason.RULE, Path.MCP), (Reason.SHED, None)}


def test_the_effect_of_a_flag_is_told_with_those_without_a_path_first(
    tmp_path: Folder, seed: int
) -> None:
    ground.lay()
    went = route_and_ship(tmp_path, seed)
    gone = Proposal(flags={FlagName.BEDROCK_PROVIDER: False, FlagName.MCP_INTEGRATION: False})
    answered = sum(w.routed.conclusion.effective is not None for w in went)
    found = preview.effect(DEV, gone)
    assert (found.stranded, found.changed) == (answered, answered)
    status, said = command("--flag", "ai.provider.bedrock.enabled=off", "--last", "50")
    cells = said["cells"]
    assert status == 0 and said["decisions"] == 50 and isinstance(cells, list)
    assert [cell["to"] is None for cell in cells] == sorted(
        (cell["to"] is None for cell in cells), reverse=True
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--last", "5001"], "invalid"),
        (["--matrix", "draft"], "not_found"),
        (["--matrix", "7"], "not_found"),
        (["--matrix", "latest"], "invalid"),
        (["--flag", "ENABLE_ALL=on"], "unknown_word"),
        (["--flag", "ai.caching.enabled"], "invalid"),
        (["--override", "standard=direct"], "unknown_word"),
    ],
)
def test_a_proposal_that_makes_no_sense_is_refused(words: list[str], code: str) -> None:
    ground.lay()
    status, said = command(*words)
    assert (status, said["error"]) == (1, code)


def test_no_stored_decision_is_said_to_say_nothing() -> None:
    ground.lay()
    assert preview.words(preview.effect(DEV, Proposal())) == (
        "No decision is stored yet, so nothing can be said of the effect.",
    )
    with pytest.raises(Invalid):
        preview.effect(DEV, Proposal(), 0)
