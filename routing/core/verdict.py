"""What the evidence of a deployment adds up to (product.md section 6)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from routing.core.values import Component, Evidence, TestStatus, Verdict


class Suite(StrEnum):
    SMOKE = "smoke"
    INTEGRATION = "integration"
    VALIDATION = "validation"


class Mismatch(StrEnum):
    """What kind of difference lies between `expected` and `actual`."""

    VOCABULARY = "vocabulary"
    RULE = "rule"
    HEALTH_FALLBACK = "health_fallback"
    FLAG = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One check's result; `name` is `Component.test` for smoke tests.

    `evidence` is set by the runner. `expected` and `actual` are shown where the check compared,
    `kind` says what sort of difference it found, `error` holds the text of one that broke.
    """

    __test__: ClassVar[bool] = False  # a fact of the product, not a test class

    suite: Suite
    name: str
    status: TestStatus
    evidence: Evidence = Evidence.UNPROVEN
    duration_ms: int = 0
    expected: str = ""
    actual: str = ""
    kind: Mismatch | None = None
    error: str = ""

    @property
    def proves(self) -> bool:
        """A skipped check proves nothing, whatever it is labelled with."""
        return self.status is not TestStatus.SKIP and self.evidence is Evidence.PROVEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict and the sentences that lead to it."""

    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """What an imported document amounts to.

    `claimed` is what its own facts add up to, to be held against the status that it records.
    `verdict` is ours: its results are claims, so it is never better than inconclusive.
    """

    claimed: Verdict
    verdict: Verdict
    reasons: tuple[str, ...]


def judge(
    tests: Sequence[TestResult],
    components: Collection[Component] | None = None,
    errors: Sequence[str] = (),
) -> Verdict:
    """Return the verdict over `tests`; `explain` gives the reasons with it."""
    return explain(tests, components, errors).verdict


def explain(
    tests: Sequence[TestResult],
    components: Collection[Component] | None = None,
    errors: Sequence[str] = (),
) -> Judgement:
    """Judge a run: any fail is failed, else anything unproven is inconclusive, else succeeded.

    An error, or one of the five components missing from `components`, is a fail; None says that
    components were not looked at. No tests at all prove nothing.
    """
    against = _against(tests, components, errors)
    if against:
        return Judgement(verdict=Verdict.FAILED, reasons=against)
    unproven = [test.name for test in tests if not test.proves]
    if unproven or not tests:
        sentence = _counted(unproven, len(tests), "proved nothing") if tests else _NO_TESTS
        return Judgement(verdict=Verdict.INCONCLUSIVE, reasons=(sentence,))
    return Judgement(
        verdict=Verdict.SUCCEEDED, reasons=(f"All tests passed with proof: {len(tests)}.",)
    )


def derive(
    tests: Sequence[TestResult], components: Collection[Component], errors: Sequence[str]
) -> Derived:
    """Derive what an imported document should have recorded, and what we may hold it for.

    It claims success with no error, no failed test and all five components present.
    """
    against = _against(tests, components, errors)
    if against:
        return Derived(claimed=Verdict.FAILED, verdict=Verdict.FAILED, reasons=against)
    if not tests:
        none = Verdict.INCONCLUSIVE
        return Derived(claimed=none, verdict=none, reasons=(_NO_TESTS,))
    return Derived(
        claimed=Verdict.SUCCEEDED,
        verdict=Verdict.INCONCLUSIVE,
        reasons=(
            "No error, no failed test and all five components: the document claims a success.",
            "Imported results are claims; nothing in them is proven here.",
        ),
    )


_NO_TESTS = "There are no test results."


def _against(
    tests: Sequence[TestResult],
    components: Collection[Component] | None,
    errors: Sequence[str],
) -> tuple[str, ...]:
    """Return a sentence for each ground that speaks for failed."""
    sentences = []
    if errors:
        sentences.append(f"The run reports {len(errors)} error{'s' * (len(errors) > 1)}.")
    failed = [test.name for test in tests if test.status is TestStatus.FAIL]
    if failed:
        sentences.append(_counted(failed, len(tests), "failed"))
    missing = [str(c) for c in Component if components is not None and c not in components]
    if missing:
        sentences.append(f"Not among the deployed components: {', '.join(missing)}.")
    return tuple(sentences)


def _counted(names: Sequence[str], total: int, what: str) -> str:
    tests = "test" if total == 1 else "tests"
    return f"{len(names)} of {total} {tests} {what}: {', '.join(names)}."
