"""Every error that HybridOps raises on purpose.

HybridOpsError
├── Refused                 the request is understood and not done; nothing was changed
│   ├── UnknownWord         a word outside the vocabulary                              400
│   ├── Invalid             input of the wrong shape                                   400
│   ├── NotSignedIn         no or wrong credentials                                    401
│   │   └── MustChange      signed in by a one-time password, which comes to be replaced 401
│   ├── Forbidden           the actor lacks the right in this environment              403
│   ├── NotFound            no such thing, or none that the actor may see              404
│   ├── Stale               somebody was faster; carries the fresh state               409
│   ├── NeedsConfirm        allowed after an explicit confirmation; lists what stops   409
│   ├── RuleBroken          a guard refuses; names its rule                            422
│   ├── TooMany             over a limit; says when to come back                       429
│   └── Unavailable         a part that the work needs is away                         503
└── Broken                  an invariant of ours does not hold; a human must look      500
    └── AuditBroken         the audit trail fails its own check

Every message says what was wrong and what to do next. `code` is stable and machine-readable.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar


class HybridOpsError(Exception):
    """Base of the tree; `code` and `status` (HTTP) are fixed per class."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts: Mapping[str, Any] = facts


class Refused(HybridOpsError):
    code = "refused"
    status = 400


class Invalid(Refused):
    code = "invalid"


class UnknownWord(Refused):
    code = "unknown_word"

    def __init__(self, *, kind: str, text: str, known: Sequence[str]) -> None:
        shown = text if len(text) <= 80 else text[:77] + "..."
        super().__init__(
            f"{shown!r} is not a known {kind}; known: {', '.join(known)}.",
            kind=kind,
            text=text,
            known=list(known),
        )


class NotSignedIn(Refused):
    code = "not_signed_in"
    status = 401


class MustChange(NotSignedIn):
    code = "must_change_password"


class Forbidden(Refused):
    code = "forbidden"
    status = 403


class NotFound(Refused):
    code = "not_found"
    status = 404


class Stale(Refused):
    """Facts carry `current`: the state that won."""

    code = "stale"
    status = 409


class NeedsConfirm(Refused):
    """Facts carry `effects`: what stops, as a list of sentences."""

    code = "needs_confirm"
    status = 409


class RuleBroken(Refused):
    """Facts carry `rule`: the name of the guard's rule."""

    code = "rule_broken"
    status = 422


class TooMany(Refused):
    """Facts carry `retry_after_s`."""

    code = "too_many"
    status = 429


class Unavailable(Refused):
    """Facts may carry `retry_after_s`."""

    code = "unavailable"
    status = 503


class Broken(HybridOpsError):
    code = "broken"


class AuditBroken(Broken):
    """Facts carry `seq` of the first bad entry where one is known."""

    code = "audit_broken"
