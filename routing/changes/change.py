"""A change of flags: one use case behind every door, atomic, judged, booked, announced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.breakers import queries as breakers
from routing.changes import approval, around, consent, ends, standing
from routing.changes.consent import Confirmed
from routing.core import audience, guards, reasons, rights, rollout
from routing.core.approval import Under, Wish
from routing.core.booked import as_json
from routing.core.chain import Json
from routing.core.errors import Invalid, NotFound
from routing.core.flags import FlagName, SetFlag, State, parse_flag
from routing.core.guards import Cause, Judgement
from routing.core.rights import Actor, Right
from routing.core.values import Action, EnvironmentName, Health, Path
from routing.flags import snapshot, store
from routing.flags.snapshot import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    flag: FlagName
    before: State
    after: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done: its audit entry, the version of the set, each flag before and after."""

    entry_seq: int
    version: int
    changes: tuple[Change, ...]


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    sets: Sequence[SetFlag],
    reason: str,
    health: Mapping[Path, Health],
    cause: Cause | None = None,
    confirmed: bool = False,
    typed_environment: str = "",
    ends_at: datetime | None = None,
    told: Mapping[str, Json] | None = None,
    under: Under = None,
    first: Callable[[], None] | None = None,
    then: Callable[[Applied], None] | None = None,
) -> Applied:
    """Apply all of `sets` or none, under one audit entry; every process is told after the commit.

    At `ends_at` the flags go back to what they were. `told` are further facts for the entry.
    `first` and `then` are a run's: it checks its fence and keeps its result in the transaction of
    the change. What they raise undoes it. `under` is the approved proposal that the change stands
    on, or what never waits for one.
    Flags that already are as wanted are left alone; a set in which nothing changes is Invalid.
    Raises Forbidden, Invalid, UnknownWord, NotFound (no such flags yet), Stale (with `current`),
    RuleBroken (with `rule`) and NeedsConfirm (with `effects`); each of them is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.FLAG_CHANGE,
        environment=environment,
        object_type=_object_type(sets),
        object_id=_object_id(environment, sets),
    ):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        with transaction.atomic(durable=True):
            if first is not None:
                first()
            applied = carry_out(
                by=by,
                now=now,
                environment=environment,
                sets=sets,
                reason=why,
                health=health,
                cause=cause,
                confirmed=confirmed,
                ends_at=ends_at,
                told=told,
                under=under,
            )
            if then is not None:
                then(applied)
            return applied


def carry_out(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    sets: Sequence[SetFlag],
    reason: str,
    health: Mapping[Path, Health],
    cause: Cause | None = None,
    confirmed: Confirmed = False,
    ends_at: datetime | None = None,
    told: Mapping[str, Json] | None = None,
    under: Under = None,
) -> Applied:
    """Do what `apply` does, in the caller's transaction: it checks rights and words, and books
    a refusal.
    """
    wanted = _checked(sets)
    ends.check(ends_at, now, cause)
    mark = around.begin(environment, now=now)
    states = store.read(environment)
    pending = _pending(wanted, states)
    judgement = judge(environment, states, pending, health, cause, now=now, ends_at=ends_at)
    consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
    agreed = approval.check(
        by=by,
        now=now,
        environment=environment,
        pending=pending,
        states=states,
        reason=reason,
        cause=cause,
        under=under,
        lasts=None if ends_at is None else ends_at - now,
    )
    facts = _facts(judgement, cause, confirmed) | ends.facts(ends_at) | dict(told or {}) | agreed
    applied = _write(
        by=by,
        now=now,
        environment=environment,
        mark=mark,
        pending=pending,
        before=states,
        reason=reason,
        facts=facts,
    )
    approval.seal(under, entry_seq=applied.entry_seq)
    if ends_at is not None:
        back = [
            SetFlag(
                flag=made.flag,
                on=made.before.on,
                percentage=made.before.percentage,
                groups=made.before.groups,
                base_version=made.after.version,
            )
            for made in applied.changes
        ]
        ends.plan(
            by=by,
            now=now,
            environment=environment,
            sets=back,
            ends_at=ends_at,
            entry_seq=applied.entry_seq,
        )
    return applied


def preview(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    sets: Sequence[SetFlag],
    health: Mapping[Path, Health],
    reason: str = "",
    cause: Cause | None = None,
    ends_at: datetime | None = None,
) -> Judgement:
    """Return what the guards would say to `sets` now; nothing is written.

    The reason is judged when it is given at last. Raises as `apply` does for the rest; only a
    missing right is booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.FLAG_CHANGE,
        environment=environment,
        object_type=_object_type(sets),
        object_id=_object_id(environment, sets),
    ):
        rights.check(by, Right.CHANGE, environment)
    if reason:
        reasons.check(reason, environment)
    return judge_sets(
        now=now,
        environment=environment,
        sets=sets,
        health=health,
        cause=cause,
        ends_at=ends_at,
    )


def judge_sets(
    *,
    now: datetime,
    environment: EnvironmentName,
    sets: Sequence[SetFlag],
    health: Mapping[Path, Health],
    cause: Cause | None = None,
    ends_at: datetime | None = None,
) -> Judgement:
    """Return what the guards say to `sets`; raises as `apply` does and books nothing."""
    ends.check(ends_at, now, cause)
    wanted = _checked(sets)
    states = store.read(environment)
    pending = _pending(wanted, states)
    return judge(environment, states, pending, health, cause, now=now, ends_at=ends_at)


def needing(
    environment: EnvironmentName, sets: Sequence[SetFlag], cause: Cause | None = None
) -> tuple[FlagName, ...]:
    """Return which flags of `sets` wait for a second person."""
    states = store.read(environment)
    pending = _pending(_checked(sets), states)
    return approval.needing(environment, approval.shares(pending, states), cause)


