"""Idempotency keys: carried out once, whoever sends it how often, in whatever order."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import datetime, timedelta
from pathlib import Path as Folder

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.api import idempotency
from routing.api.idempotency import Keys
from routing.core import once
from routing.core.allowance import Limits
from routing.core.values import Failure
from routing.decisions import recent
from routing.paths.scripted import Step, fails, waits
from tests.unit.api import calls
from tests.unit.api.calls import PROMPT, Caller, Given
from tests.unit.stage import NOW

KEY = ("Idempotency-Key", "order-7")
OTHER = {"prompt": "What else?"}
DAY = timedelta(days=1)


class Wall:
    """A wall clock that moves when it is told."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


async def test_who_sends_it_again_in_flight_gets_the_same_answer(caller: Caller) -> None:
    gate = asyncio.Event()
    caller.stage.mcp.otherwise = waits(gate)
    tasks = [asyncio.create_task(caller.post(PROMPT, KEY)) for _ in range(5)]
    await caller.stage.mcp.arrived()
    gate.set()
    given = await asyncio.gather(*tasks)
    assert {g.status for g in given} == {200}
    assert len({g.body["decision_id"] for g in given}) == 1
    assert len({g.raw for g in given}) == 1
    assert (len(caller.stage.mcp.calls), len(caller.stage.records())) == (1, 1)


async def test_after_the_end_there_is_the_decision_and_no_second_call(caller: Caller) -> None:
    first = await caller.post(PROMPT, KEY)
    again = await caller.post(PROMPT, KEY)
    assert (again.status, again.error["code"]) == (409, "repeated")
    assert again.error["decision_id"] == first.body["decision_id"]
    assert again.headers["x-hybridops-decision"] == first.body["decision_id"]
    assert "not kept" in again.error["message"]
    assert len(caller.stage.mcp.calls) == 1


@pytest.mark.parametrize(
    ("body", "more"),
    [
        (OTHER, ()),
        (json.dumps(PROMPT).encode() + b" ", ()),
        (PROMPT, (("X-HybridOps-Operation", "infrastructure"),)),
        (PROMPT, (("X-HybridOps-Priority", "low"),)),
    ],
)
async def test_another_request_under_the_same_key_is_refused(
    caller: Caller, body: object, more: tuple[tuple[str, str], ...]
) -> None:
    first = await caller.post(PROMPT, KEY)
    other = await caller.post(body, KEY, *more)
    assert (other.status, other.error["code"]) == (409, "key_reused")
    assert other.error["decision_id"] == first.body["decision_id"]


async def test_another_request_is_refused_while_the_first_is_in_flight(caller: Caller) -> None:
    gate = asyncio.Event()
    caller.stage.mcp.otherwise = waits(gate)
    first = asyncio.create_task(caller.post(PROMPT, KEY))
    await caller.stage.mcp.arrived()
    assert (await caller.post(OTHER, KEY)).status == 409
    gate.set()
    assert (await first).status == 200


async def test_a_key_belongs_to_its_token(caller: Caller) -> None:
    given = [await caller.post(PROMPT, KEY, secret=secret) for secret in ("plain", "urgent")]
    assert [g.status for g in given] == [200, 200]


@pytest.mark.parametrize("key", ["", " ", "x" * 129, "a b", "\xe9", "a\tb"])
async def test_a_key_that_is_none_is_refused(caller: Caller, key: str) -> None:
    given = await caller.post(PROMPT, ("Idempotency-Key", key))
    assert (given.status, given.error["code"]) == (400, "invalid")
    assert not caller.stage.mcp.calls


@pytest.mark.parametrize("key", ["!", "~" * 128])
async def test_any_visible_ascii_is_a_key(caller: Caller, key: str) -> None:
    assert (await caller.post(PROMPT, ("Idempotency-Key", key))).status == 200


@pytest.mark.parametrize("failure", Failure)
async def test_a_key_is_used_up_exactly_when_somebody_may_have_acted(
    caller: Caller, failure: Failure
) -> None:
    caller.stage.mcp.otherwise = caller.stage.direct.otherwise = fails(failure)
    first = await caller.post(PROMPT, KEY)
    assert first.status != 200
    caller.stage.mcp.otherwise = caller.stage.direct.otherwise = Step()
    again = await caller.post(PROMPT, KEY)
    in_doubt = failure in {Failure.OUTCOME_UNKNOWN, Failure.TOOL_ERROR}
    assert again.status == (409 if in_doubt else 200)


