"""The snapshot without a database: declared defaults, shares, what a request may not say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from routing.core import rollout
from routing.core.flags import FlagName, State, Subject, defaults
from routing.core.values import EnvironmentName
from routing.flags import snapshot
from routing.flags.models import Flag
from routing.flags.snapshot import EnvironmentFlags, Snapshot, Source

STG, PROD = EnvironmentName.STAGING, EnvironmentName.PRODUCTION
CACHING = FlagName.CACHING


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Snapshot]:
    """A snapshot with caching off in staging and on elsewhere."""
    environments = {name: snapshot.declared(name) for name in EnvironmentName}
    off = dict(environments[STG].states) | {CACHING: State(on=False, version=2)}
    environments[STG] = EnvironmentFlags(version=2, states=off)
    mine = Snapshot(environments=environments, source=Source.DATABASE)
    monkeypatch.setattr(snapshot, "_current", mine)
    yield mine


def test_before_the_first_load_the_declared_defaults_hold_and_say_so() -> None:
    fresh = Snapshot(
        environments={name: snapshot.declared(name) for name in EnvironmentName},
        source=Source.DEFAULTS,
    )
    assert fresh.source == "defaults"
    for name in EnvironmentName:
        assert fresh.evaluate(name) == defaults(name)
        assert fresh.environments[name].version == 0


def test_a_share_is_on_for_its_buckets_and_off_for_the_others(held: Snapshot) -> None:
    half = EnvironmentFlags(
        version=3,
        states=dict(held.environments[PROD].states) | {CACHING: State(on=True, percentage=50)},
    )
    mine = replace(held, environments=dict(held.environments) | {PROD: half})
    answers = {s: mine.is_on(CACHING, PROD, Subject(name=s)) for s in map(str, range(200))}
    assert set(answers.values()) == {True, False}
    assert all(on == (rollout.bucket(CACHING, s) < 50) for s, on in answers.items())


@pytest.mark.parametrize("state", [State(on=False, percentage=100), State(on=True, percentage=0)])
def test_off_is_off_for_everyone(held: Snapshot, state: State) -> None:
    states = dict(held.environments[PROD].states) | {CACHING: state}
    mine = replace(held, environments={PROD: EnvironmentFlags(version=4, states=states)})
    assert not any(mine.is_on(CACHING, PROD, Subject(name=s)) for s in map(str, range(200)))


def test_a_snapshot_cannot_be_edited(held: Snapshot) -> None:
    with pytest.raises(FrozenInstanceError):
        held.source = Source.DEFAULTS  # type: ignore[misc]


def test_waffle_answers_for_the_environment_of_the_request(held: Snapshot) -> None:
    request = RequestFactory().get("/")
    request.hybridops_environment = str(STG)  # type: ignore[attr-defined]
    assert snapshot.is_on_for_request(CACHING, request) is False
    request.hybridops_environment = str(PROD)  # type: ignore[attr-defined]
    assert snapshot.is_on_for_request(CACHING, request) is True


def test_without_a_say_the_environment_of_the_process_counts(
    held: Snapshot, settings: pytest.FixtureRequest
) -> None:
    settings.HYBRIDOPS_ENVIRONMENT = str(STG)  # type: ignore[attr-defined]
    assert snapshot.is_on_for_request(CACHING, HttpRequest()) is False
    settings.HYBRIDOPS_ENVIRONMENT = str(PROD)  # type: ignore[attr-defined]
    assert snapshot.is_on_for_request(CACHING, HttpRequest()) is True


@pytest.mark.parametrize(
    "name", ["", "ENABLE_EVERYTHING", "enable_intelligent_routing", "x" * 999]
)
def test_an_unknown_name_is_off(held: Snapshot, name: str) -> None:
    assert snapshot.is_on_for_request(name, HttpRequest()) is False


def test_an_unknown_environment_is_off(held: Snapshot) -> None:
    request = HttpRequest()
    request.hybridops_environment = "prod"  # type: ignore[attr-defined]
    assert snapshot.is_on_for_request(CACHING, request) is False


def test_asking_waffle_reads_no_table(held: Snapshot) -> None:
    # The database is shut in unit tests: a query would raise.
    assert Flag.get("ai.caching.enabled").is_active(RequestFactory().get("/")) is True
