"""What the commands about people, tokens and approval print; see `contract`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.house.printed import DEV, REFUSED, STG, WHY, Printed

ACCOUNT = {
    "user_id": "the account's number",
    "username": "the name to sign in with",
    "roles": "role by environment",
    "active": "whether the account is open",
    "one_time_password": "whether the first sign-in still has to replace the password",
    "last_signed_in_at": "UTC, or null",
}
PROPOSED = {
    "number": "the proposal's number",
    "environment": "where",
    "state": "proposed, approved, rejected, withdrawn, expired, voided or applied",
    "sets": "flag, on, percentage, groups and base_version of each flag",
    "policy": "the flags that shall need approval, null in a proposal of flags",
    "due_at": "UTC, the time for which applying it plans it; null for at once",
    "lasts_s": "after how many seconds it goes back by itself; null for good",
    "reason": "why",
    "digest": "SHA-256 of the content that is agreed to",
    "proposed_by": "by whom, as the trail names them",
    "expires_at": "UTC",
    "approved_by": "by whom, empty until then",
    "ended_by": "who applied, rejected, withdrew or ended it, empty until then",
    "ended_because": "why it ended, empty unless it did unapplied",
    "entry": "the number of the audit entry of the change, or null",
}
_MODE = ("--set", "ENABLE_BEDROCK_SUPPORT_MODE=on")

PEOPLE: Mapping[str, tuple[Printed, ...]] = {
    "people": (
        Printed(when="list: one object for each person", ask=("list", *DEV), keys=ACCOUNT),
        Printed(
            when="grant, revoke, close, reopen: one object",
            ask=("grant", "ada", *DEV, "--role", "viewer", *WHY),
            keys=ACCOUNT,
        ),
        Printed(
            when="reset: one object",
            ask=("reset", "ada", *WHY),
            keys={**ACCOUNT, "password": "shown now and never again"},
        ),
    ),
    "revoke_token": (
        Printed(
            when="refused: one object, such as where there is no such token",
            ask=("tok_nobody",),
            keys=REFUSED,
            status=1,
        ),
    ),
    "propose": (
        Printed(when="one object", ask=(*STG, *_MODE, *WHY), keys=PROPOSED),
        Printed(
            when="--policy, refused: one object",
            ask=(*STG, "--policy", "-", *WHY),
            keys={**REFUSED, "field": "what was wrong"},
            status=1,
        ),
    ),
    "proposal": (
        Printed(when="list: one object for each", ask=("list", *STG), keys=PROPOSED),
        Printed(
            when="approve: refused, always",
            ask=("approve", "1", *STG),
            keys={**REFUSED, "rule": "approval_by_a_person"},
            status=1,
        ),
        Printed(
            when="apply of what nobody approved: refused",
            ask=("apply", "1", *STG),
            keys={**REFUSED, "rule": "which rule", "state": "where the proposal stands"},
            status=1,
        ),
        Printed(
            when="withdraw, reject, apply: one object",
            ask=("withdraw", "1", *STG),
            keys=PROPOSED,
        ),
    ),
    "approval_policy": (
        Printed(
            when="one object",
            ask=(*DEV, "--need", "ai.caching.enabled"),
            keys={
                "environment": "where",
                "version": "0 as the product is delivered, then one more with each change",
                "flags": "the flags that need a second person",
                "entry": "the number of the audit entry, null where nothing was changed",
            },
        ),
    ),
}
