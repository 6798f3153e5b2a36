"""What requests cost, in words: known amounts, what is not known and why, limits with their bars.

A figure says "at least" where requests behind it have no price or told no tokens; nothing unknown
is ever drawn as zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from dashboard.cards.overview import OpenItem
from dashboard.cards.wording import share
from routing.core.budget import LEVELS, Limit, Period, Standing, Unit
from routing.core.cost import decimal
from routing.core.values import EnvironmentName
from routing.cost.queries import Line, Policy, Sheet

UNKNOWN = "unknown"
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCard:
    """One limit; `filled` is 0 to 100 for its bar, `note` says what its figure leaves out."""

    name: str
    title: str
    shape: str
    word: str
    said: str
    share: str
    filled: int
    does: str
    note: str
    ends: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line of a table: tokens in and out, an amount, what of it is not known."""

    name: str
    requests: str
    read: str
    written: str
    amount: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTable:
    """What was spent, cut one way; `is_id` where its names are identifiers."""

    title: str
    column: str
    window: str
    lines: tuple[CostLine, ...]
    is_id: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceLine:
    """What a million tokens of a model cost; empty amounts where nobody said."""

    model: str
    input: str
    output: str
    used: str

    @property
    def is_known(self) -> bool:
        return bool(self.input)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostBoard:
    """The live part of the Cost page; `version` changes when a price or a limit does."""

    environment: EnvironmentName
    version: int
    currency: str
    summary: str
    lead: tuple[str, ...]
    limits: tuple[LimitCard, ...]
    prices: tuple[PriceLine, ...]
    tables: tuple[CostTable, ...]
    now: datetime


def cost_board(
    sheet: Sheet,
    standings: Sequence[Standing],
    policy: Policy,
    *,
    environment: EnvironmentName,
    now: datetime,
) -> CostBoard:
    """Word what was spent beside what may be."""
    worst = sorted(standings, key=lambda one: (-_part(one), one.limit.name))
    return CostBoard(
        environment=environment,
        version=policy.version,
        currency=policy.currency,
        summary=_summary(sheet, environment),
        lead=tuple(_lead(sheet, policy)),
        limits=tuple(_limit_card(one, policy.currency) for one in worst),
        prices=_prices(sheet.models, policy),
        tables=_tables(sheet) if sheet.month.requests or sheet.days else (),
        now=now,
    )


def money(nanos: int, currency: str) -> str:
    """Return an amount for the eye: two decimal places, or two figures when it is small."""
    value = Decimal(decimal(nanos))
    if not nanos or value >= _CENT:
        return f"{value.quantize(_CENT, ROUND_HALF_UP):,} {currency}"
    places = min(9, 11 - len(str(nanos)))
    return f"{value:.{places}f}".rstrip("0") + f" {currency}"


def _amount(line: Line) -> str:
    """Word what `line` cost."""
    if not line.requests:
        return ""
    if not line.money:
        return UNKNOWN if line.unpriced else "nothing"
    known = " + ".join(money(nanos, currency) for currency, nanos in line.money.items())
    return f"at least {known}" if line.unpriced else known


def _note(line: Line) -> str:
    told = []
    if line.unpriced:
        told.append(f"{_count(line.unpriced)} not priced")
    if line.cached:
        told.append(f"{_count(line.cached)} from the cache")
    return ", ".join(told)


def _count(number: int) -> str:
    return f"{number:,}"


def _summary(sheet: Sheet, environment: EnvironmentName) -> str:
    month, today = _amount(sheet.month), _amount(sheet.today)
    if not month:
        return f"No request was billed in {environment} this month"
    if month == UNKNOWN:
        return f"What {environment} spends is unknown: none of its requests has a price"
    if month == "nothing":
        return f"{environment} spent nothing this month: the cache answered all"
    return f"{environment} spent {month} this month and {today or 'nothing'} today"


def _lead(sheet: Sheet, policy: Policy) -> Iterable[str]:
    month, ours = sheet.month, sheet.ours
    if month.requests:
        yield (
            f"{_requests(month.requests)} used {_count(month.input_tokens)} tokens in and "
            f"{_count(month.output_tokens)} out this month (UTC)."
        )
    without = month.unpriced - month.untold
    if without > 0:
        yield from _without_price(sheet.models, policy)
    elif not policy.prices:
        yield "No price is set, so every amount is unknown until an admin sets one."
    if month.untold:
        verb = "has" if month.untold == 1 else "have"
        yield (
            f"{_requests(month.untold)} {verb} tokens that nobody told: MCP tells none, nor does "
            "an attempt that was cut off. Limits do not count them."
        )
    if ours.requests:
        yield (
            f"Besides, {_requests(ours.requests)} of our own (synthetic) used "
            f"{_count(ours.input_tokens + ours.output_tokens)} tokens: they are in no figure and "
            "no limit here."
        )


def _without_price(models: Sequence[Line], policy: Policy) -> Iterable[str]:
    """Word what has no price: what one could be set for, and what came before its price."""
    counts = {True: 0, False: 0}
    for line in models:
        counts[policy.price(line.name) is None] += line.unpriced - line.untold
    if counts[True]:
        yield (
            f"{_requests(counts[True])} went to models without a price. Set one: what is asked "
            "from then on is priced, what was asked before stays unknown."
        )
    if counts[False]:
        yield (
            f"{_requests(counts[False])} came before their model had this price; their amount "
            "stays unknown."
        )


