"""How soon four servers follow a change of flags: `python -m bench.propagation`.

Four real server processes on one PostgreSQL database, each with a home of its own, and a Redis
server of the bench's own, which is killed for the second half. Each toggle is one change set of
two flags, made here as a command makes it; each server is asked over HTTP again and again which
version it runs and by which flags. A time is from just before the commit of a change until an
answer showed it, so it holds the commit and one request. Both flags are always switched together:
a reading in which they differ would be mixed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import psycopg

from bench.ground import free_port, machine

SERVERS = 4
PLACE = "development"
FLAGS = ("ai.caching.enabled", "ENABLE_DIRECT_BEDROCK_FALLBACK")
LOOK_S = 0.02
LAST_S = 10.0  # what was not seen by then was never seen


@dataclass(slots=True, kw_only=True)
class Watched:
    """One server: when each version was first seen (monotonic), and what the readings said."""

    url: str
    first_s: dict[int, float] = field(default_factory=dict)
    newest: int = 0
    reads: int = 0
    mixed: int = 0
    failed: int = 0

    def see(self, version: int, pair: tuple[bool, bool], at_s: float) -> None:
        self.reads += 1
        self.mixed += pair[0] != pair[1]
        for missed in range(self.newest + 1, version + 1):
            self.first_s[missed] = at_s
        self.newest = max(self.newest, version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One half of the run; `took_s` has a time for each toggle and server."""

    name: str
    toggles: int
    took_s: tuple[float, ...]
    missing: int
    reads: int
    mixed: int
    failed: int

    def line(self) -> str:
        return (
            f"{self.name:<12} {self.toggles:>5} toggles  p50 {_rank(self.took_s, 50):7.1f} ms  "
            f"p99 {_rank(self.took_s, 99):7.1f} ms  max {_rank(self.took_s, 100):7.1f} ms  "
            f"never seen {self.missing}  {self.reads} reads, {self.mixed} mixed, "
            f"{self.failed} failed"
        )


