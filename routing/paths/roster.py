"""The clients of this process: one per environment and configured path, made from its settings.

A settings change makes the changed clients anew and closes the old ones after the longest
attempt; calls under way keep the client that they began with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path as Folder

from routing.core.values import EnvironmentName, Path
from routing.fleet.queries import EnvironmentRow
from routing.paths import local
from routing.paths.base import PathClient

GRACE_S = 60.0


class Roster:
    """Knows which clients there are; `home` is where the stand-ins' addresses are kept."""

    def __init__(self, home: Folder) -> None:
        self._home = home
        self._clients: Mapping[tuple[EnvironmentName, Path], PathClient] = {}
        self._rows: Mapping[EnvironmentName, EnvironmentRow] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def client(self, environment: EnvironmentName, path: Path) -> PathClient | None:
        """Return the client of `path` in `environment`, None when it is not configured."""
        return self._clients.get((environment, path))

    def row(self, environment: EnvironmentName) -> EnvironmentRow | None:
        """Return the settings that the clients of `environment` were made from."""
        return self._rows.get(environment)

    def adopt(self, rows: Sequence[EnvironmentRow]) -> None:
        """Make the clients that `rows` ask for; keep those whose settings did not change."""
        fresh: dict[tuple[EnvironmentName, Path], PathClient] = {}
        replaced: list[PathClient] = []
        for row in rows:
            kept = self._rows.get(row.name)
            same = kept is not None and kept.version == row.version
            for path in Path:
                old = self._clients.get((row.name, path))
                made = old if same else self._make(row, path)
                if made is not None:
                    fresh[(row.name, path)] = made
                if old is not None and old is not made:
                    replaced.append(old)
        self._clients = fresh
        self._rows = {row.name: row for row in rows}
        for client in replaced:
            task = asyncio.get_running_loop().create_task(_close_later(client))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close every client."""
        for task in tuple(self._closing):
            task.cancel()
        clients, self._clients = list(self._clients.values()), {}
        await asyncio.gather(*(client.close() for client in clients))

    def _make(self, row: EnvironmentRow, path: Path) -> PathClient | None:
        if path is Path.DIRECT_BEDROCK:
            return self._bedrock(row)
        return self._mcp(row)

    def _bedrock(self, row: EnvironmentRow) -> PathClient | None:
        if not (row.bedrock_target and row.bedrock_region and row.bedrock_model):
            return None
        from routing.paths.bedrock import DirectBedrockClient

        own = row.bedrock_target == "aws"  # the region's own endpoint
        return DirectBedrockClient(
            environment=row.name,
            region=row.bedrock_region,
            model=row.bedrock_model,
            endpoint=lambda: None if own else self._resolve(row.bedrock_target, row.name),
            local=row.bedrock_target.startswith(local.PREFIX),
        )

    def _mcp(self, row: EnvironmentRow) -> PathClient | None:
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
        )

    def _resolve(self, target: str, environment: EnvironmentName) -> str:
        return local.resolve(target, environment, home=self._home)


async def _close_later(client: PathClient) -> None:
    await asyncio.sleep(GRACE_S)
    await client.close()
