"""What a path is to the router: one call, one probe, typed failures; no vendor's word passes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from routing.core.errors import HybridOpsError
from routing.core.values import EnvironmentName, Failure, Operation, Path

Speaker = Literal["user", "assistant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    role: Speaker
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt. `timeout_s` is all the time it has, connecting included.

    `nonce` is a run's mark that the other side's journal must show; empty for real traffic.
    """

    environment: EnvironmentName
    operation: Operation
    messages: tuple[Message, ...]
    max_tokens: int
    timeout_s: float
    decision_id: str
    system: str = ""
    temperature: float | None = None
    nonce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; `usage` is None where the path does not tell, never 0 instead."""

    text: str
    stop_reason: str
    model: str
    usage: Usage | None = None


class PathError(HybridOpsError):
    """A call failed. `sent` says whether the request may have reached the other side."""

    code = "path_error"
    status = 502

    def __init__(
        self,
        failure: Failure,
        detail: str,
        *,
        sent: bool = True,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(detail, failure=str(failure))
        self.failure = failure
        self.detail = detail
        self.sent = sent
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a probe; `ms` is how long it took, `detail` says what went wrong."""

    name: str
    ok: bool
    ms: float
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    stages: tuple[Stage, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether something was measured and every stage held."""
        return bool(self.stages) and all(stage.ok for stage in self.stages)


class PathClient(Protocol):
    """One environment's client of one path; `target` names region and model, or the server."""

    path: Path
    target: str

    async def call(self, call: Call) -> Answer:
        """Return the answer to `call`; raises PathError, never a vendor's error."""
        ...

    async def probe(self) -> Probe:
        """Return what a harmless look at the other side found; never raises for its faults."""
        ...

    async def close(self) -> None:
        """Let go of connections; calls under way end with PathError."""
        ...
