"""Flags and matrix brought to the release by compare-and-set, and a failed run's writes undone."""

from __future__ import annotations

from pathlib import Path as Folder

import pytest

from dashboard.cards import operations
from routing.changes import change
from routing.core import approval
from routing.core.flags import FlagName, SetFlag
from routing.core.guards import Cause
from routing.core.lifecycle import Stage, StepState
from routing.core.values import Action, EnvironmentName, Outcome, TestStatus, Verdict
from routing.deployments import configure, deploy
from routing.deployments.ledger import OperationRow
from routing.deployments.models import Deployment, DeploymentFinding
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)

FLAG = FlagName.DIRECT_FALLBACK  # off in development, on in staging


@pytest.fixture(autouse=True)
def ground() -> None:
    bed.lay()


@pytest.fixture
def home(tmp_path: Folder) -> Folder:
    return tmp_path


def run(home: Folder, environment: EnvironmentName = bed.DEV, **more: object) -> OperationRow:
    status = more.pop("status", TestStatus.PASS)
    assert isinstance(status, TestStatus)
    operation = bed.start(environment, **more)
    done = bed.run(operation, home, bed.plan(status))
    if not done.is_over:  # it bakes
        later = done.wake_at
        assert later is not None
        done = bed.run(operation, home, bed.plan(status), clock=lambda: later)
    assert done.is_over
    return done


def step(done: OperationRow, name: str) -> StepState:
    return next(one.state for one in done.steps if one.name == name)


def test_the_first_deployment_takes_the_declared_flags_and_writes_nothing(home: Folder) -> None:
    done = run(home)
    assert done.result(configure.FLAGS)["applied"] == []
    assert done.result(configure.MATRIX)["published"] is False


def test_does_not_overwrite_what_somebody_changed_since(home: Folder) -> None:
    run(home)
    entry = bed.set_flag(FLAG, True)
    done = run(home)
    assert bed.share(FLAG) == 100
    assert step(done, configure.FLAGS) is StepState.FAILED
    assert f"entry {entry} " in done.result(configure.FLAGS)["conflicts"][str(FLAG)]
    again = run(home, reason="again")
    assert step(again, configure.FLAGS) is StepState.FAILED  # a failed run takes nothing for known


def test_does_not_overwrite_what_somebody_changed_before_the_first(home: Folder) -> None:
    bed.set_flag(FLAG, True)
    assert str(FLAG) in run(home).result(configure.FLAGS)["conflicts"]


def test_restores_flags_when_told_to_and_lists_them(home: Folder) -> None:
    run(home)
    entry = bed.set_flag(FLAG, True)
    done = run(home, restore_flags=True)
    assert bed.share(FLAG) == 0
    assert f"entry {entry} " in done.result(configure.FLAGS)["restored"][str(FLAG)]
    codes = {f.code: f.message for f in DeploymentFinding.objects.filter(deployment_id=done.id)}
    assert str(FLAG) in codes["flag_restored"]


def test_adopts_todays_flags_into_a_new_release_which_is_the_next_one_too(home: Folder) -> None:
    first = run(home)
    bed.set_flag(FLAG, True)
    adopted = run(home, adopt_flags=True)
    assert adopted.release != first.release
    assert run(home, reason="next").release == adopted.release
    assert bed.share(FLAG) == 100


def test_a_later_release_changes_the_flags_that_deployments_set(home: Folder) -> None:
    first = run(home)
    bed.set_flag(FLAG, True)
    run(home, adopt_flags=True)
    back = run(home, digest=first.release)
    assert step(back, configure.FLAGS) is StepState.DONE
    assert bed.share(FLAG) == 0


def test_two_clicks_on_the_same_flag_meet_the_version_and_not_each_other(home: Folder) -> None:
    """Somebody changes the flag between our look and our write: the write is refused."""
    run(home)
    bed.set_flag(FLAG, True)
    operation = bed.start(restore_flags=True)
    original = configure._look

    def looked_and_overtaken(hold: object, wanted: object) -> object:
        found = original(hold, wanted)  # type: ignore[arg-type]
        bed.set_flag(FLAG, False)
        bed.set_flag(FLAG, True)
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(configure, "_look", looked_and_overtaken)
        done = bed.run(operation, home, bed.plan())
    assert bed.share(FLAG) == 100
    assert step(done, configure.FLAGS) is StepState.FAILED
    assert done.verdict is Verdict.FAILED


@pytest.mark.parametrize("needed", [True, False])
def test_what_waits_for_a_second_person_is_refused_at_its_step_and_nothing_is_changed(
    home: Folder, *, needed: bool
) -> None:
    first = run(home, bed.PROD)
    guarded = FlagName.MCP_INTEGRATION if needed else FLAG
    other = FlagName.CACHING
    for flag, cause in ((guarded, Cause.SECURITY), (other, None)):
        change.apply(
            by=bed.BY, now=bed.now(), environment=bed.PROD, reason="somebody's change",
            sets=[SetFlag(flag=flag, on=False, base_version=1)], health=bed.HEALTHY,
            cause=cause if needed else None, confirmed=True, typed_environment=str(bed.PROD),
        )  # fmt: skip
    before = len(bed.booked(Action.FLAG_CHANGE))
    done = run(home, bed.PROD, digest=first.release, restore_flags=True, confirmed=True)
    shares = [bed.share(flag, bed.PROD) for flag in (guarded, other)]
    refused = [e for e in bed.booked(Action.FLAG_CHANGE) if e.outcome == Outcome.REFUSED]
    if not needed:  # as every other flag of the release
        assert (step(done, configure.FLAGS), shares) == (StepState.DONE, [100, 100])
        assert not refused
        return
    assert (step(done, configure.FLAGS), done.verdict) == (StepState.FAILED, Verdict.FAILED)
    assert shares == [0, 0]
    (entry,) = refused
    assert len(bed.booked(Action.FLAG_CHANGE)) == before + 1
    assert (entry.actor, entry.environment) == (bed.BY.id, str(bed.PROD))
    assert approval.REQUIRED in str(entry.facts)
    steps = [e for e in bed.booked(Action.DEPLOYMENT_STEP, done.id) if e.outcome != Outcome.DONE]
    assert configure.FLAGS in {e.facts["step"] for e in steps if isinstance(e.facts, dict)}
    assert "needs a second person" in str(deploy.told(done))
    assert done.result(configure.UNDO_FLAGS)["skipped"] == "This run changed no flag."


