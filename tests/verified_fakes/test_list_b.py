"""A Bedrock that misbehaves, item by item: what the client says, and what the router does.

The table B1 to B20 of reliability.md, section 3. More about the same items stands elsewhere:

| item | also in |
|---|---|
| B7 | `test_bedrock_credentials`: refused keys are looked for once |
| B9 | `test_bedrock_surroundings`: without credentials, without a role |
| B10 | `test_bedrock_same_faults`: nobody there, no such name, no TLS |
| B11 | `test_bedrock_streaming`: first event, gap, all of the time |
| B12, B13, B14 | `test_bedrock_same_faults`, both transports; `unit/paths/test_bedrock_stream` |
| B15, B17 | `test_bedrock_hostile`, `unit/paths/test_bedrock_answer` |
| B18 | `test_bedrock_streaming`: who stops listening hangs up |
| B19 | `test_bedrock_surroundings`; `unit/compliance/test_residency` |
| B20 | `unit/core/test_circuit`: the share of slow calls; nothing is hedged |
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core.eventstream import event
from routing.core.values import (
    Breaker,
    Failure,
)
from tests.verified_fakes import hostile
from tests.verified_fakes.asked import failed
from tests.verified_fakes.hostile import Behave, reply
from tests.verified_fakes.routed import ALONE, BACKED, Ground, laid, moved
from tests.verified_fakes.test_bedrock_same_faults import (
    GOOD,
    START,
    WELL,
    raised,
)
from tests.verified_fakes.test_bedrock_surroundings import without_credentials
from tests.verified_fakes.test_direct_bedrock_client import connect


@pytest.fixture
async def ground(tmp_path: Folder) -> AsyncIterator[Ground]:
    async with laid(tmp_path) as one:
        yield one


def once(first: bytes, then: bytes = GOOD) -> Behave:
    """Answer so the first time, and well from then on."""
    left = iter([first])

    async def behave(_: hostile.Request, writer: asyncio.StreamWriter) -> None:
        writer.write(next(left, then))

    return behave


THROTTLED = reply(429, {"message": "slow down"}, x_amzn_errortype="ThrottlingException")


async def test_b1_throttled_once_is_retried_once(ground: Ground) -> None:
    ground.server.behave = once(THROTTLED)
    routed = await ground.route(ALONE)
    assert (routed.status, len(routed.attempts), len(ground.server.requests)) == (200, 2, 2)
    assert routed.attempts[0].failure is Failure.THROTTLED


async def test_b1_throttled_always_moves_and_is_not_down(ground: Ground) -> None:
    ground.fail("ThrottlingException", 429)
    for _ in range(10):
        assert moved(await ground.route(BACKED))
    assert len(ground.server.requests) == 10
    assert ground.breaker() is Breaker.CLOSED


async def test_b1_a_retry_after_beyond_the_budget_is_no_retry(ground: Ground) -> None:
    ground.fail("ThrottlingException", 429, retry_after="6")
    began = time.monotonic()
    routed = await ground.route(ALONE)
    assert time.monotonic() - began < 1
    assert (routed.status, routed.retry_after_s) == (503, 6)
    assert len(ground.server.requests) == 1


PROVIDER = {"ServiceUnavailableException": 503, "InternalServerException": 500}


@pytest.mark.parametrize(("code", "status"), PROVIDER.items())
async def test_b2_a_provider_in_trouble_is_retried_once_at_most_and_counted(
    ground: Ground, code: str, status: int
) -> None:
    ground.fail(code, status)
    assert (await ground.route(ALONE)).status == 503
    assert len(ground.server.requests) == 2
    for _ in range(3):
        assert moved(await ground.route(BACKED))
    assert len(ground.server.requests) == 5
    assert ground.breaker() is Breaker.OPEN
    assert moved(await ground.route(BACKED))
    assert len(ground.server.requests) == 5


async def test_b3_a_model_that_timed_out_is_not_asked_again(ground: Ground) -> None:
    ground.fail("ModelTimeoutException", 408)
    routed = await ground.route(ALONE)
    assert [attempt.failure for attempt in routed.attempts] == [Failure.TIMEOUT]
    assert moved(await ground.route(BACKED))
    assert len(ground.server.requests) == 2


async def test_b3_without_time_there_is_no_other_path(ground: Ground) -> None:
    ground.budget(110)
    ground.server.behave = hostile.hanging()
    routed = await ground.route(BACKED)
    assert routed.status == 503
    assert not ground.other.calls


async def test_b4_a_model_that_is_not_ready_is_no_failure_of_ours(ground: Ground) -> None:
    ground.fail("ModelNotReadyException", 429)
    for _ in range(10):
        assert moved(await ground.route(BACKED))
    assert ground.breaker() is Breaker.CLOSED
    ground.server.behave = once(
        reply(429, {"message": "warming"}, x_amzn_errortype="ModelNotReadyException")
    )
    assert (await ground.route(ALONE)).status == 200  # after a short wait


MODEL_ERRORS = {
    "before": reply(424, {"message": "no"}, x_amzn_errortype="ModelErrorException"),
    "in the stream": reply(200, START + WELL + raised("modelStreamErrorException")),
}


@pytest.mark.parametrize("said", MODEL_ERRORS.values(), ids=MODEL_ERRORS)
async def test_b5_a_model_that_failed_moves_once(ground: Ground, said: bytes) -> None:
    ground.server.behave = hostile.saying(said)
    routed = await ground.route(BACKED)
    assert moved(routed)
    assert [attempt.failure for attempt in routed.attempts] == [Failure.PROVIDER, None]
    assert "well" not in str(routed.answer)


CALLERS = {
    "validation": reply(400, {"message": "no"}, x_amzn_errortype="ValidationException"),
    **{
        stop: reply(200, START + WELL + event("messageStop", {"stopReason": stop}))
        for stop in ("malformed_model_output", "malformed_tool_use")
    },
}


@pytest.mark.parametrize("said", CALLERS.values(), ids=CALLERS)
async def test_b6_the_callers_matter_goes_to_the_caller(ground: Ground, said: bytes) -> None:
    ground.server.behave = hostile.saying(said)
    for _ in range(10):
        routed = await ground.route(BACKED)
        assert (routed.status, routed.code) == (400, "validation")
    assert len(ground.server.requests) == 10
    assert not ground.other.calls
    assert ground.breaker() is Breaker.CLOSED


REFUSALS = {
    "b7-AccessDeniedException": 403,
    "b7-ExpiredTokenException": 403,
    "b7-UnrecognizedClientException": 403,
    "b7-InvalidSignatureException": 403,
    "b8-ResourceNotFoundException": 404,
    "b8-ServiceQuotaExceededException": 400,
}


@pytest.mark.parametrize(("name", "status"), REFUSALS.items(), ids=REFUSALS)
async def test_b7_b8_what_only_a_person_can_mend_is_not_retried(
    ground: Ground, name: str, status: int
) -> None:
    """And is not asked for ever: after five the path is left alone, which the pages show."""
    ground.fail(name.partition("-")[2], status)
    routed = await ground.route(ALONE)
    assert [attempt.failure for attempt in routed.attempts] == [Failure.REFUSED_CREDENTIALS]
    for _ in range(10):
        assert moved(await ground.route(BACKED))
    assert len(ground.server.requests) == 5
    assert ground.breaker() is Breaker.OPEN


async def test_b9_without_credentials_the_other_path_answers_at_once(
    ground: Ground, tmp_path: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_credentials(monkeypatch, tmp_path)
    async with hostile.serving(hostile.hanging()) as metadata:  # a role that never comes
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        await ground.client.close()
        ground.client = connect(lambda: None, local=False)
        began = time.monotonic()
        routed = await ground.route(BACKED)
        assert time.monotonic() - began < 2
        assert moved(routed)
        assert routed.attempts[0].failure is Failure.REFUSED_CREDENTIALS
        assert (await ground.client.probe()).stages[0].ok is False


@contextlib.contextmanager
def blackhole() -> Iterator[str]:
    """Yield an address that answers no connection: its line of waiting ones is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


NOWHERE: dict[str, Callable[[], Any]] = {
    "refused": lambda: contextlib.nullcontext("http://127.0.0.1:9"),
    "blackhole": blackhole,
    "no such name": lambda: contextlib.nullcontext("http://nobody.invalid"),
}


@pytest.mark.parametrize("where", NOWHERE.values(), ids=NOWHERE)
async def test_b10_who_cannot_be_reached_is_left_within_two_seconds(
    ground: Ground, where: Callable[[], Any]
) -> None:
    with where() as url:
        await ground.client.close()
        ground.client = connect(lambda: url)
        began = time.monotonic()
        routed = await ground.route(BACKED)
        assert time.monotonic() - began < 2
        assert moved(routed)
        assert routed.attempts[0].failure is Failure.UNREACHABLE
        assert (await failed(ground.client)).sent is False


async def test_b10_a_reset_is_left_at_once(ground: Ground) -> None:
    ground.server.behave = hostile.reset
    assert moved(await ground.route(BACKED))
