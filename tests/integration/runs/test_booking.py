"""Denials at the door as the trail has them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from routing.access import tokens
from routing.api import booking as bookings
from routing.api.booking import Booking
from routing.audit import queries as trail
from routing.core.errors import Forbidden
from routing.core.rights import Actor
from routing.core.values import Action, Outcome, Role
from tests.integration.runs.served import PRODUCTION, now

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_denial_at_the_door_stands_in_the_trail(by: Actor) -> None:
    made = tokens.issue(
        reason="for a test", by=by, now=now(), environment=PRODUCTION, role=Role.VIEWER, name="x"
    )
    facts = tokens.find(made.secret, now())
    assert facts is not None
    denial = bookings.Denial(
        by=facts.actor(request_id="r1", peer="192.0.2.0/24"),
        now=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
        action=Action.ROUTE_ASK,
        environment=PRODUCTION,
        object_type="operation",
        object_id="emergency",
        refusal=Forbidden("no", operation="emergency"),
        unbooked=3,
    )
    bookings.write(denial)
    entry = trail.page(filters=trail.Filters(), size=1).rows[0]
    assert (str(entry.action), entry.outcome) == ("route.ask", Outcome.REFUSED)
    assert (entry.actor, entry.object_id, entry.request_id) == (denial.by.id, "emergency", "r1")
    assert entry.facts["facts"]["unbooked_before"] == 3  # type: ignore[call-overload,index]


def test_unknown_secrets_are_booked_together(by: Actor) -> None:
    booking = Booking()
    for _ in range(7):
        booking.put(bookings.Unknown(network="198.51.100.0/24", now=now()))
    booking.close()
    rows = trail.page(filters=trail.Filters(action=Action.SIGNIN_FAILURES), size=9).rows
    assert len(rows) == 1  # at the fifth
    assert rows[0].facts["kind"] == "wrong_token"  # type: ignore[call-overload,index]
