"""The first page: state, levers by right, no questions while rendering."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.template.loader import render_to_string
from pytest_django import DjangoAssertNumQueries

from dashboard import partials
from dashboard.look import Look, Reader
from dashboard.views.gate import Visit
from dashboard.views.overview import PARTS
from routing import wiring
from routing.audit import ledger
from routing.changes import change
from routing.core.decision import PathFacts, State
from routing.core.flags import FlagName, SetFlag, Subject
from routing.core.guards import Cause
from routing.core.health import Judged
from routing.core.rights import Actor
from routing.core.values import (
    Action,
    ActorKind,
    Breaker,
    EnvironmentName,
    Health,
    Outcome,
    Path,
    Role,
)
from routing.flags import snapshot as flags
from routing.fleet import leases
from routing.health import snapshot as health
from routing.health import store
from routing.health.traffic import Figures
from routing.matrix import queries as matrices
from tests.integration.dashboard.conftest import SHELL, ClientOf

pytestmark = pytest.mark.django_db
DEV, STG, PROD = EnvironmentName
LEVER = 'href="/e/development/flags/ENABLE_DIRECT_BEDROCK_FALLBACK/set/?to=on"'


def measured(path: Path, status: Health, at: datetime) -> store.Measured:
    return store.Measured(
        environment=DEV,
        path=path,
        target=f"local:{path}",
        judged=Judged(status=status, score=100, why=()),
        breaker=Breaker.CLOSED,
        stages=[{"name": "connect", "ok": True, "ms": 2.0, "detail": "<b>not markup</b>"}],
        figures=Figures(),
        probe_ok=True,
        observed_us=int(at.timestamp() * 1_000_000),
    )


def judge(mcp: Health, direct: Health = Health.HEALTHY, *, age_s: float = 0) -> None:
    """Store a judgement of both paths as the monitor does."""
    now = wiring.now() - timedelta(seconds=age_s)
    lease = leases.take("monitor", "tests", now=now, seconds=60)
    assert lease is not None
    both = [
        measured(path, status, now)
        for path, status in ((Path.DIRECT_BEDROCK, direct), (Path.MCP, mcp))
    ]
    store.save(both, now, fence=(lease.name, lease.fence))
    leases.release(lease)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both paths configured, as in a server."""

    def situation(environment: EnvironmentName, subject: Subject) -> State:
        return State(
            matrix=matrices.current().of(environment),
            flags=flags.current().evaluate(environment, subject),
            paths={path: PathFacts() for path in Path},
        )

    monkeypatch.setattr(wiring, "situation", situation)
    monkeypatch.setattr(health, "_judged", {})  # what a command reads, it remembers for 15 s
    yield
    flags.refresh()


def page_of(client_of: ClientOf, role: str, environment: str = "development") -> str:
    return client_of(role).get(f"/e/{environment}/").content.decode()


def heading(page: str) -> str:
    found = re.search(r"<h1>(.*?)(<small>|</h1>)", page, re.S)
    assert found
    return found[1].strip()


def test_is_the_first_page_of_whoever_signs_in(client_of: ClientOf) -> None:
    answer = client_of("viewer").get("/", follow=True)
    assert answer.redirect_chain[-1] == ("/e/development/", 302)
    assert 'data-key="o" aria-current="page"' in answer.content.decode()


def test_is_quiet_about_health(client_of: ClientOf, served: None) -> None:
    judge(Health.HEALTHY)
    page = page_of(client_of, "operator")
    assert heading(page).startswith("Both paths are healthy in development since")
    assert "<title>● healthy · Overview · development · HybridOps</title>" in page
    assert LEVER not in page


def test_before_the_first_judgement_nothing_is_green(client_of: ClientOf, served: None) -> None:
    page = page_of(client_of, "operator")
    assert heading(page) == "Nothing was measured in development yet"
    assert 'class="pill healthy"' not in page
    assert "no data" in page


def test_an_old_judgement_is_not_green(client_of: ClientOf, served: None) -> None:
    judge(Health.HEALTHY, age_s=16)
    page = page_of(client_of, "operator")
    assert heading(page).startswith("Nobody knows how the paths of development are")
    assert 'class="pill healthy"' not in page


def test_a_dead_mcp_names_the_lever_that_mends_it(client_of: ClientOf, served: None) -> None:
    judge(Health.UNHEALTHY)
    page = page_of(client_of, "operator")
    assert heading(page).startswith("mcp is unhealthy in development since")
    assert LEVER in page
    assert "would have a path again: direct_bedrock." in page
    assert '<div class="overview may-change">' in page


def test_the_lever_leads_to_its_review(client_of: ClientOf, served: None) -> None:
    judge(Health.UNHEALTHY)
    client = client_of("operator")
    client.get("/e/development/")
    review = client.get("/e/development/flags/ENABLE_DIRECT_BEDROCK_FALLBACK/set/?to=on")
    assert review.status_code == 200
    assert "Switch on ENABLE_DIRECT_BEDROCK_FALLBACK" in review.content.decode()


def test_a_viewer_is_not_offered_what_a_viewer_may_not_do(
    client_of: ClientOf, served: None
) -> None:
    judge(Health.UNHEALTHY)
    page = page_of(client_of, "viewer")
    assert '<div class="overview">' in page
    assert "Whoever may change flags here can switch on" in page


