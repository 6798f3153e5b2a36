"""National identity numbers: a form, a check digit, and where those are weak, a word nearby."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from re import ASCII, DOTALL, IGNORECASE

from stdnum.at import vnr
from stdnum.be import nn
from stdnum.ch import ssn as ahv
from stdnum.cz import rc
from stdnum.de import idnr
from stdnum.dk import cpr
from stdnum.es import dni, nie
from stdnum.fi import hetu
from stdnum.gb import nhs
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.no import fodselsnummer
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.ro import cnp
from stdnum.se import personnummer
from stdnum.us import ssn

from routing.compliance import context, digits

Span = tuple[int, int]
Valid = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A kind of number and how it is written.

    In a form `9` is a digit, `1` a one or two, `A` a letter, `X` a digit or letter, `Z` the
    letter X, Y or Z, `M` an Italian month, `L` a digit or the letter that Italy puts for it, `#` a
    dash, plus or letter; all else is itself. `words` is empty where form and check digit alone
    make a false alarm rare (below 1 %).
    """

    forms: tuple[str, ...]
    valid: Valid
    words: str = ""


IDENTITIES = (
    Identity(forms=("99999999999", "99 999 999 999"), valid=idnr.is_valid),  # Germany
    Identity(forms=("99999999999", "99.99.99-999.99"), valid=nn.is_valid),  # Belgium
    Identity(forms=("199999X99999999", "1 99 99 9X 999 999 99"), valid=digits.nir),  # France
    Identity(forms=("999999#999A",), valid=hetu.is_valid),  # Finland
    Identity(  # Finland, too: order numbers are written like those that end with a digit
        forms=("999999#9999",),
        valid=hetu.is_valid,
        words="hetu|henkilötunnu(?:s|ksen|ksella)|personbeteckning",
    ),
    Identity(forms=("756.9999.9999.99", "7569999999999"), valid=ahv.is_valid),  # Switzerland
    # Italy; letters stand for some digits where two people would share a code
    Identity(forms=("AAAAAA99MLLALLLA",), valid=digits.fiscal_code),
    Identity(  # Spain, foreigners
        forms=("Z9999999A", "Z-9999999A", "Z9999999-A", "Z-9999999-A"), valid=nie.is_valid
    ),
    Identity(  # Spain
        forms=("99999999A", "99999999-A"), valid=dni.is_valid, words="dni|nif|documento"
    ),
    Identity(  # Netherlands
        forms=("999999999", "9999.99.999", "9999 99 999", "999.999.999", "999 999 999"),
        valid=digits.bsn,
        words="bsn|burgerservicenummer|sofi(?:-?nummer)?",
    ),
    Identity(forms=("99999999999",), valid=pesel.is_valid, words="pesel"),  # Poland
    Identity(  # Austria
        forms=("9999999999", "9999 999999"),
        valid=vnr.is_valid,
        words="svnr|sv-?nummer|sozialversicherungsnummer|versicherungsnummer",
    ),
    Identity(  # Portugal
        forms=("999999999", "999 999 999"), valid=nif.is_valid, words="nif|contribuinte"
    ),
    Identity(  # Sweden
        forms=("999999-9999", "999999+9999", "99999999-9999", "9999999999", "999999999999"),
        valid=personnummer.is_valid,
        words=r"personnummer|personnr|pers\.? ?nr",
    ),
    Identity(  # Norway
        forms=("99999999999", "999999 99999"),
        valid=fodselsnummer.is_valid,
        words="f[øo]dselsnummer|f[øo]dselsnr|personnummer|fnr",
    ),
    Identity(  # Denmark
        forms=("999999-9999", "9999999999"),
        valid=cpr.is_valid,
        words="cpr(?:-?nummer|-?nr)?|personnummer",
    ),
    Identity(  # the National Health Service of England
        forms=("999 999 9999", "999-999-9999", "9999999999"), valid=nhs.is_valid, words="nhs"
    ),
    Identity(  # United States: no check digit, but blocks that were never given out
        forms=("999-99-9999", "999 99 9999", "999999999"),
        valid=lambda number: ssn.is_valid(number.replace(" ", "-")),
        words="ssn|social security(?: number)?",
    ),
    Identity(  # Ireland
        forms=("9999999A", "9999999AA"), valid=pps.is_valid, words="ppsn?|public service number"
    ),
    Identity(  # Czechia, Slovakia
        forms=("999999/9999", "999999/999", "9999999999"),
        valid=rc.is_valid,
        words="rodn[ée] [čc][íi]slo",
    ),
    Identity(forms=("9999999999999",), valid=cnp.is_valid, words="cnp"),  # Romania
    Identity(forms=("99999999999",), valid=oib.is_valid, words="oib"),  # Croatia
)
_SIGNS = {
    "9": r"\d",
    "1": "[12]",
    "A": "[A-Z]",
    "X": "[0-9A-Z]",
    "Z": "[XYZ]",
    "M": "[A-EHLMPRST]",
    "L": "[0-9LMNP-V]",
    "#": "[-+A-Z]",
}
# A sentence may end behind a number, a fraction or a longer word may not begin there.
_END = r"(?![0-9A-Z])(?![.,]\d)"


