"""Rows turned into frozen, worded facts: templates are told, they do not ask."""

from __future__ import annotations

from dashboard.cards.audit import DEEDS, AuditLine, audit_line, pretty
from dashboard.cards.flags import (
    FlagCard,
    FlagCell,
    FlagsGrid,
    Review,
    flag_card,
    flags_grid,
    flags_summary,
    last_changed,
    review,
)
from dashboard.cards.wording import LONGEST_VALUE, absolute, ago, diff, flag_text

__all__ = [
    "DEEDS",
    "LONGEST_VALUE",
    "AuditLine",
    "FlagCard",
    "FlagCell",
    "FlagsGrid",
    "Review",
    "absolute",
    "ago",
    "audit_line",
    "diff",
    "flag_card",
    "flag_text",
    "flags_grid",
    "flags_summary",
    "last_changed",
    "pretty",
    "review",
]
