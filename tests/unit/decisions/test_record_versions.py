"""A record names every version that its decision was made from."""

from __future__ import annotations

from random import Random

from routing.breakers.board import Board, Key
from routing.core.circuit import Result
from routing.core.values import EnvironmentName, Path
from tests.unit.traffic import Kept, one


async def test_each_record_names_the_versions_that_were_in_force(seed: int) -> None:
    rng, log = Random(seed), Kept()
    states = [(await one(rng, log)).state for _ in range(20)]
    assert [body["versions"] for body in log.bodies] == [
        {
            "matrix": state.matrix.version,
            "flags": state.versions.flags,
            "overrides": state.versions.overrides,
            "settings": state.versions.settings,
            "breakers": {str(path): n for path, n in state.versions.breakers.items()},
        }
        for state in states
    ]


def test_a_generation_grows_with_every_change_of_state() -> None:
    board = Board(jitter=lambda: 0.0)
    key = Key(environment=EnvironmentName.STAGING, path=Path.MCP, target="t")
    assert board.generation(key) == 0
    for _ in range(5):
        permit = board.admit(key)
        assert permit is not None
        board.settle(key, permit, Result.FAILURE)
    assert board.generation(key) == 1
