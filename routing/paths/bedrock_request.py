"""What a call says to Bedrock: its words, and the settings of its operation.

An environment may hold settings per operation under `bedrock.operations` in its thresholds:
`{"emergency": {"model": "...", "max_tokens": 512, "temperature": 0.2, "top_p": 0.9,
"stop_sequences": ["END"], "whole": true}}`. Nonsense there makes the path not configured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from routing.core.errors import Invalid, UnknownWord
from routing.core.values import Failure, Operation, parse
from routing.paths.base import Call, PathError

OPERATIONS = "bedrock.operations"
PROXY = "bedrock.proxy"
MOST_TOKENS = 1_000_000
MOST_STOPS = 4
LONGEST_MODEL = 2048  # the service model's own limit of a model id


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one operation asks. Empty or None: the environment's model, the caller's wish.

    `max_tokens` caps what a caller asks for; `whole` asks by Converse, not by ConverseStream.
    """

    model: str = ""
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop_sequences: tuple[str, ...] = ()
    whole: bool = False


PLAIN = Manner()
Manners = Mapping[Operation, Manner]


def manners(thresholds: Mapping[str, Any]) -> Manners:
    """Return the settings per operation that `thresholds` hold; raises Invalid for nonsense."""
    said = thresholds.get(OPERATIONS, {})
    if not isinstance(said, Mapping):
        raise Invalid(f"{OPERATIONS} must map operations to their settings; it is {said!r:.60}.")
    try:
        return {parse(Operation, str(name)): _manner(name, row) for name, row in said.items()}
    except UnknownWord as error:
        raise Invalid(f"{OPERATIONS}: {error.message}") from None


def proxy(thresholds: Mapping[str, Any]) -> tuple[str, int] | None:
    """Return host and port of the proxy that `thresholds` name; raises Invalid for nonsense."""
    said = thresholds.get(PROXY)
    if said is None:
        return None
    problem = Invalid(f"{PROXY} is {said!r:.60}; write http://host:port, without a password.")
    if not isinstance(said, str):
        raise problem
    try:
        parts = urlsplit(said.rstrip("/"))
        host, port = parts.hostname, parts.port
    except ValueError:
        raise problem from None
    if parts.geturl() != f"http://{parts.netloc}" or "@" in parts.netloc or not host or not port:
        raise problem
    return host, port


def models(default: str, manners: Manners) -> tuple[str, ...]:
    """Return every model that calls may go to, the environment's own first."""
    own = (manner.model for manner in manners.values() if manner.model)
    return tuple(dict.fromkeys((default, *own)))


def document(call: Call, manner: Manner, model: str) -> dict[str, Any]:
    """Return the parameters of Converse for `call`, in the order in which they are sent.

    Raises PathError (validation, nothing sent) for what the service model does not allow.
    """
    _check(call)
    tokens = call.max_tokens
    inference: dict[str, Any] = {
        "maxTokens": tokens if manner.max_tokens is None else min(tokens, manner.max_tokens)
    }
    temperature = manner.temperature if call.temperature is None else call.temperature
    if temperature is not None:
        inference["temperature"] = temperature
    if manner.top_p is not None:
        inference["topP"] = manner.top_p
    if manner.stop_sequences:
        inference["stopSequences"] = list(manner.stop_sequences)
    metadata = {"hybridops-decision": call.decision_id}
    if call.nonce:
        metadata["hybridops-nonce"] = call.nonce
    said: dict[str, Any] = {
        "modelId": model,
        "messages": [{"role": m.role, "content": [{"text": m.text}]} for m in call.messages],
        "inferenceConfig": inference,
        "requestMetadata": metadata,
    }
    if call.system:
        said["system"] = [{"text": call.system}]
    return said


def counting(model: str) -> dict[str, Any]:
    """Return the parameters of CountTokens for one word."""
    messages = [{"role": "user", "content": [{"text": "ping"}]}]
    return {"modelId": model, "input": {"converse": {"messages": messages}}}


def _check(call: Call) -> None:
    """Insist on what the service model insists on, for both transports alike."""
    if call.max_tokens < 1:
        raise _refused(f"max_tokens is {call.max_tokens}; ask for at least 1.")
    warm = call.temperature
    if warm is not None and not (math.isfinite(warm) and warm >= 0):
        raise _refused(f"The temperature is {warm}; give a number from 0.")


def _refused(detail: str) -> PathError:
    return PathError(Failure.VALIDATION, detail, sent=False)


def _manner(name: str, row: object) -> Manner:
    place = f"{OPERATIONS}.{name}"
    if not isinstance(row, Mapping):
        raise Invalid(f"{place} must be an object; it is {row!r:.60}.")
    strange = sorted(str(key) for key in row if key not in Manner.__dataclass_fields__)
    if strange:
        known = ", ".join(Manner.__dataclass_fields__)
        raise Invalid(f"{place} knows no {', '.join(strange)}; known: {known}.")
    return Manner(
        model=_model(place, row.get("model", "")),
        max_tokens=_tokens(place, row.get("max_tokens")),
        temperature=_share(f"{place}.temperature", row.get("temperature")),
        top_p=_share(f"{place}.top_p", row.get("top_p")),
        stop_sequences=_stops(place, row.get("stop_sequences", ())),
        whole=_whole(place, row.get("whole", False)),
    )


def _model(place: str, said: object) -> str:
    if not isinstance(said, str) or len(said) > LONGEST_MODEL or said != said.strip():
        raise Invalid(f"{place}.model is {said!r:.60}; give a model id, profile or ARN.")
    return said


def _tokens(place: str, said: object) -> int | None:
    if said is None:
        return None
    if not isinstance(said, int) or isinstance(said, bool) or not 1 <= said <= MOST_TOKENS:
        raise Invalid(f"{place}.max_tokens is {said!r:.60}; give a whole number from 1.")
    return said


def _share(place: str, said: object) -> float | None:
    if said is None:
        return None
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= 1:
        raise Invalid(f"{place} is {said!r:.60}; give a number from 0 to 1.")
    return said


def _stops(place: str, said: object) -> tuple[str, ...]:
    fits = isinstance(said, list | tuple) and len(said) <= MOST_STOPS
    if not fits or not all(isinstance(one, str) and one for one in said):  # type: ignore[attr-defined]
        raise Invalid(f"{place}.stop_sequences must list up to {MOST_STOPS} texts.")
    return tuple(said)  # type: ignore[arg-type]


def _whole(place: str, said: object) -> bool:
    if not isinstance(said, bool):
        raise Invalid(f"{place}.whole is {said!r:.60}; give true or false.")
    return said
