"""MCPRouter: one kept MCP client per environment, owned by one task, and typed failures.

The client must be entered and left by the same task (the SDK's cancel scopes demand it), so a
supervisor task owns it, connects it again when it is lost, and everybody else only calls it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from routing.core.values import Failure, Path
from routing.paths import mcp_transport
from routing.paths.base import Answer, Call, PathError, Probe, Stage

if TYPE_CHECKING:
    from mcp import Client

log = logging.getLogger(__name__)
FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 2.0
PROBE_S = 3.0
MODERN = "2026-07-28"
_SLOT = re.compile(r"\{(operation|prompt|messages|system|max_tokens)\}")
# JSON-RPC codes (JSON-RPC 2.0; MCP: -32000 connection closed, -32001 request timeout).
_BY_CODE: Mapping[int, Failure] = {
    -32602: Failure.VALIDATION,
    -32601: Failure.PROTOCOL,
    -32600: Failure.PROTOCOL,
    -32700: Failure.PROTOCOL,
    -32603: Failure.PROVIDER,
    -32000: Failure.UNREACHABLE,
    -32001: Failure.TIMEOUT,
}


class MCPRouter:
    """One environment's client of one MCP server and one tool.

    `endpoint` returns the server's URL at every connect. `arguments` is the template of the
    tool's arguments; None means the tool takes ours as they are.
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
        self._client: Client | None = None
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._url = ""
        self._problem = "not connected yet"
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def call(self, call: Call) -> Answer:
        """Return what the tool said; raises PathError."""
        client = await self._connected(min(call.timeout_s, mcp_transport.CONNECT_S))
        meta: Any = {"hybridops/decision": call.decision_id}
        if call.nonce:
            meta["hybridops/nonce"] = call.nonce
        words = fill(self._arguments, call)
        result = await self._guard(
            lambda: client.call_tool(
                self._tool, words, read_timeout_seconds=call.timeout_s, meta=meta
            )
        )
        return _answer(result, self._tool)

    async def probe(self) -> Probe:
        """Connect, discover, list the tools, make the harmless call: ms of each stage."""
        stages: list[Stage] = []
        steps: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("connect", self._reach),
            ("discover", self._discover),
            ("list_tools", self._list),
        ]
        if self._probe_tool:
            steps.append((self._probe_tool, self._harmless))
        for name, step in steps:
            began = time.monotonic()
            problem = await _problem(step)
            ms = (time.monotonic() - began) * 1000
            stages.append(Stage(name=name, ok=not problem, ms=ms, detail=problem))
            if problem:
                break
        return Probe(stages=tuple(stages))

    async def close(self) -> None:
        """End the supervisor and with it the client."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _connected(self, wait_s: float) -> Client:
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=f"mcp {self.target}")
        try:
            async with asyncio.timeout(wait_s):
                await self._ready.wait()
        except TimeoutError:
            raise PathError(Failure.UNREACHABLE, self._problem, sent=False) from None
        assert self._client is not None
        return self._client

    async def _keep(self) -> None:
        """Hold one client open; connect it again, with growing waits, when it is lost."""
        wait_s = FIRST_WAIT_S
        while not self._closing:
            try:
                await self._hold()
                wait_s = FIRST_WAIT_S
            except asyncio.CancelledError:
                # The SDK cancels the owner of a client whose transport died.
                if self._closing:
                    raise
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
            except Exception as error:  # noqa: BLE001 - whatever ends a client, another is made
                self._problem = f"{type(error).__name__}: {error}"[:200]
                log.debug("The MCP server %s cannot be reached: %s", self.target, self._problem)
            finally:
                self._ready.clear()
                self._client = None
            await asyncio.sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _hold(self) -> None:
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client

        self._url = self._endpoint()
        self._lost.clear()
        async with mcp_transport.client(idempotent=self._idempotent) as http:
            async with asyncio.timeout(PROBE_S) as starting:
                transport = streamable_http_client(self._url, http_client=http)
                async with Client(transport, cache=None) as client:
                    starting.reschedule(None)
                    self._client = client
                    self._ready.set()
                    await self._lost.wait()

    async def _guard(self, work: Callable[[], Awaitable[Any]]) -> Any:
        from mcp import MCPError

        try:
            return await work()
        except MCPError as error:
            problem = translate(error.code, error.message, error.data)
            if problem.failure is Failure.UNREACHABLE and self._moved(problem):
                self._ready.clear()
                self._lost.set()
            raise problem from error
        except (ValueError, RuntimeError) as error:
            raise PathError(Failure.PROTOCOL, f"{type(error).__name__}: {error}"[:300]) from error

    def _moved(self, problem: PathError) -> bool:
        """Tell whether the client should be made anew: its session or its address is gone."""
        return problem.sent or self._url != self._endpoint()

    async def _reach(self) -> None:
        parts = urlsplit(self._endpoint())
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            async with asyncio.timeout(mcp_transport.CONNECT_S):
                _, writer = await asyncio.open_connection(parts.hostname, port)
        except (OSError, TimeoutError) as error:
            raise PathError(Failure.UNREACHABLE, f"{error}" or "no answer", sent=False) from error
        writer.close()

    async def _discover(self) -> None:
        client = await self._connected(mcp_transport.CONNECT_S)
        if client.protocol_version == MODERN:
            await self._guard(lambda: client.session.send_discover(MODERN))
        else:
            await self._guard(client.send_ping)

    async def _list(self) -> None:
        client = await self._connected(mcp_transport.CONNECT_S)
        listed = await self._guard(lambda: client.list_tools(cache_mode="refresh"))
        tools = sorted((t.name, t.input_schema) for t in listed.tools)
        self.tools_digest = hashlib.sha256(json.dumps(tools, sort_keys=True).encode()).hexdigest()
        if self._tool not in {name for name, _ in tools}:
            raise PathError(Failure.PROTOCOL, f"The server has no tool named {self._tool}.")

    async def _harmless(self) -> None:
        client = await self._connected(mcp_transport.CONNECT_S)
        result = await self._guard(lambda: client.call_tool(self._probe_tool, {"text": "ping"}))
        _answer(result, self._probe_tool)


def load_sdk() -> None:
    """Import the SDK now (about 1 s); else the first connect does, and holds up the loop."""
    import mcp.client.streamable_http  # noqa: F401


async def _problem(step: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(PROBE_S):
            await step()
    except TimeoutError:
        return f"no answer within {PROBE_S:.0f} s"
    except PathError as error:
        return error.detail
    return ""


def translate(code: int, message: str, data: Any) -> PathError:
    """Return what a JSON-RPC error means; our own transport's note is taken at its word."""
    note = data.get(mcp_transport.NOTE) if isinstance(data, dict) else None
    if not isinstance(note, dict):
        # A session that the server no longer knows is lost, not wrong.
        lost = message == "Session terminated"
        failure = Failure.UNREACHABLE if lost else _BY_CODE.get(code, Failure.PROVIDER)
        return PathError(failure, f"{code}: {message}"[:300])
    said = str(note.get("retry_after", ""))
    return PathError(
        Failure(note["failure"]),
        message[:300],
        sent=bool(note["sent"]),
        retry_after_s=float(said) if said.isascii() and said.isdigit() else None,
    )


