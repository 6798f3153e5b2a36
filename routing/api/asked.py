"""From a body and headers to an Ask: every field named, typed and bounded, nothing guessed.

Written out rather than declared with pydantic: what a caller did wrong is told in the product's
words, with the known ones, and no second JSON parser or coercion stands in between.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from routing.core import values
from routing.core.chain import strict_parse
from routing.core.errors import Invalid
from routing.core.values import Operation, Path, Priority
from routing.decisions.record import Caller
from routing.paths.base import Message
from routing.router import Ask

OPERATION, PRIORITY = "X-HybridOps-Operation", "X-HybridOps-Priority"
PATH, NONCE = "X-HybridOps-Path", "X-HybridOps-Nonce"
EVENTS = "text/event-stream"
CACHE = "Cache-Control"

ONCE = "Idempotency-Key"

KEYS = (
    "operation",
    "priority",
    "prompt",
    "messages",
    "system",
    "max_tokens",
    "temperature",
    "subject",
    "stream",
)
MOST_TOKENS = 64_000
USUAL_TOKENS = 1024
MOST_MESSAGES = 2000

# Line ends and tabs are text; the rest of C0 and DEL have no meaning to a model.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_ONCE = re.compile(r"[\x21-\x7e]{1,128}")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,128}")
_NONCE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def document(data: bytes) -> Mapping[str, Any]:
    """Return the object in `data`; raises Invalid for other JSON and for keys it does not know."""
    found = strict_parse(data, floats=True)
    if not isinstance(found, dict):
        raise Invalid("The body must be one JSON object.")
    _no_more_than(found, KEYS, "The body")
    return found


def clean(found: Mapping[str, Any], *, said: Mapping[str, str | None], caller: Caller) -> Ask:
    """Return the ask that a body and the headers `said` (by name) make together.

    Raises Invalid and UnknownWord, naming the field; whether the caller may is not asked here.
    """
    operation = _chosen(said.get(OPERATION), found, "operation", OPERATION)
    priority = _chosen(said.get(PRIORITY), found, "priority", PRIORITY)
    pinned = said.get(PATH)
    return Ask(
        caller=caller,
        operation=values.parse(Operation, operation or str(Operation.STANDARD)),
        priority=values.parse(Priority, priority) if priority is not None else None,
        messages=_messages(found),
        system=_text(found["system"], "system", empty=True) if "system" in found else "",
        max_tokens=_max_tokens(found.get("max_tokens", USUAL_TOKENS)),
        temperature=_temperature(found["temperature"]) if "temperature" in found else None,
        pinned=values.parse(Path, pinned) if pinned is not None else None,
        subject=_subject(found["subject"]) if "subject" in found else "",
        fresh=_is_fresh(said.get(CACHE)),
    )


def streams(found: Mapping[str, Any], accept: str | None) -> bool:
    """Tell whether the answer is wanted in pieces: by the body's `stream`, else by Accept."""
    if accept is None and "stream" not in found:
        return False
    kinds = {part.partition(";")[0].strip().lower() for part in (accept or "*/*").split(",")}
    takes_events = bool(kinds & {EVENTS, "text/*", "*/*"})
    takes_whole = bool(kinds & {"application/json", "application/*", "*/*"})
    if "stream" not in found:
        return takes_events and not takes_whole
    wanted = found["stream"]
    if not isinstance(wanted, bool):
        raise Invalid(f"stream must be true or false; it is {_kind(wanted)}.")
    if not (takes_events if wanted else takes_whole):
        raise Invalid("The header Accept and the body's stream differ; send one of them.")
    return wanted


def nonce(said: str | None) -> str:
    """Return a run's nonce as its header says it, empty without one; raises Invalid."""
    if said is not None and not _NONCE.fullmatch(said):
        raise Invalid(
            f"{NONCE} takes 1 to 128 letters, digits, dots, dashes, colons, underscores."
        )
    return said or ""


def _is_fresh(said: str | None) -> bool:
    """Tell whether a Cache-Control header asks for an answer that was not given before."""
    wishes = {wish.strip().lower() for wish in (said or "").split(",")}
    return bool(wishes & {"no-cache", "no-store"})


def key(said: str | None) -> str | None:
    """Return an idempotency key as its header says it; raises Invalid."""
    if said is not None and not _ONCE.fullmatch(said):
        raise Invalid(f"{ONCE} takes 1 to 128 printable ASCII characters without spaces.")
    return said


def _chosen(said: str | None, found: Mapping[str, Any], key: str, header: str) -> str | None:
    """Return what header and body choose together."""
    wanted = found.get(key)
    if key in found and not isinstance(wanted, str):
        raise Invalid(f"{key} must be text; it is {_kind(wanted)}.")
    if said is not None and wanted is not None and said != wanted:
        raise Invalid(f"The header {header} and the body's {key} differ; send one of them.")
    return said if said is not None else wanted


def _messages(found: Mapping[str, Any]) -> tuple[Message, ...]:
    if ("prompt" in found) == ("messages" in found):
        raise Invalid("Send either prompt or messages, one of the two.")
    if "prompt" in found:
        return (Message(role="user", text=_text(found["prompt"], "prompt")),)
    listed = found["messages"]
    if not isinstance(listed, list) or not 1 <= len(listed) <= MOST_MESSAGES:
        raise Invalid(f"messages must be a list of 1 to {MOST_MESSAGES} messages.")
    return tuple(_message(one, f"messages[{n}]") for n, one in enumerate(listed))


def _message(one: object, where: str) -> Message:
    if not isinstance(one, dict):
        raise Invalid(f"{where} must be an object with role and text.")
    _no_more_than(one, ("role", "text"), where)
    role = one.get("role")
    if role not in ("user", "assistant"):
        raise Invalid(f"{where}.role must be user or assistant.")
    if "text" not in one:
        raise Invalid(f"{where}.text is missing.")
    return Message(role=role, text=_text(one["text"], f"{where}.text"))


def _text(value: object, where: str, *, empty: bool = False) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{where} must be text; it is {_kind(value)}.")
    if not value.strip() and not (empty and not value):
        raise Invalid(f"{where} is blank; write something.")
    found = _CONTROL.search(value)
    if found:
        raise Invalid(
            f"{where} holds the control character U+{ord(found.group()):04X} at "
            f"{found.start() + 1}; take it out."
        )
    return value


def _max_tokens(value: object) -> int:
    if type(value) is not int or not 1 <= value <= MOST_TOKENS:
        raise Invalid(f"max_tokens must be a whole number from 1 to {MOST_TOKENS}.")
    return value


def _temperature(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 2:
        raise Invalid("temperature must be a number from 0 to 2.")
    return float(value)


def _subject(value: object) -> str:
    if not isinstance(value, str) or not _SUBJECT.fullmatch(value):
        raise Invalid("subject must be 1 to 128 printable ASCII characters without spaces.")
    return value


def _no_more_than(found: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = [key for key in found if key not in known]
    if unknown:
        shown = ", ".join(repr(key[:40]) for key in unknown[:8])
        raise Invalid(
            f"{where} has unknown keys: {shown}; known: {', '.join(known)}.", known=list(known)
        )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
