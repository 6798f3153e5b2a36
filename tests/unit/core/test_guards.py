"""Guards: against an oracle that routes every request one by one, and by name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import guards, matrix
from routing.core.decision import PathFacts, Request, State, decide
from routing.core.flags import FlagName, defaults
from routing.core.guards import Answer, Cause
from routing.core.values import EnvironmentName, Health, Operation, Path, Priority

DEV, STG, PROD = EnvironmentName
ROUTING, FALLBACK, MCP, SUPPORT, BEDROCK, CACHING, MONITORING = FlagName
UNKNOWN = dict.fromkeys(Path, Health.UNKNOWN)
PROVEN = dict.fromkeys(Path, Health.HEALTHY)
Flags = dict[FlagName, bool]


def combinations() -> Iterator[Flags]:
    for bits in itertools.product((False, True), repeat=len(FlagName)):
        yield dict(zip(FlagName, bits, strict=True))


FLAGS = st.fixed_dictionaries({flag: st.booleans() for flag in FlagName})
SHARES = st.fixed_dictionaries(
    {flag: st.sampled_from((0, 0, 30, 60, 100, 100)) for flag in FlagName}
)
CAUSES = st.sampled_from((None, *Cause))
HEALTH = st.fixed_dictionaries({path: st.sampled_from(Health) for path in Path})


def reached(operation: Operation, flags: Mapping[FlagName, bool]) -> tuple[Path, ...]:
    """Ask the router's own decision, all paths being up."""
    row = matrix.DEFAULT.row(operation)
    request = Request(operation=operation, priority=row.default_priority, now_us=0)
    up = {path: PathFacts(health=Health.HEALTHY) for path in Path}
    return decide(request, State(matrix=matrix.DEFAULT, flags=flags, paths=up)).eligible


# What the matrix of the product says, kept apart from the code: who starts where, who may move.
DIRECT_FIRST = {"infrastructure", "meta_monitor", "implementation"}
MCP_FIRST = {"kiro_communication", "standard", "background_tasks"}


def has_path(operation: str, on: Mapping[str, bool]) -> bool:
    direct, mcp = on["ai.provider.bedrock.enabled"], on["ENABLE_MCP_INTEGRATION"]
    if not on["ENABLE_INTELLIGENT_ROUTING"]:
        return mcp
    if operation == "emergency":
        return direct
    if operation in DIRECT_FIRST:
        return direct or mcp
    assert operation in MCP_FIRST
    return mcp or (direct and on["ENABLE_DIRECT_BEDROCK_FALLBACK"])


def oracle(
    environment: str, old: Mapping[FlagName, bool], new: Mapping[FlagName, bool], mcp: str
) -> tuple[str, frozenset[str]]:
    """Return the answer without a cause, and the operations that lose their path."""
    before = {str(flag): on for flag, on in old.items()}
    after = {str(flag): on for flag, on in new.items()}
    operations = {"emergency"} | DIRECT_FIRST | MCP_FIRST
    had = {o for o in operations if has_path(o, before)}
    has = {o for o in operations if has_path(o, after)}
    lost = frozenset(had - has)
    off = {name for name in before if before[name] and not after[name]}
    unproven = "ENABLE_INTELLIGENT_ROUTING" in off and mcp != "healthy"
    blind = "ai.monitoring.enabled" in off
    if (had and not has) or unproven or (blind and environment == "production"):
        return "refuse", lost
    return ("confirm" if lost or blind else "allow"), lost


def test_usable_paths_are_those_the_router_would_take_with_everything_up() -> None:
    for flags in combinations():
        for operation in Operation:
            assert guards.usable_paths(operation, flags, matrix.DEFAULT) == reached(
                operation, flags
            )


