"""Kill files in the audit trail: what a process obeys from when to when, and where it said so.

Nobody signs in to write one, so the entry names the process that saw it, and who owns the file is
for the operating system to tell.
"""

from __future__ import annotations

from routing.changes.later import Event
from routing.core.killing import EFFECTS, Said
from routing.core.values import Action, Outcome
from routing.flags.kill import Turn


def event(turn: Turn, *, process: str) -> Event:
    """Return what is to be booked of `turn`, as `process` saw it."""
    gone = turn.after is None
    problem = turn.after.problem if turn.after else ""
    return Event(
        action=Action.KILL_GONE if gone else Action.KILL_SEEN,
        environment=turn.environment,
        at=turn.at,
        outcome=Outcome.FAILED if problem else Outcome.DONE,
        before=_word(turn.before),
        after=_word(turn.after),
        facts={
            "process": process,
            "effect": EFFECTS[turn.after.kill] if turn.after else "routing as the flags say",
            "problem": problem,
        },
    )


def _word(said: Said | None) -> str | None:
    return None if said is None else str(said.kill)
