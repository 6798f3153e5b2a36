"""What the commands that ask the machine door share: their options and the run behind them."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any

from django.core.management.base import CommandParser

from routing import runs
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Operation, Path, Priority
from routing.management.base import Result
from routing.runs import Reply, Run


def add_options(parser: CommandParser) -> None:
    """Add what is asked, where, and as whom."""
    parser.add_argument("prompt", metavar="PROMPT")
    parser.add_argument("--environment", required=True, choices=[str(e) for e in EnvironmentName])
    parser.add_argument(
        "--operation", default=str(Operation.STANDARD), choices=[str(o) for o in Operation]
    )
    parser.add_argument("--priority", choices=[str(p) for p in Priority])
    parser.add_argument(
        "--path", choices=[str(p) for p in Path], help="pin this path; not with --token"
    )
    parser.add_argument(
        "--token",
        default="",
        metavar="SECRET",
        help="ask with this token instead of one minted for the run; - reads it from standard "
        "input, where no process list shows it",
    )


def ask(
    options: Mapping[str, Any],
    *,
    by: Actor,
    now: datetime,
    how: Callable[[Run, Mapping[str, Any]], Awaitable[Reply]],
) -> Result:
    """Open a run as `options` say, ask `how` in it and return the answer's JSON."""

    async def work() -> Reply:
        async with _open(options, by, now) as run:
            return await how(run, _words(options))

    reply = runs.wait(work)
    return {"ok": reply.ok, "status": reply.status, "ms": reply.ms, **reply.body}


def _open(
    options: Mapping[str, Any], by: Actor, now: datetime
) -> AbstractAsyncContextManager[Run]:
    environment = EnvironmentName(options["environment"])
    secret = options["token"]
    if secret == "-":
        secret = sys.stdin.readline().strip()
    if secret:
        return runs.with_secret(environment=environment, secret=secret, now=now)
    return runs.open(environment=environment, by=by, now=now, purpose="manage.py")


def _words(options: Mapping[str, Any]) -> dict[str, Any]:
    priority, path = options["priority"], options["path"]
    return {
        "prompt": options["prompt"],
        "operation": Operation(options["operation"]),
        "priority": Priority(priority) if priority else None,
        "path": Path(path) if path else None,
    }
