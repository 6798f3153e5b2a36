"""The documents of one deployment held against each other: together, and where they differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from routing.core import verdict
from routing.core.values import Verdict
from routing.core.verdict import Derived
from routing.deployments.parsed import Parsed, shown

_WORST = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.SUCCEEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field in which two documents differ; a side that lacks it says `none`."""

    field: str
    one: str
    other: str


def merged(markdown: Parsed | None, summary: Parsed | None) -> Parsed:
    """Return what the documents say together; the order in which they came plays no part.

    JSON says more about tests, Markdown has the recorded word and the process. Where they differ
    JSON stands, and `differences` tells. One of them has to be there.
    """
    if markdown is None or summary is None:
        found = markdown or summary
        assert found is not None
        return found
    return replace(
        summary,
        recorded_status=markdown.recorded_status,
        process=markdown.process,
        drift=(*markdown.drift, *summary.drift),
    )


def derived(*documents: Parsed | None) -> Derived:
    """Return what the documents amount to; of two that differ, the worse one counts."""
    found = [
        verdict.derive(said.tests, said.components, said.errors)
        for said in documents
        if said is not None
    ]
    return min(found, key=lambda one: _WORST.index(one.verdict))


def differences(one: Parsed, other: Parsed) -> tuple[Difference, ...]:
    """Return every fact in which two documents differ; what only one form can say is left out."""
    facts, others = dict(_facts(one)), dict(_facts(other))
    both = [*facts, *(name for name in others if name not in facts)]
    told = (
        Difference(field=name, one=facts.get(name, "none"), other=others.get(name, "none"))
        for name in both
    )
    return tuple(said for said in told if said.one != said.other)


def against(before: Parsed, now: Parsed) -> str:
    """Say in words how a second document of one format differs from the first."""
    told = [f"{d.field} ({d.one} there, {d.other} here)" for d in differences(before, now)]
    if not told:
        what = "process text" if before.process != now.process else "spelling alone"
        return f"It differs in its {what}; the facts are the same."
    more = f" and {len(told) - 6} more" if len(told) > 6 else ""
    return f"It differs in {', '.join(told[:6])}{more}."


def _facts(said: Parsed) -> Iterator[tuple[str, str]]:
    yield "environment", str(said.environment)
    yield "timestamp", said.timestamp.isoformat()
    yield "success", _yes(said.recorded is Verdict.SUCCEEDED)
    yield "components", _list(said.components)
    yield from ((f"flag {name}", str(on).lower()) for name, on in said.flags.items())
    for test in said.tests:
        yield f"test {test.name}", f"{test.status} in {test.duration_ms} ms"
    yield "errors", _list(said.errors)
    yield "warnings", _list(said.warnings)


def _list(items: tuple[str, ...]) -> str:
    return "; ".join(shown(str(item)) for item in items) or "none"


def _yes(yes: bool) -> str:
    return "yes" if yes else "no"


def counted(said: Parsed, counts: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """Return each count of a summary that its details do not bear out, with both figures."""
    recorded = said.counts or {}
    return [
        (name, recorded[name], figure)
        for name, figure in counts.items()
        if name in recorded and recorded[name] != figure
    ]
