"""Accounts and roles, on the real database."""

from __future__ import annotations

import pytest
from django.contrib.auth.hashers import check_password
from django.db import transaction
from django.test import TestCase

from routing import stream
from routing.access import people, queries
from routing.access.models import RoleGrant, User
from routing.core.errors import Forbidden, Invalid, NotFound, RuleBroken
from routing.core.rights import Actor, system_actor
from routing.core.values import Action, ActorKind, EnvironmentName, Outcome, Role
from routing.fleet.models import Environment
from tests.integration.access.conftest import (
    DEV,
    NOW,
    PROD,
    SHELL,
    STG,
    Browser,
    as_person,
    entries,
    person,
)

pytestmark = pytest.mark.usefixtures("environments")


def create(by: Actor, password: str | None = None, **roles: Role) -> people.Created:
    grants = {EnvironmentName(name): role for name, role in roles.items()}
    return people.create_user(
        reason="for a test", by=by, now=NOW, username="grace", grants=grants, password=password
    )


class TestNewAccount:
    def test_signs_in_with_the_password_that_is_shown_once(self) -> None:
        made = create(SHELL, development=Role.ADMIN)
        assert Browser().sign_in("grace", made.password).grants == {DEV: Role.ADMIN}
        assert made.password not in repr(made)

    def test_is_booked_with_each_role_and_without_name_or_password(self) -> None:
        made = create(SHELL, development=Role.ADMIN, production=Role.VIEWER)
        booked = [e for e in entries() if e.object_id == made.pseudonym]
        assert [(e.action, e.environment, e.after) for e in booked] == [
            ("user.create", "", {"active": True}),
            ("role.grant", "development", {"role": "admin"}),
            ("role.grant", "production", {"role": "viewer"}),
        ]
        assert {e.actor for e in booked} == {"shell:ada@ops1"}
        assert "grace" not in repr(entries())
        assert made.password not in repr(entries())

    def test_keeps_no_password_in_the_table(self) -> None:
        made = create(SHELL, development=Role.VIEWER)
        kept = User.objects.get().password
        assert made.password not in kept
        assert check_password(made.password, kept)

    def test_gets_a_new_password_each_time(self) -> None:
        assert len({people.generate_password() for _ in range(50)}) == 50

    @pytest.mark.parametrize(
        ("password", "words"),
        [
            ("short", "at least 12"),
            ("qwertyuiop[]", "too common"),
            ("x" * 129, "at most 128"),
            ("with\nnew-line-in-it", "printable"),
        ],
    )
    def test_with_a_weak_password_is_refused(self, password: str, words: str) -> None:
        with pytest.raises(Invalid, match=words):
            create(SHELL, password, development=Role.VIEWER)
        assert not User.objects.exists()

    def test_with_its_name_as_the_password_is_refused(self) -> None:
        with pytest.raises(Invalid, match="too similar"):
            people.create_user(
                by=SHELL,
                now=NOW,
                username="grace.hopper",
                grants={DEV: Role.VIEWER},
                password="grace.hopper1",
            )

    def test_with_a_password_of_any_script_and_spaces_is_fine(self) -> None:
        create(SHELL, "четыре слова подряд", development=Role.VIEWER)
        Browser().sign_in("grace", "четыре слова подряд")

    @pytest.mark.parametrize("name", ["", "ab", "Grace", "a b c", "../../etc", "x" * 65, "é" * 5])
    def test_with_an_unfit_name_is_refused(self, name: str) -> None:
        with pytest.raises(Invalid, match="3 to 64"):
            people.create_user(by=SHELL, now=NOW, username=name, grants={DEV: Role.VIEWER})

    def test_of_a_taken_name_is_refused_and_the_first_one_stays(self) -> None:
        made = create(SHELL, development=Role.VIEWER)
        with pytest.raises(Invalid, match="already"):
            create(SHELL, development=Role.ADMIN)
        assert Browser().sign_in("grace", made.password).grants == {DEV: Role.VIEWER}

    def test_without_a_role_is_refused(self) -> None:
        with pytest.raises(Invalid, match="at least one"):
            create(SHELL)

    def test_in_an_environment_that_is_not_laid_is_refused(self) -> None:
        Environment.objects.filter(pk="staging").delete()
        with pytest.raises(NotFound, match="staging"):
            create(SHELL, staging=Role.VIEWER)


