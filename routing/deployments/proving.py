"""What a rollback knows and proves of its target: flags and health as they are, a fresh probe,
three test calls that the other side wrote down.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async

from routing import runs
from routing.core.errors import HybridOpsError
from routing.core.flags import FlagName, State
from routing.core.guards import PROVIDER
from routing.core.rights import system_actor
from routing.core.rollback import FLAGS as LITERALS
from routing.core.rollback import PATH, Seen, Setting, Target
from routing.core.values import EnvironmentName, Health, Path
from routing.deployments.engine import Run
from routing.deployments.evidence import Claim, Journal, Journals
from routing.deployments.release import Content
from routing.flags import store
from routing.fleet import queries as fleet
from routing.health import queries as health
from routing.health.store import Measured
from routing.matrix import store as matrices
from routing.runs import Run as Asked

CALLS = 3
PROMPT = "Rollback preflight: answer with the word ok."
_ANSWERS = frozenset({Health.HEALTHY, Health.DEGRADED, Health.OFF})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was asked and answered, in sentences; `problem` says what keeps it from a proof."""

    said: list[str] = field(default_factory=list)
    problem: str = ""


def facts(
    environment: EnvironmentName, now: datetime
) -> tuple[dict[FlagName, Setting], dict[Path, Seen]]:
    """Return all flags with their versions, and each path as last measured."""
    flags = {
        flag: Setting(share=state.share, version=state.version)
        for flag, state in store.read(environment).items()
    }
    seen = {
        row.path: Seen(
            status=row.status,
            age_ms=round((now - row.observed_at).total_seconds() * 1000),
            why=row.why if row.status is not Health.HEALTHY else (),
            probe_ok=all(bool(stage["ok"]) for stage in row.stages) if row.stages else None,
        )
        for row in health.rows(environment)
    }
    return flags, seen


def prove(run: Run, target: Target) -> Proof:
    """Probe the target now and ask it three times; what the other side wrote down is the proof."""
    path, look = PATH[target], run.tools.look
    if look is None:
        return Proof(problem=f"No server looks at {path}; start one with `manage.py serve`.")
    try:
        measured = look(run.operation.environment, path)
    except (HybridOpsError, TimeoutError) as error:
        return Proof(problem=f"The fresh probe of {path} did not end: {error}.")
    said = [_probed(path, measured)]
    if not measured.probe_ok or measured.judged.status not in _ANSWERS:
        return Proof(said=said, problem=f"{said[0]}, so it is not proven.")
    try:
        found = _calls(run, path)
    except HybridOpsError as error:
        return Proof(said=said, problem=f"{path} could not be asked: {error.message}")
    problem = next((problem for _, problem in found if problem), "")
    return Proof(said=[*said, *(words for words, _ in found)], problem=problem)


def _probed(path: Path, measured: Measured) -> str:
    bad = [f"{s['name']}: {s['detail']}" for s in measured.stages if not s["ok"]]
    if bad:
        return f"{path} fails a fresh probe ({'; '.join(bad)})"
    if not measured.stages:
        return f"{path} could not be probed ({' '.join(measured.judged.why)})"
    stages = ", ".join(f"{s['name']} {s['ms']:.0f} ms" for s in measured.stages)
    return f"{path} is {measured.judged.status} by a fresh probe ({stages})"


def _calls(run: Run, path: Path) -> list[tuple[str, str]]:
    """Return for each test call what is said of it and what is wrong with it."""
    if _shut(run, path):
        return [_past_the_router(run, path, n) for n in range(1, CALLS + 1)]
    return runs.wait(partial(_routed, run, path))


def _shut(run: Run, path: Path) -> bool:
    """Tell whether our own flags keep requests that are pinned to `path` from it."""
    states = store.read(run.operation.environment)
    mcp_only = states[FlagName.INTELLIGENT_ROUTING].share < 100 and path is not Path.MCP
    return mcp_only or states[PROVIDER[path]].share < 100


