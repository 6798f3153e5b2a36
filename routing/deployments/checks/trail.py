"""The audit trail: an entry of our own is found in it, and the chain holds over it."""

from __future__ import annotations

from itertools import pairwise

from django.db import transaction

from routing.audit import ledger, queries, verify
from routing.audit.queries import Filters
from routing.core.rights import system_actor
from routing.core.values import Action
from routing.deployments.checks import base
from routing.deployments.checks.base import Ground, Looked
from routing.deployments.evidence import Claim, Journal

# A longer trail is verified over its newest entries here, and whole by `manage.py verify_audit`.
WHOLE_UP_TO = 20_000
TAIL = 500


async def audit_trail_system(ground: Ground) -> Looked:
    """Book an entry with the nonce and verify the trail up to it and over it."""
    problem = await ground.db(_look, ground)
    claim = Claim(journal=Journal.CONTROL, nonce=ground.nonce, action=Action.DEPLOYMENT_STEP)
    good = "the entry stands and the chain holds"
    return base.compared(expected=good, actual=problem or good, claims=(claim,))


def _look(ground: Ground) -> str:
    with transaction.atomic():
        booked = ledger.record(
            by=system_actor("deployments"),
            now=ground.clock(),
            action=Action.DEPLOYMENT_STEP,
            environment=ground.environment,
            object_type="deploy",
            object_id=ground.operation,
            facts={"nonce": ground.nonce, "step": "audit_trail_system"},
        )
    if booked.seq <= WHOLE_UP_TO:
        report = verify.verify()
        if not report.ok:
            return report.problem
        if report.head is None or report.head.seq < booked.seq:
            return f"entry {booked.seq} is not among the {report.entries} that were verified"
        return ", ".join(f"the guard {name} is missing" for name in report.unguarded)
    return _tail(booked.seq)


def _tail(seq: int) -> str:
    rows = queries.page(filters=Filters(), before_seq=seq + 1, size=TAIL).rows
    for newer, older in pairwise(rows):
        if newer.broken or older.broken:
            return newer.broken or older.broken
        if newer.prev != older.hash or newer.seq != older.seq + 1:
            return f"entry {newer.seq} does not follow entry {older.seq}"
    return "" if rows and rows[0].seq == seq else f"entry {seq} is not to be found"