class TestWhoMay:
    @pytest.mark.parametrize("role", [Role.VIEWER, Role.REVIEWER, Role.OPERATOR])
    def test_no_other_role_than_admin(self, role: Role) -> None:
        person("ada", development=role)
        with pytest.raises(Forbidden):
            create(as_person("ada"), development=Role.VIEWER)
        assert User.objects.count() == 1

    def test_an_admin_of_one_environment_only_there(self) -> None:
        person("ada", development=Role.ADMIN, production=Role.OPERATOR)
        ada = as_person("ada")
        with pytest.raises(Forbidden):
            create(ada, development=Role.VIEWER, production=Role.VIEWER)
        create(ada, development=Role.VIEWER)

    def test_an_admin_cannot_take_a_role_elsewhere(self) -> None:
        made = person("ada", development=Role.ADMIN)
        with pytest.raises(Forbidden):
            people.grant(
                reason="for a test",
                by=as_person("ada"),
                now=NOW,
                user_id=made.user_id,
                environment=PROD,
                role=Role.VIEWER,
            )

    def test_a_loop_of_ours_cannot(self) -> None:
        with pytest.raises(Forbidden):
            create(system_actor("engine"), development=Role.VIEWER)

    def test_a_token_cannot_even_of_an_admin(self) -> None:
        token = Actor(kind=ActorKind.TOKEN, id="tok_1", name="ci", grants={DEV: Role.ADMIN})
        with pytest.raises(RuleBroken):
            create(token, development=Role.VIEWER)

    def test_a_refusal_is_booked_with_its_actor(self) -> None:
        made = person("ada", development=Role.OPERATOR)
        with pytest.raises(Forbidden):
            people.revoke(by=as_person("ada"), now=NOW, user_id=made.user_id, environment=DEV)
        [entry] = [e for e in entries(Action.ROLE_REVOKE) if e.outcome == Outcome.REFUSED]
        assert (entry.actor, entry.object_id) == (made.pseudonym, made.pseudonym)


class TestRoles:
    def test_a_person_has_one_role_in_an_environment(self) -> None:
        made = create(SHELL, development=Role.ADMIN)
        people.grant(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV, role=Role.VIEWER)
        [row] = queries.people(DEV)
        assert (row.role, row.username, row.granted_by) == (
            Role.VIEWER,
            "grace",
            "shell:ada@ops1",
        )
        last = entries(Action.ROLE_GRANT)[-1]
        assert (last.before, last.after) == ({"role": "admin"}, {"role": "viewer"})

    def test_granting_what_is_held_changes_and_books_nothing(self) -> None:
        made = create(SHELL, development=Role.ADMIN)
        before = entries()
        people.grant(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV, role=Role.ADMIN)
        assert entries() == before

    def test_a_revoked_role_is_gone_and_booked(self) -> None:
        made = create(SHELL, development=Role.ADMIN, staging=Role.VIEWER)
        people.revoke(
            by=SHELL, now=NOW, user_id=made.user_id, environment=DEV, reason="left the team"
        )
        assert queries.people(DEV) == ()
        assert [row.username for row in queries.people(STG)] == ["grace"]
        [entry] = entries(Action.ROLE_REVOKE)
        assert (entry.before, entry.after, entry.reason) == (
            {"role": "admin"},
            None,
            "left the team",
        )

    def test_revoking_what_is_not_held_changes_and_books_nothing(self) -> None:
        made = create(SHELL, development=Role.ADMIN)
        before = entries()
        people.revoke(
            reason="for a test", by=SHELL, now=NOW, user_id=made.user_id, environment=PROD
        )
        assert entries() == before

    def test_of_nobody_are_not_found(self) -> None:
        with pytest.raises(NotFound):
            people.grant(by=SHELL, now=NOW, user_id=10**12, environment=DEV, role=Role.VIEWER)

    def test_the_folded_entries_are_the_table(self) -> None:
        made = create(SHELL, development=Role.ADMIN, staging=Role.VIEWER, production=Role.VIEWER)
        for environment, role in ((DEV, Role.OPERATOR), (PROD, Role.REVIEWER)):
            people.grant(
                reason="for a test",
                by=SHELL,
                now=NOW,
                user_id=made.user_id,
                environment=environment,
                role=role,
            )
        people.revoke(
            reason="for a test", by=SHELL, now=NOW, user_id=made.user_id, environment=STG
        )
        folded = {}
        for entry in entries():
            if entry.action in (Action.ROLE_GRANT, Action.ROLE_REVOKE):
                folded[entry.object_id, entry.environment] = entry.after
        rows = RoleGrant.objects.values_list("user__pseudonym", "environment_id", "role")
        assert {k: v for k, v in folded.items() if v} == {
            (who, where): {"role": role} for who, where, role in rows
        }


def test_pseudonyms_are_told_by_name_to_pages() -> None:
    made = create(SHELL, development=Role.ADMIN)
    assert queries.names([made.pseudonym, "shell:ada@ops1"]) == {made.pseudonym: "grace"}


def test_a_change_that_is_rolled_back_leaves_no_entry() -> None:
    made = create(SHELL, development=Role.ADMIN)
    before = entries()
    with transaction.atomic():
        people.revoke(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV)
        transaction.set_rollback(True)
    assert entries() == before
    assert len(queries.people(DEV)) == 1


def test_open_sockets_are_told_of_a_change_of_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    made = create(SHELL, development=Role.ADMIN)
    told: list[dict[str, str | None]] = []
    monkeypatch.setattr(stream, "_send", told.append)
    with TestCase.captureOnCommitCallbacks(execute=True):
        people.revoke(by=SHELL, now=NOW, user_id=made.user_id, environment=DEV)
    assert [(event["topic"], event["environment"]) for event in told] == [
        ("people", "development")
    ]