async def _routed(run: Run, path: Path) -> list[tuple[str, str]]:
    async with door(run, "preflight") as asked:
        return [await _one(run, asked, path, n) for n in range(1, CALLS + 1)]


async def _one(run: Run, asked: Asked, path: Path, n: int) -> tuple[str, str]:
    nonce = _nonce(run)
    reply = await asked.route(PROMPT, path=path, nonce=nonce, max_tokens=16)
    effective = reply.body.get("effective")
    if effective != str(path):
        tried = [f"{a['failure']}: {a['detail']}" for a in reply.body.get("attempts", ())]
        why = "; ".join(tried) or str(reply.body.get("reason") or f"HTTP {reply.status}")
        return "", f"Test call {n} of {CALLS} was not answered by {path} ({why})."
    id = str(reply.body["decision_id"])
    told = f"Test call {n} of {CALLS}: routed, answered by {path} in {reply.ms:.0f} ms"
    return await sync_to_async(_found)(run, path, nonce, id, told)


def _past_the_router(run: Run, path: Path, n: int) -> tuple[str, str]:
    """Ask a path that our own flags keep closed with the server's own client."""
    nonce, ask = _nonce(run), run.tools.ask
    assert ask is not None  # whoever may look may ask
    try:
        text = ask(run.operation.environment, path, PROMPT, nonce)
    except (HybridOpsError, TimeoutError) as error:
        return "", f"Test call {n} of {CALLS} was not answered by {path} ({error})."
    told = (
        f"Test call {n} of {CALLS}: answered by {path}, past the router, which flags close to it"
    )
    return _found(run, path, nonce, "", told) if text else ("", f"{path} answered with no text.")


def _found(run: Run, path: Path, nonce: str, id: str, told: str) -> tuple[str, str]:
    """Look for the call in what the other side wrote; an outer target without a log has ours."""
    environment = run.operation.environment
    journals = Journals(
        home=run.tools.home, environment=environment, since=run.operation.created_at
    )
    if fleet.environment(environment).target(path).startswith("local:"):
        says = {"event": "ended", "status": 200}
        claim = Claim(journal=Journal.UPSTREAM, nonce=nonce, says=says, path=path)
        where = "its request log"
    elif id:
        kept = {"id": id, "kind": "decision", "effective": str(path)}
        claim = Claim(journal=Journal.DECISIONS, nonce=nonce, says=kept)
        where = "the decision stream"
    else:
        return f"{told}; it keeps no log that we may read", ""
    if journals.find(claim) is None:
        return told, f"{told}, but {where} does not hold it, so nothing is proven."
    return f"{told}; found in {where}", ""


def door(run: Run, purpose: str) -> AbstractAsyncContextManager[Asked]:
    """Open a run of our own at the machine door of this server."""
    return runs.open(
        environment=run.operation.environment,
        by=system_actor("deployments"),
        now=run.now(),
        purpose=f"{run.operation.id} {purpose}"[:100],
        process=run.tools.process,
    )


def _nonce(run: Run) -> str:
    return f"{run.operation.id}-{secrets.token_hex(8)}"


def content(run: Run, target: Target) -> Content:
    """Return what the smoke tests hold the environment to: the plan's flags, the target alone.

    The other path's provider counts as shut: a rollback proves nothing of it.
    """
    environment = run.operation.environment
    row = fleet.environment(environment)
    shares = {flag: state.share for flag, state in store.read(environment).items()}
    shares |= {flag: 100 if on else 0 for flag, on in LITERALS[target].items()}
    shares |= {PROVIDER[path]: 0 for path in Path if path is not PATH[target]}
    none: Mapping[str, Any] = {}
    return Content(
        digest="",
        matrix=matrices.read(environment),
        flags={
            environment: {
                flag: State(on=share > 0, percentage=share or 100)
                for flag, share in shares.items()
            }
        },
        thresholds=none,
        mcp_tool={"name": row.mcp_tool},
        code_version=run.tools.code_version,
    )
