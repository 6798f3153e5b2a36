"""The JSON form of a deployment document, its summary: exact keys, exact types, known words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from routing.core import chain
from routing.core.errors import Invalid
from routing.core.flags import FlagName
from routing.core.values import Component, EnvironmentName
from routing.core.verdict import Suite, TestResult
from routing.deployments import parsed, shapes
from routing.deployments.parsed import Drift, IntegrationTest, Parsed, Place, SmokeTest, shown

TOP = ("deploymentId", "timestamp", "environment", "success", "summary", "details")
COUNTS = (
    "componentsDeployed", "featureFlagsEnabled", "smokeTestsPassed", "smokeTestsTotal",
    "integrationTestsPassed", "integrationTestsTotal", "errorsCount", "warningsCount",
)  # fmt: skip
DETAILS = (
    "success", "timestamp", "environment", "componentsDeployed", "featureFlagsEnabled",
    "smokeTestResults", "integrationTestResults", "errors", "warnings", "deploymentId",
)  # fmt: skip
RESULT = ("status", "duration")
MAY = ("details", "error")
# What stands twice in a summary, and has to say the same both times.
TWICE = ("deploymentId", "timestamp", "environment", "success")


def parse(text: str, *, file: str = "the document", max_bytes: int = 2 * 1024 * 1024) -> Parsed:
    """Read the summary `text`.

    Raises Invalid, naming `file`, line and place, for everything but the exact shape.
    """
    try:
        value = chain.strict_parse(text.encode(), max_bytes=max_bytes)
    except Invalid as error:
        line = int(error.facts.get("line", 1))
        column = f", column {error.facts['column']}" if "column" in error.facts else ""
        at = Place(file=file, where=f"line {line}{column}", line=line)
        raise at.refuse(error.facts.get("what", error.message)) from None
    whole = _Node(file=file, text=text, path=(), value=value)
    if not isinstance(value, Mapping) or not {"deploymentId", "details"} <= value.keys():
        raise whole.at.refuse(shapes.json(value))
    top = whole.members(TOP)
    details = top["details"].members(DETAILS)
    for name in TWICE:
        one, other = details[name].value, top[name].value
        if type(one) is not type(other) or one != other:  # 1 and True are equal to Python
            raise details[name].wrong(f"the same {name} as at the top", details[name].value)
    return _parsed(top, details)


def _parsed(top: Mapping[str, _Node], details: Mapping[str, _Node]) -> Parsed:
    drift: list[Drift] = []
    success = top["success"].boolean()
    counts = top["summary"].members(COUNTS)
    environment = top["environment"]
    return Parsed(
        deployment_id=parsed.deployment_id(top["deploymentId"].string(), top["deploymentId"].at),
        environment=parsed.word(EnvironmentName, environment.string(), environment.at, drift),
        timestamp=parsed.timestamp(top["timestamp"].string(), top["timestamp"].at),
        recorded_status="SUCCESS" if success else "FAILED",
        recorded_success=success,
        components=_components(details["componentsDeployed"], drift),
        flags=_flags(details["featureFlagsEnabled"]),
        tests=(*_smoke(details["smokeTestResults"], drift),
               *_integration(details["integrationTestResults"], drift)),
        errors=_texts(details["errors"]),
        warnings=_texts(details["warnings"]),
        counts={name: node.count() for name, node in counts.items()},
        drift=tuple(drift),
    )  # fmt: skip


def _texts(listed: _Node) -> tuple[str, ...]:
    nodes = listed.items()
    if len(nodes) > parsed.MOST_TEXTS:
        raise listed.wrong(f"at most {parsed.MOST_TEXTS} texts", listed.value)
    return tuple(node.string() for node in nodes)


def _components(listed: _Node, drift: list[Drift]) -> tuple[Component, ...]:
    found: list[Component] = []
    for node in listed.items():
        component = parsed.word(Component, node.string(), node.at, drift)
        if component in found:
            raise node.at.refuse(f"{component} is listed twice")
        found.append(component)
    return tuple(found)


def _flags(listed: _Node) -> dict[FlagName, bool]:
    found: dict[FlagName, bool] = {}
    for node in listed.items():
        name, on = parsed.flag(node.string(), node.at)
        if name in found:
            raise node.at.refuse(f"{name} is listed twice")
        found[name] = on
    return found


def _smoke(listed: _Node, drift: list[Drift]) -> tuple[TestResult, ...]:
    found: dict[str, TestResult] = {}
    for node in listed.items():
        said = node.members(("component", "test", *RESULT), MAY)
        at = said["test"].at
        component = parsed.word(Component, said["component"].string(), said["component"].at, drift)
        name = parsed.test_name(SmokeTest, f"{component}.{said['test'].string()}", at)
        _keep(found, _result(Suite.SMOKE, name, said, drift), at)
    return tuple(found.values())


def _integration(listed: _Node, drift: list[Drift]) -> tuple[TestResult, ...]:
    found: dict[str, TestResult] = {}
    for node in listed.items():
        said = node.members(("integration", *RESULT), MAY)
        at = said["integration"].at
        name = parsed.test_name(IntegrationTest, said["integration"].string(), at)
        _keep(found, _result(Suite.INTEGRATION, name, said, drift), at)
    return tuple(found.values())


def _keep(found: dict[str, TestResult], result: TestResult, at: Place) -> None:
    if result.name in found:
        raise at.refuse(f"{result.name} is listed twice")
    found[result.name] = result


def _result(suite: Suite, name: str, said: Mapping[str, _Node], drift: list[Drift]) -> TestResult:
    if "details" in said:
        said["details"].string()  # a stock phrase of the script; the kept text still has it
    return TestResult(
        suite=suite,
        name=name,
        status=parsed.status(said["status"].string(), said["status"].at, drift),
        duration_ms=said["duration"].count(),
        error=said["error"].string() if "error" in said else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """A value of the document and the way to it; every reading refuses another type."""

    file: str
    text: str
    path: tuple[str | int, ...]
    value: Any

    @property
    def at(self) -> Place:
        where = "$" + "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in self.path)
        line = _line(self.text, self.path)
        return Place(file=self.file, where=f"line {line}, {where}", line=line)

    def wrong(self, expected: str, found: object) -> Invalid:
        return self.at.wrong(expected, found)

    def below(self, step: str | int, value: Any) -> _Node:
        return _Node(file=self.file, text=self.text, path=(*self.path, step), value=value)

    def members(self, keys: Sequence[str], may: Sequence[str] = ()) -> dict[str, _Node]:
        if not isinstance(self.value, dict):
            raise self.wrong("an object", self.value)
        for key in self.value:
            if key not in keys and key not in may:
                known = ", ".join((*keys, *may))
                raise self.at.refuse(f"the key {shown(key)} is not known here; known: {known}")
        for key in keys:
            if key not in self.value:
                raise self.at.refuse(f"the key {key!r} is missing")
        return {key: self.below(key, value) for key, value in self.value.items()}

    def items(self) -> list[_Node]:
        if not isinstance(self.value, list):
            raise self.wrong("a list", self.value)
        return [self.below(n, value) for n, value in enumerate(self.value)]

    def string(self) -> str:
        if not isinstance(self.value, str):
            raise self.wrong("a text", self.value)
        bad = parsed.unfit(self.value)
        if bad is not None:
            raise self.wrong("text without control or direction characters", bad.group())
        return self.value

    def count(self) -> int:
        whole = isinstance(self.value, int) and not isinstance(self.value, bool)
        if not whole or not 0 <= self.value <= parsed.LONGEST_MS:
            raise self.wrong("a whole number of 0 or more", self.value)
        return int(self.value)

    def boolean(self) -> bool:
        if not isinstance(self.value, bool):
            raise self.wrong("true or false", self.value)
        return self.value


def _line(text: str, path: Sequence[str | int]) -> int:
    """Return the line on which the value at `path` begins; `text` is known to be valid JSON."""
    at = _skip(text, 0)
    for step in path:
        at = _entry(text, _skip(text, at + 1), step)
    return text.count("\n", 0, at) + 1


def _entry(text: str, at: int, step: str | int) -> int:
    """Return where the member or item `step` begins, in the object or list opened before `at`."""
    decoder = json.JSONDecoder()
    index = 0
    while True:
        name: str | int = index
        if isinstance(step, str):
            name, at = decoder.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        if name == step:
            return at
        _, at = decoder.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        index += 1


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in (" ", "\t", "\n", "\r"):
        at += 1
    return at
