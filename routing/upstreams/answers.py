"""What a stand-in says: plainly that it is one, and the same to the same prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer with its honest count: tokens are what whitespace separates."""

    text: str
    input_tokens: int
    output_tokens: int
    stop_reason: str


def digest(prompt: str) -> str:
    """Return the SHA-256 of `prompt`, in hex."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()


def size(prompt: str) -> int:
    """Return the bytes of `prompt` in UTF-8."""
    return len(prompt.encode("utf-8", "surrogatepass"))


def tokens(text: str) -> int:
    """Return how many tokens the stand-in counts in `text`."""
    return len(text.split())


def compose(prompt: str, name: str, max_tokens: int | None, stops: Sequence[str] = ()) -> Reply:
    """Return the stand-in `name`'s reply, ended early by a stop sequence or the token limit."""
    words = tokens(prompt)
    text = (
        f"This is HybridOps' local stand-in for {name}, not a model. It read {words} "
        f"{'word' if words == 1 else 'words'} with the SHA-256 {digest(prompt)[:16]}, "
        "and it gives the same answer to the same prompt."
    )
    stop_reason = "end_turn"
    ends = [text.index(stop) for stop in stops if stop and stop in text]
    if ends:
        text, stop_reason = text[: min(ends)], "stop_sequence"
    if max_tokens is not None and tokens(text) > max_tokens:
        text, stop_reason = " ".join(text.split()[:max_tokens]), "max_tokens"
    return Reply(
        text=text, input_tokens=words, output_tokens=tokens(text), stop_reason=stop_reason
    )


def latency_ms(prompt: str, bounds: tuple[int, int]) -> int:
    """Return how long the stand-in takes over `prompt`: the same for the same prompt."""
    low, high = bounds
    return low + int(digest(prompt)[:8], 16) % (high - low + 1)