def _requests(number: int) -> str:
    return "1 request" if number == 1 else f"{_count(number)} requests"


def _part(standing: Standing) -> float:
    return standing.spent / standing.limit.amount


_UNKNOWN: Mapping[Unit, str] = {
    Unit.MONEY: "their price or their tokens are unknown",
    Unit.TOKENS: "nobody told their tokens",
}
_SHAPED: Mapping[int, str] = {0: "on", 50: "partly", 75: "degraded", 90: "degraded"}


def _limit_card(standing: Standing, currency: str) -> LimitCard:
    limit = standing.limit
    spent = standing.level == LEVELS[-1]
    word = "spent" if spent else f"over {standing.level} %" if standing.level else "under 50 %"
    left_out = standing.uncounted
    return LimitCard(
        name=limit.name,
        title=f"{_whose(limit)}, {_when(limit)}",
        shape="unhealthy" if spent else _SHAPED[standing.level],
        word=f"{word}, requests refused" if standing.stops else word,
        said=f"{_said(limit, standing.spent, currency)} of {_said(limit, limit.amount, currency)}",
        share=share(min(standing.spent, limit.amount), limit.amount)
        if standing.spent <= limit.amount
        else f"{standing.spent * 100 // limit.amount} %",
        filled=min(100, standing.spent * 100 // limit.amount),
        does=_does(limit),
        note=f"{_requests(left_out)} not in this figure: {_UNKNOWN[limit.unit]}."
        if left_out
        else "",
        ends=standing.ends,
    )


def _whose(limit: Limit) -> str:
    return f"tenant {limit.tenant}" if limit.tenant else "whole environment"


def _when(limit: Limit) -> str:
    return "today" if limit.period is Period.DAY else "this month"


def _said(limit: Limit, amount: int, currency: str) -> str:
    if limit.unit is Unit.MONEY:
        return money(amount, currency)
    return "1 token" if amount == 1 else f"{_count(amount)} tokens"


def _does(limit: Limit) -> str:
    if not limit.hard_stop:
        return "It alerts and refuses nothing."
    if limit.stops_emergencies:
        return "Once spent, every request is refused, emergencies too."
    return "Once spent, requests are refused; emergencies go on."


def _prices(models: Sequence[Line], policy: Policy) -> tuple[PriceLine, ...]:
    """Return the models that have a price, and those that would need one to be counted."""
    used = {line.name: line for line in models}
    wants = [name for name, line in used.items() if name and line.unpriced > line.untold]
    return tuple(
        PriceLine(
            model=model,
            input=money(price.input_nanos, policy.currency) if price else "",
            output=money(price.output_nanos, policy.currency) if price else "",
            used=_requests(used[model].requests) if model in used else "no request",
        )
        for model in sorted({*policy.prices, *wants})
        for price in (policy.price(model),)
    )


def _tables(sheet: Sheet) -> tuple[CostTable, ...]:
    return (
        _table("By operation", "operation", "this month", sheet.operations, is_id=True),
        _table("By tenant", "tenant", "this month", sheet.tenants, is_id=True),
        _table("By model", "model", "this month", sheet.models, is_id=True),
        _table("By day", "day (UTC)", "the last 14 days", sheet.days),
    )


def _table(
    title: str, column: str, window: str, lines: Sequence[Line], *, is_id: bool = False
) -> CostTable:
    return CostTable(
        title=title,
        column=column,
        window=window,
        lines=tuple(_line(line) for line in lines),
        is_id=is_id,
    )


def _line(line: Line) -> CostLine:
    blind = line.requests == line.untold + line.cached
    return CostLine(
        name=line.name or "no answer",
        requests=_count(line.requests),
        read="not told" if blind and line.untold else _count(line.input_tokens),
        written="not told" if blind and line.untold else _count(line.output_tokens),
        amount=_amount(line),
        note=_note(line),
    )


def budget_items(
    standings: Sequence[Standing], currency: str, environment: EnvironmentName
) -> tuple[OpenItem, ...]:
    """Return the limits that are reached by half or more, worst first, each with what to do."""
    reached = sorted((s for s in standings if s.level), key=lambda one: -_part(one))
    return tuple(
        OpenItem(text=_item(standing, currency, environment), route="cost") for standing in reached
    )


def _item(standing: Standing, currency: str, environment: EnvironmentName) -> str:
    limit = standing.limit
    whose = f"tenant {limit.tenant}" if limit.tenant else str(environment)
    figure = (
        f"{_said(limit, standing.spent, currency)} of {_said(limit, limit.amount, currency)} "
        f"{_when(limit)}"
    )
    if standing.level < LEVELS[-1]:
        then = "requests will be refused" if limit.hard_stop else "nothing will be refused"
        return (
            f"The budget of {whose} is spent by {standing.level} %: {figure}. At 100 % {then}; "
            "see what spends it, or have an admin raise it."
        )
    if not standing.stops:
        return (
            f"The budget of {whose} is spent: {figure}. Nothing is refused; see what spends it, "
            "or have an admin raise it."
        )
    on = "emergencies too" if limit.stops_emergencies else "emergencies go on"
    return (
        f"The budget of {whose} is spent: {figure}. Requests are refused (429 refused_budget) "
        f"until {standing.ends:%Y-%m-%d %H:%M} UTC, {on}; an admin may raise the limit."
    )
