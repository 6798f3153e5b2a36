"""One path fails half the time, and nobody with a path left is refused."""

from __future__ import annotations

import ast
import random
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path as Folder

import pytest

from routing.core import failures
from tests.chaos import ground, oracle
from tests.chaos.oracle import DIRECT, MCP, Asked

COUNT = 1000


async def test_a_thousand_asks_while_mcp_fails_half_the_time(tmp_path: Folder, seed: int) -> None:
    async with ground.laid(tmp_path, seed) as laid:
        laid.fail(MCP)
        asked = await laid.run(random.Random(seed), COUNT)
        assert laid.verdict(asked, MCP) == [], f"seed {seed}"
        said = Counter(ask.status for ask in asked)
        sys.stdout.write(f"seed {seed}: {said[200]} answered, {said[503]} refused with 503\n")
        assert said[200] + said[503] == len(asked) == COUNT
        assert said[200] >= COUNT / 2
        assert said[503] > 0  # else the fault never struck where no path is left


async def test_three_hundred_asks_while_bedrock_fails_half_the_time(
    tmp_path: Folder, seed: int
) -> None:
    async with ground.laid(tmp_path, seed) as laid:
        laid.fail(DIRECT)
        asked = await laid.run(random.Random(seed + 1), 300)
        assert laid.verdict(asked, DIRECT) == [], f"seed {seed}"
        refused = {ask.operation for ask in asked if ask.status != 200}
        assert refused <= {"emergency"}


async def test_without_the_fallback_table_the_oracle_objects(
    tmp_path: Folder, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {
        failure: replace(consequence, may_fall_back=False)
        for failure, consequence in failures.TABLE.items()
    }
    monkeypatch.setattr(failures, "TABLE", broken)
    async with ground.laid(tmp_path, seed) as laid:
        laid.fail(MCP)
        asked = await laid.run(random.Random(seed), 200)
        found = laid.verdict(asked, MCP)
        assert any("had a path left and got none" in problem for problem in found), f"seed {seed}"


async def test_the_oracle_objects_to_every_kind_of_lie(tmp_path: Folder, seed: int) -> None:
    async with ground.laid(tmp_path, seed) as laid:
        asked = await laid.run(random.Random(seed), 40)
        assert laid.verdict(asked, MCP) == []
        met = oracle.journals(one.home for one in laid.stand_ins.values())
        booked = oracle.decisions(laid.log.path, laid.log.stream)
        first, name = booked[0], booked[0]["id"]
        other = {DIRECT: MCP, MCP: DIRECT}
        lies = [
            (asked, met, booked[1:]),
            (asked, met, [*booked, first]),
            (asked, met, [{**first, "effective": other[first["effective"]]}, *booked[1:]]),
            (asked, met, [{**first, "intended": other[first["intended"]]}, *booked[1:]]),
            (asked, met, [{**first, "attempts": []}, *booked[1:]]),
            (asked[1:], met, booked),
            (asked, {**met, name: []}, booked),
            (asked, {**met, name: [*met[name], *met[name]]}, booked),
            (_refused(asked), met, booked),
        ]
        for lie in lies:
            assert oracle.problems(*lie, MCP) != []


def _refused(asked: list[Asked]) -> list[Asked]:
    return [replace(asked[0], status=503, code="no_path", retry_after_s=5), *asked[1:]]


async def test_the_oracle_reads_no_segment_that_was_altered(tmp_path: Folder, seed: int) -> None:
    async with ground.laid(tmp_path, seed) as laid:
        await laid.run(random.Random(seed), 5, at_once=1)
        laid.log.close(ground.NOW)
        whole = laid.log.path.read_bytes()
        place = whole.index(b'"effective":"')
        laid.log.path.write_bytes(whole[:place] + b'"effectivf":"' + whole[place + 13 :])
        with pytest.raises(ValueError, match="does not follow"):
            oracle.decisions(laid.log.path, laid.log.stream)


def test_the_oracle_knows_nothing_of_the_product() -> None:
    source = ast.parse(Folder(oracle.__file__).read_text())
    imported = {
        name
        for node in ast.walk(source)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [])
        + [alias.name for alias in node.names]
    }
    assert not {name for name in imported if name and name.split(".")[0] in {"routing", "tests"}}
