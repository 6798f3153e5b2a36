"""The stand-in for the Bedrock Runtime: Converse, ConverseStream and CountTokens.

`python -m routing.upstreams.bedrock --port N --home HYBRIDOPS_HOME`
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

from routing.core import eventstream
from routing.core.values import Path
from routing.upstreams import answers, process, wire
from routing.upstreams.faults import Fault, Kind
from routing.upstreams.gate import TOLD
from routing.upstreams.journal import Seen
from routing.upstreams.speaker import Answer, Message, Receive, Request, Send, deliver, encoded

NAME = "Amazon Bedrock"
WORDS_PER_EVENT = 3
# What a stream may say of itself after it has begun (ConverseStreamOutput).
_STREAM_ERRORS = {
    "InternalServerException": "internalServerException",
    "ModelStreamErrorException": "modelStreamErrorException",
    "ServiceUnavailableException": "serviceUnavailableException",
    "ThrottlingException": "throttlingException",
    "ValidationException": "validationException",
}


class Bedrock:
    """Speaks the wire format of Bedrock Runtime; `latency_ms` bounds how long it thinks."""

    path = Path.DIRECT_BEDROCK

    def __init__(self, latency_ms: tuple[int, int]) -> None:
        self._latency_ms = latency_ms

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the service model before the first request needs it."""
        for verb in wire.OPERATIONS:
            with contextlib.suppress(wire.AwsError):
                wire.read(verb, "warm-up", {})
        yield

    def streams(self, path: str) -> bool:
        """Tell whether `path` is ConverseStream's."""
        return path.endswith("/converse-stream")

    def see(self, request: Request) -> Seen:
        """Return the verb, model, marks and digest of `request`."""
        verb, model = _place(request.path)
        kind = verb.replace("-", "_") or request.method
        try:
            asked = wire.read(verb, model, wire.parse(request.body))
        except wire.AwsError:
            return Seen(kind=kind, target=model)
        return Seen(
            kind=kind,
            target=model,
            nonce=str(asked.metadata.get("hybridops-nonce", "")),
            operation=str(asked.metadata.get("hybridops-operation", "")),
            decision=str(asked.metadata.get("hybridops-decision", "")),
            prompt_sha256=answers.digest(asked.prompt),
            prompt_bytes=answers.size(asked.prompt),
        )

    def refuse(self, request: Request, fault: Fault | None, status: int, message: str) -> Answer:
        """Return an error as AWS sends it: its type in a header, its words in the body."""
        code = fault.code if fault else ""
        if not code:
            code = wire.code_of(status) if status else "ServiceUnavailableException"
        error = wire.AwsError(code, message, status or None)
        return _error(error, fault.retry_after_s if fault else None)

    def garble(self, request: Request) -> Answer:
        """Return half a JSON document, or a frame whose checksum does not hold."""
        if request.stream:
            body = eventstream.spoiled(eventstream.event("messageStart", {"role": "assistant"}))
            return Answer(status=200, headers=_headers(eventstream.CONTENT_TYPE), body=body)
        return Answer(status=200, headers=_headers(), body=b'{"output":{"message":{"role":"assis')

    def end_stream(self, fault: Fault) -> bytes:
        """Return the exception event that `error` asks for, or a frame that cannot be read."""
        if fault.kind is Kind.MALFORMED:
            return eventstream.spoiled(
                eventstream.event("messageStop", {"stopReason": "end_turn"})
            )
        name = _STREAM_ERRORS.get(fault.code, "serviceUnavailableException")
        return eventstream.exception(name, TOLD)

    async def answer(self, request: Request, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one of the three operations, or refuse as AWS does."""
        try:
            verb, model = _place(request.path)
            if request.method != "POST":
                raise wire.AwsError("UnknownOperationException", "No such operation.")
            wire.check_signed(request.headers.get("authorization", ""))
            asked = wire.read(verb, model, wire.parse(request.body))
        except wire.AwsError as error:
            await deliver(send, _error(error))
            return
        if verb == "count-tokens":
            await deliver(send, _good({"inputTokens": answers.tokens(asked.prompt)}))
            return
        reply = answers.compose(asked.prompt, NAME, asked.max_tokens, asked.stops)
        wait_ms = answers.latency_ms(asked.prompt, self._latency_ms)
        if verb == "converse":
            began = time.monotonic()
            await asyncio.sleep(wait_ms / 1000)
            await deliver(send, _good(_converse(reply, _ms_since(began))))
        else:
            await _stream(reply, wait_ms, send)


def _place(path: str) -> tuple[str, str]:
    """Return verb and model of `/model/<id>/<verb>`; the SDK encodes every slash of an id."""
    steps = path.split("/")
    if len(steps) != 4 or steps[1] != "model":
        return "", ""
    return steps[3], unquote(steps[2])


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _usage(reply: answers.Reply) -> dict[str, int]:
    return {
        "inputTokens": reply.input_tokens,
        "outputTokens": reply.output_tokens,
        "totalTokens": reply.input_tokens + reply.output_tokens,
    }


def _converse(reply: answers.Reply, ms: int) -> dict[str, Any]:
    return {
        "output": {"message": {"role": "assistant", "content": [{"text": reply.text}]}},
        "stopReason": reply.stop_reason,
        "usage": _usage(reply),
        "metrics": {"latencyMs": ms},
    }


def deltas(text: str) -> Iterator[str]:
    """Return `text` in pieces of a few words that join to exactly `text`."""
    words = text.split(" ")
    for start in range(0, len(words), WORDS_PER_EVENT):
        piece = " ".join(words[start : start + WORDS_PER_EVENT])
        yield piece if start + WORDS_PER_EVENT >= len(words) else piece + " "


async def _stream(reply: answers.Reply, wait_ms: int, send: Send) -> None:
    """Send `reply` event by event: the first after `wait_ms`, the others in a tenth each."""
    began = time.monotonic()
    await asyncio.sleep(wait_ms / 1000)
    headers = encoded(_headers(eventstream.CONTENT_TYPE))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await _event(send, "messageStart", {"role": "assistant"})
    for number, text in enumerate(deltas(reply.text)):
        if number:
            await asyncio.sleep(wait_ms / 10_000)
        delta = {"delta": {"text": text}, "contentBlockIndex": 0}
        await _event(send, "contentBlockDelta", delta)
    await _event(send, "contentBlockStop", {"contentBlockIndex": 0})
    await _event(send, "messageStop", {"stopReason": reply.stop_reason})
    end = {"usage": _usage(reply), "metrics": {"latencyMs": _ms_since(began)}}
    await _event(send, "metadata", end)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _event(send: Send, name: str, payload: Mapping[str, Any]) -> None:
    body = eventstream.event(name, payload)
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _headers(content_type: str = "application/json") -> dict[str, str]:
    return {"content-type": content_type, "x-amzn-requestid": str(uuid4())}


def _good(payload: Mapping[str, Any]) -> Answer:
    body = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(status=200, headers=_headers(), body=body)


def _error(error: wire.AwsError, retry_after_s: int | None = None) -> Answer:
    headers = {**_headers(), "x-amzn-errortype": error.code}
    if retry_after_s is not None:
        headers["retry-after"] = str(retry_after_s)
    body = json.dumps({"message": error.message}).encode()
    return Answer(status=error.status, headers=headers, body=body)


def main() -> None:
    """Serve until the standard input closes."""
    process.run("bedrock", lambda port, latency_ms: Bedrock(latency_ms))


if __name__ == "__main__":
    main()
