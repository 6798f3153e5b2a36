"""A rollback of level 1 as data: where to, step by step, why not, and the digest that confirms it.

The two targets are written out as literals (product.md section 7). A plan says "set X to value",
so doing it twice is doing it once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from routing.core import chain, guards
from routing.core.flags import FlagName
from routing.core.guards import Answer
from routing.core.matrix import Matrix
from routing.core.values import EnvironmentName, Health, Path

FRESH_MS = 15_000
LEVEL = 1


class Target(StrEnum):
    MCP_ONLY = "mcp_only"
    DIRECT_ONLY = "direct_only"


PATH: Mapping[Target, Path] = {
    Target.MCP_ONLY: Path.MCP,
    Target.DIRECT_ONLY: Path.DIRECT_BEDROCK,
}
NAMES: Mapping[Target, str] = {Target.MCP_ONLY: "MCP-only", Target.DIRECT_ONLY: "direct-only"}
FLAGS: Mapping[Target, Mapping[FlagName, bool]] = {
    Target.MCP_ONLY: {
        FlagName.INTELLIGENT_ROUTING: False,
        FlagName.DIRECT_FALLBACK: False,
        FlagName.SUPPORT_MODE: False,
        FlagName.MCP_INTEGRATION: True,
        FlagName.MONITORING: True,
    },
    Target.DIRECT_ONLY: {
        FlagName.INTELLIGENT_ROUTING: True,
        FlagName.MCP_INTEGRATION: False,
        FlagName.DIRECT_FALLBACK: True,
        FlagName.SUPPORT_MODE: False,
        FlagName.MONITORING: True,
    },
}
PROVIDER_OFF, TARGET_RED, TARGET_STALE, TARGET_UNPROVEN = (
    "provider_off",
    "target_red",
    "target_stale",
    "target_unproven",
)
_GOES: Mapping[Target, str] = {
    Target.MCP_ONLY: "Every operation goes to mcp and to nothing else, emergencies too.",
    Target.DIRECT_ONLY: "Every operation goes to direct_bedrock; what the matrix sends to mcp "
    "first falls back to it.",
}
_RED = frozenset({Health.UNHEALTHY, Health.MAINTENANCE, Health.NOT_CONFIGURED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A flag as it is: its share in percent (0 is off) and the version that was looked at."""

    share: int
    version: int

    @property
    def words(self) -> str:
        return {0: "off", 100: "on"}.get(self.share, f"on at {self.share} %")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A path as last measured; `probe_ok` is None where the last look was no probe."""

    status: Health
    age_ms: int
    why: tuple[str, ...] = ()
    probe_ok: bool | None = None

    @property
    def words(self) -> str:
        said = f" ({' '.join(self.why)})" if self.why else ""
        return f"{self.status}{said}, measured {max(self.age_ms, 0) // 1000} s ago"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. Those that set a flag name it, with the version that they replace."""

    name: str
    does: str
    before: str = ""
    after: str = ""
    precondition: str
    post_check: str
    limit_s: int
    flag: FlagName | None = None
    on: bool = False
    version: int = 0

    @property
    def changes(self) -> bool:
        return self.flag is not None and self.before != self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a plan is not carried out: the rule, in words, and what else there is."""

    rule: str
    why: str
    alternatives: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be done, in order. `seen` is the target's health, which the digest leaves out."""

    environment: EnvironmentName
    level: int
    target: Target
    steps: tuple[Step, ...]
    effects: tuple[str, ...]
    seen: Seen | None
    refusal: Refusal | None
    digest: str

    @property
    def path(self) -> Path:
        return PATH[self.target]

    @property
    def name(self) -> str:
        return NAMES[self.target]

    @property
    def writes(self) -> tuple[Step, ...]:
        """Return the steps that change a flag; without any the rollback only verifies."""
        return tuple(step for step in self.steps if step.changes)


def plan(
    *,
    environment: EnvironmentName,
    target: Target,
    flags: Mapping[FlagName, Setting],
    health: Mapping[Path, Seen],
    matrix: Matrix,
) -> Plan:
    """Return the plan that brings `environment` to `target`; total, never raises.

    `flags` are all as they are, `health` the paths that were measured at all.
    """
    steps = (_proof(target), *_sets(target, flags), *_checks(target))
    shares = {flag: flags[flag].share for flag in FlagName}
    judged = guards.judge_shares(
        environment=environment,
        before=shares,
        after=shares | {flag: 100 if on else 0 for flag, on in FLAGS[target].items()},
        matrix=matrix,
        # Nothing is written before the preflight has proven the target.
        health={PATH[target]: Health.HEALTHY},
    )
    refusal = refuse(target, flags, health)
    if refusal is None and judged.answer is Answer.REFUSE:
        refusal = Refusal(
            rule=judged.rule,
            why=f"Refused by the rule {judged.rule}: {judged.sentence}",
            alternatives=alternatives(target, flags, health),
        )
    effects = _effects(target, flags, judged.effects)
    return Plan(
        environment=environment,
        level=LEVEL,
        target=target,
        steps=steps,
        effects=effects,
        seen=health.get(PATH[target]),
        refusal=refusal,
        digest=digest(environment=environment, target=target, steps=steps, effects=effects),
    )


def digest(
    *,
    environment: EnvironmentName,
    target: Target,
    steps: Sequence[Step],
    effects: Sequence[str],
) -> str:
    """Return the digest of all that a plan would do, over its canonical bytes."""
    body: chain.Json = {
        "v": 1,
        "environment": str(environment),
        "level": LEVEL,
        "target": str(target),
        "steps": [as_json(step) for step in steps],
        "effects": list(effects),
    }
    return hashlib.sha256(chain.canonical(body)).hexdigest()


