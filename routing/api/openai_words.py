"""OpenAI's words: chat completions under `/openai/v1/`, as its own client sends and reads them.

Text only. What no path of ours can carry (images, tools, several choices, sampling beyond the
temperature) is refused by name; nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from routing.api import asked, events, openai_replies, replies
from routing.api.dialect import Asked, Place, Purpose, check_model
from routing.api.refusals import CannotCarry
from routing.api.wire import Reply
from routing.core.chain import strict_parse
from routing.core.errors import HybridOpsError, Invalid, NotFound
from routing.decisions.record import Caller
from routing.flow import Opening
from routing.router import Routed

CHAT, MODELS = "/openai/v1/chat/completions", "/openai/v1/models"
KEYS = (
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "stream",
    "stream_options",
    "user",
)
# What the client may say without asking for anything; null always may stand.
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "top_p": (1,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "logprobs": (False,),
    "logit_bias": ({},),
    "stop": ([],),
    "tools": ([],),
    "functions": ([],),
    "tool_calls": ([],),
    "tool_choice": ("none",),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "annotations": ([],),
    "store": (False,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAi:
    """The dialect of OpenAI's client; `known` are the names that a caller may send for a model."""

    prefix: ClassVar[str] = "/openai/"
    signs: ClassVar[bool] = False
    known: tuple[str, ...]
    clock: Callable[[], datetime]

    def place(self, path: str) -> Place:
        if path == CHAT:
            return Place(purpose=Purpose.ROUTE, method="POST")
        if path == MODELS:
            return Place(purpose=Purpose.MODELS, method="GET")
        if path.startswith(f"{MODELS}/"):
            model = path.removeprefix(f"{MODELS}/")
            return Place(purpose=Purpose.MODELS, method="GET", model=model)
        raise NotFound(f"There is nothing here; known: {CHAT}, {MODELS}.")

    def read(
        self, data: bytes, place: Place, *, said: Mapping[str, str | None], caller: Caller
    ) -> Asked:
        found = document(data)
        model = _model(found)
        check_model(model, self.known)
        streams = bool(_switch(found, "stream"))
        return Asked(
            ask=asked.clean(translate(found), said=said, caller=caller),
            model=model,
            streams=streams,
            counts_usage=_counts_usage(found, streams=streams),
        )

    def models(self, place: Place) -> Reply:
        if place.model:
            check_model(place.model, self.known)
            return Reply(status=200, body=_model_row(place.model))
        rows = [_model_row(name) for name in self.known]
        return Reply(status=200, body={"object": "list", "data": rows})

    def answered(self, done: Routed, request_id: str) -> Reply:
        created = int(self.clock().timestamp())
        return Reply(
            status=done.status,
            body=openai_replies.whole(done, created=created),
            headers=replies.headers(done),
        )

    def refused(self, error: HybridOpsError, request_id: str) -> Reply:
        return openai_replies.refused(error, request_id)

    def wording(self, asked: Asked, request_id: str) -> ChatWording:
        return ChatWording(
            request_id=request_id,
            counts_usage=asked.counts_usage,
            model=asked.model,
            created=int(self.clock().timestamp()),
        )


@dataclass(slots=True, kw_only=True)
class ChatWording:
    """Chunks as the client reads them, `[DONE]` behind the last."""

    request_id: str
    counts_usage: bool
    model: str
    created: int
    content_type: str = events.CONTENT_TYPE
    still_there: bytes = events.STILL_THERE
    _id: str = field(default="", init=False)

    def opened(self, opening: Opening) -> bytes:
        self._id = opening.decision_id
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str) -> bytes:
        return self._chunk({"content": text})

    def end(self, done: Routed) -> bytes:
        if done.answer is None:
            return events.event(openai_replies.whole(done, created=self.created))
        # Which model it was is known only now; the chunks before say the name that was asked for.
        self.model = done.answer.model
        last = self._chunk({}, openai_replies.finish(done.answer.stop_reason))
        usage = self._usage(done) if self.counts_usage else b""
        return last + usage + b"data: [DONE]\n\n"

    def failed(self, error: HybridOpsError) -> bytes:
        return events.event(openai_replies.refused(error, self.request_id).body)

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        more = {"usage": None} if self.counts_usage else {}
        return events.event({**self._head(), "choices": [choice], **more})

    def _usage(self, done: Routed) -> bytes:
        usage = openai_replies.usage(done)
        return events.event({**self._head(), "choices": [], "usage": usage})

    def _head(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
        }


