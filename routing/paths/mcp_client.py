"""One MCP client of the SDK, held open by one task, and what is asked of it; typed failures."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from routing.core import pinning
from routing.core.pinning import Tool
from routing.core.values import Failure
from routing.paths import address, base, mcp_transport, mcp_words
from routing.paths.base import PathError
from routing.paths.mcp_transport import Exchange

if TYPE_CHECKING:
    from mcp import Client

log = logging.getLogger(__name__)
HANDSHAKE_S = 5.0
LATE_S = 0.15  # how much later than the transport the waiting side ends a call
END_S = 2.0
MOST_PAGES = 20
MODERN = "2026-07-28"


class Held:
    """One MCP client, entered and left by one task; `gone` once it is of no more use.

    `learn` is told the server's tools before the first call goes out; `listed` says that they are
    known from an earlier connection. `look` finds addresses.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        learn: Callable[[list[Tool]], None],
        listed: bool = False,
        look: address.Lookup = address.lookup,
    ) -> None:
        self.url = url
        self._learn = learn
        self._listed = listed
        self._look = look
        self.gone = False
        self.since = time.monotonic()
        self._calls = 0
        self._end = asyncio.Event()
        self._ready: asyncio.Future[Client | PathError] = (
            asyncio.get_running_loop().create_future()
        )
        self.task = asyncio.create_task(self._hold(), name=f"mcp {name}")

    async def use(self, work: Callable[[Client], Awaitable[Any]], exchange: Exchange) -> Any:
        """Return what `work` does with the client, within the exchange; raises PathError."""
        self._calls += 1
        try:
            async with asyncio.timeout(exchange.left_s() + LATE_S):
                client = await asyncio.shield(self._ready)
                if isinstance(client, PathError):  # an error of its own for each who waited
                    raise _unsent(client)
                with mcp_transport.under(exchange):
                    return await _guarded(work(client), exchange)
        except TimeoutError:
            text = "No answer in the time of the call."
            sent = self._ready.done()
            failure = Failure.TIMEOUT if sent else Failure.UNREACHABLE
            raise PathError(failure, text, sent=sent) from None
        finally:
            exchange.give_up()
            self._calls -= 1
            self._rest()

    def retire(self) -> None:
        """Take no further calls; end when the last one under way has."""
        self.gone = True
        self._rest()

    async def end(self) -> None:
        """End now."""
        self.gone = True
        self._end.set()
        if not self._ready.done():
            self.task.cancel()
        _, late = await asyncio.wait([self.task], timeout=END_S)
        if late:
            self.task.cancel()
            await asyncio.wait(late, timeout=END_S)

    def _rest(self) -> None:
        if self.gone and not self._calls:
            self._end.set()

    async def _hold(self) -> None:
        try:
            await self._connect_and_wait()
        except Exception as error:
            self._fail(error)
            if not isinstance(error, PathError):
                log.warning("The MCP client of %s ended.", self.url, exc_info=True)
        finally:
            # The SDK cancels the owner of a client whose inside broke.
            self.gone = True
            self._fail(ConnectionError("the client ended"))

    def _fail(self, error: Exception) -> None:
        if self._ready.done():
            return
        text = f"The MCP server cannot be used: {type(error).__name__}: {error}"
        problem = PathError(Failure.UNREACHABLE, base.words(text), sent=False)
        self._ready.set_result(error if isinstance(error, PathError) else problem)

    async def _connect_and_wait(self) -> None:
        from mcp import Client, MCPError
        from mcp.client.streamable_http import streamable_http_client

        exchange = Exchange(ends=time.monotonic() + HANDSHAKE_S)
        async with contextlib.AsyncExitStack() as stack:
            http = await stack.enter_async_context(mcp_transport.client(self._look))
            transport = streamable_http_client(self.url, http_client=http)
            with mcp_transport.under(exchange):
                try:
                    async with asyncio.timeout(HANDSHAKE_S):
                        client = await stack.enter_async_context(Client(transport, cache=None))
                except (TimeoutError, MCPError, ValueError, RuntimeError, ExceptionGroup) as error:
                    raise _unconnected(exchange.problem, error) from error
                problem = await self._list(client, exchange)
            # Not raised in here: the SDK would wrap it into a group of its own.
            self._ready.set_result(problem or client)
            if problem is None:
                await self._end.wait()

    async def _list(self, client: Client, exchange: Exchange) -> PathError | None:
        """List the tools before the first call; return why nothing may be called.

        What a tool wants repeated in headers stands there, and what is not as it was pinned must
        not be called. Where the list does not come, the one that is known will do until the next
        probe; one that makes no sense is no list.
        """
        try:
            self._learn(await _guarded(tools(client), exchange))
        except PathError as error:
            if not self._listed or error.failure is Failure.PROTOCOL:
                return _unsent(error)
        return None


