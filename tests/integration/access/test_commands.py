"""`create_user` and `create_token`, as the shell meets them."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command, execute_from_command_line
from django.core.management.base import CommandError

from routing.access import tokens
from routing.access.models import Token, User
from routing.core.allowance import Limits
from routing.core.values import Action, Operation, Role
from tests.integration.access.conftest import DEV, NOW, PROD, STG, Browser, entries

pytestmark = pytest.mark.usefixtures("environments")


def run(*arguments: str) -> tuple[dict[str, Any], str]:
    """Return what `--json` printed and what was said beside it."""
    out, said = StringIO(), StringIO()
    call_command(*arguments, "--json", stdout=out, stderr=said)
    [line] = out.getvalue().splitlines()
    return json.loads(line), said.getvalue()


def refused(*arguments: str) -> dict[str, Any]:
    """Return the refusal that `--json` printed; the exit status must be 1."""
    out = StringIO()
    with pytest.raises(SystemExit) as end:
        call_command(*arguments, "--json", stdout=out, stderr=StringIO())
    assert end.value.code == 1
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


WHY = ("--reason", "for a test")
STAGING = ("--environment", "staging", *WHY)


class TestCreateUser:
    def test_prints_a_password_that_signs_in(self) -> None:
        made, said = run(
            "create_user", "--username", "ada", "--role", "admin", "--environment", "development"
        )
        assert Browser().sign_in("ada", made["password"]).grants == {DEV: Role.ADMIN}
        assert made["password"] not in said
        assert "once" in said

    def test_takes_pairs_of_role_and_environment(self) -> None:
        made, _ = run(
            *("create_user", "--username", "ada"),
            *("--role", "admin", "--environment", "development"),
            *("--role", "viewer", "--environment", "production", *WHY),
        )
        by = Browser().sign_in("ada", made["password"])
        assert by.grants == {DEV: Role.ADMIN, PROD: Role.VIEWER}
        assert made["grants"] == {"development": "admin", "production": "viewer"}

    def test_takes_all_environments(self) -> None:
        made, _ = run(
            *("create_user", "--username", "ada"),
            *("--role", "operator", "--environment", "all", *WHY),
        )
        by = Browser().sign_in("ada", made["password"])
        assert by.grants == dict.fromkeys((DEV, STG, PROD), Role.OPERATOR)

    def test_is_booked_as_the_shell(self) -> None:
        run("create_user", "--username", "ada", "--role", "viewer", *STAGING)
        [entry] = entries(Action.USER_CREATE)
        assert entry.actor_kind == "shell"

    @pytest.mark.parametrize(
        "pairs",
        [
            ["--role", "admin", "--role", "viewer", "--environment", "development"],
            [
                "--role",
                "admin",
                "--environment",
                "all",
                "--role",
                "viewer",
                "--environment",
                "staging",
            ],
            ["--role", "root", "--environment", "development"],
            ["--role", "admin", "--environment", "test"],
            ["--role", "admin"],
        ],
    )
    def test_is_misused_with_anything_else(self, pairs: list[str]) -> None:
        with pytest.raises(CommandError):
            call_command("create_user", "--username", "ada", *pairs, stderr=StringIO())
        assert not User.objects.exists()

    @pytest.mark.parametrize(
        "pairs",
        [
            ["--role", "root", "--environment", "staging"],
            ["--role", "admin", "--role", "viewer", "--environment", "staging"],
        ],
    )
    def test_ends_with_status_two_when_it_is_misused(self, pairs: list[str]) -> None:
        with pytest.raises(SystemExit) as end:
            execute_from_command_line(["manage.py", "create_user", "--username", "ada", *pairs])
        assert end.value.code == 2

    def test_says_why_a_name_will_not_do(self) -> None:
        answer = refused("create_user", "--username", "A", "--role", "viewer", *STAGING)
        assert answer["error"] == "invalid" and "field" not in answer


class TestCreateToken:
    def test_prints_a_secret_that_is_let_in(self) -> None:
        made, said = run(
            *("create_token", "--environment", "development", "--role", "viewer"),
            *("--operations", "standard, infrastructure", "--days", "1"),
        )
        tokens.load()
        [row] = Token.objects.all()
        facts = tokens.find(made["secret"], row.created_at)
        assert facts is not None
        assert facts.operations == {Operation.STANDARD, Operation.INFRASTRUCTURE}
        assert not facts.may(Operation.EMERGENCY)
        assert tokens.find(made["secret"], row.expires_at) is None
        assert (row.expires_at - row.created_at).days == 1
        assert made["secret"] not in said

    def test_allows_emergencies_when_asked(self) -> None:
        asked = ("--environment", "production", "--role", "viewer", "--emergency")
        assert refused("create_token", *asked)["field"] == "reason"
        run("create_token", *asked, *WHY)
        [row] = Token.objects.all()
        assert row.emergency
        assert row.expires_at > NOW

    def test_gives_the_limits_that_were_asked_for(self) -> None:
        made, _ = run(
            *("create_token", "--environment", "development", "--role", "viewer"),
            *("--at-once", "500", "--per-second", "3000", "--tokens-per-minute", "50000"),
        )
        tokens.load()
        facts = tokens.find(made["secret"], Token.objects.get().created_at)
        assert facts is not None
        assert facts.limits == Limits(at_once=500, per_second=3000, tokens_per_minute=50_000)

    def test_refuses_a_limit_that_lets_nothing_through(self) -> None:
        answer = refused(
            *("create_token", "--environment", "development", "--role", "viewer"),
            *("--at-once", "0"),
        )
        assert "at_once" in answer["message"]

    @pytest.mark.parametrize(
        "arguments",
        [
            ["--operations", "standard,direct"],
            ["--days", "0"],
            ["--days", "366"],
            ["--role", "root"],
        ],
    )
    def test_is_misused_with_words_that_are_not_known(self, arguments: list[str]) -> None:
        with pytest.raises(CommandError):
            call_command(
                *("create_token", "--environment", "development", "--role", "viewer"),
                *arguments,
                stderr=StringIO(),
            )
        assert not Token.objects.exists()

    def test_lists_the_known_operations(self) -> None:
        with pytest.raises(CommandError, match="background_tasks"):
            call_command(
                *("create_token", "--environment", "development", "--role", "viewer"),
                *("--operations", "direct"),
            )

    def test_says_that_emergency_is_a_scope(self) -> None:
        answer = refused(
            *("create_token", "--environment", "development", "--role", "viewer"),
            *("--operations", "emergency"),
        )
        assert "scope of its own" in answer["message"]


class TestPeople:
    def test_are_listed_granted_reset_closed_and_reopened(self) -> None:
        run("create_user", "--username", "ada", "--role", "viewer", *STAGING)
        told, _ = run("people", "list", "--environment", "staging")
        assert (told["username"], told["roles"]) == ("ada", {"staging": "viewer"})
        granted, _ = run(
            *("people", "grant", "ada", "--environment", "production", "--role", "reviewer"), *WHY
        )
        assert granted["roles"] == {"staging": "viewer", "production": "reviewer"}
        revoked, _ = run("people", "revoke", "ada", *STAGING)
        assert revoked["roles"] == {"production": "reviewer"}
        reset, said = run("people", "reset", "ada", "--reason", "lost it")
        assert reset["one_time_password"] and reset["password"] not in said
        assert Browser().sign_in("ada", reset["password"]).grants == {PROD: Role.REVIEWER}
        assert refused("people", "close", "ada")["field"] == "reason"
        assert run("people", "close", "ada", *WHY)[0]["active"] is False
        assert run("people", "reopen", "ada", *WHY)[0]["active"] is True

    def test_who_is_not_there_is_not_found(self) -> None:
        assert refused("people", "reset", "nobody")["error"] == "not_found"

    @pytest.mark.parametrize("said", [["list"], ["grant", "ada"], ["reset"], ["sack", "ada"]])
    def test_are_misused_with_less(self, said: list[str]) -> None:
        with pytest.raises(CommandError):
            call_command("people", *said, stderr=StringIO())


def test_a_token_is_revoked_by_its_id() -> None:
    made, _ = run("create_token", "--environment", "development", "--role", "viewer")
    for _ in range(2):
        told, _ = run("revoke_token", made["id"], "--reason", "leaked")
        assert told == {"id": made["id"], "revoked": True}
    tokens.load()
    assert tokens.current().by_digest == {}
    assert len(entries(Action.TOKEN_REVOKE)) == 1
    assert refused("revoke_token", "tok_nobody")["error"] == "not_found"
