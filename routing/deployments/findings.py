"""What a reader should know before believing a document: pure rules over what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from routing.core import verdict
from routing.core.values import Component, TestStatus, Verdict
from routing.deployments import claims, complaints, parsed, render
from routing.deployments.parsed import Drift, IntegrationTest, Parsed, SmokeTest, shown

# Two paths probed, five tests and five components in less than this reached nothing outside.
PLAUSIBLE_MS = 1000
_FILE_MS = re.compile(r"-([0-9]{13})\.json", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`code` is stable and machine-readable, `message` says it to a person."""

    code: str
    message: str


def find(
    *,
    markdown: Parsed | None = None,
    summary: Parsed | None = None,
    summary_file: str = "",
    now: datetime,
) -> tuple[Finding, ...]:
    """Return what is to be known of the documents of one deployment, each thing once.

    `summary_file` is the name of the JSON file: its milliseconds are a claim about the end of the
    run. At least one of the two documents has to be there.
    """
    said = claims.merged(markdown, summary)
    found = [
        *_errors(said),
        *_drift(said.drift),
        *_run_time(said.deployment_id, summary_file),
        *_zero(said),
        *_status(markdown, summary),
        *_twins(markdown, summary),
        *_counts(summary),
        *_times(said, now),
        *_flags(said),
        *_rollback(said),
        *_missing(said),
    ]
    return tuple(dict.fromkeys(found))


def run_ms(deployment_id: str, summary_file: str) -> int | None:
    """Return how long a run took by its own claim: the JSON file's ms less the id's ms.

    None where one of the two names carries no milliseconds.
    """
    begun, match = parsed.id_ms(deployment_id), _FILE_MS.search(summary_file)
    if begun is None or match is None:
        return None
    return int(match.group(1)) - begun


def _errors(said: Parsed) -> Iterator[Finding]:
    failed = {test.name for test in said.tests if test.status is TestStatus.FAIL}
    read = [one for text in said.errors for one in complaints.read(text, failed=failed)]
    missing = [one.subject for one in read if one.code == complaints.METHOD_MISSING]
    for one in read:
        if one.code != complaints.METHOD_MISSING:
            yield Finding(code=one.code, message=one.message)
    if missing:
        yield Finding(
            code=complaints.METHOD_MISSING,
            message=f"{len(missing)} of {len(said.errors)} errors are calls of what did not exist "
            f"({_few(missing)}): the script did not fit the code that it deployed.",
        )


def _few(names: list[str]) -> str:
    told = list(dict.fromkeys(names))
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")


def _drift(drifted: tuple[Drift, ...]) -> Iterator[Finding]:
    for one in drifted:
        yield Finding(
            code="vocabulary_drift",
            message=f"{one.place} spells {one.word} as {shown(one.original)}, an alias of it.",
        )


def _run_time(deployment_id: str, summary_file: str) -> Iterator[Finding]:
    took = run_ms(deployment_id, summary_file)
    if took is None or took >= PLAUSIBLE_MS:
        return
    claim = "by the milliseconds in the name of its JSON file, a claim, and in its id"
    if took < 0:
        words = f"The run ended {-took} ms before it began, {claim}."
    else:
        words = (
            f"The whole run took {took} ms, {claim}: nothing outside the process can have been "
            "contacted in that time."
        )
    yield Finding(code="implausible_run", message=words)


def _zero(said: Parsed) -> Iterator[Finding]:
    ran = [test for test in said.tests if test.status is not TestStatus.SKIP]
    zero = [test for test in ran if test.duration_ms == 0]
    if zero:
        yield Finding(
            code="zero_ms_tests",
            message=f"{len(zero)} of {len(ran)} tests took 0 ms: they prove nothing.",
        )


def _status(markdown: Parsed | None, summary: Parsed | None) -> Iterator[Finding]:
    for said in (markdown, summary):
        if said is None:
            continue
        judged = verdict.derive(said.tests, said.components, said.errors)
        if said.recorded is not judged.claimed:
            yield Finding(
                code="status_contradicts",
                message=f"The document records {said.recorded_status}, and its own facts amount "
                f"to {judged.claimed}: {' '.join(judged.reasons)}",
            )


def _twins(markdown: Parsed | None, summary: Parsed | None) -> Iterator[Finding]:
    if markdown is None or summary is None:
        return
    for one in claims.differences(markdown, summary):
        yield Finding(
            code="md_json_differ",
            message=f"{one.field}: Markdown says {one.one}, JSON says {one.other}.",
        )


def _counts(summary: Parsed | None) -> Iterator[Finding]:
    if summary is None:
        return
    for name, recorded, figure in claims.counted(summary, render.counts(summary)):
        yield Finding(
            code="counts_differ",
            message=f"The summary records {name} {recorded}; its details come to {figure}.",
        )


def _times(said: Parsed, now: datetime) -> Iterator[Finding]:
    begun = parsed.id_ms(said.deployment_id)
    stamp = (said.timestamp - _EPOCH) // timedelta(milliseconds=1)
    if begun is not None and begun > stamp:
        yield Finding(
            code="id_after_timestamp",
            message=f"The id is {begun - stamp} ms later than the timestamp of the document.",
        )
    if said.timestamp > now:
        yield Finding(
            code="timestamp_in_future",
            message="The timestamp lies in the future, so one of the two clocks is wrong.",
        )


def _flags(said: Parsed) -> Iterator[Finding]:
    off = [str(name) for name, on in said.flags.items() if not on]
    if off:
        yield Finding(
            code="flag_disabled_listed_as_enabled",
            message=f"“Feature Flags Enabled” lists {', '.join(f'{n}=false' for n in off)}: read "
            "the list as names and values, not as what was enabled.",
        )


def _rollback(said: Parsed) -> Iterator[Finding]:
    name = str(SmokeTest.MCP_CONNECTION)
    results = {test.name: test.status for test in said.tests}
    if "MCP-only" in said.process and results.get(name) is not TestStatus.PASS:
        ended = results.get(name)
        how = "is not among the tests" if ended is None else f"ended in {ended}"
        yield Finding(
            code="rollback_target_unproven",
            message=f"The rollback that is written down reverts to MCP-only, and {name} {how}: "
            "its target was never seen to work.",
        )


def _missing(said: Parsed) -> Iterator[Finding]:
    names = {test.name for test in said.tests}
    tests = [name for name in (*map(str, SmokeTest), *map(str, IntegrationTest))]
    absent = [name for name in tests if name not in names]
    if absent:
        yield Finding(
            code="tests_missing", message=f"No result is recorded for {', '.join(absent)}."
        )
    lacking = [str(c) for c in Component if c not in said.components]
    if lacking and said.recorded is Verdict.SUCCEEDED:
        yield Finding(
            code="components_missing",
            message=f"A success is recorded without {', '.join(lacking)} among what was deployed.",
        )
