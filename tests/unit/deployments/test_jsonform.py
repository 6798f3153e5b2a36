"""The JSON form: the same facts as Markdown, exact shapes, refusals with line and place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.errors import Invalid
from routing.deployments import document, jsonform, render
from routing.deployments.parsed import Parsed, SmokeTest
from tests.unit.deployments.papers import clean, results, summary, text_of
from tests.unit.deployments.test_markdown import DOCUMENTS

Edit = Callable[[dict[str, Any]], Any]


def wrong(text: str) -> Invalid:
    with pytest.raises(Invalid) as refused:
        document.parse_json(text, file="run.json")
    assert refused.value.message.startswith("run.json, line ")
    return refused.value


def edited(edit: Edit) -> str:
    value = copy.deepcopy(summary())
    edit(value)
    return text_of(value)


def test_says_the_same_as_markdown() -> None:
    said = document.parse_json(text_of(summary()))
    assert replace(said, counts=None, recorded_success=None) == clean(process="")
    assert said.recorded_success is True
    assert said.counts == render.counts(clean())


def test_keeps_the_error_that_broke_a_test() -> None:
    broken = results(failing=[SmokeTest.MCP_CONNECTION], error="refused: port 1\n  at x")
    said = document.parse_json(text_of(summary(tests=broken)))
    assert said.tests == broken


def test_an_alias_is_taken_and_noted_with_its_place() -> None:
    def spell(value: dict[str, Any]) -> None:
        value["details"]["smokeTestResults"][1]["status"] = "PASS"

    [drift] = document.parse_json(edited(spell)).drift
    assert (drift.original, drift.word) == ("PASS", "pass")
    assert drift.place.endswith("$.details.smokeTestResults[1].status")


def set_to(path: str, to: Any) -> Edit:
    def edit(value: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            value = value[int(step) if step.isdigit() else step]
        value[int(last) if last.isdigit() else last] = to

    return edit


def without(path: str) -> Edit:
    def edit(value: Any) -> None:
        *way, last = path.split(".")
        for step in way:
            value = value[int(step) if step.isdigit() else step]
        del value[last]

    return edit


def both(name: str, to: Any) -> Edit:
    def edit(value: Any) -> None:
        value[name] = value["details"][name] = to

    return edit


@pytest.mark.parametrize(
    ("edit", "place", "said"),
    [
        (set_to("more", 1), "$", "the key 'more' is not known here"),
        (without("summary"), "$", "the key 'summary' is missing"),
        (set_to("details.success", False), "$.details.success", "as at the top"),
        (set_to("details.success", 1), "$.details.success", "as at the top"),
        (both("success", "true"), "$.success", "expected true or false, found 'true'"),
        (both("success", 1), "$.success", "expected true or false, found 1"),
        (set_to("summary.errorsCount", True), "$.summary.errorsCount", "a whole number"),
        (set_to("summary.errorsCount", -1), "$.summary.errorsCount", "a whole number"),
        (set_to("summary.errorsCount", "0"), "$.summary.errorsCount", "a whole number"),
        (without("summary.warningsCount"), "$.summary", "'warningsCount' is missing"),
        (set_to("details", []), "$.details", "expected an object, found a list of 0"),
        (set_to("details.deploymentId", "other"), "$.details.deploymentId", "as at the top"),
        (set_to("details.environment", "staging"), "$.details.environment", "as at the top"),
        (set_to("details.componentsDeployed", {}), "$.details.componentsDeployed", "a list"),
        (set_to("details.componentsDeployed.1", "X"), "$.details.componentsDeployed[1]", "known:"),
        (set_to("details.componentsDeployed.1", None), "$.details.componentsDeployed[1]", "null"),
        (
            set_to("details.componentsDeployed.1", "BedrockSupportManager"),
            "$.details.componentsDeployed[1]",
            "listed twice",
        ),
        (
            set_to("details.featureFlagsEnabled.0", "ai.caching.enabled=true"),
            "$.details.featureFlagsEnabled[1]",
            "listed twice",
        ),
        (
            set_to("details.featureFlagsEnabled.0", "ai.caching.enabled"),
            "$.details.featureFlagsEnabled[0]",
            "NAME=true or NAME=false",
        ),
        (
            set_to("details.smokeTestResults.0.duration", "7"),
            "$.details.smokeTestResults[0].duration",
            "a whole number",
        ),
        (
            set_to("details.smokeTestResults.0.test", "other"),
            "$.details.smokeTestResults[0].test",
            "not a known test",
        ),
        (
            set_to("details.smokeTestResults.0.component", "MCPRouter"),
            "$.details.smokeTestResults[0].test",
            "not a known test",
        ),
        (
            set_to("details.smokeTestResults.0.proof", "yes"),
            "$.details.smokeTestResults[0]",
            "the key 'proof' is not known",
        ),
        (
            set_to("details.integrationTestResults.1.integration", "feature_flags_system"),
            "$.details.integrationTestResults[1].integration",
            "listed twice",
        ),
        (
            set_to("details.integrationTestResults.0.status", "passed"),
            "$.details.integrationTestResults[0].status",
            "known: pass, fail, skip",
        ),
        (set_to("details.errors", ["\u0000"]), "$.details.errors[0]", "control or direction"),
        (set_to("details.errors", ["a\u2067b"]), "$.details.errors[0]", "control or direction"),
        (set_to("details.errors", [["x"]]), "$.details.errors[0]", "expected a text"),
        (set_to("details.warnings", ["w"] * 1001), "$.details.warnings", "at most 1000"),
    ],
)
def test_refuses_with_line_and_place(edit: Edit, place: str, said: str) -> None:
    refused = wrong(edited(edit))
    assert refused.facts["place"].endswith(f", {place}"), refused.message
    assert said in refused.message


def test_the_line_is_the_one_on_which_the_value_begins() -> None:
    text = edited(set_to("details.errors", ["first", 7]))
    line = next(n for n, row in enumerate(text.splitlines(), 1) if row.strip() == "7")
    assert wrong(text).facts["line"] == line
    assert wrong(json.dumps(json.loads(text))).facts["line"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "value must stand"),
        ("{", "double quotes"),
        ("[]", "a list of 0, not an object"),
        ('"x"', "'x', not an object"),
        ('{"phase": 1, "status": 2, "outputs": 3}', "infrastructure deployment"),
        ('{"deployedComponents": [], "enabledFeatureFlags": []}', "staging script"),
        ('{"a": 1}', "an object of another kind, with 'a'"),
        ('{"deploymentId": NaN}', "value must stand"),
        ('{"deploymentId": 1, "deploymentId": 2}', "stands twice"),
        ('{"deploymentId": 1.5}', "fraction"),
        ('{"deploymentId": 1e400}', "fraction"),
        ('{"deploymentId": "\\ud800"}', "surrogate"),
        ("[" * 100_000, "nested deeper"),
        ('{"n": ' + "9" * 5000 + "}", "beyond 2^53-1"),
        ("[" + "1," * 20_000 + "1]", "too many values"),
        ('{"a": 1} x', "follows the end"),
    ],
)
def test_refuses_what_no_summary_can_be(text: str, said: str) -> None:
    assert said in wrong(text).message


@given(DOCUMENTS)
def test_what_is_written_is_read_as_itself(said: Parsed) -> None:
    # The form knows two endings, and has no room for the process.
    known = replace(said, process="", recorded_status=said.recorded_status)
    success = known.recorded_status == "SUCCESS"
    expected = replace(
        known,
        recorded_status="SUCCESS" if success else "FAILED",
        recorded_success=success,
        counts=render.counts(known),
    )
    assert document.parse_json(render.summary(known)) == expected


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
), st.data())  # fmt: skip
def test_another_value_anywhere_is_refused_or_read(value: Any, data: st.DataObject) -> None:
    whole = summary()
    holder = data.draw(st.sampled_from([whole, whole["summary"], whole["details"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = value
    try:
        document.parse_json(text_of(whole))
    except Invalid as refused:
        assert refused.facts["line"] >= 1


def test_names_the_place_of_a_fault_once() -> None:
    with pytest.raises(Invalid) as refused:
        jsonform.parse('{\n  "a": oops\n}', file="t.json")
    assert refused.value.message.startswith("t.json, line 2, column 8: ")
    assert "The JSON is refused" not in refused.value.message
