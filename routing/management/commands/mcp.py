"""`manage.py mcp tools`: what the MCP server offers against what was accepted; accept it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing.changes import tools
from routing.core import pinning
from routing.core.errors import Invalid
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.management import base
from routing.pins.queries import PinRow


class Command(base.OperatorCommand):
    help = "Show the MCP server's tools against the pinned ones, or accept what is there now."

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["tools"])
        parser.add_argument(
            "--environment", required=True, choices=[str(e) for e in EnvironmentName]
        )
        parser.add_argument(
            "--accept",
            default="",
            metavar="DIGEST",
            help="pin the tools with this digest, 12 characters of it or more; needs --reason",
        )
        parser.add_argument("--reason", default="", help="why the changed tools are right")
        parser.add_argument(
            "--typed-environment",
            default="",
            metavar="NAME",
            help="the environment's name once more; required for production",
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        environment = EnvironmentName(options["environment"])
        if not options["accept"]:
            if options["reason"] or options["typed_environment"]:
                raise Invalid("Those options belong to `--accept DIGEST`; name the digest.")
            return _result(tools.current(environment))
        row = tools.accept(
            by=by,
            now=now,
            environment=environment,
            digest=options["accept"],
            reason=options["reason"],
            typed_environment=options["typed_environment"],
        )
        return _result(row)

    def show(self, result: base.Result) -> str:
        return "\n".join(_lines(result))


def _result(row: PinRow) -> base.Result:
    found = row.difference
    return {
        "environment": str(row.environment),
        "target": row.target,
        "tool": row.pin.tool,
        "drift": str(row.pin.drift),
        "pinned": {
            "digest": row.pin.digest,
            "at": row.pinned_at.isoformat(),
            "by": row.pinned_by,
            "reason": row.reason,
            "contract": row.pin.contract,
        },
        "there": {
            "digest": row.seen.digest,
            "at": row.seen_at.isoformat(),
            "contract": row.seen.contract,
            "refusal": pinning.refusal(row.pin, row.seen),
        },
        "parts": list(found.parts),
        "added": list(found.added),
        "removed": list(found.removed),
        "changed": list(found.changed),
        "tools": sorted(row.seen.tools),
    }


def _lines(result: base.Result) -> Iterator[str]:
    """Yield the comparison for a terminal; a server's words are shown inert."""
    pinned, there = result["pinned"], result["there"]
    yield f"{result['tool']} of {result['target']} in {result['environment']}"
    yield f"  pinned     {pinned['digest']} by {pinned['by']} at {pinned['at']}"
    yield f"  there now  {there['digest']} since {there['at']}"
    if there["refusal"]:
        yield f"  {there['refusal']}"
    for part in result["parts"]:
        yield f"  {part.replace('_', ' ')} was  {_inert(pinned['contract'].get(part))}"
        yield f"  {part.replace('_', ' ')} is   {_inert((there['contract'] or {}).get(part))}"
    for word in ("added", "removed", "changed"):
        if result[word]:
            yield f"  {word}: {pinning.named(result[word])}"
    if result["drift"] == pinning.Drift.NONE:
        yield "  Nothing differs from what was accepted."
    else:
        yield (
            f"  Accept what is there: manage.py mcp tools --environment {result['environment']} "
            f"--accept {there['digest'][:16]} --reason '...'"
        )


def _inert(value: Any) -> str:
    text = value if isinstance(value, str) else pinning.canonical(value).decode()
    return pinning.shown(text, 2000) or "(nothing)"
