"""`manage.py flag_drift`: flags as desired, as in force, as booked; what was changed around us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing import wiring
from routing.changes import drift
from routing.changes.drift import Drift, Settled
from routing.core.booked import Row, as_json
from routing.core.errors import Invalid
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.deployments import desired
from routing.flags import queries
from routing.management import base


class Command(base.OperatorCommand):
    help = (
        "Show how the flags stand against the release and the audit trail; adopt what somebody "
        "changed around us, or write back what is booked. Exit 1 while something is open."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["show", "adopt", "revert"])
        parser.add_argument(
            "--environment",
            choices=[str(e) for e in EnvironmentName],
            help="only this one; needed to adopt or revert",
        )
        parser.add_argument(
            "--reason", default="", help="why; 5 to 500 characters, required outside development"
        )
        parser.add_argument(
            "--touches",
            type=int,
            metavar="N",
            help="refuse unless the flags were written as often as `show` said",
        )
        parser.add_argument(
            "--confirm", action="store_true", help="adopt although something stops; listed first"
        )
        parser.add_argument(
            "--typed-environment",
            default="",
            metavar="NAME",
            help="the environment's name once more; required for production",
        )

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> base.Result | Iterable[base.Result]:
        one = options["environment"]
        if options["what"] == "show":
            laid = queries.grid([EnvironmentName(one)] if one else EnvironmentName).versions
            if not laid:
                self.say("No flags were laid yet; start the server once (`manage.py serve`).")
            return (_shown(drift.look(environment)) for environment in laid)
        if not one:
            raise Invalid("Name the --environment; flags differ per environment.")
        return _settled(options, EnvironmentName(one), by, now)

    def show(self, result: base.Result) -> str:
        if "did" in result:
            names = ", ".join(one["flag"] for one in result["differences"]) or "nothing"
            return (
                f"{result['environment']}: {result['did']} what differed: {names} "
                f"(audit entry {result['entry']})"
            )
        return "\n".join(_lines(result))


def _shown(found: Drift) -> base.Result:
    environment = found.environment
    wanted = desired.of(environment)
    rows = queries.grid([environment]).rows
    return {
        "ok": not found.is_open,
        "environment": str(environment),
        "touches": found.touches,
        "unexplained": found.unexplained,
        "noted": found.noted,
        "applied": found.applied,
        "release": wanted.release or None,
        "flags": [
            {
                "flag": str(row.name),
                "desired": wanted.states[row.name].share,
                "in_force": cell.state.share,
                "groups": list(cell.state.favoured),
                "differs": wanted.differs(row.name, cell.state),
                "entry": cell.entry_seq,
            }
            for row in rows
            for cell in row.cells.values()
        ],
        "differences": _differences(found),
    }


def _settled(
    options: Mapping[str, Any], environment: EnvironmentName, by: Actor, now: datetime
) -> base.Result:
    asked: dict[str, Any] = {
        "by": by,
        "now": now,
        "environment": environment,
        "touches": options["touches"],
        "reason": options["reason"],
        "typed_environment": options["typed_environment"],
    }
    if asked["touches"] is None:
        asked["touches"] = drift.look(environment).touches
    if options["what"] == "revert":
        return _done("reverted", environment, drift.revert(**asked))
    health = wiring.path_health(environment)
    done = drift.adopt(**asked, health=health, confirmed=options["confirm"])
    return _done("adopted", environment, done)


def _done(did: str, environment: EnvironmentName, done: Settled) -> base.Result:
    return {
        "environment": str(environment),
        "did": did,
        "entry": done.entry_seq,
        "differences": _differences(done),
    }


def _differences(found: Drift | Settled) -> list[Mapping[str, Any]]:
    return [
        {"flag": one.flag, "booked": _row(one.booked), "found": _row(one.found)}
        for one in found.differences
    ]


def _row(row: Row | None) -> Mapping[str, Any] | None:
    return None if row is None else {**as_json(row.state), "by": row.changed_by}


def _lines(result: base.Result) -> Iterator[str]:
    says = f"release {result['release'][:12]}" if result["release"] else "the declaration"
    yield f"{result['environment']}, against {says}"
    for one in result["flags"]:
        mark = f"  desired {one['desired']} %" if one["differs"] else ""
        groups = f" and {', '.join(one['groups'])}" if one["groups"] else ""
        yield f"  {one['flag']:<32} {one['in_force']:>3} %{groups}{mark}"
    for one in result["differences"]:
        yield f"  not as booked: {one['flag']}: {one['booked']} -> {one['found']}"
    if result["ok"]:
        yield "  Nothing was changed around us."
    else:
        how = "is in force" if result["applied"] else "is not applied"
        yield (
            f"  {result['unexplained']} writes that nobody booked; what they left {how}. Settle "
            f"it: manage.py flag_drift revert|adopt --environment {result['environment']}"
        )
