"""What paid probes may cost: a cap for a day, a price with its source, an account on the disk.

`probe.paid_usd_per_day` in an environment's thresholds is the cap; without it nothing is ever
paid. `bedrock.prices` holds `{"<model>": {"input_usd_per_million": 3, "output_usd_per_million":
15, "source": "the page and its date"}}`; a model without a price is never paid for. A dollar for
a million tokens is a millionth of a dollar for one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from routing.core.errors import Invalid

CAP = "probe.paid_usd_per_day"
PRICES = "bedrock.prices"
EVERY_S = 300.0
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens; `source` says where the figures are from."""

    input_usd_per_million: float
    output_usd_per_million: float
    source: str

    def microusd(self, input_tokens: int, output_tokens: int) -> int:
        """Return what so many tokens cost, rounded up."""
        return math.ceil(
            input_tokens * self.input_usd_per_million + output_tokens * self.output_usd_per_million
        )


class Purse:
    """What one environment may still pay today (UTC); `file` keeps it over restarts."""

    def __init__(self, *, file: Path, cap_microusd: int, price: Price) -> None:
        self._file = file
        self._cap = cap_microusd
        self.price = price

    def take(self, microusd: int, now: datetime) -> bool:
        """Book a payment before it is made; False where the cap or the pace forbids it."""
        spent, last = self._read(now)
        if now.timestamp() < last + EVERY_S or spent + microusd > self._cap:
            return False
        try:
            self._write(now, spent + microusd)
        except OSError:
            return False  # what cannot be booked is not paid
        return True

    def _read(self, now: datetime) -> tuple[int, float]:
        """Return what was spent today and when; what cannot be read counts as all of it."""
        try:
            kept = json.loads(self._file.read_bytes())
            spent, at = int(kept["spent_microusd"]), float(kept["at"])
        except FileNotFoundError:
            return 0, float("-inf")
        except (OSError, ValueError, TypeError, KeyError):
            return self._cap, float("-inf")
        return (spent if kept.get("day") == _day(now) else 0), min(at, now.timestamp())

    def _write(self, now: datetime, spent: int) -> None:
        kept = {"day": _day(now), "spent_microusd": spent, "at": now.timestamp()}
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(kept) + "\n")
        fresh.replace(self._file)


def purse(thresholds: Mapping[str, Any], model: str, file: Path) -> Purse | None:
    """Return the purse that `thresholds` allow, None without a cap; raises Invalid for nonsense.

    A cap without a price of `model` is Invalid too: what it would cost is unknown.
    """
    cap = thresholds.get(CAP)
    prices = thresholds.get(PRICES, {})
    if not isinstance(prices, Mapping):
        raise Invalid(f"{PRICES} must map models to their prices; it is {prices!r:.60}.")
    known = {str(name): _price(str(name), row) for name, row in prices.items()}
    if cap is None:
        return None
    usd = _usd(CAP, cap)
    if model not in known:
        raise Invalid(f"{CAP} is set, but the price of {model} is unknown; add it to {PRICES}.")
    return Purse(file=file, cap_microusd=int(usd * _MILLION), price=known[model])


def _price(model: str, row: object) -> Price:
    place = f"{PRICES}.{model}"
    if not isinstance(row, Mapping) or set(row) != set(Price.__dataclass_fields__):
        raise Invalid(f"{place} must hold {', '.join(Price.__dataclass_fields__)}, no more.")
    if not isinstance(row["source"], str) or not row["source"].strip():
        raise Invalid(f"{place}.source must say where the price is from.")
    return Price(
        input_usd_per_million=_usd(f"{place}.input_usd_per_million", row["input_usd_per_million"]),
        output_usd_per_million=_usd(
            f"{place}.output_usd_per_million", row["output_usd_per_million"]
        ),
        source=row["source"],
    )


def _usd(place: str, said: object) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 10_000:
        raise Invalid(f"{place} is {said!r:.60}; give US dollars from 0 to 10000.")
    return said


def _day(now: datetime) -> str:
    return now.date().isoformat()