def test_a_path_that_was_closed_for_security_is_no_lever(
    client_of: ClientOf, served: None
) -> None:
    judge(Health.HEALTHY)
    change.apply(
        by=SHELL,
        now=wiring.now(),
        environment=DEV,
        sets=[SetFlag(flag=FlagName.MCP_INTEGRATION, on=False, base_version=1)],
        reason="a leaked token",
        cause=Cause.SECURITY,
        confirmed=True,
        health=wiring.path_health(DEV),
    )
    flags.refresh()
    judge(Health.OFF)
    page = page_of(client_of, "operator")
    assert "have no path in development" in heading(page)
    assert "/flags/ENABLE_MCP_INTEGRATION/set/?to=on" not in page
    assert LEVER in page
    assert "ENABLE_MCP_INTEGRATION on → off" in page
    assert "a leaked token" in page


def test_words_of_another_server_stay_words(client_of: ClientOf, served: None) -> None:
    judge(Health.DEGRADED)
    page = page_of(client_of, "viewer")
    assert "&lt;b&gt;not markup&lt;/b&gt;" in page
    assert "<b>not markup" not in page


def test_without_script_the_page_says_that_it_stands_still(
    client_of: ClientOf, served: None
) -> None:
    page = page_of(client_of, "viewer")
    assert 'This page does not update by itself. <a href="">Refresh</a>' in page


def visit(role: Role) -> Visit:
    by = Actor(kind=ActorKind.USER, id="user:x", name="x", grants={DEV: role})
    return Visit(actor=by, environment=DEV, section="overview", now=wiring.now())


def test_rendering_asks_the_database_nothing(
    laid: None, served: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    judge(Health.UNHEALTHY)
    told: dict[str, Any] = partials.facts(PARTS, Look(DEV, wiring.now(), Reader.AUDIT))
    told |= {"visit": visit(Role.ADMIN), "is_live": True, "may_change": True}
    with django_assert_num_queries(0):
        render_to_string("dashboard/overview.html", told)


def test_the_whole_page_asks_each_question_once(
    laid: None, served: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    judge(Health.UNHEALTHY)
    with django_assert_max_num_queries(24):
        partials.facts(PARTS, Look(DEV, wiring.now(), Reader.AUDIT))


def test_an_environment_that_is_not_ones_own_is_not_there(client_of: ClientOf) -> None:
    assert client_of("admin", only=STG).get("/e/production/").status_code == 404


def book(action: Action, object_id: str, *, outcome: Outcome = Outcome.DONE, **facts: str) -> None:
    """Book what a run books, as its engine does."""
    kind = "upstream" if action.startswith("upstream") else "rollback"
    ledger.record(
        by=SHELL,
        now=wiring.now(),
        action=action,
        environment=None if kind == "upstream" else DEV,
        object_type=kind,
        object_id=object_id,
        outcome=outcome,
        facts=facts,
    )


def feed(page: str) -> list[str]:
    listed = page.split('id="change-feed"')[1].split("</section>", maxsplit=1)[0]
    lines = re.findall(r"<p>(.*?)<small>", listed, re.S)
    return [re.sub(r"<[^>]+>", "", line).strip() for line in lines]


RUN = "hybridops-development-1"


def test_a_rollback_that_was_refused_is_told_so_and_is_no_cause(
    client_of: ClientOf, served: None
) -> None:
    book(Action.UPSTREAM_STOP, "mcp")
    book(Action.ROLLBACK_PLAN, RUN)
    book(Action.ROLLBACK_STEP, RUN, outcome=Outcome.FAILED, step="preflight")
    book(Action.ROLLBACK_REFUSED, RUN, outcome=Outcome.REFUSED, message="mcp is red")
    judge(Health.UNHEALTHY)
    page = page_of(client_of, "operator")
    assert feed(page)[:3] == [
        f"Tried to roll back {RUN}; refused, nothing was written",
        f"Confirmed the plan of the rollback {RUN}",
        "Stopped the stand-in mcp",
    ]
    assert "Just before: <b>Stopped the stand-in mcp</b>" in page


def test_somebody_who_may_not_roll_back_is_no_news(client_of: ClientOf, served: None) -> None:
    book(Action.ROLLBACK_REFUSED, str(DEV), outcome=Outcome.REFUSED, message="not allowed")
    assert not any("roll back" in line for line in feed(page_of(client_of, "operator")))


def test_the_steps_of_a_run_do_not_push_changes_out_of_the_feed(
    client_of: ClientOf, served: None
) -> None:
    book(Action.UPSTREAM_STOP, "mcp")
    for _ in range(60):
        book(Action.DEPLOYMENT_STEP, RUN, step="smoke")
    assert feed(page_of(client_of, "operator"))[0] == "Stopped the stand-in mcp"


def test_a_run_says_in_the_feed_how_it_ended(client_of: ClientOf, served: None) -> None:
    book(Action.DEPLOYMENT_JUDGED, RUN, outcome=Outcome.FAILED, verdict="failed")
    book(Action.ROLLBACK_END, RUN, outcome=Outcome.FAILED, end="needs_human")
    book(Action.HISTORY_LAY, str(DEV))
    assert feed(page_of(client_of, "operator"))[:3] == [
        "Laid the recorded runs as history",
        f"Ended without proof the rollback {RUN}; needs human",
        f"Judged the deployment {RUN}; failed",
    ]


def test_what_came_after_a_state_is_not_named_as_before_it(
    client_of: ClientOf, served: None
) -> None:
    judge(Health.UNHEALTHY, age_s=5)
    book(Action.UPSTREAM_STOP, "mcp")
    page = page_of(client_of, "operator")
    assert "Nothing that is booked changed in the 30 min before." in page
