"""Deployments in words: what was recorded beside what is derived, and what proves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from dashboard.cards.wording import ago
from routing.core.values import Component, Evidence, TestStatus, Verdict
from routing.core.verdict import TestResult
from routing.deployments.comparing import Change, FirstBad, Run
from routing.deployments.importing import Imported, Stored
from routing.deployments.queries import DeploymentRow, Detail, DocumentRow, ErrorRow

LONGEST_SIDE = 160
ORIGINS = {"ran": "ran here", "imported": "imported", "history": "history"}
# A word as one of the statuses that have a shape; the word itself stands beside it.
SHAPED: Mapping[str, str] = {
    Verdict.SUCCEEDED: "healthy",
    Verdict.FAILED: "failed",
    Verdict.INCONCLUSIVE: "unproven",
    TestStatus.FAIL: "failed",
    TestStatus.SKIP: "off",
    Stored.CREATED: "done",
    Stored.UNCHANGED: "off",
    Stored.REFUSED: "refused",
}
_ENDED: Mapping[Verdict | None, str] = {
    Verdict.SUCCEEDED: "succeeded",
    Verdict.FAILED: "failed",
    Verdict.INCONCLUSIVE: "proves nothing either way",
    None: "is not judged yet",
}
FORMATS = {"md": "Markdown", "json": "JSON"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A status as a template draws it: the shape of one, the word of another."""

    shape: str
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentLine:
    """One deployment in the list. `evidence` counts what is proven, such as `0 of 10 proven`."""

    id: str
    origin: str
    at: datetime
    recorded: Mark
    derived: Mark
    evidence: str
    failed: int
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestLine:
    """One test; `why` says why it proves nothing, empty for a proven one."""

    __test__ = False

    suite: str
    name: str
    mark: Mark
    proof: Mark
    took: str
    expected: str
    actual: str
    kind: str
    error: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLine:
    """One error as written; where it compared something, both sides and the kind."""

    text: str
    expected: str
    actual: str
    kind: str
    readings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentCard:
    format: str
    file_name: str
    text: str
    bytes: int
    sha256: str
    at: datetime
    who: str
    entry_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentCard:
    """One deployment whole. `missing` are the components that were not deployed."""

    line: DeploymentLine
    headline: str
    reasons: tuple[str, ...]
    took: str
    who: str
    components: tuple[str, ...]
    missing: tuple[str, ...]
    flags: tuple[tuple[str, Mark], ...]
    tests: tuple[TestLine, ...]
    errors: tuple[ErrorLine, ...]
    documents: tuple[DocumentCard, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLine:
    """What became of one file."""

    file: str
    mark: Mark
    id: str
    environment: str
    recorded: Mark
    derived: Mark
    evidence: str
    findings: tuple[str, ...]
    entry_seq: int | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """Where one check went bad over the series; None where it did not."""

    check: str
    counted: str
    first: Run | None
    since: Run | None
    last_good: Run | None


def verdict_mark(verdict: Verdict | None) -> Mark:
    """Word a derived verdict; one that is not reached yet is unknown."""
    if verdict is None:
        return Mark(shape="unknown", word="not judged")
    return Mark(shape=SHAPED[verdict], word=str(verdict))


def recorded_mark(recorded: str) -> Mark:
    """Word a recorded status; a recorded success is a claim, so it is not drawn as one."""
    if not recorded:
        return Mark(shape="unknown", word="nothing recorded")
    return Mark(shape="failed" if recorded == "FAILED" else "unproven", word=recorded)


def deployment_line(row: DeploymentRow) -> DeploymentLine:
    """Word one row of the list."""
    return DeploymentLine(
        id=row.id,
        origin=ORIGINS[row.origin],
        at=row.at,
        recorded=recorded_mark(row.recorded),
        derived=verdict_mark(row.derived),
        evidence=f"{row.proven} of {row.tests} proven" if row.tests else "no tests",
        failed=row.failed,
        findings=row.findings,
    )


def deployments_summary(rows: Sequence[DeploymentRow], environment: str, now: datetime) -> str:
    """Say in one sentence how the newest deployment stands."""
    if not rows:
        return f"No deployment is known in {environment}"
    ended = _ENDED[rows[0].derived]
    return f"The newest deployment in {environment} {ended}, {ago(rows[0].at, now)}"


def deployment_card(detail: Detail, names: Mapping[str, str]) -> DeploymentCard:
    """Word one deployment; `names` maps what is booked for a person to the username of today."""
    row = detail.row
    line = deployment_line(row)
    return DeploymentCard(
        line=line,
        headline=_headline(row, line),
        reasons=detail.reasons,
        took="not known" if detail.run_ms is None else f"{detail.run_ms} ms",
        who=names.get(row.by, row.by),
        components=tuple(str(c) for c in detail.components),
        missing=tuple(str(c) for c in Component if c not in detail.components),
        flags=tuple(
            (str(name), Mark(shape="on" if on else "off", word=str(on).lower()))
            for name, on in detail.flags.items()
        ),
        tests=tuple(_test_line(test, row) for test in detail.tests),
        errors=tuple(_error_line(error) for error in detail.errors),
        documents=tuple(_document(document, names) for document in detail.documents),
    )


def _headline(row: DeploymentRow, line: DeploymentLine) -> str:
    """Say both words of what came with a document; what ran here has one verdict, its own."""
    if row.recorded:
        return f"{row.id}: recorded {line.recorded.word}, derived {line.derived.word}"
    return f"{row.id}: {line.derived.word}"


def _test_line(test: TestResult, row: DeploymentRow) -> TestLine:
    proven = test.proves
    passed = "healthy" if proven else "unproven"
    return TestLine(
        suite=str(test.suite),
        name=test.name,
        mark=Mark(shape=SHAPED.get(test.status, passed), word=str(test.status)),
        proof=Mark(shape=str(test.evidence), word=str(test.evidence)),
        took=f"{test.duration_ms} ms",
        expected=test.expected or "not recorded",
        actual=test.actual or "not recorded",
        kind=str(test.kind or ""),
        error=test.error,
        why="" if proven else _why(test, row),
    )


def _why(test: TestResult, row: DeploymentRow) -> str:
    if test.status is TestStatus.SKIP:
        return "It did not run."
    if row.origin == "ran":
        return "No value of this run was found in the other side’s journal."
    if test.evidence is Evidence.UNPROVEN and test.duration_ms == 0:
        return "A claim of the document, and in 0 ms nothing can have been called."
    return "A claim of the document; nothing here can confirm it."


def _error_line(error: ErrorRow) -> ErrorLine:
    compared = next((one for one in error.readings if one.expected), None)
    kinds = [str(one.kind) for one in error.readings if one.kind]
    return ErrorLine(
        text=error.text,
        expected=compared.expected if compared else "",
        actual=compared.actual if compared else "",
        kind=", ".join(dict.fromkeys(kinds)),
        readings=tuple(one.message for one in error.readings),
    )


def _document(row: DocumentRow, names: Mapping[str, str]) -> DocumentCard:
    return DocumentCard(
        format=FORMATS[row.format],
        file_name=row.file_name,
        text=row.text,
        bytes=row.bytes,
        sha256=row.sha256,
        at=row.imported_at,
        who=names.get(row.by, row.by),
        entry_seq=row.entry_seq,
    )


def import_line(one: Imported) -> ImportLine:
    """Word what became of one file."""
    said = one.said
    return ImportLine(
        file=one.file,
        mark=Mark(shape=SHAPED[one.stored], word=str(one.stored)),
        id=said.deployment_id if said else "",
        environment=str(said.environment) if said else "",
        recorded=recorded_mark(said.recorded_status if said else ""),
        derived=verdict_mark(one.derived),
        evidence=f"0 of {len(said.tests)} proven" if said else "",
        findings=tuple(found.message for found in one.findings),
        entry_seq=one.entry_seq,
        problem=one.problem,
    )


def import_summary(done: Sequence[Imported]) -> str:
    """Count in one sentence what became of the files."""
    counted = [(stored, sum(one.stored is stored for one in done)) for stored in Stored]
    told = ", ".join(f"{count} {stored}" for stored, count in counted if count)
    files = "1 file" if len(done) == 1 else f"{len(done)} files"
    return f"{files}: {told}"


def change_lines(changes: Sequence[Change]) -> Iterator[tuple[str, str, str, str]]:
    """Yield group, name, before and after, cut to what a table holds."""
    for one in changes:
        yield one.group, _cut(one.name), _cut(one.before), _cut(one.after)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SIDE else text[: LONGEST_SIDE - 1] + "…"


def bad_line(found: FirstBad) -> BadLine:
    """Word where one check went bad."""
    return BadLine(
        check=found.check,
        counted=f"{found.failed} of {found.runs}",
        first=found.first,
        since=found.since,
        last_good=found.last_good,
    )
