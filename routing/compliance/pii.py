"""Personal data in a text: found by proof (check digits, registered shapes), masked by class.

Left alone on purpose: IP addresses (a version number has the same shape, and an infrastructure
question is about them), names, streets, dates of birth: nothing in their form proves them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from routing.compliance import folding, identities, phones, shapes


class PiiClass(StrEnum):
    """Strongest proof first: where two overlap, the first names the whole."""

    IBAN = "iban"
    CARD = "card"
    NATIONAL_ID = "national_id"
    EMAIL = "email"
    PHONE = "phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Positions count code points of the text that was scanned; `end` is exclusive."""

    kind: PiiClass
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Masked:
    """`classes` are those that were masked, each once, strongest proof first."""

    text: str
    classes: tuple[PiiClass, ...]


_MASKS = {kind: f"[{kind}]" for kind in PiiClass}
_RANK = {kind: rank for rank, kind in enumerate(PiiClass)}
_HINT = re.compile(r"[0-9@]")
_TWO_DIGITS = re.compile(r"\d\d", re.ASCII)
_FIVE_DIGITS = re.compile(r"(?:\d[^\d]{0,3}){5}", re.ASCII)
_ROUNDS = 4


Hit = tuple[int, int, PiiClass]  # start, end, class
_GLUE = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def _merged(hits: Iterable[Hit]) -> list[Hit]:
    """Return the hits sorted, those that overlap as one: no part of either is left over."""
    merged: list[Hit] = []
    for hit in sorted(hits):
        if merged and hit[0] < merged[-1][1]:
            start, end, kind = merged.pop()
            kind = min(kind, hit[2], key=_RANK.__getitem__)
            merged.append((start, max(end, hit[1]), kind))
        else:
            merged.append(hit)
    return merged


def _blanked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """Return `text` of the same length with the spans (sorted, apart) made unreadable."""
    pieces = []
    at = 0
    for start, end in spans:
        pieces += [text[at:start], "\x00" * (end - start)]
        at = end
    return "".join([*pieces, text[at:]])


def _found(text: str) -> list[Hit]:
    hits: list[Hit] = []
    if "@" in text or "%40" in text:
        hits += [(start, end, PiiClass.EMAIL) for start, end in shapes.emails(text)]
    if not _TWO_DIGITS.search(text):
        return _merged(hits)
    plain = _blanked(text, shapes.uuids(text))
    pairs = shapes.pairs(plain)
    hits += [(start, end, PiiClass.IBAN) for start, end in shapes.ibans(plain, pairs)]
    hits += [(start, end, PiiClass.NATIONAL_ID) for start, end in identities.find(plain, pairs)]
    if _FIVE_DIGITS.search(plain):
        hits += [(start, end, PiiClass.CARD) for start, end in shapes.cards(plain)]
        hits += [(start, end, PiiClass.PHONE) for start, end in phones.find(plain)]
    return _merged(hits)


def _is_glued(text: str, hit: Hit) -> bool:
    """Return whether a neighbour may have been taken for more of the same number or word."""
    start, end, _ = hit
    before, after = text[start - 1 : start], text[end : end + 1]
    return (
        before in _GLUE
        or after in _GLUE
        or before == "+"
        or (before in {".", ","} and text[start - 2 : start - 1] in _GLUE)
        or (after in {".", ","} and text[end + 1 : end + 2].isdecimal())
    )


def _hits(text: str) -> list[Hit]:
    """Return what is found, sorted and apart, at its places in `text`."""
    folded = folding.fold(text)
    seen = folded.text
    if not _HINT.search(seen):
        return []
    hits = found = _found(seen)
    for _ in range(_ROUNDS - 1):
        # Only what is glued to a finding can read differently once the finding is masked.
        if not any(_is_glued(seen, hit) for hit in found):
            break
        seen = _blanked(seen, [hit[:2] for hit in found])
        found = _found(seen)
        hits = _merged([*hits, *found])
    if folded.positions is None:
        return hits
    return _merged((*folded.span(start, end), kind) for start, end, kind in hits)


def scan(text: str) -> tuple[Finding, ...]:
    """Return what is found, sorted, without overlaps; linear in the length of `text`."""
    return tuple(Finding(kind=kind, start=start, end=end) for start, end, kind in _hits(text))


def mask(text: str, findings: Sequence[Finding] | None = None) -> Masked:
    """Return `text` with each finding replaced by its class: `[email]`, `[iban]`, ...

    Scans first where no findings are given. Masking what is masked changes nothing.
    """
    given = findings is not None
    hits = _merged((f.start, f.end, f.kind) for f in findings or ()) if given else _hits(text)
    if not hits:
        return Masked(text=text, classes=())
    pieces: list[str] = []
    at = 0
    for start, end, kind in hits:
        pieces += (text[at:start], _MASKS[kind])
        at = end
    classes = sorted({kind for _, _, kind in hits}, key=_RANK.__getitem__)
    return Masked(text="".join((*pieces, text[at:])), classes=tuple(classes))
