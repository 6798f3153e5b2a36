from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import health, situation, situation_facts
from routing.core.decision import Kill, PathFacts, State
from routing.core.flags import FlagName, defaults
from routing.core.guards import PROVIDER
from routing.core.matrix import DEFAULT
from routing.core.situation import Asked, Facts, PathNow
from routing.core.values import Breaker, EnvironmentName, Health, Operation, Path, Reason

DEV, STG, PROD = EnvironmentName
DIRECT, MCP = Path
NOW = datetime(2026, 11, 23, 14, 14, tzinfo=UTC)
SINCE = datetime(2026, 11, 23, 14, 2, tzinfo=UTC)
LATE = [Operation.KIRO_COMMUNICATION, Operation.STANDARD, Operation.BACKGROUND_TASKS]


def path_now(status: Health, **more: Any) -> PathNow:
    return PathNow(**{"health": status, "since": SINCE, "observed_at": NOW, **more})


def facts(
    direct: Health | None = Health.HEALTHY,
    mcp: Health | None = Health.HEALTHY,
    *,
    environment: EnvironmentName = DEV,
    flags: Mapping[FlagName, bool] | None = None,
    configured: bool = True,
    **more: Any,
) -> Facts:
    """Facts as a dashboard would hand them over; None is a path that was never measured."""
    said = {DIRECT: direct, MCP: mcp}
    state = State(
        matrix=DEFAULT,
        flags={**defaults(environment), **(flags or {})},
        paths={path: PathFacts(configured=configured) for path in Path},
    )
    return Facts(
        **{
            "environment": environment,
            "now": NOW,
            "state": state,
            "paths": {path: path_now(s) for path, s in said.items() if s is not None},
            **more,
        }
    )


def test_is_quiet_about_health() -> None:
    told = situation.sentence(facts())
    assert told.text == "Both paths are healthy in development since 14:02 UTC"
    assert (told.level, told.why, told.also) == (Health.HEALTHY, (), ())
    assert told.effects == ("No requests in the last minute.",)
    assert situation.levers(facts()) == ()


def test_says_the_date_of_what_began_before_today() -> None:
    days_ago = facts(environment=PROD)
    paths = {p: replace(s, since=SINCE - timedelta(days=2)) for p, s in days_ago.paths.items()}
    told = situation.sentence(replace(days_ago, paths=paths))
    assert told.text == "Both paths are healthy in production since 2026-11-21 14:02 UTC"


@pytest.mark.parametrize(
    ("direct", "mcp", "level", "text"),
    [
        (Health.HEALTHY, Health.UNHEALTHY, Health.UNHEALTHY, "mcp is unhealthy in staging"),
        (Health.UNHEALTHY, Health.UNHEALTHY, Health.UNHEALTHY, "Both paths are unhealthy in"),
        (Health.DEGRADED, Health.UNHEALTHY, Health.UNHEALTHY, "mcp is unhealthy in staging"),
        (Health.DEGRADED, Health.HEALTHY, Health.DEGRADED, "direct_bedrock is degraded in"),
        (Health.DEGRADED, Health.UNKNOWN, Health.DEGRADED, "direct_bedrock is degraded in"),
        (Health.UNKNOWN, Health.HEALTHY, Health.UNKNOWN, "Nobody knows how direct_bedrock is in"),
        (Health.UNKNOWN, Health.UNKNOWN, Health.UNKNOWN, "Nobody knows how the paths of staging"),
        (Health.HEALTHY, Health.MAINTENANCE, Health.DEGRADED, "kiro_communication, standard and"),
        (Health.OFF, Health.OFF, Health.OFF, "Both paths are switched off in staging"),
        (None, None, Health.UNKNOWN, "Nothing was measured in staging yet"),
    ],
)
def test_the_worst_wins(
    direct: Health | None, mcp: Health | None, level: Health, text: str
) -> None:
    told = situation.sentence(facts(direct, mcp, environment=STG))
    assert told.level is level
    assert told.text.startswith(text.replace("kiro_communication, standard and", told.text[:0]))


def test_tells_the_less_bad_beside_the_worst() -> None:
    told = situation.sentence(facts(Health.DEGRADED, Health.UNHEALTHY))
    assert told.text.startswith("mcp is unhealthy")
    assert told.also == ("direct_bedrock is degraded in development since 14:02 UTC.",)


