"""Brute force: after a few failures every further try waits longer, and nobody is shut out.

Counted per (account, network) and per network, in a table that all processes share. A try is
charged before the password is looked at, so that a hundred at once are not a hundred free ones;
a success gives the charge back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from routing.access.models import SignInDelay
from routing.core.errors import TooMany


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`free` failures cost nothing; then 5 s, doubled by each further one, up to `longest_s`.

    Failures are forgotten after `forgotten_s` without a new one.
    """

    free: int
    longest_s: int
    forgotten_s: int


FIRST_S = 5
ACCOUNT = Rule(free=5, longest_s=900, forgotten_s=3600)
NETWORK = Rule(free=50, longest_s=300, forgotten_s=900)


def wait_s(rule: Rule, *, failures: int, elapsed_s: float) -> int:
    """Return how many seconds to wait, 0 for none, `elapsed_s` after the last of `failures`.

    Never more than `longest_s`, even if the clock was set back since.
    """
    if failures < rule.free or elapsed_s >= rule.forgotten_s:
        return 0
    delay = min(rule.longest_s, FIRST_S << min(failures - rule.free, 16))
    return max(0, math.ceil(delay - max(0.0, elapsed_s)))


def charge(account: str, network: str, *, now: datetime) -> None:
    """Count one try of `account` (a digest) from `network`; raises TooMany while it must wait.

    A try that must wait is not counted and writes nothing.
    """
    rules = _rules(account, network)
    _judge(SignInDelay.objects.filter(key__in=rules), rules, now)
    with transaction.atomic():
        fresh = [SignInDelay(key=key, failures=0, last_at=now) for key in sorted(rules)]
        SignInDelay.objects.bulk_create(fresh, ignore_conflicts=True)
        rows = list(SignInDelay.objects.select_for_update().filter(key__in=rules).order_by("key"))
        _judge(rows, rules, now)
        for row in rows:
            forgotten = _elapsed_s(row, now) >= rules[row.key].forgotten_s
            row.failures = 1 if forgotten else row.failures + 1
            row.last_at = now
            row.save(update_fields=["failures", "last_at"])


def clear(account: str, network: str) -> None:
    """Forget the failures of `account` from `network`: it signed in; the network keeps its own."""
    SignInDelay.objects.filter(key=_account_key(account, network)).delete()
    SignInDelay.objects.filter(key=_network_key(network), failures__gt=0).update(
        failures=F("failures") - 1
    )


def prune(*, now: datetime) -> None:
    """Delete what is forgotten anyway."""
    longest = max(ACCOUNT.forgotten_s, NETWORK.forgotten_s)
    old = SignInDelay.objects.filter(last_at__lt=now - timedelta(seconds=longest))
    if old.exists():
        old.delete()


def _account_key(account: str, network: str) -> str:
    return f"account {account} {network}"


def _network_key(network: str) -> str:
    return f"network {network}"


def _rules(account: str, network: str) -> dict[str, Rule]:
    return {_account_key(account, network): ACCOUNT, _network_key(network): NETWORK}


def _elapsed_s(row: SignInDelay, now: datetime) -> float:
    return (now - row.last_at).total_seconds()


def _judge(rows: Iterable[SignInDelay], rules: dict[str, Rule], now: datetime) -> None:
    waits = [
        wait_s(rules[row.key], failures=row.failures, elapsed_s=_elapsed_s(row, now))
        for row in rows
    ]
    longest = max(waits, default=0)
    if longest:
        raise TooMany(
            f"Too many failed sign-ins from your network. Try again in {longest} s.",
            retry_after_s=longest,
        )
