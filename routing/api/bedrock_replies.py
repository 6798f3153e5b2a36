"""What boto3 is answered: Converse's output, or an error from which it raises the right one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from routing.api import replies, wire
from routing.api.refusals import BadSignature
from routing.api.wire import Reply
from routing.core.errors import HybridOpsError
from routing.core.values import Failure
from routing.router import Routed

# StopReason of Converse; whatever else a path says is an end of its turn.
_STOPS = frozenset(
    {
        "end_turn",
        "tool_use",
        "max_tokens",
        "stop_sequence",
        "guardrail_intervened",
        "content_filtered",
        "model_context_window_exceeded",
    }
)
# Status of ours -> name of AWS's error and its status ("Errors" of Converse, API reference).
_ERRORS: Mapping[int, tuple[str, int]] = {
    400: ("ValidationException", 400),
    401: ("UnrecognizedClientException", 403),
    403: ("AccessDeniedException", 403),
    404: ("ResourceNotFoundException", 404),
    405: ("UnknownOperationException", 404),
    422: ("ValidationException", 400),
    429: ("ThrottlingException", 429),
    502: ("ModelErrorException", 424),
    503: ("ServiceUnavailableException", 503),
    504: ("ModelTimeoutException", 408),
}
_OTHER, _BROKEN = "ValidationException", ("InternalServerException", 500)


def whole(done: Routed, request_id: str) -> Reply:
    """Return the output of Converse, or the error in its place."""
    answer = done.answer
    if answer is None:
        return _error(done.status, done.advice, request_id, replies.headers(done))
    content = [{"text": answer.text}]
    body = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": stop_reason(answer.stop_reason),
        **counted(done),
    }
    headers = {**replies.headers(done), "x-amzn-requestid": request_id}
    return Reply(status=200, body=body, headers=headers)


def counted(done: Routed) -> dict[str, Any]:
    """Return metrics and tokens; no usage where the path does not tell, never 0 instead."""
    usage = done.answer.usage if done.answer else None
    metrics = {"metrics": {"latencyMs": done.duration_us // 1000}}
    if usage is None:
        return metrics
    tokens = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens,
    }
    return {"usage": tokens, **metrics}


def stop_reason(said: str) -> str:
    """Return why the model stopped, in a word that the client knows."""
    return said if said in _STOPS else "end_turn"


def broke_off(done: Routed) -> str:
    """Return the name of the event that ends a stream without its answer."""
    return (
        "throttlingException" if done.failure is Failure.THROTTLED else "modelStreamErrorException"
    )


def refused(error: HybridOpsError, request_id: str) -> Reply:
    """Return the reply for an error of ours; the client chooses its exception by the name."""
    ours = wire.refused(error, request_id, {})
    reply = _error(error.status, error.message, request_id, ours.headers)
    if isinstance(error, BadSignature):
        named = {**reply.headers, "x-amzn-errortype": "InvalidSignatureException"}
        return Reply(status=reply.status, body=reply.body, headers=named)
    return reply


def _error(status: int, message: str, request_id: str, headers: Mapping[str, str]) -> Reply:
    usual = (_OTHER, status) if status < 500 else _BROKEN
    name, said = _ERRORS.get(status, usual)
    named = {**headers, "x-amzn-errortype": name, "x-amzn-requestid": request_id}
    named.pop("www-authenticate", None)
    return Reply(status=said, body={"message": message}, headers=named)
