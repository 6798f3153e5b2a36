"""The errors that a run recorded, read for what they are about.

The recorded runs mixed three things up: a word outside the vocabulary, a path taken because the
other one was dead, and a rule that was wrong. Their error texts are told apart here.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from routing.core import aliases
from routing.core.aliases import Alias
from routing.core.errors import UnknownWord
from routing.core.values import Operation, Path, Word
from routing.core.verdict import Mismatch
from routing.deployments.parsed import SmokeTest, shown

METHOD_MISSING = "method_missing"
_ROUTE = re.compile(r"Expected (\S{1,80}) to route to (\S{1,80}), got (\S{1,80})")
_RULE = re.compile(r"No routing rule found for operation: (\S{1,80})")
_METHOD = re.compile(r"(\w[\w.]{0,79}) is not a function", re.ASCII)
_NOTHING = ("undefined", "null", "None")
_CONNECTION = {
    Path.DIRECT_BEDROCK: str(SmokeTest.DIRECT_CONNECTION),
    Path.MCP: str(SmokeTest.MCP_CONNECTION),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an error says: `expected` beside `actual` where it compared, and its kind if known.

    `subject` is what it is about where several of a code are told together.
    """

    code: str
    message: str
    subject: str = ""
    expected: str = ""
    actual: str = ""
    kind: Mismatch | None = None


def read(text: str, *, failed: Collection[str] = ()) -> tuple[Reading, ...]:
    """Return what the error `text` is about, nothing where it is of no known form.

    `failed` names the tests that failed in the same run; they may explain a path.
    """
    route = _ROUTE.search(text)
    if route is not None:
        return _route(*route.groups(), failed=failed)
    rule = _RULE.search(text)
    if rule is not None:
        return (_rule(rule.group(1)),)
    method = _METHOD.search(text)
    if method is None:
        return ()
    words = f"The run called {method.group(1)}, which did not exist."
    return (Reading(code=METHOD_MISSING, message=words, subject=method.group(1)),)


def _route(
    operation: str, expected: str, got: str, *, failed: Collection[str]
) -> tuple[Reading, ...]:
    said = f"The run expected {_word(operation)} on {_word(expected)} and got {_word(got)}."
    compared = Reading(
        code="undefined_route",
        message=f"{said} The router named no path at all.",
        expected=f"{operation} → {expected}",
        actual=f"{operation} → {got}",
    )
    if got in _NOTHING:
        return (compared,)
    wanted, taken = _canonical(Path, expected), _canonical(Path, got)
    if wanted is None or taken is None:
        words = f"{said} {_word(got if taken is None else expected)} is no path that is known."
        vocabulary = Mismatch.VOCABULARY
        return (replace(compared, code="unknown_route", message=words, kind=vocabulary),)
    if wanted.word is not taken.word:
        return _elsewhere(said, compared, wanted.word, taken, failed)
    words = (
        f"{said} That is an alias of {taken.word}: the same path in a word outside the "
        "vocabulary. This is vocabulary drift, not a routing fault."
    )
    return (replace(compared, code="vocabulary_drift", message=words, kind=Mismatch.VOCABULARY),)


def _elsewhere(
    said: str, compared: Reading, wanted: Path, taken: Alias[Path], failed: Collection[str]
) -> tuple[Reading, ...]:
    connection = _CONNECTION[wanted]
    kind = Mismatch.HEALTH_FALLBACK if connection in failed else None
    if kind is None:
        why = "The document does not say whether a rule, a flag or a path's health was behind it."
    else:
        why = (
            f"{connection} failed in the same run, so the router may have fallen back from a dead "
            f"{wanted}: the document calls that a fault of the rule and shows none."
        )
    words = f"{said} It went to {taken.word} instead of {wanted}. {why}"
    route = replace(compared, code="route_differs", message=words, kind=kind)
    if not taken.drifted:
        return (route,)
    drift = (
        f"The run spells {taken.word} as {_word(taken.original)}, a word outside the vocabulary."
    )
    return (route, Reading(code="vocabulary_drift", message=drift, kind=Mismatch.VOCABULARY))


def _rule(operation: str) -> Reading:
    said = f"The run found no rule for the operation {_word(operation)}."
    if operation in _NOTHING:
        words = f"{said} It asked without naming one."
        return Reading(code="undefined_operation", message=words)
    known = _canonical(Operation, operation)
    if known is None:
        words = f"{said} There is no such operation; known: {', '.join(Operation)}."
        return Reading(code="unknown_operation", message=words, kind=Mismatch.VOCABULARY)
    if known.drifted:
        words = (
            f"{said} That is an alias of {known.word}, an operation under its own name. This is "
            "vocabulary drift, not a missing rule."
        )
        return Reading(code="vocabulary_drift", message=words, kind=Mismatch.VOCABULARY)
    words = f"{said} It is one of the known operations: its rule was missing."
    return Reading(code="rule_missing", message=words, kind=Mismatch.RULE)


def _canonical(kind: type[Word], text: str) -> Alias[Word] | None:
    try:
        return aliases.canonical(kind, text)
    except UnknownWord:
        return None


def _word(text: str) -> str:
    """Return a word of ours bare, any other in quotes and made harmless."""
    known = {*map(str, Path), *map(str, Operation)}
    return text if text in known else shown(text)
