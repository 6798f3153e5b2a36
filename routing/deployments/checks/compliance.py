"""Compliance: personal data meets the policy in force, and each path runs where it may."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from routing.compliance import residency, store
from routing.compliance.policy import Broken, Policy, Treatment
from routing.core.values import Operation, Path, TestStatus
from routing.decisions import record
from routing.deployments.checks import base
from routing.deployments.checks.base import Ground, Looked
from routing.deployments.evidence import Claim, Journal
from routing.fleet.queries import EnvironmentRow

ADDRESS, MASKED = "jane.doe@example.org", "[email]"


SEEN = {
    Treatment.MASK: ("masked on arrival", "not seen masked on arrival"),
    Treatment.ALLOW: ("let through as the policy says", "not seen as it was sent"),
    Treatment.BLOCK: ("refused as the policy says", "not refused"),
}


async def compliance_system(ground: Ground) -> Looked:
    """Send an address; find in what the other side wrote that it met the policy in force."""
    policy = await ground.db(store.read, ground.environment)
    treatment = policy.treatment(Operation.STANDARD)
    outside = [sentence for path in Path if (sentence := _breach(ground.row, path))]
    text = f"Deployment check {base.tag(ground)}: forget the address %s at once."
    reply = await ground.run.route(text % ADDRESS, nonce=ground.nonce, max_tokens=16)
    if "candidates" not in reply.body:
        return Looked(status=TestStatus.FAIL, error=base.refused(reply))
    claim = _claim(ground, reply.body, policy, asked=text % ADDRESS, masked=text % MASKED)
    arrived = await ground.db(ground.journals.find, claim)
    pii = "found" if reply.body["pii"] == ["email"] else f"found as {reply.body['pii']}"
    wanted, missed = SEEN[treatment]
    actual = [
        f"the address {pii}",
        wanted if arrived else missed,
        "; ".join(outside) or "both paths where they may be",
    ]
    return base.compared(
        expected=f"the address found; {wanted}; both paths where they may be",
        actual="; ".join(actual),
        claims=(claim,),
    )


def _claim(
    ground: Ground, body: Mapping[str, Any], policy: Policy, *, asked: str, masked: str
) -> Claim:
    """Return the record that only this treatment can leave: its digest was taken by hand here."""
    treatment, effective = policy.treatment(Operation.STANDARD), body["effective"]
    if effective is not None and ground.is_local(Path(effective)):
        sent = asked if treatment is Treatment.ALLOW else masked
        return Claim(
            journal=Journal.UPSTREAM,
            nonce=ground.nonce,
            path=Path(effective),
            says={
                "prompt_sha256": hashlib.sha256(sent.encode()).hexdigest(),
                "decision": body["decision_id"],
            },
        )
    blocked = treatment is Treatment.BLOCK
    kept = record.prompt(masked=() if blocked else ("", masked), asked=("", asked), pii=("email",))
    judged = {
        "policy": policy.version,
        "pii": str(treatment),
        "broken": str(Broken.PII_BLOCKED) if blocked else "",
    }
    said = {"sha256": kept.sha256, "size": kept.size, "pii": list(kept.pii)}
    return Claim(
        journal=Journal.DECISIONS,
        nonce=ground.nonce,
        says={"id": body["decision_id"], "prompt": said, "compliance": judged},
    )


def _breach(row: EnvironmentRow, path: Path) -> str:
    """Return why `path` may not be used here, empty where it may or leads nowhere."""
    if not row.target(path):
        return ""
    judged = residency.of(row, path)
    return "" if judged.allowed else judged.sentence
