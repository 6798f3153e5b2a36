from __future__ import annotations

from routing.breakers.board import Board, Key, View
from routing.core.circuit import Result
from routing.core.values import Breaker, EnvironmentName, Path
from tests.unit.stage import Clock

KEY = Key(environment=EnvironmentName.PRODUCTION, path=Path.MCP, target="scripted")
SECOND = 1_000_000


def view(board: Board) -> View:
    return next(one for one in board.views() if one.key == KEY)


def settle(board: Board, result: Result, times: int) -> None:
    for _ in range(times):
        permit = board.admit(KEY)
        assert permit is not None
        board.settle(KEY, permit, result)


def test_tells_how_long_ago_it_went_half_open_or_closed() -> None:
    clock = Clock()
    board = Board(clock=clock, jitter=lambda: 0.0)
    settle(board, Result.FAILURE, 5)
    assert board.mended_ago_us(KEY) is None
    clock.now_us += 6 * SECOND
    assert board.mended_ago_us(KEY) == SECOND, "asked or not, it is half-open since its wait ended"
    clock.now_us += SECOND
    settle(board, Result.SUCCESS, 3)
    clock.now_us += 4 * SECOND
    assert board.mended_ago_us(KEY) == 4 * SECOND
    settle(board, Result.FAILURE, 5)
    assert board.mended_ago_us(KEY) == 4 * SECOND, "opening mends nothing"


def test_tells_since_when_it_is_shut_over_every_trial_that_failed() -> None:
    clock = Clock()
    board = Board(clock=clock, jitter=lambda: 0.0)
    settle(board, Result.SUCCESS, 1)
    assert view(board).shut_for_us is None
    settle(board, Result.FAILURE, 5)
    assert view(board).shut_for_us == 0
    clock.now_us += 6 * SECOND
    settle(board, Result.FAILURE, 1)
    clock.now_us += SECOND
    assert (view(board).state, view(board).shut_for_us) == (Breaker.OPEN, 7 * SECOND)
    clock.now_us += 60 * SECOND
    settle(board, Result.SUCCESS, 3)
    assert (view(board).state, view(board).shut_for_us) == (Breaker.CLOSED, None)


def test_leave_to_call_ends_when_the_breaker_opens_and_comes_back_when_it_closes() -> None:
    clock = Clock()
    board = Board(clock=clock, jitter=lambda: 0.0)
    early = board.admit(KEY)
    assert early is not None and board.stands(KEY, early)
    settle(board, Result.FAILURE, 5)
    assert not board.stands(KEY, early)
    clock.now_us += 6 * SECOND
    trial = board.admit(KEY)
    assert trial is not None and board.stands(KEY, trial)
    assert not board.stands(KEY, early), "half-open, only trials go out"
    settle(board, Result.SUCCESS, 2)
    board.settle(KEY, trial, Result.SUCCESS)
    assert board.stands(KEY, early)
