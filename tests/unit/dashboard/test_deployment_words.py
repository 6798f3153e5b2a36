"""How deployments are worded: nothing that is unproven looks like a success."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.cards import deployments as words
from routing.core.values import EnvironmentName, Verdict
from routing.deployments.origins import Origin
from routing.deployments.queries import DeploymentRow

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def row(derived: Verdict | None, *, tests: int = 10, proven: int = 0) -> DeploymentRow:
    return DeploymentRow(
        id="run-1",
        environment=EnvironmentName.STAGING,
        origin=Origin.IMPORTED,
        at=NOW - timedelta(hours=3),
        by="user:x",
        recorded="SUCCESS",
        recorded_success=None,
        derived=derived,
        stage="",
        tests=tests,
        failed=0,
        proven=proven,
        findings=0,
    )


@pytest.mark.parametrize(
    ("recorded", "shape"), [("SUCCESS", "unproven"), ("FAILED", "failed"), ("", "unknown")]
)
def test_a_recorded_status_is_drawn_as_the_claim_that_it_is(recorded: str, shape: str) -> None:
    assert words.recorded_mark(recorded).shape == shape


@pytest.mark.parametrize(
    ("derived", "shape", "ended"),
    [
        (Verdict.SUCCEEDED, "healthy", "succeeded"),
        (Verdict.FAILED, "failed", "failed"),
        (Verdict.INCONCLUSIVE, "unproven", "proves nothing either way"),
        (None, "unknown", "is not judged yet"),
    ],
)
def test_a_derived_verdict_has_its_own_shape_and_words(
    derived: Verdict | None, shape: str, ended: str
) -> None:
    assert words.verdict_mark(derived).shape == shape
    said = words.deployments_summary([row(derived)], "staging", NOW)
    assert said == f"The newest deployment in staging {ended}, 3 h ago"


def test_evidence_is_counted_and_none_is_not_zero_of_zero() -> None:
    assert words.deployment_line(row(None, proven=3)).evidence == "3 of 10 proven"
    assert words.deployment_line(row(None, tests=0)).evidence == "no tests"


def test_what_ran_here_has_one_verdict_and_no_word_for_a_record_it_lacks() -> None:
    came = row(Verdict.FAILED)
    ran = replace(came, origin=Origin.RAN, recorded="")
    told = [words._headline(one, words.deployment_line(one)) for one in (came, ran)]
    assert told == ["run-1: recorded SUCCESS, derived failed", "run-1: failed"]


def test_every_shape_is_one_that_can_be_drawn() -> None:
    from dashboard.templatetags.words import SHAPE_OF

    assert set(words.SHAPED.values()) <= set(SHAPE_OF)
