"""Whether two accounts are two people, and what becomes of an account as a whole."""

from __future__ import annotations

from datetime import timedelta

import pytest

from routing.access import accounts, eyes, people, queries, tokens
from routing.core.errors import Forbidden, Invalid, NotFound, NotSignedIn, RuleBroken
from routing.core.rights import Actor
from routing.core.values import Action, Role
from tests.integration.access.conftest import (
    DEV,
    NOW,
    PASSWORD,
    PROD,
    SHELL,
    Browser,
    as_person,
    entries,
    person,
)

pytestmark = pytest.mark.usefixtures("environments")
LONG_AGO = NOW - timedelta(days=8)


def made(by: Actor, name: str, *, days: int = 0) -> Actor:
    """Make an account `days` ago; return its actor, an admin of development."""
    at = NOW - timedelta(days=days)
    people.create_user(by=by, now=at, username=name, grants={DEV: Role.ADMIN}, password=PASSWORD)
    return as_person(name)


def test_strangers_are_two_and_so_are_old_acquaintances() -> None:
    ada, ben = made(SHELL, "ada", days=30), made(SHELL, "ben", days=30)
    carol = made(ada, "carol", days=8)
    for one, other in ((ada, ben), (ben, ada), (ada, carol), (carol, ben)):
        assert eyes.tie(one.id, other.id, now=NOW) == ""


def test_a_tie_counts_either_way_and_over_accounts_in_the_same_hands() -> None:
    ada = made(SHELL, "ada", days=30)
    first = made(ada, "first", days=6)
    second = made(first, "second", days=5)
    apart = made(SHELL, "apart", days=30)
    for one, other in ((ada, second), (second, ada), (ada, first), (first, second)):
        assert "made the account of" in eyes.tie(one.id, other.id, now=NOW)
        assert eyes.tie(one.id, other.id, now=NOW + timedelta(days=7)) == ""
    assert eyes.tie(apart.id, second.id, now=NOW) == ""


def test_two_accounts_that_one_person_made_are_not_two_people() -> None:
    ada = made(SHELL, "ada", days=30)
    first, second = made(ada, "first", days=6), made(ada, "second", days=5)
    third = made(second, "third", days=4)
    for one, other in ((first, second), (second, first), (first, third)):
        assert "one person made both" in eyes.tie(one.id, other.id, now=NOW)
        assert eyes.tie(one.id, other.id, now=NOW + timedelta(days=7)) == ""
    shell, other_shell = made(SHELL, "ben", days=1), made(SHELL, "eve", days=1)
    assert eyes.tie(shell.id, other_shell.id, now=NOW) == ""


def test_a_grant_ties_two_but_puts_nobody_into_anybodys_hands() -> None:
    ada, ben = made(SHELL, "ada", days=30), made(SHELL, "ben", days=30)
    carol = person("carol", development=Role.VIEWER)
    number = queries.user_id("ben")
    people.grant(by=ada, now=NOW, user_id=number, environment=DEV, role=Role.VIEWER)
    people.grant(by=ben, now=NOW, user_id=carol.user_id, environment=DEV, role=Role.REVIEWER)
    assert "granted a role to" in eyes.tie(ada.id, ben.id, now=NOW)
    assert "granted a role to" in eyes.tie(ben.id, carol.pseudonym, now=NOW)
    assert eyes.tie(ada.id, carol.pseudonym, now=NOW) == ""


def test_what_is_held_now_leaves_out_the_closed() -> None:
    ada, ben = person("ada", development=Role.ADMIN), person("ben", development=Role.VIEWER)
    both = [ada.pseudonym, ben.pseudonym, "shell:x@y"]
    assert eyes.held(both, DEV, lock=True) == {
        ada.pseudonym: Role.ADMIN,
        ben.pseudonym: Role.VIEWER,
    }
    assert eyes.held(both, PROD, lock=False) == {}
    accounts.close(by=SHELL, now=NOW, user_id=ben.user_id)
    assert eyes.held(both, DEV, lock=True) == {ada.pseudonym: Role.ADMIN}


class TestReset:
    def test_gives_a_one_time_password_and_is_booked_without_it(self) -> None:
        ada = person("ada", development=Role.VIEWER)
        browser = Browser()
        browser.sign_in("ada")
        fresh = accounts.reset_password(by=SHELL, now=NOW, user_id=ada.user_id, reason="lost")
        with pytest.raises(NotSignedIn):
            browser.actor()
        with pytest.raises(NotSignedIn):
            Browser().sign_in("ada")
        assert Browser().sign_in("ada", fresh.password).id == ada.pseudonym
        [entry] = entries(Action.USER_RESET)
        assert (entry.object_id, entry.reason) == (ada.pseudonym, "lost")
        assert fresh.password not in str(entries()) and fresh.password not in repr(fresh)

    def test_needs_an_admin_of_every_place_that_the_account_opens(self) -> None:
        person("ada", development=Role.ADMIN)
        ben = person("ben", development=Role.VIEWER, production=Role.VIEWER)
        for do in (accounts.reset_password, accounts.close, accounts.reopen):
            with pytest.raises(Forbidden):
                do(by=as_person("ada"), now=NOW, user_id=ben.user_id)
        assert entries()[-1].outcome == "refused"

    def test_of_nobody_or_of_a_closed_account_is_refused(self) -> None:
        ada = person("ada", development=Role.VIEWER)
        with pytest.raises(NotFound):
            accounts.reset_password(by=SHELL, now=NOW, user_id=10**12)
        accounts.close(by=SHELL, now=NOW, user_id=ada.user_id)
        with pytest.raises(RuleBroken, match="reopen"):
            accounts.reset_password(by=SHELL, now=NOW, user_id=ada.user_id)


def test_closing_ends_sessions_and_tokens_and_reopening_brings_back_the_roles_alone() -> None:
    ada = person("ada", development=Role.ADMIN)
    browser = Browser()
    actor = browser.sign_in("ada")
    token = tokens.issue(by=actor, now=NOW, environment=DEV, role=Role.VIEWER, name="ci")
    for _ in range(2):  # the second time there is nothing to do
        accounts.close(by=SHELL, now=NOW, user_id=ada.user_id)
    assert [entry.object_id for entry in entries(Action.TOKEN_REVOKE)] == [token.id]
    assert len(entries(Action.USER_CLOSE)) == 1
    with pytest.raises(NotSignedIn):
        browser.actor()
    accounts.reopen(by=SHELL, now=NOW, user_id=ada.user_id)
    assert Browser().sign_in("ada").grants == {DEV: Role.ADMIN}
    tokens.load()
    assert tokens.find(token.secret, NOW) is None


def test_a_wrong_present_password_changes_nothing_and_is_booked() -> None:
    person("ada", development=Role.VIEWER)
    with pytest.raises(Invalid, match="present password is wrong"):
        accounts.change_password(by=as_person("ada"), now=NOW, old="x", new="another-password")
    [entry] = entries(Action.PASSWORD_CHANGE)
    assert entry.outcome == "refused"
    assert Browser().sign_in("ada").name == "ada"
