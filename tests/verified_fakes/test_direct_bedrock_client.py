"""DirectBedrockClient against the stand-in, in its own process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core.settings import BedrockTransport
from routing.core.values import EnvironmentName, Failure, Path
from routing.paths import bedrock_asyncio, bedrock_boto3, bedrock_slots
from routing.paths.base import Answer, PathError
from routing.paths.bedrock import DirectBedrockClient
from tests.verified_fakes import asked, standin
from tests.verified_fakes.asked import MODEL, call, failed, outcomes, until
from tests.verified_fakes.standin import StandIn

REGION = "eu-central-1"


def connect(
    endpoint: Callable[[], str | None],
    transport: BedrockTransport = BedrockTransport.ASYNCIO,
    local: bool = True,
    **more: Any,
) -> DirectBedrockClient:
    usual = {"environment": EnvironmentName.DEVELOPMENT, "region": REGION, "model": MODEL}
    given: dict[str, Any] = {**usual, **more}
    return DirectBedrockClient(endpoint=endpoint, local=local, transport=transport, **given)


@pytest.fixture
async def client(
    bedrock: StandIn, transport: BedrockTransport
) -> AsyncIterator[DirectBedrockClient]:
    async with asked.nothing_left():
        made = connect(bedrock.url, transport)
        made.warm()
        yield made
        await made.close()


async def test_a_whole_answer_comes_with_usage(client: DirectBedrockClient) -> None:
    answer = await client.call(call(system="be brief"))
    assert "not a model" in answer.text
    assert (answer.stop_reason, answer.model) == ("end_turn", MODEL)
    assert answer.usage is not None
    assert answer.usage.input_tokens == 6
    assert answer.usage.output_tokens == len(answer.text.split())
    assert (client.path, client.target) == (Path.DIRECT_BEDROCK, f"{REGION}/{MODEL}")


async def test_the_limit_of_tokens_is_kept(client: DirectBedrockClient) -> None:
    answer = await client.call(call(max_tokens=3, temperature=0.5))
    assert answer.stop_reason == "max_tokens"
    assert len(answer.text.split()) == 3


async def test_the_other_side_sees_nonce_and_decision_once(
    client: DirectBedrockClient, bedrock: StandIn
) -> None:
    before = asked.mark(bedrock)
    await client.call(call(nonce="n-17", decision_id="d-17"))
    [seen] = before.since()
    assert (seen["nonce"], seen["decision"], seen["kind"]) == ("n-17", "d-17", "converse_stream")
    assert seen["model"] == MODEL


CODES = {
    "ThrottlingException": Failure.THROTTLED,
    "ModelNotReadyException": Failure.THROTTLED,
    "ServiceUnavailableException": Failure.PROVIDER,
    "InternalServerException": Failure.PROVIDER,
    "ModelErrorException": Failure.PROVIDER,
    "ModelTimeoutException": Failure.TIMEOUT,
    "ValidationException": Failure.VALIDATION,
    "ResourceNotFoundException": Failure.REFUSED_CREDENTIALS,
    "ServiceQuotaExceededException": Failure.REFUSED_CREDENTIALS,
    "AccessDeniedException": Failure.REFUSED_CREDENTIALS,
    "UnrecognizedClientException": Failure.REFUSED_CREDENTIALS,
    "ExpiredTokenException": Failure.REFUSED_CREDENTIALS,
    "InvalidSignatureException": Failure.REFUSED_CREDENTIALS,
}


@pytest.mark.parametrize(("code", "failure"), CODES.items())
async def test_each_code_is_one_failure_after_one_request(
    client: DirectBedrockClient, bedrock: StandIn, code: str, failure: Failure
) -> None:
    bedrock.fault(kind="error", code=code, retry_after_s=7)
    before = asked.mark(bedrock)
    problem = await failed(client)
    assert (problem.failure, problem.sent, problem.retry_after_s) == (failure, True, 7.0)
    assert code in problem.detail
    assert len(before.since()) == 1


@pytest.mark.parametrize(
    ("fault", "failure"),
    [
        ({"kind": "latency", "ms": 5000}, Failure.TIMEOUT),
        ({"kind": "hang"}, Failure.TIMEOUT),
        ({"kind": "malformed"}, Failure.PROTOCOL),
        ({"kind": "cut"}, Failure.TRUNCATED),
        ({"kind": "reset"}, Failure.UNREACHABLE),
        ({"kind": "error", "status": 502}, Failure.PROVIDER),
    ],
)
async def test_each_fault_ends_in_time_after_one_request(
    client: DirectBedrockClient, bedrock: StandIn, fault: dict[str, Any], failure: Failure
) -> None:
    await client.call(call())
    bedrock.fault(**fault)
    before = asked.mark(bedrock)
    problem = await failed(client, timeout_s=0.8)
    assert (problem.failure, problem.sent) == (failure, True)
    assert len(before.since()) == 1
    bedrock.ask(do="clear")
    assert (await client.call(call())).text


async def test_a_call_has_no_less_than_its_time(
    client: DirectBedrockClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="latency", ms=600)
    assert (await client.call(call(timeout_s=1.5))).text


async def test_a_server_that_is_away_is_unreachable_and_nothing_was_sent(
    tmp_path: Folder, transport: BedrockTransport
) -> None:
    home, before = tmp_path, set(threading.enumerate())
    with standin.running("bedrock", home) as first:
        port, client = first.port, connect(first.url, transport)
        await client.call(call())
    problem = await failed(client, timeout_s=3)
    assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
    began = time.monotonic()
    probe = await client.probe()
    assert time.monotonic() - began < 4
    assert [(s.name, s.ok) for s in probe.stages] == [
        ("credentials", True),
        ("count_tokens", False),
    ]
    assert not probe.ok
    with standin.running("bedrock", home, port=port):
        assert (await client.call(call())).text
        assert (await client.probe()).ok
    await client.close()
    assert {t for t in set(threading.enumerate()) - before if "asyncio" not in t.name} == set()


async def test_a_server_that_is_killed_takes_its_calls_along(
    tmp_path: Folder, transport: BedrockTransport
) -> None:
    with standin.running("bedrock", tmp_path) as doomed:
        client = connect(doomed.url, transport)
        await client.call(call())
        doomed.fault(kind="hang")
        before = asked.mark(doomed)
        calls = [asyncio.create_task(client.call(call(timeout_s=10))) for _ in range(5)]
        await until(lambda: len(before.since()) == 5)
        doomed.process.kill()
        began = time.monotonic()
        for one in await outcomes(*calls):
            assert isinstance(one, PathError)
            assert (one.failure, one.sent) == (Failure.UNREACHABLE, True)
        assert time.monotonic() - began < 1
        await client.close()


async def test_one_failing_call_leaves_the_others_alone(
    client: DirectBedrockClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="reset", share=0.3)
    found = await outcomes(*(client.call(call(f"number {n}")) for n in range(40)))
    good = [one for one in found if isinstance(one, Answer)]
    assert 0 < len(good) < 40
    assert {o.failure for o in found if isinstance(o, PathError)} == {Failure.UNREACHABLE}


async def test_concurrent_calls_get_their_own_answers(client: DirectBedrockClient) -> None:
    alone = [(await client.call(call(f"number {n}"))).text for n in range(20)]
    answers = await asyncio.gather(*(client.call(call(f"number {n}")) for n in range(20)))
    assert [answer.text for answer in answers] == alone
    assert len(set(alone)) == 20


async def test_hanging_calls_do_not_pile_up(
    bedrock: StandIn, transport: BedrockTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, before = bedrock_boto3.THREADS, set(threading.enumerate())
    monkeypatch.setattr(bedrock_asyncio, "CONNECTIONS", places)
    async with asked.nothing_left():
        client = connect(bedrock.url, transport)
        await client.call(call())
        bedrock.fault(kind="hang", seconds=120)
        for _ in range(3):
            found = await outcomes(*(client.call(call(timeout_s=0.5)) for _ in range(100)))
            assert {one.failure for one in found if isinstance(one, PathError)} <= {
                Failure.TIMEOUT,
                Failure.QUEUE_FULL,
            }
            assert len(asked.threads(before)) <= places + bedrock_boto3.PROBE_THREADS
        bedrock.ask(do="clear")
        # Every place is free again: the fault would hold one that still waits for longer.
        calls = (call(timeout_s=30, first_s=30) for _ in range(places))
        await asyncio.gather(*(client.call(one) for one in calls))
        await client.close()


async def test_a_call_without_a_place_says_so_and_was_not_sent(
    bedrock: StandIn, transport: BedrockTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bedrock_slots, "MOST_WAITING", 5)
    monkeypatch.setattr(bedrock_asyncio, "CONNECTIONS", bedrock_boto3.THREADS)
    client, places = connect(bedrock.url, transport), bedrock_boto3.THREADS
    await client.call(call())
    bedrock.fault(kind="hang")
    before = asked.mark(bedrock)
    held = [asyncio.create_task(client.call(call(timeout_s=3))) for _ in range(places)]
    await until(lambda: len(before.since()) == places)
    problem = await failed(client, timeout_s=0.2)
    assert (problem.failure, problem.sent) == (Failure.QUEUE_FULL, False)
    waiting = [asyncio.create_task(client.call(call(timeout_s=30))) for _ in range(5)]
    await asked.turn()
    began = time.monotonic()
    assert (await failed(client, timeout_s=30)).failure is Failure.QUEUE_FULL
    assert time.monotonic() - began < 0.2  # the line is full: nobody waits at its end
    held += waiting
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    bedrock.ask(do="clear")
    assert (await client.call(call())).text
    await client.close()


async def test_a_caller_that_goes_ends_its_request(
    client: DirectBedrockClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="hang", seconds=60)
    before = asked.mark(bedrock)
    task = asyncio.create_task(client.call(call(timeout_s=30)))
    await until(lambda: len(before.since()) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [arrived] = before.since()
    await until(lambda: arrived["request"] in asked.ended(bedrock))


async def test_closing_ends_the_calls_under_way(
    bedrock: StandIn, transport: BedrockTransport
) -> None:
    async with asked.nothing_left():
        client = connect(bedrock.url, transport)
        bedrock.fault(kind="hang", seconds=60)
        before = asked.mark(bedrock)
        calls = [asyncio.create_task(client.call(call(timeout_s=30))) for _ in range(10)]
        await until(lambda: len(before.since()) == 10)
        began = time.monotonic()
        await client.close()
        assert time.monotonic() - began < 1
        for one in await outcomes(*calls):
            assert isinstance(one, PathError)
            assert one.failure is Failure.UNREACHABLE


async def test_a_probe_names_its_stages(client: DirectBedrockClient, bedrock: StandIn) -> None:
    before = asked.mark(bedrock)
    probe = await client.probe()
    assert [stage.name for stage in probe.stages] == ["credentials", "count_tokens"]
    assert probe.ok
    assert all(stage.ms >= 0 for stage in probe.stages)
    assert [line["kind"] for line in before.since()] == ["count_tokens"]


async def test_a_probe_of_a_hanging_server_ends_and_names_the_stage(
    client: DirectBedrockClient, bedrock: StandIn
) -> None:
    bedrock.fault(kind="hang", seconds=30)
    began = time.monotonic()
    probe = await client.probe()
    assert time.monotonic() - began < 4
    assert [(stage.name, stage.ok) for stage in probe.stages][-1] == ("count_tokens", False)
    assert probe.stages[-1].detail


async def test_a_moved_stand_in_is_found_at_its_new_address(
    tmp_path: Folder, transport: BedrockTransport
) -> None:
    with (
        standin.running("bedrock", tmp_path / "a") as one,
        standin.running("bedrock", tmp_path / "b") as two,
    ):
        urls = [one.url()]
        client = connect(lambda: urls[0], transport)
        await client.call(call())
        urls[0] = two.url()
        before = asked.mark(two)
        await client.call(call())
        assert len(before.since()) == 1
        await client.close()
