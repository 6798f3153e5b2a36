"""Between the clients of this process and the pins: one hears what was accepted, one is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol, runtime_checkable

from routing.changes import tools
from routing.core.errors import HybridOpsError
from routing.core.pinning import Listing, Pin
from routing.core.values import EnvironmentName, Path
from routing.paths.base import PathClient
from routing.pins import queries
from routing.pins.queries import PinRow

log = logging.getLogger(__name__)
Place = tuple[EnvironmentName, str, str]  # with target and tool


@runtime_checkable
class ListsTools(Protocol):
    """A client of a server with tools."""

    target: str
    tool: str
    listing: Listing | None

    def adopt(self, pin: Pin | None) -> None: ...


class ToolWatch:
    """One instance a process: `read` and `keep` ask the database, `hand_out` tells clients."""

    def __init__(
        self,
        *,
        environments: Sequence[EnvironmentName],
        client: Callable[[EnvironmentName, Path], PathClient | None],
        clock: Callable[[], datetime],
    ) -> None:
        self._environments = tuple(environments)
        self._client = client
        self._clock = clock
        self._rows: Mapping[Place, PinRow] = {}

    def read(self) -> None:
        """Read the pins whose version is not the one we know."""
        known = {place: row.version for place, row in self._rows.items()}
        if known == dict(queries.versions()):
            return
        rows = queries.pins()
        self._rows = {(row.environment, row.target, row.pin.tool): row for row in rows}

    def adopt(self, rows: Sequence[PinRow]) -> None:
        """Take pins that were not read from the database, for a start while that is away."""
        # A version that no table holds: the next reading replaces them.
        self._rows = {
            (row.environment, row.target, row.pin.tool): replace(row, version=-1) for row in rows
        }

    def pins(self) -> tuple[PinRow, ...]:
        """Return the pins that are known."""
        return tuple(self._rows.values())

    def hand_out(self) -> None:
        """Tell every client what its server may say of its tools."""
        for environment in self._environments:
            client = self._lister(environment)
            if client is not None:
                row = self._rows.get((environment, client.target, client.tool))
                client.adopt(row.pin if row else None)

    def keep(self, environments: Sequence[EnvironmentName]) -> None:
        """Keep what the servers of `environments`, which this process probes, list now."""
        for environment in environments:
            client = self._lister(environment)
            seen = client.listing if client is not None else None
            if client is None or seen is None:
                continue
            row = self._rows.get((environment, client.target, client.tool))
            if row is None or (row.seen.digest, row.seen.count) != (seen.digest, seen.count):
                self._see(environment, client.target, seen)
        self.read()

    def _see(self, environment: EnvironmentName, target: str, seen: Listing) -> None:
        try:
            tools.see(now=self._clock(), environment=environment, target=target, seen=seen)
        except HybridOpsError:  # the probes must go on; the next round tries again
            log.exception("What the MCP server of %s lists was not kept.", environment)

    def _lister(self, environment: EnvironmentName) -> ListsTools | None:
        client = self._client(environment, Path.MCP)
        return client if isinstance(client, ListsTools) else None
