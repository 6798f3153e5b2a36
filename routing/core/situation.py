"""How an environment stands, in one sentence, and the levers that would mend it.

Both follow from what was measured, from what is in force, and from `decide` asked for every
operation. A lever is offered, never pulled; a flag that was switched off for security or
compliance is never offered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from routing.core import health, situation_facts
from routing.core.decision import Decision, Kill
from routing.core.flags import FlagName
from routing.core.guards import PROVIDER
from routing.core.situation_facts import (
    Asked,
    Facts,
    PathNow,
    began_after,
    clock,
    first,
    fresh,
    join,
    names,
)
from routing.core.values import Health, Operation, Path, Reason, Skip

__all__ = [
    "RIGHTLY_REFUSED",
    "Asked",
    "Facts",
    "Lever",
    "PathNow",
    "Sentence",
    "began_after",
    "clock",
    "fresh",
    "levers",
    "sentence",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """`text` says it all, with its time; `why` on what it rests, `also` what is less bad,
    `effects` what callers get."""

    level: Health
    text: str
    since: datetime | None
    why: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """A flag to switch on. `regained` had no path and would have one, `returned` would be back on
    the path that the matrix gives them; `requests` of the window were for either."""

    flag: FlagName
    effect: str
    target: Path | None
    regained: tuple[Operation, ...] = ()
    returned: tuple[Operation, ...] = ()
    requests: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    level: Health
    words: str
    since: datetime | None
    why: tuple[str, ...] = ()


def sentence(facts: Facts) -> Sentence:
    """Return the state of the environment: the worst that is known, then the rest.

    Total over its arguments. Of equally bad findings, what is measured comes before what follows
    from it.
    """
    decisions = situation_facts.decisions(facts, facts.state.flags)
    found = [*_paths(facts), *_operations(facts, decisions), *_requests(facts)]
    if not found:
        return _quiet(facts, decisions)
    level = health.worst([finding.level for finding in found])
    worst = next(finding for finding in found if finding.level is level)
    rest = [finding for finding in found if finding is not worst]
    return Sentence(
        level=level,
        text=_dated(worst, facts.now),
        since=worst.since,
        why=worst.why,
        also=tuple(_dated(finding, facts.now) + "." for finding in rest),
        effects=_effects(facts, decisions),
    )


def _quiet(facts: Facts, decisions: Mapping[Operation, Decision]) -> Sentence:
    since = max((path.since for path in facts.paths.values()), default=None)
    finding = _Finding(
        level=Health.HEALTHY, words=f"Both paths are healthy in {facts.environment}", since=since
    )
    return Sentence(
        level=Health.HEALTHY,
        text=_dated(finding, facts.now),
        since=since,
        effects=_effects(facts, decisions),
    )


_STATE_IN_WORDS: Mapping[Health, str] = {
    Health.UNHEALTHY: "unhealthy",
    Health.DEGRADED: "degraded",
    Health.MAINTENANCE: "in maintenance",
    Health.OFF: "switched off",
    Health.NOT_CONFIGURED: "not configured",
}


def _paths(facts: Facts) -> list[_Finding]:
    """Tell of each path that is not healthy; of both at once where they are alike."""
    now = {path: fresh(facts.paths.get(path), facts.now) for path in Path}
    if len(set(now.values())) == 1:
        alike = now[Path.MCP]
        times = [t for t in (_since(facts, path, alike) for path in Path) if t is not None]
        both = _Finding(
            level=alike,
            words=_both(facts, alike),
            since=max(times, default=None),
            why=tuple(f"{path}: {words}" for path in Path for words in _why(facts, path)),
        )
        return [both] if alike is not Health.HEALTHY else []
    return [
        _Finding(
            level=state,
            words=_one(facts, path, state),
            since=_since(facts, path, state),
            why=_why(facts, path),
        )
        for path, state in now.items()
        if state is not Health.HEALTHY
    ]


def _both(facts: Facts, state: Health) -> str:
    if not facts.paths:
        return f"Nothing was measured in {facts.environment} yet"
    if state is Health.UNKNOWN:
        return f"Nobody knows how the paths of {facts.environment} are"
    return f"Both paths are {_STATE_IN_WORDS.get(state, str(state))} in {facts.environment}"


def _one(facts: Facts, path: Path, state: Health) -> str:
    if state is Health.UNKNOWN:
        return f"Nobody knows how {path} is in {facts.environment}"
    return f"{path} is {_STATE_IN_WORDS[state]} in {facts.environment}"


def _why(facts: Facts, path: Path) -> tuple[str, ...]:
    """Return the monitor's words, while they are of now."""
    kept = facts.paths.get(path)
    if kept is None:
        return ()
    if facts.now - kept.observed_at > situation_facts.STALE:
        return ("No judgement in the last 15 s: the monitor is not heard.",)
    return kept.why


