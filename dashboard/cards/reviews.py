"""A change of flags before it is made, in words: what it does, and what is asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.cards.flags import FlagCard, FlagCell
from routing.core import plans
from routing.core.flags import FlagName
from routing.core.guards import MONITORING_NEEDS_END, PROVIDER, Answer, Judgement
from routing.core.values import EnvironmentName


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a change asks of the person: `effects` is what stops, `foreseen` what it would have
    done to the requests of lately. `needs_end` says that it cannot stay, `ends` after how many
    minutes it may go back, with the words for it.
    """

    effects: tuple[str, ...]
    foreseen: tuple[str, ...]
    refused: str
    needs_reason: bool
    needs_typed: bool
    needs_confirm: bool
    needs_end: bool
    ends: tuple[tuple[str, str], ...]
    needs_approval: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A change of one flag before it is made: from what to what, and what is asked for it."""

    name: FlagName
    purpose: str
    when_off: str
    before: FlagCell
    to: str
    cause: str
    is_done: bool
    shuts_path: bool
    asked: Asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One flag of a change set, from what to what."""

    card: FlagCard
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReview:
    """A change of several flags before it is made."""

    turns: tuple[Turn, ...]
    asked: Asked


def asked(
    environment: EnvironmentName,
    judgement: Judgement | None,
    *,
    foreseen: Sequence[str] = (),
    refused: str = "",
    ends: Sequence[tuple[str, str]] = (),
    needs_approval: bool = False,
) -> Asked:
    """Word what a change asks for, of the `ends` offered those that will do; without a judgement
    there is nothing to do.
    """
    needs_end = judgement is not None and judgement.rule == MONITORING_NEEDS_END
    most = plans.MONITORING_OFF_MOST.total_seconds() / 60
    return Asked(
        effects=judgement.effects or (judgement.sentence,) if judgement else (),
        foreseen=tuple(foreseen),
        refused=judgement.sentence if judgement and needs_end else refused,
        needs_reason=environment is not EnvironmentName.DEVELOPMENT,
        needs_typed=environment is EnvironmentName.PRODUCTION,
        needs_confirm=judgement is not None and judgement.answer is Answer.CONFIRM,
        needs_end=needs_end,
        ends=tuple(
            (minutes, words)
            for minutes, words in ends
            if not needs_end or (minutes and int(minutes) <= most)
        ),
        needs_approval=needs_approval,
    )


def review(card: FlagCard, *, to: str, cause: str = "", asked: Asked) -> Review:
    """Word the change of one flag `to` on or off."""
    return Review(
        name=card.name,
        purpose=card.purpose,
        when_off=card.when_off,
        before=card.here,
        to=to,
        cause=cause,
        is_done=card.here.word == to,
        shuts_path=to == "off" and card.name in PROVIDER.values(),
        asked=asked,
    )
