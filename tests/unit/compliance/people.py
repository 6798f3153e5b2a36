"""Strategies: personal data that is valid by construction, and things that only look like it."""

from __future__ import annotations

import string
from itertools import pairwise

from hypothesis import strategies as st
from stdnum import iban, luhn, numdb
from stdnum.de import idnr
from stdnum.fr import nir
from stdnum.iso7064 import mod_11_10
from stdnum.it import codicefiscale

_SIGNS = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + "ABCXYZ"}
_REGISTRY = numdb.get("iban")
_STRUCTURES = {
    country: [
        (int(part[:-2]), part[-1])
        for part in _REGISTRY.info(country)[0][1]["bban"]
        .replace("n", "n ")
        .replace("a", "a ")
        .replace("c", "c ")
        .split()
    ]
    for country in ("DE", "NL", "FR", "GB", "NO", "MT", "ES", "AD")
}


def digits(low: int, high: int | None = None) -> st.SearchStrategy[str]:
    return st.text(string.digits, min_size=low, max_size=high or low)


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country = draw(st.sampled_from(sorted(_STRUCTURES)))
    account = "".join(
        draw(st.text(_SIGNS[kind], min_size=count, max_size=count))
        for count, kind in _STRUCTURES[country]
    )
    number = country + iban.calc_check_digits(f"{country}00{account}") + account
    spread = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    return draw(st.sampled_from([number, spread, number.lower()]))


@st.composite
def cards(draw: st.DrawFn) -> str:
    prefix, length = draw(
        st.sampled_from(
            [("4", 16), ("51", 16), ("2221", 16), ("37", 15), ("6011", 16), ("36", 14)]
        )
    )
    body = prefix + draw(digits(length - len(prefix) - 1))
    number = body + luhn.calc_check_digit(body)
    spread = draw(st.sampled_from(["", " ", "-"]))
    return spread.join(number[i : i + 4] for i in range(0, length, 4))


@st.composite
def emails(draw: st.DrawFn) -> str:
    word = st.text(string.ascii_letters + string.digits, min_size=1, max_size=12)
    local = draw(word) + draw(st.sampled_from(["", ".x", "+tag", "_y", "-z", "'s", "é"]))
    ending = draw(st.sampled_from(["de", "com", "co.uk", "museum", "xn--p1ai", "рф"]))
    return f"{local}@{draw(word)}.{ending}"


@st.composite
def phones(draw: st.DrawFn) -> str:
    rest = draw(digits(7))
    return draw(
        st.sampled_from(
            [
                f"+49 30 {rest}",
                f"+4930{rest}",
                f"+49 (0) 30 {rest}",
                f"0049 30 {rest}",
                f"030/{rest}",
                f"(030) {rest}",
                f"0171 {rest}",
                f"0171{rest}",
                f"Tel: 030{rest}",
                f"+33 1 {rest}",
                f"+1 (415) 555-{rest[:4]}",
            ]
        )
    )


@st.composite
def tax_ids(draw: st.DrawFn) -> str:
    """German: ten digits of which exactly one comes twice, then the check digit."""
    order = draw(st.permutations(string.digits))
    body = list(order)
    twice, dropped = draw(
        st.sampled_from([(i, j) for i in range(10) for j in range(10) if i != j])
    )
    body[dropped] = body[twice]
    if body[0] == "0":
        body = [str((int(d) + 1) % 10) for d in body]
    number = "".join(body)
    number += mod_11_10.calc_check_digit(number)
    assert idnr.is_valid(number), number
    return draw(
        st.sampled_from([number, f"{number[:2]} {number[2:5]} {number[5:8]} {number[8:]}"])
    )


_FORM_SIGNS = {
    "9": string.digits,
    "1": "12",
    "A": string.ascii_letters,
    "X": string.digits + "AB",
    "Z": "XYZ",
    "M": "ABCDEHLMPRST",
    "L": string.digits + "LMNPQRSTUV",
    "#": "-+AB",
}


