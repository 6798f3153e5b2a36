from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import matrix
from routing.core.decision import (
    Attempt,
    Kill,
    Override,
    PathFacts,
    Request,
    State,
    conclude,
    decide,
)
from routing.core.errors import Invalid
from routing.core.flags import FlagName
from routing.core.values import (
    Breaker,
    EnvironmentName,
    Failure,
    Health,
    Operation,
    Path,
    Priority,
    Reason,
    Skip,
)

DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP
ALL_ON = dict.fromkeys(FlagName, True)
NOW = 1_000_000


def request(operation: Operation = Operation.STANDARD, **more: object) -> Request:
    return Request(operation=operation, priority=Priority.MEDIUM, now_us=NOW, **more)  # type: ignore[arg-type]


def state(
    *,
    direct: PathFacts | None = None,
    mcp: PathFacts | None = None,
    off: tuple[FlagName, ...] = (),
    **more: object,
) -> State:
    return State(
        matrix=matrix.DEFAULT,
        flags=ALL_ON | dict.fromkeys(off, False),
        paths={DIRECT: direct or PathFacts(), MCP: mcp or PathFacts()},
        **more,  # type: ignore[arg-type]
    )


# --- an oracle in other words: product.md section 3 as a table of plain sentences ---

_DIRECT_OPS = {"emergency", "infrastructure", "meta_monitor", "implementation"}
_LAST_RESORT_OPS = {"emergency", "infrastructure"}


def oracle(op: str, s: State) -> tuple[str, list[str], list[str]]:
    """Return (intended, paths to try, last resort) for `op`, worked out path by path."""
    on = {str(f) for f, v in s.flags.items() if v}
    if s.kill in ("mcp_only", "direct_only"):
        line = ["mcp" if s.kill == "mcp_only" else "direct_bedrock"]
    elif "ENABLE_INTELLIGENT_ROUTING" not in on:
        line = ["mcp"]
    else:
        line = ["direct_bedrock", "mcp"] if op in _DIRECT_OPS else ["mcp", "direct_bedrock"]
        if op == "emergency":
            line = line[:1]
    shut = set()
    down = set()
    serviced = set()
    for path, facts in s.paths.items():
        provider = {
            "mcp": "ENABLE_MCP_INTEGRATION",
            "direct_bedrock": "ai.provider.bedrock.enabled",
        }[path]
        if provider not in on or facts.breaker == "forced_open" or s.kill == "stop":
            shut.add(str(path))
        if facts.health == "maintenance":
            serviced.add(str(path))
        if facts.health == "unhealthy" or facts.breaker == "open":
            down.add(str(path))
    if line[0] == "mcp" and "ENABLE_DIRECT_BEDROCK_FALLBACK" not in on:
        shut |= {p for p in line[1:] if p == "direct_bedrock"}
    left = [p for p in line if p not in shut]
    tries = [p for p in left if p not in down | serviced]
    if op == "emergency":
        resort = [p for p in left if p in down | serviced]
    elif op in _LAST_RESORT_OPS:
        resort = [p for p in left if p in down - serviced]
    else:
        resort = []
    return line[0], tries, resort


SWITCHES = (
    FlagName.INTELLIGENT_ROUTING,
    FlagName.DIRECT_FALLBACK,
    FlagName.MCP_INTEGRATION,
    FlagName.BEDROCK_PROVIDER,
)
HEALTHS = (Health.HEALTHY, Health.UNKNOWN, Health.UNHEALTHY, Health.MAINTENANCE)
BREAKERS = (Breaker.CLOSED, Breaker.OPEN, Breaker.HALF_OPEN, Breaker.FORCED_OPEN)


def every_state() -> Iterator[State]:
    paths = [PathFacts(health=h, breaker=b) for h, b in product(HEALTHS, BREAKERS)]
    for kill, bits in product((None, *Kill), product((True, False), repeat=len(SWITCHES))):
        flags = ALL_ON | dict(zip(SWITCHES, bits, strict=True))
        for direct, mcp in product(paths, repeat=2):
            yield State(
                matrix=matrix.DEFAULT, flags=flags, paths={DIRECT: direct, MCP: mcp}, kill=kill
            )


