"""MCPRouter: one kept MCP client per environment, owned by one task, and typed failures.

The client must be entered and left by the same task (the SDK's cancel scopes demand it), so a
task of its own holds it (`mcp_client.Held`) and everybody else only calls it. It is made when the
first one needs it, and anew when its session or its address is gone; calls under way on the old
one end there.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from routing.core.values import Failure, Path
from routing.paths import base, mcp_client, mcp_transport, mcp_words
from routing.paths.base import Answer, Call, PathError, Probe, Stage
from routing.paths.mcp_client import Held
from routing.paths.mcp_replies import SessionLost
from routing.paths.mcp_transport import Exchange

if TYPE_CHECKING:
    from mcp import Client

PROBE_S = 3.5  # all stages together
RENEW_S = 5.0
load_sdk = mcp_client.load_sdk


class MCPRouter:
    """One environment's client of one MCP server and one tool.

    `endpoint` returns the server's URL. `arguments` is the template of the tool's arguments;
    None means the tool takes ours as they are. `idempotent` says that the tool may be called
    twice for one request.
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
    ) -> None:
        self.target = target
        self.tools_digest = ""
        self._tool = tool
        self._endpoint = endpoint
        self._arguments = arguments
        self._idempotent = idempotent
        self._probe_tool = probe_tool
        self._held: Held | None = None
        self._old: set[Held] = set()
        self._closed = False

    async def call(self, call: Call) -> Answer:
        """Return what the tool said; raises PathError."""
        base.check(call)
        meta: dict[str, Any] = {"hybridops/decision": call.decision_id}
        if call.nonce:
            meta["hybridops/nonce"] = call.nonce
        arguments = mcp_words.fill(self._arguments, call)
        exchange = Exchange(ends=time.monotonic() + call.timeout_s, acts=not self._idempotent)
        try:
            result = await self._ask(
                lambda client: mcp_client.call_tool(client, self._tool, arguments, meta), exchange
            )
            return mcp_words.answer(result, self._tool)
        except PathError as error:
            raise base.discreet(error, call) from error.__cause__

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
            held = self._held = Held(self._endpoint(), self.target)
        return held

    async def _ask(self, work: Callable[[Client], Awaitable[Any]], exchange: Exchange) -> Any:
        """Return what `work` does with the client; it is done again on a new one, once.

        Only where the server did nothing with it: the session or the address was gone.
        """
        held = self._current()
        try:
            return await self._use(held, work, exchange)
        except PathError as error:
            if not self._leave(held, error):
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

    def _leave(self, held: Held, error: PathError) -> bool:
        """Leave `held` to the calls under way on it if it may be of no more use.

        Returns whether the call may go out once more: it met a session or an address of the past.
        A server that is not understood may have learnt another protocol since the handshake.
        """
        if self._closed:
            return False
        past = isinstance(error, SessionLost) or held.url != self._endpoint()
        old = time.monotonic() - held.since > RENEW_S
        odd = error.failure in {Failure.PROTOCOL, Failure.PROVIDER, Failure.VALIDATION}
        if self._held is held and (past or (odd and old)):
            self._held = None
            self._old.add(held)
            held.task.add_done_callback(lambda _: self._old.discard(held))
            held.retire()
        return past and not error.sent

    async def _reach(self, exchange: Exchange) -> None:
        parts = urlsplit(self._endpoint())
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(min(mcp_transport.CONNECT_S, exchange.left_s())):
                _, writer = await asyncio.open_connection(parts.hostname, port)
        except (OSError, TimeoutError) as error:
            text = base.words(error) or "no connection in time"
            raise PathError(Failure.UNREACHABLE, text, sent=False) from error
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _discover(self, exchange: Exchange) -> None:
        await self._ask(mcp_client.greet, exchange)

    async def _list(self, exchange: Exchange) -> None:
        tools = await self._ask(mcp_client.tools, exchange)
        text = json.dumps(sorted(tools), sort_keys=True)
        self.tools_digest = hashlib.sha256(text.encode()).hexdigest()
        count = sum(name == self._tool for name, _ in tools)
        if count != 1:
            times = f"{count} tools" if count else "no tool"
            raise PathError(Failure.PROTOCOL, f"The server has {times} named {self._tool}.")

    async def _harmless(self, exchange: Exchange) -> None:
        words = {"text": "ping"}
        result = await self._ask(
            lambda c: mcp_client.call_tool(c, self._probe_tool, words), exchange
        )
        mcp_words.answer(result, self._probe_tool)