@pytest.mark.parametrize("environment", [bed.STG, bed.PROD])
def test_a_failed_run_undoes_its_own_writes_by_itself(
    home: Folder, environment: EnvironmentName
) -> None:
    first = run(home, environment)
    bed.set_flag(FLAG, False, environment)
    run(home, environment, adopt_flags=True)
    failed = run(home, environment, digest=first.release, status=TestStatus.FAIL)
    assert failed.verdict is Verdict.FAILED
    assert failed.result(configure.FLAGS)["applied"][0]["after"] == 100
    assert bed.share(FLAG, environment) == 0
    assert failed.result(configure.UNDO_FLAGS)["undone"] == [str(FLAG)]
    again = run(home, environment, digest=first.release, reason="once more")
    assert step(again, configure.FLAGS) is StepState.DONE  # our own undo is nobody's change
    assert bed.share(FLAG, environment) == 100


def test_the_undo_leaves_alone_what_somebody_changed_after_it(home: Folder) -> None:
    first = run(home, bed.STG)
    bed.set_flag(FLAG, False, bed.STG)
    run(home, bed.STG, adopt_flags=True)
    operation = bed.start(bed.STG, digest=first.release)
    baking = bed.run(operation, home, bed.plan(TestStatus.FAIL))
    assert baking.stage is Stage.BAKING and baking.wake_at is not None
    bed.set_flag(FLAG, False, bed.STG)
    bed.set_flag(FLAG, True, bed.STG)
    done = bed.run(
        operation,
        home,
        bed.plan(TestStatus.FAIL),
        clock=lambda: baking.wake_at,
    )
    assert bed.share(FLAG, bed.STG) == 100
    assert step(done, configure.UNDO_FLAGS) is StepState.FAILED
    assert done.is_over


def test_development_offers_the_undo_in_commands_that_can_be_pasted(home: Folder) -> None:
    first = run(home)
    bed.set_flag(FLAG, True)
    run(home, adopt_flags=True)
    failed = run(home, digest=first.release, status=TestStatus.FAIL)
    assert bed.share(FLAG) == 0
    (offered,) = [f for f in deploy.told(failed)["findings"] if f["code"] == "undo_offered"]
    assert f"manage.py set_flag --flag {FLAG} --on --percentage 100" in offered["message"]


def test_a_failed_run_tells_a_program_the_errors_that_its_document_lists(home: Folder) -> None:
    failed = run(home, status=TestStatus.FAIL)
    told = deploy.told(failed)
    assert told["errors"] == Deployment.objects.get(pk=failed.id).errors
    assert "MCPRouter.mcp_connection failed: expected mcp answers, got no answer" in told["errors"]


def test_a_step_that_had_nothing_to_do_is_skipped_and_booked_so(home: Folder) -> None:
    done = run(home)
    idle = {"bake", configure.UNDO_FLAGS, configure.UNDO_MATRIX}
    assert {s.name for s in done.steps if s.result.get("skipped")} == idle
    booked = [e.facts for e in bed.booked(Action.DEPLOYMENT_STEP, done.id)]
    told = {f["step"] for f in booked if isinstance(f, dict) and f.get("skipped")}
    assert told == idle
    card = operations.run_card(done, {})
    marks = {line.name: line.mark.word for line in card.steps}
    assert marks["Bake"] == marks["Undo of the flags"] == "skipped"
    assert marks["Verdict"] == "done"


def test_bakes_over_restarts_and_not_twice(home: Folder) -> None:
    operation = bed.start(bed.STG)
    first = bed.run(operation, home, bed.plan())
    assert first.stage is Stage.BAKING and first.wake_at is not None
    assert bed.run(operation, home, bed.plan()).wake_at == first.wake_at
    done = bed.run(operation, home, bed.plan(), clock=lambda: first.wake_at)
    assert done.verdict is Verdict.SUCCEEDED


def test_without_a_server_nothing_is_written_and_nothing_proven(home: Folder) -> None:
    from routing.deployments import pipeline

    run(home)
    bed.set_flag(FLAG, True)
    operation = bed.start(restore_flags=True)
    done = bed.run(operation, home, pipeline.PLAN, process="")
    assert done.verdict is Verdict.INCONCLUSIVE and done.is_over
    assert bed.share(FLAG) == 100
    tests = deploy.told(done)["tests"]
    assert len(tests) == 18
    assert {(t["status"], t["evidence"]) for t in tests} == {("skip", "unproven")}
    kept = Deployment.objects.get(pk=done.id)
    assert kept.verdict == "inconclusive" and kept.stage == "closed"
    run(home, restore_flags=True, reason="with one")
    assert bed.share(FLAG) == 0


def test_a_release_of_other_code_fails_and_says_what_to_do(home: Folder) -> None:
    first = run(home)
    from routing.deployments import release

    said = release.differences(release.read(first.release), bed.DEV, "2.0")
    assert said and "start that version" in said[0]
    assert release.differences(release.read(first.release), bed.DEV, bed.VERSION) == []
