"""The machine door of this process: the API put together with the parts that answer it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from django.conf import settings

from hybridops.edge import App
from routing import loops, wiring
from routing.access import tokens
from routing.access.second_look import SecondLook
from routing.api import door
from routing.api.booking import Booking
from routing.api.idempotency import Keys
from routing.api.report import Sources
from routing.core.values import EnvironmentName
from routing.decisions import recent
from routing.engine import Engine
from routing.router import IntelligentRouter


class Machines:
    """All that `door.is_ours`; `booking` writes denials behind the callers' backs."""

    def __init__(self) -> None:
        self.booking = Booking()
        self.keys = Keys(wiring.now)
        self._hand = loops.Hand("second-look")
        self._look = SecondLook(partial(self._hand.try_to, tokens.refresh_if_changed))
        self.app: App = door.build(
            router=_router,
            find=wiring.find_token,
            find_key=wiring.find_access_key,
            look_again=self._look,
            clock=wiring.now,
            hosts=settings.ALLOWED_HOSTS,
            sources=_sources,
            booking=self.booking,
            models=settings.HYBRIDOPS_MODELS,
            keys=self.keys,
        )

    async def learn(self) -> None:
        """Read which keyed requests earlier processes of this home carried out."""
        folder = settings.HYBRIDOPS_HOME / "segments"
        self.keys.learn(await asyncio.to_thread(recent.keyed, folder, wiring.now()))

    async def close(self) -> None:
        """End what goes on without a caller, and book what waits."""
        await self.keys.close()
        self._look.close()
        await self._hand.end()
        await asyncio.to_thread(self.booking.close)


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
        admission=engine.admission.figures,
        compliance=engine.compliance,
        backlog=lambda: _backlog(engine),
        standing=_standing,
    )


def _standing(environment: EnvironmentName) -> Mapping[str, Any]:
    found, order = wiring.standing(), wiring.kill_order(environment)
    return {
        "source": found and str(found.source),
        "stale": found and found.stale,
        "age_s": found and found.age_s and round(found.age_s, 3),
        "kill": order
        and {
            "says": str(order.kill),
            "since": order.since.isoformat(),
            "problem": order.said.problem,
        },
    }


def _backlog(engine: Engine) -> Mapping[str, Any]:
    found = asdict(engine.shipping.backlog())
    return found | {"since": found["since"].isoformat()}


def _health(engine: Engine, environment: EnvironmentName) -> Sequence[Mapping[str, Any]]:
    """Return the judgements in force, whichever process made them."""
    return [
        {
            "path": str(row.path),
            "target": row.target,
            "status": str(row.status),
            "score": row.score,
            "why": list(row.why),
            "breaker": str(row.breaker),
            "stages": [dict(stage) for stage in row.stages],
            "figures": dict(row.figures),
            "observed_us": int(row.observed_at.timestamp() * 1_000_000),
        }
        for row in engine.watch.known.get(environment, ())
    ]
