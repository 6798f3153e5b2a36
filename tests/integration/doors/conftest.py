"""The doors on a real socket over a scripted router, their tokens in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path as Folder

import pytest

from routing.access import keys
from routing.access.tokens import TokenFacts
from routing.api import door
from routing.api.booking import Booking, Denial, Fact
from routing.core.values import Operation
from tests.integration.runs.served import Served, now, serve, sources
from tests.unit import stage as stages
from tests.unit.api import calls
from tests.unit.stage import Stage

SERVER_KEY = b"k" * 32
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Tokens:
    """Tokens in force by secret; each has an access key of the same name."""

    by_secret: dict[str, TokenFacts] = field(default_factory=dict)
    booked: list[Fact] = field(default_factory=list)
    late: timedelta = timedelta(0)  # how far the server's clock is ahead

    def make(self, name: str, *, emergency: bool = False) -> TokenFacts:
        made = calls.token(
            name,
            emergency=emergency,
            operations=frozenset(Operation) - {Operation.EMERGENCY},
            expires_at=now() + HOUR,
            access_key_id=f"HYO{name.upper()}",
            generation=1,
        )
        self.by_secret[name] = made
        return made

    def find(self, secret: str, at: datetime) -> TokenFacts | None:
        return self.by_secret.get(secret)

    def find_key(self, id: str, at: datetime) -> tuple[TokenFacts, str] | None:
        found = next((t for t in self.by_secret.values() if t.access_key_id == id), None)
        return (found, self.secret(found)) if found else None

    def secret(self, token: TokenFacts) -> str:
        return keys.secret(SERVER_KEY, token_id=token.id, generation=token.generation)

    def clock(self) -> datetime:
        return now() + self.late

    def denials(self) -> list[Denial]:
        return [fact for fact in self.booked if isinstance(fact, Denial)]


@pytest.fixture
def issued() -> Tokens:
    made = Tokens()
    made.make("plain")
    made.make("urgent", emergency=True)
    return made


@pytest.fixture
def stage(tmp_path: Folder) -> Iterator[Stage]:
    with stages.raised(tmp_path) as made:
        yield made


@pytest.fixture
def served(stage: Stage, issued: Tokens) -> Iterator[Served]:
    booking = Booking(write=issued.booked.append)
    app = door.build(
        router=lambda: stage.router,
        find=issued.find,
        find_key=issued.find_key,
        clock=issued.clock,
        hosts=["127.0.0.1"],
        sources=lambda: sources(stage),
        booking=booking,
        models=("hybridops", "house-model"),
    )
    yield from serve(app)
    booking.close()
