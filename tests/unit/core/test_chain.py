"""The chain's arithmetic against an independent RFC 8785, and the parser against hostile text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from enum import IntEnum, StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from routing.core import chain
from routing.core.errors import Invalid


class Word(StrEnum):
    A = "a"


class Number(IntEnum):
    ONE = 1


KEYS = st.text(st.characters(max_codepoint=127), max_size=6)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LEAVES = (
    st.none() | st.booleans() | st.integers(min_value=-chain.MAX_INT, max_value=chain.MAX_INT)
) | TEXTS
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_writes_the_bytes_that_the_rfc_asks_for(value: Any) -> None:
    assert chain.canonical(value) == rfc8785.dumps(value)


@given(VALUES)
def test_reads_back_what_it_wrote(value: Any) -> None:
    written = chain.canonical(value)

    assert chain.read(written) == value
    assert chain.strict_parse(written) == value


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        float("nan"),
        2**53,
        -(2**53),
        "\ud800",
        {"\ud83d": 1},
        {"é": 1},
        {1: 2},
        b"bytes",
        {"set": {1}},
        object(),
    ],
)
def test_refuses_what_an_entry_cannot_hold(value: Any) -> None:
    with pytest.raises(Invalid):
        chain.canonical({"deep": [value]})


def test_names_the_place_of_what_it_refuses() -> None:
    with pytest.raises(Invalid, match=r"\$\.after\[1\]\.share is a float"):
        chain.canonical({"after": [0, {"share": 0.5}]})  # type: ignore[dict-item]


def test_refuses_nesting_beyond_32() -> None:
    fits: Any = "x"
    for _ in range(32):
        fits = [fits]
    assert chain.read(chain.canonical(fits)) == fits
    with pytest.raises(Invalid, match="deeper than 32"):
        chain.canonical([fits])


def test_never_normalises_text() -> None:
    assert chain.canonical("e\u0301") != chain.canonical("\u00e9")


@given(st.tuples(VALUES, VALUES))
def test_equal_bytes_mean_equal_values(pair: tuple[Any, Any]) -> None:
    left, right = pair
    same = chain.canonical(left) == chain.canonical(right)
    # Python holds True and 1 for equal; JSON does not.
    assert same == (json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,"a":1}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b"1.0",
        b"NaN",
        b"-0",
        b'"\\u0041"',
        b'"\\/"',
        b"9007199254740992",
        b'{"a":1}\n',
        b"\xef\xbb\xbf{}",
        b"\xff",
        b"",
        b"[" * 100_000,
        b"9" * 5000,
    ],
)
def test_reads_no_other_spelling_of_an_entry(text: bytes) -> None:
    with pytest.raises(Invalid):
        chain.read(text)


PARTS = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.integers(min_value=0, max_value=2**64 - 1),
    st.binary(min_size=32, max_size=32),
    st.binary(max_size=40),
)


@given(PARTS, PARTS)
def test_no_two_different_entries_share_a_link(
    left: tuple[str, int, bytes, bytes], right: tuple[str, int, bytes, bytes]
) -> None:
    assert (chain.link(*left) == chain.link(*right)) == (left == right)


def test_moving_a_byte_from_the_name_to_the_body_changes_the_link() -> None:
    prev = bytes(32)
    assert chain.link("ab", 1, prev, b"c") != chain.link("a", 1, prev, b"bc")


def test_the_link_is_the_documented_one() -> None:
    prev = bytes(range(32))
    said = (
        b"hybridops-audit/1\x00"
        + b"\x00\x00\x00\x07control"
        + b"\x00\x00\x00\x00\x00\x00\x00\x02"
        + prev
        + b"\x00\x00\x00\x02{}"
    )
    assert chain.link("control", 2, prev, b"{}") == hashlib.sha256(said).digest()


def test_two_logs_begin_differently_and_never_like_an_entry() -> None:
    one, other = bytes(32), bytes(31) + b"\x01"
    assert chain.genesis(one) != chain.genesis(other)
    with pytest.raises(Invalid):
        chain.genesis(b"short")
    with pytest.raises(Invalid):
        chain.link("control", 1, b"short", b"{}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a":1,\n "a":2}', "line 2, column 2: the key 'a' stands twice"),
        (b'{"a":1,"\\u0061":2}', "the key 'a' stands twice"),
        (b"[NaN]", "line 1, column 2: a value must stand here"),
        (b"[Infinity]", "a value must stand here"),
        (b"[-Infinity]", "column 2: a value must stand here"),
        (b"[1,\n2,\n 1e400]", "line 3, column 2: a fraction or exponent"),
        (b"1.5", "a fraction or exponent"),
        (b"[" * 100_000, "column 33: it is nested deeper than 32"),
        (b'{"a":' * 100_000, "nested deeper than 32"),
        (b"9" * 5000, "this integer is beyond"),
        (b"-9007199254740992", "this integer is beyond"),
        (b'"\\ud800"', "half of a surrogate pair"),
        (b'"\\udc00\\ud800"', "half of a surrogate pair"),
        (b'"tab\tinside"', "a control character"),
        (b'"open', "does not end"),
        (b'"\\x41"', "a wrong escape"),
        (b"'single'", "a value must stand here"),
        (b'{"a" 1}', "column 6: a colon must follow"),
        (b"{a:1}", "a key in double quotes"),
        (b'{"a":1,}', "column 8: a key in double quotes"),
        (b"[1,]", "column 4: a value must stand here"),
        (b"[1 2]", "column 4: a comma or ']'"),
        (b"[1", "a comma or ']'"),
        (b"01", "column 2: something follows"),
        (b"+1", "a value must stand here"),
        (b"{} {}", "column 4: something follows"),
        (b"", "line 1, column 1: a value must stand here"),
        (b"nul", "a value must stand here"),
        (b"truefalse", "a value must stand here"),
        (b"\xef\xbb\xbf{}", "column 1: a value must stand here"),
        (b"\xc3(", "not UTF-8: byte 1"),
        ("[\u0661]".encode(), "a value must stand here"),
        ("\u00a01".encode(), "a value must stand here"),
        (b"/* no */ 1", "a value must stand here"),
    ],
)
def test_refuses_hostile_text_and_says_where(text: bytes, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        chain.strict_parse(text)
    assert message in str(caught.value)


def test_refuses_a_document_over_the_cap_unread() -> None:
    assert chain.strict_parse(b"[1,2]", max_bytes=5) == [1, 2]
    with pytest.raises(Invalid, match="5 bytes; at most 4"):
        chain.strict_parse(b"[1,2]", max_bytes=4)


def test_reads_fractions_only_where_they_are_asked_for() -> None:
    assert chain.strict_parse(b'{"t":[0.7,-1E2,3]}', floats=True) == {"t": [0.7, -100.0, 3]}
    with pytest.raises(Invalid, match="too large"):
        chain.strict_parse(b"1e400", floats=True)
    with pytest.raises(Invalid, match="a value must stand here"):
        chain.strict_parse(b"NaN", floats=True)


@given(VALUES, st.sampled_from([None, 1, 4]), st.booleans())
def test_reads_whatever_the_standard_library_writes(
    value: Any, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    assert chain.strict_parse(text) == value


@given(st.text(alphabet='{}[]",:0123456789.eE-+ntfalsru\\ \n', max_size=30))
def test_never_accepts_what_the_standard_library_refuses(text: str) -> None:
    try:
        value = chain.strict_parse(text.encode(), floats=True)
    except Invalid:
        return
    assert json.loads(text) == value


def test_a_document_of_too_many_values_is_refused_however_short_they_are() -> None:
    fits = b"[" + b",".join([b"0"] * (chain.MAX_NODES - 1)) + b"]"
    assert len(chain.strict_parse(fits)) == chain.MAX_NODES - 1  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="too many values"):
        chain.strict_parse(fits[:-1] + b",0]")


DOCUMENTS = st.one_of(
    VALUES.map(json.dumps),
    VALUES.map(lambda value: json.dumps(value, ensure_ascii=False, indent=1)),
    st.text(
        st.sampled_from('{}[]",:\\\t \n0123456789.eE+-truefalsnNaIy\ud83d\u00e9'), max_size=24
    ),
    st.integers(min_value=20, max_value=40).map(lambda n: "[" * n + "1" + "]" * n),
    st.lists(st.sampled_from(['"a": 1', '"b": 1.5', '"a": 1e400', '"c": "\\ud800"'])).map(
        lambda members: "{" + ", ".join(members) + "}"
    ),
)


@given(DOCUMENTS, st.booleans(), st.sampled_from([3, 10_000]))
def test_the_quick_reader_says_what_the_careful_one_says_or_leaves_it_to_him(
    text: str, floats: bool, most: int
) -> None:
    quick = chain._quickly(text, max_nodes=most, floats=floats)
    if quick is chain._UNSURE:
        return
    document = chain._Document(text=text, floats=floats, nodes=iter(range(most)))
    careful, at = document.value(document.skip(0), chain.MAX_DEPTH)
    assert document.skip(at) == len(text)
    assert repr(quick) == repr(careful)  # 1 is not 1.0 is not True


def test_an_ordinary_body_takes_the_quick_way() -> None:
    body = json.dumps({"prompt": "Grüße, {[(x)]}: 12345", "max_tokens": 5, "temperature": 0.5})
    assert chain._quickly(body, max_nodes=100, floats=True) is not chain._UNSURE


_FOREIGN = st.floats() | st.binary(max_size=2) | st.integers(-(2**54), 2**54)
_KEYS = st.text(max_size=3) | st.integers(0, 3) | st.none() | st.just(Word.A)
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.text() | LEAVES | _FOREIGN | st.sampled_from([Word.A, Number.ONE]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(_KEYS, inner, max_size=3)
    ),
    max_leaves=12,
)


@given(value=ANYTHING)
@example({"a": [{"b": "\ud800"}]})
@example({1: "a", "b": True})
@example({"é": 1})
def test_the_short_way_to_canonical_bytes_says_what_the_long_one_says(value: Any) -> None:
    def told(how: Callable[[Any], bytes]) -> bytes | str:
        try:
            return how(value)
        except Invalid as error:
            return error.message

    def long_way(value: Any) -> bytes:
        return chain._encode(chain._plain(value, "$", chain.MAX_DEPTH)).encode()

    assert told(chain.canonical) == told(long_way)


@pytest.mark.parametrize("depth", [31, 32, 33, 34, 500])
def test_the_short_way_keeps_the_bound_of_depth(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    if depth <= chain.MAX_DEPTH:
        assert chain.canonical(value) == b"[" * depth + b"1" + b"]" * depth
    else:
        with pytest.raises(Invalid, match="deeper"):
            chain.canonical(value)
