"""The detector told plainly: every form is tried at every place, nothing is ruled out before.

It shares the forms with the product, not one of the tests by which that saves its time; check
digits are python-stdnum's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from stdnum import iban, luhn
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.nl import bsn

from routing.compliance import context, digits, folding, identities, phones, pii, shapes
from routing.compliance.pii import Hit, PiiClass

ROUNDS = 4
_LIBRARY: dict[Callable[[str], bool], Callable[[str], bool]] = {
    digits.nir: nir.is_valid,
    digits.bsn: bsn.is_valid,
    digits.fiscal_code: codicefiscale.is_valid,
}
_FORMS = [
    (
        identities.pattern(form),
        "[0-9A-Za-z]" if form[0] in "AZ" else r"[0-9A-Za-z+]|\d[.,]",
        _LIBRARY.get(each.valid, each.valid),
        context.words(each.words) if each.words else None,
    )
    for each in identities.IDENTITIES
    for form in each.forms
]
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])")


def mask(text: str) -> tuple[str, tuple[PiiClass, ...]]:
    """Return `text` with what is found replaced, and the classes found."""
    folded = folding.fold(text)
    seen, hits = folded.text, list[Hit]()
    for _ in range(ROUNDS):
        found = pii._merged(_everything(seen))
        hits += found
        seen = pii._blanked(seen, [hit[:2] for hit in found])
    placed = pii._merged((*folded.span(start, end), kind) for start, end, kind in hits)
    for start, end, kind in reversed(placed):
        text = f"{text[:start]}[{kind}]{text[end:]}"
    return text, tuple(k for k in PiiClass if k in {kind for _, _, kind in placed})


def _everything(text: str) -> Iterator[Hit]:
    plain = pii._blanked(text, _uuids(text))
    for at in range(len(text)):
        for start, end in _email(text, at):
            yield start, end, PiiClass.EMAIL
        for kind, find in _FINDERS.items():
            for end in find(plain, at):
                yield at, end, kind


def _before(text: str, at: int, pattern: str) -> bool:
    return re.search(rf"(?:{pattern})\Z", text[:at], re.ASCII) is not None


def _uuids(text: str) -> list[tuple[int, int]]:
    found = []
    for at in range(len(text)):
        match = _UUID.match(text, at)
        if match and not _before(text, at, "[0-9A-Za-z]"):
            found.append(match.span())
    return found


def _email(text: str, at: int) -> list[tuple[int, int]]:
    sign = re.match("@|%40", text[at:])
    if sign is None:
        return []
    end = shapes._domain_end(text, at + sign.end())
    local = shapes._LOCAL_BACKWARDS.match(text[max(0, at - 256) : at][::-1])
    bare = local[0].rstrip("'!#$%^*.~-") if local else ""
    return [(at - len(bare), end)] if end and bare not in {"", "tig"} else []


def _iban(text: str, at: int) -> list[int]:
    head = re.match(r"([A-Za-z]{2})\d\d", text[at:], re.ASCII)
    tail = shapes._IBAN_TAILS.get(head[1].upper()) if head else None
    match = tail.match(text, at + 4) if tail else None
    if match is None:
        return []
    number = re.sub(r"[\s.-]", "", text[at : match.end()])
    good = iban.is_valid(number, check_country=False)
    return [match.end()] if good and not shapes._inside_hash(text, at, match.end()) else []


def _card(text: str, at: int) -> list[int]:
    if not re.match(r"[2-6]\d{3}", text[at:], re.ASCII) or _before(text, at, r"\d"):
        return []
    ends = [0]
    groups = re.match(r"\d+(?:[ -]\d+)*", text[at:], re.ASCII)
    assert groups is not None
    number = ""
    for count, group in enumerate(re.finditer(r"\d+", groups[0], re.ASCII)):
        if count == 5 or len(group[0]) < 2:
            break
        number += group[0]
        if shapes._ISSUED.fullmatch(number) and luhn.is_valid(number):
            ends.append(at + group.end())
    end = max(ends)
    if not end or shapes._is_fraction(text, at, end) or shapes._inside_hash(text, at, end):
        return []
    return [end]


def _identity(text: str, at: int) -> list[int]:
    ends = []
    for shape, not_before, valid, words in _FORMS:
        match = shape.match(text, at)
        if match is None or _before(text, at, not_before):
            continue
        if words is not None and not context.says(words, text, at):
            continue
        ends += [match.end()] if valid(match[0]) else []
    return ends


def _phone(text: str, at: int) -> list[int]:
    if text[at] not in "+0(":
        return []
    if text[at] != "+" and _before(text, at, r"[0-9A-Za-z+]|\d[.,]"):
        return []
    international = phones._INTERNATIONAL.match(text, at)
    national = phones._NATIONAL.match(text, at)
    spans = [
        phones._international(text, international) if international else None,
        phones._national(text, national) if national else None,
    ]
    return [span[1] for span in spans if span]


_FINDERS = {
    PiiClass.IBAN: _iban,
    PiiClass.CARD: _card,
    PiiClass.NATIONAL_ID: _identity,
    PiiClass.PHONE: _phone,
}
