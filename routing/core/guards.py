"""Guards on flags: what a change would stop, judged on the state after the whole change set.

They judge what the change brings about: a state that was there before is not its doing, so
nobody is kept from an unrelated change, or from a step back to health, by what is already off.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from routing.core import rollout
from routing.core.flags import FlagName
from routing.core.matrix import Matrix
from routing.core.values import EnvironmentName, Health, Operation, Path, Priority

Flags = Mapping[FlagName, bool]
Losses = Mapping[Operation, tuple[Priority, ...]]
Ends = frozenset[tuple[bool, bool]]


class Answer(StrEnum):
    ALLOW = "allow"
    CONFIRM = "confirm"
    REFUSE = "refuse"


class Cause(StrEnum):
    """Why a path is switched off at once; such a change is confirmed, never refused."""

    SECURITY = "security"
    COMPLIANCE = "compliance"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A guard's answer: the rule behind it, the rule in words, and what stops, as sentences."""

    answer: Answer
    rule: str
    sentence: str
    effects: tuple[str, ...] = ()


PROVIDER: Mapping[Path, FlagName] = {
    Path.DIRECT_BEDROCK: FlagName.BEDROCK_PROVIDER,
    Path.MCP: FlagName.MCP_INTEGRATION,
}
NO_GUARD, NO_PATH_LEFT, MCP_ONLY_UNPROVEN, MONITORING_NEEDS_END = (
    "none",
    "no_path_left",
    "mcp_only_unproven",
    "monitoring_needs_end",
)
EMERGENCY_PATH, OPERATION_PATH, MONITORING_OFF, PATH_OFF_FOR_CAUSE, PATH_NOT_FIT = (
    "emergency_loses_path",
    "operation_loses_path",
    "monitoring_off",
    "path_off_for_cause",
    "path_not_fit",
)
_NOT_FIT = frozenset({Health.UNHEALTHY, Health.MAINTENANCE, Health.NOT_CONFIGURED})
_JUDGED = frozenset(
    {
        FlagName.INTELLIGENT_ROUTING,
        FlagName.DIRECT_FALLBACK,
        FlagName.MONITORING,
        *PROVIDER.values(),
    }
)
_RANK = tuple(Answer)
_ALLOWED = Judgement(answer=Answer.ALLOW, rule=NO_GUARD, sentence="Nothing stops.")
_HEALTH_GOES = (
    "Probes and metrics stop: the health of both paths becomes unknown, never green, and "
    "no alert can come from it."
)
NEEDS_END = Judgement(
    answer=Answer.REFUSE,
    rule=MONITORING_NEEDS_END,
    sentence="In production monitoring is switched off only with an end within 1 h. Give the "
    "change such an end, or leave monitoring on.",
    effects=(_HEALTH_GOES,),
)


def usable_paths(
    operation: Operation, flags: Flags, matrix: Matrix, priority: Priority | None = None
) -> tuple[Path, ...]:
    """Return the paths that flags and matrix leave `operation`, in order, whatever their health.

    Without `priority` the operation's default one counts. Of a split row they are those of the
    subjects that stay.
    """
    if flags[FlagName.INTELLIGENT_ROUTING]:
        return _usable(matrix.row(operation, priority).order(), flags)
    return _usable((Path.MCP,), flags)


def is_served(
    operation: Operation, flags: Flags, matrix: Matrix, priority: Priority | None = None
) -> bool:
    """Tell whether flags and matrix leave a path to every subject, on either side of a split."""
    return all(_usable(order, flags) for order in _orders(operation, flags, matrix, priority))


def _orders(
    operation: Operation, flags: Flags, matrix: Matrix, priority: Priority | None
) -> tuple[tuple[Path, ...], ...]:
    if flags[FlagName.INTELLIGENT_ROUTING]:
        return matrix.row(operation, priority).orders()
    return ((Path.MCP,),)


def _usable(order: tuple[Path, ...], flags: Flags) -> tuple[Path, ...]:
    return tuple(
        path
        for position, path in enumerate(order)
        if flags[PROVIDER[path]] and (position == 0 or _may_fall_back(path, flags))
    )


def _may_fall_back(onto: Path, flags: Flags) -> bool:
    return onto is not Path.DIRECT_BEDROCK or flags[FlagName.DIRECT_FALLBACK]


