"""What OpenAI's client is answered: a completion, or the error that its exceptions go by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing.api import wire
from routing.api.wire import Reply
from routing.core.errors import HybridOpsError
from routing.router import Routed

# Why a model stopped, as Bedrock says it (StopReason of its API reference), in OpenAI's words.
_FINISH: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


def whole(done: Routed, *, created: int) -> dict[str, Any]:
    """Return the completion, or the error in its place; the id is that of the decision."""
    answer = done.answer
    if answer is None:
        return _error(done.advice, done.code, done.status, {"decision_id": done.decision_id})
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    return {
        "id": done.decision_id,
        "object": "chat.completion",
        "created": created,
        "model": answer.model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": finish(answer.stop_reason),
            }
        ],
        "usage": usage(done),
    }


def finish(stop_reason: str) -> str:
    """Return why the model stopped; a reason that OpenAI does not know is `stop`."""
    return _FINISH.get(stop_reason, "stop")


def usage(done: Routed) -> dict[str, int] | None:
    """Return the tokens; null where the path does not tell, never 0 instead."""
    counted = done.answer.usage if done.answer else None
    if counted is None:
        return None
    return {
        "prompt_tokens": counted.input_tokens,
        "completion_tokens": counted.output_tokens,
        "total_tokens": counted.input_tokens + counted.output_tokens,
    }


def refused(error: HybridOpsError, request_id: str) -> Reply:
    """Return the reply for an error of ours; the client chooses its exception by the status."""
    ours = wire.refused(error, request_id, {})
    code = "model_not_found" if error.status == 404 else error.code
    body = _error(error.message, code, error.status, {"request_id": request_id})
    return Reply(status=ours.status, body=body, headers=ours.headers)


def _error(message: str, code: str, status: int, more: Mapping[str, str]) -> dict[str, Any]:
    usual = "invalid_request_error" if status < 500 else "server_error"
    kind = _TYPES.get(status, usual)
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}
