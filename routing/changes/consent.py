"""What a guard's judgement asks of the person who makes the change."""

from __future__ import annotations

from routing.core.errors import Forbidden, NeedsConfirm, RuleBroken
from routing.core.guards import Answer, Judgement
from routing.core.rights import Actor
from routing.core.values import EnvironmentName, Role

Confirmed = bool | frozenset[str]  # all that stops, or these effects and no other


def check(
    judgement: Judgement, *, by: Actor, environment: EnvironmentName, confirmed: Confirmed
) -> None:
    """Raise RuleBroken, Forbidden or NeedsConfirm unless `judgement` lets `by` go on.

    In production only an admin confirms. Each refusal carries the rule and what stops.
    """
    facts = {"rule": judgement.rule, "effects": list(judgement.effects)}
    if judgement.answer is Answer.ALLOW:
        return
    if judgement.answer is Answer.REFUSE:
        raise RuleBroken(
            f"Refused by the rule {judgement.rule}: {judgement.sentence}",
            **facts,
        )
    role = by.role(environment)
    if environment is EnvironmentName.PRODUCTION and role is not Role.ADMIN:
        raise Forbidden(
            f"{judgement.sentence} In {environment} only an admin may confirm that; you are "
            f"{role} there. Ask an admin to make this change.",
            environment=str(environment),
            roles=[str(Role.ADMIN)],
            **facts,
        )
    if isinstance(confirmed, frozenset):
        confirmed = confirmed.issuperset(judgement.effects)
    if not confirmed:
        raise NeedsConfirm(f"{judgement.sentence} Confirm it to go on.", **facts)
