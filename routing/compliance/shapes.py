"""Where each class of personal data may stand in a text, and what proves that it does.

Every pattern is linear in the text: runs are taken whole or within a fixed reach, never tried
again from each of their own characters. All work on folded text (`folding`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from re import ASCII, DOTALL, IGNORECASE

from stdnum import numdb

from routing.compliance import digits

Span = tuple[int, int]

_TOKEN_REACH = 64
_ALNUM = re.compile(r"[0-9A-Za-z]*")
_HEX = re.compile(r"[0-9A-Fa-f]+")
# Found by its first dash: in a text that has none it costs next to nothing.
_UUID_DASH = re.compile(
    r"-(?<=[0-9A-Fa-f]{8}-)(?<![0-9A-Za-z][0-9A-Fa-f]{8}-)"
    r"(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}(?![0-9A-Za-z])"
)


def uuids(text: str) -> Iterator[Span]:
    """Yield the spans of UUIDs: their digits are nobody's."""
    for match in _UUID_DASH.finditer(text):
        yield match.start() - 8, match.end()


def _inside_hash(text: str, start: int, end: int) -> bool:
    """Return whether the span is only a part of one unbroken run of hexadecimal digits."""
    if not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum()):
        return False
    before = _ALNUM.match(text[max(0, start - _TOKEN_REACH) : start][::-1])
    after = _ALNUM.match(text, end, end + _TOKEN_REACH)
    around = (before[0] if before else "") + (after[0] if after else "")
    return bool(around) and _HEX.fullmatch(around + text[start:end]) is not None


def _iban_tails() -> dict[str, re.Pattern[str]]:
    """Return for each country of the registry the pattern of what follows its check digits."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    signs = {"n": r"\d", "a": "[A-Za-z]", "c": "[0-9A-Za-z]"}
    registry = numdb.get("iban")
    tails = {}
    for country in (a + b for a in letters for b in letters):
        structure = registry.info(country)[0][1].get("bban", "")
        parts = re.findall(r"(\d+)!([nac])", structure)
        pattern = "".join(rf"(?:[\s.-]{{0,2}}{signs[kind]}){{{count}}}" for count, kind in parts)
        if pattern:
            tails[country] = re.compile(pattern, ASCII)
    return tails


# Digits are rarer than letters, so what begins with letters is found by the digits behind them.
_PAIR = re.compile(r"\d\d(?<=[A-Za-z]{2}\d\d)", ASCII)


def pairs(text: str) -> list[int]:
    """Return where two digits stand behind two letters."""
    return [pair.start() for pair in _PAIR.finditer(text)]


_IBAN_TAILS = _iban_tails()
_IBAN_DIGITS = str.maketrans(
    {letter: str(int(letter, 36)) for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}
    | {sign: "" for sign in " .-\t\n\r\f\v"}
)


def ibans(text: str, pairs: Sequence[int]) -> Iterator[Span]:
    """Yield spans of the registered structure of their country whose check digits are right.

    `pairs` are the places of all that can be check digits.
    """
    for at in pairs:
        tail = _IBAN_TAILS.get(text[at - 2 : at].upper())
        match = tail.match(text, at + 2) if tail else None
        if match is None:
            continue
        number = (match[0] + text[at - 2 : at + 2]).upper().translate(_IBAN_DIGITS)
        # ISO 7064, modulus 97
        if int(number) % 97 == 1 and not _inside_hash(text, at - 2, match.end()):
            yield at - 2, match.end()


# A first group of four or more, and enough digits behind it to be a card at all.
_CARD_FIRST = re.compile(r"[2-6](?=\d{3})(?<!\d.)(?=(?:[ -]?\d){13})", ASCII | DOTALL)
_CARD_GROUPS = re.compile(r"(\d+)" + r"(?:[ -](\d\d+))?" * 4, ASCII)
_ISSUED = re.compile(
    r"4\d{15}(?:\d{3})?"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners
    r"|35\d{14,17}"  # JCB
    r"|5[06-8]\d{14,17}"  # Maestro
    r"|6\d{15,18}",  # Discover, UnionPay, Maestro
    ASCII,
)
_DECIMAL = frozenset(".,")
_SHORTEST_CARD, _LONGEST_CARD = 14, 19


def _card_end(groups: re.Match[str]) -> int:
    """Return where the longest card number that starts with the first group ends, 0 for none."""
    end = 0
    number = ""
    for position, group in enumerate(groups.groups(), 1):
        if group is None or len(number) + len(group) > _LONGEST_CARD:
            break
        number += group
        if len(number) >= _SHORTEST_CARD and _ISSUED.fullmatch(number) and digits.luhn(number):
            end = groups.end(position)
    return end


def _is_fraction(text: str, start: int, end: int) -> bool:
    """Return whether the digits go on beyond a decimal sign: a measure, not a number of a card."""
    before, after = text[start - 1 : start], text[end : end + 1]
    return (before in _DECIMAL and text[start - 2 : start - 1].isdigit()) or (
        after in _DECIMAL and text[end + 1 : end + 2].isdigit()
    )


def cards(text: str) -> Iterator[Span]:
    """Yield spans of groups of digits that an issuer may have given out, with Luhn's digit."""
    for first in _CARD_FIRST.finditer(text):
        start = first.start()
        groups = _CARD_GROUPS.match(text, start)
        end = _card_end(groups) if groups else 0
        if end and not _is_fraction(text, start, end) and not _inside_hash(text, start, end):
            yield start, end


# `=`, `/`, `?` and `&` end a local part though RFC 5322 allows them: they are the syntax of
# settings and addresses. Only the return path of a mailing list (bounce+max=example.org@...)
# carries a person before its `=`. Read backwards from the sign, at most 256 characters.
_AT = re.compile(r"@|%40")
_LOCAL_BACKWARDS = re.compile(r"[\w.'%~!#$^*+-]{1,128}(?:=[\w.-]{1,64}\+[\w.+-]{1,60})?")
_DOMAIN = re.compile(r"(?=[^\W_])[\w-]{1,63}(?:\.[\w-]{1,63})+")
_TOP_LEVEL = re.compile(r"[^\W\d_]{2}|xn--", IGNORECASE)
_FILES = frozenset({"png", "jpg", "jpeg", "gif", "webp", "svg"})  # icon@2x.png


_NOBODY = "git"  # git@github.com:... is the address of a machine


def _domain_end(text: str, start: int) -> int:
    """Return where the domain name at `start` ends, 0 if there is none."""
    match = _DOMAIN.match(text, start)
    if match is None:
        return 0
    labels = match[0].split(".")
    end = match.end()
    while len(labels) > 1:
        last = labels.pop()
        if _TOP_LEVEL.match(last):
            return 0 if last.lower() in _FILES else end
        end -= len(last) + 1
    return 0


def emails(text: str) -> Iterator[Span]:
    """Yield spans of e-mail addresses, international ones and `%40` included."""
    for sign in _AT.finditer(text):
        end = _domain_end(text, sign.end())
        local = _LOCAL_BACKWARDS.match(text[max(0, sign.start() - 256) : sign.start()][::-1])
        if not end or local is None:
            continue
        bare = local[0].rstrip("'!#$%^*.~-")  # backwards: what stands before the address
        if bare and bare[::-1] != _NOBODY:
            yield sign.start() - len(bare), end