@pytest.mark.parametrize("environment", EnvironmentName)
@pytest.mark.parametrize("health", [UNKNOWN, PROVEN], ids=["unproven", "proven"])
def test_every_combination_from_the_defaults_agrees_with_the_oracle(
    environment: EnvironmentName, health: Mapping[Path, Health]
) -> None:
    before = defaults(environment)
    answers = set()
    for after in combinations():
        said = guards.judge(
            environment=environment,
            before=before,
            after=after,
            matrix=matrix.DEFAULT,
            health=health,
        )
        answer, lost = oracle(environment, before, after, health[Path.MCP])
        assert said.answer == answer, (after, said)
        answers.add(answer)
        if answer == "confirm":
            named = {e.split()[0] for e in said.effects if "no_path" in e}
            assert named == lost
    assert answers == {"allow", "confirm", "refuse"}  # the law was put to the test


@given(environment=st.sampled_from(EnvironmentName), before=FLAGS, after=FLAGS, health=HEALTH)
def test_any_change_agrees_with_the_oracle(
    environment: EnvironmentName, before: Flags, after: Flags, health: dict[Path, Health]
) -> None:
    said = guards.judge(
        environment=environment, before=before, after=after, matrix=matrix.DEFAULT, health=health
    )
    assert said.answer == oracle(environment, before, after, health[Path.MCP])[0]


@given(
    environment=st.sampled_from(EnvironmentName),
    before=FLAGS,
    flag=st.sampled_from((MCP, BEDROCK)),
    cause=st.sampled_from(Cause),
    health=HEALTH,
)
def test_a_path_switched_off_for_a_cause_is_never_refused(
    environment: EnvironmentName,
    before: Flags,
    flag: FlagName,
    cause: Cause,
    health: dict[Path, Health],
) -> None:
    said = guards.judge(
        environment=environment,
        before=before,
        after=before | {flag: False},
        matrix=matrix.DEFAULT,
        health=health,
        cause=cause,
    )
    assert said.answer is not Answer.REFUSE


@given(
    environment=st.sampled_from(EnvironmentName),
    before=FLAGS,
    after=FLAGS,
    health=HEALTH,
    cause=CAUSES,
)
def test_a_cause_carries_nothing_but_the_path_it_is_about(
    environment: EnvironmentName,
    before: Flags,
    after: Flags,
    health: dict[Path, Health],
    cause: Cause | None,
) -> None:
    said = guards.judge(
        environment=environment,
        before=before,
        after=after,
        matrix=matrix.DEFAULT,
        health=health,
        cause=cause,
    )
    paths_kept = after | {f: before[f] for f in (MCP, BEDROCK) if before[f]}
    smuggled, _ = oracle(environment, before, paths_kept, health[Path.MCP])
    if (
        smuggled == "refuse"
        and oracle(environment, before, after, health[Path.MCP])[0] == "refuse"
    ):
        assert said.answer is Answer.REFUSE


@given(environment=st.sampled_from(EnvironmentName), before=SHARES, after=SHARES, health=HEALTH)
def test_shares_are_judged_by_the_worst_that_any_subject_meets(
    environment: EnvironmentName,
    before: dict[FlagName, int],
    after: dict[FlagName, int],
    health: dict[Path, Health],
) -> None:
    said = guards.judge_shares(
        environment=environment, before=before, after=after, matrix=matrix.DEFAULT, health=health
    )
    meets = [sorted({(b < before[f], b < after[f]) for b in range(100)}) for f in FlagName]
    answers = {
        oracle(
            environment,
            dict(zip(FlagName, (had for had, _ in case), strict=True)),
            dict(zip(FlagName, (has for _, has in case), strict=True)),
            health[Path.MCP],
        )[0]
        for case in itertools.product(*meets)
    }
    worst = next(a for a in ("refuse", "confirm", "allow") if a in answers)
    assert said.answer == worst


def judged(environment: EnvironmentName, **options: object) -> guards.Judgement:
    changes = {FlagName[name]: on for name, on in options.items() if name in FlagName.__members__}
    before = defaults(environment)
    return guards.judge(
        environment=environment,
        before=before,
        after=before | changes,  # type: ignore[arg-type]
        matrix=matrix.DEFAULT,
        health=options.get("health", UNKNOWN),  # type: ignore[arg-type]
        cause=options.get("cause"),  # type: ignore[arg-type]
    )


