"""What a kill file says: one word for the routing of a whole environment.

An empty file is the shortest thing that a hand can make in an emergency, so it means something:
MCP-only, the state that the rollback documents. Anything else that is no known word means `stop`:
whoever wrote it wanted requests off a path, nobody knows off which one, and a request that was
refused can be sent again, while one that went where it must not go cannot be called back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from routing.core.decision import Kill
from routing.core.values import EnvironmentName

LONGEST = 64  # characters that are told of a word that nobody knows
WORDS = tuple(str(word) for word in Kill)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a kill file is obeyed; `problem` says in words why it could not be read as it stands."""

    kill: Kill
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A kill file in force: what it says, and since when this process obeys it."""

    environment: EnvironmentName
    said: Said
    since: datetime

    @property
    def kill(self) -> Kill:
        return self.said.kill


def read(text: str) -> Said:
    """Return what a kill file with that content says; total over its argument."""
    word = text.strip()
    if not word:
        return Said(kill=Kill.MCP_ONLY)
    try:
        return Said(kill=Kill(word))
    except ValueError:
        shown = word if len(word) <= LONGEST else f"{word[:LONGEST]}…"
        return unreadable(f"it says {shown!r}")


def unreadable(why: str) -> Said:
    """Return how a kill file is obeyed that is there and says nothing that is known."""
    return Said(
        kill=Kill.STOP,
        problem=f"{why}, which is none of {', '.join(WORDS)} (nor empty), so it is taken for "
        f"{Kill.STOP}",
    )


EFFECTS = {
    Kill.MCP_ONLY: "every request goes to mcp, emergencies too",
    Kill.DIRECT_ONLY: "every request goes to direct_bedrock",
    Kill.STOP: "no request goes anywhere, emergencies neither",
}
