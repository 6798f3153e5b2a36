"""What a path is to the router: one call, one probe, typed failures; no vendor's word passes."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from routing.core.errors import HybridOpsError
from routing.core.values import EnvironmentName, Failure, Operation, Path, Priority

Speaker = Literal["user", "assistant"]

LONGEST_DETAIL = 300
ECHO = 16  # characters of a prompt in a row that no detail may repeat
# What a hostile or helpful server may quote back from the request that it got.
_SECRETS = re.compile(
    r"""(?ix) \b(authorization | x-amz-security-token | x-amz-signature | credential | signature
        | password | api[-_]?key | token)\b
    ["']? \s* [:=] \s* ["']? (?:(?:bearer | basic | aws4-hmac-sha256) \s+)? [^\s,;"']+
    | \b(bearer | basic) \s+ [\w.+/=~-]{16,}"""
)
_KEY_IDS = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    role: Speaker
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One attempt. `timeout_s` is all the time it has, connecting included.

    `first_s` is how long the other side may say nothing at all, `gap_s` the longest silence
    between two pieces of a stream; None leaves it to the path, within `timeout_s`. `priority` is
    its place where a path lets calls wait in line. `nonce` is a run's mark that the other side's
    journal must show; empty for real traffic. `may_go` tells whether its breaker still lets it
    out; a path whose calls wait asks it when the wait is over. `heard` is called once, when the
    other side begins to speak, by clients that notice it before the answer is whole.
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
    first_s: float | None = None
    gap_s: float | None = None
    priority: Priority = Priority.MEDIUM
    may_go: Callable[[], bool] | None = field(default=None, repr=False, compare=False)
    heard: Callable[[], None] | None = field(default=None, repr=False, compare=False)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What a call that failed is paid for all the same: its model ran, or may well have."""

    model: str = ""
    usage: Usage | None = None


class PathError(HybridOpsError):
    """A call failed. `sent` says whether the request may have reached the other side.

    `billed` is None where no model ran, as far as the path knows.
    """

    code = "path_error"
    status = 502

    def __init__(
        self,
        failure: Failure,
        detail: str,
        *,
        sent: bool = True,
        retry_after_s: float | None = None,
        billed: Billed | None = None,
    ) -> None:
        super().__init__(detail, failure=str(failure))
        self.failure = failure
        self.detail = detail
        self.sent = sent
        self.retry_after_s = retry_after_s
        self.billed = billed


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One step of a probe; `ms` is how long it took, `detail` says what went wrong.

    `cost_microusd` is what it cost, in millionths of a US dollar.
    """

    name: str
    ok: bool
    ms: float
    detail: str = ""
    cost_microusd: int = 0


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

    def stream(self, call: Call) -> AsyncGenerator[str | Answer]:
        """Yield the pieces of the answer's text as they come, then the whole answer, once.

        Raises PathError, also after pieces: an answer that did not come is no answer. Whoever
        closes the generator early ends the exchange beneath.
        """
        ...

    async def probe(self) -> Probe:
        """Return what a harmless look at the other side found; never raises for its faults."""
        ...

    async def close(self) -> None:
        """Let go of connections; calls under way end with PathError."""
        ...


async def in_one_piece(client: PathClient, call: Call) -> AsyncGenerator[str | Answer]:
    """Yield the answer of a path that cannot stream: its text as one piece, then itself."""
    answer = await client.call(call)
    if call.heard is not None:
        call.heard()
    if answer.text:
        yield answer.text
    yield answer


def check(call: Call) -> None:
    """Raise PathError (validation, nothing sent) for texts that no JSON document can hold."""
    for text in (call.system, *(message.text for message in call.messages)):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise PathError(
                Failure.VALIDATION,
                "The text holds half of a surrogate pair; send well-formed Unicode.",
                sent=False,
            ) from None


def ask_leave(may_go: Callable[[], bool] | None) -> None:
    """Raise PathError (breaker open, nothing sent) for a call whose breaker opened meanwhile."""
    if may_go is not None and not may_go():
        text = "The breaker opened while the call waited for its turn."
        raise PathError(Failure.BREAKER_OPEN, text, sent=False)


def words(text: object) -> str:
    """Return what the other side said as one short line without credentials.

    Control characters become spaces; what looks like a secret that was quoted back is left out.
    """
    shown = "".join(c if c.isprintable() else " " for c in str(text)[: LONGEST_DETAIL * 20])
    shown = _SECRETS.sub(lambda found: f"{found[1] or found[2]} ...", shown)
    shown = _KEY_IDS.sub("...", shown)
    return " ".join(shown.split())[:LONGEST_DETAIL]


def discreet(error: PathError, call: Call) -> PathError:
    """Return `error` as it may be recorded: without a detail that quotes the prompt."""
    said = error.detail
    windows = {said[start : start + ECHO] for start in range(len(said) - ECHO + 1)}
    texts = (call.system, *(message.text for message in call.messages))
    if not any(window in text for window in windows for text in texts):
        return error
    return PathError(
        error.failure,
        "The other side's words repeat the prompt, so they are not kept.",
        sent=error.sent,
        retry_after_s=error.retry_after_s,
        billed=error.billed,
    )


def seconds(header: str) -> float | None:
    """Return a Retry-After in seconds; None for a date, nonsense or more than 30 years."""
    plain = header.isascii() and header.isdigit() and len(header) <= 9
    return float(header) if plain else None
