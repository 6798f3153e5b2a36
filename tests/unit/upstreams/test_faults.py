from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.errors import Invalid, UnknownWord
from routing.core.values import EnvironmentName
from routing.upstreams import faults
from routing.upstreams.faults import Board, Fault, Kind

DEV, STG = EnvironmentName.DEVELOPMENT, EnvironmentName.STAGING


@given(seconds=st.floats(0.001, 600), start=st.floats(0, 1e6))
def test_each_fault_ends_by_itself(seconds: float, start: float) -> None:
    board = Board()
    board.add(Fault(kind=Kind.ERROR, seconds=seconds), start)
    assert board.strike(DEV, start).fault is not None
    assert board.strike(DEV, start + seconds) == faults.NOTHING
    assert board.active(start + seconds) == []


def test_the_end_of_one_leaves_another() -> None:
    board = Board()
    board.add(Fault(kind=Kind.ERROR, seconds=100), 0)
    board.add(Fault(kind=Kind.HANG, seconds=5), 0)
    assert board.strike(DEV, 1).name == "hang"
    assert board.strike(DEV, 6).name == "error"


def test_a_fault_stays_in_its_environment() -> None:
    board = Board()
    board.add(Fault(kind=Kind.RESET, environment=STG), 0)
    assert board.strike(DEV, 1) == faults.NOTHING
    assert board.strike(STG, 1).name == "reset"


def test_delays_add_up_and_join_another_fault() -> None:
    board = Board()
    for ms in (100, 20):
        board.add(Fault(kind=Kind.LATENCY, ms=ms), 0)
    assert board.strike(DEV, 1) == faults.Strike(delay_ms=120)
    board.add(Fault(kind=Kind.CUT), 0)
    strike = board.strike(DEV, 1)
    assert (strike.delay_ms, strike.name) == (120, "cut")


def test_clear_ends_all_at_once() -> None:
    board = Board()
    board.add(Fault(kind=Kind.ERROR), 0)
    assert board.clear() == 1
    assert board.strike(DEV, 0) == faults.NOTHING


def struck(seed: int, share: float, count: int) -> list[bool]:
    board = Board(seed=seed)
    board.add(Fault(kind=Kind.ERROR, share=share), 0)
    return [board.strike(DEV, 1).fault is not None for _ in range(count)]


@given(seed=st.integers(0, 2**32))
def test_the_same_seed_strikes_the_same_requests(seed: int) -> None:
    assert struck(seed, 0.5, 40) == struck(seed, 0.5, 40)
    assert struck(seed, 0.5, 40) != struck(seed + 1, 0.5, 40)


def test_a_share_is_kept_over_many_requests() -> None:
    hits = sum(struck(7, 0.3, 4000))
    assert 1100 < hits < 1300
    assert all(struck(7, 1.0, 100))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seconds": 601},
        {"seconds": 0},
        {"seconds": float("nan")},
        {"seconds": True},
        {"seconds": "60"},
        {"share": 1.5},
        {"share": 0},
        {"status": 200},
        {"status": 600},
        {"code": "a b"},
        {"code": "x\r\ny"},
        {"code": 7},
        {"ms": -1},
        {"after": -1},
        {"retry_after_s": 1.5},
        {"minutes": 3},
        {"kind": "latency"},
    ],
)
def test_a_fault_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    right = {"do": "fault", "kind": "error"}
    assert faults.read(right).kind is Kind.ERROR
    with pytest.raises(Invalid):
        faults.read(right | wrong)


@pytest.mark.parametrize("wrong", [{"kind": "fire"}, {"kind": None}, {"environment": "dev"}])
def test_an_unknown_word_is_refused_with_the_known_ones(wrong: dict[str, Any]) -> None:
    with pytest.raises(UnknownWord, match="known"):
        faults.read({"kind": "error", **wrong})


def test_everything_that_can_be_asked_for_is_read() -> None:
    assert faults.read(
        {
            "kind": "error",
            "environment": "staging",
            "seconds": 5,
            "share": 0.5,
            "status": 429,
            "code": "ThrottlingException",
            "retry_after_s": 9,
            "after": 2,
        }
    ) == Fault(
        kind=Kind.ERROR,
        environment=STG,
        seconds=5.0,
        share=0.5,
        status=429,
        code="ThrottlingException",
        retry_after_s=9,
        after=2,
    )