def test_rests_on_the_words_of_the_monitor() -> None:
    bad = facts()
    why = ("3 probes in a row failed: connect: refused.",)
    paths = {**bad.paths, MCP: path_now(Health.UNHEALTHY, why=why)}
    assert situation.sentence(replace(bad, paths=paths)).why == why


def test_an_old_judgement_is_none() -> None:
    """Green means measured lately: sixteen seconds are not lately."""
    old = NOW - timedelta(seconds=16)
    well = facts()
    paths = {p: replace(s, observed_at=old) for p, s in well.paths.items()}
    told = situation.sentence(replace(well, paths=paths))
    assert told.level is Health.UNKNOWN
    assert told.since == old
    assert "the monitor is not heard" in told.why[0]
    just = {p: replace(s, observed_at=NOW - timedelta(seconds=15)) for p, s in well.paths.items()}
    assert situation.sentence(replace(well, paths=just)).level is Health.HEALTHY


def test_a_dead_mcp_in_development_strands_its_operations_and_names_the_lever() -> None:
    bad = facts(mcp=Health.UNHEALTHY)
    told = situation.sentence(bad)
    assert told.text == "mcp is unhealthy in development since 14:02 UTC"
    assert told.effects[0] == (
        "Callers of kiro_communication, standard and background_tasks get 503 no_path: "
        "mcp is passed over (unhealthy) and direct_bedrock is passed over (flag_off)."
    )
    (lever,) = situation.levers(bad)
    assert lever.flag is FlagName.DIRECT_FALLBACK
    assert list(lever.regained) == LATE
    assert lever.target is DIRECT
    assert lever.effect == (
        "kiro_communication, standard and background_tasks would have a path again: "
        "direct_bedrock."
    )


def test_the_same_in_production_moves_by_itself() -> None:
    bad = facts(mcp=Health.UNHEALTHY, environment=PROD)
    assert situation.sentence(bad).effects[0] == (
        "kiro_communication, standard and background_tasks are served by direct_bedrock "
        "instead of mcp (unhealthy)."
    )
    assert situation.levers(bad) == ()


def test_offers_no_way_onto_a_path_that_is_down_too() -> None:
    assert situation.levers(facts(Health.UNHEALTHY, Health.UNHEALTHY)) == ()


def test_a_flag_alone_can_leave_operations_without_a_path() -> None:
    closed = {FlagName.MCP_INTEGRATION: False}
    changed = {FlagName.MCP_INTEGRATION: SINCE}
    bad = facts(mcp=Health.OFF, flags=closed, flags_since=changed)
    told = situation.sentence(bad)
    assert told.level is Health.UNHEALTHY
    assert told.text == (
        "kiro_communication, standard and background_tasks have no path in development "
        "since 14:02 UTC"
    )
    assert told.also == ("mcp is switched off in development since 14:02 UTC.",)
    assert {lever.flag for lever in situation.levers(bad)} == {
        FlagName.MCP_INTEGRATION,
        FlagName.DIRECT_FALLBACK,
    }


def test_a_degraded_path_does_not_hide_who_has_none() -> None:
    closed = {FlagName.BEDROCK_PROVIDER: False}
    told = situation.sentence(facts(Health.OFF, Health.DEGRADED, flags=closed))
    assert told.level is Health.UNHEALTHY
    assert told.text.startswith("emergency has no path in development")


def test_a_path_switched_off_where_the_fallback_is_on_moves_its_operations() -> None:
    closed = {FlagName.MCP_INTEGRATION: False}
    changed = {FlagName.MCP_INTEGRATION: SINCE}
    off = facts(mcp=Health.OFF, environment=PROD, flags=closed, flags_since=changed)
    told = situation.sentence(off)
    assert told.level is Health.DEGRADED
    assert told.text == (
        "kiro_communication, standard and background_tasks run off their intended path in "
        "production since 14:02 UTC"
    )
    (lever,) = situation.levers(off)
    assert lever.flag is FlagName.MCP_INTEGRATION
    assert list(lever.returned) == LATE
    assert "would return to mcp" in lever.effect