def test_both_paths_off_is_refused_by_name() -> None:
    said = judged(STG, MCP_INTEGRATION=False, BEDROCK_PROVIDER=False)
    assert (said.answer, said.rule) == (Answer.REFUSE, "no_path_left")
    assert len(said.effects) == len(Operation)


def test_mcp_only_is_refused_until_mcp_was_measured_healthy() -> None:
    said = judged(PROD, INTELLIGENT_ROUTING=False)
    assert (said.answer, said.rule) == (Answer.REFUSE, "mcp_only_unproven")
    assert "unknown" in said.sentence
    degraded = UNKNOWN | {Path.MCP: Health.DEGRADED}
    assert judged(PROD, INTELLIGENT_ROUTING=False, health=degraded).answer is Answer.REFUSE
    assert judged(PROD, INTELLIGENT_ROUTING=False, health=PROVEN).answer is Answer.ALLOW


def test_emergencies_losing_their_path_are_named_and_told_what_callers_get() -> None:
    said = judged(PROD, BEDROCK_PROVIDER=False)
    assert (said.answer, said.rule) == (Answer.CONFIRM, "emergency_loses_path")
    assert said.effects == ("emergency loses its only path: its callers get 503 no_path.",)


def test_monitoring_off_is_confirmed_and_in_production_refused() -> None:
    assert judged(STG, MONITORING=False).rule == "monitoring_off"
    said = judged(PROD, MONITORING=False)
    assert (said.answer, said.rule) == (Answer.REFUSE, "monitoring_needs_end")
    assert "1 h" in said.sentence


def test_the_last_path_off_for_security_is_confirmed_with_all_it_stops() -> None:
    dark = defaults(DEV) | {MCP: False}
    said = guards.judge(
        environment=DEV,
        before=dark,
        after=dark | {BEDROCK: False},
        matrix=matrix.DEFAULT,
        health=UNKNOWN,
        cause=Cause.SECURITY,
    )
    assert (said.answer, said.rule) == (Answer.CONFIRM, "path_off_for_cause")
    assert any(effect.startswith("emergency") for effect in said.effects)


def test_a_cause_does_not_smuggle_mcp_only_past_its_rule() -> None:
    said = judged(STG, INTELLIGENT_ROUTING=False, BEDROCK_PROVIDER=False, cause=Cause.SECURITY)
    assert (said.answer, said.rule) == (Answer.REFUSE, "mcp_only_unproven")


def test_what_is_already_off_keeps_nobody_from_another_change() -> None:
    dark = defaults(DEV) | {MCP: False, BEDROCK: False, ROUTING: False}
    for flag in FlagName:
        said = guards.judge(
            environment=DEV,
            before=dark,
            after=dark | {flag: True},
            matrix=matrix.DEFAULT,
            health=UNKNOWN,
        )
        assert said.answer is Answer.ALLOW, flag


def test_a_share_of_mcp_only_is_refused_like_all_of_it() -> None:
    whole = {flag: 100 * on for flag, on in defaults(STG).items()}
    said = guards.judge_shares(
        environment=STG,
        before=whole,
        after=whole | {ROUTING: 99},
        matrix=matrix.DEFAULT,
        health=UNKNOWN,
    )
    assert said.rule == "mcp_only_unproven"


def test_a_row_narrowed_by_priority_loses_its_path_at_that_priority_alone() -> None:
    row = matrix.DEFAULT.row(Operation.STANDARD)
    alone = replace(row, primary=Path.DIRECT_BEDROCK, fallback=None)
    narrowed = replace(matrix.DEFAULT, narrowed={(Operation.STANDARD, Priority.HIGH): alone})
    before = defaults(PROD)
    said = guards.judge(
        environment=PROD,
        before=before,
        after=before | {BEDROCK: False},
        matrix=narrowed,
        health=UNKNOWN,
    )
    assert any("standard at priority high" in effect for effect in said.effects)
