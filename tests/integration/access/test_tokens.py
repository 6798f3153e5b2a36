"""Tokens of machines, on the real database."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import TestCase

from routing.access import people, queries, tokens
from routing.access.models import Token
from routing.access.scope import TokenKind
from routing.core.allowance import Limits
from routing.core.errors import Forbidden, Invalid, NotFound, RuleBroken, UnknownWord
from routing.core.rights import Actor, system_actor
from routing.core.values import Action, ActorKind, Operation, Role
from tests.integration.access.conftest import (
    DEV,
    NOW,
    PROD,
    SHELL,
    as_person,
    entries,
    lay_environments,
    person,
)

DAY = timedelta(days=1)
WITHOUT_EMERGENCY = frozenset(Operation) - {Operation.EMERGENCY}


def issue(by: Actor = SHELL, **asked: Any) -> tokens.Issued:
    given: dict[str, Any] = {"environment": DEV, "role": Role.VIEWER, "name": "ci"}
    return tokens.issue(reason="for a test", by=by, now=NOW, **(given | asked))


def revoke(made: tokens.Issued, by: Actor = SHELL) -> None:
    tokens.revoke(reason="for a test", by=by, now=NOW, token_id=made.id)


def found(secret: str, at: timedelta = timedelta(0)) -> tokens.TokenFacts | None:
    tokens.load()
    return tokens.find(secret, NOW + at)


@pytest.mark.usefixtures("environments")
class TestIssued:
    def test_is_found_by_its_secret_with_all_that_it_may(self) -> None:
        made = issue(role=Role.OPERATOR, tenant="acme", operations=["standard"], emergency=True)
        assert found(made.secret) == tokens.TokenFacts(
            id=made.id,
            name="ci",
            kind=TokenKind.MACHINE,
            environment=DEV,
            role=Role.OPERATOR,
            tenant="acme",
            operations=frozenset({Operation.STANDARD}),
            emergency=True,
            expires_at=NOW + 90 * DAY,
        )

    def test_has_a_secret_of_256_bits_that_nobody_keeps(self) -> None:
        made = issue()
        assert made.secret.startswith("hyo_")
        assert len(made.secret) == 4 + 43
        kept = Token.objects.values().get()
        assert made.secret not in repr((kept, entries(), made))
        assert made.secret[4:] not in repr(kept)

    @pytest.mark.parametrize("secret", ["", "hyo_", "x" * 10_000, "hyo_\0", "\ud800", "é"])
    def test_is_not_found_by_anything_else(self, secret: str) -> None:
        issue()
        assert found(secret) is None

    def test_is_not_found_by_the_digest_that_is_kept(self) -> None:
        issue()
        assert found(Token.objects.get().secret_sha256) is None

    def test_may_all_but_emergencies_unless_told_otherwise(self) -> None:
        facts = found(issue().secret)
        assert facts is not None
        assert {o for o in Operation if facts.may(o)} == WITHOUT_EMERGENCY

    def test_may_emergencies_only_by_their_own_scope(self) -> None:
        facts = found(issue(operations=[Operation.STANDARD], emergency=True).secret)
        assert facts is not None
        assert {o for o in Operation if facts.may(o)} == {
            Operation.STANDARD,
            Operation.EMERGENCY,
        }

    def test_carries_limits_of_its_own(self) -> None:
        own = Limits(at_once=3, per_second=9, tokens_per_minute=77)
        assert (usual := found(issue().secret)) is not None
        assert usual.limits == Limits()
        assert (facts := found(issue(limits=own).secret)) is not None
        assert facts.limits == own
        with pytest.raises(Invalid, match="per_second"):
            issue(limits=Limits(per_second=0))

    def test_acts_with_its_role_in_its_environment_alone(self) -> None:
        made = issue(role=Role.OPERATOR)
        facts = found(made.secret)
        assert facts is not None
        by = facts.actor(request_id="r1", peer="192.0.2.0/24")
        assert (by.kind, by.id, by.grants) == (ActorKind.TOKEN, made.id, {DEV: Role.OPERATOR})

    def test_is_booked_without_its_secret(self) -> None:
        made = issue(operations=["standard"])
        [entry] = entries(Action.TOKEN_ISSUE)
        assert (entry.object_id, entry.environment) == (made.id, "development")
        assert entry.after == {
            "name": "ci",
            "kind": "machine",
            "role": "viewer",
            "tenant": "default",
            "operations": ["standard"],
            "emergency": False,
            "limits": {"at_once": 64, "per_second": 200, "tokens_per_minute": 1_000_000},
            "expires_at": (NOW + 90 * DAY).isoformat(),
        }

    @pytest.mark.parametrize(
        ("asked", "error"),
        [
            ({"operations": ["direct"]}, UnknownWord),
            ({"operations": []}, Invalid),
            ({"operations": ["emergency"], "emergency": True}, Invalid),
            ({"name": " "}, Invalid),
            ({"name": "x" * 101}, Invalid),
            ({"name": "two\nlines"}, Invalid),
            ({"tenant": "Not A Tenant"}, Invalid),
            ({"tenant": "a/b"}, Invalid),
            ({"expires_at": NOW}, Invalid),
            ({"expires_at": NOW - DAY}, Invalid),
            ({"expires_at": NOW + 365 * DAY + timedelta(seconds=1)}, Invalid),
            ({"expires_at": (NOW + DAY).replace(tzinfo=None)}, Invalid),
        ],
    )
    def test_not_for_what_makes_no_sense(
        self, asked: dict[str, Any], error: type[Exception]
    ) -> None:
        with pytest.raises(error):
            issue(**asked)
        assert not Token.objects.exists()


@pytest.mark.usefixtures("environments")
class TestEnd:
    def test_comes_by_itself(self) -> None:
        made = issue(expires_at=NOW + DAY)
        assert found(made.secret, DAY - timedelta(microseconds=1)) is not None
        assert found(made.secret, DAY) is None

    def test_comes_by_revocation(self) -> None:
        made, other = issue(), issue()
        revoke(made)
        assert found(made.secret) is None
        assert found(other.secret) is not None
        [entry] = entries(Action.TOKEN_REVOKE)
        assert (entry.object_id, entry.after) == (made.id, {"revoked": True})

    def test_comes_once(self) -> None:
        made = issue()
        revoke(made)
        before = entries()
        revoke(made)
        assert entries() == before

    def test_is_shown_on_the_page(self) -> None:
        made, other = issue(), issue()
        revoke(made)
        rows = {row.id: row for row in queries.tokens(DEV)}
        assert not rows[made.id].is_in_force(NOW)
        assert rows[other.id].is_in_force(NOW)
        assert not rows[other.id].is_in_force(NOW + 90 * DAY)
        assert queries.tokens(PROD) == ()


@pytest.mark.usefixtures("environments")
class TestWhoMay:
    @pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.OPERATOR])
    def test_only_admins_make_and_revoke_tokens_of_machines(self, role: Role) -> None:
        person("ada", development=role)
        made = issue()
        with pytest.raises(Forbidden):
            issue(as_person("ada"))
        with pytest.raises(Forbidden):
            revoke(made, as_person("ada"))
        assert found(made.secret) is not None

    def test_an_admin_only_where_admin(self) -> None:
        person("ada", development=Role.ADMIN, production=Role.OPERATOR)
        issue(as_person("ada"), role=Role.ADMIN)
        with pytest.raises(Forbidden):
            issue(as_person("ada"), environment=PROD)

    def test_a_token_elsewhere_is_not_even_known(self) -> None:
        person("ada", development=Role.ADMIN)
        made = issue(environment=PROD)
        with pytest.raises(NotFound):
            revoke(made, as_person("ada"))

    def test_a_token_makes_no_tokens(self) -> None:
        facts = found(issue(role=Role.ADMIN).secret)
        assert facts is not None
        with pytest.raises(RuleBroken):
            issue(facts.actor())
        with pytest.raises(Forbidden):
            issue(facts.actor(), kind=TokenKind.RUN)

    def test_nobody_who_lost_the_role_while_asking(self) -> None:
        made = person("ada", development=Role.ADMIN)
        ada = as_person("ada")
        people.grant(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV, role=Role.OPERATOR)
        with pytest.raises(Forbidden, match="just changed"):
            issue(ada, role=Role.ADMIN)
        assert not Token.objects.exists()

    @pytest.mark.parametrize(
        ("role", "left"), [(Role.OPERATOR, {"viewer", "operator"}), (None, set())]
    )
    def test_what_reaches_beyond_its_makers_new_role_is_revoked(
        self, role: Role | None, left: set[str]
    ) -> None:
        made = person("ada", development=Role.ADMIN, production=Role.ADMIN)
        ada = as_person("ada")
        for each in Role:
            issue(ada, role=each)
        elsewhere, others = issue(ada, environment=PROD, role=Role.ADMIN), issue(role=Role.ADMIN)
        if role is None:
            people.revoke(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV)
        else:
            people.grant(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV, role=role)
        mine = [row for row in queries.tokens(DEV) if row.created_by == made.pseudonym]
        assert {str(row.role) for row in mine if row.revoked_at is None} == left
        assert len(entries(Action.TOKEN_REVOKE)) == 4 - len(left)
        assert found(elsewhere.secret) is not None
        assert found(others.secret) is not None


@pytest.mark.usefixtures("environments")
class TestRunTokens:
    def run(self, by: Actor, **asked: Any) -> tokens.Issued:
        return issue(by, kind=TokenKind.RUN, emergency=True, **asked)

    def test_are_minted_by_our_own_loops_as_viewers(self) -> None:
        made = self.run(system_actor("engine"))
        assert made.expires_at == NOW + timedelta(hours=1)
        with pytest.raises(Forbidden, match="viewer"):
            self.run(system_actor("engine"), role=Role.OPERATOR)

    def test_a_loop_of_ours_makes_no_token_of_a_machine(self) -> None:
        with pytest.raises(Forbidden):
            issue(system_actor("engine"))

    def test_last_an_hour_at_most(self) -> None:
        with pytest.raises(Invalid, match="an hour"):
            self.run(SHELL, expires_at=NOW + timedelta(hours=1, seconds=1))

    def test_are_minted_for_operators_where_they_deploy(self) -> None:
        person("ada", development=Role.OPERATOR, production=Role.OPERATOR)
        self.run(as_person("ada"))
        with pytest.raises(Forbidden):
            self.run(as_person("ada"), environment=PROD)

    def test_are_revoked_by_who_minted_them_and_by_no_other_loop(self) -> None:
        made = self.run(system_actor("engine"))
        with pytest.raises(NotFound):
            revoke(made, system_actor("probes"))
        revoke(made, system_actor("engine"))
        assert found(made.secret) is None


@pytest.mark.usefixtures("environments")
class TestSnapshot:
    def test_before_it_is_loaded_knows_nobody(self) -> None:
        made = issue()
        assert (tokens.current().version, tokens.find(made.secret, NOW)) == (-1, None)

    def test_counts_a_version_with_every_change(self) -> None:
        versions = []
        tokens.load()
        for change in (issue, issue, lambda: revoke(issue())):
            versions.append(tokens.current().version)
            change()
            tokens.refresh_if_changed()
        assert [*versions, tokens.current().version] == [0, 1, 2, 4]

    def test_follows_a_revocation_that_another_process_made(self) -> None:
        made = issue()
        tokens.load()
        revoke(made)
        assert tokens.find(made.secret, NOW) is not None
        tokens.refresh_if_changed()
        assert tokens.find(made.secret, NOW) is None

    def test_asks_for_one_number_while_nothing_changed(
        self, django_assert_num_queries: Any
    ) -> None:
        tokens.load()
        with django_assert_num_queries(1):
            tokens.refresh_if_changed()

    def test_in_this_process_knows_a_change_as_soon_as_it_is_committed(self) -> None:
        with TestCase.captureOnCommitCallbacks(execute=True):
            made = issue()
        assert tokens.find(made.secret, NOW) is not None
        with TestCase.captureOnCommitCallbacks(execute=True):
            revoke(made)
        assert tokens.find(made.secret, NOW) is None

    def test_finding_touches_no_database(self, django_assert_num_queries: Any) -> None:
        made = issue()
        tokens.load()
        with django_assert_num_queries(0):
            assert tokens.find(made.secret, NOW) is not None


@pytest.mark.django_db(transaction=True)
def test_a_role_taken_while_its_holder_makes_a_token_leaves_no_token_in_force() -> None:
    """Either the maker is refused, or whoever takes the role finds the token and revokes it."""
    lay_environments()
    for number in range(5):
        made = person(f"ada-{number}", development=Role.ADMIN)
        ada, start = as_person(f"ada-{number}"), threading.Barrier(2)

        def take_role(made: people.Created = made, start: threading.Barrier = start) -> None:
            start.wait(10)
            people.revoke(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV)

        def make_token(ada: Actor = ada, start: threading.Barrier = start) -> None:
            start.wait(10)
            try:
                issue(ada)
            except Forbidden:
                return

        both(take_role, make_token)
    assert [row for row in queries.tokens(DEV) if row.revoked_at is None] == []


def both(*works: Any) -> None:
    failed: list[BaseException] = []

    def closing(work: Any) -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            connection.close()

    threads = [threading.Thread(target=closing, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
