"""A real server whose PostgreSQL goes away under load, and comes back.

Requests go in at the machine door at a steady rate all the while. The database is taken away by a
wire that breaks, or that freezes (the harsher one). Then the server is killed and started without
it; then once more with the kept flags of one environment damaged. What was decided is read from
the decision segments, whose arguments tell by which flags.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import psycopg

from tests import needs
from tests.chaos import load
from tests.e2e import serving
from tests.integration.breakers.wire import Wire

STALE = "x-hybridops-stale"
TOLD_WITHIN_S = 2.0  # a change that cannot be made is refused by then
BACK_WITHIN_S = 60.0
# In the order in which the decisions keep them: all but the fallback are as declared.
DECLARED, CHANGED = "1010111", "1110111"
FLAG = "ENABLE_DIRECT_BEDROCK_FALLBACK"
PLACE = "development"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request: when it was sent (monotonic), its status (0: no answer), the age it told."""

    at_s: float
    took_s: float
    status: int
    stale: str | None


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a run saw; `wrong` says in words what was not as promised."""

    how: str
    asked: int = 0
    answered: int = 0
    lost: int = 0
    restarting: int = 0
    stale_after_s: float = 0.0
    oldest_s: int = 0
    refused_ms: list[int] = field(default_factory=list)
    ready_s: list[float] = field(default_factory=list)
    back_s: float = 0.0
    flags: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"outage ({self.how}): {self.asked} asked, {self.answered} answered, {self.lost} "
            f"lost, {self.restarting} while the server was down; marked stale after "
            f"{self.stale_after_s:.1f} s, oldest {self.oldest_s} s; changes refused after "
            f"{', '.join(map(str, self.refused_ms))} ms; started without a database in "
            f"{', '.join(f'{one:.1f}' for one in self.ready_s)} s; back after "
            f"{self.back_s:.1f} s; decided by {dict(self.flags)}"
        )


@contextlib.contextmanager
def database(name: str) -> Iterator[tuple[str, Wire]]:
    """Make a database of our own; yield its address through a wire, and the wire."""
    url = urlsplit(needs.DATABASE_URL)
    admin = url._replace(path="/postgres").geturl()
    with psycopg.connect(admin, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {name}")
    wire = Wire(url.hostname or "127.0.0.1", url.port or 5432)
    user = f"{url.username}:{url.password}@" if url.password else f"{url.username}@"
    try:
        yield (
            url._replace(netloc=f"{user}127.0.0.1:{wire.port}", path=f"/{name}").geturl(),
            wire,
        )
    finally:
        wire.end()
        with psycopg.connect(admin, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def entries(url: str) -> list[tuple[str, str]]:
    """Return action and outcome of what was booked of kill files and starts, oldest first."""
    sql = (
        "SELECT action, outcome FROM routing_entry "
        "WHERE action LIKE 'kill.%%' OR action LIKE 'standby.%%' ORDER BY seq"
    )
    with psycopg.connect(url) as asking:
        return [(str(action), str(outcome)) for action, outcome in asking.execute(sql, ())]


class Run:
    """One run; `place` keeps the server that is up, which changes."""

    def __init__(self, home: Path, url: str, wire: Wire, seed: int) -> None:
        self.home = home
        self.wire = wire
        self.rng = random.Random(seed)
        self.env = {
            "DATABASE_URL": url,
            "DJANGO_SETTINGS_MODULE": "hybridops.settings",
            "HYBRIDOPS_EMBEDDED": "1",
            "HYBRIDOPS_ENVIRONMENTS": f"{PLACE},staging",
        }
        self.server = serving.start(home, **self.env)
        self.secret = ""
        self.seen: list[Seen] = []
        self.down: list[tuple[float, float]] = []
        self.is_over = asyncio.Event()

    def prepare(self) -> tuple[str, str]:
        """Change a flag from its declaration, make a token; return an operator's name and word."""
        manage = self.server.manage
        manage("set_flag", "--environment", PLACE, "--flag", FLAG, "--on")
        # Arrivals at random come in bunches: a limit that is the rate itself would refuse some.
        (token,) = manage(
            *("create_token", "--environment", PLACE, "--role", "viewer", "--name", "load"),
            *("--per-second", "1000", "--at-once", "1000"),
        )
        self.secret = token["secret"]
        (person,) = manage(
            *("create_user", "--username", "olga", "--role", "operator"),
            *("--environment", "all", "--reason", "the outage run"),
        )
        return person["username"], person["password"]

    async def load(self, rate: float) -> None:
        """Ask at `rate` a second until it is over; who falls behind asks at once."""
        tasks: list[asyncio.Task[None]] = []
        due = time.monotonic()
        async with httpx2.AsyncClient(trust_env=False, timeout=10.0) as http:
            while not self.is_over.is_set():
                due += self.rng.expovariate(rate)
                with contextlib.suppress(TimeoutError):
                    left = max(0.0, due - time.monotonic())
                    await asyncio.wait_for(self.is_over.wait(), left)
                tasks.append(asyncio.create_task(self._ask(http)))
            await asyncio.gather(*tasks)

    async def _ask(self, http: httpx2.AsyncClient) -> None:
        at_s = time.monotonic()
        try:
            answer = await http.post(
                f"{self.server.url}/api/v1/route",
                headers={"Authorization": f"Bearer {self.secret}"},
                json={"prompt": "How do we stand?", "operation": "standard"},
            )
            status, stale = answer.status_code, answer.headers.get(STALE)
        except httpx2.HTTPError:
            status, stale = 0, None
        took_s = time.monotonic() - at_s
        self.seen.append(Seen(at_s=at_s, took_s=took_s, status=status, stale=stale))

    async def restart(self) -> float:
        """Kill the server and start another one in its home; return the seconds it took."""
        began = time.monotonic()
        serving.kill(self.server)
        port = {"HYBRIDOPS_PORT": self.server.url.rpartition(":")[2]}
        self.server = await asyncio.to_thread(serving.start, self.home, **self.env, **port)
        ended = time.monotonic()
        self.down.append((began, ended))
        return ended - began

    def is_down(self, at_s: float) -> bool:
        return any(began - 0.5 <= at_s <= ended for began, ended in self.down)

    async def until(self, what: str, holds: Any, within_s: float) -> float:
        """Wait until `holds()`; return how long that took, raise AssertionError otherwise."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < within_s, (
                f"{what}: not within {within_s} s; last seen {self.seen[-3:]}"
            )
            await load.pass_time(0.05)
        return time.monotonic() - began

    def newest(self) -> Seen | None:
        return self.seen[-1] if self.seen else None

    def decided(self) -> Counter[str]:
        """Return by which flags the requests of our token were decided, from the disk."""
        found: Counter[str] = Counter()
        pattern = re.compile(rb'"flags":"([01]{7})"')
        for file in (self.home / "segments").glob("*.seg*"):
            for bits in pattern.findall(file.read_bytes()):
                found[bits.decode()] += 1
        return found


class Person:
    """A signed-in operator in a browser without scripts."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, trust_env=False, timeout=30.0)
        self._headers = {"Origin": url, "Referer": f"{url}/"}

    def sign_in(self, name: str, word: str) -> None:
        token = self._token("/sign-in/")
        said = {"username": name, "password": word, "csrfmiddlewaretoken": token}
        answer = self._http.post("/sign-in/", data=said, headers=self._headers)
        assert answer.status_code == 302, answer.text

    def ready(self) -> None:
        """Keep what a form needs, as a page that was opened before the outage has it."""
        self._form = self._token(f"/e/{PLACE}/flags/{FLAG}/set/?to=off")

    def _token(self, path: str) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self._http.get(path).text)
        assert found, path
        return found[1]

    def toggle(self, to: str = "off") -> tuple[int, int, str]:
        """Return status, ms and words of an answer to a change."""
        said = {"to": to, "base_version": "2", "csrfmiddlewaretoken": self._form, "cause": ""}
        began = time.monotonic()
        answer = self._http.post(f"/e/{PLACE}/flags/{FLAG}/set/", data=said, headers=self._headers)
        return answer.status_code, int((time.monotonic() - began) * 1000), answer.text


