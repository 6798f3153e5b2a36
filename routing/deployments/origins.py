"""Where the facts of a deployment come from."""

from __future__ import annotations

from enum import StrEnum


class Origin(StrEnum):
    """Only what ran here can be proven; history is what is known of runs from before."""

    RAN = "ran"
    IMPORTED = "imported"
    HISTORY = "history"
