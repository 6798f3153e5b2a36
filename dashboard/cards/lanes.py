"""A lane per path: how it is, what it carries, how fast, and what the last probe met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dashboard.cards.chart import Chart, chart
from dashboard.cards.wording import share, took
from routing.core import health as rules
from routing.core.matrix import Matrix
from routing.core.situation import PathNow, fresh
from routing.core.values import Breaker, Health, Path
from routing.decisions.queries import Recent
from routing.health.queries import Minute, Row

SIDE: Mapping[Path, str] = {Path.DIRECT_BEDROCK: "a", Path.MCP: "b"}
STATUS: Mapping[Health, str] = {
    Health.OFF: "off by flag",
    Health.NOT_CONFIGURED: "not configured",
    Health.MAINTENANCE: "in maintenance",
}
NO_DATA = "no data"
LAST_MINUTE = timedelta(seconds=60)
# What was decided before says nothing of now, and must not stand in for what fails now.
LATELY, LATELY_WORDS = timedelta(minutes=5), "in the last 5 min"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with its measure in `note`; `value` says `no data` where there is none."""

    name: str
    value: str
    note: str = ""
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    name: str
    ok: bool
    ms: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One path; `side` chooses its hue, `score` is None where nothing was measured."""

    path: Path
    side: str
    status: Health
    text: str
    target: str
    why: tuple[str, ...]
    since: datetime | None
    observed_at: datetime | None
    now: datetime
    share: str
    share_note: str
    window: str
    figures: tuple[Figure, ...]
    stages: tuple[Stage, ...]
    score: int | None
    formula: str
    chart: Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A breaker of this process: its state, how long that lasts yet, how often it opened.

    `shut_us` is how long ago it left closed, None while it is closed.
    """

    state: Breaker
    wait_us: int
    trips: int
    shut_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a lane is drawn from; `row` is None for a path that was never judged."""

    row: Row | None
    minutes: Sequence[Minute]
    recent: Recent
    matrix: Matrix
    circuit: Circuit | None
    marks: Sequence[tuple[datetime, str]]
    now: datetime


def direct_bedrock_lane(measured: Measured) -> Lane:
    """Word the lane of direct_bedrock."""
    return _lane(Path.DIRECT_BEDROCK, measured)


def mcp_lane(measured: Measured) -> Lane:
    """Word the lane of mcp."""
    return _lane(Path.MCP, measured)


def path_now(row: Row) -> PathNow:
    """Return what a judgement says of its path."""
    return PathNow(health=row.status, since=row.since, observed_at=row.observed_at, why=row.why)


def _lane(path: Path, measured: Measured) -> Lane:
    row = measured.row
    status = fresh(path_now(row) if row else None, measured.now)
    carried, of_what = _share(path, measured.recent.later_than(measured.now - LATELY))
    budget_ms = _budget_ms(path, measured.matrix)
    said = row.figures if row else {}
    return Lane(
        path=path,
        side=SIDE[path],
        status=status,
        text=STATUS.get(status, str(status)),
        target=row.target if row else "",
        why=_why(row, status),
        since=row.since if row and row.status is status else None,
        observed_at=row.observed_at if row else None,
        now=measured.now,
        share=carried,
        share_note=of_what,
        window=_window(said),
        figures=(
            *_figures(said, budget_ms, _in_time(path, measured)),
            *_line(said.get("line")),
            _breaker(row, measured.circuit),
        ),
        stages=_stages(row),
        score=row.score if row and status is row.status else None,
        formula=rules.FORMULA,
        chart=chart(measured.minutes, budget_ms=budget_ms, marks=measured.marks, now=measured.now),
    )


def _why(row: Row | None, status: Health) -> tuple[str, ...]:
    if row is None:
        return ("Never measured: the monitor has not come to this path yet.",)
    if status is not row.status:
        return (f"No judgement for over 15 s; it was {row.status}.",)
    return row.why


def _share(path: Path, lately: Recent) -> tuple[str, str]:
    """Return the path's share of what was answered lately, and of what that is a share.

    Real requests count; traffic of our own stands in for them only where there are none.
    """
    for synthetic in (False, True):
        flow = lately.flow(synthetic=synthetic)
        if flow.answered:
            kind = "synthetic requests" if synthetic else "requests"
            return (
                share(flow.effective.get(path, 0), flow.answered),
                f"of {flow.answered} {kind} answered {LATELY_WORDS}",
            )
    return NO_DATA, f"no request was answered {LATELY_WORDS}"


def _budget_ms(path: Path, matrix: Matrix) -> int:
    """Return the tightest budget among the operations that the matrix sends this way first."""
    rows = list(matrix.rows.values())
    mine = [row.budget_ms for row in rows if row.primary is path]
    return min(mine or [row.budget_ms for row in rows])


def _window(said: Mapping[str, Any]) -> str:
    calls, ours = said.get("calls", 0), said.get("synthetic", 0)
    if not calls:
        return "no call in the last 60 s"
    some = "" if not ours else ", all synthetic" if ours == calls else f", {ours} synthetic"
    return f"{calls} {'call' if calls == 1 else 'calls'} in the last 60 s{some}"


def _figures(said: Mapping[str, Any], budget_ms: int, in_time: Figure) -> tuple[Figure, ...]:
    calls = said.get("calls", 0)
    against = f"budget {took(budget_ms * 1000)}"
    times = [
        Figure(
            name=name,
            value=took(said.get(f"{name}_us")),
            note=against if name == "p95" else "",
            is_known=said.get(f"{name}_us") is not None,
        )
        for name in ("p50", "p95", "p99")
    ]
    failures = said.get("failures", {})
    errors = Figure(
        name="errors",
        value=share(said.get("failed", 0), calls),
        note=" · ".join(f"{word} {count}" for word, count in sorted(failures.items())),
        is_known=bool(calls),
    )
    return (*times, in_time, errors)


def _line(said: Mapping[str, int] | None) -> tuple[Figure, ...]:
    """Return how many calls wait in the process that probes, where a path lets them wait."""
    if not said:
        return ()
    notes = [f"{said['under_way']} of {said['at_once']} under way"]
    if said["waiting"]:
        notes.insert(0, f"oldest {took(said['oldest_ms'] * 1000)}")
    if said["refused"]:
        notes.append(f"{said['refused']} refused since the start")
    return (Figure(name="waiting", value=str(said["waiting"]), note=" · ".join(notes)),)


def _in_time(path: Path, measured: Measured) -> Figure:
    """Return the share of the path's answers that came within their own operation's budget."""
    lately = measured.recent.later_than(measured.now - LAST_MINUTE)
    mine = [row for row in lately.rows if row.effective is path]
    within = sum(1 for row in mine if row.within_budget)
    return Figure(name="within budget", value=share(within, len(mine)), is_known=bool(mine))


def _breaker(row: Row | None, circuit: Circuit | None) -> Figure:
    if row is None:
        return Figure(name="breaker", value=NO_DATA, is_known=False)
    state = circuit.state if circuit else row.breaker
    word = str(state).replace("_", "-")
    if circuit is not None and circuit.wait_us:
        left = took(circuit.wait_us)
        note = f"tries again in {left}" if state is Breaker.OPEN else f"for {left} yet"
        return Figure(name="breaker", value=word, note=note)
    times = circuit.trips if circuit else 0
    return Figure(
        name="breaker", value=word, note=f"opened {times} ×" if times else "never opened"
    )


def _stages(row: Row | None) -> tuple[Stage, ...]:
    return tuple(
        Stage(
            name=str(stage["name"]),
            ok=bool(stage["ok"]),
            ms=_stage_took(float(stage["ms"])),
            detail=str(stage.get("detail") or ""),
        )
        for stage in (row.stages if row else ())
    )


def _stage_took(ms: float) -> str:
    """Return how long a stage took, to three figures; most take less than a millisecond."""
    return f"{ms:.3g} ms" if ms < 999.5 else took(round(ms * 1000))
