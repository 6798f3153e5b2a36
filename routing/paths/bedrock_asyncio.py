"""Bedrock on the loop: signed here, sent over kept connections, read event by event.

boto3 still says where and how: it makes one request of each kind without sending it, and what it
made is the pattern for all that follow (`bedrock_sign`). Its parser reads the errors.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import get_current_datetime
from botocore.exceptions import ClientError
from botocore.parsers import create_parser

from routing.core.values import Failure
from routing.paths import bedrock_account, bedrock_sign, bedrock_words
from routing.paths.base import Billed, PathError
from routing.paths.bedrock_account import Account
from routing.paths.bedrock_http import Connection
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_pool import Pool
from routing.paths.bedrock_sign import Keys, Origin, Pattern, Signer
from routing.paths.bedrock_slots import Slots
from routing.paths.bedrock_stream import Event, Frames

CONNECTIONS = 256
HELPERS = 2  # threads for boto3: making a pattern, looking after credentials
END_S = 2.0
MOST_BYTES = 4 * 1024 * 1024
MOST_STREAM = 64 * 1024 * 1024  # frames wrap every few characters into some hundred bytes
LOOK_S = 10.0  # botocore renews credentials a quarter of an hour ahead, whenever it is asked
LATE_LOOK_S = 60.0  # keys that were not looked at for so long may have run out


class _Caught(Exception):
    """A request that boto3 made; it was not sent."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self.request = request


class OnLoop:
    """Carries calls on the running loop. `clock` is the one that boto3 signs by."""

    def __init__(
        self,
        *,
        name: str,
        region: str,
        local: bool,
        endpoint: Callable[[], str | None],
        authorities: str,
        proxy: Origin | None = None,
        clock: Callable[[], datetime] = get_current_datetime,
    ) -> None:
        self._account = Account(region=region, local=local, endpoint=endpoint, send=_catch)
        self._clock = clock
        self._pool = Pool(authorities, proxy)
        self._slots = Slots(CONNECTIONS)
        self._threads = ThreadPoolExecutor(HELPERS, thread_name_prefix=f"bedrock-{name}")
        self._signer = Signer()
        self._patterns: dict[tuple[str | None, str, str], Pattern] = {}
        self._keys: Keys | None = None
        self._looked_at = float("-inf")
        self._looking: asyncio.Future[Any] | None = None
        self._closed = False

    def warm(self) -> None:
        """Begin to find credentials and read the authorities, so that no call waits for it."""
        self._threads.submit(self._prepare)

    async def credentials(self, patience: Patience) -> None:
        """Raise PathError where there are no credentials."""
        await self._on_thread(self._account.check, patience)

    async def reply(
        self, verb: str, document: Mapping[str, Any], patience: Patience
    ) -> Mapping[str, Any]:
        """Return the whole JSON answer to `verb`, such as `converse`; raises PathError."""
        slots = self._slots if verb == "converse" else None  # else a probe's: it never waits
        async with _Exchange(self, patience, slots) as exchange:
            await exchange.ask(verb, document)
            return await exchange.whole()

    async def events(
        self, document: Mapping[str, Any], patience: Patience
    ) -> AsyncGenerator[Sequence[Event]]:
        """Yield the events of ConverseStream as they come, those that came together at once.

        Raises PathError.
        """
        async with _Exchange(self, patience, self._slots) as exchange:
            await exchange.ask("converse_stream", document)
            frames, size = Frames(), 0
            while data := await exchange.part():
                size += len(data)
                if size > MOST_STREAM:
                    raise _endless(MOST_STREAM, Billed())
                heard: list[Event] = []
                try:
                    frames.hear(data, heard)
                except PathError:
                    if heard:  # what came before what is broken
                        yield heard
                    raise
                if heard:
                    patience.spoke()
                    yield heard
                    patience.heard()  # whoever takes them slowly is not the other side's silence

    async def close(self) -> None:
        """End the calls under way, their connections and our threads."""
        self._closed = True
        self._pool.close()
        if self._looking is not None:
            self._looking.cancel()
        ending = asyncio.ensure_future(asyncio.to_thread(self._end_threads))
        # A thread that waits for a name or for a machine's role ends by itself, later.
        await asyncio.wait({ending}, timeout=END_S)
        self._account.close()

    def _end_threads(self) -> None:
        for threads in (self._threads, self._pool.resolving):
            threads.shutdown(wait=True, cancel_futures=True)

    # What an exchange needs.

    async def open(
        self, verb: str, document: Mapping[str, Any], patience: Patience
    ) -> tuple[Pattern, Connection]:
        """Return the connection over which the request to `verb` has just left."""
        if self._closed:
            raise PathError(Failure.UNREACHABLE, "The client is closed.", sent=False)
        pattern = await self._pattern(verb, str(document["modelId"]), patience)
        keys = await self._fresh_keys(patience) if not pattern.bearer else None
        said = {name: value for name, value in document.items() if name != "modelId"}
        body = json.dumps(said).encode()
        request = self._signer.request(pattern, keys, body, self._clock())
        connection = await self._pool.take(pattern.origin, patience)
        connection.ask(request)
        patience.asked()
        return pattern, connection

    def give_back(self, pattern: Pattern, connection: Connection) -> None:
        """Keep the connection; one in the middle of an answer is closed."""
        self._pool.give_back(pattern.origin, connection)

    def refused(self, error: Exception) -> PathError:
        """Return what an error of the service is; look for new credentials if it says so."""
        if bedrock_words.stale(error) and self._account.renew():
            self._keys = None
            self._patterns.clear()
        return bedrock_words.translate(error)

    async def _pattern(self, verb: str, model: str, patience: Patience) -> Pattern:
        endpoint = self._account.endpoint()
        known = self._patterns.get((endpoint, verb, model))
        if known is None:
            known = await self._on_thread(lambda: self._learn(verb, model), patience)
            self._patterns[(endpoint, verb, model)] = known
        return known

    def _learn(self, verb: str, model: str) -> Pattern:
        """Have boto3 make the request that `verb` needs, and keep its pattern."""
        keys = self._account.keys()
        client = self._account.rehearsing(keys)
        said: dict[str, Any] = {"messages": [{"role": "user", "content": [{"text": "x"}]}]}
        asked = {"input": {"converse": said}} if verb == "count_tokens" else said
        try:
            bedrock_account.ask(client, verb, {"modelId": model, **asked})
        except _Caught as caught:
            made = caught.request
        headers = {name: _text(value) for name, value in made.headers.items()}
        return bedrock_sign.learn(made.url, headers, made.body, keys)

    async def _fresh_keys(self, patience: Patience) -> Keys:
        """Return the credentials; those that run out are looked at again while they still hold."""
        keys, age_s = self._keys, time.monotonic() - self._looked_at
        if keys is not None and not (keys.renewable and age_s > LOOK_S):
            return keys
        if self._looking is None or self._looking.done():
            self._looking = asyncio.ensure_future(self._look(patience))
            self._looking.add_done_callback(_heard)
        if keys is not None and age_s < LATE_LOOK_S:
            return keys
        try:
            found: Keys = await asyncio.shield(self._looking)
        except asyncio.CancelledError:
            if not self._looking.cancelled():
                raise
            raise PathError(Failure.UNREACHABLE, "The client was closed.", sent=False) from None
        return found

    async def _look(self, patience: Patience) -> Keys:
        keys = await self._on_thread(self._account.keys, patience)
        if keys is None:
            text = "The kind of AWS credentials has changed; restart this server."
            raise PathError(Failure.REFUSED_CREDENTIALS, text, sent=False)
        self._keys, self._looked_at = keys, time.monotonic()
        return self._keys

    async def _on_thread(self, work: Callable[[], Any], patience: Patience) -> Any:
        if self._closed:
            raise PathError(Failure.UNREACHABLE, "The client is closed.", sent=False)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(0.0, patience.left_s())):
                return await loop.run_in_executor(self._threads, work)
        except TimeoutError:
            text = "AWS credentials or settings were not found in the time of the call."
            raise PathError(Failure.TIMEOUT, text, sent=False) from None
        except Exception as error:
            raise bedrock_words.translate(error) from error

    def _prepare(self) -> None:
        self._account.client()
        self._pool.prepare()


