"""What the words shortly before a number say that the number is."""

from __future__ import annotations

import re

_REACH = 40
_LONGEST_MASK = len("[national_id]")
_MASK = re.compile(r"\[(?:card|iban|national_id|email|phone)\]|\x00")


def words(alternatives: str) -> re.Pattern[str]:
    """Return a pattern for whole words, to be looked for in what `near` returns."""
    return re.compile(rf"(?<![^\W_])(?:{alternatives})(?![^\W_])")


def near(text: str, start: int) -> str:
    """Return the 40 characters before `start` in small letters.

    A mask in between ends the reach: masking must not bring a word closer than it was.
    """
    # Further than the reach, so that a mask is seen whole: its name is a word, too.
    before = text[max(0, start - _REACH - _LONGEST_MASK) : start]
    if "]" in before or "\x00" in before:
        before = _MASK.split(before)[-1]
    return before[-_REACH:].lower()


def says(pattern: re.Pattern[str], text: str, start: int) -> bool:
    """Return whether one of the words stands shortly before `start`."""
    return pattern.search(near(text, start)) is not None