async def _guarded(work: Awaitable[Any], exchange: Exchange) -> Any:
    """Return what `work` does; whatever the SDK raises becomes PathError."""
    from mcp import MCPError

    try:
        return await work
    except MCPError as error:
        met = exchange.problem or mcp_words.translate(error.code, error.message, exchange)
        raise met from error
    except (ValueError, RuntimeError) as error:
        text = f"The answer is not as MCP says: {type(error).__name__}."
        raise PathError(Failure.PROTOCOL, text) from error


def _unconnected(met: PathError | None, error: Exception) -> PathError:
    """Return why there is no client: no call was sent yet, and none is to blame."""
    if isinstance(error, TimeoutError):
        text = "The MCP server did not finish the handshake in time."
        return PathError(Failure.UNREACHABLE, text, sent=False)
    if met is None or met.failure is Failure.VALIDATION:
        text = met.detail if met else "The MCP server speaks no protocol that is known here."
        return PathError(Failure.PROTOCOL, text, sent=False)
    return _unsent(met)


def _unsent(error: PathError) -> PathError:
    return PathError(error.failure, error.detail, sent=False, retry_after_s=error.retry_after_s)


async def call_tool(
    client: Client, tool: str, arguments: Mapping[str, Any], meta: Mapping[str, Any] | None = None
) -> Any:
    """Return the tool's result from exactly one request.

    `Client.call_tool` would list the tools after an answer that it has (and lose the answer when
    that fails), run the schema that the server sent, and repeat calls that ask for more input.
    """
    from mcp import types

    said: Any = dict(meta) if meta else None
    params = types.CallToolRequestParams(name=tool, arguments=dict(arguments), _meta=said)
    return await client.session.send_request(
        types.CallToolRequest(params=params), types.CallToolResult
    )


async def greet(client: Client) -> None:
    """Ask the server for a sign of life that no cache can give."""
    if client.protocol_version == MODERN:
        await client.session.send_discover(MODERN)
    else:
        await client.session.send_ping()


async def tools(client: Client) -> list[Tool]:
    """Return the server's tools; raises PathError for a list without end."""
    found: list[Tool] = []
    cursors: list[str] = []
    while True:
        page = await client.list_tools(cursor=cursors[-1] if cursors else None)
        found += [_tool(one) for one in page.tools]
        if len(found) > pinning.MOST_TOOLS:
            text = f"The server lists over {pinning.MOST_TOOLS} tools; none of them is called."
            raise PathError(Failure.PROTOCOL, text)
        cursor = page.next_cursor
        if cursor is None:
            return found
        if cursor in cursors or len(cursors) == MOST_PAGES - 1:
            text = f"The server's list of tools goes in a circle or over {MOST_PAGES} pages."
            raise PathError(Failure.PROTOCOL, text)
        cursors.append(cursor)


def _tool(listed: Any) -> Tool:
    notes = listed.annotations
    return Tool(
        name=listed.name,
        description=listed.description or "",
        input_schema=listed.input_schema,
        annotations=notes.model_dump(by_alias=True, exclude_none=True) if notes else {},
    )


def load_sdk() -> None:
    """Import the SDK now (about 1 s), on a thread; else the first connect does, on the loop."""
    import anyio
    import mcp.client.streamable_http  # noqa: F401

    mcp_transport.trust()
    # anyio imports its parts when they are first used.
    anyio.run(_rehearse)


async def _rehearse() -> None:
    import anyio

    for stream in anyio.create_memory_object_stream[str](0):
        stream.close()
    with contextlib.suppress(OSError):  # nothing listens on port 0
        await anyio.connect_tcp("127.0.0.1", 0)