class _Exchange:
    """One request and its answer; leaving it early closes the connection beneath."""

    __slots__ = ("_carrier", "_patience", "_slots", "_used")

    def __init__(self, carrier: OnLoop, patience: Patience, slots: Slots | None) -> None:
        self._carrier = carrier
        self._slots = slots
        self._patience = patience
        self._used: tuple[Pattern, Connection] | None = None

    async def __aenter__(self) -> _Exchange:
        if self._slots is not None:
            await self._slots.take(self._patience)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._slots is not None:
            self._slots.free()
        if self._used is not None:
            self._carrier.give_back(*self._used)

    async def ask(self, verb: str, document: Mapping[str, Any]) -> None:
        """Send the request; raises PathError for an answer that is an error."""
        self._used = await self._carrier.open(verb, document, self._patience)
        connection = self._used[1]
        status = await connection.head(self._patience)
        if status >= 300:
            body = await self._body(connection, billed=None)
            raise self._carrier.refused(_error(status, connection.headers, body, verb))

    async def part(self) -> bytes:
        """Return what came of the body, empty at its end."""
        assert self._used is not None
        return await self._used[1].part(self._patience)

    async def whole(self) -> Mapping[str, Any]:
        """Return the body as a JSON object."""
        assert self._used is not None
        body = await self._body(self._used[1], billed=Billed())
        try:
            reply = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            text = "The answer cannot be read as Bedrock's."
            raise PathError(Failure.PROTOCOL, text, billed=Billed())
        return reply

    async def _body(self, connection: Connection, *, billed: Billed | None) -> bytes:
        parts, size = [], 0
        while data := await connection.part(self._patience):
            size += len(data)
            if size > MOST_BYTES:
                raise _endless(MOST_BYTES, billed)
            parts.append(data)
        return b"".join(parts)


def _endless(most: int, billed: Billed | None) -> PathError:
    return PathError(Failure.PROTOCOL, f"The answer is over {most} bytes.", billed=billed)


def _catch(request: Any) -> AWSResponse:
    raise _Caught(request)


def _error(status: int, headers: Mapping[str, str], body: bytes, verb: str) -> Exception:
    """Return the error that boto3 would raise for this answer."""
    response = {"status_code": status, "headers": headers, "body": body}
    nothing: Any = None  # the shape of a good answer
    try:
        parsed: Any = create_parser("rest-json").parse(response, nothing)
        hash(parsed["Error"]["Code"])  # boto3 looks for a class of that name
    except Exception as error:  # noqa: BLE001 - as boto3: what its parser raises is the failure
        return bedrock_words.translate(error)
    return ClientError(parsed, verb)


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _heard(looking: asyncio.Future[Any]) -> None:
    """Take note of a look that nobody waits for: its failure comes again with the next one."""
    if not looking.cancelled():
        looking.exception()
