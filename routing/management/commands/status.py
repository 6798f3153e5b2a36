"""`manage.py status`: is it ready, which processes run, and what each environment runs on."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
from django.conf import settings
from django.core.management.base import CommandParser
from django.db import DatabaseError

from routing import runs, wiring
from routing.core.errors import HybridOpsError
from routing.core.rights import Actor
from routing.core.values import EnvironmentName
from routing.fleet import queries
from routing.fleet.queries import ProcessRow
from routing.management import base

LOOK_EVERY_S = 0.2
KEPT_FACTS = (
    "versions",
    "flags",
    "standing",
    "breakers",
    "health",
    "compliance",
    "backlog",
    "support_mode",
)
STALE = "x-hybridops-stale"


class Command(base.OperatorCommand):
    help = "Tell whether the server is ready and what it runs; exit 1 when it is not ready."
    start_checks = False  # it must answer before the first start, too

    def add(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--environment",
            choices=[str(e) for e in EnvironmentName],
            help="only this one; all that are served without it",
        )
        parser.add_argument(
            "--wait", type=float, default=0, metavar="S", help="wait so long until it is ready"
        )

    def run(self, options: Mapping[str, Any], by: Actor, now: datetime) -> base.Result:
        server = _wait(options["wait"])
        rows = _processes(wiring.now())
        alive = [row for row in rows if row.is_alive()]
        # Without a note there is no server in this home; elsewhere there may be some.
        ready = server["ready"] if server else any(row.door_url for row in alive)
        result = {
            "ok": ready,
            "ready": ready,
            "server": server,
            "processes": [_process(row) for row in alive],
            # Read from the files themselves: they work without server and database, too.
            "kill": {str(e): str(said.kill) for e, said in wiring.kill_files().items()},
        }
        if server and server["stale_s"] is not None:
            self.say(
                f"The server does not see its database: it serves with what was known "
                f"{server['stale_s']} s ago."
            )
        if ready:
            result["environments"] = self._environments(options["environment"], by, alive)
        else:
            self.say("No server is ready. Start one with `manage.py serve`.")
        return result

    def _environments(
        self, only: str | None, by: Actor, alive: Sequence[ProcessRow]
    ) -> dict[str, Any]:
        served = {e for row in alive if row.door_url for e in row.environments}
        asked = [e for e in EnvironmentName if e in served and only in (None, str(e))]
        return {str(environment): _facts(environment, by) for environment in asked}


def _facts(environment: EnvironmentName, by: Actor) -> dict[str, Any]:
    """Return what the serving process says it runs, or why it could not be asked."""

    async def work() -> runs.Reply:
        async with runs.open(
            environment=environment, by=by, now=wiring.now(), purpose="manage.py status"
        ) as run:
            return await run.report(secrets.token_hex(8))

    try:
        reply = runs.wait(work)
    except HybridOpsError as error:
        return {"error": error.code, "message": error.message}
    if not reply.ok:
        return dict(reply.body.get("error", {}))
    return {"process": reply.body["process"], **{key: reply.body[key] for key in KEPT_FACTS}}


def _wait(seconds: float) -> dict[str, Any] | None:
    """Return what this home's server says of itself; looks again until it is ready."""
    deadline = time.monotonic() + seconds
    while True:
        server = _server()
        if (server and server["ready"]) or time.monotonic() >= deadline:
            return server
        time.sleep(LOOK_EVERY_S)


def _server() -> dict[str, Any] | None:
    """Return the note that the server of this home left, `ready` only if it still answers so."""
    try:
        note = json.loads((Path(settings.HYBRIDOPS_HOME) / "run" / "server.json").read_text())
        said = {"url": str(note["url"]), "pid": int(note["pid"]), "ready": bool(note["ready"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    answers, stale_s = _answers(str(said["url"]))
    return {**said, "ready": said["ready"] and answers, "stale_s": stale_s}


def _answers(url: str) -> tuple[bool, str | None]:
    """Ask the server itself: a note outlives a server that was killed.

    Returns whether it is ready, and for how many seconds it has not seen its database.
    """
    try:
        with httpx2.Client(trust_env=False, timeout=2.0) as http:
            answer = http.get(f"{url}/readyz")
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False, None
    return answer.status_code == 200, answer.headers.get(STALE)


def _processes(now: datetime) -> Sequence[ProcessRow]:
    try:
        return queries.processes(now=now)
    except DatabaseError:
        return ()  # before the first start there are no tables, and no processes


def _process(row: ProcessRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "pid": row.pid,
        "host": row.host,
        "environments": [str(e) for e in row.environments],
        "code_version": row.code_version,
        "door_url": row.door_url,
        "versions": dict(row.versions),
        "started_at": row.started_at.isoformat(),
        "silent_s": round(row.silent_s, 3),
    }
