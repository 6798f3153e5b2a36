"""Prices and limits of one environment, as data: one currency, exact decimals, nothing guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from routing.core import cost
from routing.core.budget import Limit, Period, Standing, Unit
from routing.core.cost import LONGEST_MODEL, MOST_NANOS, MOST_TOKENS, Price
from routing.core.errors import Invalid
from routing.core.guards import Answer, Judgement
from routing.core.values import parse

FORM = 1
MOST_ROWS = 200
LONGEST_TENANT = 64
STOPS, EMERGENCIES, UNPRICED = "budget_stops", "budget_stops_emergencies", "price_removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version; version 0 is before any other: no price is known and nothing is limited.

    Every price and every limit in money is of `currency`, which is empty while there is none.
    """

    version: int = 0
    currency: str = ""
    prices: Mapping[str, Price] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()

    def price(self, model: str) -> Price | None:
        """Return what `model` costs, None where nobody said."""
        return self.prices.get(model)

    def limit(self, name: str) -> Limit | None:
        """Return the limit of that name, None where there is none."""
        return next((limit for limit in self.limits if limit.name == name), None)


DEFAULT = Policy()


def with_price(policy: Policy, model: str, price: Price | None, currency: str) -> Policy:
    """Return `policy` with that price of `model`, or without one; raises Invalid.

    A currency is changed by taking away what is said in the other one first.
    """
    prices = {name: kept for name, kept in policy.prices.items() if name != model}
    if price is None:
        if model not in policy.prices:
            raise Invalid(f"{model} has no price that could be removed.", field="model")
        return _settled(replace(policy, prices=prices))
    wanted = _same_currency(replace(policy, prices=prices), currency)
    return replace(wanted, prices=prices | {model: price})


def with_limit(policy: Policy, limit: Limit, currency: str = "") -> Policy:
    """Return `policy` with `limit` in the place of the one of its name; raises Invalid."""
    others = tuple(kept for kept in policy.limits if kept.name != limit.name)
    wanted = replace(policy, limits=others)
    if limit.unit is Unit.MONEY:
        wanted = _same_currency(wanted, currency)
    return replace(wanted, limits=tuple(sorted((*others, limit), key=lambda kept: kept.name)))


def without_limit(policy: Policy, name: str) -> Policy:
    """Return `policy` without the limit of that name; raises Invalid where there is none."""
    if policy.limit(name) is None:
        raise Invalid(f"There is no limit {name} that could be removed.", field="limit")
    return _settled(replace(policy, limits=tuple(k for k in policy.limits if k.name != name)))


def _settled(policy: Policy) -> Policy:
    return policy if _speaks_money(policy) else replace(policy, currency="")


def _speaks_money(policy: Policy) -> bool:
    return bool(policy.prices) or any(kept.unit is Unit.MONEY for kept in policy.limits)


def _same_currency(policy: Policy, currency: str) -> Policy:
    wanted = cost.currency(currency or policy.currency)
    if _speaks_money(policy) and wanted != policy.currency:
        raise Invalid(
            f"Prices and limits here are in {policy.currency}, and nothing is converted; remove "
            f"them first, then set all of them in {wanted}.",
            field="currency",
        )
    return replace(policy, currency=wanted)


def check(policy: Policy) -> None:
    """Raise Invalid for what could not be obeyed."""
    if _speaks_money(policy):
        cost.currency(policy.currency)
    elif policy.currency:
        raise Invalid("A currency goes with a price or a limit in money.", field="currency")
    if len(policy.prices) > MOST_ROWS or len(policy.limits) > MOST_ROWS:
        raise Invalid(f"An environment has at most {MOST_ROWS} prices and as many limits.")
    for model, price in policy.prices.items():
        if not (0 < len(model) <= LONGEST_MODEL and model.isprintable()):
            raise Invalid(f"Name the model in 1 to {LONGEST_MODEL} characters.", field="model")
        if not all(0 <= n <= MOST_NANOS for n in (price.input_nanos, price.output_nanos)):
            raise Invalid(f"The price of {model} is out of bounds.", field="input")
    for limit in policy.limits:
        _check_limit(limit)


def _check_limit(limit: Limit) -> None:
    most = MOST_NANOS if limit.unit is Unit.MONEY else MOST_TOKENS
    if not 1 <= limit.amount <= most:
        said = "1000000000" if limit.unit is Unit.MONEY else str(MOST_TOKENS)
        raise Invalid(f"A limit is more than 0 and at most {said}.", field="amount")
    if len(limit.tenant) > LONGEST_TENANT or not limit.tenant.isprintable():
        raise Invalid(f"Name the tenant in at most {LONGEST_TENANT} characters.", field="tenant")
    if limit.stops_emergencies and not limit.hard_stop:
        raise Invalid(
            "A limit that stops emergencies stops all other requests, too; make it a hard stop.",
            field="stops_emergencies",
        )


def encode(policy: Policy) -> dict[str, Any]:
    """Return `policy` as JSON, without its version."""
    return {
        "form": FORM,
        "currency": policy.currency,
        "prices": {model: _encode_price(policy.prices[model]) for model in sorted(policy.prices)},
        "limits": {limit.name: _encode_limit(limit) for limit in policy.limits},
    }


def _encode_price(price: Price) -> dict[str, str]:
    return {"input": cost.decimal(price.input_nanos), "output": cost.decimal(price.output_nanos)}


