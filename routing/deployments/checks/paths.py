"""Both paths, by a request pinned to each that must show in the other side's own log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing.core.flags import FlagName
from routing.core.guards import PROVIDER
from routing.core.values import Path
from routing.core.verdict import Mismatch
from routing.deployments.checks import base
from routing.deployments.checks.base import Check, Ground, Looked


def connection(path: Path) -> Check:
    """Return the check that a request pinned to `path` is answered there."""

    async def check(ground: Ground) -> Looked:
        if not ground.wants(PROVIDER[path]):
            return base.skipped(f"The release has {PROVIDER[path]} off, so {path} is shut.")
        reply = await ground.run.route(
            base.prompt(ground), path=path, nonce=ground.nonce, max_tokens=16
        )
        if "candidates" not in reply.body:
            return base.compared(
                expected=str(path), actual=base.refused(reply), claims=(), kind=None
            )
        effective = reply.body["effective"]
        answered = effective == str(path) and bool(reply.body["text"])
        return base.compared(
            expected=f"{path} answers",
            actual=f"{path} answers" if answered else _instead(ground, path, reply.body),
            claims=base.routed(ground, reply),
            kind=_kind(ground, reply.body),
        )

    return check


def _instead(ground: Ground, path: Path, body: Mapping[str, Any]) -> str:
    if body["effective"] is not None:
        return f"{body['effective']} answers ({body['reason']})"
    tried = [f"{a['failure']}: {a['detail']}" for a in body["attempts"] if a["failure"]]
    skip = dict(body["candidates"]).get(str(path))
    return f"no answer ({'; '.join(tried) or skip or body['reason']})"


def _kind(ground: Ground, body: Mapping[str, Any]) -> Mismatch:
    off = any(skip == "flag_off" for _, skip in body["candidates"])
    mode = body["reason"] == "mcp_only" and ground.wants(FlagName.INTELLIGENT_ROUTING)
    return Mismatch.FLAG if off or mode else Mismatch.HEALTH_FALLBACK
