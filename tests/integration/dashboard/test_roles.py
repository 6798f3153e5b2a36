"""Who may open what: every route of the URLconf by every role, generated from the URLconf."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from routing.audit import queries
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, Outcome, Role
from tests.integration.dashboard.conftest import ClientOf

WHO = ("", *(str(role) for role in Role), "stranger")
DEV, STG = EnvironmentName.DEVELOPMENT, EnvironmentName.STAGING
HERE: dict[str, Any] = {"environment": DEV}
FLAG = HERE | {"name": FlagName.CACHING}
BREAKER = HERE | {"path": "mcp"}
PROPOSAL = HERE | {"number": 99999}
NOBODY = HERE | {"user_id": 99999}
SIGN_IN = 302
REFUSED = queries.Filters(outcome=Outcome.REFUSED)
# In the order of WHO: nobody, viewer, reviewer, operator, admin, and an admin of elsewhere.
EXPECTED: dict[tuple[str, str], tuple[dict[str, Any], tuple[int, ...]]] = {
    ("home", "GET"): ({}, (SIGN_IN, 302, 302, 302, 302, 302)),
    ("favicon", "GET"): ({}, (302, 302, 302, 302, 302, 302)),
    ("sign-in", "GET"): ({}, (200, 200, 200, 200, 200, 200)),
    ("sign-in", "POST"): ({}, (400, 400, 400, 400, 400, 400)),
    ("sign-out", "POST"): ({}, (302, 302, 302, 302, 302, 302)),
    ("overview", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("flags", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("flag", "GET"): (FLAG, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("flag-set", "GET"): (FLAG, (SIGN_IN, 403, 403, 200, 200, 404)),
    ("flag-set", "POST"): (FLAG, (SIGN_IN, 403, 403, 302, 302, 404)),
    ("flags-set", "GET"): (HERE, (SIGN_IN, 403, 403, 200, 200, 404)),
    ("flags-set", "POST"): (HERE, (SIGN_IN, 403, 403, 302, 302, 404)),
    # The first entry opens the trail: there is nothing in it to undo.
    ("flags-undo", "POST"): (HERE | {"seq": 1}, (SIGN_IN, 403, 403, 404, 404, 404)),
    ("schedule", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("schedule-cancel", "POST"): (HERE | {"number": 99}, (SIGN_IN, 403, 403, 404, 404, 404)),
    ("schedule-see", "POST"): (HERE | {"number": 99}, (SIGN_IN, 403, 403, 404, 404, 404)),
    ("glass", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("glass-begin", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 302, 404)),
    ("glass-end", "POST"): (HERE | {"number": 99}, (SIGN_IN, 403, 403, 403, 404, 404)),
    ("glass-review", "POST"): (HERE | {"number": 99}, (SIGN_IN, 403, 404, 403, 404, 404)),
    # Nothing differs: there is nothing to adopt or to revert.
    ("flag-drift", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 400, 404)),
    ("routing", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    # No server runs in this process: it can explain nothing, and says so.
    ("routing-explain", "POST"): (HERE, (SIGN_IN, 503, 503, 503, 503, 404)),
    ("override-set", "POST"): (HERE, (SIGN_IN, 403, 403, 302, 302, 404)),
    ("override-end", "POST"): (HERE | {"number": 99}, (SIGN_IN, 403, 403, 409, 409, 404)),
    ("draft", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("draft-save", "POST"): (HERE, (SIGN_IN, 403, 403, 404, 404, 404)),
    ("draft-publish", "POST"): (HERE, (SIGN_IN, 403, 403, 404, 404, 404)),
    ("draft-begin", "POST"): (HERE, (SIGN_IN, 403, 403, 302, 302, 404)),
    ("draft-discard", "POST"): (HERE, (SIGN_IN, 403, 403, 302, 302, 404)),
    ("breakers", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("breaker-force", "POST"): (BREAKER, (SIGN_IN, 403, 403, 302, 302, 404)),
    ("breaker-release", "POST"): (BREAKER, (SIGN_IN, 403, 403, 409, 409, 404)),
    ("cost", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("cost-price", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 302, 404)),
    ("cost-limit", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 302, 404)),
    ("deployments", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("deployments-import", "GET"): (HERE, (SIGN_IN, 403, 403, 200, 200, 404)),
    ("deployments-import", "POST"): (HERE, (SIGN_IN, 403, 403, 400, 400, 404)),
    ("deployments-compare", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("deployment", "GET"): (HERE | {"deployment_id": "none"}, (SIGN_IN, 404, 404, 404, 404, 404)),
    ("approvals", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("approval", "GET"): (PROPOSAL, (SIGN_IN, 404, 404, 404, 404, 404)),
    ("approval-propose", "POST"): (HERE, (SIGN_IN, 403, 403, 302, 302, 404)),
    ("approval-approve", "POST"): (PROPOSAL, (SIGN_IN, 403, 404, 403, 404, 404)),
    ("approval-reject", "POST"): (PROPOSAL, (SIGN_IN, 403, 404, 403, 404, 404)),
    ("approval-withdraw", "POST"): (PROPOSAL, (SIGN_IN, 404, 404, 404, 404, 404)),
    ("approval-apply", "POST"): (PROPOSAL, (SIGN_IN, 404, 404, 404, 404, 404)),
    ("password", "GET"): ({}, (SIGN_IN, 200, 200, 200, 200, 200)),
    ("password", "POST"): ({}, (SIGN_IN, 400, 400, 400, 400, 400)),
    ("settings", "GET"): (HERE, (SIGN_IN, 403, 403, 403, 200, 404)),
    ("person", "GET"): (NOBODY, (SIGN_IN, 403, 403, 403, 404, 404)),
    ("person-create", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 200, 404)),
    ("person-admit", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 422, 404)),
    ("person-grant", "POST"): (NOBODY, (SIGN_IN, 403, 403, 403, 404, 404)),
    ("person-revoke", "POST"): (NOBODY, (SIGN_IN, 403, 403, 403, 404, 404)),
    ("person-reset", "POST"): (NOBODY, (SIGN_IN, 403, 403, 403, 404, 404)),
    ("person-close", "POST"): (NOBODY, (SIGN_IN, 403, 403, 403, 404, 404)),
    ("person-reopen", "POST"): (NOBODY, (SIGN_IN, 403, 403, 403, 404, 404)),
    ("settings-tokens", "GET"): (HERE, (SIGN_IN, 403, 403, 403, 200, 404)),
    ("token-issue", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 200, 404)),
    ("token-revoke", "POST"): (HERE | {"token_id": "tok_x"}, (SIGN_IN, 403, 403, 403, 404, 404)),
    ("settings-approval", "GET"): (HERE, (SIGN_IN, 403, 403, 403, 200, 404)),
    ("approval-policy", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 302, 404)),
    ("audit", "GET"): (HERE, (SIGN_IN, 403, 200, 200, 200, 404)),
    ("audit-entry", "GET"): (HERE | {"seq": 1}, (SIGN_IN, 403, 200, 200, 200, 404)),
    ("audit-verify", "POST"): (HERE, (SIGN_IN, 403, 200, 403, 200, 404)),
    ("operations", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("operation-deploy", "POST"): (HERE, (SIGN_IN, 403, 403, 302, 302, 404)),
    ("operation", "GET"): (
        HERE | {"operation_id": "hybridops-development-1"},
        (SIGN_IN, 404, 404, 404, 404, 404),
    ),
    ("rollback", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("rollback-start", "POST"): (HERE, (SIGN_IN, 403, 403, 403, 422, 404)),
    ("support", "GET"): (HERE, (SIGN_IN, 200, 200, 200, 200, 404)),
    ("support-activate", "POST"): (HERE, (SIGN_IN, 403, 403, 422, 422, 404)),
    ("support-deactivate", "POST"): (HERE, (SIGN_IN, 403, 403, 409, 409, 404)),
    ("support-audit", "POST"): (HERE, (SIGN_IN, 403, 403, 302, 302, 404)),
    ("partial", "GET"): (HERE | {"name": "flags_grid"}, (SIGN_IN, 200, 200, 200, 200, 404)),
}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("routing-explain", "POST"): {"operation": "standard"},
    ("override-set", "POST"): {
        "do": "set",
        "operation": "standard",
        "path": "direct_bedrock",
        "minutes": "15",
        "reason": "mcp is slow",
        "confirmed": "true",
    },
    ("approval-propose", "POST"): {
        "flag": "ENABLE_BEDROCK_SUPPORT_MODE",
        "to": "on",
        "base_version": "1",
        "reason": "looking at who may",
    },
    ("approval-approve", "POST"): {"digest": "0" * 64},
    ("approval-reject", "POST"): {"reason": "looking at who may"},
    ("approval-apply", "POST"): {"digest": "0" * 64},
    ("person-create", "POST"): {"username": "ada.lovelace", "role": "viewer"},
    ("person-admit", "POST"): {"username": "nobody.known", "role": "viewer"},
    ("person-grant", "POST"): {"role": "viewer"},
    ("token-issue", "POST"): {
        "name": "batch jobs",
        "role": "viewer",
        "operations": "standard",
        "days": "1",
        "at_once": "1",
        "per_second": "1",
        "tokens_per_minute": "1",
    },
    ("approval-policy", "POST"): {"flags": "ai.caching.enabled", "base_version": "0"},
    ("draft-save", "POST"): {"revision": "1", "operation-0": "nothing"},
    ("draft-publish", "POST"): {"revision": "1", "base_version": "1"},
    ("draft-discard", "POST"): {"revision": "1"},
    ("flag-set", "POST"): {"to": "off", "base_version": "1", "confirmed": "true"},
    ("flags-set", "POST"): {
        "to-ENABLE_DIRECT_BEDROCK_FALLBACK": "on",
        "base-ENABLE_DIRECT_BEDROCK_FALLBACK": "1",
    },
    ("glass-begin", "POST"): {"minutes": "5", "reason": "looking at who may"},
    ("flag-drift", "POST"): {"do": "revert", "touches": "7"},
    ("breaker-force", "POST"): {
        "base": "0",
        "to": "closed",
        "minutes": "15",
        "reason": "looking at who may",
    },
    ("breaker-release", "POST"): {"base": "0"},
    ("cost-price", "POST"): {
        "do": "set",
        "base": "0",
        "model": "m",
        "input": "1",
        "output": "1",
        "currency": "EUR",
    },
    ("cost-limit", "POST"): {
        "do": "set",
        "base": "1",
        "unit": "tokens",
        "period": "day",
        "most": "1000",
    },
    ("operation-deploy", "POST"): {"flags": "keep", "key": "0" * 32},
    ("rollback-start", "POST"): {"target": "mcp_only", "digest": "0" * 64},
    ("support-activate", "POST"): {"reason": "its flag is off"},
}
QUERIES = {("flag-set", "GET"): "?to=off"}


def routes() -> set[str]:
    def walk(patterns: list[URLPattern | URLResolver]) -> set[str]:
        found: set[str] = set()
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                found |= walk(pattern.url_patterns)
            else:
                found.add(str(pattern.name))
        return found

    return walk(get_resolver().url_patterns)


def test_every_route_is_in_the_table() -> None:
    assert routes() == {route for route, _ in EXPECTED}


def signed_in(client_of: ClientOf, who: str) -> Client:
    return client_of("admin", only=STG) if who == "stranger" else client_of(who)


@pytest.mark.parametrize("who", WHO)
def test_each_route_answers_each_role_as_the_table_says(client_of: ClientOf, who: str) -> None:
    client = signed_in(client_of, who)
    found: dict[tuple[str, str], int] = {}
    for (route, method), (named, _) in EXPECTED.items():
        if route == "sign-out":
            continue  # it would end the session of the others; it has a test of its own
        path = reverse(route, kwargs=named) + QUERIES.get((route, method), "")
        body = BODIES.get((route, method), {})
        answer = client.post(path, body) if method == "POST" else client.get(path)
        found[route, method] = answer.status_code
        if who == "" and answer.status_code == SIGN_IN and route != "favicon":
            assert answer["Location"].startswith("/sign-in/")
    at = WHO.index(who)
    assert found == {
        key: statuses[at] for key, (_, statuses) in EXPECTED.items() if key[0] != "sign-out"
    }


@pytest.mark.parametrize(("route", "method"), EXPECTED)
def test_other_methods_are_refused(client_of: ClientOf, route: str, method: str) -> None:
    client = client_of("admin")
    served = {m for r, m in EXPECTED if r == route}
    served |= {"HEAD", "OPTIONS"} if "GET" in served else {"OPTIONS"}
    for other in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} - served:
        answer = client.generic(other, reverse(route, kwargs=EXPECTED[route, method][0]))
        assert answer.status_code == 405, (route, other)


def test_the_rail_lists_only_what_the_person_may_open(client_of: ClientOf) -> None:
    audit = reverse("audit", kwargs=HERE)
    flags = reverse("flags", kwargs=HERE)
    assert audit not in client_of("viewer").get(flags).content.decode()
    assert audit in client_of("reviewer").get(flags).content.decode()


def test_a_person_sees_no_environment_without_a_role(client_of: ClientOf) -> None:
    page = client_of("operator", only=STG).get("/e/staging/flags/").content.decode()
    assert "production" not in page
    assert "development" not in page


def test_a_viewer_who_opens_audit_is_told_why_not(client_of: ClientOf) -> None:
    answer = client_of("viewer").get("/e/production/audit/")
    assert answer.status_code == 403
    assert "needs the role reviewer or operator or admin in production" in answer.content.decode()


def test_signing_out_ends_the_session(client_of: ClientOf) -> None:
    client = client_of("viewer")
    assert client.post("/sign-out/").status_code == 302
    assert client.get("/e/development/flags/").status_code == 302


@pytest.mark.parametrize(
    ("who", "method", "path"),
    [
        ("viewer", "get", "/e/production/audit/"),
        ("viewer", "get", "/e/production/audit/1/"),
        ("operator", "post", "/e/production/audit/verify/"),
    ],
)
def test_who_is_refused_a_page_finds_it_booked(
    client_of: ClientOf, who: str, method: str, path: str
) -> None:
    client = client_of(who)
    before = queries.page(filters=REFUSED).rows
    assert getattr(client, method)(path).status_code == 403
    (row, *rest) = queries.page(filters=REFUSED).rows
    assert tuple(rest) == before
    assert (row.action, row.environment, row.role) == ("page.open", "production", who)
    assert (row.object_type, row.object_id, row.outcome) == ("page", "audit", "refused")


def test_a_page_that_opens_books_nothing(client_of: ClientOf) -> None:
    client = client_of("reviewer")
    before = queries.page(filters=queries.Filters()).rows
    assert client.get("/e/production/audit/").status_code == 200
    assert queries.page(filters=queries.Filters()).rows == before
