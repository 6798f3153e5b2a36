"""The Overview around its lanes: the sentence of state, where requests go, what changed, what
is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dashboard.cards.audit import audit_line
from dashboard.cards.lanes import LATELY, LATELY_WORDS, SIDE
from dashboard.cards.wording import share, took
from routing.audit.queries import EntryRow
from routing.core import situation, situation_facts
from routing.core.flags import FlagName
from routing.core.situation import Facts, Lever
from routing.core.values import Action, Health, Operation, Outcome, Path, Reason
from routing.decisions.queries import Flow, Recent
from routing.matrix.queries import OverrideRow

SHOWN = 7
_ORDINARY = frozenset({Reason.RULE, Reason.SPLIT, Reason.CACHE_HIT})


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedLine:
    """A change; `words` is all of it in one phrase, the fields before it are its parts.

    `end` says so where nothing came of it; `who` and `why` are empty for readers without the
    audit trail.
    """

    seq: int
    at: datetime
    did: str
    target: str
    changes: tuple[tuple[str, str, str], ...]
    words: str
    end: str
    who: str
    why: str
    is_new: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverCard:
    """A lever as it is offered, with its proof: `target` is the path that it opens the way to."""

    flag: FlagName
    effect: str
    concerns: str
    target: Path | None
    target_health: Health | None
    observed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateHeader:
    """How the environment stands. `cause` is the change just before, `more` how many others."""

    environment: str
    level: Health
    text: str
    title: str
    since: datetime | None
    why: tuple[str, ...]
    also: tuple[str, ...]
    effects: tuple[str, ...]
    looked: bool
    cause: FeedLine | None
    more: int
    levers: tuple[LeverCard, ...]
    observed_at: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFeed:
    environment: str
    lines: tuple[FeedLine, ...]
    tells_who: bool
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Went:
    """A path that answered, with its hue and its share."""

    path: Path
    side: str
    share: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """One operation: where it should go now, where it went, and why."""

    operation: Operation
    intended: Path
    side: str
    effective: tuple[Went, ...]
    share: str
    p95: str
    budget: str
    reasons: tuple[tuple[str, int], ...]
    total: int
    synthetic: int
    repeated: str
    is_off: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTable:
    """The decisions of the last minutes by operation; `label` is "synthetic" where none was real.

    `lost` says how many of our own requests got no answer where real ones are shown, `repeated`
    is the share that the cache answered, "" where it answered none.
    """

    rows: tuple[RequestRow, ...]
    total: int
    synthetic: int
    label: str
    lost: str
    efficiency: str
    repeated: str
    since: datetime | None
    newest: datetime | None
    window: str
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenItem:
    text: str
    route: str


def state_header(facts: Facts, before: Sequence[FeedLine], *, looked: bool) -> StateHeader:
    """Word the state; `before` are the changes just before it, newest first, if one `looked`."""
    told = situation.sentence(facts)
    return StateHeader(
        environment=facts.environment,
        level=told.level,
        text=told.text,
        title=_title(told.level),
        since=told.since,
        why=told.why,
        also=told.also,
        effects=told.effects,
        looked=looked,
        cause=before[0] if before else None,
        more=max(len(before) - 1, 0),
        levers=tuple(_lever(lever, facts) for lever in situation.levers(facts)),
        observed_at=min((p.observed_at for p in facts.paths.values()), default=None),
        now=facts.now,
    )


_SIGN: Mapping[Health, str] = {
    Health.HEALTHY: "●",
    Health.DEGRADED: "◆",
    Health.UNHEALTHY: "▲",
    Health.UNKNOWN: "◌",
    Health.MAINTENANCE: "⏸",
}


def _title(level: Health) -> str:
    return f"{_SIGN.get(level, '○')} {str(level).replace('_', ' ')} · Overview"


def _lever(lever: Lever, facts: Facts) -> LeverCard:
    onto = facts.paths.get(lever.target) if lever.target else None
    concerned = f"{situation_facts.requests(facts, lever.requests)} of {facts.window}"
    return LeverCard(
        flag=lever.flag,
        effect=lever.effect,
        concerns=f"{concerned} were for them." if lever.requests > 1 else "",
        target=lever.target,
        target_health=situation.fresh(onto, facts.now) if lever.target else None,
        observed_at=onto.observed_at if onto else None,
    )


def feed_lines(
    rows: Sequence[EntryRow], *, names: Mapping[str, str], tells_who: bool, now: datetime
) -> tuple[FeedLine, ...]:
    """Word booked changes; who and why only where `tells_who`."""
    return tuple(_feed_line(row, names, tells_who, now) for row in rows)


def _feed_line(
    row: EntryRow, names: Mapping[str, str], tells_who: bool, now: datetime
) -> FeedLine:
    line = audit_line(row, names)
    is_flags = row.action == Action.FLAG_CHANGE and bool(line.changes)
    # A flag's change names the flag itself; a set of flags names each.
    changes = tuple((name or line.target, old, new) for name, old, new in line.changes)
    whole = line.target == row.environment
    said = line.did.removesuffix(" of") if whole else line.did
    did = "" if is_flags else f"{said[0].upper()}{said[1:]}"
    target = "" if is_flags or whole else line.target
    set_to = "; ".join(f"{name} {old} → {new}" for name, old, new in changes)
    return FeedLine(
        seq=row.seq,
        at=row.at,
        did=did,
        target=target,
        changes=changes if is_flags else (),
        words=set_to if is_flags else f"{did} {target}".rstrip(),
        end=_end(row),
        who=line.who if tells_who else "",
        why=row.reason if tells_who else "",
        is_new=now - row.at < situation_facts.BEFORE,
    )


def _end(row: EntryRow) -> str:
    """Word how a run ended, empty for what is no end of one."""
    if row.outcome == Outcome.REFUSED:
        return "refused, nothing was written"
    facts = row.facts if isinstance(row.facts, Mapping) else {}
    return str(facts.get(_SAYS_END.get(row.action, ""), "")).replace("_", " ")


_SAYS_END: Mapping[str, str] = {
    Action.DEPLOYMENT_JUDGED: "verdict",
    Action.ROLLBACK_END: "end",
}


def change_feed(
    lines: Sequence[FeedLine], *, environment: str, tells_who: bool, now: datetime
) -> ChangeFeed:
    """Return the latest changes."""
    return ChangeFeed(
        environment=environment, lines=tuple(lines[:SHOWN]), tells_who=tells_who, now=now
    )


def request_table(facts: Facts, recent: Recent) -> RequestTable:
    """Word what was decided lately, an operation a row, beside what the matrix in force intends.

    Real requests count; traffic of our own stands in for them only where there are none.
    """
    recent = recent.later_than(facts.now - LATELY)
    real, ours = recent.flow(synthetic=False), recent.flow(synthetic=True)
    shown = real if real.total else ours
    decisions = situation_facts.decisions(facts, facts.state.flags)
    rows = tuple(
        _request_row(facts, recent, operation, decisions[operation].intended, shown)
        for operation in Operation
    )
    return RequestTable(
        rows=rows,
        total=real.total + ours.total,
        synthetic=ours.total,
        label="synthetic" if ours.total and not real.total else "",
        lost=_lost(ours) if real.total else "",
        efficiency=share(
            shown.answered - shown.moved - shown.repeated, shown.total - shown.repeated
        ),
        repeated=share(shown.repeated, shown.total) if shown.repeated else "",
        since=recent.since,
        newest=recent.rows[0].at if recent.rows else None,
        window=LATELY_WORDS,
        now=facts.now,
    )


def _lost(flow: Flow) -> str:
    """Word how many got no answer that no rule refused, empty for none."""
    refused = sum(flow.reasons.get(reason, 0) for reason in situation.RIGHTLY_REFUSED)
    lost = flow.total - flow.answered - refused
    return f"{lost} of {flow.total}" if lost else ""


def _request_row(
    facts: Facts, recent: Recent, operation: Operation, intended: Path, shown: Flow
) -> RequestRow:
    real = recent.flow(synthetic=False, operation=operation)
    ours = recent.flow(synthetic=True, operation=operation)
    whole_is_ours = not recent.flow(synthetic=False).total
    flow = ours if whole_is_ours else real
    answered = sorted(flow.effective.items(), key=lambda went: -went[1])
    return RequestRow(
        operation=operation,
        intended=intended,
        side=SIDE[intended],
        effective=tuple(
            Went(path=path, side=SIDE[path], share=share(count, flow.total))
            for path, count in answered
        ),
        share=share(flow.total, shown.total) if flow.total else "",
        p95=took(flow.p95_us),
        budget=took(facts.state.matrix.row(operation).budget_ms * 1000),
        reasons=tuple((str(reason), count) for reason, count in flow.reasons.items()),
        total=flow.total,
        synthetic=0 if whole_is_ours else ours.total,
        repeated=share(flow.repeated, flow.total) if flow.repeated else "",
        is_off=any(reason not in _ORDINARY for reason in flow.reasons),
    )


def open_items(
    *,
    differing: Sequence[str],
    laggards: Sequence[str],
    environment: str,
    overrides: Sequence[OverrideRow] = (),
    wanted_by: str = "declaration",
    drifted: bool = False,
) -> tuple[OpenItem, ...]:
    """Return what waits for a person: flags changed around us, overrides, flags off what they
    should be, processes behind.
    """
    around = OpenItem(
        text=f"Somebody changed flags of {environment} around us, which is not applied: an admin "
        "adopts or reverts it.",
        route="flags",
    )
    found = [around] if drifted else []
    found += [
        OpenItem(
            text=f"{row.operation} is overridden to {row.path} until "
            f"{row.ends_at.astimezone(UTC):%H:%M} UTC.",
            route="routing",
        )
        for row in overrides
    ]
    if differing:
        verb = "differs" if len(differing) == 1 else "differ"
        own = "its" if len(differing) == 1 else "their"
        from_what = f"{own} declaration" if wanted_by == "declaration" else wanted_by
        text = f"{situation_facts.join(differing)} {verb} from {from_what} in {environment}."
        found.append(OpenItem(text=text, route="flags"))
    if laggards:
        verb = "runs" if len(laggards) == 1 else "run"
        text = f"{situation_facts.join(laggards)} still {verb} an older version of the flags."
        found.append(OpenItem(text=text, route=""))
    return tuple(found)