def _rank(values: Sequence[float], percent: float) -> float:
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[max(0, -(-len(ordered) * int(percent) // 100) - 1)] * 1000


@contextmanager
def own_redis() -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Start a Redis server that keeps nothing; end it if it still runs."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="hybridops-redis-") as folder:
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(
            [
                *("redis-server", "--port", str(port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", folder),
            ],
            stdin=quiet,
            stdout=quiet,
        )
        try:
            yield f"redis://127.0.0.1:{port}/0", process
        finally:
            process.kill()
            process.wait()


@contextmanager
def own_database(server: str) -> Iterator[str]:
    """Make a database on `server` and drop it afterwards; yield its address."""
    name = f"hybridops_propagation_{os.getpid()}"
    admin = urlsplit(server)._replace(path="/postgres").geturl()
    with psycopg.connect(admin, autocommit=True) as asking:
        asking.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        with psycopg.connect(admin, autocommit=True) as asking:
            asking.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


async def _watch(one: Watched, secret: str, over: asyncio.Event) -> None:
    headers = {"Authorization": f"Bearer {secret}"}
    asked = {"prompt": "How do we stand?", "operation": "standard"}
    async with httpx2.AsyncClient(base_url=one.url, trust_env=False, timeout=10.0) as http:
        while not over.is_set():
            try:
                answer = await http.post("/api/v1/explain", headers=headers, json=asked)
                state = answer.json()["state"]
                flags = state["flags"]
                one.see(
                    state["flags_version"],
                    (flags[FLAGS[0]], flags[FLAGS[1]]),
                    time.monotonic(),
                )
            except (httpx2.HTTPError, KeyError, ValueError):
                one.failed += 1
            await asyncio.sleep(LOOK_S)


def _toggle(on: bool) -> tuple[int, float]:
    """Switch both flags in one change set; return its version and when it was about to commit."""
    from routing import wiring
    from routing.changes import change
    from routing.changes.change import Applied
    from routing.core.flags import FlagName, SetFlag
    from routing.core.rights import shell_actor
    from routing.core.values import EnvironmentName
    from routing.flags import queries

    place, begun = EnvironmentName(PLACE), [0.0]
    rows = {row.name: row.cells[place] for row in queries.grid([place]).rows}

    def then(_: Applied) -> None:
        begun[0] = time.monotonic()

    done = change.apply(
        by=shell_actor(user="bench", host="here"),
        now=wiring.now(),
        environment=place,
        sets=[
            SetFlag(flag=FlagName(f), on=on, base_version=rows[FlagName(f)].state.version)
            for f in FLAGS
        ],
        reason="measuring how soon it is seen",
        health=wiring.path_health(place),
        confirmed=True,
        then=then,
    )
    return done.version, begun[0]


async def _phase(
    name: str, toggles: int, pause: tuple[float, float], seed: int, watched: Sequence[Watched]
) -> Phase:
    rng = random.Random(seed)
    before = [(one.reads, one.mixed, one.failed) for one in watched]
    made: dict[int, float] = {}
    on = True
    for _ in range(toggles):
        on = not on
        version, at_s = await asyncio.to_thread(_toggle, on)
        made[version] = at_s
        await asyncio.sleep(rng.uniform(*pause))
    last, ends = max(made), time.monotonic() + LAST_S
    while time.monotonic() < ends:
        if all(one.newest >= last for one in watched):
            break
        await asyncio.sleep(LOOK_S)
    if not on:  # leave them on, as the next half expects them
        await asyncio.to_thread(_toggle, True)
        await asyncio.sleep(LAST_S / 4)
    took = [
        one.first_s[version] - at_s
        for one in watched
        for version, at_s in made.items()
        if version in one.first_s
    ]
    after = [(one.reads, one.mixed, one.failed) for one in watched]
    reads, mixed, failed = (
        sum(new[i] - old[i] for new, old in zip(after, before, strict=True)) for i in range(3)
    )
    return Phase(
        name=name,
        toggles=len(made),
        took_s=tuple(took),
        missing=len(made) * len(watched) - len(took),
        reads=reads,
        mixed=mixed,
        failed=failed,
    )


async def measure(
    urls: Sequence[str],
    secret: str,
    redis: subprocess.Popen[bytes],
    said: argparse.Namespace,
) -> list[Phase]:
    """Toggle with Redis, kill it, toggle without."""
    over = asyncio.Event()
    watched = [Watched(url=url) for url in urls]
    watching = [asyncio.create_task(_watch(one, secret, over)) for one in watched]
    pause = (said.least, said.most)
    try:
        await asyncio.to_thread(_toggle, False)
        await asyncio.to_thread(_toggle, True)
        await asyncio.sleep(2)
        found = [await _phase("Redis up", said.toggles, pause, said.seed, watched)]
        print(found[-1].line(), flush=True)
        redis.kill()
        redis.wait()
        await asyncio.sleep(3)
        found.append(await _phase("Redis killed", said.toggles, pause, said.seed + 1, watched))
        print(found[-1].line(), flush=True)
    finally:
        over.set()
        await asyncio.gather(*watching)
    return found


def _serve(home: Path, key: str, database: str, redis: str) -> tuple[subprocess.Popen[bytes], str]:
    port = free_port()
    env = {name: text for name, text in os.environ.items() if not name.startswith("HYBRIDOPS_")}
    env |= {
        "DJANGO_SETTINGS_MODULE": "hybridops.settings",
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "HYBRIDOPS_HOME": str(home),
        "HYBRIDOPS_PORT": str(port),
        "HYBRIDOPS_ENVIRONMENTS": PLACE,
        "HYBRIDOPS_SECRET_KEY": key,
    }
    home.mkdir(mode=0o700)
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"], env=env, stdout=log, stderr=log
        )
    return process, f"http://127.0.0.1:{port}"


def _wait_ready(home: Path, process: subprocess.Popen[bytes]) -> None:
    note, ends = home / "run" / "server.json", time.monotonic() + 300
    while not (note.exists() and b'"ready": true' in note.read_bytes()):
        if process.poll() is not None or time.monotonic() > ends:
            raise RuntimeError((home / "serve.log").read_text()[-2000:])
        time.sleep(0.05)


def main() -> int:
    """Run it and return the exit status: 0 where nothing was mixed and nothing missing."""
    parser = argparse.ArgumentParser(prog="python -m bench.propagation", description=__doc__)
    parser.add_argument("--toggles", type=int, default=1000, help="in each half; 1000")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--least", type=float, default=0.05, help="seconds between two; 0.05")
    parser.add_argument("--most", type=float, default=0.25, help="seconds between two; 0.25")
    parser.add_argument("--database", default="postgresql://postgres@127.0.0.1:5432/postgres")
    parser.add_argument("--out", type=Path, help="keep the figures in this file")
    said = parser.parse_args()
    key = secrets.token_urlsafe(64)
    folder = Path(tempfile.mkdtemp(prefix="hybridops-propagation-"))
    began = machine()
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, True)
        database = stack.enter_context(own_database(said.database))
        redis, process = stack.enter_context(own_redis())
        homes = [folder / f"home-{number}" for number in range(SERVERS)]
        started = []
        for home in homes:  # one after the other: the first makes the tables
            started.append(_serve(home, key, database, redis))
            stack.callback(_end, started[-1][0])
            _wait_ready(home, started[-1][0])
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "hybridops.settings",
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "HYBRIDOPS_HOME": str(folder / "own"),
            "HYBRIDOPS_SECRET_KEY": key,
        }
        secret = _token()
        found = asyncio.run(measure([url for _, url in started], secret, process, said))
    lines = [f"{SERVERS} servers on PostgreSQL, seed {said.seed}; {began}; after: {machine()}"]
    lines += [phase.line() for phase in found]
    if said.out:
        said.out.write_text("".join(f"{line}\n" for line in lines))
    print("\n".join(lines))
    return 1 if any(phase.mixed or phase.missing for phase in found) else 0


def _token() -> str:
    import django

    django.setup()
    from routing import wiring
    from routing.access import tokens
    from routing.core.allowance import Limits
    from routing.core.rights import shell_actor
    from routing.core.values import EnvironmentName, Role

    made = tokens.issue(
        reason="measuring propagation",
        by=shell_actor(user="bench", host="here"),
        now=wiring.now(),
        environment=EnvironmentName(PLACE),
        role=Role.VIEWER,
        name="propagation",
        limits=Limits(per_second=1000),
    )
    return made.secret


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