async def test_a_request_that_was_refused_before_it_was_tried_may_come_again(
    tmp_path: Folder,
) -> None:
    with calls.opened(tmp_path, limits=Limits(tokens_per_minute=700)) as caller:
        asks = {**PROMPT, "max_tokens": 600}
        gate = asyncio.Event()
        caller.stage.mcp.otherwise = waits(gate)
        first = asyncio.create_task(caller.post(asks))
        await caller.stage.mcp.arrived()
        assert (await caller.post(asks, KEY)).status == 429
        gate.set()
        await first
        assert (await caller.post(asks, KEY)).status == 200


async def test_it_goes_on_without_its_caller_so_that_the_caller_can_come_back(
    caller: Caller,
) -> None:
    gate = asyncio.Event()
    caller.stage.mcp.otherwise = waits(gate)
    first = asyncio.create_task(caller.post(PROMPT, KEY))
    await caller.stage.mcp.arrived()
    caller.leave.set()
    await first
    caller.leave = asyncio.Event()
    back = asyncio.create_task(caller.post(PROMPT, KEY))
    await asyncio.sleep(0)
    gate.set()
    given = await back
    assert given.status == 200
    assert (len(caller.stage.mcp.calls), caller.stage.mcp.given_up) == (1, 0)
    assert [r["status"] for r in caller.stage.records()] == [200]


async def test_what_goes_on_alone_takes_places_too(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, limits=Limits(at_once=2)) as caller:
        gate = asyncio.Event()
        caller.stage.mcp.otherwise = waits(gate)
        for number in range(2):
            left = asyncio.create_task(caller.post(PROMPT, ("Idempotency-Key", f"k{number}")))
            await caller.stage.mcp.arrived(number + 1)
            caller.leave.set()
            await left
            caller.leave = asyncio.Event()
        third = await caller.post(PROMPT, ("Idempotency-Key", "k2"))
        assert (third.status, third.error["limit"]) == (429, "at_once")
        gate.set()


async def test_the_end_of_the_server_cuts_it_off_and_books_it(tmp_path: Folder) -> None:
    keys = idempotency.fresh(lambda: NOW)
    with calls.opened(tmp_path, keys=keys) as caller:
        caller.stage.mcp.otherwise = waits(asyncio.Event())
        first = asyncio.create_task(caller.post(PROMPT, KEY))
        await caller.stage.mcp.arrived()
        await keys.close()
        assert (await first).status == 503
        (kept,) = caller.stage.records()
        assert (kept["status"], kept["failure"]) == (499, "outcome_unknown")
        assert (await caller.post(PROMPT, KEY)).error["code"] == "repeated"


async def test_an_answer_without_a_record_is_not_given_and_not_made_twice(
    tmp_path: Folder,
) -> None:
    with calls.opened(tmp_path, logged=False) as caller:
        assert (await caller.post(PROMPT, KEY)).status == 503
        assert (await caller.post(PROMPT, KEY)).status == 409
        assert len(caller.stage.mcp.calls) == 1


async def test_a_key_is_free_again_after_a_day(tmp_path: Folder) -> None:
    wall = Wall()
    with calls.opened(tmp_path, keys=idempotency.fresh(wall)) as caller:
        assert (await caller.post(PROMPT, KEY)).status == 200
        wall.now = NOW + DAY - timedelta(seconds=1)
        assert (await caller.post(PROMPT, KEY)).status == 409
        wall.now = NOW + DAY
        assert (await caller.post(PROMPT, KEY)).status == 200


async def test_so_many_keys_are_kept_and_the_oldest_goes_first(tmp_path: Folder) -> None:
    keys = Keys(lambda: NOW, most=3)
    keys.learn(())
    with calls.opened(tmp_path, keys=keys) as caller:
        for number in range(6):
            await caller.post(PROMPT, ("Idempotency-Key", f"k{number}"))
        said = [
            (await caller.post(PROMPT, ("Idempotency-Key", f"k{number}"))).status
            for number in (5, 4, 0)
        ]
        assert said == [409, 409, 200]


