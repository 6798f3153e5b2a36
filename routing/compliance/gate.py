"""The gate before every path: personal data is masked, blocked or let through by policy.

A refusal here is final: the router never mends it by taking the other path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from routing.compliance import pii, policy
from routing.compliance.pii import PiiClass
from routing.compliance.policy import Broken, Treatment
from routing.core.decision import Decision, State
from routing.core.values import EnvironmentName, Operation, Path, Reason

__all__ = [
    "Broken",
    "InForce",
    "Policy",
    "Treatment",
    "Verdict",
    "broken",
    "check",
    "sentence",
    "within",
]


class InForce(Protocol):
    """Knows the policy of every environment at any moment."""

    def of(self, environment: EnvironmentName) -> policy.Policy: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Fixed policies: only a treatment per environment; one that is not named masks."""

    treatments: Mapping[EnvironmentName, Treatment] = field(default_factory=dict)

    def of(self, environment: EnvironmentName) -> policy.Policy:
        return policy.Policy(pii=self.treatments.get(environment, Treatment.MASK))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be sent. `refusal` is empty or a sentence; with it `texts` is empty.

    `classes` are those found in any text, each once, whatever became of them; `masked` are the
    texts without them, which is all that a record may be made from. `only` is the path that the
    operation is bound to, None for both. `policy` is the version that judged.
    """

    refusal: str
    texts: tuple[str, ...]
    classes: tuple[PiiClass, ...]
    masked: tuple[str, ...] = ()
    broken: Broken | None = None
    only: Path | None = None
    treatment: Treatment = Treatment.MASK
    policy: int = 0


def check(
    *,
    environment: EnvironmentName,
    operation: Operation,
    texts: tuple[str, ...],
    policy: InForce,
) -> Verdict:
    """Judge the texts of one request; nothing of them is kept, and no refusal quotes them."""
    inforce = policy.of(environment)
    rule, treatment = inforce.rule(operation), inforce.treatment(operation)
    found = [pii.mask(text) for text in texts]
    classes = _classes(found)
    broken, refusal = None, ""
    if rule.forbidden:
        broken = Broken.OPERATION_FORBIDDEN
        refusal = f"{environment} does not allow {operation} requests; ask an admin there."
    elif classes and treatment is Treatment.BLOCK:
        broken = Broken.PII_BLOCKED
        refusal = (
            f"The {operation} request carries personal data ({', '.join(classes)}), which "
            f"{environment} blocks; take it out and send the request again."
        )
    masked = tuple(each.text for each in found) if not broken else ()
    return Verdict(
        refusal=refusal,
        texts=texts if treatment is Treatment.ALLOW and not broken else masked,
        classes=classes,
        masked=masked,
        broken=broken,
        only=rule.path,
        treatment=treatment,
        policy=inforce.version,
    )


def _classes(found: list[pii.Masked]) -> tuple[PiiClass, ...]:
    seen = {kind for each in found for kind in each.classes}
    return tuple(kind for kind in PiiClass if kind in seen) if seen else ()


def within(verdict: Verdict, state: State) -> State:
    """Return `state` with the paths shut that the operation's rule does not allow.

    They are shut as residency shuts them: passed over as a fallback, refused where intended.
    """
    if verdict.only is None:
        return state
    paths = {
        path: facts if path is verdict.only else replace(facts, region_allowed=False)
        for path, facts in state.paths.items()
    }
    return replace(state, paths=paths)


def broken(verdict: Verdict, decision: Decision) -> Broken | None:
    """Return the rule that a refused request broke, None where it was not refused."""
    if decision.reason is not Reason.REFUSED_COMPLIANCE:
        return None
    if verdict.broken is not None:
        return verdict.broken
    bound_elsewhere = verdict.only not in {None, decision.intended}
    return Broken.PATH_FORBIDDEN if bound_elsewhere else Broken.RESIDENCY


def sentence(verdict: Verdict, decision: Decision) -> str:
    """Return what to tell whoever was refused, empty where residency alone speaks."""
    if broken(verdict, decision) is not Broken.PATH_FORBIDDEN:
        return verdict.refusal
    operation = decision.row.operation
    return (
        f"{operation} requests may use {verdict.only} alone here, and {decision.intended} is "
        f"first in their way; ask an admin to send {operation} to {verdict.only}."
    )
