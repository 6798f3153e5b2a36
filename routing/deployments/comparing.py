"""Deployments against each other: two side by side, and where each check went bad in a series."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from routing.core.errors import NotFound
from routing.core.values import EnvironmentName, TestStatus
from routing.deployments import parsed, queries
from routing.deployments.models import Deployment, DeploymentTest
from routing.deployments.origins import Origin
from routing.deployments.parsed import shown
from routing.deployments.queries import Detail

LONGEST_SERIES = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that differs; an empty side lacks it.

    `group` is verdict, component, flag, test or error.
    """

    group: str
    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two deployments, the earlier one first as asked, what differs and how much is alike."""

    before: Detail
    after: Detail
    changes: tuple[Change, ...]
    alike: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A deployment as a point in a series."""

    id: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstBad:
    """One check over a series, oldest first.

    `first` is the first run in which it failed, None if it never did. `since` begins the unbroken
    row of failures that lasts until the newest run, None if that one did not fail; `last_good` is
    the last run in which it passed.
    """

    check: str
    runs: int
    failed: int
    first: Run | None
    since: Run | None
    last_good: Run | None


def compare(one: str, other: str, *, environments: Collection[EnvironmentName]) -> Comparison:
    """Return what differs between two deployments of those `environments`; raises NotFound."""
    before = queries.detail(one, environments=environments)
    after = queries.detail(other, environments=environments)
    facts, others = dict(_facts(before)), dict(_facts(after))
    both = [*facts, *(key for key in others if key not in facts)]
    changes = [
        Change(
            group=group,
            name=name,
            before=facts.get((group, name), ""),
            after=others.get((group, name), ""),
        )
        for group, name in both
        if facts.get((group, name)) != others.get((group, name))
    ]
    return Comparison(
        before=before, after=after, changes=tuple(changes), alike=len(both) - len(changes)
    )


def first_bad(check: str, *, environment: EnvironmentName) -> FirstBad:
    """Return where the test `check` went bad over the deployments of `environment`."""
    for found in first_bads(environment=environment):
        if found.check == check:
            return found
    raise NotFound(f"No deployment of {environment} has a result of {shown(check)}.")


def first_bads(*, environment: EnvironmentName) -> tuple[FirstBad, ...]:
    """Return where each test went bad over the last 500 deployments, failing ones first.

    A run that is known both from history and from its document counts once. Skipped results are
    left out: they say neither good nor bad.
    """
    series = _series(environment)
    places = {run.id: index for index, run in enumerate(series)}
    results: dict[str, dict[int, TestStatus]] = {}
    kept = DeploymentTest.objects.filter(deployment_id__in=list(places))
    named = kept.order_by("suite", "position").values_list("name", "status", "deployment_id")
    for name, status, deployment_id in named:
        if status != TestStatus.SKIP:
            results.setdefault(name, {})[places[deployment_id]] = TestStatus(status)
    bads = (_first_bad(name, found, series) for name, found in results.items())
    return tuple(sorted(bads, key=lambda bad: (bad.since is None, -bad.failed)))


def _first_bad(check: str, found: Mapping[int, TestStatus], series: Sequence[Run]) -> FirstBad:
    places = sorted(found)
    bad = [place for place in places if found[place] is TestStatus.FAIL]
    good = [place for place in places if found[place] is TestStatus.PASS]
    streak = [place for place in bad if not good or place > good[-1]]
    return FirstBad(
        check=check,
        runs=len(places),
        failed=len(bad),
        first=series[bad[0]] if bad else None,
        since=series[streak[0]] if streak else None,
        last_good=series[good[-1]] if good else None,
    )


def _series(environment: EnvironmentName) -> list[Run]:
    """Return the runs, oldest first."""
    newest = (
        Deployment.objects.filter(environment_id=str(environment))
        .order_by("-created_at", "-pk")
        .values_list("pk", "created_at", "origin")[:LONGEST_SERIES]
    )
    kept = list(newest)
    imported = {parsed.id_ms(pk) for pk, _, origin in kept if origin == Origin.IMPORTED}
    return [
        Run(id=pk, at=at)
        for pk, at, origin in reversed(kept)
        if origin != Origin.HISTORY or parsed.id_ms(pk) not in imported
    ]


def _facts(detail: Detail) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield what two deployments are compared by, under group and name."""
    row = detail.row
    yield ("verdict", "recorded"), row.recorded or "none"
    yield ("verdict", "derived"), str(row.derived or "none yet")
    yield ("verdict", "environment"), str(row.environment)
    yield ("verdict", "evidence"), f"{row.proven} of {row.tests} proven"
    yield from ((("component", str(c)), "deployed") for c in detail.components)
    yield from ((("flag", str(name)), _state(on)) for name, on in detail.flags.items())
    for test in detail.tests:
        yield ("test", test.name), f"{test.status}, {test.evidence}"
    yield from _texts(error.text for error in detail.errors)


def _texts(texts: Iterable[str]) -> Iterator[tuple[tuple[str, str], str]]:
    yield from ((("error", text), "reported") for text in dict.fromkeys(texts))


def _state(on: bool) -> str:
    return "true" if on else "false"
