"""The machine door of this process: the API put together with the parts that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.conf import settings

from hybridops.edge import App
from routing import wiring
from routing.api import door
from routing.api.booking import Booking
from routing.api.report import Sources
from routing.core.values import EnvironmentName
from routing.engine import Engine
from routing.router import IntelligentRouter


class Machines:
    """Everything under /api/; `booking` writes denials behind the callers' backs."""

    def __init__(self) -> None:
        self.booking = Booking()
        self.app: App = door.build(
            router=_router,
            find=wiring.find_token,
            clock=wiring.now,
            hosts=settings.ALLOWED_HOSTS,
            sources=_sources,
            booking=self.booking,
        )

    def close(self) -> None:
        """Book what waits."""
        self.booking.close()


def _router() -> IntelligentRouter | None:
    engine = wiring.engine()
    return engine.router if engine else None


def _sources() -> Sources | None:
    engine = wiring.engine()
    if engine is None:
        return None
    return Sources(
        process=engine.process,
        boot=engine.boot,
        code_version=settings.HYBRIDOPS_VERSION,
        stream=engine.log.stream,
        write=engine.log.record,
        versions=wiring.versions,
        flags=wiring.flags_in_force,
        breakers=engine.board.views,
        health=lambda environment: _health(engine, environment),
        support=engine.support,
    )


def _health(engine: Engine, environment: EnvironmentName) -> Sequence[Mapping[str, Any]]:
    """Return the judgements of this process, or of whoever holds the monitor, as it knows them."""
    return [
        {
            "path": str(one.path),
            "target": one.target,
            "status": str(one.judged.status),
            "score": one.judged.score,
            "why": list(one.judged.why),
            "breaker": str(one.breaker),
            "stages": [dict(stage) for stage in one.stages],
            "figures": asdict(one.figures),
            "observed_us": one.observed_us,
        }
        for one in engine.monitor.last
        if one.environment is environment
    ]