@st.composite
def written(draw: st.DrawFn, form: str) -> str:
    """A number in a form of `identities`, valid or not."""
    return "".join(draw(st.sampled_from(_FORM_SIGNS.get(sign, sign))) for sign in form)


@st.composite
def french(draw: st.DrawFn) -> str:
    body = draw(st.sampled_from("12")) + draw(digits(4))
    body += draw(st.sampled_from(["75", "2A", "2B", "99"])) + draw(digits(6))
    number = body + nir.calc_check_digits(body)
    parts = (0, 1, 3, 5, 7, 10, 13, 15)
    spread = " ".join(number[a:b] for a, b in pairwise(parts))
    return draw(st.sampled_from([number, spread]))


@st.composite
def fiscal_codes(draw: st.DrawFn) -> str:
    """Italian: right in form and mostly in its control letter, the date as it comes."""
    figure = st.sampled_from(string.digits + "LMNPQRSTUV")
    code = draw(st.text(string.ascii_uppercase, min_size=6, max_size=6))
    code += draw(digits(2)) + draw(st.sampled_from("ABBCDEHLMPRST"))
    code += draw(st.sampled_from("01234567")) + draw(figure)
    code += draw(st.sampled_from("ABCFZ")) + "".join(draw(figure) for _ in range(3))
    control = codicefiscale.calc_check_digit(code)
    return code + draw(st.sampled_from([control, control, control, "A"]))


_KNOWN = (
    "BSN 111222333", "PESEL 44051401359", "DNI 54362315K", "X2482300W", "85.07.30-033.28",
    "131052-308T", "756.9217.0769.85", "personnummer 880320-0016", "fnr 151086 95088",
    "CPR 211062-5629", "NHS 943 476 5870", "SSN 536-90-4399", "PPS 6433435F",
    "rodné číslo 710319/2745", "CNP 1630615123457", "OIB 33392005961", "SVNR 1237 010180",
    "contribuinte 501 964 843",
)  # fmt: skip


def nationals() -> st.SearchStrategy[str]:
    return st.one_of(
        french(), fiscal_codes(), st.sampled_from(_KNOWN), st.sampled_from(_KNOWN).map(str.lower)
    )


anybody = st.one_of(ibans(), cards(), emails(), phones(), tax_ids())

# Prose without digits and signs that numbers and addresses are made of; emoji and other scripts.
prose = st.text(
    st.sampled_from(
        'abcdefgh XYZ äöüß ,;:!? \n\t()[]{}"<>| 🙂👩‍🚀 漢字 кириллица '.replace("‍", "")
    ),
    max_size=40,
)

_two = st.integers(1, 12).map("{:02d}".format)
nobody = st.one_of(
    st.uuids().map(str),
    st.binary(min_size=16, max_size=64).map(bytes.hex),
    st.datetimes().map(lambda at: at.isoformat()),
    st.datetimes().map(lambda at: at.strftime("%d.%m.%Y %H:%M")),
    st.datetimes().map(lambda at: at.strftime("%d/%m/%Y")),
    st.integers(1_500_000_000, 1_999_999_999).map(str),
    st.integers(1_500_000_000_000, 1_999_999_999_999).map(str),
    st.integers(1_500_000_000_000_000, 1_999_999_999_999_999).map(str),
    st.tuples(*[st.integers(0, 999)] * 3).map(lambda v: "v" + ".".join(map(str, v))),
    st.tuples(*[st.integers(0, 255)] * 4).map(lambda v: ".".join(map(str, v))),
    st.decimals(0, 10**9, places=2).map(lambda price: f"{price} EUR"),
    st.floats(0, 1000).map(repr),
    st.integers(1900, 2100).map(str),
    st.sampled_from(
        ["@types/node", "user@localhost", "icon@2x.png", "HTTP/1.1 503", "eu-central-1", "a@b"]
    ),
)
