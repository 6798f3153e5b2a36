"""Compliance: personal data leaves masked, and each path runs where it may."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from routing.compliance import residency
from routing.core.values import Path, TestStatus
from routing.decisions import record
from routing.deployments.checks import base
from routing.deployments.checks.base import Ground, Looked
from routing.deployments.evidence import Claim, Journal
from routing.fleet.queries import EnvironmentRow

ADDRESS, MASKED = "jane.doe@example.org", "[email]"


async def compliance_system(ground: Ground) -> Looked:
    """Send an address and find its mask, not itself, in what reached the other side."""
    outside = [sentence for path in Path if (sentence := _breach(ground.row, path))]
    text = f"Deployment check {base.tag(ground)}: forget the address %s at once."
    reply = await ground.run.route(text % ADDRESS, nonce=ground.nonce, max_tokens=16)
    if "candidates" not in reply.body:
        return Looked(status=TestStatus.FAIL, error=base.refused(reply))
    claim = _claim(ground, reply.body, asked=text % ADDRESS, masked=text % MASKED)
    arrived = await ground.db(ground.journals.find, claim)
    pii = "found" if reply.body["pii"] == ["email"] else f"found as {reply.body['pii']}"
    actual = [
        f"the address {pii}",
        "masked on arrival" if arrived else "not seen masked on arrival",
        "; ".join(outside) or "both paths where they may be",
    ]
    return base.compared(
        expected="the address found; masked on arrival; both paths where they may be",
        actual="; ".join(actual),
        claims=(claim,),
    )


def _claim(ground: Ground, body: Mapping[str, Any], *, asked: str, masked: str) -> Claim:
    """Return the record that only a masked prompt can leave: its digest was taken by hand here."""
    effective = body["effective"]
    if effective is not None and ground.is_local(Path(effective)):
        digest = hashlib.sha256(masked.encode()).hexdigest()
        return Claim(
            journal=Journal.UPSTREAM,
            nonce=ground.nonce,
            path=Path(effective),
            says={"prompt_sha256": digest, "decision": body["decision_id"]},
        )
    kept = record.prompt(sent=("", masked), asked=("", asked), pii=("email",))
    said = {"sha256": kept.sha256, "size": kept.size, "pii": list(kept.pii)}
    return Claim(
        journal=Journal.DECISIONS,
        nonce=ground.nonce,
        says={"id": body["decision_id"], "prompt": said},
    )


def _breach(row: EnvironmentRow, path: Path) -> str:
    """Return why `path` may not be used here, empty where it may or leads nowhere."""
    if not row.target(path):
        return ""
    bedrock = path is Path.DIRECT_BEDROCK
    judged = residency.judge_all(
        residency=row.residency,
        path=path,
        target=row.target(path),
        region=row.bedrock_region if bedrock else "",
        models=row.bedrock_models if bedrock else ("",),
        declared_region=str(
            row.thresholds.get("bedrock.endpoint_region" if bedrock else "mcp.region", "")
        ),
    )
    return "" if judged.allowed else judged.sentence
