"""Text as a person reads it: digits are ASCII digits, dashes are dashes, the invisible is gone."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

# Capitals that look like Latin ones: enough to write an IBAN that no ASCII pattern sees.
_LOOKALIKES = dict(
    zip("АВЕКМНОРСТХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEKMHOPCTXIJSABEZHIKMNOPTYX", strict=True)
)
_SIGNS = {"−": "-", "∕": "/", "⁄": "/", "․": "."}
_REMEMBERED = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """`positions[i]` is where `text[i]` stood in the original; None where nothing moved."""

    text: str
    original_length: int
    positions: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Return the original's span, invisible characters after the last one included."""
        if self.positions is None:
            return start, end
        last = self.positions[end] if end < len(self.positions) else self.original_length
        return self.positions[start], last


def _seen_as(char: str) -> str:
    category = unicodedata.category(char)
    if category in {"Cf", "Mn", "Mc", "Me"}:  # joiners, bidi controls, accents, keycaps
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Zs":
        return " "
    if category == "Pd":
        return "-"
    plain = _SIGNS.get(char) or _LOOKALIKES.get(char) or unicodedata.normalize("NFKC", char)
    return plain if len(plain) == 1 and plain.isascii() else char


class _Table(dict[str, str]):
    """Learns each character when it first comes, up to a bound that hostile text cannot lift."""

    def __missing__(self, char: str) -> str:
        seen = _seen_as(char)
        if len(self) < _REMEMBERED:
            self[char] = seen
        return seen


_TABLE = _Table()
_FOREIGN = re.compile(r"[^\x00-\x7f]")


def fold(text: str) -> Folded:
    """Return `text` as it is read, with the way back to the original's positions."""
    if text.isascii():
        return Folded(text=text, original_length=len(text))
    changed: dict[str, str | int | None] = {
        char: seen for char in set(_FOREIGN.findall(text)) if (seen := _TABLE[char]) != char
    }
    if not changed:
        return Folded(text=text, original_length=len(text))
    folded = text.translate(str.maketrans(changed))
    if len(folded) == len(text):
        return Folded(text=folded, original_length=len(text))
    kept = tuple(i for i, char in enumerate(text) if changed.get(char) != "")
    return Folded(text=folded, original_length=len(text), positions=kept)
