"""MCPRouter: one kept MCP client per environment, owned by one task, and typed failures.

The client must be entered and left by the same task (the SDK's cancel scopes demand it), so a
task of its own holds it (`mcp_client.Held`) and everybody else only calls it. It is made when the
first one needs it, and anew when its session or its address is gone; calls under way on the old
one end there. A bounded number of calls is under way, the others wait in line by priority.

The server's tools are listed on every connection and at every probe. The configured one is called
only while it is what was pinned (`core.pinning`).
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from routing.core import pinning
from routing.core.pinning import Listing, Pin, Tool
from routing.core.values import Failure, Path
from routing.paths import address, base, mcp_client, mcp_transport, mcp_words
from routing.paths.base import Answer, Call, PathError, Probe, Stage
from routing.paths.mcp_client import Held
from routing.paths.mcp_replies import SessionLost
from routing.paths.mcp_transport import Exchange
from routing.paths.turns import Line, Turns

if TYPE_CHECKING:
    from mcp import Client

PROBE_S = 3.5  # all stages together
RENEW_S = 5.0
LEAST_S = 0.05  # a call with less time than this left is not sent
load_sdk = mcp_client.load_sdk


class MCPRouter:
    """One environment's client of one MCP server and one tool.

    `endpoint` returns the server's URL. `arguments` is the template of the tool's arguments;
    None means the tool takes ours as they are. `idempotent` says that the tool may be called
    twice for one request. `turns` bounds the calls under way, `look` finds a name's addresses.
    """

    path = Path.MCP

    def __init__(
        self,
        *,
        target: str,
        tool: str,
        endpoint: Callable[[], str],
        arguments: Mapping[str, Any] | None = None,
        idempotent: bool = False,
        probe_tool: str = "",
        turns: Turns | None = None,
        look: address.Lookup = address.lookup,
    ) -> None:
        self.target = target
        self.tool = tool
        self.listing: Listing | None = None
        self._listed = ""  # the address that listed them
        self._pin: Pin | None = None
        self._refusal = ""
        self._turns = turns or Turns()
        self._look = look
        self._endpoint = endpoint
        self._arguments = arguments
        self._idempotent = idempotent
        self._probe_tool = probe_tool
        self._held: Held | None = None
        self._old: set[Held] = set()
        self._closed = False

    @property
    def tools_digest(self) -> str:
        """The digest of what the server listed last, empty before it did."""
        return self.listing.digest if self.listing else ""

    def adopt(self, pin: Pin | None) -> None:
        """Call the tool only while it is as `pin` says."""
        self._pin = pin
        self._judge()

    def line(self) -> Line:
        """Return how many calls are under way and wait."""
        return self._turns.look()

    async def call(self, call: Call) -> Answer:
        """Return what the tool said; raises PathError."""
        base.check(call)
        arguments = mcp_words.fill(self._arguments, call)
        exchange = Exchange(ends=time.monotonic() + call.timeout_s, acts=not self._idempotent)
        await self._turns.take(call.priority, call.timeout_s - LEAST_S)
        try:
            base.ask_leave(call.may_go)
            result = await self._ask(
                lambda client: self._called(client, arguments, mcp_words.meta(call)), exchange
            )
            return mcp_words.answer(result, self.tool)
        except PathError as error:
            raise base.discreet(error, call) from error.__cause__
        finally:
            self._turns.give_back()

    async def _called(
        self, client: Client, arguments: Mapping[str, Any], meta: Mapping[str, Any]
    ) -> Any:
        """Call the tool, unless it is not the one that was pinned; the list is known by now."""
        if self._refusal:
            raise PathError(Failure.DISABLED, self._refusal, sent=False)
        return await mcp_client.call_tool(client, self.tool, arguments, meta)

    def stream(self, call: Call) -> AsyncGenerator[str | Answer]:
        """Yield what the tool said, in one piece: MCP has no other."""
        return base.in_one_piece(self, call)

    async def probe(self) -> Probe:
        """Connect, discover, list the tools, make the harmless call: ms of each stage."""
        stages: list[Stage] = []
        ends = time.monotonic() + PROBE_S
        steps: list[tuple[str, Callable[[Exchange], Awaitable[object]]]] = [
            ("connect", self._reach),
            ("discover", self._discover),
            ("list_tools", self._list),
        ]
        if self._probe_tool:
            steps.append((self._probe_tool, self._harmless))
        for name, step in steps:
            began = time.monotonic()
            problem = ""
            try:
                await step(Exchange(ends=ends))
            except PathError as error:
                problem = error.detail
            ms = (time.monotonic() - began) * 1000
            stages.append(Stage(name=name, ok=not problem, ms=ms, detail=problem))
            if problem:
                break
        return Probe(stages=tuple(stages))

    def warm(self) -> None:
        """Begin to connect, so that no call waits for the handshake."""
        with contextlib.suppress(PathError):  # no address yet; who calls is told
            self._current()

    async def close(self) -> None:
        """End the clients; calls under way end with PathError."""
        self._closed = True
        held = {*self._old, *([self._held] if self._held else [])}
        self._held = None
        await asyncio.gather(*(one.end() for one in held))

    def _current(self) -> Held:
        """Return the client in use, or one that begins to connect."""
        if self._closed:
            raise PathError(Failure.UNREACHABLE, "The client is closed.", sent=False)
        held = self._held
        if held is None or held.gone:
            url = self._endpoint()
            address.check(url)
            held = self._held = Held(
                url,
                self.target,
                learn=lambda tools: self._learn(tools, url),
                listed=self._listed == url,
                look=self._look,
            )
        return held

    async def _ask(self, work: Callable[[Client], Awaitable[Any]], exchange: Exchange) -> Any:
        """Return what `work` does with the client; it is done again on a new one, once.

        Only where the server did nothing with it: the session or the address was gone.
        """
        held = self._current()
        try:
            return await self._use(held, work, exchange)
        except PathError as error:
            if not self._leave(held, error, answered=exchange.answered):
                raise
        exchange.problem, exchange.answered = None, False
        return await self._use(self._current(), work, exchange)

    async def _use(
        self, held: Held, work: Callable[[Client], Awaitable[Any]], exchange: Exchange
    ) -> Any:
        try:
            return await held.use(work, exchange)
        except PathError as error:
            if not self._closed:
                raise
            failure = Failure.OUTCOME_UNKNOWN if exchange.acts else Failure.UNREACHABLE
            raise PathError(failure, "The client was closed.", sent=error.sent) from error

    def _leave(self, held: Held, error: PathError, *, answered: bool) -> bool:
        """Leave `held` to the calls under way on it if it may be of no more use.

        Returns whether the call may go out once more: it met a session or an address of the past.
        A server that is not understood may have learnt another protocol since the handshake; one
        that is ill (a status of 500 and more: not `answered`) has not, and keeps its client.
        """
        if self._closed:
            return False
        past = isinstance(error, SessionLost) or held.url != self._endpoint()
        old = time.monotonic() - held.since > RENEW_S
        odd = error.failure in {Failure.PROTOCOL, Failure.VALIDATION} or (
            answered and error.failure is Failure.PROVIDER
        )
        if self._held is held and (past or (odd and old)):
            self._held = None
            self._old.add(held)
            held.task.add_done_callback(lambda _: self._old.discard(held))
            held.retire()
        return past and not error.sent

    async def _reach(self, exchange: Exchange) -> None:
        parts = address.check(self._endpoint())
        host, port = parts.hostname or "", parts.port or mcp_transport.PORTS[parts.scheme]
        try:
            async with asyncio.timeout(min(mcp_transport.CONNECT_S, exchange.left_s())):
                place, *_ = await address.Addresses(self._look).of(host, port)
                _, writer = await asyncio.open_connection(place, port)
        except (OSError, TimeoutError) as error:
            text = base.words(error) or "no connection in time"
            raise PathError(Failure.UNREACHABLE, text, sent=False) from error
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _discover(self, exchange: Exchange) -> None:
        await self._ask(mcp_client.greet, exchange)

    async def _list(self, exchange: Exchange) -> None:
        self._learn(await self._ask(mcp_client.tools, exchange), self._endpoint())
        if self._refusal:
            raise PathError(Failure.DISABLED, self._refusal, sent=False)

    def _learn(self, tools: list[Tool], url: str) -> None:
        self._listed = url
        self.listing = pinning.listing(tools, self.tool)
        self._judge()

    def _judge(self) -> None:
        refusal = pinning.refusal(self._pin, self.listing) if self.listing else ""
        self._refusal = base.words(refusal)

    async def _harmless(self, exchange: Exchange) -> None:
        words = {"text": "ping"}
        result = await self._ask(
            lambda c: mcp_client.call_tool(c, self._probe_tool, words), exchange
        )
        mcp_words.answer(result, self._probe_tool)
