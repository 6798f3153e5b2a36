"""What Converse and ConverseStream answer, as our Answer."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, NoReturn

from routing.core.values import Failure
from routing.paths.base import Answer, Billed, PathError, Usage, words
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_stream import Event

MOST_TOKENS = 10**9
LONGEST_REASON = 64
MOST_CHARACTERS = 4 * 1024 * 1024
# Why an answer ended that says nothing: the request as it stands gets none, here or later.
_REFUSING = frozenset(
    {
        "content_filtered",
        "guardrail_intervened",
        "max_tokens",
        "model_context_window_exceeded",
    }
)
_MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})


def whole(reply: Mapping[str, Any], model: str) -> Answer:
    """Return the text of a Converse reply; an answer without text is no answer."""
    used = usage(reply.get("usage"))
    try:
        return _answer(*_said(reply), model, used)
    except PathError as error:
        error.billed = Billed(model=model, usage=used)
        raise


def _said(reply: Mapping[str, Any]) -> tuple[str, object]:
    """Return the text of a reply and why it ends."""
    try:
        content = reply["output"]["message"]["content"]
        return "".join(block["text"] for block in content if "text" in block), reply["stopReason"]
    except (KeyError, TypeError, AttributeError) as error:
        _misshapen(error)


async def pieces(
    events: AsyncGenerator[Sequence[Event]], model: str, patience: Patience
) -> AsyncGenerator[str | Answer]:
    """Yield the text of a ConverseStream as it comes, then the whole answer.

    Only a stream that says why it stopped is whole (boto3 raises nothing for one that does not).
    """
    said = _Said(model)
    async with aclosing(events):
        try:
            async for together in events:
                for event in together:
                    text = said.take(event)
                    if text:
                        yield text
                if said.stop is not None:
                    patience.answered()
        except PathError as error:
            if said.stop is None:
                said.bill(error)
                raise
    yield said.answer()


async def gathered(
    events: AsyncGenerator[Sequence[Event]], model: str, patience: Patience
) -> Answer:
    """Return the whole answer of a ConverseStream; as `pieces` in all else."""
    said = _Said(model)
    async with aclosing(events):
        try:
            async for together in events:
                for event in together:
                    said.take(event)
                if said.stop is not None:
                    patience.answered()
        except PathError as error:
            if said.stop is None:
                said.bill(error)
                raise
    return said.answer()


class _Said:
    """What a stream has said so far."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._heard = False
        self.texts: list[str] = []
        self.stop: object = None
        self.used: Usage | None = None
        self._size = 0

    def take(self, event: Event) -> str:
        """Note one event and return the text that it brings; raises PathError (protocol)."""
        name, payload = event
        self._heard = True
        if name == "contentBlockDelta":
            text = _delta(payload)
            self._size += len(text)
            if self._size > MOST_CHARACTERS:
                raise PathError(Failure.PROTOCOL, "The answer never ends.")
            self.texts.append(text)
            return text
        if name == "messageStop":
            self.stop = payload.get("stopReason") or _misshapen(KeyError("stopReason"))
        elif name == "metadata":
            self.used = usage(payload.get("usage"))
        return ""

    def answer(self) -> Answer:
        """Return the whole answer; raises PathError (truncated) where its end is missing."""
        if self.stop is None:
            raise PathError(Failure.TRUNCATED, "The stream ended before the answer did.")
        try:
            return _answer("".join(self.texts), self.stop, self._model, self.used)
        except PathError as error:
            self.bill(error)
            raise

    def bill(self, error: PathError) -> None:
        """Note in `error` that a model spoke, and the tokens where they were told."""
        if self._heard or error.billed is not None:
            error.billed = Billed(model=self._model, usage=self.used)


def _delta(payload: Mapping[str, Any]) -> str:
    try:
        text = payload["delta"].get("text", "")
    except (KeyError, AttributeError) as error:
        _misshapen(error)
    if not isinstance(text, str):
        _misshapen(TypeError("text"))
    return text


def _answer(text: str, said: object, model: str, used: Usage | None) -> Answer:
    plain = isinstance(said, str) and said.isidentifier() and len(said) <= LONGEST_REASON
    stop = str(said) if plain else words(said)
    if stop in _MALFORMED:
        detail = f"The model failed at this request ({stop}); ask it in other words."
        raise PathError(Failure.VALIDATION, detail)
    if not text and stop in _REFUSING:
        raise PathError(Failure.VALIDATION, f"The model gives no answer to this: {stop}.")
    if not text:
        raise PathError(Failure.PROTOCOL, "The reply holds no text.")
    return Answer(text=text, stop_reason=stop, model=model, usage=used)


def usage(said: object) -> Usage | None:
    """Return the tokens that an answer cost, None where it does not say so in earnest."""
    counts = said if isinstance(said, Mapping) else {}
    into, out = _count(counts.get("inputTokens")), _count(counts.get("outputTokens"))
    if into is None or out is None:
        return None
    return Usage(input_tokens=into, output_tokens=out)


def _count(said: object) -> int | None:
    """Return a number of tokens; negative or enormous figures are no measurement."""
    if not isinstance(said, int) or isinstance(said, bool):
        return None
    return said if 0 <= said < MOST_TOKENS else None


def _misshapen(error: Exception) -> NoReturn:
    detail = f"The reply is not as Converse answers: {type(error).__name__} {error}."
    raise PathError(Failure.PROTOCOL, words(detail)) from error