async def run(
    home: Path, how: str, *, seconds: float, rate: float, seed: int, restarts: bool = True
) -> Outcome:
    """Take the database away for `seconds` (`cut` or `freeze`) and see what comes of it."""
    outcome = Outcome(how=how)
    with database(f"hybridops_outage_{os.getpid()}") as (url, wire):
        one = await asyncio.to_thread(Run, home, url, wire, seed)
        try:
            name, word = await asyncio.to_thread(one.prepare)
            person = Person(one.server.url)
            await asyncio.to_thread(person.sign_in, name, word)
            await asyncio.to_thread(person.ready)
            loading = asyncio.create_task(one.load(rate))
            await one.until("the first answers", lambda: len(one.seen) >= 20, 30)
            await _outage(one, person, outcome, seconds, restarts)
            one.is_over.set()
            await loading
            outcome.flags = one.decided()
            _judge(one, outcome, restarts)
        finally:
            one.is_over.set()
            wire.mend()
            serving.kill(one.server)
    return outcome


async def _outage(
    one: Run, person: Person, outcome: Outcome, seconds: float, restarts: bool
) -> None:
    began = time.monotonic()
    (one.wire.cut if outcome.how == "cut" else one.wire.freeze)()
    for _ in range(3):
        status, ms, words = await asyncio.to_thread(person.toggle)
        outcome.refused_ms.append(ms)
        if status != 503 or "not certain" not in words:
            outcome.wrong.append(f"a change was answered {status} without a database")
    await one.until("marked stale", lambda: (s := one.newest()) and s.stale, 60)
    outcome.stale_after_s = time.monotonic() - began
    if restarts:
        await _rest(began, seconds / 3)
        outcome.ready_s.append(await one.restart())
        await one.until("answers after the restart", lambda: _is_fresh(one), 60)
        await _rest(began, 2 * seconds / 3)
        if one.decided()[DECLARED]:
            outcome.wrong.append("the whole file did not lead to the last known flags")
        _damage(one.home)
        outcome.ready_s.append(await one.restart())
    await _rest(began, seconds)
    mended = time.monotonic()
    one.wire.mend()
    await one.until(
        "seeing the database again",
        lambda: (s := one.newest()) and s.at_s > mended and s.status == 200 and not s.stale,
        BACK_WITHIN_S,
    )
    outcome.back_s = time.monotonic() - mended
    if restarts:
        await asyncio.to_thread(_check_booked, one, outcome)


