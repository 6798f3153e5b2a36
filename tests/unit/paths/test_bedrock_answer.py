"""Replies and streams of Converse, whatever they hold, as our Answer or as a PathError."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core.values import Failure
from routing.paths import bedrock_answer
from routing.paths.base import Answer, Billed, PathError, Usage
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_stream import Event

json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["output", "message", "content", "text", "stopReason", "usage", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["output", "stopReason", "usage"]), json))
def test_any_reply_is_an_answer_or_a_path_error(reply: dict[str, Any]) -> None:
    try:
        answer = bedrock_answer.whole(reply, "m")
    except PathError as error:
        assert error.failure is Failure.PROTOCOL
    else:
        assert answer.text


@pytest.mark.parametrize("count", [-1, 10**9, True, 1.5, "3", None])
def test_a_count_that_measures_nothing_is_no_usage(count: object) -> None:
    reply = {
        "output": {"message": {"content": [{"text": "a"}, {"text": "b"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": count, "outputTokens": 1},
    }
    answer = bedrock_answer.whole(reply, "m")
    assert (answer.text, answer.usage) == ("ab", None)


async def heard(*events: Event, then: PathError | None = None) -> list[str | Answer]:
    async def saying() -> AsyncGenerator[Sequence[Event]]:
        for event in events:
            yield (event,)
        if then is not None:
            raise then

    pieces = bedrock_answer.pieces(saying(), "m", Patience(5, None, None))
    return [piece async for piece in pieces]


def delta(text: Any) -> Event:
    return "contentBlockDelta", {"delta": {"text": text}, "contentBlockIndex": 0}


STOP: Event = ("messageStop", {"stopReason": "end_turn"})
USED: Event = ("metadata", {"usage": {"inputTokens": 3, "outputTokens": 2}})
CUT = PathError(Failure.TRUNCATED, "cut")


async def test_the_pieces_make_the_answer() -> None:
    *pieces, answer = await heard(("messageStart", {}), delta("a"), delta("b"), STOP, USED)
    assert pieces == ["a", "b"]
    assert isinstance(answer, Answer)
    assert (answer.text, answer.stop_reason) == ("ab", "end_turn")
    assert answer.usage is not None
    assert answer.usage.output_tokens == 2


async def test_what_breaks_after_the_answer_costs_only_its_figures() -> None:
    answer = (await heard(delta("a"), STOP, then=CUT))[-1]
    assert isinstance(answer, Answer)
    assert (answer.text, answer.usage) == ("a", None)


@pytest.mark.parametrize("stop", ["malformed_model_output", "malformed_tool_use"])
async def test_a_malformed_output_is_the_requests_matter(stop: str) -> None:
    with pytest.raises(PathError) as caught:
        await heard(delta("a"), ("messageStop", {"stopReason": stop}))
    assert caught.value.failure is Failure.VALIDATION


FILTERED: Event = ("messageStop", {"stopReason": "content_filtered"})
TOLD = Billed(model="m", usage=Usage(input_tokens=3, output_tokens=2))


@pytest.mark.parametrize(
    ("events", "then", "billed"),
    [
        ([FILTERED, USED], None, TOLD),
        ([delta("a"), ("messageStop", {"stopReason": "malformed_tool_use"}), USED], None, TOLD),
        ([FILTERED], None, Billed(model="m")),
        ([("messageStart", {}), delta(3)], None, Billed(model="m")),
        ([delta("a")], PathError(Failure.PROVIDER, "x"), Billed(model="m")),
        ([], PathError(Failure.PROTOCOL, "x", billed=Billed()), Billed(model="m")),
        ([], PathError(Failure.THROTTLED, "x"), None),
        ([], PathError(Failure.VALIDATION, "x"), None),
    ],
)
async def test_a_failure_says_whether_a_model_spoke_and_what_it_used(
    events: list[Event], then: PathError | None, billed: Billed | None
) -> None:
    with pytest.raises(PathError) as caught:
        await heard(*events, then=then)
    assert caught.value.billed == billed


def test_a_filtered_reply_is_billed_by_its_own_figures() -> None:
    reply = {
        "output": {"message": {"content": []}},
        "stopReason": "guardrail_intervened",
        "usage": {"inputTokens": 3, "outputTokens": 2},
    }
    for cut in (reply, {"usage": reply["usage"]}):
        with pytest.raises(PathError) as caught:
            bedrock_answer.whole(cut, "m")
        assert caught.value.billed == TOLD


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["messageStart", "contentBlockDelta", "messageStop", "metadata"]),
            st.dictionaries(
                st.sampled_from(["delta", "text", "stopReason", "usage"]),
                json | st.fixed_dictionaries({"text": json}),
            ),
        ),
        max_size=6,
    )
)
async def test_any_stream_is_an_answer_or_a_path_error(events: list[Event]) -> None:
    try:
        last = (await heard(*events))[-1]
    except PathError as error:
        assert error.failure in {Failure.PROTOCOL, Failure.TRUNCATED, Failure.VALIDATION}
    else:
        assert isinstance(last, Answer)
        assert last.text
