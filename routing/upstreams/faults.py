"""The faults a stand-in can be asked for: which are in force, and which request one strikes.

Pure: time and the seed are arguments. Every fault has its own end, at most ten minutes away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from routing.core.errors import Invalid
from routing.core.values import EnvironmentName, parse

LONGEST_S = 600.0
LONGEST_LATENCY_MS = 120_000
_CODE = re.compile(r"-?[A-Za-z0-9_]{1,80}")


class Kind(StrEnum):
    """How a stand-in misbehaves; see `gate` for what each does on the wire."""

    LATENCY = "latency"
    ERROR = "error"
    HANG = "hang"
    MALFORMED = "malformed"
    CUT = "cut"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault as asked for. `environment` None means all; `share` is the part of requests hit.

    `status`, `code` and `retry_after_s` belong to `error`, `ms` to `latency`. On a stream a fault
    strikes after `after` events; `clean` makes a cut stream end as if it were whole.
    """

    kind: Kind
    environment: EnvironmentName | None = None
    seconds: float = 60.0
    share: float = 1.0
    ms: int = 0
    status: int | None = None
    code: str = ""
    retry_after_s: int | None = None
    after: int = 0
    clean: bool = False


@dataclass(slots=True, kw_only=True)
class Active:
    """A fault in force until `ends_at` (monotonic seconds); `seen` counts requests weighed."""

    fault: Fault
    number: int
    ends_at: float
    seen: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """What befalls one request: a delay, and at most one fault of another kind with its end."""

    delay_ms: int = 0
    fault: Fault | None = None
    ends_at: float = 0.0

    @property
    def name(self) -> str | None:
        """The kind to put into the journal; None for a request left in peace."""
        if self.fault is not None:
            return str(self.fault.kind)
        return str(Kind.LATENCY) if self.delay_ms else None


NOTHING = Strike()


@dataclass(slots=True, kw_only=True)
class Board:
    """The faults in force. The same seed and the same requests give the same strikes."""

    seed: int = 0
    _active: list[Active] = field(default_factory=list)
    _made: int = 0

    def add(self, fault: Fault, now: float) -> Active:
        """Put `fault` in force from `now` (monotonic seconds)."""
        self._made += 1
        active = Active(fault=fault, number=self._made, ends_at=now + fault.seconds)
        self._active = [*self.active(now), active]
        return active

    def clear(self) -> int:
        """End all faults and return how many there were."""
        ended, self._active = len(self._active), []
        return ended

    def active(self, now: float) -> list[Active]:
        """Return the faults in force at `now`, oldest first."""
        return [one for one in self._active if now < one.ends_at]

    def strike(self, environment: EnvironmentName, now: float) -> Strike:
        """Return what befalls the next request: all delays, and the newest other fault."""
        delay_ms, struck = 0, None
        for one in self.active(now):
            if one.fault.environment not in (None, environment) or not self._hits(one):
                continue
            if one.fault.kind is Kind.LATENCY:
                delay_ms += one.fault.ms
            else:
                struck = one
        if struck is None:
            return Strike(delay_ms=delay_ms) if delay_ms else NOTHING
        return Strike(delay_ms=delay_ms, fault=struck.fault, ends_at=struck.ends_at)

    def _hits(self, one: Active) -> bool:
        one.seen += 1
        text = f"{self.seed}/{one.number}/{one.seen}".encode()
        drawn = int.from_bytes(hashlib.sha256(text).digest()[:8], "big")
        return drawn < one.fault.share * 2**64


def read(message: Mapping[str, Any]) -> Fault:
    """Return the fault that a control message asks for; raises Invalid or UnknownWord."""
    known = {"do", *Fault.__dataclass_fields__}
    strange = sorted(set(message) - known)
    if strange:
        raise Invalid(f"A fault knows no {', '.join(strange)}; known: {', '.join(sorted(known))}.")
    kind = parse(Kind, str(message.get("kind") or ""))
    place = message.get("environment")
    ms = _whole(message, "ms", 0, 1, LONGEST_LATENCY_MS)
    if kind is Kind.LATENCY and not ms:
        raise Invalid("A latency fault needs `ms`: how many milliseconds each answer waits.")
    return Fault(
        kind=kind,
        environment=parse(EnvironmentName, str(place)) if place is not None else None,
        seconds=_number(message, "seconds", 60.0, LONGEST_S),
        share=_number(message, "share", 1.0, 1.0),
        ms=ms or 0,
        status=_whole(message, "status", None, 400, 599),
        code=_code(message),
        retry_after_s=_whole(message, "retry_after_s", None, 0, 10**9),
        after=_whole(message, "after", 0, 0, 10_000) or 0,
        clean=bool(message.get("clean")),
    )


def _number(message: Mapping[str, Any], name: str, default: float, most: float) -> float:
    value = message.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise Invalid(f"`{name}` is {value!r}; give a number above 0 and up to {most:g}.")
    return float(value)


def _whole(
    message: Mapping[str, Any], name: str, default: int | None, least: int, most: int
) -> int | None:
    value = message.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Invalid(f"`{name}` is {value!r}; give a whole number from {least} to {most}.")
    return value


def _code(message: Mapping[str, Any]) -> str:
    code = message.get("code") or ""
    if code and not (isinstance(code, str) and _CODE.fullmatch(code)):
        raise Invalid(f"`code` is {code!r}; give one word, such as ThrottlingException.")
    return str(code)
