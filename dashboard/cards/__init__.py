"""Rows turned into frozen, worded facts: templates are told, they do not ask."""

from __future__ import annotations

from dashboard.cards.alarms import Alarms, alarms, standing_items
from dashboard.cards.approvals import proposal_items
from dashboard.cards.audit import DEEDS, AuditLine, audit_line, pretty
from dashboard.cards.backlog import decision_items
from dashboard.cards.breakers import BreakerBoard, breaker_board
from dashboard.cards.cost import CostBoard, budget_items, cost_board
from dashboard.cards.drift import DriftCard, drift_card
from dashboard.cards.flags import (
    FlagCard,
    FlagCell,
    FlagsGrid,
    flag_card,
    flags_grid,
    flags_summary,
    last_changed,
)
from dashboard.cards.lanes import Lane, direct_bedrock_lane, mcp_lane
from dashboard.cards.overview import (
    ChangeFeed,
    OpenItem,
    RequestTable,
    StateHeader,
    change_feed,
    open_items,
    request_table,
    state_header,
)
from dashboard.cards.propagation import Spread, propagation
from dashboard.cards.reviews import Asked, Review, SetReview, Turn, asked, review
from dashboard.cards.rollback import (
    RollbackRun,
    TargetCard,
    rollback_run,
    rollback_targets,
)
from dashboard.cards.routes import MatrixTable, matrix_table
from dashboard.cards.wording import LONGEST_VALUE, absolute, ago, diff, flag_text, left

__all__ = [
    "DEEDS",
    "LONGEST_VALUE",
    "Alarms",
    "Asked",
    "AuditLine",
    "BreakerBoard",
    "ChangeFeed",
    "CostBoard",
    "DriftCard",
    "FlagCard",
    "FlagCell",
    "FlagsGrid",
    "Lane",
    "MatrixTable",
    "OpenItem",
    "RequestTable",
    "Review",
    "RollbackRun",
    "SetReview",
    "Spread",
    "StateHeader",
    "TargetCard",
    "Turn",
    "absolute",
    "ago",
    "alarms",
    "asked",
    "audit_line",
    "breaker_board",
    "budget_items",
    "change_feed",
    "cost_board",
    "decision_items",
    "diff",
    "direct_bedrock_lane",
    "drift_card",
    "flag_card",
    "flag_text",
    "flags_grid",
    "flags_summary",
    "last_changed",
    "left",
    "matrix_table",
    "mcp_lane",
    "open_items",
    "pretty",
    "propagation",
    "proposal_items",
    "request_table",
    "review",
    "rollback_run",
    "rollback_targets",
    "standing_items",
    "state_header",
]
