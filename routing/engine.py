"""The running parts of one server process, and the loops that keep them going."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path as Folder
from typing import TYPE_CHECKING, Any

from routing import loops, operating, synthetic
from routing.access import signin
from routing.admission import Admission
from routing.audit import ledger
from routing.breakers import sharing
from routing.breakers.board import Board, Key
from routing.breakers.pace import Paces
from routing.budgeting import Budgets
from routing.cache.store import ResponseCache
from routing.changes import due, proposal_ends
from routing.changes.tool_watch import ToolWatch
from routing.compliance import policy
from routing.compliance import queries as policies
from routing.compliance.borders import Borders
from routing.compliance.residency import Residence
from routing.compliance.tally import Tally
from routing.core.admission import QueueSettings
from routing.core.decision import PathFacts, State
from routing.core.flags import Subject
from routing.core.settings import Settings
from routing.core.values import EnvironmentName, Health, Path
from routing.cost import snapshot as costs
from routing.cost.meter import Meter
from routing.decisions.log import DecisionLog
from routing.deployments.engine import Tools
from routing.flags import snapshot as flags
from routing.flags import uses
from routing.fleet import heartbeat
from routing.fleet.queries import EnvironmentRow
from routing.inforce.reading import Reading
from routing.inforce.standby import Standby
from routing.loops import Loop
from routing.monitor import HybridHealthMonitor, Watch
from routing.operating import Reach
from routing.paths.keeper import Keeper
from routing.paths.roster import Roster
from routing.router import IntelligentRouter, Routed
from routing.shipping import Shipping
from routing.support import mode as support

if TYPE_CHECKING:
    from routing.cache.shared import Shared

ROW_AGAIN_S = 1.0
_ABSENT = PathFacts(configured=False, health=Health.NOT_CONFIGURED)


class Engine:
    """Owns clients, breakers, the decision log, router and monitor of this process."""

    def __init__(
        self,
        *,
        home: Folder,
        door_url: str,
        code_version: str,
        settings: Settings,
        clock: Callable[[], datetime],
        situation: Callable[[EnvironmentName, Subject], State],
        refresh: Callable[[], None],
        prepare: Callable[[], None],
        versions: Callable[[], dict[str, int]],
        shared: Shared | None,
    ) -> None:
        self.name = socket.gethostname().split(".")[0][:40]
        self.boot = secrets.token_hex(8)
        self.loop = asyncio.get_running_loop()
        self.settings = settings
        self.clock = clock
        self.home = home
        self._door_url = door_url
        self._code_version = code_version
        self._versions = versions
        self._seen = asyncio.Event()  # our row says that we serve
        self.tally = Tally()
        self.board = Board()
        self.paces = Paces()
        self.roster = Roster(home, settings.bedrock_transport)
        self.tools = ToolWatch(
            environments=settings.environments, client=self.roster.client, clock=clock
        )
        self.sharing = sharing.Sharing(
            board=self.board,
            environments=settings.environments,
            process=self.process,
            now=clock,
        )
        self.borders = Borders(row=self.roster.row, client=self.roster.client)
        self.reading = Reading(
            home=home,
            process=self.process,
            settings=settings,
            clock=clock,
            refresh=refresh,
            prepare=prepare,
            adopt=self._adopt,
            tools=self.tools,
            shared=self.sharing,
            standby=Standby(home, settings.environments, self.board),
        )
        self.keeper = Keeper(home) if settings.embedded else None
        self.meter = Meter(lambda environment: costs.current().of(environment))
        self.log = DecisionLog(home / "segments", process=self.name, boot=self.boot)
        self.shipping = Shipping(
            home / "segments",
            log=self.log,
            clock=clock,
            pause_s=settings.ship_s,
            budgets=Budgets(self.meter, settings.environments),
        )
        self.watch = Watch(
            environments=settings.environments,
            holder=self.process,
            clock=clock,
            lease_s=settings.lease_s,
        )
        self.monitor = HybridHealthMonitor(
            client=self.roster.client,
            breach=self.borders.breach,
            flags=lambda environment: flags.current().evaluate(environment),
            board=self.board,
            clock=clock,
            interval_s=settings.probe_s,
            paces=self.paces,
        )
        self.cache = ResponseCache(shared=shared)
        self.admission = Admission(QueueSettings(capacity=settings.at_once))
        self.router = IntelligentRouter(
            situation=situation,
            client=self.borders.client,
            board=self.board,
            log=self.log,
            clock=clock,
            policy=policies.Live(),
            cache=self.cache,
            admission=self.admission,
            meter=self.meter,
            paces=self.paces,
            listeners=(self.monitor.take, self._count),
        )

    @property
    def process(self) -> str:
        """The id of this process: its row's and its decision stream's."""
        return f"{self.name}:{self.boot}"

    def facts(
        self, environment: EnvironmentName, path: Path, found: Health
    ) -> tuple[PathFacts, int]:
        """Return what is known of `path`, whose health is as `found`; and which life of its
        breaker that is."""
        client = self.roster.client(environment, path)
        key = _key(environment, path, client.target if client else "")
        life = self.board.generation(key)
        if client is None:
            return _ABSENT, life
        facts = PathFacts(
            region_allowed=self.borders.residence(environment, path).allowed,
            health=found,
            breaker=self.board.state(key),
        )
        return facts, life

    def settings_version(self, environment: EnvironmentName) -> int:
        """Return the version of the path settings that this process runs, 0 before it has any."""
        row = self.roster.row(environment)
        return row.version if row else 0

    def residence(self, environment: EnvironmentName, path: Path) -> Residence:
        """Judge where the actual client of `path` would send data."""
        return self.borders.residence(environment, path)

    def compliance(self, environment: EnvironmentName) -> Mapping[str, Any]:
        """Return the policy that this process obeys, and what came of it since the start."""
        inforce = policies.current().of(environment)
        return {
            "version": inforce.version,
            **policy.encode(inforce),
            "refused": self.tally.refused(environment),
            "found": self.tally.found(environment),
        }

    def _count(self, routed: Routed, _now: datetime) -> None:
        self.tally.count(routed.caller.environment, routed.broken, routed.pii)

    def _adopt(self, rows: Sequence[EnvironmentRow]) -> None:
        self.roster.adopt(rows)
        self.borders.tell(row.name for row in rows)

    def support(self, environment: EnvironmentName) -> Mapping[str, Any] | None:
        """Return the support mode of `environment` as last read, None before the first look."""
        return self.reading.support(environment)

    async def open(self, *, database: bool = True) -> None:
        """Start the stand-ins, read the snapshots, make the clients, open the decision log.

        `database` False says that it was found away just now.
        """
        # The SDKs take a second to import: on a thread, and while the stand-ins start.
        importing = asyncio.create_task(asyncio.to_thread(_import_sdks))
        if self.keeper is not None:
            await self.keeper.open()
            await self.keeper.start_all()
        await importing
        await self.reading.open(database=database)
        self.shipping.budgets.begin(self.clock())
        if not self.reading.standing().stale:
            async with loops.hand("budgets") as hand:
                await hand.try_to(self.shipping.budgets.look, 0, self.clock())
        await asyncio.to_thread(self.log.open, self.clock())

    async def close(self) -> None:
        """Book what was only counted; close the clients, the decision log, the stand-ins."""
        async with loops.hand("end") as hand:
            await hand.try_to(self._book)
        await self.roster.close()
        await self.cache.close()
        await asyncio.to_thread(self.log.close, self.clock())
        if self.keeper is not None:
            await self.keeper.close()

    def loops(self) -> Sequence[tuple[str, Loop]]:
        """Return every loop of this process by name."""
        pretended = self.settings.environments if self.settings.synthetic else ()
        return (
            *((f"synthetic-{e}", partial(self._pretend, e)) for e in pretended),
            *self.reading.loops(),
            ("process-row", self._keep_row),
            ("shipper", self.shipping.run),
            ("monitor", self._watch),
            ("breakers", self._share),
            ("operations", self._operate),
            ("schedule", lambda: loops.every(1.0, "schedule", self._keep_time)),
            (
                "bookings",
                lambda: loops.every(self.settings.signin_flush_s, "bookings", self._book),
            ),
        )

    async def _operate(self) -> None:
        """Run the deployments of our environments.

        Not before our row is there: checks ask the process that they run in through its door.
        """
        await self._seen.wait()
        reach = Reach(loop=self.loop, borders=self.borders, monitor=self.monitor)
        tools = Tools(
            clock=self.clock,
            home=self.home,
            code_version=self._code_version,
            process=self.process,
            holder=self.process,
            board=self.board,
            tools_digest=reach.tools_digest,
            look=reach.look,
            ask=reach.ask,
        )
        await operating.keep(self.settings.environments, tools)

    async def _pretend(self, environment: EnvironmentName) -> None:
        await synthetic.keep_asking(environment, clock=self.clock, process=self.process)

    def _book(self) -> None:
        signin.flush_failures(now=self.clock())
        ledger.flush_denials(now=self.clock())
        proposal_ends.sweep(self.clock())
        support.reconcile(self.clock())  # no commit tells that the end of a session has come
        uses.report(now=self.clock())

    def _keep_time(self) -> None:
        due.keep(self.settings.environments, self.clock())

    async def _keep_row(self) -> None:
        facts = heartbeat.Facts(
            name=self.name,
            pid=os.getpid(),
            host=socket.gethostname(),
            kind="server",
            environments=self.settings.environments,
            code_version=self._code_version,
            door_url=self._door_url,
            boot=self.boot,
        )
        async with loops.hand("process-row") as hand:
            while True:
                process = await hand.try_to(self._begin_row, facts)
                if process is not None:
                    break
                await asyncio.sleep(ROW_AGAIN_S)
            self._seen.set()
            told = self._versions()
            try:
                while True:
                    # A version is told as soon as it is run, everything else every few seconds.
                    for _ in range(int(self.settings.heartbeat_s / 0.1)):
                        await asyncio.sleep(0.1)
                        if self._versions() != told:
                            break
                    told = self._versions()
                    await hand.try_to(
                        heartbeat.beat,
                        process,
                        now=self.clock(),
                        versions=told,
                        ages=flags.ages(),
                    )
            finally:
                await asyncio.shield(hand.try_to(heartbeat.stop, process, now=self.clock()))

    def _begin_row(self, facts: heartbeat.Facts) -> str:
        heartbeat.succeed(self.home, self.process, now=self.clock())
        return heartbeat.start(
            facts, now=self.clock(), versions=self._versions(), ages=flags.ages()
        )

    async def _watch(self) -> None:
        """Probe what this process holds the leases of, and learn what others measured."""
        async with loops.hand("monitor") as hand:
            try:
                while True:
                    mine = await hand.try_to(self.watch.hold)
                    # Without the database nobody can take a lease over, so the probing goes on.
                    measured = await self.monitor.round(self.watch.held if mine is None else mine)
                    await hand.try_to(self.watch.store, measured)
                    await hand.try_to(self.tools.keep, self.watch.held)
                    await hand.try_to(self.watch.learn)
                    await asyncio.sleep(self.settings.probe_s)
            finally:
                await asyncio.shield(hand.try_to(self.watch.release))

    async def _share(self) -> None:
        """Keep the breakers the same as those of other processes; alone without the database."""
        async with loops.hand("breakers") as hand:
            try:
                await self.sharing.keep(hand.try_to, self.settings.poll_s)
            finally:
                await asyncio.shield(hand.try_to(self.sharing.leave))


@lru_cache(maxsize=64)
def _key(environment: EnvironmentName, path: Path, target: str) -> Key:
    return Key(environment=environment, path=path, target=target)


def _import_sdks() -> None:
    from routing.paths import bedrock, mcp

    bedrock.load_sdk()
    mcp.load_sdk()
