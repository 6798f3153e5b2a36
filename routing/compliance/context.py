"""What the words shortly before a number say that the number is."""

from __future__ import annotations

import re

_REACH = 40
_MASK = re.compile(r"\[(?:card|iban|national_id|email|phone)\]|\x00")


def words(alternatives: str) -> re.Pattern[str]:
    """Return a pattern for whole words of any case."""
    return re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])", re.IGNORECASE)


def says(pattern: re.Pattern[str], text: str, start: int) -> bool:
    """Return whether one of the words stands at most 40 characters before `start`.

    A mask in between ends the search: masking must not bring a word closer than it was.
    """
    low = max(0, start - _REACH)
    for mask in _MASK.finditer(text, low, start):
        low = mask.end()
    return pattern.search(text, low, start) is not None
