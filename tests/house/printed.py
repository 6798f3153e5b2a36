"""One shape of what a command prints, and the words that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """One shape of a command's output: when it comes, its keys with their meaning, its status."""

    when: str
    ask: tuple[str, ...]
    keys: Mapping[str, str]
    status: int = 0


DEV = ("--environment", "development")
STG = ("--environment", "staging")
REFUSED = {
    "error": "the code of the refusal",
    "message": "what was wrong and what to do next",
}
WHY = ("--reason", "an example")
