"""The gate before every path: personal data is masked, blocked or let through by policy.

A refusal here is final: the router never mends it by taking the other path.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from routing.compliance import pii
from routing.compliance.pii import PiiClass
from routing.core.values import EnvironmentName, Operation


class Treatment(StrEnum):
    MASK = "mask"
    BLOCK = "block"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What each environment does with personal data; an environment not named masks it."""

    treatments: Mapping[EnvironmentName, Treatment] = field(default_factory=dict)

    def treatment(self, environment: EnvironmentName) -> Treatment:
        return self.treatments.get(environment, Treatment.MASK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be sent. `refusal` is empty or a sentence; with it `texts` is empty.

    `classes` are those found in any text, each once, whatever became of them.
    """

    refusal: str
    texts: tuple[str, ...]
    classes: tuple[PiiClass, ...]


def check(
    *,
    environment: EnvironmentName,
    operation: Operation,
    texts: tuple[str, ...],
    policy: Policy,
) -> Verdict:
    """Judge the texts of one request; nothing of them is kept, and no refusal quotes them."""
    treatment = policy.treatment(environment)
    masked = [pii.mask(text) for text in texts]
    found = {kind for each in masked for kind in each.classes}
    classes = tuple(kind for kind in PiiClass if kind in found)
    if classes and treatment is Treatment.BLOCK:
        refusal = (
            f"The {operation} request carries personal data ({', '.join(classes)}), which "
            f"{environment} blocks; take it out and send the request again."
        )
        return Verdict(refusal=refusal, texts=(), classes=classes)
    if treatment is Treatment.ALLOW:
        return Verdict(refusal="", texts=texts, classes=classes)
    return Verdict(refusal="", texts=tuple(each.text for each in masked), classes=classes)
