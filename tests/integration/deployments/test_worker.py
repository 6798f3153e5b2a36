"""The server's side: picks up what waits, one thread an environment, and rests after a fault."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from django.db import OperationalError

from routing.deployments import ledger, worker
from routing.deployments.engine import Tools
from routing.deployments.ledger import OperationRow
from routing.deployments.ledger_models import Operation
from routing.deployments.worker import Worker
from tests.integration.deployments import bed

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def operation() -> OperationRow:
    bed.lay()
    return bed.start()


def finish(desk: Worker) -> None:
    for thread in desk._busy.values():
        thread.join(30)
        assert not thread.is_alive()


def test_does_what_waits_and_then_nothing(
    operation: OperationRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PLANS", {operation.kind: bed.plan()})
    desk = Worker(tools=bed.tools(tmp_path), environments=(bed.DEV, bed.STG))
    desk.round()
    finish(desk)
    assert ledger.read(operation.id).is_over
    before = desk._busy[bed.DEV]
    desk.round()
    assert desk._busy == {bed.DEV: before}


def test_a_busy_environment_gets_no_second_thread(
    operation: OperationRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, began = threading.Event(), threading.Event()

    def slow(found: OperationRow, tools: Tools) -> OperationRow:
        began.set()
        go_on.wait(30)
        return found

    monkeypatch.setattr(worker, "run", slow)
    desk = Worker(tools=bed.tools(tmp_path), environments=(bed.DEV,))
    desk.round()
    assert began.wait(30)
    first = desk._busy[bed.DEV]
    desk.round()
    assert desk._busy[bed.DEV] is first
    go_on.set()
    finish(desk)


def test_rests_longer_after_each_fault(
    operation: OperationRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, tries = [100.0], []

    def broken(found: OperationRow, tools: Tools) -> OperationRow:
        tries.append(at[0])
        raise OperationalError("the database is away")

    monkeypatch.setattr(worker, "run", broken)
    desk = Worker(tools=bed.tools(tmp_path), environments=(bed.DEV,), elapsed=lambda: at[0])
    for _ in range(80):
        desk.round()
        finish(desk)
        at[0] += 1
    assert tries[:5] == [100, 101, 103, 107, 115]
    assert all(b - a <= worker.LONGEST_PAUSE_S for a, b in pairwise(tries))


def test_leaves_what_bakes_until_it_is_done(
    operation: OperationRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = bed.now() + timedelta(hours=1)
    Operation.objects.filter(pk=operation.id).update(wake_at=later)
    monkeypatch.setattr(worker, "PLANS", {operation.kind: bed.plan()})
    desk = Worker(tools=bed.tools(tmp_path), environments=(bed.DEV,))
    desk.round()
    assert not desk._busy
    desk = Worker(tools=bed.tools(tmp_path, clock=lambda: later), environments=(bed.DEV,))
    desk.round()
    finish(desk)
    assert ledger.read(operation.id).is_over
