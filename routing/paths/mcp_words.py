"""What an MCP tool is given and what it says, in both directions' words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from routing.core.values import Failure
from routing.paths.base import Answer, Billed, Call, PathError, words
from routing.paths.mcp_transport import Exchange

CONNECTION_CLOSED = -32000  # the SDK's own; others use it for errors of theirs
_SLOT = re.compile(r"\{(operation|prompt|messages|system|max_tokens)\}")
# JSON-RPC codes (JSON-RPC 2.0; MCP: -32001 is the SDK's own for a request that ran out of time,
# -3202x are disagreements about protocol and headers, -32042 asks for a person).
_BY_CODE: Mapping[int, Failure] = {
    -32700: Failure.PROTOCOL,
    -32600: Failure.PROTOCOL,
    -32601: Failure.PROTOCOL,
    -32602: Failure.VALIDATION,
    -32603: Failure.PROVIDER,
    -32001: Failure.TIMEOUT,
    -32020: Failure.PROTOCOL,
    -32021: Failure.PROTOCOL,
    -32022: Failure.PROTOCOL,
    -32042: Failure.PROTOCOL,
}


def translate(code: int, message: str, exchange: Exchange) -> PathError:
    """Return what a JSON-RPC error means that the transport did not explain."""
    if code == CONNECTION_CLOSED and not exchange.answered:
        # The client went away beneath the call.
        failure = Failure.OUTCOME_UNKNOWN if exchange.acts else Failure.UNREACHABLE
        return PathError(failure, "The connection was closed under the call.")
    return PathError(_BY_CODE.get(code, Failure.PROVIDER), words(f"{code}: {message}"))


def meta(call: Call) -> dict[str, Any]:
    """Return the marks by which the other side's journal names the request."""
    marks: dict[str, Any] = {"hybridops/decision": call.decision_id}
    if call.nonce:
        marks["hybridops/nonce"] = call.nonce
    return marks


def fill(template: Mapping[str, Any] | None, call: Call) -> dict[str, Any]:
    """Return the tool's arguments for `call`.

    In a template the text `{messages}`, standing alone, becomes the value itself; within other
    text, `{prompt}` and the like are replaced in place. Raises PathError for a template that
    yields what JSON cannot say.
    """
    values: dict[str, Any] = {
        "operation": str(call.operation),
        "messages": [{"role": m.role, "text": m.text} for m in call.messages],
        "system": call.system,
        "max_tokens": call.max_tokens,
    }
    if template is None:
        return values
    prompt = call.messages[-1].text if call.messages else ""
    filled = {key: _fill(value, values | {"prompt": prompt}) for key, value in template.items()}
    try:
        # The SDK would meet this only while sending, and end the client with every call on it.
        json.dumps(filled, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        text = f"The template of the tool's arguments cannot be sent: {type(error).__name__}."
        raise PathError(Failure.DISABLED, text, sent=False) from error
    return filled


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        return {key: _fill(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fill(item, values) for item in value]
    if not isinstance(value, str):
        return value
    alone = _SLOT.fullmatch(value)
    if alone:
        return values[alone[1]]
    # In one pass: a caller's words that look like a slot stay words.
    return _SLOT.sub(lambda found: _as_text(values[found[1]]), value)


def _as_text(word: Any) -> str:
    return word if isinstance(word, str) else json.dumps(word, ensure_ascii=False)


def answer(result: Any, tool: str) -> Answer:
    """Return the text of a tool's result; its own error is the tool's, not the server's."""
    texts = [block.text for block in result.content if block.type == "text"]
    if result.is_error:
        said = words(" ".join(texts)) or "The tool gave no words."
        raise PathError(Failure.TOOL_ERROR, said)
    if result.result_type != "complete":
        text = f"The tool {tool} asks for more, which is not offered."
        raise PathError(Failure.PROTOCOL, text, billed=Billed(model=tool))
    if len(texts) != len(result.content) or not "".join(texts):
        text = f"The tool {tool} answered with something but text."
        raise PathError(Failure.PROTOCOL, text, billed=Billed(model=tool))
    return Answer(text="".join(texts), stop_reason="end_turn", model=tool, usage=None)
