"""What a request costs: exact money of one currency, a price for a model, the charge of an answer.

Money is an integer of nanos, thousand-millionths of a currency, and its currency stands beside
it; two currencies are never added or converted. What nobody told (a price, a count of tokens) is
None and counted as not priced, never 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from routing.core.chain import MAX_INT, Json
from routing.core.errors import Invalid

NANOS = 10**9
MOST_NANOS = 10**18  # a thousand million of a currency; below what a column of a table holds
MOST_TOKENS = 10**15
LONGEST_MODEL = 200
_MILLION = 10**6
_AMOUNT = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?")
# The active codes of ISO 4217 that name money; not its funds, metals and test codes.
CURRENCIES = frozenset(
    """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP
    BYN BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
    GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR
    KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK
    MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR
    SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS
    UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905 - a column each would fill the file
)
Tokens = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Nanos for a million tokens: published prices are so small that one token has none."""

    input_nanos: int
    output_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one decision cost, as far as it is known.

    `nanos` is None where a price or the tokens are unknown, `open` says that a further part may
    have been billed that nobody told of, `policy` is the version whose price was taken. `cached`
    marks an answer given again, which cost nothing.
    """

    model: str = ""
    currency: str = ""
    nanos: int | None = None
    policy: int = 0
    open: bool = False
    cached: bool = False
    tokens: Tokens | None = None

    @property
    def is_priced(self) -> bool:
        """Whether all that it cost is known."""
        return self.nanos is not None and not self.open


def nanos(price: Price | None, tokens: Tokens | None) -> int | None:
    """Return what `tokens` (input, output) cost, rounded up once; None where it is unknown."""
    if price is None or tokens is None:
        return None
    whole = tokens[0] * price.input_nanos + tokens[1] * price.output_nanos
    found = -(-whole // _MILLION)
    return found if found <= MAX_INT else None


def told(tokens: Tokens | None) -> Tokens | None:
    """Return the counts that a path told, None where no count can be meant by them."""
    if tokens is None:
        return None
    read, written = tokens
    return tokens if 0 <= read <= MOST_TOKENS and 0 <= written <= MOST_TOKENS else None


def both(one: Charge, other: Charge) -> Charge:
    """Return what two calls of one request cost together, under one policy.

    It has the name of the first that is priced, else of the first that told its tokens. Where only
    one of them is priced or told, that is a part, and the rest is open.
    """
    told_by = [charge for charge in (one, other) if charge.tokens is not None]
    priced = [charge for charge in (one, other) if charge.nanos is not None]
    named = (*priced, *told_by, one)[0]
    counts = [charge.tokens for charge in told_by if charge.tokens is not None]
    spent = sum(charge.nanos or 0 for charge in priced)
    return replace(
        named,
        nanos=spent if priced and spent <= MAX_INT else None,
        open=one.open or other.open or len(told_by) == 1 or len(priced) == 1,
        tokens=told((sum(c[0] for c in counts), sum(c[1] for c in counts))) if counts else None,
    )


def pack(charge: Charge | None) -> dict[str, Json] | None:
    """Return `charge` as a record keeps it; its tokens are the record's `usage`."""
    if charge is None:
        return None
    return {
        "model": charge.model,
        "currency": charge.currency,
        "nanos": charge.nanos,
        "policy": charge.policy,
        "open": charge.open,
        "cached": charge.cached,
    }


def unpack(kept: Mapping[str, Any], usage: Any) -> Charge:
    """Return the charge that a record keeps; raises LookupError, TypeError for another shape."""
    return Charge(
        model=kept["model"],
        currency=kept["currency"],
        nanos=kept["nanos"],
        policy=kept["policy"],
        open=kept["open"],
        cached=kept["cached"],
        tokens=told((usage[0], usage[1])) if usage else None,
    )


def amount(text: str) -> int:
    """Return the nanos that `text` says as a plain decimal; raises Invalid for anything else."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise Invalid(
            f"{text.strip()[:40]!r} is no amount; write digits with at most 9 decimal places, as "
            "in 12.50."
        )
    return int(found[1]) * NANOS + int((found[2] or "").ljust(9, "0"))


def decimal(value: int) -> str:
    """Return `value` nanos as a plain exact decimal, the inverse of `amount`."""
    whole, rest = divmod(value, NANOS)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


def currency(text: str) -> str:
    """Return `text`; raises Invalid unless it is an active code of ISO 4217."""
    if text not in CURRENCIES:
        raise Invalid(
            f"{text[:20]!r} is no currency; give an ISO 4217 code in capitals, such as EUR or USD."
        )
    return text
