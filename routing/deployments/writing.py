"""The documents of a run, rendered from its verdict in the grammar that imports read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path as Folder

from routing.core.errors import HybridOpsError
from routing.core.flags import FlagName
from routing.core.values import Component, EnvironmentName, Verdict
from routing.core.verdict import Suite, TestResult
from routing.deployments import document
from routing.deployments.parsed import Format, Parsed, harmless

_STATUS = {
    Verdict.SUCCEEDED: "SUCCESS",
    Verdict.FAILED: "FAILED",
    Verdict.INCONCLUSIVE: "INCONCLUSIVE",
}
_PROCESS = """
### Prerequisites
1. A server that serves {environment}, with a fresh heartbeat
2. Path settings of {environment} for the paths under test
3. The release {release}

### Steps Performed
1. **Component Deployment**: Ask the serving process for its five components
2. **Feature Flag Configuration**: Set the flags of the release by compare-and-set
3. **Smoke Testing**: Ask both paths through the machine door and find it in their logs
4. **Architecture Validation**: Hold every operation of the matrix to literals
5. **Integration Testing**: Flags, audit trail, monitoring, compliance, circuit breakers
6. **Documentation**: Render this document from the verdict

### Rollback Procedure
If deployment fails:
1. Read expected and actual of each failed check
2. Put back what the run wrote, or roll back to MCP-only
3. Check the health of both paths and the audit trail
4. Mend the cause and deploy again

### Monitoring
- Overview of {environment}: both paths, their breakers, what changed
- The decision stream, with the reason of every request
- The audit trail, entry by entry of this run

### Next Steps
1. Watch the Overview for the first minutes
2. Promote the same release where this one succeeded with proof
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a document is rendered from; the verdict is there before it."""

    id: str
    environment: EnvironmentName
    at: datetime
    release: str
    verdict: Verdict
    components: Sequence[Component]
    flags: Mapping[FlagName, bool]
    tests: Sequence[TestResult]
    errors: Sequence[str]
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """File name and text by form, and why a form is missing."""

    texts: Mapping[Format, tuple[str, str]]
    problem: str = ""


def write(facts: Facts, folder: Folder) -> Written:
    """Render both forms, read them back, and keep them under `folder`; a fault is told."""
    parsed = _parsed(facts)
    name = f"hybrid-routing-deployment-{facts.id}"
    summary = f"hybrid-routing-deployment-summary-{facts.id}"
    try:
        texts = {
            Format.MARKDOWN: (f"{name}.md", document.render_markdown(parsed)),
            Format.JSON: (f"{summary}.json", document.render_json(parsed)),
        }
        document.parse_markdown(texts[Format.MARKDOWN][1], file=f"{name}.md")
        document.parse_json(texts[Format.JSON][1], file=f"{summary}.json")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for form, (_, text) in texts.items():
            _put(path(folder, facts.id, form), text)
    except (HybridOpsError, OSError, ValueError, KeyError) as error:
        return Written(texts={}, problem=f"The document could not be written: {error}")
    return Written(texts=texts)


def path(folder: Folder, id: str, form: Format = Format.MARKDOWN) -> Folder:
    """Return where the document of a run is kept."""
    return folder / f"{id}.{form}"


def _put(place: Folder, text: str) -> None:
    fresh = place.with_name(place.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(place)


def _parsed(facts: Facts) -> Parsed:
    shown = [test for test in facts.tests if test.suite is not Suite.VALIDATION]
    return Parsed(
        deployment_id=facts.id,
        environment=facts.environment,
        timestamp=facts.at.replace(microsecond=facts.at.microsecond // 1000 * 1000),
        recorded_status=_STATUS[facts.verdict],
        components=tuple(facts.components),
        flags=dict(facts.flags),
        tests=tuple(shown),
        errors=tuple(harmless(text) for text in facts.errors),
        warnings=tuple(harmless(text) for text in facts.warnings),
        process=_PROCESS.format(environment=facts.environment, release=facts.release),
    )
