"""The stand-in for an MCP server: the SDK's own server, stateless, over Streamable HTTP.

`python -m routing.upstreams.mcp --port N --home HYBRIDOPS_HOME`
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from mcp.server.mcpserver import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import BaseModel, Field

from routing.core.values import Path
from routing.upstreams import answers, process
from routing.upstreams.faults import Fault
from routing.upstreams.gate import MOST_BYTES
from routing.upstreams.journal import Seen
from routing.upstreams.speaker import Answer, Message, Receive, Request, Send, deliver

NAME = "an MCP server"
MARK = "hybridops/"
_JSON = {"content-type": "application/json"}
_INTERNAL_ERROR = -32603  # JSON-RPC 2.0


class Said(BaseModel):
    """One message of a conversation."""

    role: Literal["user", "assistant"]
    text: str


def server(latency_ms: tuple[int, int]) -> MCPServer[Any]:
    """Return an MCP server with the two tools; `latency_ms` bounds how long an answer takes."""
    made: MCPServer[Any] = MCPServer(
        "hybridops-stand-in",
        version="1",
        instructions="A local stand-in: its answers come from no model.",
        log_level="WARNING",
    )

    @made.tool(structured_output=False)
    async def route_request(
        operation: Annotated[str, Field(description="what the request is for")],
        messages: Annotated[list[Said], Field(min_length=1, description="oldest first")],
        system: str = "",
        max_tokens: Annotated[int, Field(ge=1)] = 1024,
    ) -> str:
        """Answer the conversation in text."""
        prompt = join(system, [message.text for message in messages])
        await asyncio.sleep(answers.latency_ms(prompt, latency_ms) / 1000)
        return answers.compose(prompt, NAME, max_tokens).text

    @made.tool(structured_output=False)
    async def echo(text: str) -> str:
        """Return the text unchanged; it does nothing else."""
        return text

    return made


def join(system: str, texts: Sequence[str]) -> str:
    """Return system and messages as one prompt."""
    return "\n".join([system, *texts] if system else texts)


class MCP:
    """Speaks MCP at `/mcp` beneath each environment, to callers that name this very address."""

    path = Path.MCP

    def __init__(self, port: int, latency_ms: tuple[int, int]) -> None:
        hosts = [f"127.0.0.1:{port}", f"localhost:{port}"]
        self._manager = StreamableHTTPSessionManager(
            server(latency_ms)._lowlevel_server,
            json_response=True,
            stateless=True,
            security_settings=TransportSecuritySettings(
                enable_dns_rebinding_protection=True,
                allowed_hosts=hosts,
                allowed_origins=[f"http://{host}" for host in hosts],
            ),
            max_request_body_size=MOST_BYTES,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the SDK's task group open."""
        async with self._manager.run():
            yield

    def streams(self, path: str) -> bool:
        """Tell that answers come whole."""
        return False

    def see(self, request: Request) -> Seen:
        """Return the method, tool, marks and digest of `request`."""
        call = _object(request.body)
        params = _part(call, "params")
        kind = str(call.get("method") or request.method)
        if kind != "tools/call":
            return Seen(kind=kind)
        meta, words = _part(params, "_meta"), _part(params, "arguments")
        prompt = _prompt(words)
        return Seen(
            kind=kind,
            target=str(params.get("name", "")),
            nonce=str(meta.get(MARK + "nonce", "")),
            operation=str(words.get("operation", "")),
            decision=str(meta.get(MARK + "decision", "")),
            prompt_sha256=answers.digest(prompt),
            prompt_bytes=answers.size(prompt),
        )

    def refuse(self, request: Request, fault: Fault | None, status: int, message: str) -> Answer:
        """Return an HTTP status; or with the code of a JSON-RPC error, or `tool_error`, that."""
        code = fault.code if fault else ""
        call = _object(request.body)
        if code == "tool_error" and call.get("method") == "tools/call":
            content = [{"type": "text", "text": message}]
            result = {"resultType": "complete", "content": content, "isError": True}
            return _rpc(call, status or 200, {"result": result})
        number = int(code) if code.lstrip("-").isdigit() else _INTERNAL_ERROR
        default = 200 if code else 503
        answer = _rpc(call, status or default, {"error": {"code": number, "message": message}})
        if fault is None or fault.retry_after_s is None:
            return answer
        headers = {**answer.headers, "retry-after": str(fault.retry_after_s)}
        return Answer(status=answer.status, headers=headers, body=answer.body)

    def garble(self, request: Request) -> Answer:
        """Return half a JSON document."""
        return Answer(status=200, headers=_JSON, body=b'{"jsonrpc":"2.0","id":1,"result":{"con')

    def end_stream(self, fault: Fault) -> bytes:
        """Return nothing: answers come whole."""
        return b""

    async def answer(self, request: Request, scope: Message, receive: Receive, send: Send) -> None:
        """Hand the request to the SDK."""
        if request.path != "/mcp":
            text = "Nothing is here; the MCP server is at /<environment>/mcp."
            await deliver(send, self.refuse(request, None, 404, text))
            return
        await self._manager.handle_request(scope, receive, send)


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = value.get(name)
    return part if isinstance(part, dict) else {}


def _prompt(words: Mapping[str, Any]) -> str:
    """Return the prompt in a tool's arguments, as far as they have the expected shape."""
    messages = words.get("messages")
    said = messages if isinstance(messages, list) else []
    texts = [str(m.get("text", "")) for m in said if isinstance(m, dict)]
    return join(str(words.get("system") or ""), texts)


def _rpc(call: Mapping[str, Any], status: int, outcome: Mapping[str, Any]) -> Answer:
    body = json.dumps({"jsonrpc": "2.0", "id": call.get("id"), **outcome}).encode()
    return Answer(status=status, headers=_JSON, body=body)


def main() -> None:
    """Serve until the standard input closes."""
    process.run("mcp", MCP)


if __name__ == "__main__":
    main()
