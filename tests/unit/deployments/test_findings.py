"""What is said about a document, and what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from routing.core.values import Component, TestStatus, Verdict
from routing.core.verdict import Mismatch
from routing.deployments import claims, complaints, document, findings
from routing.deployments.parsed import IntegrationTest, Parsed, SmokeTest
from tests.unit.deployments.papers import (
    BEGUN_MS,
    DRIFT,
    ID,
    SUMMARY,
    clean,
    results,
    summary,
    text_of,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MCP, ROUTING = SmokeTest.MCP_CONNECTION, SmokeTest.ROUTING_DECISION


def json_of(**more: Any) -> Parsed:
    return document.parse_json(text_of(summary(**more)))


def found(
    markdown: Parsed | None = None, summary: Parsed | None = None, file: str = SUMMARY
) -> dict[str, str]:
    """Return the findings by code; a code that comes twice keeps its last message."""
    told = findings.find(markdown=markdown, summary=summary, summary_file=file, now=NOW)
    return {one.code: one.message for one in told}


def test_a_clean_run_in_both_forms_has_none() -> None:
    assert found(clean(), json_of()) == {}


@pytest.mark.parametrize(
    ("said", "code", "words"),
    [
        (clean(tests=results(duration_ms=0)), "zero_ms_tests", "10 of 10 tests took 0 ms"),
        (clean(errors=(DRIFT,)), "vocabulary_drift", "an alias of direct_bedrock"),
        (clean(errors=(DRIFT,)), "vocabulary_drift", "not a routing fault"),
        (clean(recorded_status="FAILED"), "status_contradicts", "amount to succeeded"),
        (clean(tests=results(failing=[MCP])), "status_contradicts", "1 of 10 tests failed: MCPR"),
        (clean(components=()), "components_missing", "without BedrockSupportManager"),
        (clean(deployment_id=f"x-{BEGUN_MS + 9_000_000}"), "id_after_timestamp", "8998500 ms"),
        (clean(timestamp=NOW + timedelta(days=1)), "timestamp_in_future", "in the future"),
        (
            clean(flags={**clean().flags, next(iter(clean().flags)): False}),
            "flag_disabled_listed_as_enabled",
            "ENABLE_INTELLIGENT_ROUTING=false",
        ),
        (
            clean(tests=results(failing=[MCP]), process="Revert to MCP-only routing"),
            "rollback_target_unproven",
            "MCPRouter.mcp_connection ended in fail",
        ),
        (clean(tests=results()[1:]), "tests_missing", "IntelligentRouter.routing_decision_basic"),
        (clean(tests=()), "tests_missing", "circuit_breaker_system"),
    ],
)
def test_says(said: Parsed, code: str, words: str) -> None:
    assert words in found(said)[code]


def test_a_skipped_test_of_0_ms_is_nothing_to_wonder_at() -> None:
    skipped = tuple(
        replace(test, status=TestStatus.SKIP, duration_ms=0) for test in results(duration_ms=7)
    )
    assert "zero_ms_tests" not in found(clean(tests=skipped))


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (f"x-{BEGUN_MS + 44}.json", "took 44 ms"),
        (f"x-{BEGUN_MS + 999}.json", "took 999 ms"),
        (f"x-{BEGUN_MS - 3}.json", "ended 3 ms before it began"),
        (f"x-{BEGUN_MS + 1000}.json", ""),
        (f"x-{BEGUN_MS}.md", ""),
        ("x.json", ""),
        ("", ""),
    ],
)
def test_the_run_time_is_a_claim_of_the_two_names(file: str, words: str) -> None:
    told = found(None, json_of(), file).get("implausible_run", "")
    assert words in told and bool(words) == bool(told)
    if words:
        assert "claim" in told


def test_the_run_time_of_a_file_that_markdown_alone_names_is_unknown() -> None:
    assert findings.run_ms(ID, "") is None
    assert findings.run_ms("no-time", SUMMARY) is None
    assert findings.run_ms(ID, SUMMARY) == 2500


def test_counts_are_held_against_details() -> None:
    value = summary()
    value["summary"]["smokeTestsPassed"] = 4
    value["summary"]["errorsCount"] = 1
    told = findings.find(
        summary=document.parse_json(text_of(value)), summary_file=SUMMARY, now=NOW
    )
    assert [one.message for one in told if one.code == "counts_differ"] == [
        "The summary records smokeTestsPassed 4; its details come to 5.",
        "The summary records errorsCount 1; its details come to 0.",
    ]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"timestamp": NOW}, "timestamp"),
        ({"recorded_status": "FAILED"}, "success"),
        ({"components": tuple(Component)[1:]}, "components"),
        ({"flags": {}}, "flag ENABLE_INTELLIGENT_ROUTING"),
        ({"tests": results(failing=[MCP])}, "test MCPRouter.mcp_connection"),
        ({"errors": ("x",)}, "errors"),
        ({"warnings": ("x",)}, "warnings"),
    ],
)
def test_twins_are_compared_field_by_field(change: dict[str, Any], field: str) -> None:
    one, other = clean(**change), json_of()
    assert field in [difference.field for difference in claims.differences(one, other)]
    assert "md_json_differ" in found(one, other)
    assert claims.differences(clean(), json_of()) == ()


def test_of_twins_that_differ_the_worse_counts_whichever_came_first() -> None:
    bad = json_of(tests=results(failing=[MCP]))
    for pair in ((clean(), bad), (bad, clean())):
        assert claims.derived(*pair).verdict is Verdict.FAILED
    assert claims.derived(clean(), json_of()).verdict is Verdict.INCONCLUSIVE


def test_merging_takes_from_each_form_what_only_it_says() -> None:
    broken = results(failing=[MCP], error="refused")
    together = claims.merged(clean(tests=results(failing=[MCP])), json_of(tests=broken))
    assert together.tests == broken
    assert together.process == clean().process
    assert together.recorded_success is True
    assert claims.merged(clean(), None) == clean()


@pytest.mark.parametrize(
    ("text", "failed", "codes"),
    [
        ("Expected emergency to route to direct_bedrock, got direct", (), ["vocabulary_drift"]),
        ("Expected standard to route to mcp, got direct_bedrock", (), ["route_differs"]),
        (
            "Expected standard to route to mcp, got direct",
            (MCP,),
            ["route_differs", "vocabulary_drift"],
        ),
        ("Expected emergency to route to direct_bedrock, got undefined", (), ["undefined_route"]),
        ("Expected emergency to route to direct_bedrock, got hybrid", (), ["unknown_route"]),
        ("No routing rule found for operation: undefined", (), ["undefined_operation"]),
        ("No routing rule found for operation: test", (), ["unknown_operation"]),
        ("No routing rule found for operation: infrastructure_audit", (), ["vocabulary_drift"]),
        ("No routing rule found for operation: emergency", (), ["rule_missing"]),
        ("this.router.start is not a function", (), ["method_missing"]),
        ("Something else: entirely, new", (), []),
    ],
)
def test_an_error_is_read_for_what_it_is_about(
    text: str, failed: tuple[str, ...], codes: list[str]
) -> None:
    assert [one.code for one in complaints.read(text, failed=failed)] == codes


def test_expected_and_actual_stand_side_by_side_with_their_kind() -> None:
    [drift] = complaints.read(DRIFT)
    assert (drift.expected, drift.actual) == ("emergency → direct_bedrock", "emergency → direct")
    assert drift.kind is Mismatch.VOCABULARY
    moved = complaints.read("Expected standard to route to mcp, got direct", failed=(MCP,))[0]
    assert moved.kind is Mismatch.HEALTH_FALLBACK
    assert "MCPRouter.mcp_connection failed in the same run" in moved.message
    unexplained = complaints.read("Expected standard to route to mcp, got direct")[0]
    assert unexplained.kind is None


def test_calls_of_what_is_not_there_are_told_once() -> None:
    said = clean(errors=("a.b is not a function", "c.d is not a function", "x"))
    assert (
        "2 of 3 errors are calls of what did not exist (a.b, c.d)"
        in (found(said)["method_missing"])
    )


def test_a_hostile_word_in_an_error_stays_on_its_line() -> None:
    hostile = "Expected \u202eevil<script> to route to mcp, got \u2028x"
    for one in complaints.read(hostile):
        assert "\u202e" not in one.message and "\u2028" not in one.message


def test_names_the_field_in_which_a_second_document_differs() -> None:
    assert "test MCPRouter.mcp_connection (pass in 7 ms there, fail in 7 ms here)" in (
        claims.against(clean(), clean(tests=results(failing=[MCP])))
    )
    assert "process text" in claims.against(clean(), clean(process="\nother\n"))
    assert "spelling" in claims.against(clean(), clean())


def test_every_known_test_is_of_this_vocabulary() -> None:
    assert {str(name).partition(".")[0] for name in SmokeTest} == set(map(str, Component))
    assert len(IntegrationTest) == 5 and ROUTING in SmokeTest
