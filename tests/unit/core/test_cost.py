"""Money to the nano: against decimals of the standard library, and unknown where it is unknown."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from routing.core import cost
from routing.core.chain import MAX_INT
from routing.core.cost import MOST_TOKENS, Charge, Price
from routing.core.errors import Invalid

NANOS = st.integers(0, 10**15)
COUNTS = st.integers(0, 10**7)


@given(read=COUNTS, written=COUNTS, one=NANOS, other=NANOS)
@example(read=1, written=0, one=1, other=0)
def test_a_charge_is_what_decimals_say_rounded_up_to_a_nano(
    read: int, written: int, one: int, other: int
) -> None:
    with localcontext() as exact:
        exact.prec = 60
        units = (Decimal(read) * one + Decimal(written) * other) / Decimal(10**15)
        expected = int((units * 10**9).to_integral_value(ROUND_CEILING))
    found = cost.nanos(Price(input_nanos=one, output_nanos=other), (read, written))
    assert found == (expected if expected <= MAX_INT else None)


def test_a_published_price_is_taken_to_its_last_digit() -> None:
    """0.0375 dollars for a million tokens: 37.5 nanos for one, which no integer holds."""
    price = Price(input_nanos=cost.amount("0.0375"), output_nanos=cost.amount("15"))
    assert cost.nanos(price, (2, 0)) == 75
    assert cost.nanos(price, (1_000_000, 1_000_000)) == cost.amount("15.0375")


@pytest.mark.parametrize(
    ("price", "tokens"),
    [
        (None, (1, 1)),
        (Price(input_nanos=1, output_nanos=1), None),
        (Price(input_nanos=10**18, output_nanos=0), (10**15, 0)),
    ],
)
def test_what_is_not_known_is_none_and_never_nothing(
    price: Price | None, tokens: tuple[int, int] | None
) -> None:
    assert cost.nanos(price, tokens) is None


@pytest.mark.parametrize("tokens", [(-1, 0), (0, -1), (MOST_TOKENS + 1, 0)])
def test_a_count_that_cannot_be_meant_is_none(tokens: tuple[int, int]) -> None:
    assert cost.told(tokens) is None
    assert cost.told((0, MOST_TOKENS)) == (0, MOST_TOKENS)


@given(st.integers(0, 10**18))
def test_an_amount_is_written_and_read_without_loss(value: int) -> None:
    text = cost.decimal(value)
    assert cost.amount(text) == value
    assert Decimal(text) == Decimal(value).scaleb(-9)
    assert not text.endswith(".") and text == text.strip()


@pytest.mark.parametrize(
    "text", ["", "-1", "1e3", "1,5", "1.0000000001", ".5", "5.", "١", "0x1", "12345678901", "NaN"]
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        cost.amount(text)


@pytest.mark.parametrize("text", ["usd", "US", "USDT", "XTS", "XAU", "", "UDS"])
def test_what_is_no_currency_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        cost.currency(text)
    assert cost.currency("EUR") == "EUR"


CHARGES = st.builds(
    Charge,
    model=st.text(max_size=9),
    currency=st.sampled_from(["", "EUR"]),
    nanos=st.none() | NANOS,
    policy=st.integers(0, 9),
    open=st.booleans(),
    cached=st.booleans(),
    tokens=st.none() | st.tuples(COUNTS, COUNTS),
)


@given(CHARGES)
def test_a_charge_comes_out_of_a_record_as_it_went_in(charge: Charge) -> None:
    kept = cost.pack(charge)
    assert kept is not None
    usage = None if charge.tokens is None else list(charge.tokens)
    assert cost.unpack(kept, usage) == charge
    assert charge.is_priced == (charge.nanos is not None and not charge.open)


def test_where_nothing_was_billed_nothing_is_kept() -> None:
    assert cost.pack(None) is None
