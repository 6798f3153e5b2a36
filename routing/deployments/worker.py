"""The server's side of the engine: picks up what waits in its environments, one thread each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from django.db import connection

from routing.core.lifecycle import Kind
from routing.core.values import EnvironmentName
from routing.deployments import engine, ledger, pipeline, reverting
from routing.deployments.engine import Plan, Tools
from routing.deployments.ledger import OperationRow

log = logging.getLogger(__name__)
EVERY_S = 0.5
END_WITHIN_S = 3.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

PLANS: Mapping[Kind, Plan] = {Kind.DEPLOY: pipeline.PLAN, Kind.ROLLBACK: reverting.PLAN}


def run(operation: OperationRow, tools: Tools) -> OperationRow:
    """Do what is left of `operation`, on the calling thread."""
    return engine.advance(operation, PLANS[operation.kind], tools)


@dataclass(slots=True, kw_only=True)
class Worker:
    """Runs operations while its server lives. `round` is called over and over.

    What breaks is tried again after a pause that doubles, up to half a minute.
    """

    tools: Tools
    environments: Sequence[EnvironmentName]
    elapsed: Callable[[], float] = time.monotonic
    _busy: dict[EnvironmentName, threading.Thread] = field(default_factory=dict)
    _pauses: dict[EnvironmentName, float] = field(default_factory=dict)
    _rests: dict[EnvironmentName, float] = field(default_factory=dict)

    def round(self) -> None:
        """Start a thread for each operation that waits for one."""
        for environment in self.environments:
            busy = self._busy.get(environment)
            if busy is not None and busy.is_alive():
                continue
            if self.elapsed() < self._rests.get(environment, 0.0):
                continue
            operation = ledger.active(environment)
            if operation is None or self._sleeps(operation):
                continue
            thread = threading.Thread(
                target=self._do, args=(operation,), name=f"operation-{environment}", daemon=True
            )
            self._busy[environment] = thread
            thread.start()

    def stop(self) -> None:
        """Let go of what is under way; it is resumed by whoever comes next."""
        self.tools.stopping.set()
        for thread in self._busy.values():
            thread.join(END_WITHIN_S)

    def _sleeps(self, operation: OperationRow) -> bool:
        return operation.wake_at is not None and operation.wake_at > self.tools.clock()

    def _do(self, operation: OperationRow) -> None:
        environment = operation.environment
        try:
            run(operation, self.tools)
        except Exception:
            pause = min(self._pauses.get(environment, FIRST_PAUSE_S / 2) * 2, LONGEST_PAUSE_S)
            self._pauses[environment] = pause
            self._rests[environment] = self.elapsed() + pause
            log.exception("%s was left; it goes on in %.0f s.", operation.id, pause)
        else:
            self._pauses.pop(environment, None)
        finally:
            connection.close()
