"""How a process comes to know what is in force, and what it goes by while it cannot know.

The database first, told by announcements and polled as well. While it is away what was read last
stays in force; a start without it begins with what the process before kept on disk. The kill
files stand above all of it and need neither.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path as Folder
from typing import Any

from django.db import Error, connection

from routing import loops, stream
from routing.access import tokens
from routing.breakers import sharing
from routing.breakers.sharing import Sharing
from routing.changes import drift, override
from routing.changes import kill as killed
from routing.changes.later import Event, Notebook
from routing.changes.tool_watch import ToolWatch
from routing.compliance import queries as policies
from routing.core.rights import system_actor
from routing.core.settings import Settings
from routing.core.standing import Standing
from routing.core.values import Action, EnvironmentName, Outcome
from routing.cost import snapshot as costs
from routing.flags import kill
from routing.flags import snapshot as flags
from routing.fleet import queries
from routing.fleet.queries import EnvironmentRow
from routing.inforce.standby import Loaded, Restored, Standby
from routing.loops import Hand, Loop
from routing.matrix import queries as matrices
from routing.support import mode as support
from routing.support.queries import Status

log = logging.getLogger(__name__)
# What a snapshot does not hold; it would only make the process look for nothing.
_TOLD_OFTEN = frozenset({"decisions", "health", sharing.TOPIC})
STALE_AFTER_S = 5.0  # without a look at the database that succeeded
SAVE_PAUSE_S = 0.25
NOTES_S = 1.0
PERSON = "standby"


class Reading:
    """Reads what is in force, and keeps it; one instance a process.

    `refresh` reads all snapshots, `prepare` does what a start does to a database, once it is back
    after a start without it; `adopt` makes the clients of the settings.
    """

    def __init__(
        self,
        *,
        home: Folder,
        process: str,
        settings: Settings,
        clock: Callable[[], datetime],
        refresh: Callable[[], None],
        prepare: Callable[[], None],
        adopt: Callable[[Sequence[EnvironmentRow]], None],
        tools: ToolWatch,
        shared: Sharing,
        standby: Standby,
    ) -> None:
        self._process = process
        self._settings = settings
        self._clock = clock
        self._refresh = refresh
        self._prepare = prepare
        self._adopt = adopt
        self._tools = tools
        self._sharing = shared
        self._standby = standby
        self._kills = kill.Watch(home, settings.environments)
        self._notes = Notebook(home / "run" / "unbooked.jsonl")
        self._told = asyncio.Event()
        self._fresh = asyncio.Event()
        self._loaded = Loaded(rows=(), pins=())
        self._support: Mapping[EnvironmentName, Mapping[str, Any]] = {}
        self._known_s: float | None = None  # monotonic: the last look that succeeded
        self._restored: Restored | None = None
        self._began_at: datetime | None = None
        self._ended_at: datetime | None = None

    async def open(self, *, database: bool = True) -> None:
        """Read everything, or put in force what was kept where the database is away.

        Raises what the database raised where nothing was ever kept. `database` False says that
        it was found away just now.
        """
        with contextlib.suppress(OSError):  # so that a hand in a hurry need not make it
            self._kills.folder.mkdir(mode=0o700, exist_ok=True)
        async with loops.hand("start") as hand:
            await self._look_for_kills(hand)
            if not database and self._standby.exists():
                await self._restore(hand)
                return
            await hand.do(self._standby.recall, self._clock())
            try:
                await hand.do(self._load)
            except Error:
                if not self._standby.exists():
                    raise
                log.exception("The database is away at the start.")
                await self._restore(hand)
                return
        self._take(self._loaded)

    def standing(self) -> Standing:
        """Return how sure this process is of what it runs."""
        found, age_s = self._restored, self._age_s()
        return Standing(
            source=str(flags.current().source),
            stale=age_s is None or age_s > STALE_AFTER_S,
            age_s=age_s,
            problems=found.problems if found else (),
            began_at=self._began_at,
            ended_at=self._ended_at,
        )

    def stale_s(self) -> int | None:
        """Return the age in whole seconds while it is stale, else None; -1 for an unknown age."""
        age_s = self._age_s()
        if age_s is None:
            return -1
        return int(age_s) if age_s > STALE_AFTER_S else None

    def support(self, environment: EnvironmentName) -> Mapping[str, Any] | None:
        """Return the support mode of `environment` as last read, None before the first look."""
        return self._support.get(environment)

    def loops(self) -> Sequence[tuple[str, Loop]]:
        """Return the loops by name."""
        return (
            ("snapshots", self._keep),
            ("announcements", self._hear),
            ("kill-files", self._obey),
            ("last-known-good", self._save),
            ("notes", partial(loops.every, NOTES_S, "notes", self._book)),
        )

    def _age_s(self) -> float | None:
        if self._known_s is not None:
            return time.monotonic() - self._known_s
        if self._restored is None or self._restored.known_at is None:
            return None
        return max(0.0, (self._clock() - self._restored.known_at).total_seconds())

    def _load(self) -> Loaded:
        self._refresh()
        rows = queries.environments()
        self._tools.read()
        self._sharing.round()  # a breaker that is forced is so from the start
        self._loaded = Loaded(rows=rows, pins=self._tools.pins())
        return self._loaded

    def _take(self, loaded: Loaded) -> None:
        """Run what was read from the database."""
        self._adopt(loaded.rows)
        self._tools.hand_out()
        self._seen()

    def _seen(self) -> None:
        self._known_s = time.monotonic()
        self._fresh.set()

    async def _restore(self, hand: Hand) -> None:
        found = self._restored = await hand.do(self._standby.restore, self._clock())
        self._began_at = self._clock()
        self._tools.adopt(found.loaded.pins)
        self._adopt(found.loaded.rows)
        self._tools.hand_out()
        log.critical(
            "The database is away: serving with what was last known, of %s.",
            found.known_at or "an unknown time",
        )
        if any(costs.current().of(e).limits for e in self._settings.environments):
            log.critical("What was spent before this start is not known: budgets begin anew here.")
        for environment in self._settings.environments:
            event = _served(environment, found, self._began_at, self._process)
            await hand.do(self._notes.note, event)

    async def _keep(self) -> None:
        """See other processes' changes: their commits first, then the version rows.

        `PRAGMA data_version` counts the commits of others as seen from the connection that asks,
        so one hand keeps one connection.
        """
        seen: int | None = None
        async with loops.hand("snapshots") as hand:
            while self._known_s is None:
                await self._look_again()
                if await hand.try_to(self._catch_up) is not None:
                    self._ended_at = self._clock()
                    self._take(self._loaded)
                    log.warning("The database is back, and what it holds is in force.")
            while True:
                await self._look_again()
                if matrices.current().has_expired(self._clock()):
                    await hand.try_to(override.expire, self._clock())
                latest = await hand.try_to(_data_version)
                if latest is not None and (latest != seen or not self._settings.sqlite):
                    loaded = await hand.try_to(self._read_what_changed)
                    if loaded is None:
                        latest = None  # what was not read now is read in the next round
                    else:
                        self._loaded = loaded
                        self._take(loaded)
                elif latest is not None:
                    self._seen()
                seen = latest

    def _catch_up(self) -> Loaded:
        self._prepare()
        return self._load()

    async def _look_again(self) -> None:
        """Wait for the next look: the poll's interval, or less when another process tells."""
        with contextlib.suppress(TimeoutError):  # no wait_for: it may lose a cancel
            async with asyncio.timeout(self._settings.poll_s):
                await self._told.wait()
        self._told.clear()

    async def _hear(self) -> None:
        """Look at once when a change is announced; without Redis only our own are."""
        async for heard in stream.listen():
            if heard.topic == sharing.TOPIC:
                self._sharing.hear()
            elif heard.topic not in _TOLD_OFTEN:
                self._told.set()

    def _read_what_changed(self) -> Loaded:
        flags.refresh_if_changed()
        tokens.refresh_if_changed()
        matrices.refresh_if_changed()
        self._tools.read()
        policies.refresh_if_changed()
        costs.refresh_if_changed()
        support.reconcile(self._clock())
        told = support.statuses(self._settings.environments, self._clock())
        self._support = {name: _told(status) for name, status in told.items()}
        drift.keep(self._settings.environments, self._clock())
        return Loaded(rows=queries.environments(), pins=self._tools.pins())

    async def _save(self) -> None:
        """Keep on disk what was read, after each look that succeeded, beside everything else."""
        async with loops.hand("last-known-good") as hand:
            while True:
                await self._fresh.wait()
                self._fresh.clear()
                await hand.do(self._standby.save, self._loaded, self._clock())
                await asyncio.sleep(SAVE_PAUSE_S)

    async def _obey(self) -> None:
        async with loops.hand("kill-files") as hand:
            while True:
                await asyncio.sleep(kill.EVERY_S)
                await self._look_for_kills(hand)

    async def _look_for_kills(self, hand: Hand) -> None:
        for turn in await hand.do(self._kills.look, self._clock()):
            await hand.do(self._notes.note, killed.event(turn, process=self._process))

    def _book(self) -> None:
        if self._known_s is not None:  # before, nobody looked whether its trail is whole
            self._notes.book(system_actor(PERSON), self._clock())


def _served(environment: EnvironmentName, found: Restored, at: datetime, process: str) -> Event:
    problems = [one for one in found.problems if one.concerns(environment)]
    return Event(
        action=Action.STANDBY_SERVE,
        environment=environment,
        at=at,
        outcome=Outcome.FAILED if problems else Outcome.DONE,
        facts={
            "process": process,
            "flags_version": flags.current().environments[environment].version,
            "known_at": found.known_at.isoformat() if found.known_at else None,
            "budgets_begin_anew": bool(costs.current().of(environment).limits),
            "problems": [one.text() for one in problems],
        },
    )


def _told(status: Status) -> Mapping[str, Any]:
    """Return support mode as the report tells it; whose session and why is for people to read."""
    session = status.session if status.active else None
    return {
        "active": status.active,
        "flag_on": status.flag_on,
        "session": session and session.id,
        "opened_at": session and session.opened_at.isoformat(),
        "ends_at": session and session.ends_at and session.ends_at.isoformat(),
    }


def _data_version() -> int:
    if connection.vendor != "sqlite":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA data_version")
        return int(cursor.fetchone()[0])
