"""A breaker forced by a person, and released: judged, compared and set, booked, announced."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.breakers import queries, store
from routing.breakers.held import Key
from routing.breakers.queries import BreakerRow
from routing.breakers.sharing import TOPIC
from routing.breakers.store import Forcing
from routing.changes import consent
from routing.core import circuit, guards, reasons, rights
from routing.core.chain import Json
from routing.core.circuit import Circuit, Forced
from routing.core.errors import Invalid, Stale
from routing.core.flags import FlagName
from routing.core.guards import Judgement
from routing.core.rights import Actor, Right
from routing.core.values import Action, Breaker, EnvironmentName, Health, Path
from routing.flags import snapshot
from routing.flags import store as flags
from routing.fleet import clock
from routing.fleet import queries as fleet
from routing.matrix import store as matrices

LONGEST = timedelta(hours=4)
SHORTEST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Force:
    """Hold the breaker of `path` in `state` for `lasts`.

    `base` is the audit entry of the forced state that was looked at, 0 where there was none.
    """

    path: Path
    state: Forced
    lasts: timedelta
    base: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What was done: its audit entry and the breaker before and after."""

    entry_seq: int
    before: BreakerRow
    after: BreakerRow


def force(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    wish: Force,
    reason: str,
    health: Mapping[Path, Health],
    confirmed: bool = False,
    typed_environment: str = "",
) -> Done:
    """Force a breaker; every process obeys within its poll and lets go at the end by itself.

    Raises Forbidden, Invalid (no reason, an end past 4 h, a path that is not configured), Stale,
    RuleBroken and NeedsConfirm (with `effects`); each is booked.
    """
    with _denied(by, now, Action.BREAKER_FORCE, environment, wish.path):
        rights.check(by, Right.CHANGE, environment)
        why = _reason(reason, environment)
        reasons.check_place(typed_environment, environment)
        _check_length(wish.lasts)
        with transaction.atomic(durable=True):
            key = _lock(environment, wish.path)
            _check_base(environment, wish.path, key, wish.base, now)
            judgement = _judge(environment, wish, key, health, now)
            consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
            return _write(
                by=by,
                now=now,
                key=key,
                action=Action.BREAKER_FORCE,
                reason=why,
                facts=_facts(judgement, confirmed),
                move=lambda found, at_us: circuit.force(
                    found, wish.state, at_us + wish.lasts // timedelta(microseconds=1), at_us
                ),
            )