def as_json(step: Step) -> dict[str, Any]:
    """Return a step as it is digested, kept and printed."""
    return {
        "name": step.name,
        "does": step.does,
        "before": step.before,
        "after": step.after,
        "precondition": step.precondition,
        "post_check": step.post_check,
        "limit_s": step.limit_s,
        "flag": str(step.flag) if step.flag else None,
        "on": step.on,
        "version": step.version,
    }


def refuse(
    target: Target, flags: Mapping[FlagName, Setting], health: Mapping[Path, Seen]
) -> Refusal | None:
    """Return why `target` is not offered by what is known now, None when it is."""
    found = _obstacle(target, flags, health)
    if found is None:
        return None
    rule, why = found
    return Refusal(rule=rule, why=why, alternatives=alternatives(target, flags, health))


def alternatives(
    target: Target, flags: Mapping[FlagName, Setting], health: Mapping[Path, Seen]
) -> tuple[str, ...]:
    """Return the other target with its own health, if it is offered itself."""
    other = next(one for one in Target if one is not target)
    if _obstacle(other, flags, health) is not None:
        return ()
    return (f"{NAMES[other]}: {PATH[other]} is {health[PATH[other]].words}.",)


def in_words(refusal: Refusal) -> str:
    """Return a refusal as one text: why, that nothing was written, and what else there is."""
    if refusal.alternatives:
        other = f"Alternative: {' '.join(refusal.alternatives)}"
    else:
        other = (
            "No other target is proven either. Bring one path to healthy and plan again; going "
            "on without a healthy target (containment) is not offered yet."
        )
    return f"{refusal.why} Nothing was written. {other}"


def _obstacle(
    target: Target, flags: Mapping[FlagName, Setting], health: Mapping[Path, Seen]
) -> tuple[str, str] | None:
    name, path = NAMES[target], PATH[target]
    if target is Target.DIRECT_ONLY and flags[FlagName.BEDROCK_PROVIDER].share < 100:
        flag = FlagName.BEDROCK_PROVIDER
        return PROVIDER_OFF, (
            f"{name} needs {flag} on already, and it is {flags[flag].words}; a rollback never "
            "opens a provider that somebody shut."
        )
    seen = health.get(path)
    if seen is None:
        return TARGET_UNPROVEN, (
            f"{name} is not proven: {path} was never measured here. Start a server "
            "(`manage.py serve`) and wait for its first probe."
        )
    if not 0 <= seen.age_ms + 1000 <= FRESH_MS + 1000:
        return TARGET_STALE, (
            f"{name} is not proven: {path} was last measured {seen.age_ms // 1000} s ago, which "
            "is stale. Look whether a server runs (`manage.py status`)."
        )
    if seen.status in _RED:
        return TARGET_RED, f"{name} is refused: {path} is {seen.words}."
    if seen.status is Health.UNKNOWN or (seen.status is Health.OFF and not seen.probe_ok):
        return TARGET_UNPROVEN, f"{name} is not proven: {path} is {seen.words}."
    return None


def _proof(target: Target) -> Step:
    path = PATH[target]
    return Step(
        name="preflight",
        does=f"Prove {path}: a fresh probe and three test calls, each found in its own journal",
        precondition=f"{path} was measured within {FRESH_MS // 1000} s and is not red",
        post_check="without the proof nothing is written",
        limit_s=30,
    )


def _sets(target: Target, flags: Mapping[FlagName, Setting]) -> tuple[Step, ...]:
    return tuple(
        Step(
            name=f"set {flag}",
            does=f"Set {flag} to {'on' if on else 'off'}",
            before=flags[flag].words,
            after="on" if on else "off",
            precondition=f"{flag} is {flags[flag].words} at version {flags[flag].version}",
            post_check="written with the others as one change set, or none of them",
            limit_s=5,
            flag=flag,
            on=on,
            version=flags[flag].version,
        )
        for flag, on in FLAGS[target].items()
    )


def _checks(target: Target) -> tuple[Step, ...]:
    path = PATH[target]
    written = "the flags are written"
    return (
        Step(
            name="processes",
            does="Wait until every live process reports the new version",
            precondition=written,
            post_check="laggards are named",
            limit_s=10,
        ),
        Step(
            name="effective_path",
            does=f"Count where requests go: at least 99 % to {path}",
            precondition="every live process runs the new version",
            post_check="below 20 real requests, labelled synthetic ones of every operation count",
            limit_s=120,
        ),
        Step(
            name="smoke",
            does=f"Smoke tests again for {path}: connection, health, support, every operation",
            precondition=written,
            post_check="the other path's connection check is skipped and not counted",
            limit_s=120,
        ),
        Step(
            name="error_rate",
            does="Compare the errors of real requests with those before",
            precondition=written,
            post_check="not worse, where both sides have 20 real requests",
            limit_s=5,
        ),
    )


def _effects(
    target: Target, flags: Mapping[FlagName, Setting], stops: Sequence[str]
) -> tuple[str, ...]:
    session = flags[FlagName.SUPPORT_MODE].share > 0
    return (
        _GOES[target],
        *stops,
        *(("An open support session ends.",) if session else ()),
        f"Not changed: {FlagName.BEDROCK_PROVIDER}, {FlagName.CACHING}, the matrix, path "
        "settings, releases.",
    )
