"""What one environment does with personal data, and which operations it restricts, as data.

An operation is only ever treated more strictly than its environment: what production does with
personal data is one sentence, and no rule below it can loosen that, not even for emergencies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from routing.core.errors import Invalid
from routing.core.guards import Answer, Judgement
from routing.core.matrix import Matrix
from routing.core.values import Operation, Path, Priority, parse

FORM = 1


class Treatment(StrEnum):
    """Strictest last."""

    ALLOW = "allow"
    MASK = "mask"
    BLOCK = "block"


_STRICTNESS = tuple(Treatment)


class Broken(StrEnum):
    """The rule that a refused request broke, as records and reports name it."""

    OPERATION_FORBIDDEN = "operation_forbidden"
    PII_BLOCKED = "pii_blocked"
    PATH_FORBIDDEN = "path_forbidden"
    RESIDENCY = "residency"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What holds for one operation; `pii` None follows the environment, `path` None means both."""

    forbidden: bool = False
    path: Path | None = None
    pii: Treatment | None = None


FREE = Rule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One version of an environment's policy; version 0 is the product's own, before any other."""

    version: int = 0
    pii: Treatment = Treatment.MASK
    operations: Mapping[Operation, Rule] = field(default_factory=dict)

    def rule(self, operation: Operation) -> Rule:
        """Return what holds for `operation`."""
        return self.operations.get(operation, FREE)

    def treatment(self, operation: Operation) -> Treatment:
        """Return what becomes of personal data in a request for `operation`."""
        return self.rule(operation).pii or self.pii


DEFAULT = Policy()


def check(policy: Policy) -> None:
    """Raise Invalid for a rule that could not be obeyed or would loosen the environment's."""
    for operation, rule in policy.operations.items():
        if rule.forbidden and (rule.path or rule.pii):
            raise Invalid(f"{operation} is forbidden, so no other rule can hold for it.")
        if rule.pii and _STRICTNESS.index(rule.pii) <= _STRICTNESS.index(policy.pii):
            raise Invalid(
                f"The rule of {operation} says {rule.pii}, which is not stricter than the "
                f"environment's {policy.pii}; leave it out, or change the environment's."
            )


def encode(policy: Policy) -> dict[str, Any]:
    """Return `policy` as JSON, without its version."""
    rules = {str(operation): _encode(rule) for operation, rule in policy.operations.items()}
    return {"form": FORM, "pii": str(policy.pii), "operations": rules}


def _encode(rule: Rule) -> dict[str, Any]:
    found: dict[str, Any] = {"forbidden": True} if rule.forbidden else {}
    found |= {"path": str(rule.path)} if rule.path else {}
    return found | ({"pii": str(rule.pii)} if rule.pii else {})


def decode(kept: Any, *, version: int) -> Policy:
    """Return the policy that `kept` says; raises Invalid or UnknownWord for anything else."""
    _only(kept, {"form", "pii", "operations"}, "A compliance policy")
    if kept.get("form") != FORM:
        raise Invalid(f"This policy has form {kept.get('form')!r}; this code reads {FORM}.")
    rules = kept.get("operations")
    if not isinstance(rules, Mapping):
        raise Invalid("A policy's operations must be an object.")
    policy = Policy(
        version=version,
        pii=parse(Treatment, str(kept.get("pii"))),
        operations={parse(Operation, str(name)): _decode(rule) for name, rule in rules.items()},
    )
    check(policy)
    return policy


def _decode(kept: Any) -> Rule:
    _only(kept, {"forbidden", "path", "pii"}, "A rule")
    if kept.get("forbidden", True) is not True or not kept:
        raise Invalid("A rule says forbidden: true, a path, pii, or is left out.")
    return Rule(
        forbidden="forbidden" in kept,
        path=parse(Path, str(kept["path"])) if "path" in kept else None,
        pii=parse(Treatment, str(kept["pii"])) if "pii" in kept else None,
    )


def _only(kept: Any, known: set[str], what: str) -> None:
    if not isinstance(kept, Mapping) or set(kept) - known:
        raise Invalid(f"{what} is an object of {', '.join(sorted(known))}, and of nothing else.")


LOOSENED, STOPS = "compliance_loosened", "compliance_stops"


def judge(before: Policy, after: Policy, matrix: Matrix) -> Judgement:
    """Return what to confirm before `after` follows `before`; a policy is never refused here."""
    loosened = tuple(_loosened(before, after))
    stops = tuple(_stops(before, after, matrix))
    if not loosened and not stops:
        return Judgement(answer=Answer.ALLOW, rule="none", sentence="Nothing stops.")
    return Judgement(
        answer=Answer.CONFIRM,
        rule=LOOSENED if loosened else STOPS,
        sentence="Personal data or operations are protected less than before."
        if loosened
        else "Requests that were answered will be refused.",
        effects=loosened + stops,
    )


_LET_OUT = {
    Treatment.ALLOW: "Personal data in {} requests leaves as it is.",
    Treatment.MASK: "Of {} requests, personal data goes out masked and is no longer refused.",
}


def _loosened(before: Policy, after: Policy) -> Iterator[str]:
    open_now = [o for o in Operation if not after.rule(o).forbidden]
    for treatment, words in _LET_OUT.items():
        yield from _of(
            words,
            [
                o
                for o in open_now
                if after.treatment(o) is treatment
                and _STRICTNESS.index(before.treatment(o)) > _STRICTNESS.index(treatment)
            ],
        )
    yield from _of(
        "{} requests are answered again.", [o for o in open_now if before.rule(o).forbidden]
    )
    for operation in open_now:
        was, now = before.rule(operation).path, after.rule(operation).path
        if was is not None and now is not was:
            yield f"{operation} may leave by {now or 'both paths'}, no longer by {was} alone."


def _stops(before: Policy, after: Policy, matrix: Matrix) -> Iterator[str]:
    shut = [o for o in Operation if after.rule(o).forbidden and not before.rule(o).forbidden]
    yield from _of("Every {} request is refused.", shut)
    open_now = [o for o in Operation if not after.rule(o).forbidden]
    blocks = [o for o in open_now if after.treatment(o) is Treatment.BLOCK]
    yield from _of(
        "{} requests with personal data are refused.",
        [o for o in blocks if before.treatment(o) is not Treatment.BLOCK],
    )
    for operation in open_now:
        path = after.rule(operation).path
        if path is not None and path is not before.rule(operation).path:
            yield _bound(operation, path, matrix)


def _of(words: str, operations: Sequence[Operation]) -> Iterator[str]:
    """Word what holds for `operations`, once for all of them."""
    if len(operations) == len(Operation):
        yield words.format("all")
    elif operations:
        yield words.format(", ".join(operations))


def _bound(operation: Operation, path: Path, matrix: Matrix) -> str:
    firsts = {matrix.row(operation, priority).primary for priority in Priority}
    if firsts == {path}:
        return f"{operation} no longer moves away from {path} when that is down."
    return (
        f"{operation} requests that the matrix sends to {', '.join(sorted(firsts - {path}))} "
        f"first are refused until it sends them to {path}."
    )
