"""HybridHealthMonitor: probe and judge each path, in every environment.

One process probes an environment, by a lease; all processes that serve it know what was found.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from routing import stream
from routing.breakers.board import Board, Key, monotonic_us
from routing.breakers.pace import Paces
from routing.core import failures, health
from routing.core.circuit import Result
from routing.core.errors import Stale
from routing.core.flags import FlagName
from routing.core.health import Known, Looked, Traffic
from routing.core.values import EnvironmentName, Path
from routing.flags import uses
from routing.fleet import leases
from routing.fleet.leases import Lease
from routing.health import queries, snapshot, store
from routing.health.queries import Row
from routing.health.store import Measured
from routing.health.traffic import Figures, Sample, Window
from routing.paths.base import PathClient, Probe
from routing.paths.turns import HasLine
from routing.router import Routed

PROBE_WITHIN_S = 4.5
_PROVIDER: Mapping[Path, FlagName] = {
    Path.DIRECT_BEDROCK: FlagName.BEDROCK_PROVIDER,
    Path.MCP: FlagName.MCP_INTEGRATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One path after its probe, which took so long; `client` None means not configured, `probe`
    None not probed.

    `breach` says why it may not be used at all.
    """

    environment: EnvironmentName
    path: Path
    client: PathClient | None
    probe: Probe | None
    took_us: int
    on: bool
    monitored: bool
    breach: str


