"""Killed anywhere, an operation is resumed where it stopped, and nothing is done twice."""

from __future__ import annotations

import signal
from pathlib import Path as Folder

import pytest
from django.conf import settings

from routing.audit import verify
from routing.core.errors import Stale
from routing.core.flags import FlagName
from routing.core.lifecycle import Stage
from routing.core.matrix import DEFAULT
from routing.core.values import Action, Operation, Path, Verdict
from routing.deployments import crash, ledger
from routing.deployments.ledger import OperationRow
from routing.deployments.models import DeploymentDocument, DeploymentTest
from routing.deployments.pen import Pen
from routing.flags import store
from routing.fleet import leases
from routing.matrix import store as matrices
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)

FLAG = FlagName.DIRECT_FALLBACK
POINTS = (
    "begun:flags",
    "inside:flags",
    "done:flags",
    "inside:matrix",
    "after:matrix",
    "begun:smoke",
    "done:smoke",
    "inside:judge",
    "done:judge",
    "done:document",
    "done:close",
)


@pytest.fixture
def operation() -> OperationRow:
    """Return a deployment that has a flag and the matrix to set."""
    bed.lay()
    first = bed.start()
    bed.run(first, Folder(settings.HYBRIDOPS_HOME), bed.plan())
    bed.set_flag(FLAG, True)
    _publish_another()
    return bed.start(digest=first.release, restore_flags=True)


def _publish_another() -> None:
    from routing.changes import route

    route.apply(
        by=bed.BY,
        now=bed.now(),
        environment=bed.DEV,
        route=route.SetRoute(
            operation=Operation.STANDARD,
            primary=Path.DIRECT_BEDROCK,
            fallback=None,
            base_version=matrices.read(bed.DEV).version,
        ),
        reason="somebody's route",
        confirmed=True,
    )


def check_done_once(operation: OperationRow) -> None:
    done = ledger.read(operation.id)
    assert done.verdict is Verdict.SUCCEEDED and done.stage is Stage.CLOSED and done.is_over
    assert store.read(bed.DEV)[FLAG].version == 3  # laid, changed, set back
    assert matrices.read(bed.DEV).rows == DEFAULT.rows
    assert matrices.read(bed.DEV).version == 3
    steps = [str(e.facts["step"]) for e in bed.booked(Action.DEPLOYMENT_STEP, operation.id)]  # type: ignore[call-overload,index]
    assert sorted(steps) == sorted(step.name for step in done.steps)
    assert len(bed.booked(Action.DEPLOYMENT_JUDGED, operation.id)) == 1
    assert len(bed.booked(Action.DEPLOYMENT_CLOSED, operation.id)) == 1
    assert DeploymentTest.objects.filter(deployment_id=operation.id).count() == 3
    assert DeploymentDocument.objects.filter(deployment_id=operation.id).count() == 2
    assert verify.verify().ok


@pytest.mark.parametrize("point", POINTS)
def test_goes_on_where_it_was_killed(
    point: str, operation: OperationRow, tmp_path: Folder
) -> None:
    runner = bed.Runner(operation, tmp_path, bed.plan(), point)
    assert runner.wait() == signal.SIGKILL

    assert bed.run(operation, tmp_path, bed.plan()).begun_by == "server"  # the lease stands
    assert not ledger.read(operation.id).is_over or point == "done:close"
    bed.expire()
    bed.run(operation, tmp_path, bed.plan())

    check_done_once(operation)


def test_a_run_that_nobody_kills_ends_the_same(operation: OperationRow, tmp_path: Folder) -> None:
    assert bed.Runner(operation, tmp_path, bed.plan(), "").wait() == 0
    check_done_once(operation)


@pytest.mark.parametrize("point", ["begun:flags", "done:smoke", "before:judge"])
def test_refuses_a_runner_that_was_only_asleep(
    point: str, operation: OperationRow, tmp_path: Folder
) -> None:
    zombie = bed.Runner(operation, tmp_path, bed.plan(), f"stop:{point}")
    zombie.wait_until_stopped()
    bed.expire()
    bed.run(operation, tmp_path, bed.plan())
    before = len(bed.booked(Action.DEPLOYMENT_STEP)), len(bed.booked(Action.FLAG_CHANGE))

    zombie.wake()

    assert zombie.wait() == 0  # it found its fence past, and left
    check_done_once(operation)
    after = len(bed.booked(Action.DEPLOYMENT_STEP)), len(bed.booked(Action.FLAG_CHANGE))
    assert after[0] == before[0]


def test_only_the_fence_keeps_a_past_runner_from_writing(
    operation: OperationRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = leases.take(operation.lease, "one", now=bed.now(), seconds=15)
    assert past is not None
    pen = Pen(operation=operation.id, lease=past, by=bed.BY)
    bed.expire()
    assert leases.take(operation.lease, "two", now=bed.now(), seconds=15) is not None

    with pytest.raises(Stale):
        pen.settle("smoke", now=bed.now(), result={})
    assert ledger.read(operation.id).result("smoke") == {}

    monkeypatch.setattr(leases, "check_fence", lambda name, fence: None)
    pen.settle("smoke", now=bed.now(), result={"late": True})
    assert ledger.read(operation.id).result("smoke") == {"late": True}


def test_crash_points_are_deaf_outside_tests(
    settings: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HYBRIDOPS_CRASHPOINTS = False  # type: ignore[attr-defined]
    monkeypatch.setenv(crash.VARIABLE, "before:flags")
    crash.point("before:flags")  # this process lives on
