"""What the commands about proposals share: how one is told."""

from __future__ import annotations

from routing.approvals.queries import ProposalRow
from routing.core import approval
from routing.core.errors import Invalid
from routing.management.base import Result


def told(row: ProposalRow) -> Result:
    """Return one proposal as its command prints it."""
    try:
        content = row.content
    except Invalid:
        content = None
    sets = approval.ordered(content.sets) if content else ()
    policy = content.policy if content else None
    return {
        "number": row.number,
        "environment": str(row.environment),
        "state": str(row.state),
        "sets": [
            {
                "flag": str(wish.flag),
                "on": wish.on,
                "percentage": wish.percentage,
                "groups": list(wish.groups),
                "base_version": wish.base_version,
            }
            for wish in sets
        ],
        "policy": sorted(str(flag) for flag in policy.flags) if policy else None,
        "due_at": content.due.due_at.isoformat() if content and content.due else None,
        "lasts_s": int(content.lasts.total_seconds()) if content and content.lasts else None,
        "reason": content.reason if content else "",
        "digest": row.digest,
        "proposed_by": row.proposed_by,
        "expires_at": row.expires_at.isoformat(),
        "approved_by": row.approved_by,
        "ended_by": row.ended_by,
        "ended_because": row.ended_because,
        "entry": row.entry_seq,
    }


def in_words(result: Result) -> str:
    """Return one proposal in a line for a terminal."""
    said = [
        f"{one['flag']} {'on' if one['on'] else 'off'}"
        + (f" for {one['percentage']} %" if one["on"] and one["percentage"] != 100 else "")
        for one in result["sets"]
    ]
    if result["policy"] is not None:
        said = [f"approval for: {', '.join(result['policy']) or 'no flag'}"]
    if result["due_at"]:
        said.append(f"at {result['due_at']}")
    if result["lasts_s"]:
        said.append(f"for {result['lasts_s'] // 60} min")
    agreed = f", approved by {result['approved_by']}" if result["approved_by"] else ""
    return (
        f"{result['number']:>4}  {result['state']:<10} {', '.join(said)} in "
        f"{result['environment']} (by {result['proposed_by']}{agreed}: {result['reason']})"
    )
