"""Runs operations step by step: leased, fenced, resumed where they stopped, no step twice.

A step's result is kept in the transaction of its effect's record, so after a kill it either
happened and is known, or is done again. Steps that only look may be done again; steps that write
compare and set. Who was only asleep finds its fence past at its next write.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path as Folder
from typing import Any

from django.db import DatabaseError, connection, transaction

from routing.breakers.board import Board
from routing.core.errors import HybridOpsError, Stale
from routing.core.lifecycle import Stage
from routing.core.rights import system_actor
from routing.core.values import Action, EnvironmentName, Path
from routing.deployments import crash, ledger
from routing.deployments.ledger import OperationRow, StepRow
from routing.deployments.pen import Pen
from routing.fleet import leases
from routing.fleet.leases import Lease
from routing.health.store import Measured

log = logging.getLogger(__name__)
LEASE_S = 15.0
MOST_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a runner has at hand. `process` is the serving process that it is, empty for a command.

    `board` are that process's breakers, `tools_digest` what its MCP client last listed. `look`
    probes a path now; `ask` sends one prompt with a nonce to a path past the router, for a path
    that our own flags keep closed, and returns its answer. None for a command.
    """

    clock: Callable[[], datetime]
    home: Folder
    code_version: str
    process: str = ""
    holder: str = ""
    board: Board | None = None
    tools_digest: Callable[[Any], str] = field(default=lambda environment: "")
    look: Callable[[EnvironmentName, Path], Measured] | None = None
    ask: Callable[[EnvironmentName, Path, str, str], str] | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    lease_s: float = LEASE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One runner's hold of one operation."""

    operation: OperationRow
    pen: Pen
    tools: Tools
    step: StepRow

    def now(self) -> datetime:
        return self.tools.clock()

    def result(self, name: str) -> Mapping[str, Any]:
        """Return what an earlier step left."""
        return self.operation.result(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a step ended; `kept` says that its result was stored with its effect already.

    `then` adds the rows that go with the result, in its transaction.
    """

    result: Mapping[str, Any] = field(default_factory=dict)
    failed: bool = False
    kept: bool = False
    then: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The step looks again at `until`; `result` is what it must know then."""

    until: datetime
    result: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One step: its name, the stage that it belongs to, and what it does."""

    name: str
    stage: Stage
    do: Callable[[Run], Done | Wait]


Plan = Sequence[Spec]


class _Stopped(Exception):
    """This process ends or lost its lease: what the step found is not kept."""


def advance(operation: OperationRow, plan: Plan, tools: Tools) -> OperationRow:
    """Do what is left of `operation` until it ends or waits, if nobody else has it in hand.

    Returns how it stands then. A step that breaks three times is failed, with its words.
    """
    lease = leases.take(operation.lease, tools.holder, now=tools.clock(), seconds=tools.lease_s)
    if lease is None:
        return ledger.read(operation.id)
    pen = Pen(operation=operation.id, lease=lease, by=system_actor("deployments"))
    try:
        with _heartbeat(lease, tools) as held:
            _go(operation.id, plan, tools, pen, held)
    except _Stopped:
        log.info("%s is left to another runner.", operation.id)
    except Stale as stale:
        log.warning("%s: %s", operation.id, stale.message)
    finally:
        leases.release(lease)
    return ledger.read(operation.id)


def _go(id: str, plan: Plan, tools: Tools, pen: Pen, held: Callable[[], bool]) -> None:
    operation = ledger.read(id)
    if operation.is_over:
        return
    if operation.cancel and operation.stage is Stage.PENDING:
        pen.end(now=tools.clock(), stage=Stage.CANCELLED, action=Action.DEPLOYMENT_CANCEL)
        return
    pen.begin(kind="server" if tools.process else "command", now=tools.clock())
    for spec in plan:
        operation = ledger.read(id)
        if operation.is_over:  # a step may end it, such as a preflight that refuses
            return
        step = next(one for one in operation.steps if one.name == spec.name)
        if step.ended_at is not None:
            continue
        if tools.stopping.is_set() or not held():
            raise _Stopped
        run = Run(operation=operation, pen=pen, tools=tools, step=step)
        if not _step(run, spec, held):
            return


def _step(run: Run, spec: Spec, held: Callable[[], bool]) -> bool:
    """Do one step; return whether the next one may follow."""
    crash.point(f"before:{spec.name}")
    run.pen.start(run.step, now=run.now())
    crash.point(f"begun:{spec.name}")
    done = _do(run, spec, held)
    if isinstance(done, Wait):
        run.pen.wait(spec.name, until=done.until, result=done.result)
        return False
    crash.point(f"done:{spec.name}")
    if not done.kept:
        run.pen.settle(
            spec.name, now=run.now(), result=done.result, failed=done.failed, then=done.then
        )
    crash.point(f"after:{spec.name}")
    return True


def _do(run: Run, spec: Spec, held: Callable[[], bool]) -> Done | Wait:
    try:
        done = spec.do(run)
    except (Stale, HybridOpsError) as error:
        _insist(run, held)
        _check_fence(run)
        return _broken(error.message)
    except DatabaseError:
        raise  # the ledger cannot be written either; the next round tries again
    except Exception as error:
        _insist(run, held)
        log.exception("%s: the step %s broke", run.operation.id, spec.name)
        if run.step.attempts + 1 < MOST_ATTEMPTS:
            raise _Stopped from error
        return _broken(f"{type(error).__name__}: {error}"[:300])
    _insist(run, held)
    return done


def _insist(run: Run, held: Callable[[], bool]) -> None:
    """Drop what a process found while it was ending: its own end is no fault of the release."""
    if run.tools.stopping.is_set() or not held():
        raise _Stopped


def _check_fence(run: Run) -> None:
    with transaction.atomic():
        run.pen.check()


def _broken(words: str) -> Done:
    return Done(failed=True, result={"errors": [words]})


@contextmanager
def _heartbeat(lease: Lease, tools: Tools) -> Iterator[Callable[[], bool]]:
    """Renew `lease` from a thread of its own; yields what tells whether it still holds."""
    ended, lost = threading.Event(), threading.Event()

    def beat() -> None:
        while not ended.wait(lease.seconds / 3):
            try:
                if not leases.renew(lease, now=tools.clock()):
                    lost.set()
                    return
            except DatabaseError:
                log.exception("The lease %s could not be renewed; tried again.", lease.name)
            finally:
                connection.close()

    thread = threading.Thread(target=beat, name="operation-lease", daemon=True)
    thread.start()
    try:
        yield lambda: not lost.is_set()
    finally:
        ended.set()
        thread.join()
