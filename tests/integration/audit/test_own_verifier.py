"""The program that docs/verify.md gives to reviewers, taken from there and run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection

from routing.audit import guards, ledger
from routing.decisions.shipper import Shipper
from tests.integration.audit.pen import book_many, sql
from tests.integration.decisions.ground import LIVE, Writer

pytestmark = pytest.mark.django_db(transaction=True)
PAGE = (Path(__file__).resolve().parents[3] / "docs" / "verify.md").read_text()
Verify = Callable[..., tuple[int, str]]


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def verify(tmp_path: Path) -> Verify:
    """A function that runs the program on the test's database as it is committed now."""
    program = tmp_path / "verify_trail.py"
    program.write_text(block("python"))

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-I", str(program), str(_trail(tmp_path)), *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def _trail(folder: Path) -> Path:
    if connection.vendor == "sqlite":
        return Path(str(connection.settings_dict["NAME"]))
    file = folder / "trail.tsv"
    lines = ("\t".join(map(str, row)) for row in sql(block("sql")))
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


@pytest.fixture
def head(tmp_path: Path) -> str:
    """A trail of twelve entries and seven decisions; returns its head as a reviewer keeps it."""
    book_many(12)
    writer = Writer(tmp_path, LIVE)
    writer.write(5)
    writer.end()
    assert Shipper(tmp_path, live="", synced=lambda: 0).ship() == 7
    writer.segment.close()
    newest = ledger.head()
    assert newest
    return f"{newest.seq}:{newest.hash}"


def past_the_guards(statement: str) -> None:
    guards.lift(connection)
    try:
        sql(statement)
    finally:
        guards.install(connection)


def test_is_short_enough_to_be_read() -> None:
    assert len(block("python").splitlines()) <= 60


def test_a_good_trail_with_the_head_that_was_kept(verify: Verify, head: str) -> None:
    status, said = verify(head)
    assert status == 0, said
    assert "control, 12 entries" in said
    assert f"{LIVE}, 7 entries" in said


def test_without_a_kept_head_it_does_not_promise_the_end(verify: Verify, head: str) -> None:
    assert verify()[0] == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE routing_entry SET hash = (SELECT log_id FROM routing_stream) WHERE seq = 5",
        "DELETE FROM routing_entry WHERE seq = 5 AND stream = 'control'",
        "UPDATE routing_entry SET seq = 99 WHERE seq = 12 AND stream = 'control'",
        f"UPDATE routing_decision SET body = prev WHERE seq = 5 AND stream = '{LIVE}'",
        f"DELETE FROM routing_decision WHERE seq = 5 AND stream = '{LIVE}'",
    ],
)
def test_what_was_altered_or_removed_is_found(verify: Verify, head: str, statement: str) -> None:
    past_the_guards(statement)
    status, said = verify(head)
    assert (status, "TAMPERED" in said) == (1, True), said


def test_an_altered_text_is_found(verify: Verify, head: str) -> None:
    body = sql("SELECT body FROM routing_entry WHERE seq = 5 AND stream = 'control'")[0][0]
    other = bytes(body).replace(b"u-olivia", b"u-oliver").hex()
    text = f"x'{other}'" if connection.vendor == "sqlite" else f"'\\x{other}'"
    past_the_guards(f"UPDATE routing_entry SET body = {text} WHERE seq = 5")
    status, said = verify()
    assert (status, "TAMPERED: control" in said) == (1, True), said


def test_a_missing_end_is_found_by_the_head_alone(verify: Verify, head: str) -> None:
    past_the_guards("DELETE FROM routing_entry WHERE seq > 10 AND stream = 'control'")
    assert verify()[0] == 3
    status, said = verify(head)
    assert (status, "INCOMPLETE" in said) == (1, True), said


def test_an_empty_trail_is_no_good_one(verify: Verify) -> None:
    assert verify()[0] == 1
