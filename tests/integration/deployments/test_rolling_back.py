"""Asking for a rollback, running it on the engine, and being killed in the middle of it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.audit import verify
from routing.core import rollback as plans
from routing.core.errors import Forbidden, Invalid, RuleBroken, Stale, Unavailable
from routing.core.flags import FlagName
from routing.core.health import Judged
from routing.core.lifecycle import Stage
from routing.core.rights import Actor
from routing.core.rollback import Target
from routing.core.values import (
    Action,
    ActorKind,
    Breaker,
    EnvironmentName,
    Health,
    Outcome,
    Path,
    Role,
)
from routing.deployments import ledger, reverting, rollback
from routing.deployments.engine import Done, Plan, Run
from routing.deployments.ledger import OperationRow
from routing.flags import store
from routing.fleet import leases
from routing.health import store as health
from routing.health.models import PathHealth
from routing.health.store import Measured
from routing.health.traffic import Window
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)

MCP_ONLY, DIRECT_ONLY = Target
SET = plans.FLAGS[MCP_ONLY]


def measured(
    path: Path, status: Health, environment: EnvironmentName = bed.DEV, *, ok: bool = True
) -> Measured:
    now_us = int(bed.now().timestamp() * 1_000_000)
    return Measured(
        environment=environment,
        path=path,
        target=f"local:{path}",
        judged=Judged(status=status, score=None, why=("as the test says.",)),
        breaker=Breaker.CLOSED,
        stages=[{"name": "connect", "ok": ok, "ms": 1.0, "detail": "" if ok else "refused"}],
        figures=Window().figures(environment, path, now_us),
        probe_ok=ok,
        observed_us=now_us,
    )


def judge(
    environment: EnvironmentName = bed.DEV,
    mcp: Health = Health.HEALTHY,
    direct: Health = Health.HEALTHY,
) -> None:
    """Store judgements as a monitor does."""
    name = f"monitor:{environment}"
    lease = leases.take(name, "tests", now=bed.now(), seconds=15)
    assert lease is not None
    rows = [
        measured(Path.MCP, mcp, environment, ok=mcp is Health.HEALTHY),
        measured(Path.DIRECT_BEDROCK, direct, environment, ok=direct is Health.HEALTHY),
    ]
    health.save(rows, bed.now(), fence=(lease.name, lease.fence))
    leases.release(lease)


@pytest.fixture(autouse=True)
def ground() -> None:
    bed.lay()
    judge()


def digest(target: Target = MCP_ONLY, environment: EnvironmentName = bed.DEV) -> str:
    return rollback.make_plan(now=bed.now(), environment=environment, target=target).digest


def start(
    target: Target = MCP_ONLY, environment: EnvironmentName = bed.DEV, **more: Any
) -> OperationRow:
    facts: dict[str, Any] = {
        "by": bed.BY,
        "now": bed.now(),
        "reason": "mcp is the way",
        "digest": more.pop("digest", None) or digest(target, environment),
        "typed_environment": str(environment),
    }
    return rollback.start(environment=environment, target=target, **(facts | more))


def plan(**told: Callable[[Run], Done]) -> Plan:
    """Return the plan of a rollback without a server: what is asked there is told here."""
    facts: dict[str, Callable[[Run], Done]] = {
        "preflight": lambda run: Done(result={"proof": ["told"], "at": run.now().isoformat()}),
        "processes": lambda run: Done(
            result={"version": 2, "processes": [], "at": run.now().isoformat()}
        ),
        "effective_path": lambda run: Done(result={"as_planned": 21, "of": 21}),
        "smoke": lambda run: Done(result={"tests": [], "unproven": []}),
        "error_rate": lambda run: Done(result={}),
    }
    facts |= told
    return tuple(replace(s, do=facts.get(s.name, s.do)) for s in reverting.PLAN)


def states() -> dict[FlagName, tuple[int, int]]:
    return {flag: (s.share, s.version) for flag, s in store.read(bed.DEV).items()}


def person(role: Role, environment: EnvironmentName = bed.DEV) -> Actor:
    return Actor(kind=ActorKind.USER, id="u-1", name="grace", grants={environment: role})


def refusals() -> list[Any]:
    return [e for e in bed.booked(Action.ROLLBACK_REFUSED) if e.outcome == str(Outcome.REFUSED)]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.OPERATOR])
def test_only_an_admin_rolls_back(role: Role) -> None:
    with pytest.raises(Forbidden):
        start(by=person(role))
    assert len(refusals()) == 1
    assert start(by=person(Role.ADMIN)).by.id == "u-1"


def test_production_wants_its_name_typed_and_staging_a_reason() -> None:
    judge(bed.PROD)
    judge(bed.STG)
    with pytest.raises(Invalid, match="Type"):
        start(environment=bed.PROD, typed_environment="prod")
    with pytest.raises(Invalid, match="reason"):
        start(environment=bed.STG, reason="")
    with pytest.raises(Invalid, match="level 1"):
        start(level=2)
    assert start(environment=bed.PROD).environment is bed.PROD


def test_another_digest_is_stale_and_carries_the_fresh_plan() -> None:
    read = digest()
    bed.set_flag(FlagName.DIRECT_FALLBACK, True)
    with pytest.raises(Stale) as refused:
        start(digest=read)
    assert refused.value.facts["current"]["digest"] == digest()
    assert len(refusals()) == 1 and ledger.active(bed.DEV) is None
    with pytest.raises(Stale):
        start(digest="0" * 64)


def test_a_red_target_is_refused_with_the_alternative_before_anything_is_written() -> None:
    judge(mcp=Health.UNHEALTHY)
    before = states()
    with pytest.raises(RuleBroken, match="mcp is unhealthy") as refused:
        start()
    assert refused.value.facts["rule"] == "target_red"
    assert refused.value.facts["alternatives"][0].startswith("direct-only")
    judge(mcp=Health.UNHEALTHY, direct=Health.UNHEALTHY)
    with pytest.raises(RuleBroken, match="containment"):
        start(DIRECT_ONLY)
    assert states() == before and len(refusals()) == 2


def test_a_stale_judgement_proves_nothing() -> None:
    PathHealth.objects.update(observed_at=bed.now().replace(year=2025))
    with pytest.raises(RuleBroken, match="stale") as refused:
        start()
    assert refused.value.facts["rule"] == "target_stale"


def test_direct_only_needs_the_provider_flag() -> None:
    bed.set_flag(FlagName.BEDROCK_PROVIDER, False)
    with pytest.raises(RuleBroken, match="already") as refused:
        start(DIRECT_ONLY)
    assert refused.value.facts["rule"] == "provider_off"


def test_a_double_click_joins_even_after_the_flags_are_written(tmp_path: Folder) -> None:
    read = digest()
    first = start(digest=read)
    assert start(digest=read).id == first.id
    keyed = start(digest=read, key="form-1")
    assert keyed.id == first.id

    def stop(run: Run) -> Done:
        assert start(digest=read).id == first.id
        return Done(result={"tests": [], "unproven": []})

    assert bed.run(first, tmp_path, plan(smoke=stop)).is_over
    assert len(bed.booked(Action.ROLLBACK_PLAN)) == 1


def test_writes_the_plan_as_one_set_and_ends_verified(tmp_path: Folder) -> None:
    bed.set_flag(FlagName.SUPPORT_MODE, True)
    changes = len(bed.booked(Action.FLAG_CHANGE))
    judge()
    done = bed.run(start(), tmp_path, plan())
    told = rollback.told(done)
    assert told["ok"] and told["end"] == "verified", told
    assert done.stage is Stage.ROLLED_BACK and done.is_over
    assert {flag: share for flag, (share, _) in states().items() if flag in SET} == {
        flag: 100 if on else 0 for flag, on in SET.items()
    }
    assert len(bed.booked(Action.FLAG_CHANGE)) == changes + 1
    steps = [str(e.facts["step"]) for e in bed.booked(Action.ROLLBACK_STEP, done.id)]  # type: ignore[call-overload,index]
    assert sorted(steps) == sorted(step.name for step in done.steps)
    (end,) = bed.booked(Action.ROLLBACK_END, done.id)
    assert end.outcome == str(Outcome.DONE)
    assert not bed.booked(Action.DEPLOYMENT_STEP, done.id)
    assert told["timings"]["decide_to_verified_ms"] >= told["timings"]["decide_to_written_ms"] >= 0
    assert verify.verify().ok


def test_in_production_it_waits_for_no_second_person_and_says_so(tmp_path: Folder) -> None:
    judge(bed.PROD)
    operation = start(DIRECT_ONLY, bed.PROD)
    assert rollback.told(bed.run(operation, tmp_path, plan()))["end"] == "verified"
    assert bed.share(FlagName.MCP_INTEGRATION, bed.PROD) == 0
    (entry,) = [e for e in bed.booked(Action.FLAG_CHANGE) if e.environment == str(bed.PROD)]
    assert "rollback" in str(entry.facts)
    with pytest.raises(RuleBroken, match="needs a second person"):
        bed.set_flag(FlagName.MCP_INTEGRATION, True, bed.PROD)


def test_repeating_it_has_no_new_effects(tmp_path: Folder) -> None:
    assert rollback.told(bed.run(start(), tmp_path, plan()))["end"] == "verified"
    before, changes = states(), len(bed.booked(Action.FLAG_CHANGE))
    again = bed.run(start(), tmp_path, plan())
    assert rollback.told(again)["end"] == "verified"
    assert states() == before and len(bed.booked(Action.FLAG_CHANGE)) == changes


@pytest.mark.parametrize(
    ("name", "result", "failed", "end"),
    [
        ("smoke", {"tests": [], "unproven": ["MCPRouter.mcp_connection"]}, False, "unverified"),
        ("processes", {"version": 2, "laggards": ["web-2"]}, True, "unverified"),
        ("effective_path", {"as_planned": 20, "of": 21}, True, "needs_human"),
        ("smoke", {"tests": [], "unproven": []}, True, "needs_human"),
        ("error_rate", {}, True, "needs_human"),
    ],
)
def test_what_was_not_verified_is_not_done(
    tmp_path: Folder, name: str, result: dict[str, Any], failed: bool, end: str
) -> None:
    def told(run: Run) -> Done:
        return Done(result=result | {"at": run.now().isoformat()}, failed=failed)

    done = rollback.told(bed.run(start(), tmp_path, plan(**{name: told})))
    assert (done["ok"], done["end"]) == (False, end)
    assert done["reasons"]
    (entry,) = bed.booked(Action.ROLLBACK_END)
    assert entry.outcome == str(Outcome.FAILED)


def test_a_preflight_that_fails_ends_it_before_the_first_write(tmp_path: Folder) -> None:
    """Stored as healthy still, red by the fresh probe: the plan passed, the preflight does not."""
    before, operation = states(), start()
    red = measured(Path.MCP, Health.UNHEALTHY, ok=False)
    real = tuple(replace(s, do=reverting.preflight_step) if s.name == "preflight" else s
                 for s in plan())  # fmt: skip
    done = bed.run(operation, tmp_path, real, look=lambda environment, path: red)
    assert done.is_over and done.stage is Stage.CANCELLED
    told = rollback.told(done)
    assert not told["ok"] and told["end"] is None
    assert "refused" in told["refused"] and "Nothing was written" in told["refused"]
    assert told["alternatives"][0].startswith("direct-only")
    assert states() == before and len(refusals()) == 1
    assert ledger.active(bed.DEV) is None


def test_a_preflight_that_breaks_proves_nothing_and_nothing_is_written(tmp_path: Folder) -> None:
    def breaks(run: Run) -> Done:
        raise Unavailable("the door is shut")

    before = states()
    done = bed.run(start(), tmp_path, plan(preflight=breaks))
    assert done.stage is Stage.CANCELLED and states() == before
    assert "the door is shut" in rollback.told(done)["refused"]


def test_a_proof_that_grew_old_over_a_restart_is_made_anew(tmp_path: Folder) -> None:
    def long_ago(run: Run) -> Done:
        at = run.now() - timedelta(seconds=16)
        return Done(result={"proof": ["told"], "at": at.isoformat()})

    before = states()
    red = measured(Path.MCP, Health.UNHEALTHY, ok=False)
    done = bed.run(start(), tmp_path, plan(preflight=long_ago), look=lambda *_: red)
    assert done.stage is Stage.CANCELLED and states() == before
    assert "fails a fresh probe" in rollback.told(done)["refused"]


def test_a_flag_changed_after_the_plan_ends_it_without_a_write(tmp_path: Folder) -> None:
    operation = start()
    bed.set_flag(FlagName.DIRECT_FALLBACK, True)
    before = states()
    done = bed.run(operation, tmp_path, plan())
    assert done.stage is Stage.CANCELLED and states() == before
    assert "Look again" in rollback.told(done)["refused"]


@pytest.mark.parametrize(
    "point", ["done:preflight", "inside:flags", "after:flags", "done:smoke", "inside:end"]
)
def test_killed_it_goes_on_and_does_nothing_twice(tmp_path: Folder, point: str) -> None:
    operation = start()
    assert bed.Runner(operation, tmp_path, plan(), point).wait() == signal.SIGKILL
    bed.expire()
    done = bed.run(operation, tmp_path, plan())
    assert rollback.told(done)["end"] == "verified"
    assert states()[FlagName.INTELLIGENT_ROUTING] == (0, 2)
    assert len(bed.booked(Action.FLAG_CHANGE)) == 1
    assert len(bed.booked(Action.ROLLBACK_END)) == 1
    assert verify.verify().ok
