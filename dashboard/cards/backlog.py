"""What is open about the decisions of this server: its disk, and the database behind it."""

from __future__ import annotations

from datetime import datetime, timedelta

from dashboard.cards.overview import OpenItem
from routing.core import situation_facts
from routing.decisions.queries import Backlog

WAITS = timedelta(seconds=10)


def decision_items(backlog: Backlog, now: datetime) -> tuple[OpenItem, ...]:
    """Return what keeps decisions from being booked or from being seen, worst first."""
    found = [OpenItem(text=backlog.problem, route="")] if backlog.problem else []
    if backlog.lost:
        text = (
            f"{backlog.lost} emergencies were answered without a record; a gap entry will say so."
        )
        found.append(OpenItem(text=text, route=""))
    if backlog.waiting and now - backlog.since > WAITS:
        text = (
            f"{backlog.waiting} decisions wait for the database since "
            f"{situation_facts.clock(backlog.since, now)}: they are safe on disk, and the figures "
            "here end there."
        )
        found.append(OpenItem(text=text, route=""))
    if backlog.others:
        text = (
            f"The decisions of {backlog.others} ended server processes are still being copied to "
            "the database."
        )
        found.append(OpenItem(text=text, route=""))
    found += [OpenItem(text=problem, route="") for problem in backlog.broken.values()]
    return tuple(found)