def test_agrees_with_the_written_rules_in_every_state() -> None:
    cells = 0
    for s in every_state():
        for operation in Operation:
            got = decide(request(operation), s)
            intended, tries, resort = oracle(str(operation), s)
            assert (str(got.intended), list(got.eligible), list(got.last_resort)) == (
                intended,
                tries,
                resort,
            ), (operation, s)
            cells += 1
    assert cells == 7 * 4 * 16 * 16 * 16


def test_every_passed_over_path_says_why_and_every_reason_is_a_word() -> None:
    for s in every_state():
        for operation in (Operation.EMERGENCY, Operation.INFRASTRUCTURE, Operation.STANDARD):
            got = decide(request(operation), s)
            assert isinstance(got.reason, Reason)
            assert all(c.skip is None or isinstance(c.skip, Skip) for c in got.candidates)
            assert (got.reason is Reason.NO_PATH) == (not got.eligible and not got.last_resort)


def test_an_emergency_never_falls_back() -> None:
    for s in every_state():
        got = decide(request(Operation.EMERGENCY), s)
        assert len({c.path for c in got.candidates}) == 1
        assert {*got.eligible, *got.last_resort} <= {got.intended}


facts = st.builds(
    PathFacts,
    configured=st.booleans(),
    region_allowed=st.booleans(),
    health=st.sampled_from(Health),
    breaker=st.sampled_from(Breaker),
)
states = st.builds(
    State,
    matrix=st.just(matrix.DEFAULT),
    flags=st.fixed_dictionaries(dict.fromkeys(FlagName, st.booleans())),
    paths=st.fixed_dictionaries({DIRECT: facts, MCP: facts}),
    kill=st.none() | st.sampled_from(Kill),
    overrides=st.lists(
        st.builds(
            Override,
            operation=st.sampled_from(Operation),
            path=st.sampled_from(Path),
            ends_us=st.integers(0, 2 * NOW),
        ),
        max_size=3,
    ),
)
requests = st.builds(
    Request,
    operation=st.sampled_from(Operation),
    priority=st.sampled_from(Priority),
    now_us=st.just(NOW),
    pinned=st.none() | st.sampled_from(Path),
    mcp_can_say_it=st.booleans(),
    refusal=st.sampled_from(["", "pii"]),
)


@given(requests, states)
def test_is_total_and_deterministic(r: Request, s: State) -> None:
    assert decide(r, s) == decide(r, s)


@given(requests, states)
def test_a_refusal_tries_nothing(r: Request, s: State) -> None:
    got = decide(r, s)
    intended = s.paths[got.intended]
    breach = intended.configured and not intended.region_allowed
    assert (got.reason is Reason.REFUSED_COMPLIANCE) == bool(r.refusal or breach)
    if got.reason is Reason.REFUSED_COMPLIANCE:
        assert got.eligible == () and got.last_resort == ()


@given(requests, states)
def test_never_tries_what_is_switched_off_not_configured_or_forbidden(
    r: Request, s: State
) -> None:
    got = decide(r, s)
    for path in (*got.eligible, *got.last_resort):
        f = s.paths[path]
        provider = FlagName.BEDROCK_PROVIDER if path is DIRECT else FlagName.MCP_INTEGRATION
        assert f.configured and f.region_allowed and s.flags[provider]
        assert f.breaker is not Breaker.FORCED_OPEN and s.kill is not Kill.STOP
        assert path is DIRECT or r.mcp_can_say_it


@given(requests, states)
def test_the_priority_changes_no_row_that_is_not_narrowed(r: Request, s: State) -> None:
    got = {
        decide(
            Request(**{f.name: getattr(r, f.name) for f in fields(r)} | {"priority": p}), s
        ).candidates
        for p in Priority
    }
    assert len(got) == 1


def test_dead_mcp_in_development_gives_standard_no_path_because_the_flag_is_off() -> None:
    from routing.core.flags import defaults

    s = State(
        matrix=matrix.DEFAULT,
        flags=defaults(EnvironmentName.DEVELOPMENT),
        paths={DIRECT: PathFacts(health=Health.HEALTHY), MCP: PathFacts(health=Health.UNHEALTHY)},
    )
    got = decide(request(), s)
    assert got.reason is Reason.NO_PATH
    assert (got.skipped(MCP), got.skipped(DIRECT)) == (Skip.UNHEALTHY, Skip.FLAG_OFF)


