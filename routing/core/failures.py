"""What follows from each way in which a call can fail (product.md section 3): one table.

It answers for the call alone. Two rules of the router stand above it: nothing is retried or
moved once a byte of the answer has reached the caller, nor when the deadline leaves no time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from routing.core.circuit_state import Result
from routing.core.values import Failure

LONGEST_RETRY_AFTER_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequence:
    """The answers for one failure.

    `counts` is its weight for the breaker; `may_retry` the same path once more, `may_fall_back`
    the other path. `status` (HTTP) and `advice` go to the caller when nothing else is tried;
    `retry_after_s` is the hint that goes along, None where coming back soon would not help.
    """

    counts: Result
    may_retry: bool
    may_fall_back: bool
    status: int
    advice: str
    retry_after_s: int | None = None


def _never_called(status: int, advice: str, retry_after_s: int | None) -> Consequence:
    """The path was not called, so nothing was learnt about it and another one is free to try."""
    return Consequence(
        counts=Result.IGNORED,
        may_retry=False,
        may_fall_back=True,
        status=status,
        advice=advice,
        retry_after_s=retry_after_s,
    )


def _path_trouble(
    status: int, advice: str, retry_after_s: int | None = None, *, may_retry: bool = False
) -> Consequence:
    return Consequence(
        counts=Result.FAILURE,
        may_retry=may_retry,
        may_fall_back=True,
        status=status,
        advice=advice,
        retry_after_s=retry_after_s,
    )


def _final(counts: Result, status: int, advice: str) -> Consequence:
    return Consequence(
        counts=counts, may_retry=False, may_fall_back=False, status=status, advice=advice
    )


TABLE: Mapping[Failure, Consequence] = {
    Failure.DISABLED: _never_called(
        503, "The path is switched off; ask an operator of this environment to open it.", 60
    ),
    Failure.BREAKER_OPEN: _never_called(
        503, "The path is being left alone to recover; send the request again later.", 5
    ),
    Failure.QUEUE_FULL: _never_called(
        503, "All slots of the path are taken; send the request again in a moment.", 1
    ),
    # It was called and is alive: it asks for patience. Waiting does help, so one retry may.
    Failure.THROTTLED: Consequence(
        counts=Result.IGNORED,
        may_retry=True,
        may_fall_back=True,
        status=503,
        advice="The provider limits our rate; send the request again later.",
        retry_after_s=5,
    ),
    # The tool ran and said no: the server is up, and the tool may have acted, so no second run.
    Failure.TOOL_ERROR: Consequence(
        counts=Result.IGNORED,
        may_retry=False,
        may_fall_back=True,
        status=502,
        advice="The MCP tool reported an error; read its text and mend the request or the tool.",
    ),
    Failure.TIMEOUT: _path_trouble(
        504, "The path did not answer within the budget; send the request again later.", 5
    ),
    Failure.UNREACHABLE: _path_trouble(
        503, "The path cannot be reached; send the request again later.", 5, may_retry=True
    ),
    Failure.PROVIDER: _path_trouble(
        502, "The provider failed inside; send the request again later.", 5, may_retry=True
    ),
    Failure.REFUSED_CREDENTIALS: _path_trouble(
        502, "The provider refuses our credentials; ask an admin to renew them.", 60
    ),
    Failure.PROTOCOL: _path_trouble(
        502, "The answer could not be understood; give an operator the decision's id."
    ),
    Failure.TRUNCATED: _path_trouble(
        502, "The answer broke off; use none of it and send the request again.", 1
    ),
    Failure.OUTCOME_UNKNOWN: _final(
        Result.FAILURE,
        502,
        "The call may or may not have taken effect; check that before sending it again.",
    ),
    Failure.VALIDATION: _final(
        Result.IGNORED, 400, "The provider refuses the request as it stands; change it."
    ),
    Failure.COMPLIANCE: _final(
        Result.IGNORED, 422, "A compliance rule refuses the request; remove what it names."
    ),
}


def consequence(failure: Failure) -> Consequence:
    """Return what follows from `failure`; total over the enum."""
    return TABLE[failure]


def counts_for_breaker(failure: Failure) -> Result:
    """Return how `failure` is to be settled with the circuit."""
    return TABLE[failure].counts


def may_retry(failure: Failure) -> bool:
    """Tell whether the same path may be called once more."""
    return TABLE[failure].may_retry


def may_fall_back(failure: Failure) -> bool:
    """Tell whether the other path may be called."""
    return TABLE[failure].may_fall_back


def retry_after_s(failure: Failure, *, said_s: int | None = None) -> int | None:
    """Return the seconds to tell the caller, None for no hint.

    `said_s` is what the provider asked for. It is not trusted: below 1 it counts as unsaid, and
    it is cut to a minute, so that no provider can send our callers away for a year.
    """
    own = TABLE[failure].retry_after_s
    if own is None or said_s is None or said_s < 1:
        return own
    return min(said_s, LONGEST_RETRY_AFTER_S)