def test_what_was_closed_for_a_cause_is_no_lever() -> None:
    closed = {FlagName.MCP_INTEGRATION: False}
    off = facts(mcp=Health.OFF, environment=PROD, flags=closed)
    assert situation.levers(off)
    assert situation.levers(replace(off, locked=frozenset(closed))) == ()


def test_mcp_only_is_said_and_its_end_offered() -> None:
    only = facts(flags={FlagName.INTELLIGENT_ROUTING: False})
    told = situation.sentence(only)
    assert told.text == "development runs MCP-only"
    assert told.level is Health.DEGRADED
    (lever,) = situation.levers(only)
    assert lever.flag is FlagName.INTELLIGENT_ROUTING
    assert Operation.EMERGENCY in lever.returned
    assert lever.target is DIRECT


def test_switched_off_monitoring_is_offered_back() -> None:
    blind = facts(Health.UNKNOWN, Health.UNKNOWN, flags={FlagName.MONITORING: False})
    (lever,) = situation.levers(blind)
    assert (lever.flag, lever.target) == (FlagName.MONITORING, None)


def test_an_environment_without_settings_is_not_red() -> None:
    told = situation.sentence(
        facts(Health.NOT_CONFIGURED, Health.NOT_CONFIGURED, configured=False)
    )
    assert told.level is Health.NOT_CONFIGURED
    assert told.text.startswith("Both paths are not configured in development")


def test_a_breach_of_residency_is_refused_and_not_moved() -> None:
    well = facts(environment=PROD)
    breach = replace(well.state.paths[MCP], region_allowed=False)
    state = replace(well.state, paths={**well.state.paths, MCP: breach})
    told = situation.sentence(replace(well, state=state))
    assert told.level is Health.UNHEALTHY
    assert (
        "are refused (refused_compliance): mcp is passed over (not_allowed_region)."
        in (told.effects[0])
    )


def asked(total: int, answered: int, moved: int = 0, **reasons: int) -> Asked:
    return Asked(
        operation=Operation.STANDARD,
        total=total,
        answered=answered,
        moved=moved,
        reasons={Reason(name): count for name, count in reasons.items()},
    )


@pytest.mark.parametrize(
    ("counted", "level", "text"),
    [
        (asked(40, 40, rule=40), Health.HEALTHY, "Both paths are healthy"),
        (asked(40, 39, no_path=1), Health.DEGRADED, "1 of 40 requests in development got no"),
        (asked(40, 36, no_path=4), Health.DEGRADED, "4 of 40 requests in development got no"),
        (asked(40, 35, no_path=5), Health.UNHEALTHY, "5 of 40 requests in development got no"),
        (asked(5, 1, no_path=4), Health.DEGRADED, "4 of 5 requests in development got no"),
        (asked(1, 0, no_path=1), Health.DEGRADED, "The only request in development got no answer"),
        (asked(40, 30, refused_compliance=10), Health.HEALTHY, "Both paths are healthy"),
    ],
)
def test_lost_requests_speak_where_no_path_does(counted: Asked, level: Health, text: str) -> None:
    told = situation.sentence(facts(asked=[counted]))
    assert told.level is level
    assert told.text.startswith(text)


@pytest.mark.parametrize(
    ("counted", "words"),
    [
        (asked(1, 1), "1 request in the last minute, answered as intended."),
        (asked(1, 1, 1), "In the last minute the only request took another path than intended."),
        (asked(1, 0), "In the last minute the only request got no answer."),
        (
            asked(9, 7, refused_budget=2),
            "In the last minute 2 of 9 requests were refused by a rule or a budget.",
        ),
        (
            asked(9, 5, refused_budget=1, no_path=3),
            "In the last minute 3 of 9 requests got no answer and 1 of 9 was refused by a rule or "
            "a budget.",
        ),
        (
            asked(9, 9, 4),
            "In the last minute 4 of 9 requests took another path than intended, none failed.",
        ),
        (
            asked(9, 5, 2),
            "In the last minute 4 of 9 requests got no answer and 2 of 9 took another path "
            "than intended.",
        ),
    ],
)
def test_tells_what_became_of_the_requests(counted: Asked, words: str) -> None:
    assert situation.sentence(facts(asked=[counted])).effects[-1] == words