def judge(
    *,
    environment: EnvironmentName,
    before: Flags,
    after: Flags,
    matrix: Matrix,
    health: Mapping[Path, Health],
    cause: Cause | None = None,
    ends_soon: bool = False,
) -> Judgement:
    """Return what the guards say to a change from `before` to `after`; total, never raises.

    `health` is each path's as last measured; only `healthy` proves one. With a `cause`, switching
    a path off is confirmed where it would be refused; what else is in the set is judged as ever.
    `ends_soon` says that the change goes back by itself within 1 h.
    """
    refusal = _refusal(environment, before, after, matrix, health, ends_soon=ends_soon)
    if refusal is not None and cause is not None:
        rest = {
            flag: before[flag] if _shuts(flag, before, after) else after[flag] for flag in after
        }
        again = _refusal(environment, before, rest, matrix, health, ends_soon=ends_soon)
        if rest != after and again is None:
            return Judgement(
                answer=Answer.CONFIRM,
                rule=PATH_OFF_FOR_CAUSE,
                sentence=f"A path is switched off for {cause}: confirm it. {refusal.sentence}",
                effects=refusal.effects,
            )
    return refusal or _confirmation(before, after, matrix)


def _shuts(flag: FlagName, before: Flags, after: Flags) -> bool:
    return flag in PROVIDER.values() and before[flag] and not after[flag]


def judge_shares(
    *,
    environment: EnvironmentName,
    before: Mapping[FlagName, int],
    after: Mapping[FlagName, int],
    matrix: Matrix,
    health: Mapping[Path, Health],
    cause: Cause | None = None,
    ends_soon: bool = False,
    members: Mapping[FlagName, Ends] | None = None,
) -> Judgement:
    """Return the worst judgement over everyone whom a change of shares (0 to 100 %) can meet.

    A flag on for a share is judged as off and as on; `members` says what else happens to those
    of groups (`rollout.member_ends`). Effects of equally bad cases are joined.
    """
    cases = [
        judge(
            environment=environment,
            before={flag: had for flag, (had, _) in case},
            after={flag: has for flag, (_, has) in case},
            matrix=matrix,
            health=health,
            cause=cause,
            ends_soon=ends_soon,
        )
        for case in _cases(before, after, members or {})
    ]
    return worst(cases)


def worst(cases: Sequence[Judgement]) -> Judgement:
    """Return the worst of `cases`, of which there is one at least; its effects are theirs."""
    rank = max(_RANK.index(case.answer) for case in cases)
    bad = [case for case in cases if _RANK.index(case.answer) == rank]
    first = min(bad, key=lambda case: _WEIGHT.index(case.rule))
    effects = tuple(dict.fromkeys(effect for case in bad for effect in case.effects))
    return Judgement(
        answer=first.answer, rule=first.rule, sentence=first.sentence, effects=effects
    )


def judge_shut(
    *,
    environment: EnvironmentName,
    shares: Mapping[FlagName, int],
    matrix: Matrix,
    health: Mapping[Path, Health],
    before: frozenset[Path],
    after: frozenset[Path],
) -> Judgement:
    """Return what the guards say when a person holds other paths shut; total, never raises.

    A path whose breaker is forced open serves nobody: it is judged as if its flag were off.
    """
    return judge_shares(
        environment=environment,
        before={**shares, **{PROVIDER[path]: 0 for path in before}},
        after={**shares, **{PROVIDER[path]: 0 for path in after}},
        matrix=matrix,
        health=health,
    )


def judge_matrix(*, flags: Flags, before: Matrix, after: Matrix) -> Judgement:
    """Return what the guards say to another matrix under `flags`; total, never raises."""
    effects = _losses_in_words(losses(flags, flags, before, after))
    if not effects:
        return _ALLOWED
    if not _any_path(flags, after):
        return Judgement(
            answer=Answer.REFUSE,
            rule=NO_PATH_LEFT,
            sentence="No operation would keep a path under this matrix; leave one at least.",
            effects=effects,
        )
    return Judgement(
        answer=Answer.CONFIRM,
        rule=OPERATION_PATH,
        sentence=f"{_count(len(effects))} no path left.",
        effects=effects,
    )


def judge_override(
    *,
    flags: Flags,
    before: Matrix,
    after: Matrix,
    path: Path,
    health: Health,
) -> Judgement:
    """Return what the guards say to sending an operation to `path`, measured as `health`.

    `before` and `after` are the matrix with the overrides of then in it.
    """
    judged = judge_matrix(flags=flags, before=before, after=after)
    if judged.answer is not Answer.ALLOW or health not in _NOT_FIT:
        return judged
    sentence = f"{path} is {str(health).replace('_', ' ')} now."
    effect = f"{path} is passed over while it is {health}; what has no fallback gets 503 no_path."
    return Judgement(
        answer=Answer.CONFIRM, rule=PATH_NOT_FIT, sentence=sentence, effects=(effect,)
    )


