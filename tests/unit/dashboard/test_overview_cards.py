"""What the Overview says: figures with their measure, gaps as gaps, and no data is no zero."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dashboard import cards
from dashboard.cards import lanes, overview, wording
from routing.audit.queries import EntryRow
from routing.core.decision import PathFacts, State
from routing.core.flags import FlagName, defaults
from routing.core.matrix import DEFAULT
from routing.core.situation import Facts, PathNow
from routing.core.values import Breaker, EnvironmentName, Health, Operation, Path, Reason
from routing.decisions.queries import Backlog, Recent, Row
from routing.health.queries import Row as PathRow

NOW = datetime(2026, 11, 23, 14, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DEV = EnvironmentName.DEVELOPMENT
DIRECT, MCP = Path


@pytest.mark.parametrize(
    ("us", "words"),
    [
        (None, "no data"),
        (0, "0.0 ms"),
        (412, "0.4 ms"),
        (41_200, "41 ms"),
        (412_000, "412 ms"),
        (1_210_000, "1.21 s"),
        (30_000_000, "30 s"),
    ],
)
def test_a_duration_has_its_unit(us: int | None, words: str) -> None:
    assert wording.took(us) == words


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, "no data"),
        (0, 9, "0 %"),
        (9, 9, "100 %"),
        (1, 3, "33 %"),
        (9_999, 10_000, "99.9 %"),
        (99_999, 100_000, "99.9 %"),
        (1, 100_000, "0.1 %"),
    ],
)
def test_a_share_is_whole_only_when_it_is(part: int, whole: int, words: str) -> None:
    assert wording.share(part, whole) == words


def path_row(**more: Any) -> PathRow:
    return PathRow(
        **{
            "environment": DEV,
            "path": MCP,
            "target": "local:mcp",
            "status": Health.HEALTHY,
            "score": 100,
            "why": (),
            "breaker": Breaker.CLOSED,
            "stages": ({"name": "connect", "ok": True, "ms": 2.25, "detail": ""},),
            "figures": {},
            "since": NOW - 12 * MINUTE,
            "observed_at": NOW,
            "seq": 7,
            **more,
        }
    )


def lane(row: PathRow | None, rows: tuple[Row, ...] = (), **more: Any) -> cards.Lane:
    return cards.mcp_lane(
        lanes.Measured(
            **{
                "row": row,
                "minutes": (),
                "recent": Recent(rows=rows),
                "matrix": DEFAULT,
                "circuit": None,
                "marks": (),
                "now": NOW,
                **more,
            }
        )
    )


def decision(
    operation: Operation = Operation.STANDARD,
    *,
    effective: Path | None = MCP,
    intended: Path = MCP,
    reason: Reason = Reason.RULE,
    synthetic: bool = False,
    within: bool | None = True,
    ago_s: float = 1,
) -> Row:
    return Row(
        at=NOW - timedelta(seconds=ago_s),
        operation=operation,
        intended=intended,
        effective=effective,
        reason=reason,
        synthetic=synthetic,
        within_budget=within,
        duration_us=40_000,
    )


def figures(one: cards.Lane) -> dict[str, tuple[str, str]]:
    return {figure.name: (figure.value, figure.note) for figure in one.figures}


def test_a_path_that_was_never_measured_has_no_data_anywhere() -> None:
    one = lane(None)
    assert one.status is Health.UNKNOWN
    assert one.score is None
    assert {value for value, _ in figures(one).values()} == {"no data"}
    assert one.share == "no data"
    assert not any(figure.is_known for figure in one.figures)


def test_a_healthy_path_without_requests_has_no_figures_either() -> None:
    found = figures(lane(path_row()))
    assert found.pop("breaker") == ("closed", "never opened")
    assert {value for value, _ in found.values()} == {"no data"}
    assert found["p95"][1] == "budget 30 s"


@pytest.mark.parametrize(
    ("ms", "words"), [(0.636, "0.636 ms"), (5.04, "5.04 ms"), (999.4, "999 ms"), (1482, "1.48 s")]
)
def test_a_stage_says_how_long_it_took(ms: float, words: str) -> None:
    one = lane(path_row(stages=({"name": "connect", "ok": True, "ms": ms, "detail": ""},)))
    assert [stage.ms for stage in one.stages] == [words]


def test_figures_carry_their_window_and_errors_their_type() -> None:
    said = {
        "calls": 40,
        "synthetic": 10,
        "failed": 4,
        "slow": 0,
        "p50_us": 31_000,
        "p95_us": 420_000,
        "p99_us": 1_900_000,
        "failures": {"timeout": 1, "throttled": 3},
    }
    one = lane(path_row(figures=said), (decision(), decision(within=False)))
    found = figures(one)
    assert one.window == "40 calls in the last 60 s, 10 synthetic"
    assert (found["p50"][0], found["p95"][0], found["p99"][0]) == ("31 ms", "420 ms", "1.9 s")
    assert found["errors"] == ("10 %", "throttled 3 · timeout 1")
    assert found["within budget"][0] == "50 %"


def test_an_old_judgement_is_shown_as_unknown() -> None:
    one = lane(path_row(observed_at=NOW - timedelta(seconds=16)))
    assert one.status is Health.UNKNOWN
    assert one.score is None
    assert "was healthy" in one.why[0]


def test_a_share_is_of_real_requests_and_says_so_when_it_is_not() -> None:
    ours = (decision(synthetic=True), decision(synthetic=True, effective=DIRECT))
    assert (lane(path_row(), ours).share, lane(path_row(), ours).share_note) == (
        "50 %",
        "of 2 synthetic requests answered in the last 5 min",
    )
    mixed = (*ours, decision(), decision(), decision(effective=DIRECT))
    assert (lane(path_row(), mixed).share, lane(path_row(), mixed).share_note) == (
        "67 %",
        "of 3 requests answered in the last 5 min",
    )


def test_old_real_traffic_does_not_stand_in_for_what_is_asked_now() -> None:
    old = tuple(decision(ago_s=301 + n) for n in range(60))
    lost = decision(effective=None, reason=Reason.NO_PATH, within=None, synthetic=True)
    assert (lane(path_row(), old).share, lane(path_row(), old).share_note) == (
        "no data",
        "no request was answered in the last 5 min",
    )
    made = cards.request_table(facts(), Recent(rows=(lost, *old)))
    assert (made.total, made.label, made.efficiency) == (1, "synthetic", "0 %")


def test_what_ours_lost_is_told_beside_real_figures() -> None:
    lost = decision(effective=None, reason=Reason.NO_PATH, within=None, synthetic=True)
    refused = decision(
        effective=None, reason=Reason.REFUSED_COMPLIANCE, within=None, synthetic=True
    )
    made = cards.request_table(facts(), Recent(rows=(lost, refused, decision(ago_s=200))))
    assert (made.label, made.lost) == ("", "1 of 2")
    assert cards.request_table(facts(), Recent(rows=(refused, decision()))).lost == ""


@pytest.mark.parametrize(
    ("circuit", "shown"),
    [
        (None, ("closed", "never opened")),
        ((Breaker.CLOSED, 0, 2), ("closed", "opened 2 ×")),
        ((Breaker.OPEN, 4_200_000, 1), ("open", "tries again in 4.2 s")),
        ((Breaker.HALF_OPEN, 0, 1), ("half-open", "opened 1 ×")),
        ((Breaker.FORCED_OPEN, 60_000_000, 0), ("forced-open", "for 60 s yet")),
    ],
)
def test_a_breaker_says_its_state_and_its_wait(
    circuit: tuple[Breaker, int, int] | None, shown: tuple[str, str]
) -> None:
    known = None
    if circuit is not None:
        known = lanes.Circuit(state=circuit[0], wait_us=circuit[1], trips=circuit[2])
    assert figures(lane(path_row(), circuit=known))["breaker"] == shown


def facts(**more: Any) -> Facts:
    state = State(
        matrix=DEFAULT,
        flags=defaults(DEV),
        paths={path: PathFacts() for path in Path},
    )
    now = PathNow(health=Health.HEALTHY, since=NOW, observed_at=NOW)
    return Facts(
        **{
            "environment": DEV,
            "now": NOW,
            "state": state,
            "paths": dict.fromkeys(Path, now),
            **more,
        }
    )


def table(*rows: Row) -> dict[Operation, overview.RequestRow]:
    made = cards.request_table(facts(), Recent(rows=rows))
    return {row.operation: row for row in made.rows}


LINE = {"at_once": 64, "longest": 256, "under_way": 64, "waiting": 3, "oldest_ms": 1200}


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (
            {**LINE, "refused": 2},
            ("3", "oldest 1.2 s · 64 of 64 under way · 2 refused since the start"),
        ),
        ({**LINE, "under_way": 1, "waiting": 0, "refused": 0}, ("0", "1 of 64 under way")),
    ],
)
def test_a_line_says_how_many_wait_and_how_long_the_first_has(
    line: dict[str, int], shown: tuple[str, str]
) -> None:
    assert figures(lane(path_row(figures={"line": line})))["waiting"] == shown
    assert "waiting" not in figures(lane(path_row(figures={"line": {}})))


def test_an_operation_nobody_asked_for_has_no_figures() -> None:
    rows = table(decision())
    assert rows[Operation.EMERGENCY].effective == ()
    assert (rows[Operation.EMERGENCY].p95, rows[Operation.EMERGENCY].share) == ("no data", "")
    assert set(rows) == set(Operation)


def test_where_a_request_went_beside_where_it_should() -> None:
    moved = decision(effective=DIRECT, reason=Reason.FALLBACK_UNHEALTHY)
    row = table(decision(), decision(), decision(), moved)[Operation.STANDARD]
    assert (row.intended, row.is_off) == (MCP, True)
    assert [(went.path, went.share) for went in row.effective] == [(MCP, "75 %"), (DIRECT, "25 %")]
    assert row.reasons == (("rule", 3), ("fallback_unhealthy", 1))


def test_traffic_of_our_own_is_told_apart() -> None:
    mixed = cards.request_table(facts(), Recent(rows=(decision(), decision(synthetic=True))))
    assert (mixed.total, mixed.synthetic, mixed.label) == (2, 1, "")
    standard = next(row for row in mixed.rows if row.operation is Operation.STANDARD)
    assert (standard.total, standard.synthetic) == (1, 1)
    ours = cards.request_table(facts(), Recent(rows=(decision(synthetic=True),)))
    assert (ours.total, ours.label) == (1, "synthetic")


def test_efficiency_counts_what_got_no_answer_against_it() -> None:
    lost = decision(effective=None, reason=Reason.NO_PATH, within=None)
    made = cards.request_table(facts(), Recent(rows=(decision(), lost)))
    assert made.efficiency == "50 %"


def entry(action: str, **more: Any) -> EntryRow:
    words = ("actor_kind", "role", "object_type", "request_id", "hash", "prev")
    return EntryRow(
        **{
            **dict.fromkeys(words, ""),
            "stream": "control",
            "seq": 57,
            "at": NOW - 12 * MINUTE,
            "actor": "user:1",
            "action": action,
            "environment": "development",
            "object_id": "mcp",
            "outcome": "done",
            "reason": "rotating the server token",
            "before": None,
            "after": None,
            "facts": None,
            **more,
        }
    )


def flag_state(on: bool, version: int) -> dict[str, Any]:
    return {"on": on, "percentage": 100, "groups": [], "version": version}


def feed(*rows: EntryRow, tells_who: bool) -> tuple[overview.FeedLine, ...]:
    return overview.feed_lines(rows, names={"user:1": "ops-2"}, tells_who=tells_who, now=NOW)


def test_a_change_of_flags_names_each_with_before_and_after() -> None:
    name = FlagName.MCP_INTEGRATION
    row = entry(
        "flag.change",
        object_id=str(name),
        before={str(name): flag_state(True, 1)},
        after={str(name): flag_state(False, 2)},
    )
    (line,) = feed(row, tells_who=True)
    assert line.words == "ENABLE_MCP_INTEGRATION on → off"
    assert line.changes == (("ENABLE_MCP_INTEGRATION", "on", "off"),)
    assert (line.who, line.why, line.is_new) == ("ops-2", "rotating the server token", True)


def test_without_the_right_nobody_is_named_and_no_reason_given() -> None:
    (line,) = feed(entry("upstream.stop"), tells_who=False)
    assert (line.words, line.who, line.why) == ("Stopped the stand-in mcp", "", "")


def test_the_header_names_the_change_just_before_and_counts_the_others() -> None:
    bad = PathNow(health=Health.UNHEALTHY, since=NOW, observed_at=NOW)
    lines = feed(entry("upstream.stop"), entry("upstream.start", seq=56), tells_who=True)
    header = cards.state_header(
        facts(paths={DIRECT: facts().paths[DIRECT], MCP: bad}), lines, looked=True
    )
    assert header.cause is not None
    assert (header.cause.seq, header.more, header.title) == (57, 1, "▲ unhealthy · Overview")
    (lever,) = header.levers
    assert (lever.flag, lever.target, lever.target_health) == (
        FlagName.DIRECT_FALLBACK,
        DIRECT,
        Health.HEALTHY,
    )


def backlog(**more: Any) -> Backlog:
    told: dict[str, Any] = {"stream": "decision:p:b", "on_disk": 9000, "waiting": 0, "since": NOW}
    return Backlog(**(told | more))


def test_says_what_waits_for_the_database_and_since_when_the_figures_end() -> None:
    assert cards.decision_items(backlog(), NOW) == ()
    late = NOW + timedelta(seconds=11)
    assert cards.decision_items(backlog(waiting=5), NOW + timedelta(seconds=9)) == ()
    (waits,) = cards.decision_items(backlog(waiting=5), late)
    assert waits.text.startswith("5 decisions wait for the database since ")
    assert "safe on disk" in waits.text
    shut, lost, dead, broken = cards.decision_items(
        backlog(problem="No space.", lost=2, others=1, broken={"s": "p.seg is altered."}), late
    )
    assert (shut.text, broken.text) == ("No space.", "p.seg is altered.")
    assert lost.text.startswith("2 emergencies") and "1 ended" in dead.text


def test_says_what_is_open_or_nothing() -> None:
    assert cards.open_items(differing=[], laggards=[], environment=DEV) == ()
    flags, behind = cards.open_items(differing=["A", "B"], laggards=["web-2"], environment=DEV)
    assert flags.text == "A and B differ from their declaration in development."
    assert behind.text == "web-2 still runs an older version of the flags."