def _since(facts: Facts, path: Path, state: Health) -> datetime | None:
    kept = facts.paths.get(path)
    if kept is None:
        return None
    # What was last known ended with its last measurement.
    return kept.since if kept.health is state else kept.observed_at


def _operations(facts: Facts, decisions: Mapping[Operation, Decision]) -> list[_Finding]:
    kill = facts.state.kill
    if kill is not None:  # what follows from it is its effect, and wanted
        level = Health.UNHEALTHY if kill is Kill.STOP else Health.DEGRADED
        words = f"{facts.environment} obeys its kill file, which says {kill}"
        return [_Finding(level=level, words=words, since=None)]
    stranded = situation_facts.stranded(decisions)
    # Whom an override sends elsewhere is where somebody wants it.
    displaced = tuple(
        o
        for o in situation_facts.displaced(decisions)
        if decisions[o].reason is not Reason.OVERRIDE
    )
    found = []
    if not facts.state.flags[FlagName.INTELLIGENT_ROUTING]:
        found.append(
            _Finding(
                level=Health.DEGRADED,
                words=f"{facts.environment} runs MCP-only",
                since=facts.flags_since.get(FlagName.INTELLIGENT_ROUTING),
            )
        )
    # Where a path is down, what follows from it is told as its effect, not as a finding.
    down = _is_down(facts)
    if stranded and not down and _is_configured(facts):
        verb = "has" if len(stranded) == 1 else "have"
        words = f"{names(stranded)} {verb} no path in {facts.environment}"
        since = situation_facts.lost_since(facts, {o: decisions[o] for o in stranded})
        found.append(_Finding(level=Health.UNHEALTHY, words=words, since=since))
    elif displaced and not down and not found:
        verb = "runs" if len(displaced) == 1 else "run"
        own = "its" if len(displaced) == 1 else "their"
        words = f"{names(displaced)} {verb} off {own} intended path in {facts.environment}"
        since = situation_facts.moved_since(facts, {o: decisions[o] for o in displaced})
        found.append(_Finding(level=Health.DEGRADED, words=words, since=since))
    return found


def _is_down(facts: Facts) -> bool:
    return any(fresh(path, facts.now) is Health.UNHEALTHY for path in facts.paths.values())


def _is_configured(facts: Facts) -> bool:
    return any(one.configured for one in facts.state.paths.values())


def _requests(facts: Facts) -> list[_Finding]:
    """Tell of requests that got no answer, although everything looked well."""
    total = sum(one.total for one in facts.asked)
    lost = sum(one.total - one.answered - _refused(one) for one in facts.asked)
    if not lost or _is_down(facts):
        return []
    enough = total >= health.LEAST_REAL
    bad = enough and (total - lost) * 100 < health.UNHEALTHY_SUCCESS * total
    them = situation_facts.part(facts, lost, total)
    words = f"{them} in {facts.environment} got no answer in {facts.window}"
    words = f"{words[0].upper()}{words[1:]}"
    level = Health.UNHEALTHY if bad else Health.DEGRADED
    return [_Finding(level=level, words=words, since=None)]


RIGHTLY_REFUSED = (Reason.REFUSED_COMPLIANCE, Reason.REFUSED_BUDGET)


def _refused(one: Asked) -> int:
    """Return how many were refused by a rule: no fault of any path."""
    return sum(one.reasons.get(reason, 0) for reason in RIGHTLY_REFUSED)


def _effects(facts: Facts, decisions: Mapping[Operation, Decision]) -> tuple[str, ...]:
    return (*_would_fail(decisions), *_would_move(decisions), _what_became(facts))


def _would_fail(decisions: Mapping[Operation, Decision]) -> list[str]:
    """Word who gets no answer, once for each way in which all candidates are passed over."""
    ways: dict[str, list[Operation]] = {}
    for operation in situation_facts.stranded(decisions):
        decision = decisions[operation]
        refused = decision.reason is Reason.REFUSED_COMPLIANCE
        over = " and ".join(f"{c.path} is passed over ({c.skip})" for c in decision.candidates)
        got = f"are refused ({decision.reason})" if refused else "get 503 no_path"
        ways.setdefault(f"{got}: {over}.", []).append(operation)
    return [f"Callers of {names(them, always=True)} {way}" for way, them in ways.items()]