def pattern(form: str) -> re.Pattern[str]:
    """Return the pattern of `form` and of what may follow it."""
    body = "".join(_SIGNS.get(sign, re.escape(sign)) for sign in form)
    return re.compile(body + _END, ASCII | IGNORECASE)


# A shape, what proves it, the words that must stand nearby: a tuple, for it is on the hot path.
_Check = tuple[re.Pattern[str], Valid, re.Pattern[str] | None]


def _check(identity: Identity, form: str) -> _Check:
    return (
        pattern(form),
        identity.valid,
        context.words(identity.words) if identity.words else None,
    )


def _leads(form: str) -> Iterator[tuple[int, str]]:
    """Yield how many digits may stand first in `form`, and the kind of sign behind them."""
    count = 0
    for sign in form:
        if sign == "X":
            yield count, "A"
        elif sign == "#":
            yield from ((count, kind) for kind in "-+A")
            return
        elif sign in "A":
            yield count, "A"
            return
        elif sign not in "91" and not sign.isdigit():
            yield count, sign
            return
        count += 1
    yield from ((count, kind) for kind in _ENDINGS)


_ENDINGS = (" ", ".", "-", "+", "/", "")
_KINDS = {kind: kind for kind in " .-+/"} | {
    letter: "A" for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
}


def _by_lead() -> Mapping[tuple[int, str], tuple[_Check, ...]]:
    """Return what to try where so many digits stand, by the kind of sign behind them."""
    found: dict[tuple[int, str], list[_Check]] = {}
    for identity in IDENTITIES:
        for form in identity.forms:
            for lead in _leads(form) if form[0] not in "AZ" else ():
                found.setdefault(lead, []).append(_check(identity, form))
    return {lead: tuple(checks) for lead, checks in found.items()}


_BY_LEAD = _by_lead()
# Digits that begin a number: not within a word, nor behind a decimal sign. What follows the
# first is looked at already here, for most groups of digits follow no form.
_LEAD = re.compile(
    r"\d(?<![0-9A-Za-z+].)(?="
    r"\d{7}|\d{6}[A-Za-z]"
    r"|\d{5}[-+/ A-Za-z]\d"
    r"|\d{3}(?:[. ]\d\d[. ]\d{3}| \d{6})"
    r"|\d\d(?:[. ]\d{3}[. ]\d{3}|[ -]\d\d[ -]\d{4}|-\d{3}-\d{4}|\.\d{4}\.)"
    r"|\d(?: \d{3} \d{3} |\.\d\d\.\d\d-)"
    r"| \d\d \d\d \d[0-9A-Za-z] "
    r")(?<!\d[.,].)\d*",
    ASCII | DOTALL,
)
# The two that begin with letters: one is found by its first, one by what `shapes` finds.
_FOREIGNER = re.compile(r"[XYZxyz](?=-?\d{7})(?<![0-9A-Za-z].)", ASCII | DOTALL)
_FISCAL = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{6}\d\d[A-Za-z]", ASCII)
_LETTERED = tuple(
    tuple(_check(each, form) for each in IDENTITIES for form in each.forms if form[0] == first)
    for first in "ZA"
)


def find(text: str, pairs: Sequence[int]) -> list[Span]:
    """Return the spans of identity numbers; `pairs` is as `shapes.pairs` finds them."""
    found: list[Span] = []
    checks_of, kind_of = _BY_LEAD.get, _KINDS.get
    for lead in _LEAD.finditer(text):
        start, end = lead.span()
        checks = checks_of((end - start, kind_of(text[end : end + 1], "")))
        if checks is not None:
            _try(checks, text, start, found)
    foreigners, fiscal = _LETTERED
    for first in _FOREIGNER.finditer(text):
        _try(foreigners, text, first.start(), found)
    for at in pairs:
        if at >= 6 and _FISCAL.match(text, at - 6):
            _try(fiscal, text, at - 6, found)
    return found


def _try(checks: tuple[_Check, ...], text: str, start: int, found: list[Span]) -> None:
    """Add the number that begins at `start`; the word is looked for first, it costs less."""
    near: str | None = None
    for shape, valid, words in checks:
        match = shape.match(text, start)
        if match is None:
            continue
        if words is not None:
            near = context.near(text, start) if near is None else near
            if not words.search(near):
                continue
        if valid(match[0]):
            found.append(match.span())