def wishes(environment: EnvironmentName, sets: Sequence[SetFlag]) -> tuple[Wish, ...]:
    """Return what of `sets` is left to do, as it can be agreed to; raises as `apply` does."""
    return approval.wishes(_pending(_checked(sets), store.read(environment)))


def _object_type(sets: Sequence[SetFlag]) -> str:
    return "flag" if len(sets) == 1 else "flags"


def _object_id(environment: EnvironmentName, sets: Sequence[SetFlag]) -> str:
    return str(sets[0].flag) if len(sets) == 1 else str(environment)


def _checked(sets: Sequence[SetFlag]) -> tuple[SetFlag, ...]:
    """Return `sets` as they can be applied: known flags, each once, off without a share."""
    wanted = tuple(
        SetFlag(
            flag=parse_flag(item.flag),
            on=item.on,
            base_version=item.base_version,
            percentage=item.percentage if item.on else 100,
            groups=audience.check(item.groups) if item.on else (),
        )
        for item in sets
    )
    if not wanted:
        raise Invalid("The change names no flag; name at least one.", field="sets")
    if len({item.flag for item in wanted}) != len(wanted):
        raise Invalid("The change names a flag twice; name each once.", field="sets")
    for item in wanted:
        if not 0 <= item.percentage <= 100:
            raise Invalid(
                f"The share of {item.flag} is {item.percentage} %; give 0 to 100.",
                field="percentage",
            )
        if item.groups and item.percentage == 100:
            raise Invalid(
                f"{item.flag} at 100 % is on for everyone; name groups beside a smaller share.",
                field="groups",
            )
    return wanted


def _pending(wanted: Sequence[SetFlag], states: Mapping[FlagName, State]) -> tuple[SetFlag, ...]:
    """Return what is left to do. Stale comes before "nothing to do": whoever looked at an older
    version lost a race, even against somebody who wanted the same.
    """
    for item in wanted:
        state = states.get(item.flag)
        if state is None:
            raise NotFound(
                f"{item.flag} was not laid here yet; start the server once (`manage.py serve`).",
                flag=str(item.flag),
            )
        if state.version != item.base_version:
            raise store.stale(item.flag, item.base_version, state)
    pending = tuple(item for item in wanted if not _is_already(item, states[item.flag]))
    if not pending:
        names = ", ".join(item.flag for item in wanted)
        raise Invalid(f"Nothing to change: {names} already as wanted.", field="sets")
    return pending


def _is_already(item: SetFlag, state: State) -> bool:
    return item.state.gives_as(state)


def judge(
    environment: EnvironmentName,
    states: Mapping[FlagName, State],
    pending: Sequence[SetFlag],
    health: Mapping[Path, Health],
    cause: Cause | None = None,
    *,
    now: datetime,
    ends_at: datetime | None = None,
) -> Judgement:
    """Return what the guards say to `pending`: as it stands and, while a person holds a path's
    breaker open, without that path.
    """
    ends_soon = ends.are_soon(ends_at, now)
    if ends.are_missing(environment, pending, ends_soon=ends_soon):
        return guards.NEEDS_END
    before = {**snapshot.declared(environment).states, **states}
    after = {**before, **{item.flag: item.state for item in pending}}
    members = {
        item.flag: rollout.member_ends(before[item.flag], after[item.flag]) for item in pending
    }
    had = {flag: state.share for flag, state in before.items()}
    has = {flag: state.share for flag, state in after.items()}
    shut = {guards.PROVIDER[path]: 0 for path in breakers.shut(environment, now=now)}
    return guards.worst(
        [
            guards.judge_shares(
                environment=environment,
                before=had | off,
                after=has | off,
                matrix=matrix,
                health=health,
                cause=cause,
                ends_soon=ends_soon,
                members={flag: ends for flag, ends in members.items() if flag not in off},
            )
            for matrix in standing.matrices(environment, now)
            for off in ([{}, shut] if shut else [{}])
        ]
    )


def _write(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    mark: Mark,
    pending: Sequence[SetFlag],
    before: Mapping[FlagName, State],
    reason: str,
    facts: dict[str, Json],
) -> Applied:
    write = around.put if mark.is_drifted else store.swap
    changes = tuple(
        Change(
            flag=item.flag,
            before=before[item.flag],
            after=write(
                environment=environment, flag=item.flag, wanted=item.state, by=by.id, now=now
            ),
        )
        for item in pending
    )
    version = store.bump(environment, beyond=around.version(environment, mark))
    one = len(changes) == 1
    entry = ledger.record(
        by=by,
        now=now,
        action=Action.FLAG_CHANGE,
        environment=environment,
        object_type="flag" if one else "flags",
        object_id=str(changes[0].flag) if one else str(environment),
        reason=reason,
        before={str(change.flag): as_json(change.before) for change in changes},
        after={str(change.flag): as_json(change.after) for change in changes},
        facts=facts | {"flags_version": version},
    )
    store.seal(environment, [change.flag for change in changes], entry_seq=entry.seq)
    store.explain(environment, mark)
    transaction.on_commit(snapshot.refresh, robust=True)
    stream.announce("flags", environment)
    return Applied(entry_seq=entry.seq, version=version, changes=changes)


def _facts(judgement: Judgement, cause: Cause | None, confirmed: Confirmed) -> dict[str, Json]:
    return {
        "judgement": {
            "answer": str(judgement.answer),
            "rule": judgement.rule,
            "effects": list(judgement.effects),
        },
        "cause": cause and str(cause),
        "confirmed": bool(confirmed),
    }
