"""Four real processes on one store: what one opens all see, trials in all are bounded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from routing.breakers.models import BreakerMove
from routing.core.circuit import CircuitSettings
from tests.integration.breakers.ground import lay, stored
from tests.integration.breakers.wire import Wire

pytestmark = pytest.mark.django_db(transaction=True)
SLOTS = CircuitSettings().trial_slots
SEEN_WITHIN_S = 1.5  # a poll of PostgreSQL, were nothing announced, and a busy machine
LONG_S = 20.0
FOUR = 4
NEWS = threading.Condition()  # a child said something
Away = Callable[[], AbstractContextManager[None]]


@dataclass
class Driver:
    """One child and what it told."""

    name: str
    child: subprocess.Popen[str]
    told: list[dict[str, Any]] = field(default_factory=list)
    ear: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.ear = threading.Thread(target=self.listen, daemon=True)
        self.ear.start()

    def end(self) -> None:
        self.child.kill()
        with self.child:
            self.ear.join()

    def listen(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            with NEWS:
                self.told.append(json.loads(line))
                NEWS.notify_all()

    def order(self, word: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(f"{word}\n")
        self.child.stdin.flush()

    @property
    def last(self) -> dict[str, Any]:
        return next((one for one in reversed(self.told) if "state" in one), {})

    def is_shared_and(self, state: str) -> bool:
        return bool(self.last.get("state") == state and self.last.get("shared") is not False)

    def left_closed(self, since_us: int) -> bool:
        """Tell whether it has told since then that the breaker is not closed, and shared."""
        told = (one for one in self.told if "state" in one and one["at"] > since_us)
        return any(one["state"] != "closed" and one["shared"] is not False for one in told)

    def trials(self, since_us: int) -> list[tuple[int, int]]:
        found = (one["trial"] for one in self.told if "trial" in one)
        return [(began, ended) for began, ended in found if began >= since_us]


def wait(condition: Callable[[], bool], what: str, within_s: float = LONG_S) -> None:
    """Wait until what the children tell fulfils `condition`."""
    with NEWS:
        assert NEWS.wait_for(condition, within_s), f"{what}: not within {within_s} s"


def at_once(drivers: list[Driver], since_us: int) -> int:
    """Return how many trials of all processes were under way at the same time, at most."""
    trials = [trial for driver in drivers for trial in driver.trials(since_us)]
    return max((sum(b <= began < e for b, e in trials) for began, _ in trials), default=0)


def now_us() -> int:
    return time.monotonic_ns() // 1000


@pytest.fixture
def store_of(tmp_path: Path) -> Iterator[tuple[dict[str, str], Away]]:
    """The environment of a child whose store can be taken away, and how."""
    lay()
    if connection.vendor == "postgresql":
        yield from _postgres(tmp_path)
        return
    (tmp_path / "hybridops.sqlite3").symlink_to(connection.settings_dict["NAME"])
    yield {"HYBRIDOPS_HOME": str(tmp_path)}, _locked


def _postgres(home: Path) -> Iterator[tuple[dict[str, str], Away]]:
    url = urlsplit(os.environ["DATABASE_URL"])
    redis = urlsplit(settings.REDIS_URL)
    wires = [
        Wire(url.hostname or "127.0.0.1", url.port or 5432),
        Wire(redis.hostname or "127.0.0.1", redis.port or 6379),
    ]
    at = f"{url.username}@127.0.0.1:{wires[0].port}"
    path = f"/{connection.settings_dict['NAME']}"

    @contextmanager
    def cut() -> Iterator[None]:
        for wire in wires:
            wire.cut()
        try:
            yield
        finally:
            for wire in wires:
                wire.mend()

    yield (
        {
            "HYBRIDOPS_HOME": str(home),
            "DATABASE_URL": url._replace(netloc=at, path=path).geturl(),
            "REDIS_URL": redis._replace(netloc=f"127.0.0.1:{wires[1].port}").geturl(),
        },
        cut,
    )
    for wire in wires:
        wire.end()


@contextmanager
def _locked() -> Iterator[None]:
    """Keep every writer out of the file: whoever has something to tell waits until it gives up."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


@pytest.fixture
def drivers(store_of: tuple[dict[str, str], Away], tmp_path: Path) -> Iterator[list[Driver]]:
    tmp_path.chmod(0o700)
    log = (tmp_path / "log").open("w")
    found = [_start(f"p{number}", store_of[0], log) for number in range(FOUR)]
    try:
        wait(lambda: all(driver.told for driver in found), "every process says something")
        yield found
    finally:
        for driver in found:
            driver.end()
        log.close()


def _start(name: str, environment: dict[str, str], log: Any) -> Driver:
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.breakers.driver", name],
        cwd=settings.BASE_DIR,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    return Driver(name, child)


def all_are(drivers: list[Driver], state: str) -> Callable[[], bool]:
    return lambda: all(driver.is_shared_and(state) for driver in drivers)


def all_alone(drivers: list[Driver]) -> Callable[[], bool]:
    return lambda: all(not driver.last["shared"] for driver in drivers)


def order(drivers: list[Driver], word: str) -> int:
    """Give all the same order; return when."""
    began_us = now_us()
    for driver in drivers:
        driver.order(word)
    return began_us


def test_four_processes_have_one_breaker_between_them(drivers: list[Driver]) -> None:
    drivers[0].order("trip")
    wait(all_are(drivers, "open"), "opened by one, seen by all", SEEN_WITHIN_S)
    began_us = order(drivers, "load")
    wait(all_are(drivers, "closed"), "good trials close it for all")
    assert 1 <= at_once(drivers, began_us) <= SLOTS
    assert sum(len(driver.trials(began_us)) for driver in drivers) >= SLOTS
    assert stored().circuit.generation == 3


def test_each_goes_on_alone_while_the_store_is_away_and_all_agree_afterwards(
    store_of: tuple[dict[str, str], Away], drivers: list[Driver]
) -> None:
    first, *rest = drivers
    order(drivers, "trip")
    wait(all_are(drivers, "open"), "all open")
    order(drivers, "load")
    wait(all_are(drivers, "closed"), "all closed")
    order(drivers, "rest")
    with store_of[1]():
        if connection.vendor == "postgresql":  # SQLite can be read while it cannot be written
            wait(all_alone(drivers), "everybody notices it is alone")
        first.order("trip")
        wait(lambda: first.last["state"] == "open", "without the store it opens by itself")
        assert all(driver.last["state"] == "closed" for driver in rest)
        began_us = order(drivers, "trip")
        wait(all_alone(drivers), "everybody notices it is alone, by now at the latest")
        order(drivers, "load")
        wait(lambda: all(d.last["state"] == "closed" for d in drivers), "each recovers alone")
        order(drivers, "rest")
        # The control: without the store nobody bounds the trials of all together.
        assert at_once(drivers, began_us) > SLOTS
    wait(lambda: all(d.last["shared"] for d in drivers), "all are back")
    wait(lambda: len({d.last["state"] for d in drivers}) == 1, "all agree")
    assert BreakerMove.objects.filter(alone=True).exists()
    # What was on its way to the store when it went away may have arrived: then it is half open.
    order(drivers, "load")
    wait(all_are(drivers, "closed"), "with calls they close what was left half open")
    order(drivers, "rest")
    since_us = now_us()
    first.order("trip")
    # Whoever has not subscribed anew yet sees it by polling, perhaps when its term is over.
    wait(lambda: all(driver.left_closed(since_us) for driver in drivers), "sharing goes on")
    began_us = order(drivers, "load")
    wait(all_are(drivers, "closed"), "they recover together")
    assert at_once(drivers, began_us) <= SLOTS
