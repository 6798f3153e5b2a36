"""Settings of the Bedrock path that are data: read strictly, or not used at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path as Folder
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.errors import Invalid
from routing.core.values import Failure, Operation, Path
from routing.paths import bedrock_purse, bedrock_request
from routing.paths.base import PathError
from routing.paths.bedrock_request import Manner
from routing.paths.roster import Roster
from tests.unit.paths.test_roster import DEV, row
from tests.verified_fakes.asked import call

OPERATIONS = bedrock_request.OPERATIONS
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
WORDS = st.sampled_from(["emergency", "standard", *Manner.__dataclass_fields__]) | st.text()
SAID: dict[str, Any] = {
    "model": "eu.x",
    "max_tokens": 9,
    "temperature": 0.5,
    "top_p": 1,
    "stop_sequences": ["a"],
    "whole": True,
}


def test_settings_per_operation_are_read() -> None:
    read = bedrock_request.manners({OPERATIONS: {"emergency": SAID, "standard": {}}})
    assert read == {
        Operation.EMERGENCY: Manner(**{**SAID, "stop_sequences": ("a",)}),
        Operation.STANDARD: Manner(),
    }
    assert bedrock_request.manners({}) == {}
    assert bedrock_request.models("m", read) == ("m", "eu.x")


@pytest.mark.parametrize(
    "said",
    [
        [],
        "x",
        {"nobody": {}},
        {"emergency": []},
        {"emergency": {"modell": "x"}},
        {"emergency": {"model": 7}},
        {"emergency": {"model": " x"}},
        {"emergency": {"max_tokens": 0}},
        {"emergency": {"max_tokens": True}},
        {"emergency": {"max_tokens": "9"}},
        {"emergency": {"temperature": 1.1}},
        {"emergency": {"temperature": float("nan")}},
        {"emergency": {"top_p": -0.1}},
        {"emergency": {"top_p": False}},
        {"emergency": {"stop_sequences": "abc"}},
        {"emergency": {"stop_sequences": [""]}},
        {"emergency": {"stop_sequences": ["a"] * 5}},
        {"emergency": {"whole": 1}},
    ],
)
async def test_nonsense_makes_the_path_not_configured_in_words(
    said: Any, tmp_path: Folder
) -> None:
    with pytest.raises(Invalid, match=OPERATIONS):
        bedrock_request.manners({OPERATIONS: said})
    roster = Roster(tmp_path)
    roster.adopt([row(mcp_target="", thresholds={OPERATIONS: said})])
    assert roster.client(DEV, Path.DIRECT_BEDROCK) is None
    assert OPERATIONS in roster.problem(DEV, Path.DIRECT_BEDROCK)
    roster.adopt([row(mcp_target="")])
    assert roster.client(DEV, Path.DIRECT_BEDROCK) is not None
    assert roster.problem(DEV, Path.DIRECT_BEDROCK) == ""
    await roster.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_no_settings_raise_anything_else(said: Any) -> None:
    try:
        bedrock_request.manners({OPERATIONS: said})
    except Invalid as error:
        assert OPERATIONS in error.message


def test_a_caller_wishes_and_the_settings_cap() -> None:
    manner = Manner(max_tokens=9, temperature=0.5, top_p=0.1, stop_sequences=("a",))
    said = bedrock_request.document(call(max_tokens=50), manner, "m")
    assert said["inferenceConfig"] == {
        "maxTokens": 9,
        "temperature": 0.5,
        "topP": 0.1,
        "stopSequences": ["a"],
    }
    said = bedrock_request.document(call(max_tokens=3, temperature=0.0), manner, "m")
    assert (said["inferenceConfig"]["maxTokens"], said["inferenceConfig"]["temperature"]) == (3, 0)


@pytest.mark.parametrize(
    "more", [{"max_tokens": 0}, {"temperature": -1.0}, {"temperature": float("nan")}]
)
def test_what_the_service_model_forbids_is_not_sent(more: dict[str, Any]) -> None:
    with pytest.raises(PathError) as caught:
        bedrock_request.document(call(**more), Manner(), "m")
    assert (caught.value.failure, caught.value.sent) == (Failure.VALIDATION, False)


PRICE = {"input_usd_per_million": 3, "output_usd_per_million": 15, "source": "the price list"}
PAYING = {bedrock_purse.CAP: 0.0001, bedrock_purse.PRICES: {"m": PRICE}}


def purse(folder: Folder, **more: Any) -> bedrock_purse.Purse | None:
    return bedrock_purse.purse({**PAYING, **more}, "m", folder / "cost.json")


def test_nothing_is_paid_without_a_cap(tmp_path: Folder) -> None:
    assert bedrock_purse.purse({bedrock_purse.PRICES: {"m": PRICE}}, "m", tmp_path) is None


@pytest.mark.parametrize(
    "more",
    [
        {bedrock_purse.PRICES: {}},
        {bedrock_purse.PRICES: {"other": PRICE}},
        {bedrock_purse.PRICES: {"m": {**PRICE, "source": " "}}},
        {bedrock_purse.PRICES: {"m": {**PRICE, "input_usd_per_million": "3"}}},
        {bedrock_purse.PRICES: {"m": {"source": "x"}}},
        {bedrock_purse.PRICES: 3},
        {bedrock_purse.CAP: -1},
        {bedrock_purse.CAP: True},
        {bedrock_purse.CAP: float("nan")},
    ],
)
async def test_a_price_that_is_unknown_is_never_paid(
    tmp_path: Folder, more: dict[str, Any]
) -> None:
    with pytest.raises(Invalid):
        purse(tmp_path, **more)
    roster = Roster(tmp_path)
    roster.adopt([row(mcp_target="", thresholds={**PAYING, **more})])
    assert roster.client(DEV, Path.DIRECT_BEDROCK) is not None
    assert "no probe is paid for" in roster.problem(DEV, Path.DIRECT_BEDROCK)
    await roster.close()


def test_the_purse_keeps_pace_cap_and_day_over_restarts(tmp_path: Folder) -> None:
    now = NOW
    taken = []
    for _ in range(6):
        fresh = purse(tmp_path)
        assert fresh is not None
        taken.append(fresh.take(40, now))  # of 100
        assert fresh.take(40, now + timedelta(seconds=299)) is False
        now += timedelta(seconds=300)
    assert taken == [True, True, False, False, False, False]
    tomorrow = purse(tmp_path)
    assert tomorrow is not None
    assert tomorrow.take(40, NOW + timedelta(days=1))
    assert json.loads((tmp_path / "cost.json").read_text())["spent_microusd"] == 40


@pytest.mark.parametrize("kept", ["", "{}", "[]", '{"spent_microusd": "x", "at": 0}'])
def test_an_account_that_cannot_be_read_counts_as_spent(tmp_path: Folder, kept: str) -> None:
    (tmp_path / "cost.json").write_text(kept)
    made = purse(tmp_path)
    assert made is not None
    assert made.take(40, NOW) is False


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_price_is_never_rounded_down(into: int, out: int) -> None:
    price = bedrock_purse.Price(
        input_usd_per_million=0.25, output_usd_per_million=1.25, source="x"
    )
    exact = into * 0.25 + out * 1.25
    assert exact <= price.microusd(into, out) < exact + 1
