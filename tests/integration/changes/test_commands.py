"""The commands over flags: the same refusals as every other door, honest exit codes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from routing import wiring
from routing.changes import proposal
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, Role
from tests.integration.changes import pairs
from tests.integration.changes.ground import DEV, PROD, STG, entries, is_on, lay, version

pytestmark = pytest.mark.django_db(transaction=True)
CACHING, BEDROCK = FlagName.CACHING, FlagName.BEDROCK_PROVIDER


def run(capsys: Any, *args: str) -> tuple[int, list[dict[str, Any]], str]:
    """Return exit status, JSON lines and what was said to the person."""
    capsys.readouterr()
    status = 0
    try:
        call_command(args[0], *args[1:], "--json")
    except SystemExit as ended:
        status = int(ended.code or 0)
    told = capsys.readouterr()
    return status, [json.loads(line) for line in told.out.splitlines()], told.err


def test_a_flag_is_set_and_the_change_is_told(capsys: Any) -> None:
    lay()
    status, lines, _ = run(
        capsys, "set_flag", "--environment", "staging", "--flag", str(CACHING), "--off",
        "--reason", "cache is wrong",
    )  # fmt: skip
    assert status == 0 and len(lines) == 1
    told = lines[0].pop("propagation")
    assert (told["version"], told["processes"], told["complete"]) == (2, 0, False)
    assert lines[0] == {
        "environment": "staging",
        "flag": "ai.caching.enabled",
        "on": False,
        "percentage": 100,
        "groups": [],
        "was_on": True,
        "was_percentage": 100,
        "version": 2,
        "flags_version": 2,
        "ends_at": None,
        "entry": entries()[0].seq,
    }
    assert entries()[0].actor.startswith("shell:")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["--environment", "staging", "--flag", str(CACHING), "--off"], "invalid"),
        (["--environment", "development", "--flag", str(CACHING), "--on"], "invalid"),
        (["--environment", "development", "--flag", "ENABLE_ALL", "--on"], "unknown_word"),
        (["--environment", "development", "--flag", str(BEDROCK), "--off"], "needs_confirm"),
        (
            [
                "--environment",
                "development",
                "--flag",
                str(CACHING),
                "--off",
                "--base-version",
                "9",
            ],
            "stale",
        ),
        (
            ["--environment", "production", "--flag", str(CACHING), "--off", "--reason", "reason"],
            "invalid",
        ),
    ],
    ids=["no-reason", "no-op", "unknown", "unconfirmed", "stale", "untyped"],
)
def test_a_refusal_is_exit_1_with_its_code(capsys: Any, args: list[str], code: str) -> None:
    lay()
    status, lines, said = run(capsys, "set_flag", *args)
    assert status == 1
    assert lines[0]["error"] == code
    assert lines[0]["message"] in said
    assert is_on(CACHING, DEV) and is_on(BEDROCK, DEV) and is_on(CACHING, PROD)


@pytest.mark.parametrize(
    "args",
    [
        ["--environment", "test", "--flag", str(CACHING), "--on"],
        ["--environment", "staging", "--flag", str(CACHING)],
        ["--environment", "staging", "--flag", str(CACHING), "--on", "--off"],
    ],
    ids=["environment", "neither", "both"],
)
def test_misuse_is_told_before_anything_else(args: list[str]) -> None:
    lay()
    with pytest.raises(CommandError):
        call_command("set_flag", *args)


def test_what_stops_is_listed_and_goes_on_with_confirm(capsys: Any) -> None:
    lay()
    args = ["set_flag", "--environment", "production", "--flag", str(BEDROCK), "--off",
            "--reason", "key leaked", "--typed-environment", "production",
            "--cause", "security"]  # fmt: skip
    status, lines, said = run(capsys, *args)
    assert status == 1 and "emergency loses its only path" in said
    assert lines[0]["effects"]
    status, lines, _ = run(capsys, *args, "--confirm")
    assert status == 0 and not is_on(BEDROCK, PROD)


def test_a_share_can_be_set(capsys: Any) -> None:
    lay()
    args = ["--environment", "development", "--flag", str(CACHING), "--on"]
    assert run(capsys, "set_flag", *args, "--percentage", "25")[1][0]["percentage"] == 25
    assert run(capsys, "set_flag", *args, "--percentage", "101")[0] == 1
    assert version(CACHING, DEV) == 2


def test_flags_lists_every_flag_everywhere(capsys: Any) -> None:
    lay()
    status, lines, _ = run(capsys, "flags")
    assert status == 0
    assert {(line["flag"], line["environment"]) for line in lines} == {
        (str(flag), str(e)) for flag in FlagName for e in EnvironmentName
    }
    _, lines, _ = run(capsys, "flags", "--environment", "production")
    assert {line["environment"] for line in lines} == {"production"}
    assert all(line["on"] is line["default"] for line in lines)


def test_flags_words_one_line_a_flag_for_people(capsys: Any) -> None:
    lay()
    call_command("flags", "--environment", "development")
    out = capsys.readouterr().out
    assert len(out.splitlines()) == len(FlagName)


def test_flags_of_an_empty_database_say_what_to_do(capsys: Any) -> None:
    status, lines, said = run(capsys, "flags")
    assert (status, lines) == (0, [])
    assert "manage.py serve" in said


def test_waffles_command_goes_the_same_way(capsys: Any) -> None:
    lay()
    args = ["waffle_flag", str(CACHING), "--deactivate", "--environment", "staging"]
    status, lines, _ = run(capsys, *args)
    assert (status, lines[0]["error"]) == (1, "invalid")  # no reason
    status, lines, _ = run(capsys, *args, "--reason", "as we used to")
    assert status == 0 and not is_on(CACHING, STG)
    assert entries()[0].reason == "as we used to"
    status, lines, _ = run(capsys, "waffle_flag", "--list")
    assert {line["flag"] for line in lines} == set(FlagName)


def test_a_shell_proposes_and_applies_and_never_approves(capsys: Any) -> None:
    lay()
    ben = pairs.somebody("ben", Role.REVIEWER)
    where = ("--environment", "production")
    status, _, said = run(
        capsys, "set_flag", *where, "--flag", str(BEDROCK), "--on", "--percentage", "50",
        "--reason", "try it", "--typed-environment", "production", "--confirm",
    )  # fmt: skip
    assert status == 1 and "approval_required" in said
    status, [made], _ = run(
        capsys, "propose", *where, "--set", f"{BEDROCK}=50", "--reason", "try it on half of them"
    )
    assert (status, made["state"]) == (0, "proposed")
    assert made["sets"] == [
        {
            "flag": str(BEDROCK),
            "on": True,
            "percentage": 50,
            "groups": [],
            "base_version": 1,
        }
    ]
    number = str(made["number"])
    status, [refused], _ = run(capsys, "proposal", "approve", number, *where)
    assert (status, refused["rule"]) == (1, "approval_by_a_person")
    proposal.approve(
        by=ben.actor,
        now=wiring.now(),
        environment=PROD,
        number=made["number"],
        digest=made["digest"],
    )
    typed = ("--typed-environment", "production", "--confirm")
    status, [done], _ = run(capsys, "proposal", "apply", number, *where, *typed)
    assert (status, done["state"], done["approved_by"]) == (0, "applied", ben.actor.id)
    assert done["entry"] == entries()[0].seq
    assert version(BEDROCK, PROD) == 2
    status, lines, _ = run(capsys, "proposal", "list", *where)
    assert [line["state"] for line in lines] == ["applied"]


def test_a_shell_proposes_for_a_time_and_for_a_while(capsys: Any) -> None:
    lay()
    ben = pairs.somebody("ben", Role.REVIEWER)
    where = ("--environment", "production")
    at = wiring.now().replace(second=0, microsecond=0) + timedelta(hours=2)
    status, [made], _ = run(
        capsys, "propose", *where, "--set", f"{BEDROCK}=50", "--reason", "try it tonight",
        "--at", f"{at:%Y-%m-%dT%H:%M}", "--ends-after", "30",
    )  # fmt: skip
    assert (status, made["due_at"], made["lasts_s"]) == (0, at.isoformat(), 1800)
    number = made["number"]
    said = {"environment": PROD, "number": number, "digest": made["digest"]}
    proposal.approve(by=ben.actor, now=wiring.now(), **said)
    typed = ("--typed-environment", "production", "--confirm")
    status, [done], _ = run(capsys, "proposal", "apply", str(number), *where, *typed)
    assert (status, done["state"], version(BEDROCK, PROD)) == (0, "applied", 1)
    _, [planned], _ = run(capsys, "schedule", "list", *where)
    assert (planned["due_at"], planned["lasts_s"]) == (at.isoformat(), 1800)


def test_the_shell_needs_more_at_once_and_proposes_less(capsys: Any) -> None:
    lay()
    where = ("--environment", "staging")
    why = ("--reason", "a trial runs here")
    _, [set_], _ = run(capsys, "approval_policy", *where, "--need", str(CACHING), *why)
    assert (set_["version"], set_["flags"]) == (1, [str(CACHING)])
    _, [shown], _ = run(capsys, "approval_policy", *where)
    assert (shown["version"], shown["entry"]) == (1, None)
    _, [made], _ = run(capsys, "propose", *where, "--policy", "-", *why)
    assert (made["state"], made["policy"], made["sets"]) == ("proposed", [], [])
    status, [told], _ = run(capsys, "proposal", "reject", str(made["number"]), *where, *why)
    assert (status, told["state"]) == (0, "rejected")
    with pytest.raises(CommandError):
        call_command("propose", *where, "--set", "ENABLE_ALL=on", *why)
