"""Four eyes through the pages: the plain way, and each way past it, refused and booked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from routing import wiring
from routing.access import people, tokens
from routing.approvals import queries
from routing.approvals.models import Proposal
from routing.audit import queries as audit
from routing.changes import change
from routing.core.approval import Bypass
from routing.core.flags import FlagName, SetFlag
from routing.core.values import EnvironmentName, Outcome, ProposalState, Role
from routing.flags import queries as flags
from routing.schedule import queries as schedule
from tests.integration.dashboard.conftest import SHELL, ClientOf

PROD = EnvironmentName.PRODUCTION
MCP, BEDROCK = FlagName.MCP_INTEGRATION, FlagName.BEDROCK_PROVIDER
AT = "/e/production/approvals/"
HTMX = {"HX-Request": "true"}
PASSWORD = "a-password-of-their-own"
TYPED = {"typed_environment": "production", "confirmed": "true"}


@dataclass(frozen=True, kw_only=True)
class Two:
    """An admin who proposes and a reviewer who approves, each in a browser of their own."""

    admin: Client
    reviewer: Client

    def propose(self, flag: FlagName = MCP, **more: str) -> int:
        said = {"flag": str(flag), "to": "off", "base_version": str(version(flag))}
        said |= {"reason": "answers are wrong", **more}
        answer = self.admin.post(f"{AT}propose/", said)
        assert answer.status_code == 302, answer.content.decode()
        return int(answer["Location"].split("/")[-2])

    def approve(self, number: int, **more: Any) -> Any:
        return self.reviewer.post(f"{AT}{number}/approve/", {"digest": digest(number)}, **more)

    def apply(self, number: int, **more: str) -> Any:
        said = {"digest": digest(number), **TYPED, **more}
        return self.admin.post(f"{AT}{number}/apply/", said)

    def agreed(self, flag: FlagName = MCP) -> int:
        number = self.propose(flag)
        assert self.approve(number).status_code == 302
        return number


@pytest.fixture
def two(client_of: ClientOf) -> Two:
    return Two(admin=client_of("admin"), reviewer=client_of("reviewer"))


def version(flag: FlagName) -> int:
    return flags.flag_row(flag, [PROD]).cells[PROD].state.version


def digest(number: int) -> str:
    return queries.proposal(PROD, number).digest


def state(number: int) -> ProposalState:
    return queries.proposal(PROD, number).state


def user_id(name: str) -> int:
    from routing.access.queries import user_id as of

    return of(name)


def refusals() -> int:
    found = audit.page(filters=audit.Filters(outcome=Outcome.REFUSED), size=500)
    return len(found.rows)


class Refusals:
    """Count what is booked as refused while something is tried."""

    def __enter__(self) -> None:
        self.before, self.versions = refusals(), [version(MCP), version(BEDROCK)]

    def __exit__(self, *_: object) -> None:
        assert refusals() > self.before, "nothing was booked"
        assert [version(MCP), version(BEDROCK)] == self.versions, "a flag moved"


def test_two_people_change_a_path_of_production(two: Two) -> None:
    review = two.admin.get(f"/e/production/flags/{MCP}/set/?to=off").content.decode()
    assert f"Propose to switch off {MCP} in production" in review
    assert 'name="typed_environment"' not in review
    number = two.propose()
    listed = two.reviewer.get(AT).content.decode()
    assert "1 proposal waits for a second person in production" in listed
    assert re.search(r'class="count">1<', listed)
    page = two.reviewer.get(f"{AT}{number}/").content.decode()
    assert "answers are wrong" in page and "admin-all" in page and digest(number)[:12] in page
    answer = two.approve(number, headers=HTMX)
    assert "Nothing has changed yet" in answer.content.decode()
    assert "<html" not in answer.content.decode()
    assert version(MCP) == 1
    page = two.admin.get(f"{AT}{number}/").content.decode()
    assert "Apply proposal" in page
    assert two.apply(number).status_code == 302
    assert (version(MCP), state(number)) == (2, ProposalState.APPLIED)
    seq = queries.proposal(PROD, number).entry_seq
    entry = two.reviewer.get(f"/e/production/audit/{seq}/").content.decode()
    assert "proposed by <b>admin-all</b>, approved by <b>reviewer-all</b>" in entry


def test_a_time_and_an_end_are_proposed_shown_agreed_to_and_planned(two: Two) -> None:
    review = two.admin.get(f"/e/production/flags/{MCP}/set/?to=off").content.decode()
    assert 'name="at"' in review and 'name="ends_after"' in review
    at = wiring.now() + timedelta(hours=3)
    local = f"{at:%Y-%m-%dT%H:%M}"
    number = two.propose(at=local, zone="UTC", ends_after="60")
    page = two.reviewer.get(f"{AT}{number}/").content.decode()
    words = f"{at:%Y-%m-%d %H:%M} UTC"
    assert f"at {words}, if it is applied before; goes back by itself 1 h after" in page
    edit = f"/e/production/flags/{MCP}/set/?to=off&replaces={number}"
    again = two.admin.get(edit).content.decode()
    assert f'value="{local}"' in again and '<option value="60" selected>' in again
    assert two.approve(number).status_code == 302
    page = two.admin.get(f"{AT}{number}/").content.decode()
    assert f"Applying it plans it for {words}" in page
    answer = two.admin.post(
        f"{AT}{number}/apply/", {"digest": digest(number), **TYPED}, follow=True
    )
    assert f"planned for {words}" in answer.content.decode()
    assert (version(MCP), state(number)) == (1, ProposalState.APPLIED)
    [plan] = schedule.waiting(PROD)
    assert plan.lasts == timedelta(hours=1)


def test_a_time_that_is_none_is_told_on_the_review_and_kept(two: Two) -> None:
    said = {"flag": str(MCP), "to": "off", "base_version": "1", "reason": "answers are wrong"}
    said |= {"at": "2001-01-01T00:00", "ends_after": "15"}
    answer = two.admin.post(f"{AT}propose/", said)
    page = answer.content.decode()
    assert answer.status_code == 400
    assert "after now and within 90 days" in page
    assert 'value="2001-01-01T00:00"' in page and '<option value="15" selected>' in page


def test_the_plain_lever_is_refused_and_leads_to_the_proposal(two: Two) -> None:
    said = {"to": "off", "base_version": "1", "reason": "answers are wrong", **TYPED}
    with Refusals():
        answer = two.admin.post(f"/e/production/flags/{MCP}/set/", said)
    assert answer.status_code == 422
    assert "Propose to switch off" in answer.content.decode()
    security = said | {"cause": "security"}
    assert two.admin.post(f"/e/production/flags/{MCP}/set/", security).status_code == 302


def test_an_edit_or_another_base_ends_the_approval(two: Two) -> None:
    old = two.agreed()
    new = two.propose(BEDROCK, replaces=str(old))
    assert state(old) is ProposalState.VOIDED
    for number in (old, new):
        with Refusals():
            assert two.apply(number).status_code == 422
    number = two.agreed()
    change.apply(
        by=SHELL,
        now=wiring.now(),
        environment=PROD,
        sets=[SetFlag(flag=MCP, on=False, base_version=1)],
        reason="a rollback came first",
        typed_environment="production",
        confirmed=True,
        health=wiring.path_health(PROD),
        under=Bypass.ROLLBACK,
    )
    assert "voided" in two.admin.get(f"{AT}{number}/").content.decode()
    with Refusals():
        assert two.apply(number).status_code == 409
    assert state(number) is ProposalState.VOIDED


def test_nobody_is_two_people(two: Two, client_of: ClientOf) -> None:
    number = two.propose()
    page = two.admin.get(f"{AT}{number}/").content.decode()
    assert "another person has to look at it" in page and "/approve/" not in page
    other_session = Client()
    other_session.cookies = two.admin.cookies
    for browser in (two.admin, other_session):
        with Refusals():
            answer = browser.post(f"{AT}{number}/approve/", {"digest": digest(number)})
        assert answer.status_code == 422
    # Nor with an account that the proposer has just made, and whose first password they know.
    made = two.admin.post(
        "/e/production/settings/create/",
        {"username": "puppet", "role": "reviewer", "reason": "for a test"},
    ).content.decode()
    puppet = settle("puppet", made)
    with Refusals():
        answer = puppet.post(f"{AT}{number}/approve/", {"digest": digest(number)})
    assert "made the account of" in answer.content.decode()


def settle(name: str, page: str) -> Client:
    """Sign in with the one-time password that `page` shows, and replace it."""
    shown = re.search(r'id="secret-value">([^<]+)<', page)
    assert shown
    client = Client()
    answer = client.post("/sign-in/", {"username": name, "password": shown[1]})
    assert answer.status_code == 302
    assert client.get("/e/production/flags/")["Location"] == "/password/"
    said = {"old": shown[1], "new": PASSWORD, "again": PASSWORD}
    assert client.post("/password/", said).status_code == 302
    assert client.get("/e/production/flags/").status_code == 200
    return client


def test_nor_with_one_that_they_granted_or_reset(two: Two, client_of: ClientOf) -> None:
    number = two.propose()
    viewer = client_of("viewer")
    grant = {"role": "reviewer", "reason": "for a test"}
    place = "/e/production/settings/"
    assert two.admin.post(f"{place}{user_id('viewer-all')}/grant/", grant).status_code == 302
    page = two.admin.post(f"{place}{user_id('reviewer-all')}/reset/", grant).content.decode()
    assert two.reviewer.get(AT).status_code == 302, "the sessions before a reset are over"
    for browser, words in ((viewer, "granted a role to"), (settle("reviewer-all", page), "reset")):
        with Refusals():
            answer = browser.post(f"{AT}{number}/approve/", {"digest": digest(number)})
        assert words in answer.content.decode()
    assert state(number) is ProposalState.PROPOSED


def test_what_is_over_or_elsewhere_is_not_used(two: Two) -> None:
    number = two.agreed()
    with Refusals():
        said = {"digest": digest(number), **TYPED}
        assert two.admin.post(f"/e/staging/approvals/{number}/apply/", said).status_code == 404
    assert two.apply(number).status_code == 302
    with Refusals():
        assert two.apply(number).status_code == 409
    late = two.propose(MCP, to="on")
    assert two.approve(late).status_code == 302
    yesterday = wiring.now() - timedelta(hours=25)
    Proposal.objects.filter(pk=late).update(
        proposed_at=yesterday, expires_at=yesterday + timedelta(hours=24)
    )
    with Refusals():
        assert two.apply(late).status_code == 422
    assert state(late) is ProposalState.EXPIRED


def test_a_right_that_was_lost_or_a_digest_that_was_forged(two: Two) -> None:
    number, other = two.propose(), two.propose(BEDROCK)
    with Refusals():
        forged = {"digest": digest(other)}
        assert two.reviewer.post(f"{AT}{number}/approve/", forged).status_code == 409
    assert two.approve(number).status_code == 302
    with Refusals():
        assert two.apply(number, digest=digest(other)).status_code == 409
    people.revoke(
        reason="for a test",
        by=SHELL,
        now=wiring.now(),
        user_id=user_id("reviewer-all"),
        environment=PROD,
    )
    with Refusals():
        assert two.apply(number).status_code == 422


def test_an_approval_for_one_flag_carries_no_other(two: Two) -> None:
    number = two.agreed(MCP)
    smuggled = {"flag": str(BEDROCK), "to": "off", "sets": "all"}
    assert two.apply(number, **smuggled).status_code == 302
    assert (version(MCP), version(BEDROCK)) == (2, 1)


def test_the_policy_is_loosened_by_two_and_tightened_by_one(two: Two) -> None:
    place = "/e/production/settings/approval/"
    said = {"base_version": "0", "reason": "it is in my way", **TYPED}
    answer = two.admin.post(f"{place}set/", said | {"flags": [str(BEDROCK)]})
    number = int(answer["Location"].split("/")[-2])
    assert queries.policy(PROD).version == 0
    with Refusals():
        assert two.apply(number).status_code == 422  # nobody else has agreed
    more = [str(MCP), str(BEDROCK), str(FlagName.CACHING)]
    assert two.admin.post(f"{place}set/", said | {"flags": more}).status_code == 302
    assert FlagName.CACHING in queries.policy(PROD).flags
    assert "voided" in two.admin.get(f"{AT}{number}/").content.decode()


def test_a_token_approves_nothing(two: Two) -> None:
    number = two.propose()
    made = tokens.issue(
        reason="for a test",
        by=SHELL,
        now=wiring.now(),
        environment=PROD,
        role=Role.ADMIN,
        name="ci",
    )
    answer = Client().post(
        f"{AT}{number}/approve/",
        {"digest": digest(number)},
        headers={"Authorization": f"Bearer {made.secret}"},
    )
    assert answer.status_code == 302 and "/sign-in/" in answer["Location"]
    assert state(number) is ProposalState.PROPOSED


def test_a_rejection_says_why_and_what_was_typed_stays(two: Two) -> None:
    number = two.propose()
    answer = two.reviewer.post(f"{AT}{number}/reject/", {"reason": "no"})
    assert answer.status_code == 400
    assert 'value="no"' in answer.content.decode()
    two.reviewer.post(f"{AT}{number}/reject/", {"reason": "wait for the vendor"})
    page = two.admin.get(f"{AT}{number}/").content.decode()
    assert "wait for the vendor" in page and "Nothing was changed by it" in page
    assert two.admin.get(AT).content.decode().count("Waiting") == 1