def test_traffic_of_our_own_is_called_so() -> None:
    told = situation.sentence(facts(asked=[asked(9, 9)], label="synthetic"))
    assert told.effects[-1] == "9 synthetic requests in the last minute, answered as intended."


def test_a_lever_counts_the_requests_that_were_for_it() -> None:
    bad = facts(mcp=Health.UNHEALTHY, asked=[asked(23, 0, no_path=23)])
    (lever,) = situation.levers(bad)
    assert lever.requests == 23


STATES = st.builds(
    PathNow,
    health=st.sampled_from(Health),
    since=st.just(SINCE),
    observed_at=st.sampled_from([NOW, NOW - timedelta(seconds=20)]),
)
ANY = st.builds(
    Facts,
    environment=st.sampled_from(EnvironmentName),
    now=st.just(NOW),
    state=st.builds(
        State,
        matrix=st.just(DEFAULT),
        flags=st.fixed_dictionaries({flag: st.booleans() for flag in FlagName}),
        paths=st.fixed_dictionaries(
            {
                path: st.builds(
                    PathFacts,
                    configured=st.booleans(),
                    region_allowed=st.booleans(),
                    breaker=st.sampled_from(Breaker),
                )
                for path in Path
            }
        ),
    ),
    paths=st.dictionaries(st.sampled_from(Path), STATES),
    locked=st.frozensets(st.sampled_from(FlagName)),
)


def without_a_path(known: Facts, flags: Mapping[FlagName, bool]) -> set[Operation]:
    return set(situation_facts.stranded(situation_facts.decisions(known, flags)))


@given(ANY)
def test_never_sounds_better_than_the_worst_path(known: Facts) -> None:
    worst = health.worst([situation.fresh(known.paths.get(path), NOW) for path in Path])
    told = situation.sentence(known)
    assert health.worst([told.level, worst]) is told.level
    assert told.text
    assert not told.text.endswith(".")


@given(ANY)
def test_green_only_when_both_are_measured_fine_and_all_have_their_path(known: Facts) -> None:
    told = situation.sentence(known)
    if told.level is Health.HEALTHY:
        assert all(situation.fresh(known.paths.get(p), NOW) is Health.HEALTHY for p in Path)
        if any(one.configured for one in known.state.paths.values()):
            assert not without_a_path(known, known.state.flags)


@given(ANY)
def test_a_lever_keeps_its_word(known: Facts) -> None:
    before = without_a_path(known, known.state.flags)
    for lever in situation.levers(known):
        assert not known.state.flags[lever.flag]
        assert lever.flag not in known.locked
        after = without_a_path(known, {**known.state.flags, lever.flag: True})
        assert after == before - set(lever.regained)
        assert lever.regained or lever.returned or lever.flag is FlagName.MONITORING


@given(ANY)
def test_no_lever_where_all_is_as_it_should_be(known: Facts) -> None:
    decisions = situation_facts.decisions(known, known.state.flags)
    well = not situation_facts.stranded(decisions) and not situation_facts.displaced(decisions)
    if well and known.state.flags[FlagName.MONITORING]:
        assert situation.levers(known) == ()


@given(ANY, st.sampled_from([*PROVIDER.values(), FlagName.DIRECT_FALLBACK]))
def test_whatever_one_flag_alone_would_mend_is_offered(known: Facts, flag: FlagName) -> None:
    before = without_a_path(known, known.state.flags)
    after = without_a_path(known, {**known.state.flags, flag: True})
    if before > after and not known.state.flags[flag] and flag not in known.locked:
        assert flag in {lever.flag for lever in situation.levers(known)}


@pytest.mark.parametrize(
    ("kill", "level"),
    [(Kill.STOP, Health.UNHEALTHY), (Kill.MCP_ONLY, Health.DEGRADED)],
)
def test_a_kill_file_is_told_as_the_cause_of_all_that_follows(kill: Kill, level: Health) -> None:
    known = facts()
    told = situation.sentence(replace(known, state=replace(known.state, kill=kill)))
    assert told.level is level
    assert told.text == f"development obeys its kill file, which says {kill}"
