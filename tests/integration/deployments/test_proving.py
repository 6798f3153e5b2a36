"""Only the runner says proven, and only over what another side wrote under the check's nonce."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as Folder
from typing import Any

import pytest
from django.db import transaction

from routing import runs
from routing.audit import ledger as trail
from routing.core.errors import Unavailable
from routing.core.values import Action, Evidence, TestStatus
from routing.core.verdict import Suite, TestResult
from routing.deployments import evidence, release
from routing.deployments.checks import runner
from routing.deployments.checks.base import Ground, Looked
from routing.deployments.evidence import Claim, Journal, Journals
from routing.fleet import queries as fleet
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ground(tmp_path: Folder, monkeypatch: pytest.MonkeyPatch) -> Ground:
    monkeypatch.setattr(evidence, "WITHIN_S", 0.0)
    monkeypatch.setattr(Journals.find, "__defaults__", (0.0,))
    bed.lay()
    operation = bed.start()
    nobody: Any = None
    return Ground(
        environment=bed.DEV,
        row=fleet.environment(bed.DEV),
        run=nobody,
        nonce="",
        content=release.read(operation.release),
        by=bed.BY,
        clock=bed.now,
        journals=Journals(home=tmp_path, environment=bed.DEV, since=operation.created_at),
        board=None,
        operation=operation.id,
    )


def look(ground: Ground, check: Callable[[Ground], Looked]) -> TestResult:
    async def checked(own: Ground) -> Looked:
        return await own.db(check, own)

    return runs.wait(lambda: runner.one(Suite.SMOKE, "a check", checked, ground))


def book(nonce: str) -> None:
    with transaction.atomic():
        trail.record(
            by=bed.BY,
            now=bed.now(),
            action=Action.SUPPORT_ACTIVATE,
            environment=bed.DEV,
            object_type="support_session",
            object_id="1",
            reason=nonce,
        )


def passed(ground: Ground, nonce: str | None = None) -> Looked:
    claim = Claim(
        journal=Journal.CONTROL,
        nonce=ground.nonce if nonce is None else nonce,
        action=Action.SUPPORT_ACTIVATE,
    )
    return Looked(status=TestStatus.PASS, claims=(claim,))


def test_a_pass_that_the_other_side_wrote_down_is_proven(ground: Ground) -> None:
    def check(own: Ground) -> Looked:
        book(own.nonce)
        return passed(own)

    assert look(ground, check).evidence is Evidence.PROVEN


def test_a_pass_that_nobody_wrote_down_proves_nothing(ground: Ground) -> None:
    assert look(ground, passed).evidence is Evidence.UNPROVEN


def test_a_pass_without_a_claim_proves_nothing(ground: Ground) -> None:
    found = look(ground, lambda own: replace(passed(own), claims=()))
    assert found.status is TestStatus.PASS and found.evidence is Evidence.UNPROVEN


def test_a_claim_under_another_nonce_does_not_count(ground: Ground) -> None:
    """A record of an earlier run must not prove this one."""
    book("an-earlier-run")
    assert look(ground, lambda own: passed(own, "an-earlier-run")).evidence is Evidence.UNPROVEN


def test_a_nonce_is_each_checks_own(ground: Ground) -> None:
    seen: list[str] = []

    def check(own: Ground) -> Looked:
        seen.append(own.nonce)
        return passed(own)

    look(ground, check)
    look(ground, check)
    assert len(set(seen)) == 2 and all(one.startswith(ground.operation) for one in seen)


def test_a_skip_is_never_proven(ground: Ground) -> None:
    def check(own: Ground) -> Looked:
        book(own.nonce)
        return replace(passed(own), status=TestStatus.SKIP)

    assert look(ground, check).evidence is Evidence.UNPROVEN


@pytest.mark.parametrize("error", [Unavailable("The door is shut."), KeyError("candidates")])
def test_a_check_that_breaks_fails_with_its_words(ground: Ground, error: Exception) -> None:
    def check(own: Ground) -> Looked:
        raise error

    found = look(ground, check)
    assert found.status is TestStatus.FAIL and found.error


def test_tidies_up_after_the_proof_was_looked_for(ground: Ground) -> None:
    done: list[str] = []

    def check(own: Ground) -> Looked:
        return replace(passed(own), after=lambda: done.append("tidied"))

    look(ground, check)
    assert done == ["tidied"]
