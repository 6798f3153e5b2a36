"""Where requests go, held to literals: the smoke test, and the whole matrix of the validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routing.core.flags import FlagName
from routing.core.values import Operation, Path, Skip, TestStatus
from routing.core.verdict import Mismatch
from routing.deployments import expectations
from routing.deployments.checks import base
from routing.deployments.checks.base import Check, Ground, Looked
from routing.deployments.evidence import Claim
from routing.deployments.expectations import Expected
from routing.runs import Reply

_WORDS = frozenset(str(path) for path in Path)
ROUTED = (Operation.EMERGENCY, Operation.STANDARD)
TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One operation that goes elsewhere than it must."""

    operation: Operation
    expected: str
    actual: str
    kind: Mismatch


async def routing_decision_basic(ground: Ground) -> Looked:
    """Explain every operation and route two, one for each path; list every difference."""
    found: list[Difference] = []
    for operation in Operation:
        reply = await ground.run.explain(base.prompt(ground), operation=operation)
        if not reply.ok:
            return Looked(status=TestStatus.FAIL, error=base.refused(reply))
        found += _differences(ground, operation, reply.body)
    replies = [await _route(ground, operation) for operation in ROUTED]
    for operation, reply in zip(ROUTED, replies, strict=True):
        found += [
            one
            for one in _differences(ground, operation, reply.body)
            if one.operation not in {known.operation for known in found}
        ]
    claims = tuple(claim for reply in replies for claim in base.routed(ground, reply))
    return _told(found, claims=claims, good=f"{len(Operation)} of {len(Operation)} operations")


def validation(operation: Operation) -> Check:
    """Return the check that routes `operation` for real and holds it to the literals."""

    async def check(ground: Ground) -> Looked:
        reply = await _route(ground, operation)
        if "candidates" not in reply.body:
            return Looked(status=TestStatus.FAIL, error=base.refused(reply))
        found = _differences(ground, operation, reply.body)
        want = _expected(ground, operation)
        return _told(
            found,
            claims=(*base.routed(ground, reply), *_decided(ground, reply)),
            good=f"{operation} to {want.primary}",
        )

    return check


def _decided(ground: Ground, reply: Reply) -> tuple[Claim, ...]:
    id, effective = reply.body["decision_id"], reply.body.get("effective")
    return (base.decided(ground, id, effective),)


async def _route(ground: Ground, operation: Operation) -> Reply:
    return await ground.run.route(
        base.prompt(ground), operation=operation, nonce=ground.nonce, max_tokens=TOKENS
    )


def _expected(ground: Ground, operation: Operation) -> Expected:
    return expectations.expected(operation, intelligent=ground.wants(FlagName.INTELLIGENT_ROUTING))


def _differences(
    ground: Ground, operation: Operation, body: Mapping[str, Any]
) -> list[Difference]:
    intelligent = ground.wants(FlagName.INTELLIGENT_ROUTING)
    want = _expected(ground, operation)
    found = compare(want, body, by_matrix=intelligent)
    if found is None:
        return []
    actual, kind = found
    return [
        Difference(
            operation=operation,
            expected=f"{operation} to {' then '.join(want.order)}"
            if " then " in actual
            else f"{operation} to {want.primary}",
            actual=f"{operation} to {actual}",
            kind=kind,
        )
    ]


def compare(
    want: Expected, body: Mapping[str, Any], *, by_matrix: bool
) -> tuple[str, Mismatch] | None:
    """Return where a request goes instead and what kind of difference that is, None for none.

    `body` is an answer of route or explain. Unknown words come first: two vocabularies that are
    compared as text are the mistake that this check is named after.
    """
    said = [body.get("matrix_path"), body.get("intended"), *(c[0] for c in body["candidates"])]
    strange = [word for word in said if word not in _WORDS]
    if strange:
        return str(strange[0]), Mismatch.VOCABULARY
    if by_matrix and body["matrix_path"] != want.primary:
        return str(body["matrix_path"]), Mismatch.RULE
    if body["intended"] != want.primary:
        return f"{body['intended']} ({body['reason']})", Mismatch.FLAG
    order = tuple(c[0] for c in body["candidates"])
    if order and order != want.order:
        return " then ".join(order), Mismatch.RULE
    return _moved(want, body)


def _moved(want: Expected, body: Mapping[str, Any]) -> tuple[str, Mismatch] | None:
    """Return what became of a request that the rule sends the right way."""
    skips = dict(body["candidates"])
    why = skips.get(want.primary)
    if "effective" in body:
        effective = body["effective"]
        if effective == want.primary:
            return None
        if effective is not None and effective not in _WORDS:
            return str(effective), Mismatch.VOCABULARY
        actual = f"{effective or 'no path'} ({why or body['reason']})"
    elif why is None:
        return None
    else:
        actual = f"{body['reason']} ({why})"
    return actual, Mismatch.FLAG if why == str(Skip.FLAG_OFF) else Mismatch.HEALTH_FALLBACK


def _told(found: Sequence[Difference], *, claims: tuple[Claim, ...], good: str) -> Looked:
    if not found:
        return Looked(status=TestStatus.PASS, expected=good, actual=good, claims=claims)
    return Looked(
        status=TestStatus.FAIL,
        expected="; ".join(one.expected for one in found),
        actual="; ".join(one.actual for one in found),
        kind=found[0].kind,
        claims=claims,
    )
