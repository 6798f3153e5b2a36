"""Many writers, one chain: gapless, unforked, in the order of the commits."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections, transaction

from routing.audit import ledger
from routing.audit.models import Entry
from routing.audit.verify import verify
from routing.core.errors import AuditBroken, Broken, Unavailable
from tests.integration.audit.pen import MINIMAL, book, second_opinion, sql

pytestmark = pytest.mark.django_db(transaction=True)
DEADLINE_S = 60

WRITER = """
import sys
import django
from django.conf import settings
import hybridops.settings as shipped

settings.configure(**{k: getattr(shipped, k) for k in dir(shipped) if k.isupper()})
settings.DATABASES["default"]["NAME"] = sys.argv[1]
django.setup()
from tests.integration.audit.pen import book

for number in range(int(sys.argv[3])):
    book(object_id=f"{sys.argv[2]}-{number}")
"""


def in_threads(count: int, work: Any) -> list[Any]:
    """Run `work(number)` in `count` threads at once, each with its own connection."""
    start = threading.Barrier(count)

    def one(number: int) -> Any:
        start.wait(DEADLINE_S)
        try:
            return work(number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count), timeout=DEADLINE_S))


def in_order_of(writer: str) -> list[str]:
    found = Entry.objects.filter(object_id__startswith=f"{writer}-").order_by("seq")
    return list(found.values_list("object_id", flat=True))


def test_threads_append_without_gap_or_fork() -> None:
    def write(writer: int) -> list[int]:
        return [book(object_id=f"{writer}-{n}").seq for n in range(25)]

    numbers = in_threads(4, write)

    assert sorted(chain.from_iterable(numbers)) == list(range(2, 102))
    assert verify().ok
    assert second_opinion() == (101, None)
    for writer in range(4):
        assert in_order_of(str(writer)) == [f"{writer}-{n}" for n in range(25)]


def test_processes_append_without_gap_or_fork() -> None:
    """Two processes beside this one, the log still empty: they race for its opening too."""
    name = str(connection.settings_dict["NAME"])
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, f"p{n}", "20"]) for n in range(2)
    ]
    assert [writer.wait(DEADLINE_S) for writer in writers] == [0, 0]

    assert ledger.head() is not None
    assert verify().entries == 41
    assert verify().ok
    assert second_opinion() == (41, None)


def test_threads_that_race_to_open_the_log_open_it_once() -> None:
    in_threads(4, lambda number: book(object_id=str(number)))

    assert Entry.objects.filter(action="stream.open").count() == 1
    assert verify().entries == 5


def forged(seq: int, prev: bytes) -> None:
    """Insert an entry that claims to follow `prev`."""
    row = Entry.objects.get(seq=2)
    Entry.objects.create(
        stream="control",
        seq=seq,
        body=row.body,
        prev=prev,
        hash=hashlib.sha256(prev + bytes([seq])).digest(),
        at=row.at,
    )


def test_two_entries_cannot_follow_the_same_one() -> None:
    from routing.audit import guards

    book()
    book()
    guards.lift(connection)  # the unique key holds by itself
    second = bytes(Entry.objects.get(seq=2).hash)
    with pytest.raises(Exception, match=r"(?i)unique"), transaction.atomic():
        forged(4, second)
    guards.install(connection)
    assert verify().ok


def test_a_head_that_moved_unseen_undoes_the_change(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a lock ever fail, the database's own keys are the last guard."""
    book()
    stale = ledger.head()
    book()
    monkeypatch.setattr(ledger, "_take_head", lambda: stale)

    with pytest.raises(AuditBroken, match="refused entry 3"), transaction.atomic():
        Group.objects.create(name="half done")
        ledger.record(**MINIMAL)

    monkeypatch.undo()
    assert not Group.objects.exists()
    assert verify().entries == 3


@pytest.mark.only_on("postgresql")
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_isolation_under_which_the_chain_would_fork_is_refused(level: str) -> None:
    book()
    with pytest.raises(Broken, match="would fork"), transaction.atomic():
        sql(f"SET TRANSACTION ISOLATION LEVEL {level}")
        ledger.record(**MINIMAL)
    assert verify().entries == 2


@pytest.mark.only_on("postgresql")
def test_without_that_refusal_a_stale_snapshot_meets_the_unique_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The negative control: a snapshot older than the lock does read an old head."""
    book()
    monkeypatch.setattr(ledger, "_lock", lambda: None)
    with pytest.raises(AuditBroken), transaction.atomic():
        sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        sql("SELECT 1")
        in_threads(1, lambda _: book())
        ledger.record(**MINIMAL)
    assert verify().entries == 3


@pytest.mark.only_on("postgresql")
def test_a_head_that_stays_locked_is_given_up_and_the_change_undone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book()
    monkeypatch.setattr(ledger, "LOCK_WAIT_MS", 50)

    def try_meanwhile(_: int) -> None:
        with pytest.raises(Unavailable, match="nothing was changed"), transaction.atomic():
            Group.objects.create(name="half done")
            ledger.record(**MINIMAL)

    with transaction.atomic():
        ledger.record(**MINIMAL)
        in_threads(1, try_meanwhile)
    assert not Group.objects.exists()
    assert verify().entries == 3


@pytest.mark.only_on("sqlite")
def test_a_deferred_transaction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    book()
    monkeypatch.setattr(connections["default"], "transaction_mode", "DEFERRED")
    with pytest.raises(Broken, match="IMMEDIATE"), transaction.atomic():
        ledger.record(**MINIMAL)


def test_a_check_beside_writers_never_finds_fault() -> None:
    book()
    reports = in_threads(
        2, lambda n: [verify().ok for _ in range(8)] if n else [book() for _ in range(30)]
    )
    assert all(reports[1])
