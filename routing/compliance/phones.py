"""Telephone numbers: E.164 with a known country code, and as they are written in Germany."""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import ASCII, DOTALL

from routing.compliance import context

Span = tuple[int, int]

# ITU-T E.164 assignments: one, two or three digits.
_COUNTRY = re.compile(
    r"1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|(?:2[1-69]|3[578]|42|5[09]|6[7-9]|8[05-8]|9[679])\d"
)
_NEARBY = context.words(
    r"tel|telefon|telefonnummer|telephone|phone|fon|fax|mobil|mobile|handy|handynummer"
    r"|rufnummer|durchwahl|call|anruf|whatsapp|sms"
)
# A plus sign begins a number wherever it stands; a zero or a bracket not within something else.
_FIRST = re.compile(r"[+0(](?:(?<=\+)|(?<![0-9A-Za-z+].)(?<!\d[.,].))", ASCII | DOTALL)
_INTERNATIONAL = re.compile(
    r"(?:\+|00)[ ]?\(?[1-9](?:[ ()./-]{0,3}\d){7,14}(?![0-9A-Za-z])",
    ASCII,
)
# An area code of three to five digits, then the rest: a date begins with two.
_NATIONAL = re.compile(
    r"(?:"
    r"(?P<mobile>01[567]\d{8,9})"
    r"|(?P<bare>0[2-9]\d{7,10})"
    r"|\(?0[1-9]\d{1,3}\)?[ /-]{1,3}\d(?:[ -]?\d){4,8}"
    r")(?![0-9A-Za-z])(?![.,]\d)",
    ASCII,
)
_GROUP_AT_END = re.compile(r"[^\d]*\d+$", ASCII)
_NOT_DIGIT = re.compile(r"\D+", ASCII)
_SHORTEST, _LONGEST = 9, 15  # E.164: at most 15 digits; nobody's whole number has less than 9


def _is_e164(digits: str) -> bool:
    country = _COUNTRY.match(digits)
    if country is None:
        return False
    if country[0] == "1":  # North America: area codes and exchanges begin with 2 to 9
        return len(digits) == 11 and digits[1] in "23456789" and digits[4] in "23456789"
    if country[0] == "7":
        return len(digits) == 11
    return _SHORTEST <= len(digits) <= _LONGEST


def _international(text: str, match: re.Match[str]) -> Span | None:
    """Return the longest prefix of whole groups that is a number, None if there is none."""
    found = match[0]
    dialled = found.startswith("00")
    # Zero-padded counters look like 00 and a country: they need a written form or a word.
    if (
        dialled
        and found.isdigit()
        and found[2:4] not in {"41", "43", "49"}
        and not context.says(_NEARBY, text, match.start())
    ):
        return None
    while found:
        digits = _NOT_DIGIT.sub("", found)[2 if dialled else 0 :]
        if _is_e164(digits):
            return match.start(), match.start() + len(found)
        found = _GROUP_AT_END.sub("", found)
    return None


def _national(text: str, match: re.Match[str]) -> Span | None:
    if match["bare"] and not context.says(_NEARBY, text, match.start()):
        return None
    return match.span() if sum(map(str.isdigit, match[0])) >= _SHORTEST else None


def find(text: str) -> Iterator[Span]:
    """Yield the spans of telephone numbers."""
    for first in _FIRST.finditer(text):
        at = first.start()
        # Two signs tell which of the two forms can begin here.
        dialled = text[at] == "+" or text.startswith("00", at)
        match = (_INTERNATIONAL if dialled else _NATIONAL).match(text, at)
        if match is None:
            continue
        span = (_international if dialled else _national)(text, match)
        if span:
            yield span