async def test_a_keyed_request_waits_until_earlier_ones_are_known(tmp_path: Folder) -> None:
    keys = Keys(lambda: NOW)
    with calls.opened(tmp_path, keys=keys) as caller:
        keyed = asyncio.create_task(caller.post(PROMPT, KEY))
        assert (await caller.post()).status == 200
        assert len(caller.stage.mcp.calls) == 1
        keys.learn(())
        assert (await keyed).status == 200


async def test_a_key_that_cannot_be_looked_up_is_not_taken(
    tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "LEARN_WITHIN_S", 0.01)
    with calls.opened(tmp_path, keys=Keys(lambda: NOW)) as caller:
        given = await caller.post(PROMPT, KEY)
        assert (given.status, given.headers["retry-after"]) == (503, "5")
        assert not caller.stage.mcp.calls


async def test_a_successor_in_the_same_home_knows_what_was_carried_out(tmp_path: Folder) -> None:
    doubt = ("Idempotency-Key", "doubt")
    free = ("Idempotency-Key", "free")
    with calls.opened(tmp_path) as caller:
        answered = await caller.post(PROMPT, KEY)
        caller.stage.mcp.otherwise = caller.stage.direct.otherwise = fails(Failure.PROTOCOL)
        assert (await caller.post(PROMPT, free)).status == 503
        caller.stage.mcp.otherwise = fails(Failure.OUTCOME_UNKNOWN)
        assert (await caller.post(PROMPT, doubt)).status == 502
        # As a kill leaves it: no end was written, and the last record is torn.
        path = caller.stage.log.path
        path.write_bytes(path.read_bytes() + b"\x00\x00\x01\x00{")
        kept = recent.keyed(path.parent, NOW)
    keys = Keys(lambda: NOW)
    keys.learn(kept)
    with calls.opened(tmp_path / "next", keys=keys) as caller:
        again = await caller.post(PROMPT, KEY)
        assert (again.status, again.error["code"]) == (409, "repeated")
        assert again.error["decision_id"] == answered.body["decision_id"]
        assert (await caller.post(OTHER, KEY)).error["code"] == "key_reused"
        assert (await caller.post(PROMPT, doubt)).status == 409
        assert (await caller.post(PROMPT, free)).status == 200


async def test_a_successor_forgets_what_is_older_than_a_day(tmp_path: Folder) -> None:
    with calls.opened(tmp_path) as caller:
        await caller.post(PROMPT, KEY)
        folder = caller.stage.log.path.parent
        assert len(recent.keyed(folder, NOW + DAY - timedelta(seconds=1))) == 1
        assert recent.keyed(folder, NOW + DAY) == []
        assert recent.keyed(folder, NOW, most_bytes=10) == []


async def test_neither_key_nor_body_stands_in_the_record(caller: Caller) -> None:
    await caller.post(PROMPT, KEY)
    (kept,) = caller.stage.records()
    assert kept["once"] == [once.digest("tok_plain", KEY[1]), kept["once"][1]]
    assert KEY[1].encode() not in caller.stage.log.path.read_bytes()
    await caller.post(PROMPT)
    assert "once" not in caller.stage.records()[1]


async def test_whatever_comes_in_whatever_order_each_key_is_carried_out_once(
    caller: Caller, seed: int
) -> None:
    rng = random.Random(seed)
    names = [f"k{n}" for n in range(5)]

    async def one(name: str) -> tuple[str, Given]:
        for _ in range(rng.randrange(4)):
            await asyncio.sleep(0)
        return name, await caller.post({"prompt": name}, ("Idempotency-Key", name))

    done = await asyncio.gather(*(one(rng.choice(names)) for _ in range(60)))
    for name in names:
        ids = {
            given.body.get("decision_id") or given.error["decision_id"]
            for which, given in done
            if which == name
        }
        assert len(ids) <= 1, f"seed {seed}"
    prompts = [call.messages[0].text for call in caller.stage.mcp.calls]
    assert len(prompts) == len(set(prompts)), f"seed {seed}"


parts = st.lists(st.none() | st.text(max_size=3) | st.binary(max_size=3), max_size=4)


@given(parts, parts)
def test_no_two_requests_share_a_digest(one: list[str], other: list[str]) -> None:
    def plain(said: list[str]) -> list[bytes | None]:
        return [part.encode() if isinstance(part, str) else part for part in said]

    assert (once.digest(*one) == once.digest(*other)) == (plain(one) == plain(other))
