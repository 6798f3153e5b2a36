"""A server that says nothing is given up on, by who cannot wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from hybridops.postgres import Connection
from routing import patience
from tests import needs
from tests.integration.breakers.wire import Wire

pytestmark = pytest.mark.only_on("postgresql")


@pytest.fixture
def wire() -> Iterator[Wire]:
    url = urlsplit(needs.DATABASE_URL)
    one = Wire(url.hostname or "127.0.0.1", url.port or 5432)
    yield one
    one.mend()
    one.end()


def connect(wire: Wire) -> psycopg.Connection[object]:
    url = urlsplit(needs.DATABASE_URL)
    user = f"{url.username}:{url.password}@" if url.password else f"{url.username}@"
    at = url._replace(netloc=f"{user}127.0.0.1:{wire.port}", path="/postgres").geturl()
    return Connection.connect(at, autocommit=True)


def test_who_has_patience_for_so_long_waits_no_longer(wire: Wire) -> None:
    with connect(wire) as one:
        assert one.execute("SELECT 1").fetchone() == (1,)
        wire.freeze()
        began = time.monotonic()
        patient = patience.within(0.3)
        with patient, pytest.raises(psycopg.OperationalError, match=r"not answer within 0\.3 s"):
            one.execute("SELECT 2")
        assert time.monotonic() - began >= 0.3
        assert one.closed


def test_who_says_nothing_waits_until_it_answers(wire: Wire) -> None:
    with connect(wire) as one:
        wire.freeze()
        mending, began = threading.Timer(0.6, wire.mend), time.monotonic()
        mending.start()
        assert one.execute("SELECT 2").fetchone() == (2,)
        assert time.monotonic() - began >= 0.5
        mending.join()
