"""The second half of `test_list_b`: B11 to B20, what answers and streams may do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.compliance import residency
from routing.core import eventstream, failures
from routing.core.eventstream import event
from routing.core.values import (
    Breaker,
    Failure,
    Residency,
)
from routing.paths import bedrock_patience
from routing.paths.base import PathError
from tests.verified_fakes import hostile
from tests.verified_fakes.asked import call, failed, until
from tests.verified_fakes.routed import BACKED, DIRECT, Ground, laid, moved
from tests.verified_fakes.test_bedrock_same_faults import (
    END,
    GOOD,
    START,
    STOP,
    TYPED,
    WELL,
    chunked,
    lying,
    raised,
    twice,
)
from tests.verified_fakes.test_direct_bedrock_client import connect


@pytest.fixture
async def ground(tmp_path: Folder) -> AsyncIterator[Ground]:
    async with laid(tmp_path) as one:
        yield one


async def test_b11_a_first_byte_that_does_not_come_is_not_waited_for(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bedrock_patience, "FIRST_S", 0.2)
    ground.server.behave = hostile.hanging()
    began = time.monotonic()
    routed = await ground.route(BACKED)  # of 10 s, an attempt may have 6
    assert time.monotonic() - began < 1
    assert moved(routed)
    assert routed.attempts[0].failure is Failure.TIMEOUT


async def test_b11_a_token_now_and_then_is_a_gap(ground: Ground) -> None:
    drop = b"%x\r\n%s\r\n" % (len(WELL), WELL)
    ground.server.behave = hostile.dripping(chunked(START, WELL, end=b""), drop, every_s=0.5)
    problem = await failed(ground.client, gap_s=0.2)
    assert "between two events" in problem.detail


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("throttlingException", Failure.THROTTLED),
        ("internalServerException", Failure.PROVIDER),
    ],
)
async def test_b12_what_breaks_after_some_pieces_is_no_answer(
    ground: Ground, name: str, failure: Failure
) -> None:
    ground.stream(START, WELL, WELL, raised(name), WELL, STOP, END)
    heard: list[Any] = []
    with pytest.raises(PathError) as caught:
        async for piece in ground.client.stream(call()):
            heard.append(piece)
    assert (heard, caught.value.failure) == (["well", "well"], failure)
    assert len(ground.server.requests) == 1  # and nobody asked again behind the caller's back
    routed = await ground.route(BACKED)
    assert moved(routed)
    assert "well" not in str(routed.answer)


async def test_b13_a_stream_without_its_end_is_truncated(ground: Ground) -> None:
    ground.stream(START, WELL)
    assert (await failed(ground.client)).failure is Failure.TRUNCATED
    assert moved(await ground.route(BACKED))


BROKEN = {
    "checksum": START + eventstream.spoiled(WELL) + STOP,
    "24 MB and one": START + lying(24 * 1024 * 1024 + 17, 0),
    "a header twice": START + twice(b":event-type") + STOP,
}


@pytest.mark.parametrize("said", BROKEN.values(), ids=BROKEN)
async def test_b14_a_stream_that_cannot_be_read_is_left(ground: Ground, said: bytes) -> None:
    ground.stream(said)
    assert (await failed(ground.client)).failure is Failure.PROTOCOL
    assert moved(await ground.route(BACKED))


async def test_b14_events_that_nobody_knows_are_passed_over(ground: Ground) -> None:
    ground.stream(TYPED, START, TYPED, WELL, STOP, TYPED, END)
    routed = await ground.route(BACKED)
    assert routed.conclusion.effective is DIRECT
    assert routed.answer is not None
    assert routed.answer.text == "well"


STOPS = ["max_tokens", "guardrail_intervened", "content_filtered"]


@pytest.mark.parametrize("stop", [*STOPS, "model_context_window_exceeded"])
async def test_b15_why_it_stopped_reaches_the_caller(ground: Ground, stop: str) -> None:
    ended = event("messageStop", {"stopReason": stop})
    ground.stream(START, WELL, ended, END)
    routed = await ground.route(BACKED)
    assert routed.answer is not None
    assert routed.answer.stop_reason == stop
    ground.stream(START, ended, END)  # without a word: no success, and no fault of the path
    routed = await ground.route(BACKED)
    assert (routed.status, routed.answer) == (400, None)
    assert not ground.other.calls


USAGES = [None, {}, {"inputTokens": -1, "outputTokens": 2}]


@pytest.mark.parametrize("usage", [*USAGES, {"inputTokens": 10**12, "outputTokens": 1}])
async def test_b16_figures_that_measure_nothing_are_none(ground: Ground, usage: Any) -> None:
    """Nothing is booked for them; a budget has to reckon with its own upper bound."""
    ground.stream(START, WELL, STOP, event("metadata", {"usage": usage}))
    routed = await ground.route(BACKED)
    assert routed.answer is not None
    assert routed.answer.usage is None


EMPTY = {
    "no text": START + STOP + END,
    "empty text": START + event("contentBlockDelta", {"delta": {"text": ""}}) + STOP,
    "a number": START + event("contentBlockDelta", {"delta": {"text": 7}}) + STOP,
    "no stream": b'{"output": {}}',
    "nothing": b"",
}


@pytest.mark.parametrize("said", EMPTY.values(), ids=EMPTY)
async def test_b17_an_answer_without_content_is_a_typed_502(ground: Ground, said: bytes) -> None:
    ground.stream(said)
    problem = await failed(ground.client)
    assert failures.consequence(problem.failure).status == 502
    assert moved(await ground.route(BACKED))


async def test_b18_who_leaves_at_a_piece_ends_the_call_upstream(ground: Ground) -> None:
    ground.server.behave = hostile.hanging(chunked(START, WELL, end=b""))
    task = asyncio.create_task(ground.route(BACKED))
    await until(lambda: len(ground.server.requests) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(2):
        await ground.server.gone.wait()


async def test_b19_an_endpoint_elsewhere_is_refused(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with hostile.serving(hostile.saying(GOOD)) as evil:
        await ground.client.close()
        ground.client = connect(lambda: evil.url, local=False)
        routed = await ground.route(BACKED)
        assert moved(routed)
        assert routed.attempts[0].failure is Failure.DISABLED
        assert evil.connections == 0


@pytest.mark.parametrize(
    ("target", "region", "models"),
    [
        ("aws", "us-east-1", ["anthropic.x"]),
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "eu-central-1", ["anthropic.x"]),
        ("aws", "eu-central-1", ["eu.anthropic.x", "us.anthropic.x"]),
    ],
    ids=["b19 region", "b19 endpoint", "b19 the model of one operation"],
)
def test_b19_another_region_breaks_the_residency(
    target: str, region: str, models: list[str]
) -> None:
    judged = residency.judge_all(
        residency=Residency.EU, path=DIRECT, target=target, region=region, models=models
    )
    assert not judged.allowed


async def test_b20_a_path_that_is_slow_half_the_time_is_left_alone(ground: Ground) -> None:
    ground.budget(1000)
    turns = iter(range(1000))

    async def alternating(request: hostile.Request, writer: asyncio.StreamWriter) -> None:
        if next(turns) % 2:
            await hostile.never()
        writer.write(GOOD)

    alternating.hangs = True  # type: ignore[attr-defined]
    ground.server.behave = alternating
    many = await asyncio.gather(*(ground.route(BACKED) for _ in range(24)))
    assert {routed.status for routed in many} == {200}  # the other path stood in
    assert ground.breaker() is Breaker.OPEN
    before = len(ground.server.requests)
    assert moved(await ground.route(BACKED))
    assert len(ground.server.requests) == before