def _encode_limit(limit: Limit) -> dict[str, Any]:
    money = limit.unit is Unit.MONEY
    found: dict[str, Any] = {
        "period": str(limit.period),
        **({"money": cost.decimal(limit.amount)} if money else {"tokens": limit.amount}),
    }
    found |= {"tenant": limit.tenant} if limit.tenant else {}
    found |= {"hard_stop": True} if limit.hard_stop else {}
    return found | ({"stops_emergencies": True} if limit.stops_emergencies else {})


def decode(kept: Any, *, version: int) -> Policy:
    """Return the policy that `kept` says; raises Invalid or UnknownWord for anything else."""
    _only(kept, {"form", "currency", "prices", "limits"}, "A document of prices and limits")
    if kept.get("form") != FORM:
        raise Invalid(f"This document has form {kept.get('form')!r}; this code reads {FORM}.")
    prices, limits = kept.get("prices"), kept.get("limits")
    if not isinstance(prices, Mapping) or not isinstance(limits, Mapping):
        raise Invalid("Prices and limits must be objects.")
    read = [_decode_limit(limit) for limit in limits.values()]
    policy = Policy(
        version=version,
        currency=str(kept.get("currency", "")),
        prices={str(model): _decode_price(price) for model, price in prices.items()},
        limits=tuple(sorted(read, key=lambda limit: limit.name)),
    )
    check(policy)
    if sorted(limits) != [limit.name for limit in policy.limits]:
        raise Invalid("A limit stands under another name than its own.")
    return policy


def _decode_price(kept: Any) -> Price:
    _only(kept, {"input", "output"}, "A price")
    return Price(
        input_nanos=cost.amount(str(kept.get("input"))),
        output_nanos=cost.amount(str(kept.get("output"))),
    )


def _decode_limit(kept: Any) -> Limit:
    _only(
        kept, {"period", "money", "tokens", "tenant", "hard_stop", "stops_emergencies"}, "A limit"
    )
    if ("money" in kept) == ("tokens" in kept):
        raise Invalid("A limit says either money or tokens.")
    tokens = kept.get("tokens")
    if "tokens" in kept and (not isinstance(tokens, int) or isinstance(tokens, bool)):
        raise Invalid("A limit's tokens are a whole number.")
    return Limit(
        tenant=str(kept.get("tenant", "")),
        period=parse(Period, str(kept.get("period"))),
        unit=Unit.MONEY if "money" in kept else Unit.TOKENS,
        amount=cost.amount(str(kept["money"])) if "money" in kept else int(tokens or 0),
        hard_stop=kept.get("hard_stop", False) is True,
        stops_emergencies=kept.get("stops_emergencies", False) is True,
    )


def _only(kept: Any, known: set[str], what: str) -> None:
    if not isinstance(kept, Mapping) or set(kept) - known:
        raise Invalid(f"{what} is an object of {', '.join(sorted(known))}, and of nothing else.")


def read_amount(unit: Unit, text: str) -> int:
    """Return the nanos or the tokens that a person wrote; raises Invalid."""
    if unit is Unit.MONEY:
        return cost.amount(text)
    plain = text.strip().replace("_", "")
    if not (plain.isascii() and plain.isdigit() and len(plain) <= len(str(MOST_TOKENS))):
        raise Invalid(f"{text.strip()[:40]!r} is no number of tokens; write digits only.")
    return int(plain)


def amount_words(unit: Unit, amount: int, currency: str) -> str:
    """Return `amount` with its unit, as it is told to people and callers."""
    if unit is Unit.MONEY:
        return f"{cost.decimal(amount)} {currency}"
    return "1 token" if amount == 1 else f"{amount} tokens"


def judge(before: Policy, after: Policy, standings: Sequence[Standing]) -> Judgement:
    """Return what to confirm before `after` follows; `standings` are those of `after`'s limits."""
    emergencies = tuple(_emergencies(before, after))
    stops = tuple(_stops(before, after, standings))
    removed = tuple(_removed(before, after))
    if not (emergencies or stops or removed):
        return Judgement(answer=Answer.ALLOW, rule="none", sentence="Nothing stops.")
    if emergencies:
        rule, sentence = EMERGENCIES, "Emergencies will be refused when a budget is spent."
    elif stops:
        rule, sentence = STOPS, "Requests will be refused at once."
    else:
        rule, sentence = UNPRICED, "Requests that had a price will have none."
    return Judgement(
        answer=Answer.CONFIRM,
        rule=rule,
        sentence=sentence,
        effects=emergencies + stops + removed,
    )


def _emergencies(before: Policy, after: Policy) -> Iterator[str]:
    for limit in after.limits:
        kept = before.limit(limit.name)
        if limit.stops_emergencies and not (kept and kept.stops_emergencies):
            said = amount_words(limit.unit, limit.amount, after.currency)
            yield (
                f"Emergencies{of(limit)} are refused, too, once the {said} of a {limit.period} "
                "are spent."
            )


def _stops(before: Policy, after: Policy, standings: Sequence[Standing]) -> Iterator[str]:
    for standing in standings:
        limit = standing.limit
        if standing.stops and before.limit(limit.name) != limit:
            spent = amount_words(limit.unit, standing.spent, after.currency)
            yield (
                f"Requests{of(limit)} are refused until {standing.ends:%Y-%m-%d %H:%M} UTC: "
                f"{spent} are spent already."
            )


def _removed(before: Policy, after: Policy) -> Iterator[str]:
    for model in before.prices:
        if model not in after.prices:
            yield f"What {model} costs is unknown from now on; limits in money do not count it."


def of(limit: Limit) -> str:
    """Return whose requests `limit` is about, to stand behind a noun."""
    return f" of {limit.tenant}" if limit.tenant else ""
