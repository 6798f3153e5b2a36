"""Bedrock Runtime's words: Converse and ConverseStream under `/bedrock/`, as boto3 speaks them.

Text only, and every member of a request that we cannot carry is refused by name. The wire format
is that of the service's own model (restJson1; the streams are of `core.eventstream`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import unquote

from routing.api import asked, bedrock_replies
from routing.api.asked import OPERATION, PRIORITY
from routing.api.dialect import Asked, Place, Purpose, check_model
from routing.api.refusals import CannotCarry
from routing.api.wire import Reply
from routing.core import eventstream
from routing.core.chain import strict_parse
from routing.core.errors import HybridOpsError, Invalid, NotFound
from routing.decisions.record import Caller
from routing.flow import Opening
from routing.router import Routed

_PATH = re.compile(r"/bedrock/model/([^/]{1,2048})/(converse|converse-stream)")
KEYS = ("messages", "system", "inferenceConfig", "requestMetadata")
# How an unmodified client chooses what our headers choose elsewhere.
_MARKS = {
    "hybridops-operation": "operation",
    "hybridops-priority": "priority",
    "hybridops-subject": "subject",
}
_EMPTY: tuple[Any, ...] = (None, {}, [], {"latency": "standard"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bedrock:
    """The dialect of boto3; `known` are the names that a caller may send as modelId."""

    prefix: ClassVar[str] = "/bedrock/"
    signs: ClassVar[bool] = True
    known: tuple[str, ...]

    def place(self, path: str) -> Place:
        found = _PATH.fullmatch(path)
        if found is None:
            raise NotFound(
                "There is nothing here; known: /bedrock/model/{modelId}/converse and "
                "/bedrock/model/{modelId}/converse-stream."
            )
        model, verb = unquote(found[1]), found[2]
        streams = verb == "converse-stream"
        return Place(purpose=Purpose.ROUTE, method="POST", model=model, streams=streams)

    def read(
        self, data: bytes, place: Place, *, said: Mapping[str, str | None], caller: Caller
    ) -> Asked:
        check_model(place.model, self.known)
        found = translate(document(data))
        return Asked(
            ask=asked.clean(found, said=said, caller=caller),
            streams=place.streams,
        )

    def models(self, place: Place) -> Reply:
        raise NotFound("There is no list of models here.")

    def answered(self, done: Routed, request_id: str) -> Reply:
        return bedrock_replies.whole(done, request_id)

    def refused(self, error: HybridOpsError, request_id: str) -> Reply:
        return bedrock_replies.refused(error, request_id)

    def wording(self, asked: Asked, request_id: str) -> FrameWording:
        return FrameWording()


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameWording:
    """The frames of ConverseStream; it knows no sign of life between them."""

    content_type: str = eventstream.CONTENT_TYPE
    still_there: bytes = b""

    def opened(self, opening: Opening) -> bytes:
        return eventstream.event("messageStart", {"role": "assistant"})

    def piece(self, text: str) -> bytes:
        delta = {"delta": {"text": text}, "contentBlockIndex": 0}
        return eventstream.event("contentBlockDelta", delta)

    def end(self, done: Routed) -> bytes:
        if done.answer is None:
            return eventstream.exception(bedrock_replies.broke_off(done), done.advice)
        stop = {"stopReason": bedrock_replies.stop_reason(done.answer.stop_reason)}
        return b"".join(
            (
                eventstream.event("contentBlockStop", {"contentBlockIndex": 0}),
                eventstream.event("messageStop", stop),
                eventstream.event("metadata", bedrock_replies.counted(done)),
            )
        )

    def failed(self, error: HybridOpsError) -> bytes:
        away = "serviceUnavailableException"
        name = away if error.status == 503 else "internalServerException"
        return eventstream.exception(name, error.message)


def document(data: bytes) -> Mapping[str, Any]:
    """Return the object in `data` without its empty members; raises Invalid, CannotCarry."""
    found = strict_parse(data, floats=True)
    if not isinstance(found, dict):
        raise Invalid("The body must be one JSON object.")
    return _plain(found, KEYS, "This door")


def translate(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of our own door that says the same."""
    ours: dict[str, Any] = {"messages": _messages(found.get("messages"))}
    if "system" in found:
        ours["system"] = _text(found["system"], "system")
    config = _object(found.get("inferenceConfig", {}), "inferenceConfig")
    config = _plain(config, ("maxTokens", "temperature"), "inferenceConfig")
    for key, own in (("maxTokens", "max_tokens"), ("temperature", "temperature")):
        if key in config:
            ours[own] = config[key]
    marks = _object(found.get("requestMetadata", {}), "requestMetadata")
    for key, value in _plain(marks, tuple(_MARKS), "requestMetadata").items():
        ours[_MARKS[key]] = value
    return ours


def _messages(listed: object) -> list[dict[str, Any]]:
    if not isinstance(listed, list) or not listed:
        raise Invalid("messages must be a list of messages.")
    return [_message(one, f"messages[{number}]") for number, one in enumerate(listed)]


def _message(one: object, where: str) -> dict[str, Any]:
    said = _plain(_object(one, where), ("role", "content"), where)
    text = _text(said.get("content"), f"{where}.content")
    return {"role": said.get("role"), "text": text}


def _text(blocks: object, where: str) -> str:
    """Return the text of content blocks, of several as several lines."""
    if not isinstance(blocks, list) or not blocks:
        raise Invalid(f"{where} must be a list of blocks of text.")
    return "\n".join(_block(block, f"{where}[{n}]") for n, block in enumerate(blocks))


def _block(block: object, where: str) -> str:
    text = _plain(_object(block, where), ("text",), where).get("text")
    if not isinstance(text, str):
        raise CannotCarry(f"{where} is no text; this door carries text alone.")
    return text


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Invalid(f"{where} must be an object.")
    return value


def _plain(found: Mapping[str, Any], keys: Sequence[str], who: str) -> dict[str, Any]:
    """Return what `found` says by `keys`; raises CannotCarry for more that is not empty."""
    beyond = [key for key, value in found.items() if key not in keys and value not in _EMPTY]
    if beyond:
        shown = ", ".join(repr(key[:40]) for key in beyond[:8])
        raise CannotCarry(
            f"{who} cannot carry {shown}; it knows {', '.join(keys)}. Leave it out. Operation and "
            f"priority go into {OPERATION} and {PRIORITY}, or into requestMetadata.",
            known=list(keys),
        )
    return {key: found[key] for key in keys if found.get(key) is not None}
