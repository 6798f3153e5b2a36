"""National identity numbers: a shape, a check digit, and where those are weak, a word nearby."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from re import ASCII, DOTALL, IGNORECASE

from stdnum.at import vnr
from stdnum.be import nn
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.pt import nif

from routing.compliance import context


@dataclass(frozen=True, slots=True, kw_only=True)
class _Identity:
    """`words` is empty where shape and check digit alone make a false alarm rare (below 1 %)."""

    shape: str
    valid: Callable[[str], bool]
    words: str = ""


_IDENTITIES = (
    _Identity(shape=r"[1-9]\d{10}|[1-9]\d \d{3} \d{3} \d{3}", valid=idnr.is_valid),  # Germany
    _Identity(shape=r"\d{11}|\d\d\.\d\d\.\d\d-\d{3}\.\d\d", valid=nn.is_valid),  # Belgium
    _Identity(  # France
        shape=r"[12]\d{5}[0-9AB]\d{8}|[12] \d\d \d\d \d[0-9AB] \d{3} \d{3} \d\d",
        valid=nir.is_valid,
    ),
    _Identity(  # Italy; letters stand for some digits where two people would share a code
        shape=r"[A-Z]{6}\d\d[A-EHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
        valid=codicefiscale.is_valid,
    ),
    _Identity(shape=r"[XYZ]-?\d{7}-?[A-Z]", valid=nie.is_valid),  # Spain, foreigners
    _Identity(shape=r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]", valid=hetu.is_valid),  # Finland
    _Identity(shape=r"\d{8}-?[A-Z]", valid=dni.is_valid, words=r"dni|nif|documento"),  # Spain
    _Identity(  # Netherlands
        shape=r"\d{9}|\d{4}[. ]\d\d[. ]\d{3}|\d{3}[. ]\d{3}[. ]\d{3}",
        valid=bsn.is_valid,
        words=r"bsn|burgerservicenummer|sofi(?:-?nummer)?",
    ),
    _Identity(shape=r"\d{11}", valid=pesel.is_valid, words=r"pesel"),  # Poland
    _Identity(  # Austria
        shape=r"\d{10}|\d{4} \d{6}",
        valid=vnr.is_valid,
        words=r"svnr|sv-?nummer|sozialversicherungsnummer|versicherungsnummer",
    ),
    _Identity(  # Portugal
        shape=r"\d{9}|\d{3} \d{3} \d{3}", valid=nif.is_valid, words=r"nif|contribuinte"
    ),
)
# Every shape is found by its first digit; some have letters before it.
# What follows that digit in every shape; dates, times and counters end here.
_FIRST_DIGIT = re.compile(
    r"\d(?<![0-9+].)(?<!\d[.,].)"
    r"(?=\d{5}|\d[ .]\d\d|\d\d[ .]\d{3}|\d{3}[ .]\d\d| \d\d |\d[A-Za-z]\d\d)",
    ASCII | DOTALL,
)
_LETTERS_BEFORE = re.compile(r"(?<![0-9A-Za-z])(?:[XYZxyz]-?|[A-Za-z]{6})\Z")
_CANDIDATE = re.compile(
    "(?:" + "|".join(each.shape for each in _IDENTITIES) + r")(?![0-9A-Z])(?![.,]\d)",
    ASCII | IGNORECASE,
)
_CHECKS = tuple(
    (
        re.compile(identity.shape, ASCII | IGNORECASE),
        identity.valid,
        context.words(identity.words) if identity.words else None,
    )
    for identity in _IDENTITIES
)


def _starts(text: str) -> Iterator[int]:
    for digit in _FIRST_DIGIT.finditer(text):
        at = digit.start()
        before = text[at - 1 : at]
        lettered = before == "-" or (before.isascii() and before.isalpha())
        if lettered and (letters := _LETTERS_BEFORE.search(text, max(0, at - 6), at)):
            yield letters.start()
        if not (before.isascii() and before.isalnum()):
            yield at


def find(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of identity numbers."""
    for start in _starts(text):
        match = _CANDIDATE.match(text, start)
        if match is None:
            continue
        for shape, valid, words in _CHECKS:
            if (
                shape.fullmatch(match[0])
                and valid(match[0])
                and (words is None or context.says(words, text, start))
            ):
                yield match.span()
                break
