"""What could not be booked at once is booked afterwards, once."""

from __future__ import annotations

from pathlib import Path as Folder

import pytest

from routing.audit import ledger, verify
from routing.changes import kill as killed
from routing.changes.later import Event, Notebook
from routing.core.decision import Kill
from routing.core.killing import Said, read
from routing.core.rights import system_actor
from routing.core.values import Action, EnvironmentName, Outcome
from routing.flags.kill import Turn
from tests.integration.changes.ground import NOW, entries, lay

pytestmark = pytest.mark.django_db(transaction=True)
PROD = EnvironmentName.PRODUCTION
BY = system_actor("standby")


def turn(before: Said | None, after: Said | None) -> Event:
    return killed.event(
        Turn(environment=PROD, at=NOW, before=before, after=after), process="here:1"
    )


def test_a_kill_file_is_booked_when_it_is_seen_and_when_it_goes(tmp_path: Folder) -> None:
    lay()
    book = Notebook(tmp_path / "run" / "unbooked.jsonl")
    book.note(turn(None, Said(kill=Kill.MCP_ONLY)))
    book.note(turn(Said(kill=Kill.MCP_ONLY), read("stpo")))
    book.note(turn(read("stpo"), None))
    assert book.waiting() == 3
    assert book.book(BY, NOW) == 3
    assert (book.waiting(), book.book(BY, NOW)) == (0, 0)
    gone, wrong, seen = entries()[:3]
    assert [(e.action, e.outcome, e.before, e.after) for e in (seen, wrong, gone)] == [
        (Action.KILL_SEEN, Outcome.DONE, None, "mcp_only"),
        (Action.KILL_SEEN, Outcome.FAILED, "mcp_only", "stop"),
        (Action.KILL_GONE, Outcome.DONE, "stop", None),
    ]
    assert isinstance(wrong.facts, dict) and "'stpo'" in str(wrong.facts["problem"])
    assert seen.environment == "production" and seen.actor == "system:standby"
    assert verify.verify().ok


def test_a_note_outlives_the_process_that_made_it(tmp_path: Folder) -> None:
    lay()
    file = tmp_path / "unbooked.jsonl"
    Notebook(file).note(turn(None, Said(kill=Kill.STOP)))
    assert Notebook(file).book(BY, NOW) == 1
    assert entries()[0].action == Action.KILL_SEEN


def test_who_died_between_booking_and_crossing_out_does_not_book_it_twice(
    tmp_path: Folder,
) -> None:
    lay()
    file = tmp_path / "unbooked.jsonl"
    book = Notebook(file)
    book.note(turn(None, Said(kill=Kill.STOP)))
    line = file.read_text()
    book.book(BY, NOW)
    file.write_text(line)
    before = ledger.head()
    assert book.book(BY, NOW) == 1
    assert ledger.head() == before
    assert book.waiting() == 0


def test_a_line_that_was_cut_off_holds_the_others_up_no_longer(tmp_path: Folder) -> None:
    lay()
    file = tmp_path / "unbooked.jsonl"
    book = Notebook(file)
    book.note(turn(None, Said(kill=Kill.STOP)))
    file.write_text('{"id": "ab", "act\n' + file.read_text())
    assert book.book(BY, NOW) == 2
    assert entries()[0].action == Action.KILL_SEEN
    assert book.waiting() == 0