def _is_fresh(one: Run) -> bool:
    ended = one.down[-1][1]
    newest = one.newest()
    return newest is not None and newest.at_s > ended and newest.status == 200


async def _rest(began: float, seconds: float) -> None:
    await load.pass_time(began + seconds - time.monotonic())


def _damage(home: Path) -> None:
    file = home / "lastgood" / f"flags-{PLACE}.json"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])


def _check_booked(one: Run, outcome: Outcome) -> None:
    """Ask the audit trail for both starts without the database: one as it should be, one not."""
    sql = "SELECT outcome, body FROM routing_entry WHERE action = 'standby.serve' ORDER BY seq"
    ends = time.monotonic() + 20
    while True:
        with psycopg.connect(one.env["DATABASE_URL"]) as asking:
            rows = [
                (how, json.loads(bytes(body)))
                for how, body in asking.execute(sql)
                if json.loads(bytes(body))["environment"] == PLACE
            ]
        if len(rows) >= 2 or time.monotonic() > ends:
            break
        threading.Event().wait(0.2)
    if [how for how, _ in rows] != ["done", "failed"]:
        outcome.wrong.append(f"booked {[how for how, _ in rows]} for the starts without database")
    elif "checksum is wrong" not in json.dumps(rows[1][1]):
        outcome.wrong.append("the damaged file is not named in the audit trail")
    if "its checksum is wrong" not in one.server.log():
        outcome.wrong.append("the log does not tell of the damaged file")


def _judge(one: Run, outcome: Outcome, restarts: bool) -> None:
    ages = [int(s.stale) for s in one.seen if s.stale and s.stale.isdigit()]
    up = [s for s in one.seen if not one.is_down(s.at_s)]
    outcome.asked = len(one.seen)
    outcome.restarting = len(one.seen) - len(up)
    outcome.answered = sum(s.status == 200 for s in up)
    outcome.lost = len(up) - outcome.answered
    outcome.oldest_s = max(ages, default=0)
    if outcome.lost:
        worst = Counter(s.status for s in up if s.status != 200)
        outcome.wrong.append(f"{outcome.lost} of {len(up)} requests were not answered: {worst}")
    if max(outcome.refused_ms) > TOLD_WITHIN_S * 1000:
        outcome.wrong.append(f"a change was refused only after {max(outcome.refused_ms)} ms")
    allowed = {CHANGED, DECLARED} if restarts else {CHANGED}
    if not set(outcome.flags) <= allowed:
        outcome.wrong.append(f"decided by flags that nobody set: {dict(outcome.flags)}")
    if restarts and not outcome.flags[DECLARED]:
        outcome.wrong.append("the damaged file did not lead to the coded defaults")
