"""Guessing passwords: it slows down, and it is booked without names or a burden on the trail."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.http import HttpRequest

from routing.access import delays, signin
from routing.access.models import SignInDelay
from routing.audit import ledger
from routing.core.errors import NotSignedIn, TooMany, Unavailable
from routing.core.values import Action, Role
from tests.integration.access.conftest import NOW, PASSWORD, Browser, entries, person, refusal


@pytest.mark.usefixtures("environments")
class TestBruteForce:
    def fail(self, browser: Browser, times: int, username: str = "ada") -> None:
        for _ in range(times):
            refusal(browser, username, "not-the-password")

    def wait(self, browser: Browser, at: timedelta, password: str = "wrong") -> int:
        with pytest.raises(TooMany) as refused:
            browser.sign_in("ada", password, now=NOW + at)
        return int(refused.value.facts["retry_after_s"])

    @pytest.fixture(autouse=True)
    def _ada(self, environments: None) -> None:
        person("ada", development=Role.VIEWER)

    def test_four_failures_cost_nothing(self) -> None:
        browser = Browser()
        self.fail(browser, 4)
        browser.sign_in("ada")

    def test_after_five_the_right_password_waits_too(self) -> None:
        browser = Browser()
        self.fail(browser, 5)
        assert self.wait(browser, timedelta(0), PASSWORD) == 5

    def test_the_wait_doubles_with_each_further_failure(self) -> None:
        browser = Browser()
        self.fail(browser, 5)
        at, waits = timedelta(0), []
        for _ in range(4):
            waits.append(self.wait(browser, at))
            at += timedelta(seconds=waits[-1])
            with pytest.raises(NotSignedIn):
                browser.sign_in("ada", "wrong", now=NOW + at)
        assert waits == [5, 10, 20, 40]

    def test_tries_while_waiting_do_not_prolong_it(self) -> None:
        browser = Browser()
        self.fail(browser, 5)
        for _ in range(20):
            self.wait(browser, timedelta(seconds=4))
        browser.sign_in("ada", now=NOW + timedelta(seconds=5))

    def test_nobody_is_shut_out_for_longer_than_fifteen_minutes(self) -> None:
        browser = Browser()
        self.fail(browser, 5)
        at = timedelta(0)
        for _ in range(12):
            at += timedelta(seconds=self.wait(browser, at))
            with pytest.raises(NotSignedIn):
                browser.sign_in("ada", "wrong", now=NOW + at)
        assert self.wait(browser, at) == 900
        browser.sign_in("ada", now=NOW + at + timedelta(seconds=900))

    def test_a_success_forgets_the_failures(self) -> None:
        browser = Browser()
        for _ in range(3):
            self.fail(browser, 4)
            browser.sign_in("ada")

    def test_another_network_is_not_held_up(self) -> None:
        self.fail(Browser("192.0.2.1"), 5)
        Browser("198.51.100.1").sign_in("ada")

    def test_another_address_of_the_same_network_is(self) -> None:
        self.fail(Browser("192.0.2.1"), 5)
        assert self.wait(Browser("192.0.2.200"), timedelta(0)) == 5
        assert self.wait(Browser("::ffff:192.0.2.9"), timedelta(0)) == 5

    def test_an_unknown_name_is_held_up_like_a_known_one(self) -> None:
        browser = Browser()
        self.fail(browser, 5, "nobody")
        with pytest.raises(TooMany) as refused:
            browser.sign_in("nobody", "wrong")
        self.fail(browser, 5)
        with pytest.raises(TooMany) as known:
            browser.sign_in("ada", "wrong")
        assert refused.value.message == known.value.message

    def test_a_network_that_tries_many_names_is_held_up_for_all_of_them(self) -> None:
        browser = Browser()
        for number in range(50):
            self.fail(browser, 1, f"name-{number}")
        assert self.wait(browser, timedelta(0), PASSWORD) == 5
        Browser("198.51.100.1").sign_in("ada")

    def test_a_try_is_charged_before_the_password_is_looked_at(self) -> None:
        browser = Browser()
        seen: list[int] = []

        def nested(request: HttpRequest) -> None:
            for depth in range(6):
                try:
                    delays.charge(signin._digest("ada"), "192.0.2.0/24", now=NOW)
                except TooMany:
                    seen.append(depth)

        browser.visit(nested)
        assert seen == [5]


@pytest.mark.usefixtures("environments")
class TestBookingOfFailures:
    def test_waits_for_the_minute_and_then_counts_them_in_one_entry(self) -> None:
        person("ada", development=Role.VIEWER)
        for _ in range(4):
            refusal(Browser(), "ada", "not-the-password")
        assert entries(Action.SIGNIN_FAILURES) == []
        assert signin.flush_failures(now=NOW) == 1
        [entry] = entries(Action.SIGNIN_FAILURES)
        assert entry.facts == {
            "kind": "wrong_credentials",
            "network": "192.0.2.0/24",
            "count": 4,
            "total": 4,
        }
        assert signin.flush_failures(now=NOW) == 0

    def test_does_not_wait_for_the_fifth(self) -> None:
        for _ in range(5):
            refusal(Browser(), "nobody", "not-the-password")
        [entry] = entries(Action.SIGNIN_FAILURES)
        assert isinstance(entry.facts, dict)
        assert (entry.facts["count"], entry.outcome) == (5, "refused")

    def test_tells_refused_tries_apart_from_wrong_ones(self) -> None:
        for _ in range(5):
            refusal(Browser(), "nobody", "not-the-password")
        for _ in range(7):
            with pytest.raises(TooMany):
                Browser().sign_in("nobody", "not-the-password")
        signin.flush_failures(now=NOW)
        kinds = [e.facts["kind"] for e in entries(Action.SIGNIN_FAILURES)]  # type: ignore[call-overload, index]
        assert kinds == ["wrong_credentials", "delayed", "delayed"]

    def test_holds_no_name_and_no_address(self) -> None:
        for _ in range(5):
            refusal(Browser("192.0.2.77"), "hunter2-typed-in-the-wrong-field", "x")
        [entry] = entries(Action.SIGNIN_FAILURES)
        assert "hunter2" not in repr(entry)
        assert "192.0.2.77" not in repr(entry)

    def test_the_sign_in_that_follows_can_be_tied_to_them(self) -> None:
        person("ada", development=Role.VIEWER)
        refusal(Browser(), "ada", "not-the-password")
        signin.flush_failures(now=NOW)
        Browser().sign_in("ada")
        [failed], [done] = entries(Action.SIGNIN_FAILURES), entries(Action.SIGNIN)
        assert done.facts == {"account": failed.object_id}

    def test_what_could_not_be_booked_is_booked_next_time(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(3):
            refusal(Browser(), "nobody", "not-the-password")

        def busy(**_: object) -> None:
            raise Unavailable("The audit trail is busy.")

        with monkeypatch.context() as patch:
            patch.setattr(ledger, "record", busy)
            with pytest.raises(Unavailable):
                signin.flush_failures(now=NOW)
        refusal(Browser(), "nobody", "not-the-password")
        signin.flush_failures(now=NOW)
        [entry] = entries(Action.SIGNIN_FAILURES)
        assert isinstance(entry.facts, dict)
        assert entry.facts["count"] == 4

    def test_what_is_forgotten_leaves_the_table_of_delays(self) -> None:
        refusal(Browser(), "nobody", "not-the-password")
        signin.flush_failures(now=NOW + timedelta(hours=2))
        assert not SignInDelay.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_twenty_tries_at_once_five_are_let_through() -> None:
    start = threading.Barrier(20)
    through: list[int] = []

    def guess(number: int) -> None:
        start.wait(20)
        try:
            delays.charge("a" * 16, "192.0.2.0/24", now=NOW)
            through.append(number)
        except TooMany:
            return
        finally:
            connection.close()

    threads = [threading.Thread(target=guess, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(through) == 5
