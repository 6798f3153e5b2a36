"""Asking for a deployment: who may, what joins, what is refused, and each refusal booked."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from django.db import IntegrityError, connection

from routing.core.errors import Broken, Forbidden, Invalid, NotFound, RuleBroken
from routing.core.flags import FlagName
from routing.core.lifecycle import Stage
from routing.core.rights import Actor
from routing.core.values import Action, ActorKind, Outcome, Role
from routing.deployments import ledger, release
from routing.deployments.ledger_models import Operation, Release
from routing.fleet.models import Environment
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def ground() -> None:
    bed.lay()


def person(role: Role) -> Actor:
    return Actor(
        kind=ActorKind.USER, id="u-1", name="grace", grants=dict.fromkeys((bed.DEV,), role)
    )


def refusals() -> list[Any]:
    return [e for e in bed.booked(Action.DEPLOYMENT_CREATE) if e.outcome == str(Outcome.REFUSED)]


def test_a_double_click_joins() -> None:
    first = bed.start()
    assert bed.start().id == first.id
    assert bed.start(key="another form").id == first.id
    assert Operation.objects.count() == 1
    assert len(bed.booked(Action.DEPLOYMENT_CREATE)) == 1


def test_a_form_sent_again_after_the_end_joins_too(tmp_path: Any) -> None:
    first = bed.start(key="form-1")
    assert bed.run(first, tmp_path, bed.plan()).is_over
    assert bed.start(key="form-1").id == first.id
    assert bed.start(key="form-2").id != first.id


def test_two_threads_at_once_get_one_operation() -> None:
    ids: list[str] = []
    barrier = threading.Barrier(4)

    def ask() -> None:
        barrier.wait()
        ids.append(bed.start().id)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 4 and len(set(ids)) == 1


def test_another_request_is_refused_and_names_the_one_under_way() -> None:
    first = bed.start()
    with pytest.raises(RuleBroken, match=first.id) as refused:
        bed.start(reason="something else")
    assert refused.value.facts["rule"] == "one_active_operation"
    assert len(refusals()) == 1
    assert bed.start(bed.STG).id != first.id  # another environment is free


def test_the_database_itself_keeps_to_one_active_operation() -> None:
    first = bed.start()
    kept = Operation.objects.get(pk=first.id)
    kept.pk, kept.request_key = "another", "another"
    with pytest.raises(IntegrityError):
        kept.save(force_insert=True)


def test_an_environment_without_paths_is_refused_with_the_repair() -> None:
    Environment.objects.filter(pk=str(bed.DEV)).update(bedrock_target="", mcp_target="")
    with pytest.raises(RuleBroken, match="Settings") as refused:
        bed.start()
    assert refused.value.facts["rule"] == "not_configured"
    assert len(refusals()) == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER])
def test_needs_the_right_to_deploy(role: Role) -> None:
    with pytest.raises(Forbidden):
        bed.start(by=person(role))
    assert len(refusals()) == 1


def test_an_operator_may_deploy_development_and_not_production() -> None:
    operator = person(Role.OPERATOR)
    assert bed.start(by=operator).by.id == "u-1"
    everywhere = replace(operator, grants=dict.fromkeys((bed.PROD,), Role.OPERATOR))
    with pytest.raises(Forbidden):
        bed.start(bed.PROD, by=everywhere)


def test_production_wants_its_name_typed_and_staging_a_reason() -> None:
    with pytest.raises(Invalid, match="Type"):
        bed.start(bed.PROD, typed_environment="")
    with pytest.raises(Invalid, match="reason"):
        bed.start(bed.STG, reason="")


def test_flags_are_restored_or_adopted_and_a_release_is_never_edited() -> None:
    with pytest.raises(Invalid):
        bed.start(restore_flags=True, adopt_flags=True)
    with pytest.raises(Invalid):
        bed.start(adopt_flags=True, digest="0" * 64)
    with pytest.raises(NotFound):
        bed.start(digest="0" * 64)


def test_a_cancelled_operation_ends_before_it_begins(tmp_path: Any) -> None:
    operation = bed.start()
    assert ledger.cancel(operation.id)
    done = bed.run(operation, tmp_path, bed.plan())
    assert done.stage is Stage.CANCELLED and done.is_over and not done.steps[0].attempts
    assert not ledger.cancel(operation.id)


def test_equal_content_is_one_release_and_a_flag_adopted_makes_another() -> None:
    built = [
        release.build(by=bed.BY, now=bed.now(), environment=e, code_version=bed.VERSION)
        for e in (bed.DEV, bed.STG, bed.DEV)
    ]
    assert len(set(built)) == 1
    bed.set_flag(FlagName.SUPPORT_MODE, True)
    adopted = release.build(
        by=bed.BY, now=bed.now(), environment=bed.DEV, code_version=bed.VERSION, adopt_flags=True
    )
    assert adopted != built[0]
    made = release.read(adopted)
    assert made.shares(bed.DEV)[FlagName.SUPPORT_MODE] == 100
    assert made.flags[bed.STG] == release.read(built[0]).flags[bed.STG]


def test_an_altered_release_is_found_out() -> None:
    digest = bed.start().release
    kept = Release.objects.get(pk=digest)
    kept.content = bytes(kept.content).replace(b'"budget_ms":5000', b'"budget_ms":6000')
    kept.save()
    with pytest.raises(Broken, match="altered"):
        release.read(digest)


def test_a_release_holds_settings_with_fractions_inside() -> None:
    """Canonical JSON knows no fractions; what an operation is to be asked with has some."""
    row = Environment.objects.get(name=bed.DEV)
    row.thresholds = {"bedrock.operations": {"standard": {"temperature": 0.25, "whole": True}}}
    row.save()
    digest = release.build(by=bed.BY, now=bed.now(), environment=bed.DEV, code_version=bed.VERSION)
    content = release.read(digest)
    assert content.thresholds == {
        "bedrock.operations": {"standard": {"temperature": "0.25", "whole": True}}
    }
    assert release.differences(content, bed.DEV, bed.VERSION) == []
