"""What a caller is told when there is no answer: status, code, advice, when to come back."""

from __future__ import annotations

import math
from dataclasses import dataclass

from routing.core import failures
from routing.core.values import Failure, Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`status` is HTTP's; `code` is a word of the product; no hint is None, not 0."""

    status: int
    code: str
    advice: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A budget that refuses a request: which one in words, and when it begins anew."""

    advice: str
    retry_after_s: int


ANSWERED = Told(status=200, code="", advice="")
_PART = "The answer is incomplete and nothing was added to it."
_CROWDED = (
    "This server is at its limit and serves more urgent requests first; send it again after the "
    "time given."
)
_BREACH = "The intended path breaks the residency of this environment; ask an admin to mend it."


def tell(
    *,
    reason: Reason,
    failure: Failure | None,
    refusal: str,
    said_s: float | None,
    wait_s: int,
    begun: bool = False,
    crowded_s: int | None = None,
    stopped: Spent | None = None,
) -> Told:
    """Return what to tell a caller who gets no answer; total over its arguments.

    `refusal` names the compliance rule that the request broke, `said_s` is the provider's own
    hint, `wait_s` how long until a breaker lets the next trial through. `begun` says that a part
    of the answer had reached the caller, so that no other path was thought of; `crowded_s` when
    the line before execution should have passed, None for who got through it; `stopped` the
    budget that is spent.
    """
    if reason is Reason.REFUSED_COMPLIANCE:
        return Told(status=422, code=str(reason), advice=refusal or _BREACH)
    if stopped is not None:
        return Told(
            status=429,
            code=str(Reason.REFUSED_BUDGET),
            advice=stopped.advice,
            retry_after_s=stopped.retry_after_s,
        )
    if crowded_s is not None:
        return crowded(crowded_s)
    if reason is Reason.SHED:
        advice = "Both slots for forced emergencies are taken; send it again at once."
        return Told(status=503, code=str(reason), advice=advice, retry_after_s=1)
    if failure is not None and (begun or not failures.may_fall_back(failure)):
        final = failures.consequence(failure)
        return Told(
            status=final.status,
            code=str(failure),
            advice=f"{_PART} {final.advice}" if begun else final.advice,
            retry_after_s=final.retry_after_s,
        )
    hint = None
    if failure is not None:
        said = None if said_s is None or not math.isfinite(said_s) else math.ceil(said_s)
        hint = failures.retry_after_s(failure, said_s=said)
    return Told(
        status=503,
        code=str(Reason.NO_PATH),
        advice="No path could answer; each candidate and attempt says why.",
        retry_after_s=hint or wait_s,
    )


def crowded(retry_after_s: int) -> Told:
    """Return what to tell a caller for whom there is no place in the line."""
    return Told(status=503, code=str(Reason.SHED), advice=_CROWDED, retry_after_s=retry_after_s)
