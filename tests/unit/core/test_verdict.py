from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import verdict
from routing.core.values import Component, Evidence, TestStatus, Verdict
from routing.core.verdict import Suite, TestResult

PROVEN, UNPROVEN = Evidence.PROVEN, Evidence.UNPROVEN
ALL = frozenset(Component)


def check(
    name: str = "MCPRouter.mcp_connection",
    status: TestStatus = TestStatus.PASS,
    evidence: Evidence = PROVEN,
) -> TestResult:
    return TestResult(suite=Suite.SMOKE, name=name, status=status, evidence=evidence)


checks = st.builds(
    TestResult,
    suite=st.sampled_from(Suite),
    name=st.sampled_from(["a", "b", "c"]),
    status=st.sampled_from(TestStatus),
    evidence=st.sampled_from(Evidence),
)
runs = st.lists(checks, max_size=8)
components = st.frozensets(st.sampled_from(Component))
errors = st.lists(st.text(max_size=20), max_size=2)


@given(runs)
def test_the_verdict_is_that_of_the_product(tests: list[TestResult]) -> None:
    statuses = {test.status for test in tests}
    pairs = {(test.status, test.evidence) for test in tests}
    if TestStatus.FAIL in statuses:
        expected = Verdict.FAILED
    elif pairs == {(TestStatus.PASS, PROVEN)}:
        expected = Verdict.SUCCEEDED
    else:
        expected = Verdict.INCONCLUSIVE
    assert verdict.judge(tests) is expected


@given(runs, components, errors, st.integers(0, 7))
def test_taking_proof_away_never_betters_a_verdict(
    tests: list[TestResult], there: frozenset[Component], said: list[str], at: int
) -> None:
    better = [Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.SUCCEEDED].index
    less = [replace(t, evidence=UNPROVEN) if i == at else t for i, t in enumerate(tests)]
    before = verdict.judge(tests, there, said)
    assert better(verdict.judge(less, there, said)) <= better(before)


@given(runs, components, errors)
def test_an_error_or_a_missing_component_is_a_fail(
    tests: list[TestResult], there: frozenset[Component], said: list[str]
) -> None:
    judged = verdict.judge(tests, there, said)
    if said or there != ALL:
        assert judged is Verdict.FAILED
    else:
        assert judged is verdict.judge(tests)


@given(runs, components, errors)
def test_every_verdict_comes_with_its_reasons(
    tests: list[TestResult], there: frozenset[Component], said: list[str]
) -> None:
    reasons = verdict.explain(tests, there, said).reasons
    assert reasons and all(sentence.endswith(".") for sentence in reasons)


def test_nothing_measured_is_inconclusive() -> None:
    assert verdict.judge([]) is Verdict.INCONCLUSIVE


def test_a_skip_proves_nothing_whatever_its_label() -> None:
    assert verdict.judge([check(), check(status=TestStatus.SKIP)]) is Verdict.INCONCLUSIVE


def test_a_fail_without_proof_is_still_a_fail() -> None:
    assert verdict.judge([check(status=TestStatus.FAIL, evidence=UNPROVEN)]) is Verdict.FAILED


def test_the_reasons_name_the_tests() -> None:
    tests = [check(), check("IntelligentRouter.routing_decision_basic", TestStatus.FAIL)]
    assert verdict.explain(tests).reasons == (
        "1 of 2 tests failed: IntelligentRouter.routing_decision_basic.",
    )


# Imported documents


@given(runs, components, errors)
def test_an_imported_document_is_never_held_for_a_success(
    tests: list[TestResult], there: frozenset[Component], said: list[str]
) -> None:
    derived = verdict.derive(tests, there, said)
    assert derived.verdict is not Verdict.SUCCEEDED and derived.reasons


@given(runs, components, errors)
def test_a_document_claims_success_by_its_own_facts(
    tests: list[TestResult], there: frozenset[Component], said: list[str]
) -> None:
    clean = not said and there == ALL and all(t.status is not TestStatus.FAIL for t in tests)
    claims = verdict.derive(tests, there, said).claimed is Verdict.SUCCEEDED
    assert claims == (clean and bool(tests))


@given(runs, components, errors)
def test_the_evidence_written_in_a_document_is_not_believed(
    tests: list[TestResult], there: frozenset[Component], said: list[str]
) -> None:
    bare = [replace(test, evidence=UNPROVEN) for test in tests]
    assert verdict.derive(bare, there, said) == verdict.derive(tests, there, said)


@pytest.mark.parametrize(
    ("failing", "there", "said", "sentences"),
    [
        (2, ALL, ["got direct"], 2),
        (1, ALL, ["expected mcp"], 2),
        (3, ALL - {Component.INTELLIGENT_ROUTER}, ["no rule"] * 4, 3),
        (5, frozenset[Component](), ["no such method"] * 8, 3),
    ],
)
def test_the_recorded_runs_failed_by_their_own_facts(
    failing: int, there: frozenset[Component], said: list[str], sentences: int
) -> None:
    tests = [check(f"smoke{n}", TestStatus.FAIL) for n in range(failing)]
    tests += [check(f"other{n}", evidence=UNPROVEN) for n in range(10 - failing)]
    derived = verdict.derive(tests, there, said)
    assert (derived.claimed, derived.verdict) == (Verdict.FAILED, Verdict.FAILED)
    assert len(derived.reasons) == sentences
