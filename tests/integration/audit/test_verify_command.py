"""`manage.py verify_audit` answers in JSON or words, and exits 0 only when all is well."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from routing.audit import guards
from routing.decisions.shipper import Shipper
from tests.integration.audit.pen import book_many, sql
from tests.integration.decisions.ground import LIVE, Writer

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("verify_audit", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as stop:
        return int(str(stop.code)), out.getvalue()
    return 0, out.getvalue()


def answer() -> tuple[int, dict[str, Any]]:
    code, text = run("--json")
    said: dict[str, Any] = json.loads(text)
    return code, said


def test_a_good_trail_exits_0() -> None:
    book_many(5)
    code, said = answer()
    assert code == 0
    assert (said["ok"], said["entries"], said["first_bad"], said["problem"]) == (True, 5, None, "")
    assert said["head"]["seq"] == 5
    assert said["unguarded"] == []
    assert said["head"]["hash"] in run()[1]


def test_an_altered_trail_exits_1_and_names_the_entry() -> None:
    book_many(5)
    guards.lift(connection)
    sql("UPDATE routing_entry SET actor = 'u-adam' WHERE seq = 4")
    guards.install(connection)
    code, said = answer()
    assert (code, said["ok"], said["first_bad"], said["entries"]) == (1, False, 4, 3)
    assert "Entry 4 is shown wrongly" in run()[1]


def test_an_altered_decision_exits_1_and_names_the_record(tmp_path: Path) -> None:
    book_many(5)
    Writer(tmp_path, LIVE).write(3)
    Shipper(tmp_path, live=LIVE, synced=lambda: 4).ship()
    assert answer()[0] == 0
    guards.lift(connection)
    sql("UPDATE routing_decision SET reason = 'rule' WHERE seq = 3")
    guards.install(connection)
    code, said = answer()
    assert (code, said["ok"], said["first_bad"]) == (1, False, None)
    assert (said["decisions"]["bad_stream"], said["decisions"]["first_bad"]) == (LIVE, 3)
    assert "2 decision records before it are good" in run()[1]


def test_missing_guards_exit_1_even_if_every_entry_is_good() -> None:
    book_many(5)
    guards.lift(connection)
    code, said = answer()
    assert (code, said["ok"], said["entries"]) == (1, False, 5)
    assert said["unguarded"] == [g.name for g in guards.guards_of(connection)]
    assert "lacks the guards" in said["problem"]


def test_an_altered_trail_without_guards_is_told_both_in_words() -> None:
    book_many(5)
    guards.lift(connection)
    sql("UPDATE routing_entry SET actor = 'u-adam' WHERE seq = 4")
    code, said = answer()
    words = run()[1]
    assert (code, said["first_bad"], said["head"]["seq"]) == (1, 4, 3)
    assert "Entry 4 is shown wrongly" in words and "3 entries before it are good." in words
    assert f"also lacks the guards {', '.join(said['unguarded'])}" in words
    assert "as they were written" not in words


def test_an_empty_trail_exits_1() -> None:
    code, said = answer()
    assert (code, said["ok"], said["head"]) == (1, False, None)
    assert "nothing to verify" in said["problem"]
