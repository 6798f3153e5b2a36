"""Fan-out: each live part is rendered once, and the same bytes go to all sockets that show it.

A frame is JSON: `boot` (of this hub), `topic`, `seq` (grows by one per topic), `at` (our clock)
and `html`, the whole part, or `lines`: those that differ from the frame before, each with its
number in the whole. The first frame of a socket is whole. The topic `heartbeat` carries every
topic's newest number in `seqs`, so that even a last frame that was lost is missed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from dashboard.look import Reader
from dashboard.partials import PARTIALS, reader_of, without_ages
from routing.core.errors import TooMany
from routing.core.values import EnvironmentName

HEARTBEAT = "heartbeat"
LEAST_S = 0.25  # between two renderings of one part
QUEUE = 64  # frames that wait for a socket before it counts as slow
PER_PERSON = 5
SIGNED_OUT, NO_ROLE, UNWELCOME, RESTART, SLOW = 4401, 4403, 1008, 1012, 1013

Render = Callable[[EnvironmentName, Reader, tuple[str, ...]], Awaitable[Mapping[str, str]]]


@dataclass(frozen=True, slots=True)
class Part:
    """One rendering: a live part of an environment, for a reader."""

    environment: EnvironmentName
    name: str
    reader: Reader


class Listener:
    """One socket: whose it is, what it shows, and the frames that wait for it."""

    def __init__(
        self,
        *,
        environment: EnvironmentName,
        reader: Reader,
        topics: frozenset[str],
        person: str,
        session: str,
    ) -> None:
        self.environment = environment
        self.reader = reader
        self.topics = topics
        self.person = person
        self.session = session
        self.code: int | None = None
        self._frames: asyncio.Queue[str | None] = asyncio.Queue()

    def push(self, frame: str) -> None:
        """Let a frame wait; a socket that does not keep up is ended."""
        if self.code is not None:
            return
        if self._frames.qsize() >= QUEUE:
            self.end(SLOW)
            return
        self._frames.put_nowait(frame)

    def end(self, code: int) -> None:
        """End the socket with `code`; the first word counts. What waits is not sent any more."""
        if self.code is not None:
            return
        self.code = code
        while not self._frames.empty():
            self._frames.get_nowait()
        self._frames.put_nowait(None)

    async def next(self) -> str | None:
        """Return the next frame, None once the socket is to be closed with `code`."""
        return await self._frames.get()

    def shows(self, part: Part) -> bool:
        """Tell whether the socket wants `part` as rendered for its reader."""
        return (
            part.environment is self.environment
            and part.name in self.topics
            and part.reader is reader_of(part.name, self.reader)
        )


@dataclass(slots=True)
class _Kept:
    """The last rendering of a part; `frame` is None while nobody was shown any.

    One that is not `wanted` any more keeps its number, so that a socket that comes back does not
    take an old one for a new one, and its time, so that coming and going makes no work.
    """

    seq: int = 0
    html: str = ""
    facts: str = ""
    frame: str | None = None
    rendered_at: float = field(default=float("-inf"))
    dirty: bool = True
    wanted: bool = True


class Fanout:
    """Knows the sockets of this process; everything but `render` happens on one event loop.

    `clock` is monotonic, in seconds; `now` is the wall clock that frames carry.
    """

    def __init__(
        self,
        *,
        boot: str,
        render: Render,
        clock: Callable[[], float],
        now: Callable[[], datetime],
    ) -> None:
        self.boot = boot
        self.news = asyncio.Event()
        self._render = render
        self._clock = clock
        self._now = now
        self._listeners: set[Listener] = set()
        self._kept: dict[Part, _Kept] = {}
        self._beats = 0

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """Return the sockets that are open."""
        return tuple(self._listeners)

    def join(self, listener: Listener) -> None:
        """Take a socket in and give it all that is known; raises TooMany for a person's sixth."""
        held = sum(1 for one in self._listeners if one.person == listener.person)
        if held >= PER_PERSON:
            raise TooMany(
                f"{PER_PERSON} pages of yours are live already; close one.", retry_after_s=30
            )
        self._show_all(listener)
        self._listeners.add(listener)
        listener.push(self._beat(listener.environment, listener.reader))

    def leave(self, listener: Listener) -> None:
        """Let a socket go; what nobody shows any more is forgotten."""
        self._listeners.discard(listener)
        self._forget()

    def change_reader(self, listener: Listener, reader: Reader) -> None:
        """Show a socket what its person may read now."""
        listener.reader = reader
        self._show_all(listener)
        self._forget()

    def mark(self, topic: str | None, environment: EnvironmentName | None) -> None:
        """Note that `topic` has news (None: anything may) in `environment` (None: anywhere)."""
        for part, kept in self._kept.items():
            heard = topic is None or topic in PARTIALS[part.name].hears
            if kept.wanted and heard and environment in (None, part.environment):
                kept.dirty = True
                self.news.set()

    async def render_due(self) -> float | None:
        """Render what has news and is due; return the seconds until more is, None for nothing."""
        now = self._clock()
        due: dict[tuple[EnvironmentName, Reader], list[Part]] = {}
        for part, kept in self._kept.items():
            if kept.dirty and kept.rendered_at + LEAST_S <= now:
                due.setdefault((part.environment, part.reader), []).append(part)
        for (environment, reader), parts in due.items():
            await self._render_all(environment, reader, parts)
        waits = [k.rendered_at + LEAST_S for k in self._kept.values() if k.dirty]
        return max(0.0, min(waits) - self._clock()) if waits else None

    def beat(self) -> None:
        """Send a heartbeat to every socket."""
        self._beats += 1
        frames: dict[tuple[EnvironmentName, Reader], str] = {}
        for listener in self.listeners:
            key = (listener.environment, listener.reader)
            if key not in frames:
                frames[key] = self._beat(*key)
            listener.push(frames[key])

    def end(self, code: int) -> None:
        """End every socket."""
        for listener in self.listeners:
            listener.end(code)

    def _show_all(self, listener: Listener) -> None:
        for name in sorted(listener.topics):
            part = Part(listener.environment, name, reader_of(name, listener.reader))
            kept = self._kept.setdefault(part, _Kept())
            kept.wanted = True
            if kept.frame is not None:
                listener.push(kept.frame)
            else:
                kept.dirty = True
                self.news.set()

    def _forget(self) -> None:
        for part, kept in self._kept.items():
            if not any(one.shows(part) for one in self._listeners):
                kept.frame, kept.dirty, kept.wanted = None, False, False

    async def _render_all(
        self, environment: EnvironmentName, reader: Reader, parts: Iterable[Part]
    ) -> None:
        wanted = {part.name: part for part in parts}
        for part in wanted.values():
            kept = self._kept[part]
            # Before the rendering: news that comes while it runs is not in it.
            kept.dirty, kept.rendered_at = False, self._clock()
        rendered = await self._render(environment, reader, tuple(wanted))
        for name, html in rendered.items():
            self._publish(wanted[name], html)

    def _publish(self, part: Part, html: str) -> None:
        kept, facts = self._kept[part], without_ages(html)
        if not kept.wanted or (kept.frame is not None and kept.facts == facts):
            return
        lines = None if kept.frame is None else _changed(kept.html, html)
        kept.seq += 1
        kept.html, kept.facts = html, facts
        whole = kept.frame = self._frame(part.name, kept.seq, html=html)
        frame = whole if lines is None else self._frame(part.name, kept.seq, lines=lines)
        for listener in self._listeners:
            if listener.shows(part):
                listener.push(frame)

    def _beat(self, environment: EnvironmentName, reader: Reader) -> str:
        seqs = {
            part.name: kept.seq
            for part, kept in self._kept.items()
            if part.environment is environment
            and part.reader is reader_of(part.name, reader)
            and kept.frame is not None
        }
        return self._frame(HEARTBEAT, self._beats, seqs=seqs)

    def _frame(self, topic: str, seq: int, **more: object) -> str:
        said = {"boot": self.boot, "topic": topic, "seq": seq, "at": self._now().isoformat()}
        return json.dumps(said | more, ensure_ascii=False, separators=(",", ":"))


def _changed(old: str, new: str) -> list[tuple[int, str]] | None:
    """Return the lines of `new` that differ, by number; None where the whole is hardly longer."""
    before, after = old.split("\n"), new.split("\n")
    if len(before) != len(after):
        return None
    numbered = enumerate(zip(before, after, strict=True))
    lines = [(number, line) for number, (was, line) in numbered if line != was]
    return lines if sum(len(line) for _, line in lines) < len(new) // 2 else None
