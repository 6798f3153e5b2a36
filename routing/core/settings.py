"""Figures that the product runs by, frozen at start; `conf` fills them from Django's settings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from routing.core.admission import QueueSettings
from routing.core.values import EnvironmentName


class BedrockTransport(StrEnum):
    """What carries the calls to Bedrock: the SDK on threads, or our own client on the loop."""

    BOTO3 = "boto3"
    ASYNCIO = "asyncio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Intervals are seconds. `embedded`: this server keeps the local stand-ins as its paths.

    How often the version rows are read: 4 Hz on SQLite, 1 Hz on PostgreSQL; probes every 5 s.
    `at_once`: requests under way in this process, emergencies' reserved places not counted.
    """

    environments: tuple[EnvironmentName, ...]
    embedded: bool
    sqlite: bool
    synthetic: bool = False
    first_deployment: bool = False
    bedrock_transport: BedrockTransport = BedrockTransport.BOTO3
    heartbeat_s: float = 2.0
    sqlite_poll_s: float = 0.25
    postgres_poll_s: float = 1.0
    signin_flush_s: float = 60.0
    process_alive_s: float = 15.0
    probe_s: float = 5.0
    ship_s: float = 0.5
    lease_s: float = 15.0
    at_once: int = QueueSettings().capacity

    @property
    def poll_s(self) -> float:
        """How often a process looks for changes made by others."""
        return self.sqlite_poll_s if self.sqlite else self.postgres_poll_s
