"""Prices and limits changed by a person, and the alerts of limits: judged, booked, announced."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from routing import stream
from routing.audit import ledger
from routing.changes import consent
from routing.core import cost, reasons, rights
from routing.core.budget import Limit, Period, Standing, Unit
from routing.core.cost import Price
from routing.core.errors import Forbidden, Invalid
from routing.core.rights import Actor, Right, system_actor
from routing.core.values import Action, EnvironmentName, Role
from routing.cost import policy, queries, snapshot, store
from routing.cost.policy import Policy

TOPIC = "cost"
BY = system_actor("budget")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceWish:
    """A price as a person wrote it, for a million tokens; `remove` takes it away."""

    model: str
    input: str = ""
    output: str = ""
    currency: str = ""
    remove: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitWish:
    """A limit as a person wrote it; `remove` takes away the one of its name."""

    period: Period
    unit: Unit
    most: str = ""
    tenant: str = ""
    currency: str = ""
    hard_stop: bool = False
    stops_emergencies: bool = False
    remove: bool = False


Wish = PriceWish | LimitWish


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done: its audit entry, and the versions before and after."""

    entry_seq: int
    before: Policy
    after: Policy


def wanted(environment: EnvironmentName, wish: Wish, base_version: int | None = None) -> Policy:
    """Return what is in force with `wish` put in its place, as the version that was looked at.

    Without `base_version` that is the newest. Raises Invalid for what cannot be meant.
    """
    inforce = store.read(environment)
    if base_version is not None:
        inforce = replace(inforce, version=base_version)
    return _priced(inforce, wish) if isinstance(wish, PriceWish) else _limited(inforce, wish)


def _priced(inforce: Policy, wish: PriceWish) -> Policy:
    model = wish.model.strip()
    if not model:
        raise Invalid("Name the model as the Cost page and `cost show` list it.", field="model")
    if wish.remove:
        return policy.with_price(inforce, model, None, "")
    price = Price(input_nanos=cost.amount(wish.input), output_nanos=cost.amount(wish.output))
    return policy.with_price(inforce, model, price, wish.currency.strip())


def _limited(inforce: Policy, wish: LimitWish) -> Policy:
    limit = Limit(
        tenant=wish.tenant.strip(),
        period=wish.period,
        unit=wish.unit,
        amount=0 if wish.remove else policy.read_amount(wish.unit, wish.most),
        hard_stop=wish.hard_stop,
        stops_emergencies=wish.stops_emergencies,
    )
    if wish.remove:
        return policy.without_limit(inforce, limit.name)
    return policy.with_limit(inforce, limit, wish.currency.strip())


def apply(
    *,
    by: Actor,
    now: datetime,
    environment: EnvironmentName,
    wanted: Policy,
    reason: str,
    confirmed: bool = False,
    typed_environment: str = "",
) -> Applied:
    """Put `wanted`, which was made from the version that it names, in force as the next one.

    Raises Forbidden, Invalid, Stale (with `current`) and NeedsConfirm (with `effects`); each is
    booked.
    """
    with ledger.denied(
        by=by,
        now=now,
        action=Action.COST_CHANGE,
        environment=environment,
        object_type="cost",
        object_id=str(environment),
    ):
        rights.check(by, Right.SETTINGS, environment)
        why = reasons.check(reason, environment)
        reasons.check_place(typed_environment, environment)
        policy.check(wanted)
        with transaction.atomic(durable=True):
            before = store.read(environment)
            after = store.put(
                environment=environment,
                base_version=wanted.version,
                wanted=wanted,
                by=by.id,
                now=now,
            )
            if replace(before, version=after.version) == after:
                raise Invalid(f"Nothing to change: it is already so in {environment}.")
            judgement = policy.judge(before, after, queries.standings(environment, after, now))
            if judgement.rule == policy.EMERGENCIES:
                _check_admin(by, environment)
            consent.check(judgement, by=by, environment=environment, confirmed=confirmed)
            entry = ledger.record(
                by=by,
                now=now,
                action=Action.COST_CHANGE,
                environment=environment,
                object_type="cost",
                object_id=str(environment),
                reason=why,
                before=policy.encode(before) | {"version": before.version},
                after=policy.encode(after) | {"version": after.version},
                facts={"rule": judgement.rule, "effects": list(judgement.effects)},
            )
            transaction.on_commit(snapshot.refresh, robust=True)
            stream.announce(TOPIC, environment)
            return Applied(entry_seq=entry.seq, before=before, after=after)


def _check_admin(by: Actor, environment: EnvironmentName) -> None:
    """Raise Forbidden unless `by` is an admin there, whatever else may change budgets some day."""
    if by.role(environment) is not Role.ADMIN:
        raise Forbidden(
            f"Only an admin of {environment} may let a budget stop emergencies; ask one.",
            environment=str(environment),
            roles=[str(Role.ADMIN)],
        )


def alert(
    *, now: datetime, environment: EnvironmentName, standing: Standing, currency: str
) -> int | None:
    """Book the levels of a limit that nobody booked in its period; return the entry or None.

    Several levels that are reached at once are one entry.
    """
    limit = standing.limit
    with transaction.atomic(durable=True):
        levels = store.note_alerts(environment, standing, currency, now)
        if not levels:
            return None
        entry = ledger.record(
            by=BY,
            now=now,
            action=Action.BUDGET_ALERT,
            environment=environment,
            object_type="budget",
            object_id=limit.name,
            facts={
                "levels": list(levels),
                "since": standing.since.isoformat(),
                "spent": _said(limit.unit, standing.spent),
                "amount": _said(limit.unit, limit.amount),
                "currency": currency if limit.unit is Unit.MONEY else "",
                "uncounted": standing.uncounted,
                "stops": standing.stops,
            },
        )
        stream.announce(TOPIC, environment)
        return entry.seq


def _said(unit: Unit, amount: int) -> str:
    return cost.decimal(amount) if unit is Unit.MONEY else str(amount)
