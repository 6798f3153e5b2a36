"""The unmodified `openai` package against our door, over a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from routing.core.values import Failure
from routing.paths.base import Usage
from routing.paths.scripted import fails, says, streams
from tests.integration.doors import waiting
from tests.integration.doors.conftest import Tokens
from tests.integration.runs.served import Served
from tests.unit.stage import Stage

HELLO: Any = [{"role": "user", "content": "How are we?"}]
USAGE = Usage(input_tokens=7, output_tokens=3)


@pytest.fixture
def client(served: Served) -> Iterator[openai.OpenAI]:
    with connect(served, "plain") as made:
        yield made


def connect(served: Served, secret: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{served.url}/openai/v1", api_key=secret, max_retries=0)


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(**{"model": "hybridops", "messages": HELLO, **more})


def test_a_whole_answer(client: openai.OpenAI, stage: Stage) -> None:
    stage.mcp.otherwise = says("All well.", usage=USAGE)
    made = client.chat.completions.with_raw_response.create(model="hybridops", messages=HELLO)
    done = made.parse()
    assert done.choices[0].message.content == "All well."
    assert (done.choices[0].finish_reason, done.model) == ("stop", "scripted")
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.total_tokens) == (7, 10)
    (kept,) = stage.records()
    assert kept["id"] == made.headers["x-hybridops-decision"] == done.id
    assert (kept["tenant"], kept["environment"]) == ("acme", "production")


def test_what_the_system_says_and_the_limits_reach_the_path(
    client: openai.OpenAI, stage: Stage
) -> None:
    messages: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
        {
            "role": "user",
            "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "2"}],
        },
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "And now?"},
    ]
    ask(client, messages=messages, max_tokens=9, temperature=0.5, user="u7", n=1, top_p=1)
    (call,) = stage.mcp.calls
    assert call.system == "Be brief.\n\nBe kind."
    assert [m.text for m in call.messages] == ["One\n2", "Yes.", "And now?"]
    assert (call.max_tokens, call.temperature) == (9, 0.5)
    assert [who.name for who in stage.subjects] == ["acme/u7"]


def test_an_answer_in_pieces_arrives_as_it_comes(client: openai.OpenAI, stage: Stage) -> None:
    second = waiting.Gate()
    stage.mcp.otherwise = streams("All ", "well.", holds={1: second.event}, usage=USAGE)
    with ask(client, stream=True, stream_options={"include_usage": True}) as chunks:
        seen = iter(chunks)
        assert next(seen).choices[0].delta.role == "assistant"
        assert next(seen).choices[0].delta.content == "All "
        second.open()  # what came before came while the path still held the rest back
        rest = list(seen)
    assert rest[0].choices[0].delta.content == "well."
    assert rest[1].choices[0].finish_reason == "stop"
    assert (rest[2].choices, rest[2].usage.total_tokens) == ([], 10)
    assert chunks.response.headers["x-hybridops-decision"] == rest[0].id
    assert chunks.response.headers["x-hybridops-stream"] == "one-piece"


def test_usage_that_nobody_knows_is_null_in_both_forms(client: openai.OpenAI) -> None:
    assert ask(client).usage is None
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
    assert chunks[-1].choices == []


def test_a_stream_that_breaks_off_raises_and_says_which_decision(
    client: openai.OpenAI, stage: Stage
) -> None:
    stage.mcp.otherwise = streams("All ", failure=Failure.TRUNCATED)
    pieces = []
    with pytest.raises(openai.APIError) as broke:
        for chunk in ask(client, stream=True):
            pieces.append(chunk.choices[0].delta.content)
    assert pieces == ["", "All "]
    assert "incomplete" in broke.value.message
    assert broke.value.code == "truncated"
    (kept,) = stage.records()
    assert broke.value.body["decision_id"] == kept["id"]  # type: ignore[index]


def test_a_caller_that_leaves_ends_the_exchange_beneath_within_a_second(
    client: openai.OpenAI, stage: Stage
) -> None:
    stage.mcp.otherwise = streams("All ", "well.", holds={1: waiting.Gate().event})
    chunks = ask(client, stream=True)
    next(iter(chunks))
    assert stage.mcp.under_way == 1
    chunks.close()
    waiting.until(lambda: stage.mcp.under_way == 0, most_s=1.0)
    waiting.until(lambda: len(stage.records()) == 1)
    (kept,) = stage.records()
    assert (kept["status"], kept["streamed"]["end"]) == (499, "given_up")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "raised"),
    [
        (Failure.VALIDATION, openai.BadRequestError),
        (Failure.UNREACHABLE, openai.InternalServerError),
        (Failure.OUTCOME_UNKNOWN, openai.InternalServerError),
        (Failure.COMPLIANCE, openai.UnprocessableEntityError),
    ],
)
def test_without_an_answer_the_client_raises_what_fits(
    client: openai.OpenAI,
    stage: Stage,
    failure: Failure,
    raised: type[openai.APIStatusError],
    *,
    stream: bool,
) -> None:
    stage.mcp.otherwise = stage.direct.otherwise = fails(failure)
    with pytest.raises(raised) as told:
        ask(client, stream=stream)
    (kept,) = stage.records()
    assert told.value.status_code == kept["status"]
    assert told.value.response.headers["x-hybridops-decision"] == kept["id"]


def test_a_secret_that_is_refused_or_no_longer_in_force(
    client: openai.OpenAI, served: Served, issued: Tokens
) -> None:
    with pytest.raises(openai.AuthenticationError):
        ask(connect(served, "hyo_wrong"))
    ask(client)
    del issued.by_secret["plain"]
    with pytest.raises(openai.AuthenticationError):
        ask(client)


def test_an_emergency_needs_its_own_scope_and_its_denial_is_booked(
    client: openai.OpenAI, served: Served, issued: Tokens, stage: Stage
) -> None:
    headers = {"X-HybridOps-Operation": "emergency"}
    with pytest.raises(openai.PermissionDeniedError) as told:
        ask(client, extra_headers=headers)
    assert told.value.code == "forbidden"
    waiting.until(lambda: [d.object_id for d in issued.denials()] == ["emergency"])
    ask(connect(served, "urgent"), extra_headers=headers)
    assert [kept["operation"] for kept in stage.records()] == ["emergency"]


def test_too_many_at_once_raise_the_rate_limits_error(client: openai.OpenAI, stage: Stage) -> None:
    gate = waiting.Gate()
    stage.mcp.otherwise = streams("All ", "well.", holds={1: gate.event})
    held = [ask(client, stream=True) for _ in range(64)]
    with pytest.raises(openai.RateLimitError) as told:
        ask(client)
    assert told.value.response.headers["retry-after"] == "1"
    for one in held:
        one.close()


def test_a_spent_budget_raises_the_rate_limits_error_with_its_end(
    client: openai.OpenAI, stage: Stage
) -> None:
    stage.spend_all()
    for streams_it in (False, True):
        with pytest.raises(openai.RateLimitError) as refused:
            ask(client, stream=streams_it)
        assert refused.value.code == "refused_budget"
        assert refused.value.response.headers["retry-after"] == "43200"
        assert "begins anew at 2026-11-24 00:00 UTC" in str(refused.value)
    assert not stage.direct.calls + stage.mcp.calls


def test_what_cannot_be_carried_is_refused_before_any_call(
    client: openai.OpenAI, stage: Stage
) -> None:
    with pytest.raises(openai.BadRequestError) as told:
        ask(client, n=2)
    assert told.value.code == "unsupported"
    assert not stage.records()


def test_an_earlier_answer_may_be_sent_back_as_it_was_received(client: openai.OpenAI) -> None:
    message = ask(client).choices[0].message
    ask(client, messages=[*HELLO, message.model_dump(), *HELLO])


def test_only_configured_names_of_models_are_taken(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["hybridops", "house-model"]
    assert client.models.retrieve("house-model").id == "house-model"
    ask(client, model="house-model")
    for name in ("gpt-9", "house-model "):
        with pytest.raises(openai.NotFoundError) as told:
            ask(client, model=name)
        assert told.value.code == "model_not_found"


async def test_the_asynchronous_client_works_too(served: Served) -> None:
    async with openai.AsyncOpenAI(base_url=f"{served.url}/openai/v1", api_key="plain") as client:
        chunks = await client.chat.completions.create(
            model="hybridops", messages=HELLO, stream=True
        )
        text = "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])
    assert text == "How are we?"


def test_threads_share_one_client(client: openai.OpenAI, stage: Stage) -> None:
    workers = [threading.Thread(target=ask, args=(client,)) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(stage.records()) == 8
