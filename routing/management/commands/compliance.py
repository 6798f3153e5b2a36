"""`manage.py compliance`: what an environment does with personal data, and what it forbids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser

from routing.changes import compliance
from routing.compliance import policy, store
from routing.compliance.policy import Policy, Rule, Treatment
from routing.core.errors import Invalid
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Operation, Path, parse
from routing.decisions import queries
from routing.management import base

FORBIDDEN, FREE = "forbidden", "free"
WORDS = (*Path, Treatment.MASK, Treatment.BLOCK, FORBIDDEN, FREE)
LATELY = timedelta(hours=24)


class Command(base.OperatorCommand):
    help = (
        "Show the compliance policy of an environment and whom it refused, or set it; what is "
        "protected less than before, and what would be refused, is listed first."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["show", "set"])
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument(
            "--pii",
            choices=[str(t) for t in Treatment],
            help="what becomes of personal data; as it is, if left out",
        )
        parser.add_argument(
            "--rule",
            action="append",
            default=[],
            metavar="OPERATION=WORDS",
            help="what holds for one operation instead of its rule so far: one or more of "
            f"{', '.join(WORDS)}, with commas; may be given again",
        )
        parser.add_argument("--reason", default="", help="required outside development")
        parser.add_argument(
            "--confirm", action="store_true", help="go on although something is listed"
        )
        parser.add_argument("--typed-environment", default="", metavar="NAME")
        parser.add_argument("--base-version", type=int, metavar="N")

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment = EnvironmentName(options["environment"])
        inforce = store.read(environment)
        if options["act"] == "show":
            return {
                "environment": str(environment),
                "version": inforce.version,
                **policy.encode(inforce),
                "refused_24h": queries.refused(environment, now - LATELY),
            }
        base_version = options["base_version"]
        done = compliance.apply(
            by=by,
            now=now,
            environment=environment,
            wanted=_wanted(inforce, options["pii"], options["rule"]),
            base_version=inforce.version if base_version is None else base_version,
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


def _wanted(inforce: Policy, pii: str | None, said: Sequence[str]) -> Policy:
    """Return the policy in force with what was said put in its place."""
    rules = dict(inforce.operations)
    for one in said:
        name, _, words = one.partition("=")
        operation = parse(Operation, name)
        rule = _rule(operation, words.split(","))
        rules.pop(operation, None)
        rules |= {operation: rule} if rule != policy.FREE else {}
    return replace(inforce, pii=parse(Treatment, pii) if pii else inforce.pii, operations=rules)


def _rule(operation: Operation, words: Sequence[str]) -> Rule:
    rule = policy.FREE
    for word in words:
        if word == FORBIDDEN:
            rule = replace(rule, forbidden=True)
        elif word in list(Path):
            rule = replace(rule, path=Path(word))
        elif word in {Treatment.MASK, Treatment.BLOCK}:
            rule = replace(rule, pii=Treatment(word))
        elif word != FREE or len(words) > 1:
            raise Invalid(
                f"{operation} cannot have the rule {word!r}; known: {', '.join(WORDS)}, and "
                f"{FREE} stands alone."
            )
    return rule
