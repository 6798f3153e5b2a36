"""What each live part of the Overview is told: a look's answers handed to its card."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from dashboard import cards
from dashboard.cards import breakers, lanes, overview, plans
from dashboard.look import Look, Reader
from routing import wiring
from routing.access import queries as access
from routing.approvals import queries as approvals
from routing.audit.queries import EntryRow
from routing.core.circuit import CircuitSettings
from routing.core.errors import NotFound
from routing.core.flags import FlagName
from routing.core.rollback import Target
from routing.core.situation import Asked, Facts, began_after, sentence
from routing.core.values import Breaker, EnvironmentName, Health, Operation, Outcome, Path
from routing.decisions.queries import Recent
from routing.deployments import rollback
from routing.glass import queries as glass
from routing.schedule import queries as schedule

FEW_S = 5
_NO_MARK = ("schedule.", "glass.")  # they change nothing for a request
FOLLOW_WITHIN_S = 2.5  # a process without Redis has seen a change by then


def alarms(look: Look) -> cards.Alarms:
    """Return the banners above everything else, told from memory alone."""
    return cards.alarms(
        look.environment,
        order=wiring.kill_order(look.environment),
        strangers=wiring.kill_strangers(),
        told=wiring.standing(),
        now=look.now,
    )


def propagation(look: Look) -> cards.Spread:
    """Return how far the newest flags have come."""
    return cards.propagation(look.environment, look.spread, look.now)


def direct_bedrock_lane(look: Look) -> cards.Lane:
    """Return the lane of direct_bedrock."""
    return cards.direct_bedrock_lane(_measured(look, Path.DIRECT_BEDROCK))


def mcp_lane(look: Look) -> cards.Lane:
    """Return the lane of mcp."""
    return cards.mcp_lane(_measured(look, Path.MCP))


def _measured(look: Look, path: Path) -> lanes.Measured:
    return lanes.Measured(
        row=look.paths.get(path),
        minutes=look.minutes(path),
        recent=look.recent,
        matrix=look.state.matrix,
        circuit=_circuit(look, path),
        marks=[
            (row.at, f"{row.action} {row.object_id}")
            for row in look.changes
            if row.outcome == Outcome.DONE and not row.action.startswith(_NO_MARK)
        ],
        now=look.now,
    )


def _circuit(look: Look, path: Path) -> lanes.Circuit | None:
    """Return the breaker of this process, None before it was ever used."""
    engine, row = wiring.engine(), look.paths.get(path)
    if engine is None or row is None:
        return None
    for view in engine.board.views():
        key = (view.key.environment, view.key.path, view.key.target)
        if key == (look.environment, path, row.target):
            trips = sum(1 for change in view.history if change.target is Breaker.OPEN)
            return lanes.Circuit(
                state=view.state, wait_us=view.wait_us, trips=trips, shut_us=view.shut_for_us
            )
    return None


def breaker_board(look: Look) -> cards.BreakerBoard:
    """Return the breakers, as stored, with what this process counts of each."""
    rows = look.breakers
    booked = {who for row in rows for who in (row.by, *(move.by for move in row.moves))}
    engine = wiring.engine()
    return cards.breaker_board(
        rows,
        environment=look.environment,
        counted=_counted(look) if engine else {},
        rules=engine.board.settings if engine else CircuitSettings(),
        names=access.names(booked - {""}),
        tells_who=look.reader is Reader.AUDIT,
        now=look.now,
    )


def _counted(look: Look) -> dict[Path, breakers.Counted]:
    engine = wiring.engine()
    if engine is None:
        return {}
    views = {view.key: view for view in engine.board.views()}
    found = {row.key.path: views.get(row.key) for row in look.breakers}
    return {
        path: breakers.Counted(
            process=engine.name,
            consecutive=view.consecutive if view else 0,
            calls=view.calls if view else 0,
            failures=view.failures if view else 0,
            slow=view.slow if view else 0,
        )
        for path, view in found.items()
    }


def facts(look: Look) -> Facts:
    """Return what the situation is judged from."""
    cells = {
        row.name: row.cells[look.environment]
        for row in look.grid.rows
        if look.environment in row.cells
    }
    begins = _counted_from(look)
    lately = look.recent.later_than(begins)
    ours = not any(not row.synthetic for row in lately.rows) and bool(lately.rows)
    return Facts(
        environment=look.environment,
        now=look.now,
        state=look.state,
        paths={path: lanes.path_now(row) for path, row in look.paths.items()},
        asked=tuple(_asked(lately, operation, synthetic=ours) for operation in Operation),
        window=_window(look.now - begins),
        label="synthetic" if ours else "",
        flags_since={name: cell.changed_at for name, cell in cells.items()},
        shut_since=_shut_since(look),
        locked=_locked(look),
    )


def _shut_since(look: Look) -> Mapping[Path, datetime]:
    circuits = {path: _circuit(look, path) for path in Path}
    return {
        path: look.now - timedelta(microseconds=circuit.shut_us)
        for path, circuit in circuits.items()
        if circuit is not None and circuit.shut_us is not None
    }


def _counted_from(look: Look) -> datetime:
    """Return from when requests say something of now: a minute, or since the last turn.

    What was lost while a path was down belongs to that, not to the state after it.
    """
    minute_ago, rows = look.now - lanes.LAST_MINUTE, look.paths.values()
    if any(row.status is Health.UNHEALTHY for row in rows):
        return minute_ago
    return max([minute_ago, *(row.since for row in rows)])


def _window(length: timedelta) -> str:
    seconds = int(length.total_seconds())
    if seconds < FEW_S:
        return "the last few seconds"
    return "the last minute" if seconds >= 60 else f"the last {seconds} s"


def _asked(recent: Recent, operation: Operation, *, synthetic: bool) -> Asked:
    flow = recent.flow(synthetic=synthetic, operation=operation)
    return Asked(
        operation=operation,
        total=flow.total,
        answered=flow.answered,
        moved=flow.moved,
        reasons=flow.reasons,
    )


def _locked(look: Look) -> frozenset[FlagName]:
    """Return the flags whose last change switched them off for security or compliance."""
    off = {
        row.name: row.cells[look.environment].entry_seq
        for row in look.grid.rows
        if look.environment in row.cells and not row.cells[look.environment].state.on
    }
    return frozenset(name for name, seq in off.items() if _has_cause(look.entry(seq)))


def _has_cause(entry: EntryRow | None) -> bool:
    return (
        entry is not None and isinstance(entry.facts, Mapping) and bool(entry.facts.get("cause"))
    )


def state_header(look: Look) -> cards.StateHeader:
    """Return the sentence of state with what changed just before it."""
    known = facts(look)
    told = sentence(known)
    calm = told.level is Health.HEALTHY or told.since is None
    before = () if calm or told.since is None else _lines_before(look, told.since)
    return cards.state_header(known, before, looked=not calm)


def _lines_before(look: Look, since: datetime) -> tuple[overview.FeedLine, ...]:
    first, last = began_after(since)
    rows = look.causes_between(first, last)
    who = look.reader is Reader.AUDIT
    return overview.feed_lines(rows, names=look.names(rows), tells_who=who, now=look.now)


def change_feed(look: Look) -> cards.ChangeFeed:
    """Return the latest changes of this environment."""
    rows, who = look.changes[: overview.SHOWN], look.reader is Reader.AUDIT
    lines = overview.feed_lines(rows, names=look.names(rows), tells_who=who, now=look.now)
    return cards.change_feed(lines, environment=look.environment, tells_who=who, now=look.now)


def request_table(look: Look) -> cards.RequestTable:
    """Return where the last requests went."""
    return cards.request_table(facts(look), look.recent)


def open_items(look: Look) -> tuple[cards.OpenItem, ...]:
    """Return what waits for a person."""
    place = look.environment
    cells = {row.name: row.cells[place] for row in look.grid.rows if place in row.cells}
    wanted = look.desired
    differing = [str(name) for name, cell in cells.items() if wanted.differs(name, cell.state)]
    behind = [p.name for p in look.spread.laggards if p.behind_s > FOLLOW_WITHIN_S]
    held = [row for row in look.overrides if row.holds(look.now)]
    found = cards.open_items(
        differing=differing,
        laggards=behind,
        overrides=held,
        environment=place,
        wanted_by="the release" if wanted.release else "declaration",
        drifted=place in look.grid.drifted and place is not EnvironmentName.DEVELOPMENT,
    )
    found = (*cards.budget_items(look.budgets, look.policy.currency, place), *found)
    found = (*cards.proposal_items(approvals.waiting(place, now=look.now), place), *found)
    found = (*cards.standing_items(place, wiring.standing(), look.now), *found)
    found = (
        *plans.plan_items(
            schedule.alarms(place), schedule.waiting(place), glass.unreviewed(place), look.now
        ),
        *found,
    )
    engine = wiring.engine()
    if engine is None:
        return found
    return (*cards.decision_items(engine.shipping.backlog(), look.now), *found)


def cost_board(look: Look) -> cards.CostBoard:
    """Return what requests cost, and how the limits stand."""
    return cards.cost_board(
        look.spent,
        look.budgets,
        look.policy,
        environment=look.environment,
        now=look.now,
    )


def matrix_table(look: Look) -> cards.MatrixTable:
    """Return the matrix in force with where each row sends requests now."""
    return cards.matrix_table(look.environment, look.state, look.now)


def rollback_run(look: Look) -> cards.RollbackRun | None:
    """Return the last rollback of this environment with its steps."""
    last = rollback.history(look.environment, 1)
    return cards.rollback_run(last[0] if last else None)


def rollback_targets(look: Look) -> tuple[cards.TargetCard, ...]:
    """Return both targets of a rollback; none before flags are laid."""
    try:
        plans = [
            rollback.make_plan(now=look.now, environment=look.environment, target=target)
            for target in Target
        ]
    except NotFound:
        return ()
    return cards.rollback_targets(plans, look.now)
