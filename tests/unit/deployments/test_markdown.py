"""The Markdown form: what it takes, what it refuses, and on which line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.errors import Invalid
from routing.core.flags import FlagName
from routing.core.values import Component, EnvironmentName, TestStatus
from routing.core.verdict import Suite, TestResult
from routing.deployments import document, markdown, parsed, render
from routing.deployments.parsed import IntegrationTest, Parsed, SmokeTest
from tests.unit.deployments.papers import markdown as paper

WRITTEN = """\
# Hybrid Routing Deployment Documentation

## Deployment Information
- **Deployment ID**: by-hand-1700000000000
- **Environment**: staging
- **Timestamp**: 2023-11-14T22:13:21.500Z
- **Status**: FAILED

## Components Deployed


## Feature Flags Enabled
- ENABLE_INTELLIGENT_ROUTING=true
- ai.caching.enabled=false

## Smoke Test Results
- MCPRouter.mcp_connection: FAIL (12ms)

## Integration Test Results
- audit_trail_system: SKIP (0ms)

## Errors
- Failed to start: one, two: three
  at the second line
    at the third

- None

## Warnings
None

## Deployment Process

### Steps
- kept, with its  spaces
"""


def wrong(text: str) -> Invalid:
    with pytest.raises(Invalid) as refused:
        document.parse_markdown(text, file="run.md")
    assert refused.value.message.startswith("run.md, line ")
    assert refused.value.facts["file"] == "run.md"
    return refused.value


def test_reads_every_fact() -> None:
    assert document.parse_markdown(WRITTEN) == Parsed(
        deployment_id="by-hand-1700000000000",
        environment=EnvironmentName.STAGING,
        timestamp=datetime(2023, 11, 14, 22, 13, 21, 500_000, tzinfo=UTC),
        recorded_status="FAILED",
        flags={FlagName.INTELLIGENT_ROUTING: True, FlagName.CACHING: False},
        tests=(
            TestResult(
                suite=Suite.SMOKE,
                name="MCPRouter.mcp_connection",
                status=TestStatus.FAIL,
                duration_ms=12,
            ),
            TestResult(suite=Suite.INTEGRATION, name="audit_trail_system", status=TestStatus.SKIP),
        ),
        errors=(
            "Failed to start: one, two: three\n  at the second line\n    at the third",
            "None",
        ),
        process="\n### Steps\n- kept, with its  spaces\n",
    )


def test_a_file_from_windows_says_the_same() -> None:
    assert document.parse_markdown(WRITTEN.replace("\n", "\r\n")) == document.parse_markdown(
        WRITTEN
    )


def test_line_ends_of_two_kinds_are_refused() -> None:
    assert wrong(WRITTEN.replace("\n", "\r\n", 3)).facts["line"] == 1
    assert wrong(WRITTEN.replace("staging\n", "staging\r\n")).facts["line"] == 5


def test_an_alias_is_taken_and_noted() -> None:
    said = document.parse_markdown(WRITTEN.replace("staging", "prod"))
    assert said.environment is EnvironmentName.PRODUCTION
    [drift] = said.drift
    assert (drift.place, drift.original, drift.word) == ("line 5", "prod", "production")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("# Hybrid Routing Deployment Documentation", "# Hybrid", 1, "titled 'Hybrid'"),
        ("## Deployment Information", "hello\n## Deployment Information", 3, "found 'hello'"),
        ("## Components Deployed", "## Components", 9, "not a known section; in order: Depl"),
        ("## Smoke Test Results", "## Integration Test Results", 16, "'Smoke Test Results'"),
        ("## Warnings", "## Errors", 29, "'Errors' stands twice"),
        ("## Warnings\nNone\n\n", "", 29, "expected the section 'Warnings'"),
        ("\n## Deployment Process\n\n### Steps\n- kept, with its  spaces", "", 32, "the end"),
        ("### Steps", "## More", 34, "'More' is not a known section"),
        ("- **Environment**: staging\n", "", 5, r"- \*\*Environment\*\*"),
        ("- **Status**: FAILED\n", "", 7, r"- \*\*Status\*\*"),
        ("FAILED", "FAILED\n- **Status**: FAILED", 8, "## Components Deployed"),
        ("staging", "moon", 5, "known: development, staging, production, dev, prod"),
        ("FAILED", "OK", 7, "known: succeeded, failed, inconclusive"),
        ("22:13:21.500Z", "22:13:21Z", 6, "UTC time"),
        ("22:13:21.500Z", "25:13:21.500Z", 6, "UTC time"),
        ("2023-11-14", "2023-02-30", 6, "UTC time"),
        ("by-hand-1700000000000", "history-1700000000000", 4, "keeps to itself"),
        ("by-hand-1700000000000", "../../x", 4, "expected an id"),
        ("by-hand-1700000000000", "x" * 101, 4, "expected an id"),
        ("Components Deployed\n", "Components Deployed\n- TheRouter\n", 10, "known: Bedrock"),
        ("Components Deployed\n", "Components Deployed\nNone\n", 10, "expected a bullet"),
        ("Components Deployed\n", "Components Deployed\n- MCPRouter\n- MCPRouter\n", 11, "twice"),
        ("=true", "=True", 13, "NAME=true or NAME=false"),
        ("=true", "", 13, "NAME=true or NAME=false"),
        ("ENABLE_INTELLIGENT_ROUTING", "ENABLE_ALL", 13, "known: ENABLE_INTELLIGENT_ROUTING"),
        ("ai.caching.enabled=false", "ENABLE_INTELLIGENT_ROUTING=true", 14, "listed twice"),
        ("MCPRouter.mcp_connection", "MCPRouter.other", 17, "known: IntelligentRouter.rout"),
        ("MCPRouter.mcp_connection", "audit_trail_system", 17, "not a known test"),
        ("FAIL (12ms)", "BROKEN (12ms)", 17, "known: pass, fail, skip"),
        ("FAIL (12ms)", "FAIL (-1ms)", 17, "PASS|FAIL|SKIP"),
        ("FAIL (12ms)", "FAIL (1.5ms)", 17, "PASS|FAIL|SKIP"),
        ("FAIL (12ms)", "FAIL (9999999999ms)", 17, "PASS|FAIL|SKIP"),
        ("(12ms)", "(12ms)\n- MCPRouter.mcp_connection: PASS (1ms)", 18, "listed twice"),
        ("- None\n", "- None\n\nloose text\n", 29, "expected a bullet"),
        ("## Warnings\nNone", "## Warnings", 29, "expected bullets or None"),
        ("## Warnings\nNone", "## Warnings\n-", 30, "expected a bullet"),
        ("## Warnings\nNone", "## Warnings\nNone\n- x", 30, "expected a bullet"),
        ("one, two", "one\x00two", 23, "control or direction"),
        ("one, two", "one\u202etwo", 23, "control or direction"),
        ("one, two", "one\rtwo", 23, "control or direction"),
    ],
)  # fmt: skip
def test_refuses_with_the_line(old: str, new: str, line: int, said: str) -> None:
    assert WRITTEN.count(old) >= 1
    refused = wrong(WRITTEN.replace(old, new, 1))
    assert refused.facts["line"] == line, refused.message
    assert said.replace("\\", "") in refused.message


def test_every_refusal_is_printable_ascii() -> None:
    refused = wrong(WRITTEN.replace("staging", "\u0441taging <script>"))
    assert refused.message.isascii() and refused.message.isprintable()


def test_an_error_with_a_heading_in_it_cannot_forge_a_section() -> None:
    forged = ("broken\n\n## Warnings\n- all well\n\n## Errors\nNone",)
    said = document.parse_markdown(paper(errors=forged))
    assert (said.errors, said.warnings) == (forged, ())


@pytest.mark.parametrize(
    "text",
    ['"', '""', '"a"', '"a\\nb"', '"\\"a\\\\nb\\""', " ", "", "a\nb", "- a", "\n", '"\\ud800"'],
)
def test_an_awkward_error_comes_back_as_itself(text: str) -> None:
    assert document.parse_markdown(paper(errors=(text, "x"))).errors == (text, "x")


def test_a_document_of_nothing_but_lines_is_refused_early() -> None:
    assert wrong("\n" * (parsed.MOST_LINES + 5)).facts["line"] == parsed.MOST_LINES + 1


def test_the_number_of_errors_has_an_end() -> None:
    many = tuple(f"error {n}" for n in range(parsed.MOST_TEXTS + 1))
    assert len(document.parse_markdown(paper(errors=many[:-1])).errors) == parsed.MOST_TEXTS
    assert f"more than {parsed.MOST_TEXTS} errors" in wrong(paper(errors=many)).message


FIT = st.characters(exclude_categories=["Cs"]).filter(lambda c: not parsed.unfit(c))
TEXTS = st.lists(st.text(FIT | st.sampled_from('"\\\n-#'), max_size=40), max_size=5).map(tuple)
MOMENTS = st.integers(0, 7_000_000_000_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)


def results(kind: Any, suite: Suite) -> st.SearchStrategy[tuple[TestResult, ...]]:
    chosen = st.lists(st.sampled_from(kind), unique=True)
    built = chosen.flatmap(
        lambda names: st.tuples(
            *(
                st.builds(
                    TestResult,
                    suite=st.just(suite),
                    name=st.just(str(name)),
                    status=st.sampled_from(TestStatus),
                    duration_ms=st.integers(0, parsed.LONGEST_MS),
                )
                for name in names
            )
        )
    )
    return built


DOCUMENTS = st.builds(
    Parsed,
    deployment_id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True).filter(
        lambda text: not text.startswith("history-") and text not in ("import", "compare")
    ),
    environment=st.sampled_from(EnvironmentName),
    timestamp=MOMENTS,
    recorded_status=st.sampled_from(["SUCCESS", "FAILED", "INCONCLUSIVE"]),
    components=st.lists(st.sampled_from(Component), unique=True).map(tuple),
    flags=st.dictionaries(st.sampled_from(FlagName), st.booleans()),
    tests=st.tuples(
        results(SmokeTest, Suite.SMOKE), results(IntegrationTest, Suite.INTEGRATION)
    ).map(lambda both: (*both[0], *both[1])),
    errors=TEXTS,
    warnings=TEXTS,
    process=st.lists(st.text(FIT, max_size=30).filter(lambda t: not t.startswith("## ")))
    .map("\n".join)
    .filter(lambda text: "\n## " not in f"\n{text}"),
)


@given(DOCUMENTS)
def test_what_is_written_is_read_as_itself(said: Parsed) -> None:
    assert document.parse_markdown(render.markdown(said)) == said


@given(st.text(max_size=400), st.integers(0, 400))
def test_any_text_is_read_or_refused_in_words(text: str, place: int) -> None:
    whole = paper()
    for tried in (text, whole[:place] + text + whole[place:]):
        try:
            document.parse_markdown(tried)
        except Invalid as refused:
            assert refused.facts["line"] >= 1


def test_quotes_are_only_put_where_they_are_needed() -> None:
    assert markdown.quoted("plain: a, b") == "plain: a, b"
    assert markdown.quoted("two\nlines") == '"two\\nlines"'