def _would_move(decisions: Mapping[Operation, Decision]) -> list[str]:
    onto: dict[tuple[Path, Path, Skip | Reason | None], list[Operation]] = {}
    for operation in situation_facts.displaced(decisions):
        decision = decisions[operation]
        path = first(decision)
        why: Skip | Reason | None = decision.skipped(decision.matrix_path)
        if decision.reason is Reason.OVERRIDE:
            why = Reason.OVERRIDE
        if path is not None:
            onto.setdefault((path, decision.matrix_path, why), []).append(operation)
    return [
        f"{names(them, always=True)} {'is' if len(them) == 1 else 'are'} served by {path} "
        f"instead of {matrix}{f' ({why})' if why else ''}."
        for (path, matrix, why), them in onto.items()
    ]


def _what_became(facts: Facts) -> str:
    total = sum(one.total for one in facts.asked)
    if not total:
        return f"No requests in {facts.window}."
    refused = sum(_refused(one) for one in facts.asked)
    lost = total - sum(one.answered for one in facts.asked) - refused
    moved = sum(one.moved for one in facts.asked)
    if not lost and not moved and not refused:
        them = situation_facts.requests(facts, total)
        return f"{them} in {facts.window}, answered as intended."
    told = []
    if lost:
        told.append(f"{situation_facts.part(facts, lost, total)} got no answer")
    if refused:
        them = f"{refused} of {total}" if told else situation_facts.part(facts, refused, total)
        told.append(f"{them} {'was' if refused == 1 else 'were'} refused by a rule or a budget")
    if moved:
        them = f"{moved} of {total}" if told else situation_facts.part(facts, moved, total)
        told.append(f"{them} took another path than intended")
    more = "" if lost or refused or total == 1 else ", none failed"
    return f"In {facts.window} {join(told)}{more}."


def levers(facts: Facts) -> tuple[Lever, ...]:
    """Return the flags that, switched on, would mend something and harm nothing; best first.

    Static: what `decide` would promise under the new flags, with the health of now.
    """
    before = situation_facts.decisions(facts, facts.state.flags)
    found = [
        lever
        for flag in _MAY_OPEN
        if not facts.state.flags[flag] and flag not in facts.locked
        if (lever := _lever(facts, flag, before)) is not None
    ]
    found.sort(key=lambda lever: (-len(lever.regained), -len(lever.returned)))
    monitoring = FlagName.MONITORING
    if not facts.state.flags[monitoring] and monitoring not in facts.locked:
        effect = "Both paths would be measured again within seconds."
        found.append(Lever(flag=monitoring, effect=effect, target=None))
    return tuple(found)


_MAY_OPEN = (
    FlagName.DIRECT_FALLBACK,
    FlagName.INTELLIGENT_ROUTING,
    *(PROVIDER[path] for path in Path),
)


def _lever(facts: Facts, flag: FlagName, before: Mapping[Operation, Decision]) -> Lever | None:
    after = situation_facts.decisions(facts, {**facts.state.flags, flag: True})
    if set(situation_facts.stranded(after)) - set(situation_facts.stranded(before)):
        return None
    regained = tuple(
        o for o in situation_facts.stranded(before) if o not in situation_facts.stranded(after)
    )
    moved = set(situation_facts.displaced(before))
    returned = tuple(
        o for o in Operation if o in moved and first(after[o]) is after[o].matrix_path
    )
    if not regained and not returned:
        return None
    onto = {first(after[o]) for o in (*regained, *returned)}
    concerned = {*regained, *returned}
    return Lever(
        flag=flag,
        effect=_effect(regained, returned, after),
        target=onto.pop() if len(onto) == 1 else None,
        regained=regained,
        returned=returned,
        requests=sum(one.total for one in facts.asked if one.operation in concerned),
    )


def _effect(
    regained: Sequence[Operation],
    returned: Sequence[Operation],
    after: Mapping[Operation, Decision],
) -> str:
    told = []
    if regained:
        paths = join(dict.fromkeys(str(first(after[o])) for o in regained))
        told.append(f"{names(regained, always=True)} would have a path again: {paths}")
    if returned:
        paths = join(dict.fromkeys(str(first(after[o])) for o in returned))
        told.append(f"{names(returned, always=True)} would return to {paths}")
    return f"{'; '.join(told)}."


def _dated(finding: _Finding, now: datetime) -> str:
    if finding.since is None:
        return finding.words
    return f"{finding.words} since {clock(finding.since, now)}"