# Of several rules that apply, the gravest is named.
_WEIGHT = (
    NO_PATH_LEFT,
    MCP_ONLY_UNPROVEN,
    MONITORING_NEEDS_END,
    PATH_OFF_FOR_CAUSE,
    EMERGENCY_PATH,
    OPERATION_PATH,
    PATH_NOT_FIT,
    MONITORING_OFF,
    NO_GUARD,
)


def _cases(
    before: Mapping[FlagName, int],
    after: Mapping[FlagName, int],
    members: Mapping[FlagName, Ends],
) -> Iterator[tuple[tuple[FlagName, tuple[bool, bool]], ...]]:
    return itertools.product(
        *(
            [(flag, end) for end in _ends(flag, before[flag], after[flag], members)]
            for flag in after
        )
    )


def _ends(
    flag: FlagName, before: int, after: int, members: Mapping[FlagName, Ends]
) -> list[tuple[bool, bool]]:
    """A flag that no rule asks about needs no case of its own: it only multiplies the work."""
    every = sorted(rollout.ends(before, after) | members.get(flag, frozenset()))
    return every if flag in _JUDGED else every[:1]


def _refusal(
    environment: EnvironmentName,
    before: Flags,
    after: Flags,
    matrix: Matrix,
    health: Mapping[Path, Health],
    *,
    ends_soon: bool,
) -> Judgement | None:
    if _any_path(before, matrix) and not _any_path(after, matrix):
        return Judgement(
            answer=Answer.REFUSE,
            rule=NO_PATH_LEFT,
            sentence="No operation would keep a path. Leave at least one path on, or switch one "
            "off for security or compliance.",
            effects=_losses_in_words(losses(before, after, matrix)),
        )
    if _turned_off(FlagName.INTELLIGENT_ROUTING, before, after) and not _proven(health):
        return Judgement(
            answer=Answer.REFUSE,
            rule=MCP_ONLY_UNPROVEN,
            sentence="MCP-only needs an mcp path that was measured healthy; mcp is "
            f"{health.get(Path.MCP, Health.UNKNOWN)}. Bring mcp to healthy first.",
            effects=("Every operation, emergencies too, would go to mcp and to nothing else.",),
        )
    if _turned_off(FlagName.MONITORING, before, after):
        return None if ends_soon or environment is not EnvironmentName.PRODUCTION else NEEDS_END
    return None


def _confirmation(before: Flags, after: Flags, matrix: Matrix) -> Judgement:
    lost = losses(before, after, matrix)
    effects = _losses_in_words(lost)
    if _turned_off(FlagName.MONITORING, before, after):
        effects += (_HEALTH_GOES,)
    if Operation.EMERGENCY in lost:
        rule, sentence = EMERGENCY_PATH, "Emergencies lose their only path."
    elif lost:
        rule, sentence = OPERATION_PATH, f"{_count(len(lost))} no path left."
    elif effects:
        rule, sentence = MONITORING_OFF, "Nobody watches the paths while monitoring is off."
    else:
        return _ALLOWED
    return Judgement(answer=Answer.CONFIRM, rule=rule, sentence=sentence, effects=effects)


def losses(
    before: Flags, after: Flags, matrix: Matrix, matrix_after: Matrix | None = None
) -> Losses:
    """Return the operations that had a path and would have none, with the priorities concerned.

    Without `matrix_after` the matrix stays as it is.
    """
    then = matrix_after or matrix
    lost = {
        operation: tuple(
            priority
            for priority in Priority
            if is_served(operation, before, matrix, priority)
            and not is_served(operation, after, then, priority)
        )
        for operation in Operation
    }
    return {operation: priorities for operation, priorities in lost.items() if priorities}


def _losses_in_words(lost: Losses) -> tuple[str, ...]:
    return tuple(_loss(operation, priorities) for operation, priorities in lost.items())


def _loss(operation: Operation, priorities: tuple[Priority, ...]) -> str:
    which = "" if len(priorities) == len(Priority) else f" at priority {', '.join(priorities)}"
    only = " its only path" if operation is Operation.EMERGENCY else " every path"
    return f"{operation}{which} loses{only}: its callers get 503 no_path."


def _count(operations: int) -> str:
    return "1 operation has" if operations == 1 else f"{operations} operations have"


def _any_path(flags: Flags, matrix: Matrix) -> bool:
    return any(
        _usable(order, flags)
        for operation in Operation
        for priority in Priority
        for order in _orders(operation, flags, matrix, priority)
    )


def _turned_off(flag: FlagName, before: Flags, after: Flags) -> bool:
    return before[flag] and not after[flag]


def _proven(health: Mapping[Path, Health]) -> bool:
    return health.get(Path.MCP) is Health.HEALTHY
