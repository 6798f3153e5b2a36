"""Flags changed around us: found and booked once, then adopted or reverted by an admin."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.changes import approval, around, change, consent
from routing.core import reasons, rights
from routing.core.booked import Difference
from routing.core.errors import HybridOpsError, Invalid, NotFound, Stale
from routing.core.flags import DECLARED, FlagName, SetFlag, State
from routing.core.rights import Actor, Right, system_actor
from routing.core.values import Action, EnvironmentName, Health, Path
from routing.flags import snapshot, store
from routing.flags.snapshot import Mark

log = logging.getLogger(__name__)
WATCH = system_actor("flags")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How the flags of an environment stand against what is booked.

    `touches` is what a person looked at who settles it. It is open when the database counted a
    write that nothing explains, or a row is not as booked; `applied` says that the processes run
    what the table says.
    """

    environment: EnvironmentName
    touches: int
    unexplained: int
    noted: bool
    applied: bool
    differences: tuple[Difference, ...]

    @property
    def is_open(self) -> bool:
        return self.unexplained != 0 or bool(self.differences)


def look(environment: EnvironmentName) -> Drift:
    """Return the drift of `environment`, compared with the whole trail; nothing is written.

    Raises NotFound where no flags were laid, AuditBroken where the trail does not tell.
    """
    mark = store.marks().get(environment)
    if mark is None:
        raise NotFound(f"{environment} has no flags yet; start the server once.")
    return _drift(environment, mark)


def _drift(environment: EnvironmentName, mark: Mark) -> Drift:
    return Drift(
        environment=environment,
        touches=mark.touched,
        unexplained=mark.touched - mark.explained,
        noted=mark.noted,
        applied=environment is EnvironmentName.DEVELOPMENT,
        differences=around.look(environment),
    )


def problems(environments: Sequence[EnvironmentName]) -> tuple[str, ...]:
    """Return in words each flag that does not come out of the fold of the trail."""
    laid = store.marks()
    return tuple(
        words(environment, one)
        for environment in environments
        if environment in laid
        for one in around.look(environment)
    )


def words(environment: EnvironmentName, one: Difference) -> str:
    """Say how one flag stands against what is booked."""
    if one.booked is None:
        return f"{one.flag} in {environment} has a row that nobody booked."
    entry = f"entry {one.booked.entry_seq}"
    if one.found is None:
        return f"{one.flag} in {environment} has no row; {entry} left it one."
    if not one.is_state:
        return f"{one.flag} in {environment} does not say who changed it as {entry} does."
    return (
        f"{one.flag} in {environment} is {told(one.found.state)}; {entry} left it "
        f"{told(one.booked.state)}."
    )


def told(state: State) -> str:
    """Word a state with its version."""
    how = "off" if not state.on else "on" if state.percentage == 100 else _shared(state)
    return f"{how} at version {state.version}"


def _shared(state: State) -> str:
    return " and ".join([f"on for {state.percentage} %", *state.groups])


def keep(environments: Sequence[EnvironmentName], now: datetime) -> None:
    """Book each drift that this process sees and nobody booked: once, whoever sees it first.

    In development that takes it in. For a loop that has just read the snapshot.
    """
    for environment in environments:
        mark = snapshot.current().environments[environment].mark
        if not mark.is_drifted or mark.noted:
            continue
        try:
            _note(environment, now)
        except HybridOpsError:  # the loop must go on; the next look tries again
            log.exception("The flags changed around us in %s were not booked.", environment)


def _note(environment: EnvironmentName, now: datetime) -> None:
    with transaction.atomic(durable=True):
        mark = around.begin(environment, now=now)
        if not mark.is_drifted or mark.noted:
            return
        found = around.look(environment)
        store.note(environment)
        ledger.record(
            by=WATCH,
            now=now,
            action=Action.FLAG_DRIFT,
            environment=environment,
            object_type="flags",
            object_id=str(environment),
            before=around.said({one.flag: one.booked for one in found}),
            after=around.said({one.flag: one.found for one in found}),
            facts={"applied": False, "unexplained": mark.touched - mark.explained},
        )
        transaction.on_commit(snapshot.refresh, robust=True)
        stream.announce("flags", environment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What was done about a drift: its audit entry, and what had differed."""

    entry_seq: int
    differences: tuple[Difference, ...]


def adopt(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    touches: int,
    reason: str,
    health: Mapping[Path, Health],
    confirmed: bool = False,
    typed_environment: str = "",
) -> Settled:
    """Book what stands in the table as the state of the flags; the guards judge it as a change.

    `touches` is what the admin looked at. Raises Forbidden, Invalid, NotFound, Stale, RuleBroken
    and NeedsConfirm as a change does; each is booked.
    """

    def write(mark: Mark, why: str) -> Settled:
        found = around.look(environment)
        states, sets = store.read(environment), _sets(environment, found)
        judgement = change.judge(environment, states, sets, health, now=now)
        consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
        booked = {**snapshot.declared(environment).states, **states}
        approval.check_adopted(
            environment, {item.flag: (booked[item.flag], item.state) for item in sets}
        )
        facts = {"rule": judgement.rule, "effects": list(judgement.effects)}
        seq, _ = around.take_in(environment, by=by, now=now, reason=why, facts=facts)
        return Settled(entry_seq=seq, differences=found)

    return _settle(
        action=Action.FLAG_ADOPT,
        by=by,
        now=now,
        environment=environment,
        touches=touches,
        reason=reason,
        typed_environment=typed_environment,
        write=write,
    )


def _sets(environment: EnvironmentName, found: Sequence[Difference]) -> list[SetFlag]:
    wanted = {
        FlagName(one.flag): state
        for one in found
        if one.flag in DECLARED and (state := around.adopted(environment, one)) is not None
    }
    return [
        SetFlag(
            flag=flag,
            on=state.on,
            percentage=state.percentage,
            groups=state.groups,
            base_version=state.version,
        )
        for flag, state in wanted.items()
    ]


def revert(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    touches: int,
    reason: str,
    typed_environment: str = "",
) -> Settled:
    """Write the booked state of the flags back into the table; raises as `adopt` does.

    The processes run it already, so no guard is asked.
    """

    def write(mark: Mark, why: str) -> Settled:
        found = around.put_back(environment)
        entry = ledger.record(
            by=by,
            now=now,
            action=Action.FLAG_REVERT,
            environment=environment,
            object_type="flags",
            object_id=str(environment),
            reason=why,
            before=around.said({one.flag: one.found for one in found}),
            after=around.said({one.flag: one.booked for one in found}),
            facts={"unexplained": mark.touched - mark.explained},
        )
        return Settled(entry_seq=entry.seq, differences=found)

    return _settle(
        action=Action.FLAG_REVERT,
        by=by,
        now=now,
        environment=environment,
        touches=touches,
        reason=reason,
        typed_environment=typed_environment,
        write=write,
    )


def _settle(
    *,
    action: Action,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    touches: int,
    reason: str,
    typed_environment: str,
    write: Callable[[Mark, str], Settled],
) -> Settled:
    with ledger.denied(
        by=by,
        now=now,
        action=action,
        environment=environment,
        object_type="flags",
        object_id=str(environment),
    ):
        rights.check(by, Right.SETTLE, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        with transaction.atomic(durable=True):
            mark = store.hold(environment)
            drift = _drift(environment, mark)
            if not drift.is_open:
                raise Invalid(f"Nothing to settle: the flags of {environment} are as booked.")
            if mark.touched != touches:
                raise Stale(
                    "The flags were written again since you looked; look at what differs now, "
                    "then decide.",
                    current=mark.touched,
                )
            return write(mark, why)
