"""Who runs a singleton loop: a lease with an end, and a fence number for whoever comes late.

A holder is dead when its lease has run out; nobody asks it. A holder that was only asleep may
wake up and go on writing: every new lease raises the fence, and a writer that checks its own
fence inside its transaction is refused from then on. Time is judged by `clock.read`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F, Q

from routing.core.errors import Broken, Stale
from routing.fleet import clock
from routing.fleet.models import LoopLease

LONGEST_S = 60.0
IMPLAUSIBLE_S = 2 * LONGEST_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A lease as it was given; whether it still holds, only `renew` and `check_fence` know."""

    name: str
    holder: str
    fence: int
    seconds: float


def take(name: str, holder: str, *, now: datetime, seconds: float) -> Lease | None:
    """Take the lease `name` for `seconds` (at most 60) if nobody holds it, else return None.

    `holder` names one life of one process; whoever holds the lease already gets None too, so
    that two loops of one process cannot both think that it is theirs.
    """
    _check_length(seconds)
    at = clock.read(now)
    # An end that far ahead was written by a clock that has since been set back; without this,
    # such a lease would stand until the clock caught up.
    free = (
        Q(expires_at=None)
        | Q(expires_at__lte=at)
        | Q(expires_at__gt=at + timedelta(seconds=IMPLAUSIBLE_S))
    )
    with transaction.atomic():
        LoopLease.objects.bulk_create([LoopLease(name=name)], ignore_conflicts=True)
        taken = LoopLease.objects.filter(free, name=name).update(
            holder=holder, fence=F("fence") + 1, expires_at=at + timedelta(seconds=seconds)
        )
        if not taken:
            return None
        fence = LoopLease.objects.values_list("fence", flat=True).get(name=name)
    return Lease(name=name, holder=holder, fence=fence, seconds=seconds)


def renew(lease: Lease, *, now: datetime) -> bool:
    """Extend `lease` by its own length from now; False when it has run out or is another's.

    A lease that ran out is not renewed even if nobody took it: others may have acted on that.
    """
    at = clock.read(now)
    held = LoopLease.objects.filter(
        name=lease.name, holder=lease.holder, fence=lease.fence, expires_at__gt=at
    )
    return bool(held.update(expires_at=at + timedelta(seconds=lease.seconds)))


def release(lease: Lease) -> bool:
    """Give `lease` back so that the next one need not wait; False when it was another's by now."""
    held = LoopLease.objects.filter(name=lease.name, holder=lease.holder, fence=lease.fence)
    return bool(held.update(holder="", expires_at=None))


def free(holder: str) -> int:
    """Free every lease of `holder`, a life that is known to have ended; return how many.

    Only for who knows it, such as its successor on the same home: the lock of a home is the
    kernel's, so its last server is dead when the next one holds it. Fences go on counting.
    """
    return LoopLease.objects.filter(holder=holder).update(holder="", expires_at=None)


def check_fence(name: str, fence: int) -> None:
    """Raise Stale with `current` unless `fence` is the last one given for `name`.

    Call it first in the writer's transaction: the row stays locked until the commit, so no
    other can take the lease between this check and the write. Whether the lease has run out
    does not matter as long as nobody took it. Raises Broken outside a transaction.
    """
    if not connection.in_atomic_block:
        raise Broken("A fence is checked in the transaction of the write; open one first.")
    row = LoopLease.objects.select_for_update().filter(name=name).first()
    current = row.fence if row else 0
    if row is None or current != fence:
        raise Stale(
            f"The lease {name} was taken over: fence {fence} is past, {current} holds. "
            "Nothing was written; stop this loop and take the lease again.",
            current=current,
        )


def _check_length(seconds: float) -> None:
    if not 0 < seconds <= LONGEST_S:
        raise Broken(f"A lease lasts more than 0 and at most {LONGEST_S:.0f} s, not {seconds}.")
