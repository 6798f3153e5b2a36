"""What became of one flag over time, told by the audit trail, newest first."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from routing.audit import queries as audit
from routing.audit.queries import EntryRow
from routing.core import booked
from routing.core.flags import FlagName, State
from routing.core.values import EnvironmentName, Outcome

BATCH = 200
MOST_READ = 2_000  # entries for one page of a history


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One booked change of a flag; `together` are the flags that changed with it.

    `before` is None where the flag was laid, `after` where its row went. An entry that was altered
    has `broken` words in place of both, and no environment.
    """

    environment: EnvironmentName | None
    seq: int
    at: datetime
    actor: str
    role: str
    action: str
    reason: str
    before: State | None
    after: State | None
    together: tuple[str, ...] = ()
    broken: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Turns, newest first; `next_before_seq` asks for what is behind, None at the beginning."""

    turns: tuple[Turn, ...]
    next_before_seq: int | None


def history(
    flag: FlagName,
    environments: Collection[EnvironmentName],
    *,
    before_seq: int | None = None,
    size: int = 25,
) -> History:
    """Return up to `size` booked changes of `flag` older than entry `before_seq`.

    Where other flags change far more often there may be fewer with more behind them: no page
    reads more than 2 000 entries.
    """
    asked = audit.Filters(environments=environments, actions=booked.SETTING, outcome=Outcome.DONE)
    turns: list[Turn] = []
    read = 0
    while True:
        page = audit.page(filters=asked, before_seq=before_seq, size=BATCH)
        for row in page.rows:
            turn = _turn(flag, row)
            if turn is not None and len(turns) == size:  # so there is more
                return History(turns=tuple(turns), next_before_seq=turns[-1].seq)
            if turn is not None:
                turns.append(turn)
            before_seq = row.seq
        read += BATCH
        if page.next_before_seq is None:
            return History(turns=tuple(turns), next_before_seq=None)
        if read >= MOST_READ:
            return History(turns=tuple(turns), next_before_seq=before_seq)


def _turn(flag: FlagName, row: EntryRow) -> Turn | None:
    """Return what the entry says of `flag`, None where it is about others."""
    before, after = _states(row.before), _states(row.after)
    if not row.broken and flag not in after:
        return None
    whole = Turn(
        environment=None if row.broken else EnvironmentName(row.environment),
        seq=row.seq,
        at=row.at,
        actor=row.actor,
        role=row.role,
        action=row.action,
        reason=row.reason,
        before=None,
        after=None,
    )
    if row.broken:
        return replace(whole, broken=row.broken)
    try:
        old, new = _state(before.get(flag)), _state(after[flag])
    except (KeyError, TypeError, ValueError):
        return replace(whole, broken="This entry does not say which state it left.")
    together = tuple(sorted(name for name in after if name != flag))
    return replace(whole, before=old, after=new, together=together)


def _states(said: Any) -> dict[str, Any]:
    return said if isinstance(said, dict) else {}


def _state(said: Any) -> State | None:
    return None if said is None else booked.state_of(said)