def test_an_override_moves_its_operation_until_it_ends() -> None:
    mine = Override(operation=Operation.STANDARD, path=DIRECT, ends_us=NOW + 1)
    over = Override(operation=Operation.STANDARD, path=DIRECT, ends_us=NOW)
    assert decide(request(), state(overrides=(mine,))).eligible == (DIRECT, MCP)
    assert decide(request(), state(overrides=(mine,))).reason is Reason.OVERRIDE
    assert decide(request(), state(overrides=(over,))).eligible == (MCP, DIRECT)


def test_a_breached_region_refuses_rather_than_moves() -> None:
    got = decide(request(), state(mcp=PathFacts(region_allowed=False)))
    assert got.reason is Reason.REFUSED_COMPLIANCE
    assert got.skipped(MCP) is Skip.NOT_ALLOWED_REGION and got.eligible == ()


def test_names_where_the_request_went_and_why_it_moved() -> None:
    got = decide(request(), state())
    failed = Attempt(path=MCP, duration_us=5, failure=Failure.UNREACHABLE)
    moved = conclude(got, (failed, Attempt(path=DIRECT, duration_us=7)))
    assert (moved.effective, moved.reason) == (DIRECT, Reason.FALLBACK_ERROR)
    assert moved.candidates[0].skip is Skip.TRIED
    straight = conclude(got, (Attempt(path=MCP, duration_us=5),))
    assert (straight.effective, straight.reason) == (MCP, Reason.RULE)
    lost = conclude(got, (failed,))
    assert (lost.effective, lost.reason) == (None, Reason.NO_PATH)
    assert conclude(got, (), shed=True).reason is Reason.SHED
    held = conclude(got, (Attempt(path=DIRECT, duration_us=7),), held={MCP: Skip.BREAKER_OPEN})
    assert held.reason is Reason.FALLBACK_BREAKER_OPEN
    assert held.candidates[0].skip is Skip.BREAKER_OPEN


def test_a_forced_emergency_is_named_as_such() -> None:
    got = decide(request(Operation.EMERGENCY), state(direct=PathFacts(health=Health.UNHEALTHY)))
    assert (got.reason, got.last_resort) == (Reason.FORCED_EMERGENCY, (DIRECT,))
    done = conclude(got, (Attempt(path=DIRECT, duration_us=1),), resorted=True)
    assert done.reason is Reason.FORCED_EMERGENCY


def test_the_default_matrix_is_the_documented_one() -> None:
    rows = {str(r.operation): r for r in matrix.DEFAULT.rows.values()}
    documented = {
        "emergency": ("critical", 5, "direct_bedrock", None, "last_resort"),
        "infrastructure": ("critical", 10, "direct_bedrock", "mcp", "last_resort"),
        "meta_monitor": ("high", 15, "direct_bedrock", "mcp", "fail_closed"),
        "implementation": ("high", 15, "direct_bedrock", "mcp", "fail_closed"),
        "kiro_communication": ("medium", 30, "mcp", "direct_bedrock", "fail_closed"),
        "standard": ("medium", 30, "mcp", "direct_bedrock", "fail_closed"),
        "background_tasks": ("low", 60, "mcp", "direct_bedrock", "fail_closed"),
    }
    assert {
        name: (r.default_priority, r.budget_ms // 1000, r.primary, r.fallback, r.when_down)
        for name, r in rows.items()
    } == documented


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"fallback": MCP}, "never falls back"),
        ({"primary": DIRECT, "fallback": DIRECT, "operation": Operation.STANDARD}, "own primary"),
        ({"budget_ms": 0}, "no time"),
    ],
)
def test_refuses_a_matrix_that_cannot_be_obeyed(change: dict[str, object], says: str) -> None:
    row = matrix.DEFAULT.row(Operation.EMERGENCY)
    bad = matrix.Row(**{f.name: getattr(row, f.name) for f in fields(row)} | change)
    rows = {**matrix.DEFAULT.rows, bad.operation: bad}
    with pytest.raises(Invalid, match=says):
        matrix.check(matrix.Matrix(version=2, rows=rows))
    matrix.check(matrix.DEFAULT)