def document(data: bytes) -> Mapping[str, Any]:
    """Return the object in `data` without what says nothing; raises Invalid, CannotCarry."""
    found = strict_parse(data, floats=True)
    if not isinstance(found, dict):
        raise Invalid("The body must be one JSON object.")
    return _plain(found, KEYS, "This door")


def translate(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of our own door that says the same."""
    system, messages = _messages(found.get("messages"))
    ours: dict[str, Any] = {"messages": messages}
    if system:
        ours["system"] = "\n\n".join(system)
    limits = [found[key] for key in ("max_completion_tokens", "max_tokens") if key in found]
    if len(limits) == 2 and limits[0] != limits[1]:
        raise Invalid("max_tokens and max_completion_tokens differ; send one of them.")
    if limits:
        ours["max_tokens"] = limits[0]
    for key, own in (("temperature", "temperature"), ("user", "subject")):
        if key in found:
            ours[own] = found[key]
    return ours


def _messages(listed: object) -> tuple[list[str], list[dict[str, str]]]:
    """Return the system's texts, which must stand first, and the messages after them."""
    if not isinstance(listed, list) or not listed:
        raise Invalid("messages must be a list of messages.")
    system: list[str] = []
    messages: list[dict[str, str]] = []
    for number, one in enumerate(listed):
        where = f"messages[{number}]"
        if not isinstance(one, dict):
            raise Invalid(f"{where} must be an object with role and content.")
        said = _plain(one, ("role", "content"), where)
        text, role = _text(said.get("content"), where), said.get("role")
        if role in ("system", "developer"):
            if messages:
                raise CannotCarry(f"{where}: what the system says must stand first.")
            system.append(text)
        elif role in ("user", "assistant"):
            messages.append({"role": role, "text": text})
        else:
            raise CannotCarry(f"{where}.role must be system, developer, user or assistant.")
    return system, messages


def _text(content: object, where: str) -> str:
    """Return the text of a message, of several parts as several lines."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        raise Invalid(f"{where}.content must be text, or a list of parts of text.")
    return "\n".join(_part(part, f"{where}.content[{n}]") for n, part in enumerate(content))


def _part(part: object, where: str) -> str:
    if not isinstance(part, dict) or part.get("type") != "text":
        raise CannotCarry(f"{where} is no text; this door carries text alone.")
    text = part.get("text")
    if not isinstance(text, str) or len(part) != 2:
        raise Invalid(f"{where} must be an object with type and text.")
    return text


def _plain(found: Mapping[str, Any], keys: Sequence[str], who: str) -> dict[str, Any]:
    """Return what `found` says by `keys`; raises CannotCarry for more that means something."""
    beyond = [
        key
        for key, value in found.items()
        if key not in keys and value is not None and not _is_neutral(key, value)
    ]
    if beyond:
        shown = ", ".join(repr(key[:40]) for key in beyond[:8])
        raise CannotCarry(
            f"{who} cannot carry {shown}; it knows {', '.join(keys)}. Leave it out.",
            known=list(keys),
        )
    return {key: found[key] for key in keys if found.get(key) is not None}


def _is_neutral(key: str, value: object) -> bool:
    # In Python 1 is True: a choice count of true is none.
    return any(value == one and type(value) in (type(one), float) for one in _NEUTRAL.get(key, ()))


def _model(found: Mapping[str, Any]) -> str:
    model = found.get("model")
    if not isinstance(model, str):
        raise Invalid("model must be text.")
    return model


def _switch(found: Mapping[str, Any], key: str) -> bool | None:
    value = found.get(key)
    if value is not None and not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false.")
    return value


def _counts_usage(found: Mapping[str, Any], *, streams: bool) -> bool:
    options = found.get("stream_options")
    if options is None:
        return False
    if not streams or not isinstance(options, dict):
        raise Invalid("stream_options must be an object, and goes with stream: true.")
    return bool(_switch(_plain(options, ("include_usage",), "stream_options"), "include_usage"))


def _model_row(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "hybridops"}
