"""The fast way finds what the plain one finds, on any mixture; check digits are the library's."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from stdnum import luhn
from stdnum.fr import nir
from stdnum.it import codicefiscale
from stdnum.nl import bsn

from routing.compliance import digits, identities, pii, shapes
from tests.unit.compliance import people, reference

GLUE = st.sampled_from(["", "", " ", "-", ".", ",", "+", "0", "a", "@", "/", "(", "\n", "\u200b"])
SIGNS = st.text("0123456789 .-+/()@=,aABCDEFXYZbcd\n", max_size=40)


@st.composite
def mixtures(draw: st.DrawFn) -> str:
    """People's data, things, noise; glued to each other and cut anywhere."""
    piece = st.one_of(people.anybody, people.nationals(), people.nobody, people.prose, SIGNS)
    text = "".join(draw(piece) + draw(GLUE) for _ in range(draw(st.integers(0, 6))))
    start = draw(st.integers(0, 3))
    return text[start : len(text) - draw(st.integers(0, 3))]


@settings(max_examples=1000, deadline=None)
@given(text=mixtures())
@example("LC76HEMMABCDEFGHIJKLMNOPQRSTUVWX")
@example("RSSMRA85TLMA5SNU")
@example("AAAAAA00A01A000H.4000000000000002")
@example("BSN 111222333 PESEL 44051401359 NHS 943 476 5870")
def test_masks_exactly_what_the_plain_way_masks(text: str) -> None:
    masked = pii.mask(text)
    assert (masked.text, masked.classes) == reference.mask(text)


@pytest.mark.parametrize("identity", identities.IDENTITIES, ids=lambda i: i.forms[0])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_tries_every_form_wherever_it_is_written(
    identity: identities.Identity, data: st.DataObject
) -> None:
    """The validity is taken as given here: only where the fast way looks is in question."""
    form = data.draw(st.sampled_from(identity.forms))
    number = data.draw(people.written(form))
    before, after = data.draw(GLUE), data.draw(GLUE)
    text = f"{before}{number}{after}"
    at = len(before)
    shape = identities.pattern(form)
    tried = _tried(text, shape)
    wanted = shape.match(text, at) is not None and not reference._before(
        text, at, "[0-9A-Za-z]" if form[0] in "AZ" else r"[0-9A-Za-z+]|\d[.,]"
    )
    assert (at in tried) or not wanted


def _tried(text: str, shape: re.Pattern[str]) -> set[int]:
    """Return where the fast way tries `shape`, asked through a validity that notes it."""
    places = set()
    for lead in identities._LEAD.finditer(text):
        start, end = lead.span()
        kind = identities._KINDS.get(text[end : end + 1], "")
        checks = identities._BY_LEAD.get((end - start, kind), ())
        places |= {start} if any(check[0] == shape for check in checks) else set()
    places |= {found.start() for found in identities._FOREIGNER.finditer(text)}
    behind = {at - 6 for at in shapes.pairs(text) if at >= 6}
    return places | {at for at in behind if identities._FISCAL.match(text, at)}


@settings(max_examples=300, deadline=None)
@given(number=st.text(string.digits, min_size=14, max_size=19))
def test_luhn_is_the_librarys(number: str) -> None:
    assert digits.luhn(number) == luhn.is_valid(number)


@settings(max_examples=300, deadline=None)
@given(number=st.one_of(people.written("199999X99999999"), people.french()))
def test_the_french_check_is_the_librarys(number: str) -> None:
    assert digits.nir(number) == nir.is_valid(number)


@settings(max_examples=300, deadline=None)
@given(number=people.written("999999999"))
def test_the_dutch_check_is_the_librarys(number: str) -> None:
    assert digits.bsn(number) == bsn.is_valid(number)


@settings(max_examples=400, deadline=None)
@given(code=people.fiscal_codes())
@example("RSSMRA20B29A562S")
def test_the_italian_check_is_the_librarys(code: str) -> None:
    assert digits.fiscal_code(code) == codicefiscale.is_valid(code)
