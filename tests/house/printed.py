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
SPREAD = {
    "environment": "where",
    "version": "the newest version of all its flags",
    "sentence": "how far that has come, in words",
    "complete": "whether every process that lives runs it",
    "processes": "how many have to run it",
    "have": "those that run it",
    "laggards": "those that do not: process, version, behind_s",
    "gone": "those that fell silent: process, version, silent_s; nobody waits for them",
    "took_s": "from the change until the last process ran it, null where that is not known",
}
FLAG_SET = {
    "environment": "where",
    "flag": "which",
    "on": "the new state",
    "percentage": "the share of subjects it is on for",
    "groups": "the groups of callers it is on for beside that",
    "was_on": "the state before",
    "was_percentage": "the share before",
    "version": "the flag's version",
    "flags_version": "the version of all flags of the environment",
    "ends_at": "when it goes back by itself, or null",
    "entry": "the number of the audit entry",
}
FLAG_SPREAD = {"propagation": "who runs it; see `flags propagation`"}
