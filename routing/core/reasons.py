"""What a person must say to a change: why, and where. One rule behind every use case."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from routing.core.errors import Invalid
from routing.core.values import EnvironmentName

SHORTEST = 5
LONGEST = 500
# Controls, half surrogate pairs and line breaks forge log lines; the others turn text around.
_REFUSED_KINDS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS_TEXT = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check(reason: str, environment: EnvironmentName) -> str:
    """Return `reason` without outer spaces; raises Invalid for one that will not do.

    Staging and production require 5 to 500 characters; development takes none, too.
    """
    if any(unicodedata.category(c) in _REFUSED_KINDS or c in _TURNS_TEXT for c in reason):
        raise Invalid(
            "The reason holds control characters or line breaks; write it as one plain line.",
            field="reason",
        )
    clean = reason.strip()
    if len(clean) > LONGEST:
        raise Invalid(
            f"The reason has {len(clean)} characters; say it in {LONGEST}.", field="reason"
        )
    if environment is not EnvironmentName.DEVELOPMENT and len(clean) < SHORTEST:
        raise Invalid(
            f"A change in {environment} needs a reason of at least {SHORTEST} characters: say "
            "why, for whoever reads the trail later.",
            field="reason",
        )
    return clean


def check_everywhere(reason: str, environments: Iterable[EnvironmentName]) -> str:
    """Return `reason` for what concerns all of `environments`; raises Invalid as `check` does."""
    places = {EnvironmentName.DEVELOPMENT, *environments}
    return [check(reason, place) for place in EnvironmentName if place in places][-1]


def check_place(typed: str, environment: EnvironmentName) -> None:
    """Raise Invalid unless the name of production was typed for a change there."""
    if environment is EnvironmentName.PRODUCTION and typed != str(environment):
        raise Invalid(
            f"Type the environment's name, {environment}, to change something there.",
            field="typed_environment",
        )
