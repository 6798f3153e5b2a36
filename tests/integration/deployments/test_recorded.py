"""The recorded documents: the facts that each of them holds, and what is made of them."""

from __future__ import annotations

import pytest

from routing.audit import verify
from routing.core.flags import FlagName
from routing.core.values import Component, EnvironmentName, Evidence, TestStatus, Verdict
from routing.core.verdict import Mismatch, Suite
from routing.deployments import comparing, document, importing, queries
from routing.deployments.importing import Imported, Incoming, Stored
from tests.integration.changes.ground import DEV, NOW, OPERATOR
from tests.integration.deployments import recorded
from tests.integration.deployments.recorded import SEED, SEED_MARKDOWN, SEED_SUMMARY

pytestmark = pytest.mark.usefixtures("ground")


def take(*names: str) -> dict[str, Imported]:
    folder = recorded.folder()
    files = [Incoming(name=name, data=(folder / name).read_bytes()) for name in names]
    done = importing.import_batch(by=OPERATOR, now=NOW, files=files)
    return {one.file: one for one in done}


def everything() -> dict[str, Imported]:
    return take(*(path.name for path in recorded.paths()))


def test_the_seed_is_read_whole() -> None:
    take(SEED_MARKDOWN)
    detail = queries.detail(SEED, environments=[DEV])
    assert detail.row.environment is EnvironmentName.DEVELOPMENT
    assert detail.row.at.isoformat(timespec="milliseconds") == "2025-10-10T08:49:05.643+00:00"
    assert (detail.row.recorded, detail.row.derived) == ("FAILED", Verdict.FAILED)
    assert detail.components == tuple(Component)
    assert detail.flags == {
        FlagName.INTELLIGENT_ROUTING: True,
        FlagName.DIRECT_FALLBACK: False,
        FlagName.BEDROCK_PROVIDER: True,
        FlagName.CACHING: True,
        FlagName.MONITORING: True,
    }
    assert [test.suite for test in detail.tests] == [Suite.SMOKE] * 5 + [Suite.INTEGRATION] * 5
    assert {test.name for test in detail.tests if test.status is TestStatus.FAIL} == {
        "IntelligentRouter.routing_decision_basic",
        "MCPRouter.mcp_connection",
    }
    assert [test.duration_ms for test in detail.tests] == [2, *[0] * 9]
    assert {test.evidence for test in detail.tests} == {Evidence.UNPROVEN}
    [error] = detail.errors
    assert error.text.endswith("Expected emergency to route to direct_bedrock, got direct")
    assert detail.warnings == ()
    assert "### Rollback Procedure\nIf deployment fails:\n1. Disable all" in detail.process
    assert detail.process.startswith("\n### Prerequisites\n") and detail.process.endswith("\n")


def test_the_seed_comes_out_as_failed_with_its_reasons() -> None:
    done = take(SEED_MARKDOWN, SEED_SUMMARY)
    assert {one.stored for one in done.values()} == {Stored.CREATED}
    assert {one.derived for one in done.values()} == {Verdict.FAILED}
    assert queries.detail(SEED, environments=[DEV]).reasons == (
        "The run reports 1 error.",
        "2 of 10 tests failed: IntelligentRouter.routing_decision_basic, "
        "MCPRouter.mcp_connection.",
    )


def test_the_findings_of_the_seed() -> None:
    found = {
        one.code: one.message for one in take(SEED_MARKDOWN, SEED_SUMMARY)[SEED_SUMMARY].findings
    }
    assert "9 of 10 tests took 0 ms" in found["zero_ms_tests"]
    assert "44 ms" in found["implausible_run"] and "a claim" in found["implausible_run"]
    drift = found["vocabulary_drift"]
    assert "expected emergency on direct_bedrock and got 'direct'" in drift
    assert "not a routing fault" in drift
    assert "ENABLE_DIRECT_BEDROCK_FALLBACK=false" in found["flag_disabled_listed_as_enabled"]
    assert "never seen to work" in found["rollback_target_unproven"]
    assert "md_json_differ" not in found and "counts_differ" not in found
    assert "status_contradicts" not in found, "it records FAILED, and failed it has"


def test_without_its_json_the_run_time_of_the_seed_is_unknown() -> None:
    found = take(SEED_MARKDOWN)[SEED_MARKDOWN].findings
    assert "implausible_run" not in {one.code for one in found}
    assert queries.detail(SEED, environments=[DEV]).run_ms is None


def test_the_error_of_the_seed_reads_as_a_comparison() -> None:
    take(SEED_MARKDOWN)
    [error] = queries.detail(SEED, environments=[DEV]).errors
    [reading] = error.readings
    assert reading.expected == "emergency → direct_bedrock"
    assert (reading.actual, reading.kind) == ("emergency → direct", Mismatch.VOCABULARY)


def test_seven_are_taken_and_the_production_report_is_refused() -> None:
    done = everything()
    assert len(done) == 8
    refused = [one for one in done.values() if one.stored is Stored.REFUSED]
    assert [one.file for one in refused] == [recorded.FOREIGN]
    assert "looks like the production deployment report" in refused[0].problem
    page = queries.page(filters=queries.Filters())
    assert [row.id[-13:] for row in page.rows] == [
        "1760086996375", "1760086145620", "1760084629482", "1760079227872",
    ]  # fmt: skip
    assert [(row.recorded, row.derived) for row in page.rows] == [("FAILED", Verdict.FAILED)] * 4
    assert verify.verify().ok


def test_importing_all_again_changes_nothing() -> None:
    everything()
    again = [one.stored for one in everything().values()]
    assert sorted(again) == [Stored.REFUSED, *[Stored.UNCHANGED] * 7]


def test_writing_a_recorded_markdown_again_gives_its_bytes() -> None:
    seen = 0
    for path in recorded.paths():
        if path.suffix == ".md" and path.name != recorded.FOREIGN:
            _, said = document.read(path.name, path.read_bytes())
            assert document.render_markdown(said).encode() == path.read_bytes()
            seen += 1
    assert seen == 4


def test_each_recorded_run_went_through_in_no_time() -> None:
    everything()
    details = [
        queries.detail(row.id, environments=[DEV])
        for row in queries.page(filters=queries.Filters()).rows
    ]
    assert [detail.run_ms for detail in details] == [24, 44, None, 33]


@pytest.mark.parametrize(
    ("check", "first", "since", "last_good"),
    [
        ("MCPRouter.mcp_connection", "1760079227872", "1760079227872", None),
        ("IntelligentRouter.routing_decision_basic", "1760079227872", None, "1760086996375"),
        ("feature_flags_system", None, None, "1760086996375"),
    ],
)
def test_over_the_series_each_check_names_its_first_bad_run(
    check: str, first: str | None, since: str | None, last_good: str | None
) -> None:
    everything()
    found = comparing.first_bad(check, environment=DEV)
    told = [run.id[-13:] if run else None for run in (found.first, found.since, found.last_good)]
    assert (found.runs, told) == (4, [first, since, last_good])


def test_the_seed_against_the_run_after_it() -> None:
    everything()
    told = comparing.compare(SEED, "hybrid-routing-dev-1760086996375", environments=[DEV])
    changed = {(one.group, one.name): (one.before, one.after) for one in told.changes}
    assert changed["test", "IntelligentRouter.routing_decision_basic"] == (
        "fail, unproven",
        "pass, unproven",
    )
    assert changed["flag", "ENABLE_BEDROCK_SUPPORT_MODE"] == ("", "true")
    assert {group for group, _ in changed} == {"test", "flag", "error"}
