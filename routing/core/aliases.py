"""Foreign spellings of our words, accepted at the import boundary and nowhere else.

The table is explicit and exact: no case folding, no guessing. What named more than one thing in
the documents that we import is left out and therefore refused: the routes `hybrid` and
`fallback` (no single path), the breaker keys `bedrock` and `google` (providers, not paths), the
priority `emergency` (an operation), the operation `unknown`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic

from routing.core.errors import UnknownWord
from routing.core.values import (
    Component,
    EnvironmentName,
    Operation,
    Path,
    Priority,
    TestStatus,
    Verdict,
    Word,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias(Generic[Word]):
    """A word as it was read: `original` is kept as evidence, `drifted` says that it differs."""

    original: str
    word: Word
    drifted: bool


ALIASES: Mapping[type[StrEnum], Mapping[str, StrEnum]] = {
    Path: {
        "direct": Path.DIRECT_BEDROCK,
        "direct-bedrock": Path.DIRECT_BEDROCK,
        "DirectBedrock": Path.DIRECT_BEDROCK,
        "mcp_integration": Path.MCP,
        "MCP": Path.MCP,
    },
    Operation: {
        "emergency_operation": Operation.EMERGENCY,
        "infrastructure_audit": Operation.INFRASTRUCTURE,
        "infrastructureAudit": Operation.INFRASTRUCTURE,
        "metaMonitoring": Operation.META_MONITOR,
        "implementation_support": Operation.IMPLEMENTATION,
        "kiro_bridge": Operation.KIRO_COMMUNICATION,
        "standard_analysis": Operation.STANDARD,
    },
    Priority: {},
    EnvironmentName: {
        "dev": EnvironmentName.DEVELOPMENT,
        "prod": EnvironmentName.PRODUCTION,
    },
    Component: {},
    TestStatus: {
        "PASS": TestStatus.PASS,
        "FAIL": TestStatus.FAIL,
        "SKIP": TestStatus.SKIP,
    },
    # A document records a status where we keep a verdict.
    Verdict: {
        "SUCCESS": Verdict.SUCCEEDED,
        "FAILED": Verdict.FAILED,
        "INCONCLUSIVE": Verdict.INCONCLUSIVE,  # only in documents that we wrote ourselves
    },
}


def canonical(kind: type[Word], text: str) -> Alias[Word]:
    """Return the word of `kind` that `text` spells, exactly or by a known alias.

    Raises UnknownWord, which lists the words and then the aliases that would have been accepted.
    """
    try:
        return Alias(original=text, word=kind(text), drifted=False)
    except ValueError:
        pass
    known = ALIASES.get(kind, {})
    word = known.get(text)
    if isinstance(word, kind):
        return Alias(original=text, word=word, drifted=True)
    raise UnknownWord(kind=kind.__name__, text=text, known=[*(str(w) for w in kind), *known])
