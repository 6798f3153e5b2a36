"""Plans of a rollback: set, never toggled; digested whole; refused with reasons and ways out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.core import matrix, rollback
from routing.core.flags import FlagName
from routing.core.rollback import FLAGS, PATH, Plan, Seen, Setting, Target
from routing.core.values import EnvironmentName, Health, Path

DEV, STG, PROD = EnvironmentName
WELL = Seen(status=Health.HEALTHY, age_ms=1_200, probe_ok=True)
BOTH = dict.fromkeys(Path, WELL)
ON = {flag: Setting(share=100, version=3) for flag in FlagName}

settings_of = st.fixed_dictionaries(
    {
        flag: st.builds(
            Setting, share=st.sampled_from([0, 1, 50, 99, 100]), version=st.integers(1, 99)
        )
        for flag in FlagName
    }
)
seen = st.builds(
    Seen,
    status=st.sampled_from(Health),
    age_ms=st.integers(0, 60_000),
    why=st.lists(st.text("abc ", max_size=9), max_size=2).map(tuple),
    probe_ok=st.sampled_from([None, True, False]),
)
health_of = st.dictionaries(st.sampled_from(Path), seen)


def plan(target: Target = Target.MCP_ONLY, **more: Any) -> Plan:
    facts: dict[str, Any] = {
        "environment": DEV,
        "flags": ON,
        "health": BOTH,
        "matrix": matrix.DEFAULT,
    }
    return rollback.plan(target=target, **(facts | more))


def test_the_targets_are_the_documented_ones() -> None:
    assert {str(f): on for f, on in FLAGS[Target.MCP_ONLY].items()} == {
        "ENABLE_INTELLIGENT_ROUTING": False,
        "ENABLE_DIRECT_BEDROCK_FALLBACK": False,
        "ENABLE_BEDROCK_SUPPORT_MODE": False,
        "ENABLE_MCP_INTEGRATION": True,
        "ai.monitoring.enabled": True,
    }
    assert {str(f): on for f, on in FLAGS[Target.DIRECT_ONLY].items()} == {
        "ENABLE_INTELLIGENT_ROUTING": True,
        "ENABLE_MCP_INTEGRATION": False,
        "ENABLE_DIRECT_BEDROCK_FALLBACK": True,
        "ENABLE_BEDROCK_SUPPORT_MODE": False,
        "ai.monitoring.enabled": True,
    }


@given(st.sampled_from(Target), st.sampled_from(EnvironmentName), settings_of, health_of)
@settings(max_examples=200)
def test_sets_each_flag_to_a_value_and_never_toggles(
    target: Target, environment: EnvironmentName, flags: Any, health: Any
) -> None:
    made = plan(target, environment=environment, flags=flags, health=health)
    sets = [step for step in made.steps if step.flag is not None]
    assert {step.flag: step.on for step in sets} == FLAGS[target]
    for step in made.steps:
        assert "toggle" not in " ".join(map(str, rollback.as_json(step).values())).lower()
        assert step.precondition and step.post_check and step.limit_s > 0
    for step in sets:
        assert step.does == f"Set {step.flag} to {'on' if step.on else 'off'}"
        assert step.flag is not None and step.version == flags[step.flag].version
        # A flag on for a share of people is not yet what the plan says.
        assert step.changes == (flags[step.flag].share != (100 if step.on else 0))


@given(st.sampled_from(Target), settings_of, health_of)
@settings(max_examples=200)
def test_offers_only_a_target_that_was_measured_lately_and_is_not_red(
    target: Target, flags: Any, health: Any
) -> None:
    made = plan(target, flags=flags, health=health)
    if made.refusal is not None:
        assert made.refusal.rule and made.refusal.why
        assert "Nothing was written" in rollback.in_words(made.refusal)
        return
    known = health[PATH[target]]
    assert known.age_ms <= 15_000
    assert known.status in {Health.HEALTHY, Health.DEGRADED, Health.OFF}


@given(settings_of, settings_of)
@settings(max_examples=100)
def test_equal_facts_have_one_digest_and_others_another(one: Any, other: Any) -> None:
    relevant = [*FLAGS[Target.MCP_ONLY]]
    same = all(one[flag] == other[flag] for flag in relevant)
    first, second = plan(flags=one), plan(flags=other)
    if same:
        assert (first.digest == second.digest) == (first.effects == second.effects)
    else:
        assert first.digest != second.digest
    assert first.digest == plan(flags=one).digest


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "x"},
        {"does": "x"},
        {"before": "x"},
        {"after": "x"},
        {"precondition": "x"},
        {"post_check": "x"},
        {"limit_s": 999},
        {"flag": None},
        {"on": None},
        {"version": 999},
    ],
)
@pytest.mark.parametrize("at", range(3))
def test_the_digest_changes_with_any_content(changed: dict[str, Any], at: int) -> None:
    made = plan()
    step = made.steps[at]
    if "on" in changed:
        changed = {"on": not step.on}
    if "flag" in changed:
        changed = {"flag": FlagName.CACHING}
    steps = [*made.steps]
    steps[at] = replace(step, **changed)

    def digest(**more: Any) -> str:
        facts: dict[str, Any] = {
            "environment": DEV,
            "target": made.target,
            "steps": made.steps,
            "effects": made.effects,
        }
        return rollback.digest(**(facts | more))

    others = {
        digest(steps=steps),
        digest(steps=made.steps[::-1]),
        digest(effects=made.effects[1:]),
        digest(environment=PROD),
        digest(target=Target.DIRECT_ONLY),
    }
    assert digest() == made.digest
    assert len(others) == 5 and made.digest not in others


def test_health_alone_leaves_the_digest_so_that_a_probe_voids_no_plan() -> None:
    later = dict.fromkeys(Path, replace(WELL, age_ms=4_000))
    assert plan(health=later).digest == plan().digest


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        (None, "target_unproven"),
        (replace(WELL, age_ms=15_001), "target_stale"),
        (replace(WELL, status=Health.UNHEALTHY, why=("3 probes failed.",)), "target_red"),
        (replace(WELL, status=Health.MAINTENANCE), "target_red"),
        (replace(WELL, status=Health.NOT_CONFIGURED, probe_ok=None), "target_red"),
        (replace(WELL, status=Health.UNKNOWN), "target_unproven"),
        (replace(WELL, status=Health.OFF, probe_ok=False), "target_unproven"),
    ],
)
@pytest.mark.parametrize("target", Target)
def test_refuses_a_target_that_is_not_proven_and_names_the_other(
    target: Target, known: Seen | None, rule: str
) -> None:
    health = {path: WELL for path in Path if path is not PATH[target]}
    if known is not None:
        health[PATH[target]] = known
    refusal = plan(target, health=health).refusal
    assert refusal is not None and refusal.rule == rule
    assert str(PATH[target]) in refusal.why
    other = next(one for one in Target if one is not target)
    assert refusal.alternatives[0].startswith(rollback.NAMES[other])
    assert "healthy" in refusal.alternatives[0]


def test_says_so_when_no_target_is_healthy() -> None:
    red = dict.fromkeys(Path, replace(WELL, status=Health.UNHEALTHY))
    refusal = plan(health=red).refusal
    assert refusal is not None and refusal.alternatives == ()
    assert "containment" in rollback.in_words(refusal)


@pytest.mark.parametrize("share", [0, 50])
def test_direct_only_never_opens_a_provider_that_somebody_shut(share: int) -> None:
    flags = ON | {FlagName.BEDROCK_PROVIDER: Setting(share=share, version=9)}
    refusal = plan(Target.DIRECT_ONLY, flags=flags).refusal
    assert refusal is not None and refusal.rule == "provider_off"
    assert "ai.provider.bedrock.enabled" in refusal.why
    assert plan(Target.MCP_ONLY, flags=flags).refusal is None


def test_a_path_that_the_plan_itself_opens_needs_only_a_good_probe() -> None:
    health = BOTH | {Path.MCP: replace(WELL, status=Health.OFF)}
    flags = ON | {FlagName.MCP_INTEGRATION: Setting(share=0, version=2)}
    assert plan(Target.MCP_ONLY, flags=flags, health=health).refusal is None


def test_a_plan_that_changes_nothing_says_so_and_may_run() -> None:
    flags = ON | {
        flag: Setting(share=100 if on else 0, version=1)
        for flag, on in FLAGS[Target.MCP_ONLY].items()
    }
    made = plan(flags=flags)
    assert made.writes == () and made.refusal is None