def release(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    path: Path,
    base: int,
    reason: str,
    typed_environment: str = "",
) -> Done:
    """End a forced state before its time: open goes to half-open, closed stays closed.

    Raises Forbidden, Invalid (nothing is forced) and Stale; each is booked.
    """
    with _denied(by, now, Action.BREAKER_RELEASE, environment, path):
        rights.check(by, Right.CHANGE, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        with transaction.atomic(durable=True):
            key = _lock(environment, path)
            _check_base(environment, path, key, base, now)
            if not queries.row(key, now=now).is_forced:
                raise Invalid(
                    f"Nothing to release: nobody forces the breaker of {path} in {environment}."
                )
            return _write(
                by=by,
                now=now,
                key=key,
                action=Action.BREAKER_RELEASE,
                reason=why,
                facts={},
                move=circuit.release,
            )


def preview(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    wish: Force,
    health: Mapping[Path, Health],
) -> Judgement:
    """Return what the guards would say to `wish` now; nothing is written.

    Raises Forbidden, which is booked, and Invalid.
    """
    with _denied(by, now, Action.BREAKER_FORCE, environment, wish.path):
        rights.check(by, Right.CHANGE, environment)
    _check_length(wish.lasts)
    return _judge(environment, wish, _key(environment, wish.path), health, now)


def current(environment: EnvironmentName, path: Path, *, now: datetime) -> BreakerRow:
    """Return the breaker of `path` as it is stored; raises Invalid for one not configured."""
    return queries.row(_key(environment, path), now=now)


def _denied(
    by: Actor, now: datetime, action: Action, environment: EnvironmentName, path: Path
) -> AbstractContextManager[None]:
    return ledger.denied(
        by=by,
        now=now,
        action=action,
        environment=environment,
        object_type="breaker",
        object_id=str(path),
    )


def _reason(reason: str, environment: EnvironmentName) -> str:
    why = reasons.check(reason, environment)
    if len(why) < reasons.SHORTEST:
        raise Invalid(
            f"A forced breaker needs a reason of at least {reasons.SHORTEST} characters, in "
            "development too: say why, for whoever finds it so at night.",
            field="reason",
        )
    return why


def _check_length(lasts: timedelta) -> None:
    if not SHORTEST <= lasts <= LONGEST:
        raise Invalid(
            f"A forced breaker ends after 1 minute to 4 hours, not after {lasts}; choose an end "
            "in between and force it anew if it has to last.",
            field="lasts",
        )


def _key(environment: EnvironmentName, path: Path) -> Key:
    key = queries.key(fleet.environment(environment), path)
    if key is None:
        raise Invalid(
            f"{path} is not configured in {environment}, so it has no breaker; set its target "
            "first.",
            field="path",
        )
    return key


def _lock(environment: EnvironmentName, path: Path) -> Key:
    """Keep changes of flags and matrix away too: their guards and ours judge the same paths."""
    flags.lock(environment)
    return _key(environment, path)


def _check_base(
    environment: EnvironmentName, path: Path, key: Key, base: int, now: datetime
) -> None:
    found = queries.row(key, now=now)
    if found.entry_seq != base:
        held = f"forced ({found.state})" if found.is_forced else "not forced any more"
        raise Stale(
            f"The breaker of {path} in {environment} is {held} by now; you looked at something "
            "else. Look again, then decide.",
            current={"state": str(found.state), "entry": found.entry_seq},
            base=base,
        )


def _judge(
    environment: EnvironmentName,
    wish: Force,
    key: Key,
    health: Mapping[Path, Health],
    now: datetime,
) -> Judgement:
    """Force-close takes a path from nobody, but it may end that somebody holds it open."""
    shut = queries.shut(environment, now=now)
    opened = wish.state is Breaker.FORCED_OPEN
    declared = {**snapshot.declared(environment).states, **flags.read(environment)}
    return guards.judge_shut(
        environment=environment,
        shares={flag: declared[flag].share for flag in FlagName},
        matrix=matrices.read(environment),
        health=health,
        before=shut,
        after=shut | {key.path} if opened else shut - {key.path},
    )


def _write(
    *,
    by: Actor,
    now: datetime,
    key: Key,
    action: Action,
    reason: str,
    facts: dict[str, Json],
    move: Callable[[Circuit, int], Circuit],
) -> Done:
    before = queries.row(key, now=now)
    while True:  # processes move it as well; whoever loses looks again within this transaction
        kept = store.read(key)
        after = move(kept.circuit, store.at_us(clock.read(now)))
        if store.swap(kept, after, forcing=Forcing(by=by.id, reason=reason)):
            break
    fresh = queries.row(key, now=now)
    entry = ledger.record(
        by=by,
        now=now,
        action=action,
        environment=key.environment,
        object_type="breaker",
        object_id=str(key.path),
        reason=reason,
        before=as_json(before),
        after=as_json(fresh),
        facts=facts | {"target": key.target, "generation": fresh.generation},
    )
    if fresh.is_forced:
        store.seal(key, entry_seq=entry.seq)
    stream.announce(TOPIC, key.environment)
    return Done(entry_seq=entry.seq, before=before, after=queries.row(key, now=now))


def as_json(row: BreakerRow) -> dict[str, Json]:
    """Return a breaker's state as it is booked."""
    ends = row.ends_at if row.is_forced else None
    return {"state": str(row.state), "ends_at": ends.isoformat() if ends else None}


def _facts(judgement: Judgement, confirmed: bool) -> dict[str, Json]:
    return {
        "judgement": {
            "answer": str(judgement.answer),
            "rule": judgement.rule,
            "effects": list(judgement.effects),
        },
        "confirmed": confirmed,
    }
