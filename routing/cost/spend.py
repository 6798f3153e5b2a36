"""What was spent, added up by day: once for each record, in the transaction that stores it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from datetime import date
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.db.models import Sum

from routing.core import cost
from routing.core.budget import Sums
from routing.core.cost import Charge
from routing.core.values import EnvironmentName
from routing.cost.models import Spend


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Key:
    """Which row a record is counted in."""

    environment: str
    day: date
    operation: str
    tenant: str
    model: str
    currency: str
    synthetic: bool


@dataclass(slots=True, kw_only=True)
class Counts:
    """What is added to a row."""

    requests: int = 0
    cached: int = 0
    untold: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nanos: int = 0

    def add(self, charge: Charge) -> None:
        """Count one decision."""
        read, written = charge.tokens or (0, 0)
        self.requests += 1
        self.cached += charge.cached
        self.untold += not charge.cached and (charge.tokens is None or charge.open)
        self.unpriced += not charge.is_priced
        self.input_tokens += read
        self.output_tokens += written
        self.nanos += charge.nanos or 0


def add(bodies: Iterable[Mapping[str, Any]]) -> None:
    """Add what the decisions among `bodies` cost, within the caller's transaction.

    Their order is that of the keys, so that two processes never wait for each other in a ring.
    """
    sums: defaultdict[Key, Counts] = defaultdict(Counts)
    for body in bodies:
        if body.get("kind") == "decision" and body.get("cost") is not None:
            charge = cost.unpack(body["cost"], body.get("usage"))
            sums[_key(body, charge)].add(charge)
    for key in sorted(sums):
        _add(key, sums[key])


def _key(body: Mapping[str, Any], charge: Charge) -> Key:
    return Key(
        environment=body["environment"],
        day=date.fromisoformat(body["at"][:10]),
        operation=body["operation"],
        tenant=body["tenant"],
        model=charge.model,
        currency=charge.currency,
        synthetic=bool(body.get("synthetic")),
    )


def _add(key: Key, counts: Counts) -> None:
    if _grow(key, counts):
        return
    try:
        with transaction.atomic():
            Spend.objects.create(**asdict(key), **asdict(counts))
    except IntegrityError:  # another process began the row just now
        _grow(key, counts)


def _grow(key: Key, counts: Counts) -> bool:
    """Add `counts` to the row of `key`; False where there is none.

    It is part of every batch, and the statement made of models anew each time cost more than the
    rest of it.
    """
    where = asdict(key) | {"day": connection.ops.adapt_datefield_value(key.day)}
    with connection.cursor() as cursor:
        cursor.execute(_GROW, [*astuple(counts), *where.values()])
        return bool(cursor.rowcount)


_GROW = (
    f"UPDATE {Spend._meta.db_table} "  # noqa: S608 - names
    f"SET {', '.join(f'{f.name} = {f.name} + %s' for f in fields(Counts))} "
    f"WHERE {' AND '.join(f'{f.name} = %s' for f in fields(Key))}"
)


def totals(
    environment: EnvironmentName, since: date, until: date, currency: str
) -> dict[str, Sums]:
    """Return what real requests cost from `since` to before `until`, by tenant; "" is all.

    Money of another currency than `currency` is no money here: its requests are unpriced.
    """
    found: defaultdict[str, Sums] = defaultdict(Sums)
    rows = (
        Spend.objects.filter(
            environment=str(environment), day__gte=since, day__lt=until, synthetic=False
        )
        .values_list("tenant", "currency")
        .annotate(
            Sum("nanos"),
            Sum("input_tokens"),
            Sum("output_tokens"),
            Sum("unpriced"),
            Sum("untold"),
            Sum("requests"),
        )
    )
    for tenant, said, nanos, read, written, unpriced, untold, requests in rows:
        foreign = bool(said) and said != currency
        one = Sums(
            nanos=0 if foreign else nanos,
            tokens=read + written,
            unpriced=requests if foreign else unpriced,
            untold=untold,
        )
        found[tenant] += one
        found[""] += one
    return dict(found)
