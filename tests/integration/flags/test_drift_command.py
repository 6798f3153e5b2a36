"""`manage.py flag_drift`: what it shows, settles and refuses; `verify_audit` says the same."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from routing.core.flags import FlagName
from tests.integration.changes.ground import STG, apply, entries, is_on, lay, to
from tests.integration.flags.around import raw_update, uncounted

pytestmark = pytest.mark.django_db
CACHING = FlagName.CACHING
WHY = ("--environment", "staging", "--reason", "found at night")


def run(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    out = StringIO()
    try:
        call_command(*arguments, "--json", stdout=out, stderr=StringIO())
        status = 0
    except SystemExit as ended:
        status = int(str(ended.code))
    return status, [json.loads(line) for line in out.getvalue().splitlines()]


def test_shows_desired_beside_in_force_and_ends_with_0() -> None:
    lay()
    apply([to(CACHING, False)])
    status, told = run("flag_drift", "show")
    assert (status, [one["environment"] for one in told]) == (
        0,
        ["development", "staging", "production"],
    )
    flags = {one["flag"]: one for one in told[1]["flags"]}
    caching = flags["ai.caching.enabled"]
    assert (caching["desired"], caching["in_force"], caching["differs"]) == (100, 0, True)
    assert caching["entry"] == entries()[0].seq
    assert not any(one["differs"] for name, one in flags.items() if name != CACHING)
    assert told[1]["unexplained"] == 0


@pytest.mark.parametrize(("what", "on"), [("revert", True), ("adopt", False)])
def test_finds_and_settles_what_was_changed_around_us(what: str, on: bool) -> None:
    lay()
    raw_update(STG)
    status, (told,) = run("flag_drift", "show", "--environment", "staging")
    assert (status, told["ok"], told["unexplained"], told["applied"]) == (1, False, 1, False)
    (one,) = told["differences"]
    assert (one["flag"], one["booked"]["on"], one["found"]["on"]) == (CACHING, True, False)
    assert "manage.py flag_drift revert|adopt" in shown()
    status, (verified,) = run("verify_audit")
    assert (status, verified["ok"]) == (1, False)
    assert "ai.caching.enabled in staging is off" in verified["problem"]
    touches = ("--touches", str(told["touches"]))
    status, (stale,) = run("flag_drift", what, *WHY, "--touches", "1")
    assert (status, stale["error"]) == (1, "stale")
    status, (done,) = run("flag_drift", what, *WHY, *touches)
    assert (status, done["entry"]) == (0, entries()[0].seq)
    assert (entries()[0].action, entries()[0].actor_kind) == (f"flag.{what}", "shell")
    assert is_on(CACHING) is on
    assert run("flag_drift", "show")[0] == 0
    assert run("verify_audit")[0] == 0


def shown() -> str:
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("flag_drift", "show", "--environment", "staging", stdout=out)
    return out.getvalue()


def test_verifying_finds_a_flag_that_the_database_did_not_count() -> None:
    lay()
    with uncounted():
        raw_update(STG)
    status, (told,) = run("verify_audit")
    assert (status, told["ok"], told["first_bad"]) == (1, False, None)
    assert told["flags"] == [told["problem"]]
    assert told["unguarded"] == []


def test_without_an_environment_nothing_is_settled() -> None:
    lay()
    status, (told,) = run("flag_drift", "revert")
    assert (status, told["error"]) == (1, "invalid")
    status, (told,) = run("flag_drift", "revert", *WHY)
    assert (status, told["message"]) == (
        1,
        "Nothing to settle: the flags of staging are as booked.",
    )


def test_a_flag_is_set_for_groups_from_the_command_line() -> None:
    lay()
    asked = ("set_flag", *WHY, "--flag", "ENABLE_BEDROCK_SUPPORT_MODE", "--on")
    status, (told,) = run(*asked, "--group", "tenant:acme", "--group", "role:viewer")
    assert (status, told["percentage"], told["groups"]) == (0, 0, ["role:viewer", "tenant:acme"])
    listed = {one["flag"]: one for one in run("flags", "--environment", "staging")[1]}
    assert listed["ENABLE_BEDROCK_SUPPORT_MODE"]["groups"] == ["role:viewer", "tenant:acme"]
