"""A server that keeps every request byte by byte, and answers each as Bedrock would."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from routing.core import eventstream
from tests.verified_fakes.hostile import reply

WHOLE = reply(
    200,
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "well"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
    },
)
EVENTS = b"".join(
    (
        eventstream.event("messageStart", {"role": "assistant"}),
        eventstream.event("contentBlockDelta", {"delta": {"text": "well"}}),
        eventstream.event("messageStop", {"stopReason": "end_turn"}),
        eventstream.event("metadata", {"usage": {"inputTokens": 1, "outputTokens": 2}}),
    )
)
STREAM = reply(200, EVENTS, content_type=eventstream.CONTENT_TYPE)
COUNT = reply(200, {"inputTokens": 1})
# What a request says of its sender and of this very attempt; all else must be equal.
OWN = (b"user-agent:", b"amz-sdk-invocation-id:", b"amz-sdk-request:")


@dataclass(slots=True)
class Recorder:
    """`requests` are whole: head and body."""

    requests: list[bytes] = field(default_factory=list)
    port: int = 0
    _open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                )
                self.requests.append(head + await reader.readexactly(size))
                writer.write(_answer(head.split(b" ", 2)[1]))
                await writer.drain()
        del self._open[writer]
        writer.close()

    async def end(self) -> None:
        """Hang up, and wait until everybody has noticed."""
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*filter(None, self._open.values()))

    def take(self) -> list[bytes]:
        """Return what came since the last look, without what is each sender's own."""
        taken, self.requests = self.requests, []
        return [_common(one) for one in taken]


def _answer(target: bytes) -> bytes:
    if target.endswith(b"/converse-stream"):
        return STREAM
    return COUNT if target.endswith(b"/count-tokens") else WHOLE


def _common(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(OWN)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@contextlib.asynccontextmanager
async def recording(
    host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Recorder]:
    recorder = Recorder()
    listening = await asyncio.start_server(recorder.serve, host, 0, ssl=tls, limit=2**24)
    recorder.port = listening.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        listening.close()
        await recorder.end()
        await listening.wait_closed()
