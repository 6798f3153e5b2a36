"""The hub of this process: what it hears, renders, checks and beats.

It listens to the announcements of all processes over one subscription, looks at the versions in
memory and polls as well, because announcements get lost; it reads the database in one place,
never per socket.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

from django.db import DatabaseError

from dashboard import fanout, partials
from dashboard.fanout import Fanout, Listener
from dashboard.look import Look, Reader
from routing import stream, wiring
from routing.access import signin
from routing.core import rights
from routing.core.errors import NotSignedIn
from routing.core.rights import Actor, Right
from routing.core.values import EnvironmentName

log = logging.getLogger(__name__)

BEAT_S = 5.0
CHECK_S = 4.0  # a role that was taken closes the socket within 5 s
VERSIONS_S = 0.25
COUNT_S = 20.0  # a process that is silent for 15 s is gone
POLL_S = 5.0  # a safety net: versions are watched, health and decisions are announced

_fanout: Fanout | None = None
_identify: Callable[[str], Awaitable[Actor]] | None = None


def current() -> Fanout | None:
    """Return the open fan-out of this process, None before its start and after its end."""
    return _fanout


async def identify(session: str) -> Actor:
    """Return whose session that is; raises NotSignedIn, or DatabaseError."""
    if _identify is None:
        raise NotSignedIn(signin.SIGN_IN)
    return await _identify(session)


def reader_of(actor: Actor, environment: EnvironmentName) -> Reader:
    """Return what `actor` may read in the live parts of `environment`."""
    audit = rights.can(actor, Right.AUDIT_READ, environment)
    return Reader.AUDIT if audit else Reader.EVERYONE


def loops() -> Sequence[tuple[str, Callable[[], Awaitable[None]]]]:
    """Return the loop that keeps the live parts of this process."""
    return (("live-parts", keep),)


async def keep() -> None:
    """Keep every open page alive, until cancelled; then send the sockets elsewhere."""
    global _fanout, _identify  # noqa: PLW0603 - one a process, for as long as this loop runs
    async with wiring.hand("live-parts") as hand, wiring.hand("live-sessions") as door:

        async def render(
            environment: EnvironmentName, reader: Reader, names: tuple[str, ...]
        ) -> Mapping[str, str]:
            own = tuple(name for name in names if partials.PARTIALS[name].from_memory)
            rest = tuple(name for name in names if name not in own)
            done = await hand.do(_render, environment, reader, own) if own else {}
            more = await hand.try_to(_render, environment, reader, rest) if rest else None
            return {**done, **(more or {})}

        async def ask(session: str) -> Actor:
            return await door.do(_who, session)

        open_one = Fanout(
            boot=secrets.token_hex(4), render=render, clock=time.monotonic, now=wiring.now
        )
        _fanout, _identify = open_one, ask
        try:
            async with asyncio.TaskGroup() as tasks:
                for job in (_produce, _hear, _watch, _poll, _beat, _check):
                    tasks.create_task(job(open_one), name=f"live-parts:{job.__name__}")
        finally:
            _fanout = _identify = None
            open_one.end(fanout.RESTART)


def _render(
    environment: EnvironmentName, reader: Reader, names: tuple[str, ...]
) -> Mapping[str, str]:
    """Render parts from one look; one that cannot be rendered does not stop the others."""
    look, done = Look(environment, wiring.now(), reader), {}
    for name in names:
        try:
            done[name] = partials.render(name, look)
        except DatabaseError:
            raise
        except Exception:
            log.exception("the live part %s of %s cannot be rendered", name, environment)
    return done


def _who(session: str) -> Actor:
    return signin.for_session(session, now=wiring.now())


async def _produce(open_one: Fanout) -> None:
    while True:
        wait_s = await open_one.render_due()
        try:
            async with asyncio.timeout(wait_s):
                await open_one.news.wait()
        except TimeoutError:
            continue
        open_one.news.clear()


async def _hear(open_one: Fanout) -> None:
    async for heard in stream.listen():
        open_one.mark(heard.topic, heard.environment)


async def _watch(open_one: Fanout) -> None:
    """See in memory what other processes changed: the snapshots notice their commits.

    After a change of flags the processes report one by one, so those reports are looked at again
    and again until who has not reported by then counts as gone.
    """
    seen, counting = wiring.moves(), dict[EnvironmentName, float]()
    while True:
        await asyncio.sleep(VERSIONS_S)
        latest = wiring.moves()
        for name in latest:
            topic, _, place = name.partition(":")
            if place and latest[name] != seen.get(name):
                open_one.mark(topic, EnvironmentName(place))
                if topic == "flags":
                    counting[EnvironmentName(place)] = time.monotonic() + COUNT_S
        for environment, ends in tuple(counting.items()):
            open_one.mark("processes", environment)
            if time.monotonic() > ends:
                del counting[environment]
        seen = latest


async def _poll(open_one: Fanout) -> None:
    while True:
        await asyncio.sleep(POLL_S)
        open_one.mark(None, None)


async def _beat(open_one: Fanout) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        open_one.beat()


async def _check(open_one: Fanout) -> None:
    """Close the sockets of sessions that ended and of people who lost their role."""
    while True:
        await asyncio.sleep(CHECK_S)
        for session in {listener.session for listener in open_one.listeners}:
            mine = [one for one in open_one.listeners if one.session == session]
            try:
                actor = await identify(session)
            except NotSignedIn:
                for listener in mine:
                    listener.end(fanout.SIGNED_OUT)
            except DatabaseError:
                log.warning("Sessions cannot be checked: the database is away.")
            else:
                for listener in mine:
                    _settle(open_one, listener, actor)


def _settle(open_one: Fanout, listener: Listener, actor: Actor) -> None:
    if actor.role(listener.environment) is None:
        listener.end(fanout.NO_ROLE)
        return
    reader = reader_of(actor, listener.environment)
    if reader is not listener.reader:
        open_one.change_reader(listener, reader)
