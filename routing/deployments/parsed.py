"""What a deployment document says, whichever of its two forms it was written in.

The words of a document are read here for both forms: each is checked against the vocabulary, and
a refusal names the file, the place, what was expected and what was found.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from routing.core import aliases, flags
from routing.core.errors import Invalid, UnknownWord
from routing.core.flags import FlagName
from routing.core.values import Component, EnvironmentName, TestStatus, Verdict, Word
from routing.core.verdict import TestResult

LONGEST_FOUND = 80
LONGEST_MS = 2**31 - 1
MOST_LINES = 20_000
MOST_TEXTS = 1000  # errors, and warnings


class Format(StrEnum):
    MARKDOWN = "md"
    JSON = "json"


class SmokeTest(StrEnum):
    """The smoke tests, each named `Component.test`."""

    ROUTING_DECISION = "IntelligentRouter.routing_decision_basic"
    DIRECT_CONNECTION = "DirectBedrockClient.direct_connection"
    MCP_CONNECTION = "MCPRouter.mcp_connection"
    HEALTH_CHECK = "HybridHealthMonitor.health_check_basic"
    SUPPORT_MODE = "BedrockSupportManager.support_mode_basic"


class IntegrationTest(StrEnum):
    FEATURE_FLAGS = "feature_flags_system"
    AUDIT_TRAIL = "audit_trail_system"
    MONITORING = "monitoring_system"
    COMPLIANCE = "compliance_system"
    CIRCUIT_BREAKER = "circuit_breaker_system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A word that was spelled by an alias: `original` at `place` stands for `word`."""

    place: str
    original: str
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """The claims of one document; its tests are unproven by nature.

    `recorded_status` is the document's own spelling; a JSON document records `recorded_success`
    instead, and its status is the word that goes with it. `process` is kept as written, `counts`
    are the summary that only JSON has.
    """

    deployment_id: str
    environment: EnvironmentName
    timestamp: datetime
    recorded_status: str
    recorded_success: bool | None = None
    components: tuple[Component, ...] = ()
    flags: Mapping[FlagName, bool] = field(default_factory=dict)
    tests: tuple[TestResult, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    process: str = ""
    counts: Mapping[str, int] | None = None
    drift: tuple[Drift, ...] = ()

    @property
    def recorded(self) -> Verdict:
        """Return the verdict that the recorded status spells."""
        return aliases.canonical(Verdict, self.recorded_status).word


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in a document, in words: `line 12`, `line 30, $.details.errors`."""

    file: str
    where: str
    line: int

    def wrong(self, expected: str, found: object) -> Invalid:
        """Return the refusal of what stands here."""
        return self.refuse(f"expected {expected}, found {shown(found)}")

    def refuse(self, words: str) -> Invalid:
        """Return a refusal in `words`, which go on after the place."""
        end = "" if words.endswith(".") else "."
        return Invalid(
            f"{self.file}, {self.where}: {words}{end}",
            file=self.file,
            line=self.line,
            place=self.where,
        )


def shown(found: object) -> str:
    """Return `found` on one line of printable ASCII, cut to what a message can carry."""
    if found is None:
        return "null"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, Mapping | list):
        return f"{'an object' if isinstance(found, Mapping) else 'a list'} of {len(found)}"
    text = ascii(found)
    return text if len(text) <= LONGEST_FOUND else f"{text[: LONGEST_FOUND - 3]}..."


# Controls but tab and line feed, line separators, and what turns text around or hides in it.
_UNFIT = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TAKEN = re.compile(r"history-.*|import|compare")
_ID_MS = re.compile(r"-([0-9]{13})")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", re.ASCII
)


def unfit(text: str) -> re.Match[str] | None:
    """Find the first character that no document may hold."""
    return _UNFIT.search(text)


def harmless(text: str) -> str:
    """Return `text` with U+FFFD for every character that no document may hold."""
    return _UNFIT.sub("\ufffd", text.replace("\r\n", "\n")).encode(errors="replace").decode()


def deployment_id(text: str, at: Place) -> str:
    """Read a deployment's id; the ones that the product gives itself are not to be claimed."""
    if not _ID.fullmatch(text):
        raise at.wrong("an id of up to 100 letters, digits, dots, dashes and underscores", text)
    if _TAKEN.fullmatch(text):
        raise at.refuse(f"the id {text!r} is one that HybridOps keeps to itself")
    return text


def id_ms(text: str) -> int | None:
    """Return the milliseconds since 1970 at the end of a deployment's id, None without."""
    match = _ID_MS.search(text, max(0, len(text) - 14))
    return int(match.group(1)) if match and match.end() == len(text) else None


def timestamp(text: str, at: Place) -> datetime:
    """Read a UTC time with milliseconds."""
    expected = "a UTC time such as 2025-01-31T12:00:00.000Z"
    if not _TIMESTAMP.fullmatch(text):
        raise at.wrong(expected, text)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise at.wrong(expected, text) from None


def word(kind: type[Word], text: str, at: Place, drift: list[Drift]) -> Word:
    """Read a word of the vocabulary, by an alias too; an alias is noted in `drift`."""
    try:
        found = aliases.canonical(kind, text)
    except UnknownWord as error:
        raise at.refuse(_ascii(error.message)) from None
    if found.drifted:
        drift.append(Drift(place=at.where, original=text, word=str(found.word)))
    return found.word


def flag(text: str, at: Place) -> tuple[FlagName, bool]:
    """Read `NAME=true` or `NAME=false`."""
    name, equals, value = text.partition("=")
    if not equals or value not in ("true", "false"):
        raise at.wrong("a flag as NAME=true or NAME=false", text)
    try:
        return flags.parse_flag(name), value == "true"
    except UnknownWord as error:
        raise at.refuse(_ascii(error.message)) from None


def test_name(kind: type[SmokeTest] | type[IntegrationTest], text: str, at: Place) -> str:
    """Read the name of a test, which has to be one of those that a deployment runs."""
    known = [str(name) for name in kind]
    if text not in known:
        raise at.refuse(f"{shown(text)} is not a known test; known: {', '.join(known)}")
    return text


def status(text: str, at: Place, drift: list[Drift]) -> TestStatus:
    """Read a test's status."""
    return word(TestStatus, text, at, drift)


def _ascii(message: str) -> str:
    return message.encode("ascii", "backslashreplace").decode()
