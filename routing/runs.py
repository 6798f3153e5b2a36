"""A run of our own: a token minted for it, the serving process's machine door, the token revoked.

Commands, deployments, rollback and synthetic traffic go in at the same door as everybody else,
so what they prove was proven where requests are served.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx2
from asgiref.sync import async_to_sync, sync_to_async
from django.db import DatabaseError

from routing.access import tokens
from routing.access.scope import TokenKind
from routing.access.tokens import Issued
from routing.core.errors import HybridOpsError, Unavailable
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Operation, Path, Priority, Role
from routing.fleet import queries
from routing.fleet.queries import ProcessRow

log = logging.getLogger(__name__)
T = TypeVar("T")

USABLE_WITHIN_S = 5.0
LOOK_EVERY_S = 0.05
# Longer than the longest budget (background_tasks, 60 s): the door answers first.
ANSWER_WITHIN_S = 75.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the door answered: HTTP status, JSON, milliseconds as the caller saw them."""

    status: int
    body: Mapping[str, Any]
    ms: float

    @property
    def ok(self) -> bool:
        return self.status == 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An open run against one serving process; every call raises Unavailable without an answer."""

    environment: EnvironmentName
    process: ProcessRow
    http: httpx2.AsyncClient = field(repr=False)

    async def route(
        self,
        prompt: str,
        *,
        operation: Operation = Operation.STANDARD,
        priority: Priority | None = None,
        path: Path | None = None,
        nonce: str = "",
        **more: Any,
    ) -> Reply:
        """Route `prompt`; `path` pins it, `nonce` marks it, `more` are further body fields."""
        body = _body(prompt, operation, priority, more)
        return await self._ask("POST", "/api/v1/route", _headers(path, nonce), body)

    async def explain(
        self,
        prompt: str,
        *,
        operation: Operation = Operation.STANDARD,
        priority: Priority | None = None,
        path: Path | None = None,
        **more: Any,
    ) -> Reply:
        """Ask for the promise that `route` would keep now."""
        body = _body(prompt, operation, priority, more)
        return await self._ask("POST", "/api/v1/explain", _headers(path, ""), body)

    async def report(self, nonce: str) -> Reply:
        """Ask what the process runs; it logs `nonce`."""
        return await self._ask("GET", "/api/v1/report", _headers(None, nonce), None)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: Any) -> Reply:
        began = time.monotonic()
        try:
            answer = await self.http.request(method, path, headers=dict(headers), json=body)
            found = answer.json()
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(
                f"The server process {self.process.id} does not answer at "
                f"{self.process.door_url} ({type(error).__name__}); is it still running?"
            ) from error
        except ValueError as error:
            raise self._stranger() from error
        if not isinstance(found, dict):
            raise self._stranger()
        ms = (time.monotonic() - began) * 1000
        return Reply(status=answer.status_code, body=found, ms=round(ms, 3))

    def _stranger(self) -> Unavailable:
        return Unavailable(
            f"Something other than a HybridOps server answers at {self.process.door_url}; check "
            "HYBRIDOPS_URL of that server."
        )


@asynccontextmanager
async def open(
    *,
    environment: EnvironmentName,
    by: Actor,
    now: datetime,
    purpose: str = "run",
    process: str = "",
) -> AsyncIterator[Run]:
    """Open a run in `environment`: mint its token, wait until it is usable, revoke it at the end.

    `process` names the serving process to ask; without it, the one that reported last. The token
    may do every operation, lasts an hour at most and its secret never leaves this process. Raises
    Unavailable when no process serves the environment or the token is not usable within 5 s,
    Forbidden when `by` may not mint it.
    """
    began = time.monotonic()

    def at() -> datetime:
        return now + timedelta(seconds=time.monotonic() - began)

    row = await _away(_serving, environment, at(), process)
    issued, version = await _away(_mint, environment, by, at(), purpose)
    try:
        row = await _usable(row, environment, version, at)
        async with _http(row, issued.secret) as http:
            yield Run(environment=environment, process=row, http=http)
    finally:
        # Shielded: a run that is cut off must not leave its token behind.
        await asyncio.shield(_away(_revoke, by, at(), issued))


@asynccontextmanager
async def with_secret(
    *, environment: EnvironmentName, secret: str, now: datetime
) -> AsyncIterator[Run]:
    """Open a run under a token that somebody brought; nothing is minted and nothing revoked."""
    row = await _away(_serving, environment, now, "")
    async with _http(row, secret) as http:
        yield Run(environment=environment, process=row, http=http)


def wait(work: Callable[[], Awaitable[T]]) -> T:
    """Return what `work` returns, for a caller without an event loop, such as a command."""

    async def do() -> T:
        return await work()

    return async_to_sync(do)()


def _body(
    prompt: str, operation: Operation, priority: Priority | None, more: Mapping[str, Any]
) -> dict[str, Any]:
    chosen = {"priority": str(priority)} if priority else {}
    return {"prompt": prompt, "operation": str(operation), **chosen, **more}


def _headers(path: Path | None, nonce: str) -> dict[str, str]:
    pinned = {"X-HybridOps-Path": str(path)} if path else {}
    return pinned | ({"X-HybridOps-Nonce": nonce} if nonce else {})


def _http(row: ProcessRow, secret: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        base_url=row.door_url,
        headers={"Authorization": f"Bearer {secret}"},
        timeout=httpx2.Timeout(ANSWER_WITHIN_S, connect=2.0),
        trust_env=False,  # a proxy of the shell must not see the secret
    )


async def _away(do: Callable[..., T], *args: Any) -> T:
    """Do what needs the database off the event loop."""
    return await sync_to_async(do)(*args)


def _serving(environment: EnvironmentName, now: datetime, process: str) -> ProcessRow:
    """Return the process to ask; raises Unavailable without one."""
    rows = [
        row
        for row in queries.alive(environment, now=now)
        if row.kind == "server" and row.door_url and process in ("", row.id)
    ]
    if not rows:
        who = f"The process {process} does not serve" if process else "No server serves"
        raise Unavailable(
            f"{who} {environment} now. Start one with `manage.py serve`, or wait until it is "
            "ready: `manage.py status --wait 30`."
        )
    return min(rows, key=lambda row: (abs(row.silent_s), row.id))


def _mint(
    environment: EnvironmentName, by: Actor, now: datetime, purpose: str
) -> tuple[Issued, int]:
    """Return the token and the version that a process must run to know it."""
    issued = tokens.issue(
        by=by,
        now=now,
        environment=environment,
        role=Role.VIEWER,
        name=purpose,
        emergency=True,
        kind=TokenKind.RUN,
    )
    tokens.refresh_if_changed()
    return issued, tokens.current().version


async def _usable(
    row: ProcessRow, environment: EnvironmentName, version: int, at: Callable[[], datetime]
) -> ProcessRow:
    """Return the process's row once it reports that it knows the token; raises Unavailable."""
    deadline = time.monotonic() + USABLE_WITHIN_S
    while True:
        seen = await _away(_serving, environment, at(), row.id)
        if seen.versions.get("tokens", -1) >= version:
            return seen
        if time.monotonic() > deadline:
            raise Unavailable(
                f"The process {row.id} runs tokens {seen.versions.get('tokens')} and not "
                f"{version} after {USABLE_WITHIN_S:.0f} s; does it still reach the database?",
                retry_after_s=5,
            )
        await asyncio.sleep(LOOK_EVERY_S)


def _revoke(by: Actor, now: datetime, issued: Issued) -> None:
    try:
        tokens.revoke(by=by, now=now, token_id=issued.id)
    except (DatabaseError, HybridOpsError):
        # The run's own end matters more; the token dies by itself.
        log.exception(
            "The run token %s was not revoked; it ends %s.", issued.id, issued.expires_at
        )
