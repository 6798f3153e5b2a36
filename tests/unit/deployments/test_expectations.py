"""The literals, and what a request that goes elsewhere is called."""

from __future__ import annotations

from typing import Any

import pytest

from routing.core import matrix
from routing.core.values import Operation, Path
from routing.core.verdict import Mismatch
from routing.deployments import expectations
from routing.deployments.checks.routing import compare
from routing.deployments.expectations import Expected

STANDARD = Expected(order=("mcp", "direct_bedrock"))


def answer(**more: Any) -> dict[str, Any]:
    return {
        "matrix_path": "mcp",
        "intended": "mcp",
        "candidates": [["mcp", None], ["direct_bedrock", None]],
        "reason": "rule",
        "effective": "mcp",
    } | more


def test_the_literals_say_what_the_default_matrix_says() -> None:
    """Two hands wrote it down: who changes one of them must look at the other."""
    said = {op: tuple(str(p) for p in matrix.DEFAULT.rows[op].order()) for op in Operation}
    assert {Operation(op): e.order for op, e in expectations.BY_MATRIX.items()} == said


@pytest.mark.parametrize("operation", list(Operation))
def test_everything_goes_to_mcp_without_intelligent_routing(operation: Operation) -> None:
    assert expectations.expected(operation, intelligent=False).order == ("mcp",)


def test_a_plan_may_leave_one_path_open() -> None:
    only = expectations.expected(Operation.STANDARD, intelligent=True, only=Path.DIRECT_BEDROCK)
    assert only.order == ("direct_bedrock",)


def test_finds_nothing_where_all_is_as_it_must_be() -> None:
    assert compare(STANDARD, answer(), by_matrix=True) is None


@pytest.mark.parametrize(
    ("said", "actual", "kind"),
    [
        # The seed of it all: the right path, by a word of another vocabulary.
        ({"matrix_path": "direct"}, "direct", Mismatch.VOCABULARY),
        ({"intended": "MCP"}, "MCP", Mismatch.VOCABULARY),
        ({"candidates": [["mcp", None], [None, None]]}, "None", Mismatch.VOCABULARY),
        ({"effective": "undefined"}, "undefined", Mismatch.VOCABULARY),
        (
            {"matrix_path": "direct_bedrock", "intended": "direct_bedrock"},
            "direct_bedrock",
            Mismatch.RULE,
        ),
        ({"candidates": [["mcp", None]]}, "mcp", Mismatch.RULE),
        (
            {"intended": "direct_bedrock", "reason": "direct_only"},
            "direct_bedrock (direct_only)",
            Mismatch.FLAG,
        ),
        (
            {
                "candidates": [["mcp", "flag_off"], ["direct_bedrock", None]],
                "effective": "direct_bedrock",
            },
            "direct_bedrock (flag_off)",
            Mismatch.FLAG,
        ),
        (
            {
                "candidates": [["mcp", "unhealthy"], ["direct_bedrock", None]],
                "effective": "direct_bedrock",
            },
            "direct_bedrock (unhealthy)",
            Mismatch.HEALTH_FALLBACK,
        ),
        (
            {
                "candidates": [["mcp", "tried"], ["direct_bedrock", "flag_off"]],
                "effective": None,
                "reason": "no_path",
            },
            "no path (tried)",
            Mismatch.HEALTH_FALLBACK,
        ),
    ],
)
def test_names_each_difference_by_its_kind(
    said: dict[str, Any], actual: str, kind: Mismatch
) -> None:
    assert compare(STANDARD, answer(**said), by_matrix=True) == (actual, kind)


def test_a_promise_with_a_closed_path_is_a_difference_too() -> None:
    promise = answer(
        candidates=[["mcp", "breaker_open"], ["direct_bedrock", None]],
        reason="fallback_breaker_open",
    )
    del promise["effective"]
    assert compare(STANDARD, promise, by_matrix=True) == (
        "fallback_breaker_open (breaker_open)",
        Mismatch.HEALTH_FALLBACK,
    )