class HybridHealthMonitor:
    """One instance a process; `round` is run for the environments whose lease it holds."""

    def __init__(
        self,
        *,
        client: Callable[[EnvironmentName, Path], PathClient | None],
        flags: Callable[[EnvironmentName], Mapping[FlagName, bool]],
        board: Board,
        clock: Callable[[], datetime],
        interval_s: float,
        breach: Callable[[EnvironmentName, Path], str] = lambda _environment, _path: "",
        paces: Paces | None = None,
        uptime: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._flags = flags
        self._breach = breach
        self._board = board
        self._paces, self._uptime = paces or Paces(), uptime
        self._clock = clock
        self._interval_us = int(interval_s * 1_000_000)
        self._window = Window()
        self._looked: dict[tuple[EnvironmentName, Path], deque[Looked]] = {}

    def take(self, routed: Routed, now: datetime) -> None:
        """Count one routed request: the router's listener."""
        at_us = _us(now)
        began_us = at_us - _lasted_us(routed)
        budget_us = routed.decision.row.budget_ms * 1000
        for attempt in routed.attempts:
            failure = attempt.failure
            counts = failure is not None and failures.counts_for_breaker(failure) is Result.FAILURE
            sample = Sample(
                at_us=at_us,
                began_us=began_us,
                duration_us=attempt.duration_us,
                failure=str(failure or ""),
                counts=counts,
                slow=attempt.duration_us > budget_us,
                synthetic=routed.caller.synthetic,
            )
            self._window.add(routed.caller.environment, attempt.path, sample)

    async def round(self, environments: Sequence[EnvironmentName]) -> tuple[Measured, ...]:
        """Probe every path of `environments` once and judge it, for the next decisions to read."""
        seen = await asyncio.gather(
            *(self._look(environment, path) for environment in environments for path in Path)
        )
        now = self._clock()
        measured = [await self._judge(one, _us(now)) for one in seen]
        for one in measured:
            snapshot.put(one.environment, one.path, one.judged.status, _us(now))
        return tuple(measured)

    async def fresh(self, environment: EnvironmentName, path: Path) -> Measured:
        """Probe and judge one path now, for a preflight; nothing is stored."""
        return await self._judge(await self._look(environment, path), _us(self._clock()))

    async def _look(self, environment: EnvironmentName, path: Path) -> _Seen:
        flags = self._flags(environment)
        uses.note(environment, uses.PROBE)
        client = self._client(environment, path)
        seen = _Seen(
            environment=environment,
            path=path,
            client=client,
            probe=None,
            took_us=0,
            on=flags[_PROVIDER[path]],
            monitored=flags[FlagName.MONITORING],
            breach=self._breach(environment, path),
        )
        if client is None or not seen.monitored or seen.breach:  # a probe leaves, too
            return seen
        began_us = monotonic_us()
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                probe = await client.probe()
        except TimeoutError:
            probe = Probe()
        return replace(seen, probe=probe, took_us=monotonic_us() - began_us)

    async def _judge(self, seen: _Seen, now_us: int) -> Measured:
        where = (seen.environment, seen.path)
        key = Key(
            environment=seen.environment,
            path=seen.path,
            target=seen.client.target if seen.client else "",
        )
        if seen.probe is not None:
            looked = self._looked.setdefault(where, deque(maxlen=32))
            looked.append(Looked(at_us=now_us, ok=seen.probe.ok, problem=_problem(seen.probe)))
            if seen.probe.ok:
                self._board.probe_ok(key, seen.took_us)
        breaker = self._board.state(key)
        ago_us = self._board.mended_ago_us(key)
        since_us = 0 if ago_us is None else now_us - ago_us  # earlier requests met the fault
        # A minute of full load takes tens of milliseconds to go through.
        traffic, figures = await asyncio.to_thread(self._counted, *where, now_us, since_us)
        known = Known(
            path=seen.path,
            configured=seen.client is not None,
            switched_on=seen.on,
            monitored=seen.monitored,
            breach=seen.breach,
            breaker=breaker,
            probes=tuple(self._looked.get(where, ())),
            traffic=traffic,
            lags=self._paces.lags(key, self._uptime()),
            since_us=since_us,
            interval_us=self._interval_us,
        )
        return Measured(
            environment=seen.environment,
            path=seen.path,
            target=key.target,
            judged=health.judge(known, now_us),
            breaker=breaker,
            stages=[asdict(stage) for stage in seen.probe.stages] if seen.probe else [],
            figures=replace(figures, line=_line(seen.client)),
            probe_ok=seen.probe.ok if seen.probe else None,
            observed_us=now_us,
        )

    def _counted(
        self, environment: EnvironmentName, path: Path, now_us: int, since_us: int
    ) -> tuple[Traffic, Figures]:
        """Return what the status counts and what pages show, from a thread."""
        window = self._window
        return (
            window.real(environment, path, now_us, since_us),
            window.figures(environment, path, now_us),
        )


class Watch:
    """Who probes which environment, and what all processes know of it.

    One lease an environment: processes that serve different ones do not wait for each other.
    """

    def __init__(
        self,
        *,
        environments: Sequence[EnvironmentName],
        holder: str,
        clock: Callable[[], datetime],
        lease_s: float,
    ) -> None:
        self._environments = tuple(environments)
        self._holder = holder
        self._clock = clock
        self._lease_s = lease_s
        self._leases: dict[EnvironmentName, Lease] = {}
        self.known: Mapping[EnvironmentName, tuple[Row, ...]] = {}

    @property
    def held(self) -> tuple[EnvironmentName, ...]:
        """The environments that this process probes."""
        return tuple(self._leases)

    def hold(self) -> tuple[EnvironmentName, ...]:
        """Renew the leases, take those that are free; return the environments to probe."""
        for environment in self._environments:
            lease = self._leases.get(environment)
            if lease is None or not leases.renew(lease, now=self._clock()):
                self._leases.pop(environment, None)
                taken = leases.take(
                    f"monitor:{environment}",
                    self._holder,
                    now=self._clock(),
                    seconds=self._lease_s,
                )
                if taken is not None:
                    self._leases[environment] = taken
        return self.held

    def store(self, measured: Sequence[Measured]) -> None:
        """Store and announce what was measured; what somebody else probes by now is left out."""
        for environment, lease in tuple(self._leases.items()):
            rows = [one for one in measured if one.environment is environment]
            try:
                store.save(rows, self._clock(), fence=(lease.name, lease.fence))
            except Stale:
                del self._leases[environment]
            else:
                stream.announce("health", environment)

    def learn(self) -> None:
        """Read what was stored, by whichever process, for the next decisions to read."""
        self.known = {environment: queries.rows(environment) for environment in self._environments}
        for row in (row for rows in self.known.values() for row in rows):
            snapshot.put(row.environment, row.path, row.status, _us(row.observed_at))

    def release(self) -> None:
        """Give the leases back, so that another process need not wait for their end."""
        while self._leases:
            leases.release(self._leases.popitem()[1])


def _lasted_us(routed: Routed) -> int:
    """Return how long a request lasted; of an answer in pieces `duration_us` is the first only."""
    return routed.streamed.total_us if routed.streamed else routed.duration_us


def _problem(probe: Probe) -> str:
    if not probe.stages:
        return f"no stage ended within {PROBE_WITHIN_S} s"
    return next((f"{s.name}: {s.detail}" for s in probe.stages if not s.ok), "")


def _line(client: PathClient | None) -> dict[str, int]:
    """Return how calls wait for `client` in this process, nothing where none ever does."""
    return asdict(client.line()) if isinstance(client, HasLine) else {}


def _us(now: datetime) -> int:
    return int(now.timestamp() * 1_000_000)
