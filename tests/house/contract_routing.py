"""What the commands over matrix, overrides and replay print with `--json`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.house.printed import DEV, REFUSED, WHY, Printed

DRAFT = {
    "environment": "where",
    "revision": "counts the edits; the next one names it",
    "base_version": "the version in force when it was begun",
    "rows": "as `matrix show` prints them",
    "problems": "what keeps it from being published, a sentence each",
    "owner": "who began it",
    "reason": "why",
    "changed_at": "UTC",
    "changed_by": "who edited it last",
}
OVERRIDE = {
    "id": "its number",
    "environment": "where",
    "operation": "which",
    "path": "where it begins",
    "reason": "why",
    "set_at": "UTC",
    "set_by": "who",
    "ends_at": "UTC",
    "holds": "whether requests follow it now",
    "ended_at": "when its end was booked, or null",
    "ended_by": "who ended it, empty while it is open",
    "ended_because": "why",
}

COST_CHANGED = {
    "environment": "where",
    "version": "the version that is now in force",
    "before": "prices and limits before",
    "after": "prices and limits now",
    "entry": "the number of the audit entry",
}
BREAKER = {
    "environment": "where",
    "path": "which path",
    "target": "region and model, or the MCP server",
    "state": "closed, open, half_open, forced_open or forced_closed",
    "since": "when it moved last, or null",
    "why": "why it moved last, empty if it never did",
    "ends_at": "when an open or forced state ends by itself, or null",
    "by": "who forces it, empty if nobody does",
    "reason": "why it is forced",
    "trips_24h": "how often it opened in the last 24 hours",
    "generation": "how often it moved; one number for all processes",
}
MOVED = {**BREAKER, "was": "the state before", "entry": "the number of the audit entry"}

ROUTING: Mapping[str, tuple[Printed, ...]] = {
    "matrix": (
        Printed(
            when="show: one object",
            ask=("show", *DEV),
            keys={
                "environment": "where",
                "version": "the version that is shown",
                "in_force": "the version in force",
                "rows": "operation, priority (null, or the one it is narrowed to), "
                "default_priority, budget_ms, primary, fallback, when_down, and split where some "
                "are sent the other way",
            },
        ),
        Printed(when="draft: one object", ask=("draft", *DEV, "--number", "1"), keys=DRAFT),
        Printed(
            when="diff: one object",
            ask=("diff", *DEV),
            keys={
                "environment": "where",
                "revision": "of the draft",
                "in_force": "the version that it is compared with",
                "differences": "a sentence each",
                "problems": "what keeps it from being published",
            },
        ),
        Printed(
            when="publish: one object",
            ask=("publish", *DEV, *WHY),
            keys={
                "environment": "where",
                "version": "the matrix that is now in force",
                "differences": "from the one before, a sentence each",
                "entry": "the number of the audit entry",
            },
        ),
        Printed(
            when="history: one object for each published version, newest first",
            ask=("history", *DEV),
            keys={
                "environment": "where",
                "version": "its number",
                "made_at": "UTC",
                "made_by": "who",
                "reason": "why",
            },
        ),
        Printed(
            when="refused, here for want of a draft: one object",
            ask=("discard", *DEV),
            keys=REFUSED,
            status=1,
        ),
    ),
    "override": (
        Printed(
            when="set, end: one object",
            ask=("set", "meta_monitor", *DEV, "--path", "mcp", "--minutes", "5", *WHY),
            keys={**OVERRIDE, "entry": "the number of the audit entry"},
        ),
        Printed(when="list: one object for each, newest first", ask=("list", *DEV), keys=OVERRIDE),
    ),
    "replay": (
        Printed(
            when="one object",
            ask=(*DEV, "--flag", "ENABLE_MCP_INTEGRATION=off", "--last", "50"),
            keys={
                "ok": "whether every record came out as it stands and could be decided again",
                "environment": "where",
                "decisions": "how many were decided again",
                "synthetic": "how many of them were requests of our own",
                "changed": "how many would end elsewhere",
                "no_path": "how many were answered and would have no path",
                "unknown_outcome": "how many would go to a path that they did not ask then",
                "cells": "operation, from, to (null is no path), outcome_known, count",
                "mismatched": "ids of records that do not come out as they stand",
                "unreadable": "ids of records that cannot be decided again",
                "words": "the same as sentences, the worst first",
            },
        ),
    ),
    "breaker": (
        Printed(when="list: one object for each path", ask=("list", *DEV), keys=BREAKER),
        Printed(
            when="force, release: one object",
            ask=(
                "force",
                *DEV,
                "--path",
                "mcp",
                "--state",
                "closed",
                "--for",
                "15m",
                *WHY,
            ),
            keys=MOVED,
        ),
        Printed(
            when="refused: one object, status 1",
            ask=("force", *DEV, "--path", "mcp", "--state", "open", "--for", "9h", *WHY),
            keys={**REFUSED, "field": "what was wrong"},
            status=1,
        ),
    ),
    "cost": (
        Printed(
            when="one object for show",
            ask=("show", *DEV),
            keys={
                "environment": "where",
                "version": "the version in force; 0 is before any price or limit",
                "form": "the version of the form of such a document",
                "currency": "of all prices and limits in money; empty while there is none",
                "prices": "by model: `input` and `output` for a million tokens",
                "limits": "each with what it allows, what is spent, how many requests are not in "
                "that figure, the level reached (0, 50, 75, 90, 100) and when its period ends",
                "today": "what real requests of this day (UTC) cost",
                "month": "the same of this month",
                "ours": "the same of our own, synthetic ones; they count against no limit",
                "operations": "of this month by operation",
                "tenants": "of this month by tenant",
                "models": "of this month by model",
                "days": "by day, the last 14",
            },
        ),
        Printed(
            when="one object for price and limit",
            ask=(
                "price",
                *DEV,
                "--model",
                "m",
                "--input",
                "3",
                "--output",
                "15",
                "--currency",
                "EUR",
            ),
            keys=COST_CHANGED,
        ),
        Printed(
            when="refused: one object, status 1",
            ask=("limit", *DEV, "--period", "day", "--unit", "money", "--most", "a lot"),
            keys=REFUSED,
            status=1,
        ),
    ),
    "compliance": (
        Printed(
            when="one object for show",
            ask=("show", *DEV),
            keys={
                "environment": "where",
                "version": "the policy in force; 0 is the product's own",
                "form": "the version of the form of such a policy",
                "pii": "what becomes of personal data: `allow`, `mask` or `block`",
                "operations": "what holds for single operations: `forbidden`, `path`, `pii`",
                "refused_24h": "how many requests broke each rule within a day",
            },
        ),
        Printed(
            when="one object for set",
            ask=("set", *DEV, "--rule", "background_tasks=forbidden", "--confirm"),
            keys={
                "environment": "where",
                "version": "the policy that is now in force",
                "before": "the policy before",
                "after": "the policy now",
                "entry": "the number of the audit entry",
            },
        ),
    ),
}
