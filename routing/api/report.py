"""What this process runs, for the run that asks it (product.md section 10)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from routing.api import replies
from routing.api.wire import Reply
from routing.breakers.board import View
from routing.core.admission import Figures
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName
from routing.decisions import record


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the facts of this process come from; each is asked anew, none may touch a database.

    `write` books a record in the decision stream `stream` and returns its number. `health` gives
    the rows as this process knows them, `support` the support mode, None while there is none,
    `admission` the line before execution, `compliance` the policy in force and what it refused
    since the start of this process, `backlog` what the database lacks of its decisions,
    `standing` how old it is what this process runs, and which kill file it obeys.
    """

    process: str
    boot: str
    code_version: str
    stream: str
    write: Callable[[Mapping[str, Any]], Awaitable[int]]
    versions: Callable[[], Mapping[str, int]]
    flags: Callable[[EnvironmentName], Mapping[FlagName, bool]]
    breakers: Callable[[], Sequence[View]]
    health: Callable[[EnvironmentName], Sequence[Mapping[str, Any]]]
    support: Callable[[EnvironmentName], Mapping[str, Any] | None]
    admission: Callable[[], Figures]
    backlog: Callable[[], Mapping[str, Any] | None] = lambda: None
    compliance: Callable[[EnvironmentName], Mapping[str, Any] | None] = lambda _: None
    standing: Callable[[EnvironmentName], Mapping[str, Any] | None] = lambda _: None


async def make(sources: Sources, *, caller: record.Caller, now: datetime) -> Reply:
    """Return the report, after the nonce stands in the decision stream; raises Unavailable."""
    environment = caller.environment
    seq = await sources.write(record.report(now=now, caller=caller))
    own = [view for view in sources.breakers() if view.key.environment is environment]
    return Reply(
        status=200,
        body={
            "process": sources.process,
            "boot": sources.boot,
            "code_version": sources.code_version,
            "environment": str(environment),
            "versions": dict(sources.versions()),
            "flags": {str(flag): on for flag, on in sources.flags(environment).items()},
            "breakers": replies.breakers(own),
            "health": [dict(row) for row in sources.health(environment)],
            "admission": asdict(sources.admission()),
            "compliance": sources.compliance(environment),
            "support_mode": sources.support(environment),
            "backlog": sources.backlog(),
            "standing": sources.standing(environment),
            "nonce": caller.nonce,
            "stream": sources.stream,
            "seq": seq,
        },
    )
