"""When a flag was last asked for: noted in memory, stored by a report, told by the newest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import DatabaseError

from routing import wiring
from routing.core.errors import RuleBroken
from routing.core.flags import FlagName, Subject
from routing.core.values import EnvironmentName
from routing.flags import queries, uses
from routing.flags.models import FlagUse
from routing.support import mode as support
from tests.integration.changes.ground import DEV, OPERATOR, STG, apply, lay, to

pytestmark = pytest.mark.django_db
CACHING, MONITORING, SUPPORT = FlagName.CACHING, FlagName.MONITORING, FlagName.SUPPORT_MODE


@pytest.fixture(autouse=True)
def fresh(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    lay()
    monkeypatch.setattr(uses, "_noted", {})
    monkeypatch.setattr(uses, "_told", {})
    yield


def test_every_flag_is_asked_for_by_somebody() -> None:
    assert {flag for flags in uses.ASKED.values() for flag in flags} == set(FlagName)


def test_a_decision_asks_for_what_it_is_made_by() -> None:
    wiring._decided_by(DEV, Subject())
    uses.report(now=wiring.now())
    found = queries.asked([DEV, STG])
    assert {flag for _, flag in found} == set(uses.ASKED[uses.DECISION])
    assert {place for place, _ in found} == {DEV}
    assert all(abs(wiring.now() - at) < timedelta(seconds=10) for at in found.values())


def activate(environment: EnvironmentName) -> None:
    support.activate(by=OPERATOR, now=wiring.now(), environment=environment, reason="a look")


def test_the_support_manager_asks_for_its_flag_when_it_acts_and_not_for_who_looks() -> None:
    now = wiring.now()
    support.status(STG, now)
    support.reconcile(now)  # no session is open: nothing hangs on the flag
    uses.report(now=now)
    assert (STG, SUPPORT) not in queries.asked([STG])
    with pytest.raises(RuleBroken):  # the flag is off
        activate(STG)
    uses.report(now=now)
    assert (STG, SUPPORT) in queries.asked([STG])


def test_an_open_session_goes_on_asking_for_its_flag() -> None:
    apply([to(SUPPORT, True)])
    activate(STG)
    uses._noted.clear()
    support.reconcile(wiring.now())
    assert set(uses._noted) == {(STG, uses.SUPPORT)}


def test_a_report_tells_only_what_is_new_and_never_goes_back() -> None:
    now = wiring.now()
    uses.note(DEV, uses.PROBE)
    uses.report(now=now)
    first = queries.asked([DEV])[DEV, MONITORING]
    later = first + timedelta(hours=1)
    FlagUse.objects.filter(flag=MONITORING).update(evaluated_at=later)
    uses.report(now=now)
    uses.note(DEV, uses.PROBE)
    uses.report(now=now)
    assert queries.asked([DEV])[DEV, MONITORING] == later  # another process told a later one
    FlagUse.objects.filter(flag=MONITORING).update(evaluated_at=first - timedelta(hours=1))
    uses.report(now=now)
    assert queries.asked([DEV])[DEV, MONITORING] == first - timedelta(hours=1)  # nothing new
    uses.note(DEV, uses.PROBE)
    uses.report(now=now)
    assert queries.asked([DEV])[DEV, MONITORING] > first - timedelta(hours=1)


def test_what_the_database_did_not_take_is_told_by_the_next_report(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uses.note(DEV, uses.DECISION)

    def away(*_: object) -> None:
        raise DatabaseError("away")

    with monkeypatch.context() as patched, pytest.raises(DatabaseError):
        patched.setattr(uses, "_put", away)
        uses.report(now=wiring.now())
    assert not queries.asked([DEV])
    uses.report(now=wiring.now())
    assert (DEV, CACHING) in queries.asked([DEV])


def test_a_word_that_is_no_flag_of_ours_is_left_out() -> None:
    FlagUse.objects.create(environment_id=DEV, flag="gone", evaluated_at=wiring.now())
    assert queries.asked([DEV]) == {}
