"""The clients of this process: one per environment and configured path, made from its settings.

A settings change makes the changed clients anew and closes the old ones after the longest
attempt; calls under way keep the client that they began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path as Folder
from typing import TYPE_CHECKING, Any

from routing.core.errors import Invalid
from routing.core.settings import BedrockTransport
from routing.core.values import EnvironmentName, Path
from routing.fleet.queries import EnvironmentRow
from routing.paths import local, turns
from routing.paths.base import PathClient

if TYPE_CHECKING:
    from routing.paths.bedrock import DirectBedrockClient
    from routing.paths.bedrock_purse import Purse
    from routing.paths.mcp import MCPRouter

log = logging.getLogger(__name__)
GRACE_S = 60.0
# What the thresholds of an environment may say about its Bedrock client.
BEDROCK_KEYS = (
    "bedrock.operations",
    "bedrock.prices",
    "bedrock.proxy",
    "probe.paid_usd_per_day",
)
# Settings of an environment: how many calls its MCP server gets at a time, how many may wait.
AT_ONCE, LINE = "mcp.at_once", "mcp.line"
MOST = 1024


class Roster:
    """Knows which clients there are; `home` is where the stand-ins' addresses are kept."""

    def __init__(
        self, home: Folder, bedrock_transport: BedrockTransport = BedrockTransport.ASYNCIO
    ) -> None:
        self._home = home
        self._bedrock_transport = bedrock_transport
        self._problems: dict[tuple[EnvironmentName, Path], str] = {}
        self._clients: Mapping[tuple[EnvironmentName, Path], PathClient] = {}
        self._rows: Mapping[EnvironmentName, EnvironmentRow] = {}
        self._closing: dict[asyncio.Task[None], PathClient] = {}

    def client(self, environment: EnvironmentName, path: Path) -> PathClient | None:
        """Return the client of `path` in `environment`, None when it is not configured."""
        return self._clients.get((environment, path))

    def row(self, environment: EnvironmentName) -> EnvironmentRow | None:
        """Return the settings that the clients of `environment` were made from."""
        return self._rows.get(environment)

    def problem(self, environment: EnvironmentName, path: Path) -> str:
        """Return why settings of `path` cannot be used as they are, empty where they can."""
        return self._problems.get((environment, path), "")

    def adopt(self, rows: Sequence[EnvironmentRow]) -> None:
        """Make the clients that `rows` ask for; keep those whose settings did not change."""
        fresh: dict[tuple[EnvironmentName, Path], PathClient] = {}
        for row in rows:
            kept = self._rows.get(row.name)
            for path in Path:
                same = kept is not None and _asks(kept, path) == _asks(row, path)
                client = self.client(row.name, path) if same else self._make(row, path)
                if client is not None:
                    fresh[(row.name, path)] = client
        left = [old for where, old in self._clients.items() if fresh.get(where) is not old]
        self._clients = fresh
        self._rows = {row.name: row for row in rows}
        for client in left:
            task = asyncio.get_running_loop().create_task(_close_later(client))
            self._closing[task] = client
            task.add_done_callback(lambda done: self._closing.pop(done, None))

    async def close(self) -> None:
        """Close every client, those at once that were to be closed later."""
        clients = [*self._clients.values(), *self._closing.values()]
        tasks, self._clients = tuple(self._closing), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(client.close() for client in clients))

    def _make(self, row: EnvironmentRow, path: Path) -> PathClient | None:
        made = self._bedrock(row) if path is Path.DIRECT_BEDROCK else self._mcp(row)
        if made is not None:
            made.warm()
        return made

    def _bedrock(self, row: EnvironmentRow) -> DirectBedrockClient | None:
        if not (row.bedrock_target and row.bedrock_region and row.bedrock_model):
            return None
        from routing.paths import bedrock_request
        from routing.paths.bedrock import DirectBedrockClient
        from routing.paths.bedrock_sign import Origin

        self._problems.pop((row.name, Path.DIRECT_BEDROCK), None)
        try:
            manners = bedrock_request.manners(row.thresholds)
            proxy = bedrock_request.proxy(row.thresholds)
        except Invalid as error:
            self._complain(row.name, f"{error.message} Until then the path is not configured.")
            return None
        own = row.bedrock_target == "aws"  # the region's own endpoint
        return DirectBedrockClient(
            environment=row.name,
            region=row.bedrock_region,
            model=row.bedrock_model,
            endpoint=lambda: None if own else self._resolve(row.bedrock_target, row.name),
            local=row.bedrock_target.startswith(local.PREFIX),
            transport=self._bedrock_transport,
            manners=manners,
            purse=self._purse(row),
            proxy=Origin(host=proxy[0], port=proxy[1], tls=False) if proxy else None,
        )

    def _purse(self, row: EnvironmentRow) -> Purse | None:
        from routing.paths import bedrock_purse

        file = self._home / "run" / f"probe-cost-{row.name}.json"
        try:
            return bedrock_purse.purse(row.thresholds, row.bedrock_model, file)
        except Invalid as error:
            self._complain(row.name, f"{error.message} Until then no probe is paid for.")
            return None

    def _complain(self, environment: EnvironmentName, problem: str) -> None:
        self._problems[(environment, Path.DIRECT_BEDROCK)] = problem
        log.error("%s: %s", environment, problem)

    def _mcp(self, row: EnvironmentRow) -> MCPRouter | None:
        if not row.mcp_target:
            return None
        from routing.paths.mcp import MCPRouter

        return MCPRouter(
            target=row.mcp_target,
            tool=row.mcp_tool,
            endpoint=lambda: self._resolve(row.mcp_target, row.name),
            arguments=row.mcp_arguments,
            idempotent=row.mcp_idempotent,
            probe_tool="echo" if row.mcp_target.startswith(local.PREFIX) else "",
            turns=turns.Turns(
                at_once=_whole(row, AT_ONCE, turns.AT_ONCE),
                longest=_whole(row, LINE, turns.LONGEST),
            ),
        )

    def _resolve(self, target: str, environment: EnvironmentName) -> str:
        return local.resolve(target, environment, home=self._home)


def _asks(row: EnvironmentRow, path: Path) -> tuple[Any, ...]:
    """Return the settings that a client of `path` is made from."""
    if path is Path.DIRECT_BEDROCK:
        own = (row.thresholds.get(key) for key in BEDROCK_KEYS)
        return row.bedrock_target, row.bedrock_region, row.bedrock_model, *own
    limits = row.thresholds.get(AT_ONCE), row.thresholds.get(LINE)
    return row.mcp_target, row.mcp_tool, row.mcp_arguments, row.mcp_idempotent, *limits


def _whole(row: EnvironmentRow, name: str, usual: int) -> int:
    """Return a limit of calls from the settings of `row`, what is usual where it is none."""
    value = row.thresholds.get(name, usual)
    if type(value) is int and 1 <= value <= MOST:
        return value
    log.warning("%s of %s is %r; %d is used: give 1 to %d.", name, row.name, value, usual, MOST)
    return usual


async def _close_later(client: PathClient) -> None:
    await asyncio.sleep(GRACE_S)
    await client.close()
