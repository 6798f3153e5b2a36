"""Operators at once on one flag, over the real server: one success for each version, no more.

`python -m tests.chaos.races --seed N --races 1000` starts a server of its own, on SQLite or on
what DATABASE_URL names, lets 2 to 8 operators press the same lever in every race, and asks the
server afterwards what it kept. One line for each thing that is wrong; the exit status is honest.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import re
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from tests.e2e import serving
from tests.e2e.serving import Server

FLAG = "ai.caching.enabled"
FEWEST, MOST = 2, 8
WAIT_S = 60.0
IDLE_S = 2.0
_VERSION = re.compile(r"version (\d+)")
_ENTRY = re.compile(r"Audit entry #(\d+)")
_LINK = re.compile(r'href="/e/development/audit/(\d+)/"')
_OLDER = re.compile(r'href="\?([^"]*before=\d+[^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one operator got: the status, the version and entry told, and what was asked."""

    status: int
    version: int
    entry: int
    to: str


@dataclass(slots=True, kw_only=True)
class Tally:
    """What all races together met; `wrong` says in words what must not be."""

    races: int = 0
    asked: int = 0
    entries: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    last: str = ""
    version: int = 0
    took_s: float = 0.0

    def line(self) -> str:
        return (
            f"{self.races} races, {self.asked} operators: {len(self.entries)} successes, "
            f"{self.asked - len(self.entries)} times 409; version {self.version}, "
            f"last {self.last}; {self.took_s:.1f} s; {len(self.wrong)} wrong"
        )


