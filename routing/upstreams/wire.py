"""Bedrock Runtime on the wire: which request is right, and how AWS words a wrong one.

Shapes, limits and the status of each error come from botocore's own service model, so the
stand-in and the client that calls it read the same contract.
"""

from __future__ import annotations

import base64
import binascii
import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

OPERATIONS: Mapping[str, str] = {
    "converse": "Converse",
    "converse-stream": "ConverseStream",
    "count-tokens": "CountTokens",
}
# Errors of every AWS service, which no service model lists (Bedrock API Reference, "Common
# errors").
_COMMON: Mapping[str, int] = {
    "ExpiredTokenException": 403,
    "IncompleteSignatureException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "RequestEntityTooLargeException": 413,
    "SerializationException": 400,
    "ServiceQuotaExceededException": 400,
    "UnknownOperationException": 404,
    "UnrecognizedClientException": 403,
}
# What a text model takes; the rest is refused rather than silently left out.
_TAKEN = {
    "additionalModelRequestFields",
    "inferenceConfig",
    "messages",
    "modelId",
    "performanceConfig",
    "requestMetadata",
    "serviceTier",
    "system",
}


class AwsError(Exception):
    """A request that AWS would refuse; `code` is the error type, `status` is HTTP's."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or status_of(code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request that is right: its prompt in one text, and what was asked for it."""

    model: str
    prompt: str
    max_tokens: int | None = None
    stops: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)


@functools.cache
def model() -> ServiceModel:
    """Return botocore's model of bedrock-runtime."""
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


@functools.cache
def _statuses() -> Mapping[str, int]:
    shapes = (shape for name in OPERATIONS.values() for shape in _operation(name).error_shapes)
    modelled = {str(s.name): int(s.metadata["error"]["httpStatusCode"]) for s in shapes}
    return {**_COMMON, **modelled}


def _operation(name: str) -> Any:
    return model().operation_model(name)


def status_of(code: str) -> int:
    """Return the HTTP status that AWS sends with the error `code`; 500 for one nobody lists."""
    return _statuses().get(code, 500)


def code_of(status: int) -> str:
    """Return the error that AWS most likely means by `status`."""
    usual = {429: "ThrottlingException", 403: "AccessDeniedException", 400: "ValidationException"}
    if status in usual:
        return usual[status]
    found = (code for code, known in _statuses().items() if known == status)
    return next(found, "InternalServerException")


def check_signed(authorization: str) -> None:
    """Raise AwsError unless the header is a SigV4 signature or a bearer token.

    Whose it is goes unchecked: the stand-in has no secret to check it with.
    """
    kind, _, rest = authorization.partition(" ")
    if kind == "Bearer" and rest.strip():
        return
    if kind == "AWS4-HMAC-SHA256":
        missing = [p for p in ("Credential=", "SignedHeaders=", "Signature=") if p not in rest]
        if not missing:
            return
        raise AwsError(
            "IncompleteSignatureException",
            f"Authorization header requires {', '.join(p[:-1] for p in missing)}.",
        )
    raise AwsError("MissingAuthenticationTokenException", "Missing Authentication Token")


def parse(raw: bytes) -> dict[str, Any]:
    """Return the JSON object in `raw`; raises AwsError."""
    try:
        body = json.loads(raw or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise AwsError("SerializationException", f"The body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise AwsError("SerializationException", "Start of structure expected.")
    return body


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")


def read(verb: str, model_id: str, body: Mapping[str, Any]) -> Asked:
    """Return what a request to `/model/<model_id>/<verb>` asks; raises AwsError."""
    if verb not in OPERATIONS:
        raise AwsError("UnknownOperationException", "No such operation.")
    operation = _operation(OPERATIONS[verb])
    params = {**body, "modelId": model_id}
    problems = ParamValidator().validate(params, operation.input_shape)
    if problems.has_errors():
        _invalid(problems.generate_report())
    _check_model_id(model_id, operation.input_shape.members["modelId"])
    if verb == "count-tokens":
        return Asked(model=model_id, prompt=_counted(params["input"]))
    strange = sorted(set(params) - _TAKEN)
    if strange:
        _invalid(f"This model does not support {', '.join(strange)}.")
    inference = params.get("inferenceConfig") or {}
    return Asked(
        model=model_id,
        prompt=_conversation(params),
        max_tokens=inference.get("maxTokens"),
        stops=tuple(inference.get("stopSequences") or ()),
        metadata=params.get("requestMetadata") or {},
    )


def _invalid(message: str) -> NoReturn:
    raise AwsError("ValidationException", message)


def _check_model_id(model_id: str, shape: Shape) -> None:
    longest, pattern = int(shape.metadata["max"]), str(shape.metadata["pattern"])
    if len(model_id) > longest or not re.fullmatch(pattern, model_id):
        _invalid("The provided model identifier is invalid.")


def _counted(asked: Mapping[str, Any]) -> str:
    if "converse" in asked:
        if "toolConfig" in asked["converse"]:
            _invalid("This model does not support toolConfig.")
        return _conversation(asked["converse"])
    try:
        return base64.b64decode(asked["invokeModel"]["body"], validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        _invalid("The body of invokeModel is not text in base 64.")


def _conversation(params: Mapping[str, Any]) -> str:
    """Return system and messages as one text; raises AwsError for one no model would take."""
    messages = params.get("messages") or []
    if not messages:
        _invalid("The messages field is required: a conversation must have a message.")
    if messages[0]["role"] != "user":
        _invalid("A conversation must start with a user message. Try again with one.")
    texts = list(_texts(params.get("system") or [], "system"))
    for number, message in enumerate(messages):
        place = f"messages.{number}.content"
        if not message["content"]:
            _invalid(f"The content field in the Message object at messages.{number} is empty.")
        texts += _texts(message["content"], place)
    return "\n".join(texts)


def _texts(blocks: list[Mapping[str, Any]], place: str) -> Iterator[str]:
    for number, block in enumerate(blocks):
        if "text" not in block:
            _invalid(f"This model reads text; {place}.{number} holds {', '.join(block)}.")
        if not block["text"].strip():
            _invalid(f"The text field in the ContentBlock object at {place}.{number} is blank.")
        yield block["text"]
