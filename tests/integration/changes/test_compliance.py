"""The compliance policy as a booked change: an admin's, confirmed, seen by every process."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.db import connection

from routing.audit import queries as audit
from routing.changes import compliance
from routing.changes.compliance import Applied
from routing.compliance import policy, queries, store
from routing.compliance.models import CompliancePolicy
from routing.compliance.policy import Policy, Rule, Treatment
from routing.core.errors import Forbidden, Invalid, NeedsConfirm, Stale
from routing.core.values import Action, Operation, Path
from tests.integration.changes.ground import (
    ADMIN,
    DEV,
    NOW,
    OPERATOR,
    PROD,
    STG,
    entries,
    facts,
    lay,
)
from tests.integration.changes.test_commands import run

pytestmark = pytest.mark.django_db(transaction=True)
BLOCKED = Policy(pii=Treatment.BLOCK)


@pytest.fixture(autouse=True)
def _ground() -> None:
    lay()
    queries.refresh()


def put(wanted: Policy = BLOCKED, *, base: int = 0, **more: object) -> Applied:
    told: dict[str, object] = {
        "by": ADMIN,
        "environment": STG,
        "reason": "the officer asked for it",
        "confirmed": True,
    }
    return compliance.apply(now=NOW, wanted=wanted, base_version=base, **(told | more))  # type: ignore[arg-type]


def test_is_in_force_at_once_and_booked_with_what_it_lists() -> None:
    done = put()
    assert queries.current().of(STG).treatment(Operation.EMERGENCY) is Treatment.BLOCK
    assert queries.current().of(DEV) == policy.DEFAULT
    entry = audit.entry(stream="control", seq=done.entry_seq)
    assert (entry.action, entry.reason) == (Action.COMPLIANCE_CHANGE, "the officer asked for it")
    assert facts(entry.before)["pii"] == "mask"
    assert facts(entry.after) | {"version": 1, "pii": "block"} == facts(entry.after)
    assert facts(entry.facts)["effects"] == ["all requests with personal data are refused."]


def test_another_process_sees_it_when_it_looks_and_not_before() -> None:
    store.put(environment=PROD, base_version=0, wanted=BLOCKED, by="elsewhere", now=NOW)
    assert queries.Live().of(PROD) == policy.DEFAULT
    queries.refresh_if_changed()
    assert queries.Live().of(PROD) == replace(BLOCKED, version=1)


def test_the_slower_of_two_is_told_and_changes_nothing() -> None:
    put()
    with pytest.raises(Stale) as lost:
        put(Policy(), base=0)
    assert lost.value.facts["current"] == 1
    assert store.read(STG).pii is Treatment.BLOCK
    assert entries()[0].outcome == "refused"


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"by": OPERATOR}, Forbidden),
        ({"reason": ""}, Invalid),
        ({"confirmed": False}, NeedsConfirm),
        ({"environment": PROD}, Invalid),
        ({"wanted": Policy()}, Invalid),
        ({"wanted": Policy(pii=Treatment.BLOCK, operations={
            Operation.EMERGENCY: Rule(pii=Treatment.MASK)})}, Invalid),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused_booked_and_changes_nothing(
    more: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        put(**more)  # type: ignore[arg-type]
    assert not CompliancePolicy.objects.exists()
    assert (entries()[0].action, entries()[0].outcome) == (Action.COMPLIANCE_CHANGE, "refused")


def test_a_policy_that_cannot_be_obeyed_leaves_the_last_one_in_force(
    caplog: pytest.LogCaptureFixture,
) -> None:
    put()
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE routing_compliancepolicy SET document = '{\"form\": 9}', version = 2"
        )
    queries.refresh_if_changed()
    assert queries.current().of(STG).pii is Treatment.BLOCK
    assert "cannot be obeyed" in caplog.text


def test_the_command_shows_sets_and_lists_what_it_lets_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = ("--environment", "staging")
    status, lines, _ = run(
        capsys, "compliance", "set", *there, "--rule", "background_tasks=forbidden",
        "--rule", "standard=mcp,block", "--reason", "audit finding 12",
    )  # fmt: skip
    assert (status, lines[0]["error"]) == (1, "needs_confirm")
    status, lines, _ = run(
        capsys, "compliance", "set", *there, "--rule", "background_tasks=forbidden",
        "--rule", "standard=mcp,block", "--reason", "audit finding 12", "--confirm",
    )  # fmt: skip
    assert (status, lines[0]["version"]) == (0, 1)
    assert store.read(STG).rule(Operation.STANDARD) == Rule(path=Path.MCP, pii=Treatment.BLOCK)
    status, lines, said = run(capsys, "compliance", "set", *there, "--pii", "allow", "--rule",
                              "standard=free", "--reason", "trying it out")  # fmt: skip
    assert status == 1 and "leaves as it is" in said
    status, lines, _ = run(capsys, "compliance", "show", *there)
    assert lines[0]["operations"]["background_tasks"] == {"forbidden": True}
    assert (lines[0]["pii"], lines[0]["refused_24h"]) == ("mask", {})


@pytest.mark.parametrize("rule", ["standard=nothing", "chat=mcp", "standard=free,mcp", "standard"])
def test_the_command_refuses_words_that_it_does_not_know(
    rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, said = run(
        capsys, "compliance", "set", "--environment", "development", "--rule", rule
    )
    assert status == 1 and "known" in said
