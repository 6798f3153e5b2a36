"""`manage.py cost`: what requests cost, what a model's tokens are worth, what may be spent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.changes import budget
from routing.changes.budget import LimitWish, PriceWish, Wish
from routing.core import cost
from routing.core.budget import Period, Standing, Unit
from routing.core.errors import Invalid
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.cost import policy, queries, store
from routing.cost.policy import Policy
from routing.cost.queries import Line
from routing.management import base


class Command(base.OperatorCommand):
    help = (
        "Show what requests of an environment cost and how its limits stand; set or remove the "
        "price of a model, or a limit of a day or a month (UTC)."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["show", "price", "limit"])
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        _add_price(parser)
        _add_limit(parser)
        parser.add_argument(
            "--currency",
            default="",
            help="an ISO 4217 code; that of the other prices, if left out",
        )
        parser.add_argument(
            "--remove", action="store_true", help="take the price or the limit away"
        )
        parser.add_argument("--reason", default="", help="required outside development")
        parser.add_argument(
            "--confirm", action="store_true", help="go on although something is listed"
        )
        parser.add_argument("--typed-environment", default="", metavar="NAME")
        parser.add_argument("--base-version", type=int, metavar="N")

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment = EnvironmentName(options["environment"])
        if options["act"] == "show":
            return _shown(environment, store.read(environment), now)
        done = budget.apply(
            by=by,
            now=now,
            environment=environment,
            wanted=budget.wanted(environment, _wish(options), options["base_version"]),
            reason=options["reason"],
            confirmed=options["confirm"],
            typed_environment=options["typed_environment"],
        )
        return {
            "environment": str(environment),
            "version": done.after.version,
            "before": policy.encode(done.before),
            "after": policy.encode(done.after),
            "entry": done.entry_seq,
        }


def _add_price(parser: CommandParser) -> None:
    parser.add_argument("--model", default="", help="with price: the model, as records name it")
    parser.add_argument(
        "--input", default="", metavar="AMOUNT", help="with price: for a million tokens sent"
    )
    parser.add_argument(
        "--output", default="", metavar="AMOUNT", help="with price: for a million tokens answered"
    )


def _add_limit(parser: CommandParser) -> None:
    parser.add_argument("--period", choices=[str(p) for p in Period], help="with limit: required")
    parser.add_argument("--unit", choices=[str(u) for u in Unit], help="with limit: required")
    parser.add_argument("--most", default="", metavar="AMOUNT", help="with limit: what it allows")
    parser.add_argument(
        "--tenant", default="", help="with limit: of this tenant; of the environment, if left out"
    )
    parser.add_argument(
        "--hard-stop", action="store_true", help="with limit: refuse requests once it is spent"
    )
    parser.add_argument(
        "--stops-emergencies",
        action="store_true",
        help="with limit: refuse emergencies, too; only an admin may",
    )


def _wish(options: Mapping[str, Any]) -> Wish:
    if options["act"] == "price":
        return PriceWish(
            model=options["model"],
            input=options["input"],
            output=options["output"],
            currency=options["currency"],
            remove=options["remove"],
        )
    if not options["period"] or not options["unit"]:
        raise Invalid("Say which limit with --period and --unit.", field="period")
    return LimitWish(
        period=Period(options["period"]),
        unit=Unit(options["unit"]),
        most=options["most"],
        tenant=options["tenant"],
        currency=options["currency"],
        hard_stop=options["hard_stop"],
        stops_emergencies=options["stops_emergencies"],
        remove=options["remove"],
    )


def _shown(environment: EnvironmentName, inforce: Policy, now: datetime) -> base.Result:
    sheet = queries.sheet(environment, now)
    return {
        "environment": str(environment),
        "version": inforce.version,
        **policy.encode(inforce),
        "limits": [_standing(s, inforce) for s in queries.standings(environment, inforce, now)],
        "today": _line(sheet.today),
        "month": _line(sheet.month),
        "ours": _line(sheet.ours),
        "operations": _lines(sheet.operations),
        "tenants": _lines(sheet.tenants),
        "models": _lines(sheet.models),
        "days": _lines(sheet.days),
    }


def _standing(standing: Standing, inforce: Policy) -> dict[str, Any]:
    limit = standing.limit
    return {
        "name": limit.name,
        "most": policy.amount_words(limit.unit, limit.amount, inforce.currency),
        "spent": policy.amount_words(limit.unit, standing.spent, inforce.currency),
        "uncounted": standing.uncounted,
        "level": standing.level,
        "hard_stop": limit.hard_stop,
        "stops_emergencies": limit.stops_emergencies,
        "stops": standing.stops,
        "ends": standing.ends.isoformat(),
    }


def _lines(lines: Iterable[Line]) -> dict[str, Any]:
    return {line.name or "not told": _line(line) for line in lines}


def _line(line: Line) -> dict[str, Any]:
    return {
        "requests": line.requests,
        "cached": line.cached,
        "unpriced": line.unpriced,
        "untold": line.untold,
        "input_tokens": line.input_tokens,
        "output_tokens": line.output_tokens,
        "money": {currency: cost.decimal(nanos) for currency, nanos in line.money.items()},
    }