def fill(template: Mapping[str, Any] | None, call: Call) -> dict[str, Any]:
    """Return the tool's arguments for `call`.

    In a template the text `{messages}`, standing alone, becomes the value itself; within other
    text, `{prompt}` and the like are replaced in place.
    """
    prompt = call.messages[-1].text if call.messages else ""
    values: dict[str, Any] = {
        "operation": str(call.operation),
        "messages": [{"role": m.role, "text": m.text} for m in call.messages],
        "system": call.system,
        "max_tokens": call.max_tokens,
    }
    if template is None:
        return values
    return {key: _fill(value, values | {"prompt": prompt}) for key, value in template.items()}


def _fill(value: Any, values: Mapping[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    alone = _SLOT.fullmatch(value)
    if alone:
        return values[alone[1]]
    # In one pass: a caller's words that look like a slot stay words.
    return _SLOT.sub(lambda found: _as_text(values[found[1]]), value)


def _as_text(word: Any) -> str:
    return word if isinstance(word, str) else json.dumps(word)


def _answer(result: Any, tool: str) -> Answer:
    """Return the text of a tool's result; its own error is the tool's, not the server's."""
    texts = [block.text for block in result.content if block.type == "text"]
    if result.is_error:
        raise PathError(Failure.TOOL_ERROR, " ".join(texts)[:300] or "The tool gave no words.")
    if len(texts) != len(result.content) or not "".join(texts):
        raise PathError(Failure.PROTOCOL, f"The tool {tool} answered with something but text.")
    return Answer(text="".join(texts), stop_reason="end_turn", model=tool, usage=None)