class Operator:
    """One signed-in session with a connection of its own."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self._host = urlsplit(url).netloc
        self._origin = url
        self._cookies: dict[str, str] = {}
        self._used = 0.0
        self._connection = http.client.HTTPConnection(self._host, timeout=WAIT_S)
        self.get("/sign-in/")
        said = {"username": username, "password": password}
        status, text, _ = self.post("/sign-in/", said)
        assert status == 302, text

    def get(self, path: str) -> tuple[int, str]:
        status, text, _ = self._ask("GET", path, None)
        return status, text

    def post(self, path: str, said: dict[str, str]) -> tuple[int, str, str]:
        token = next(value for name, value in self._cookies.items() if name.endswith("csrf"))
        return self._ask("POST", path, urlencode({**said, "csrfmiddlewaretoken": token}))

    def press(self, version: int, to: str) -> Answer:
        """Switch the flag as somebody does who looked at `version`."""
        said = {"to": to, "base_version": str(version), "reason": "a race"}
        path = f"/e/development/flags/{FLAG}/set/"
        status, text, target = self.post(path, said)
        if status == 302:
            _, text = self.get(target)
        entry, told = _ENTRY.search(text), _VERSION.search(text)
        return Answer(
            status=status,
            version=int(told[1]) if told else 0,
            entry=int(entry[1]) if entry else 0,
            to=to,
        )

    def close(self) -> None:
        self._connection.close()

    def _ask(self, method: str, path: str, body: str | None) -> tuple[int, str, str]:
        headers = {
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
            "Origin": self._origin,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        if time.monotonic() - self._used > IDLE_S:
            self._connection.close()  # the server may have; it opens again by itself
        self._used = time.monotonic()
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = cookie.split(";")[0].partition("=")
            self._cookies[name] = value
        return answer.status, text, answer.headers.get("Location", "")


def run(
    operators: Sequence[Operator],
    server: Server,
    rng: random.Random,
    races: int,
    within_s: float = 3600.0,
) -> Tally:
    """Run `races` one after the other, as many as fit, and return what they met."""
    tally, begun = Tally(), time.monotonic()
    (now,) = [
        f for f in server.manage("flags", "--environment", "development") if f["flag"] == FLAG
    ]
    version, on = now["version"], now["on"]
    first = version
    with ThreadPoolExecutor(MOST) as pool:
        for _ in range(races):
            if time.monotonic() - begun > within_s:
                break
            racing = rng.sample(list(operators), rng.randint(FEWEST, min(MOST, len(operators))))
            answers = _race(pool, racing, rng, version, "off" if on else "on")
            tally.races += 1
            tally.asked += len(answers)
            won = [one for one in answers if one.status == 302]
            tally.wrong += _wrong(version, answers, won)
            for one in won:
                tally.entries.append(one.entry)
                version, on, tally.last = version + 1, one.to == "on", one.to
    tally.version, tally.took_s = version, time.monotonic() - begun
    if version != first + len(tally.entries):
        tally.wrong.append(f"version {version} after {len(tally.entries)} successes")
    return tally


def _race(
    pool: ThreadPoolExecutor, racing: list[Operator], rng: random.Random, version: int, to: str
) -> list[Answer]:
    """Let all press at once, in an order of their own."""
    start = threading.Barrier(len(racing))

    def one(operator: Operator) -> Answer:
        start.wait(WAIT_S)
        return operator.press(version, to)

    rng.shuffle(racing)
    return list(pool.map(one, racing))


def _wrong(version: int, answers: Sequence[Answer], won: Sequence[Answer]) -> list[str]:
    found = []
    if len(won) != 1:
        found.append(f"{len(won)} successes from version {version}")
    for one in answers:
        if one.status not in (302, 409):
            found.append(f"an answer {one.status} from version {version}")
        elif one.status == 409 and one.version != version + 1:
            found.append(f"a 409 that shows version {one.version} instead of {version + 1}")
    return found


def check(tally: Tally, reader: Operator, server: Server) -> list[str]:
    """Return what is wrong with what the server kept: the flag, and one entry for each success."""
    found = list(tally.wrong)
    (now,) = [
        f for f in server.manage("flags", "--environment", "development") if f["flag"] == FLAG
    ]
    state = "on" if now["on"] else "off"
    if (now["version"], state) != (tally.version, tally.last):
        found.append(
            f"{state} at {now['version']}; acknowledged was {tally.last} at {tally.version}"
        )
    booked = _booked(reader)
    if len(set(tally.entries)) != len(tally.entries):
        found.append("two successes were told the same entry")
    if not set(tally.entries) <= booked:
        found.append(f"entries are missing: {sorted(set(tally.entries) - booked)[:5]}")
    between = {seq for seq in booked if min(tally.entries) <= seq <= max(tally.entries)}
    if between != set(tally.entries):
        found.append(f"entries without a success: {sorted(between - set(tally.entries))[:5]}")
    (told,) = server.manage("verify_audit")
    if not told["ok"]:
        found.append(f"the trail does not verify: {told}")
    return found


def _booked(reader: Operator) -> set[int]:
    """Return the entries of every change of the flag that was done, page by page."""
    found: set[int] = set()
    ask = urlencode({"action": "flag.change", "object": FLAG, "outcome": "done"})
    while ask:
        status, text = reader.get(f"/e/development/audit/?{ask}")
        assert status == 200, text
        found |= {int(seq) for seq in _LINK.findall(text)}
        older = _OLDER.search(text)
        ask = older[1].replace("&amp;", "&") if older else ""
    return found


def main(arguments: Sequence[str]) -> int:
    """Run as a command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--races", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60.0, help="no race begins later")
    said = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="hybridops-races-") as home:
        server = serving.start(Path(home))
        try:
            operators = [_sign_up(server, number) for number in range(MOST)]
            tally = run(operators, server, random.Random(said.seed), said.races, said.minutes * 60)
            found = check(tally, operators[0], server)
            for operator in operators:
                operator.close()
        finally:
            serving.stop(server)
    where = "PostgreSQL" if "postgresql" in os.environ.get("DATABASE_URL", "") else "SQLite"
    sys.stdout.write(f"{where}, seed {said.seed}: {tally.line()}\n")
    sys.stdout.writelines(f"wrong: {one}\n" for one in found)
    return 1 if found else 0


def _sign_up(server: Server, number: int) -> Operator:
    name = f"racer-{number}-{secrets.token_hex(3)}"
    (made,) = server.manage(
        "create_user", "--username", name, "--role", "operator", "--environment", "all",
        "--reason", "races",
    )  # fmt: skip
    return Operator(server.url, made["username"], made["password"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
