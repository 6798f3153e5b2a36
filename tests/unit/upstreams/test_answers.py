from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.upstreams import answers, bedrock

PROMPTS = st.text(max_size=300)


@given(prompt=PROMPTS)
def test_the_same_prompt_gets_the_same_answer(prompt: str) -> None:
    assert answers.compose(prompt, "X", None) == answers.compose(prompt, "X", None)


def test_the_answer_says_that_it_comes_from_no_model() -> None:
    reply = answers.compose("one two three", "Amazon Bedrock", 100)
    assert "local stand-in for Amazon Bedrock, not a model" in reply.text
    assert "read 3 words" in reply.text
    assert answers.digest("one two three")[:16] in reply.text
    assert reply.stop_reason == "end_turn"


@given(prompt=PROMPTS, most=st.integers(1, 60))
def test_tokens_are_counted_and_never_more_than_allowed(prompt: str, most: int) -> None:
    reply = answers.compose(prompt, "X", most)
    assert reply.input_tokens == len(prompt.split())
    assert reply.output_tokens == len(reply.text.split()) <= most
    assert (reply.stop_reason == "max_tokens") == (
        answers.compose(prompt, "X", None).output_tokens > most
    )


def test_a_stop_sequence_ends_the_answer() -> None:
    reply = answers.compose("x", "Y", None, ["never said", "stand-in", "model"])
    assert reply.text == "This is HybridOps' local "
    assert reply.stop_reason == "stop_sequence"


@given(prompt=PROMPTS, low=st.integers(0, 100), spread=st.integers(0, 100))
def test_latency_depends_on_the_prompt_alone(prompt: str, low: int, spread: int) -> None:
    ms = answers.latency_ms(prompt, (low, low + spread))
    assert low <= ms <= low + spread
    assert ms == answers.latency_ms(prompt, (low, low + spread))


@given(text=st.text(max_size=200))
def test_the_pieces_of_a_stream_join_to_the_whole(text: str) -> None:
    assert "".join(bedrock.deltas(text)) == text
