"""Signing in and out, sessions and their ends, on the real database."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import override_settings

from routing.access import people, signin
from routing.access.models import User
from routing.audit import ledger
from routing.core.errors import NotSignedIn, Unavailable
from routing.core.values import Action, ActorKind, EnvironmentName, Role
from tests.integration.access.conftest import (
    DEV,
    NOW,
    PASSWORD,
    PROD,
    SHELL,
    Browser,
    entries,
    person,
    refusal,
)
from tests.integration.access.counting import CountingPBKDF2

pytestmark = pytest.mark.usefixtures("environments")

MINUTE = timedelta(minutes=1)


class TestActor:
    def test_is_who_signed_in_with_the_roles_of_each_environment(self) -> None:
        made = person("ada", development=Role.OPERATOR, production=Role.VIEWER)
        browser = Browser("192.0.2.77")
        by = browser.sign_in("ada")
        assert browser.actor() == by
        assert (by.kind, by.id, by.name) == (ActorKind.USER, made.pseudonym, "ada")
        assert by.grants == {DEV: Role.OPERATOR, PROD: Role.VIEWER}
        assert (by.peer, by.request_id) == ("192.0.2.0/24", "req-1")

    def test_never_shows_the_key_of_the_session(self) -> None:
        person("ada", development=Role.VIEWER)
        browser = Browser()
        by = browser.sign_in("ada")
        assert len(by.session) == 16
        assert by.session not in browser.cookie

    def test_a_name_may_be_typed_with_capitals_and_spaces(self) -> None:
        person("ada", development=Role.VIEWER)
        assert Browser().sign_in("  ADA ").name == "ada"

    def test_nobody_is_signed_in_without_a_session(self) -> None:
        with pytest.raises(NotSignedIn, match="Sign in to go on"):
            Browser().actor()

    def test_a_made_up_session_key_is_nobody(self) -> None:
        browser = Browser()
        browser.cookie = "a" * 32
        with pytest.raises(NotSignedIn):
            browser.actor()


class TestBooking:
    def test_a_sign_in_is_booked_under_the_pseudonym(self) -> None:
        made = person("ada", development=Role.VIEWER)
        by = Browser().sign_in("ada")
        [entry] = entries(Action.SIGNIN)
        assert (entry.actor, entry.object_id, entry.outcome) == (by.id, made.pseudonym, "done")

    def test_no_entry_no_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        person("ada", development=Role.VIEWER)

        def busy(**_: object) -> None:
            raise Unavailable("The audit trail is busy.")

        browser = Browser()
        monkeypatch.setattr(ledger, "record", busy)
        with pytest.raises(Unavailable):
            browser.sign_in("ada")
        assert Session.objects.count() == 0
        with pytest.raises(NotSignedIn):
            browser.actor()

    def test_a_sign_out_is_booked_and_ends_the_session_on_the_server(self) -> None:
        person("ada", development=Role.VIEWER)
        browser = Browser()
        browser.sign_in("ada")
        stolen = browser.cookie
        browser.sign_out()
        thief = Browser()
        thief.cookie = stolen
        with pytest.raises(NotSignedIn):
            thief.actor()
        assert len(entries(Action.SIGNOUT)) == 1

    def test_a_sign_out_without_a_session_books_nothing(self) -> None:
        Browser().sign_out()
        assert entries(Action.SIGNOUT) == []


class TestRotation:
    def test_a_planted_session_key_is_not_the_one_after_signing_in(self) -> None:
        person("ada", development=Role.VIEWER)
        browser = Browser()
        browser.visit(lambda request: request.session.update({"basket": "planted"}))
        planted = browser.cookie
        browser.sign_in("ada")
        assert planted not in ("", browser.cookie)
        assert not Session.objects.filter(pk=planted).exists()
        assert "basket" not in browser.visit(lambda request: request.session)

    def test_signing_in_again_as_the_same_person_ends_the_session_before(self) -> None:
        person("ada", development=Role.VIEWER)
        browser = Browser()
        browser.sign_in("ada")
        before = browser.cookie
        browser.sign_in("ada")
        assert before != browser.cookie
        assert not Session.objects.filter(pk=before).exists()


class TestEnds:
    @pytest.fixture
    def browser(self) -> Browser:
        person("ada", development=Role.VIEWER)
        browser = Browser()
        browser.sign_in("ada")
        return browser

    def test_lasts_half_an_hour_without_use(self, browser: Browser) -> None:
        browser.actor(NOW + 30 * MINUTE - timedelta(seconds=1))
        with pytest.raises(NotSignedIn, match="30 minutes"):
            browser.actor(NOW + 60 * MINUTE)

    def test_an_idle_session_is_gone_from_the_server(self, browser: Browser) -> None:
        with pytest.raises(NotSignedIn):
            browser.actor(NOW + 30 * MINUTE)
        assert Session.objects.count() == 0

    def test_use_keeps_it_but_not_beyond_twelve_hours(self, browser: Browser) -> None:
        for tens in range(1, 72):
            browser.actor(NOW + tens * 10 * MINUTE)
        with pytest.raises(NotSignedIn, match="12 hours"):
            browser.actor(NOW + 720 * MINUTE)

    def test_what_a_page_asks_by_itself_does_not_keep_it(self, browser: Browser) -> None:
        for tens in range(1, 3):
            browser.actor(NOW + tens * 10 * MINUTE, active=False)
        with pytest.raises(NotSignedIn):
            browser.actor(NOW + 30 * MINUTE, active=False)

    def test_a_clock_set_back_a_day_does_not_give_it_another_day(self, browser: Browser) -> None:
        with pytest.raises(NotSignedIn):
            browser.actor(NOW - timedelta(hours=25))

    def test_a_changed_password_ends_it(self, browser: Browser) -> None:
        user = User.objects.get()
        user.set_password("another-long-password")
        user.save()
        with pytest.raises(NotSignedIn):
            browser.actor()

    def test_a_closed_account_is_out_at_the_next_request(self, browser: Browser) -> None:
        User.objects.update(is_active=False)
        with pytest.raises(NotSignedIn):
            browser.actor()
        assert Session.objects.count() == 0


class TestRoleChanges:
    def test_hold_from_the_next_request_on(self) -> None:
        made = person("ada", development=Role.ADMIN, production=Role.ADMIN)
        browser = Browser()
        browser.sign_in("ada")
        people.revoke(
            reason="for a test", by=SHELL, now=NOW, user_id=made.user_id, environment=PROD
        )
        change(made, Role.VIEWER)
        assert browser.actor().grants == {DEV: Role.VIEWER}

    def test_the_last_role_lost_signs_out(self) -> None:
        made = person("ada", development=Role.ADMIN)
        browser = Browser()
        browser.sign_in("ada")
        people.revoke(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV)
        with pytest.raises(NotSignedIn):
            browser.actor()
        with pytest.raises(NotSignedIn):
            browser.sign_in("ada")

    def test_a_socket_that_checks_again_sees_them_too(self) -> None:
        made = person("ada", development=Role.ADMIN)
        browser = Browser()
        browser.sign_in("ada")
        assert signin.for_session(browser.cookie, now=NOW).grants == {DEV: Role.ADMIN}
        change(made, Role.VIEWER)
        assert signin.for_session(browser.cookie, now=NOW).grants == {DEV: Role.VIEWER}
        key = browser.cookie
        browser.sign_out()
        with pytest.raises(NotSignedIn):
            signin.for_session(key, now=NOW)

    def test_a_socket_does_not_keep_a_session_alive(self) -> None:
        person("ada", development=Role.ADMIN)
        browser = Browser()
        browser.sign_in("ada")
        signin.for_session(browser.cookie, now=NOW + 20 * MINUTE)
        with pytest.raises(NotSignedIn):
            signin.for_session(browser.cookie, now=NOW + 30 * MINUTE)


def change(made: people.Created, role: Role, environment: EnvironmentName = DEV) -> None:
    people.grant(
        reason="for a test",
        by=SHELL,
        now=NOW,
        user_id=made.user_id,
        environment=environment,
        role=role,
    )


class TestTheSameAnswer:
    @pytest.mark.parametrize("name", ["nobody", "", "ada\0", "x" * 4000, "адa", "a b; --"])
    def test_in_words_for_an_unknown_name_and_a_wrong_password(self, name: str) -> None:
        person("ada", development=Role.VIEWER)
        known = refusal(Browser(), "ada", "not-the-password")
        unknown = refusal(Browser(), name, "not-the-password")
        assert (known.message, known.facts) == (unknown.message, unknown.facts)

    def test_for_a_password_that_is_no_text(self) -> None:
        person("ada", development=Role.VIEWER)
        assert refusal(Browser(), "ada", "\ud800").message == signin.WRONG

    def test_for_a_closed_account_even_with_its_password(self) -> None:
        person("ada", development=Role.VIEWER)
        User.objects.update(is_active=False)
        assert refusal(Browser(), "ada", PASSWORD).message == signin.WRONG

    @override_settings(PASSWORD_HASHERS=[f"{CountingPBKDF2.__module__}.CountingPBKDF2"])
    def test_after_the_same_work(self) -> None:
        person("ada", development=Role.VIEWER)
        work = []
        for name in ("ada", "nobody", "no body\0"):
            CountingPBKDF2.work.clear()
            refusal(Browser(), name, "not-the-password")
            work.append(list(CountingPBKDF2.work))
        assert work[0] != []
        assert work[0] == work[1] == work[2]
