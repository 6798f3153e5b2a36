"""Lists, pages and comparisons of deployments."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from routing.core.errors import Invalid, NotFound
from routing.core.values import EnvironmentName, TestStatus, Verdict
from routing.deployments import comparing, importing, queries
from routing.deployments.models import Deployment, Origin
from routing.deployments.parsed import SmokeTest
from routing.deployments.queries import Filters
from tests.integration.changes.ground import DEV, NOW, PROD, SHELL, STG
from tests.unit.deployments.papers import BEGUN_MS, ID, clean, markdown, results

pytestmark = pytest.mark.usefixtures("ground")

MCP = SmokeTest.MCP_CONNECTION


def series(*states: bool, environment: EnvironmentName = DEV) -> list[str]:
    """Import a run per state, a minute apart, mcp's test passing where it is True."""
    made = []
    for minute, good in enumerate(states):
        name = f"{environment}-run-{BEGUN_MS + minute * 60_000}"
        text = markdown(
            deployment_id=name,
            environment=environment,
            timestamp=clean().timestamp + timedelta(minutes=minute),
            tests=results(failing=[] if good else [MCP]),
        )
        importing.import_document(by=SHELL, now=NOW, file_name=f"{name}.md", data=text.encode())
        made.append(name)
    return made


def ids(filters: Filters) -> list[str]:
    return [row.id for row in queries.page(filters=filters).rows]


def test_nothing_is_an_empty_page() -> None:
    page = queries.page(filters=Filters())
    assert (page.rows, page.next_before) == ((), None)


def test_filters_by_environment_verdict_and_origin() -> None:
    one, other = series(True, False)
    [elsewhere] = series(True, environment=STG)
    assert ids(Filters(environment=DEV)) == [other, one]
    assert ids(Filters(verdict=Verdict.FAILED)) == [other]
    assert ids(Filters(environment=STG, verdict=Verdict.INCONCLUSIVE)) == [elsewhere]
    assert ids(Filters(origin=Origin.RAN)) == []
    assert ids(Filters(environment=PROD)) == []


def test_pages_follow_one_another_without_a_gap_or_a_double() -> None:
    series(*[True] * 7)
    same = Deployment.objects.order_by("pk").values_list("created_at", flat=True)[0]
    Deployment.objects.update(created_at=same)  # the id breaks the tie
    seen: list[str] = []
    before: str | None = None
    while True:
        page = queries.page(filters=Filters(), before=before, size=3)
        seen += [row.id for row in page.rows]
        before = page.next_before
        if before is None:
            break
    assert seen == sorted(seen, reverse=True) and len(set(seen)) == 7


@pytest.mark.parametrize(
    "before", ["x", "2020-01-01T00:00:00~a", "2020-13-01T00:00:00+00:00~a", "' OR 1~1", "~"]
)
def test_a_made_up_place_in_the_list_is_refused(before: str) -> None:
    with pytest.raises(Invalid, match="start over"):
        queries.page(filters=Filters(), before=before)


@pytest.mark.parametrize("size", [0, 201])
def test_a_page_has_a_size(size: int) -> None:
    with pytest.raises(Invalid, match="1 to 200"):
        queries.page(filters=Filters(), size=size)


def test_a_page_takes_as_many_queries_for_many_rows_as_for_one(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    series(True, False, True, True)
    with django_assert_num_queries(3):
        assert len(queries.page(filters=Filters()).rows) == 4


def test_a_deployment_of_an_environment_that_one_may_not_see_is_not_there() -> None:
    [name] = series(True)
    with pytest.raises(NotFound):
        queries.detail(name, environments=[STG, PROD])
    with pytest.raises(NotFound):
        comparing.compare(name, name, environments=[STG])
    with pytest.raises(NotFound):
        queries.detail("nothing", environments=list(EnvironmentName))


def test_a_comparison_tells_what_differs_and_how_much_is_alike() -> None:
    one, other = series(True, False)
    told = comparing.compare(one, other, environments=[DEV])
    changed = {(c.group, c.name): (c.before, c.after) for c in told.changes}
    assert changed == {
        ("verdict", "derived"): ("inconclusive", "failed"),
        ("test", str(MCP)): ("pass, unproven", "fail, unproven"),
    }
    assert told.alike > 10
    same = comparing.compare(one, one, environments=[DEV])
    assert same.changes == ()


@pytest.mark.parametrize(
    ("states", "first", "since", "last_good"),
    [
        ([True, True], None, None, 1),
        ([True, False], 1, 1, 0),
        ([False, True, False, False], 0, 2, 1),
        ([False, True], 0, None, 1),
        ([False], 0, 0, None),
    ],
)
def test_first_bad(
    states: list[bool], first: int | None, since: int | None, last_good: int | None
) -> None:
    made = series(*states)
    found = comparing.first_bad(str(MCP), environment=DEV)
    told = [run and made.index(run.id) for run in (found.first, found.since, found.last_good)]
    assert told == [first, since, last_good]
    assert (found.runs, found.failed) == (len(states), states.count(False))


def test_a_run_known_from_history_and_from_its_document_counts_once() -> None:
    [name] = series(False)
    Deployment.objects.create(
        pk=f"history-{BEGUN_MS}",
        environment_id=str(DEV),
        origin=str(Origin.HISTORY),
        created_at=NOW,
        by="x",
    ).tests.create(position=0, suite="smoke", name=str(MCP), status=str(TestStatus.FAIL))
    assert comparing.first_bad(str(MCP), environment=DEV).runs == 1
    Deployment.objects.filter(pk=name).update(origin=str(Origin.RAN))
    assert comparing.first_bad(str(MCP), environment=DEV).runs == 2


def test_a_check_that_nobody_ran_is_said_so() -> None:
    with pytest.raises(NotFound, match="no_such_check"):
        comparing.first_bad("no_such_check", environment=DEV)


def test_the_list_names_what_a_row_was_made_from() -> None:
    importing.import_document(
        by=SHELL, now=NOW, file_name="a.md", data=markdown(recorded_status="FAILED").encode()
    )
    [row] = queries.page(filters=Filters()).rows
    assert (row.id, row.recorded, row.by, row.findings) == (ID, "FAILED", SHELL.id, 1)
