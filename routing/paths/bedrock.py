"""DirectBedrockClient: one request per call, one deadline, our own words.

By default it asks by ConverseStream, so that silence differs from an answer that takes long. Two
transports carry the bytes (ADR 0016): boto3 on threads, and our own client on the loop.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any, Protocol

from botocore.compat import get_current_datetime
from botocore.httpsession import get_cert_path

from routing.core.settings import BedrockTransport
from routing.core.values import EnvironmentName, Path
from routing.paths import (
    base,
    bedrock_answer,
    bedrock_patience,
    bedrock_probe,
    bedrock_request,
)
from routing.paths.base import Answer, Call, PathError, Probe
from routing.paths.bedrock_account import load_sdk
from routing.paths.bedrock_asyncio import OnLoop
from routing.paths.bedrock_boto3 import OnThreads
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_purse import Purse
from routing.paths.bedrock_request import PLAIN, Manner, Manners
from routing.paths.bedrock_sign import Origin
from routing.paths.bedrock_stream import Event

__all__ = ["DirectBedrockClient", "load_sdk"]


class Carrier(Protocol):
    """What carries documents to Bedrock and brings back what it answers."""

    def warm(self) -> None: ...

    async def credentials(self, patience: Patience) -> None: ...

    async def reply(
        self, verb: str, document: Mapping[str, Any], patience: Patience
    ) -> Mapping[str, Any]: ...

    def events(
        self, document: Mapping[str, Any], patience: Patience
    ) -> AsyncGenerator[Sequence[Event]]: ...

    async def close(self) -> None: ...


class DirectBedrockClient:
    """One environment's client of one region and model.

    `endpoint` returns the endpoint URL at every call, None for the region's own; only a `local`
    one may be http. `manners` are the settings per operation, `purse` pays for probes, and
    `authorities` is a file of trusted certificates in place of botocore's; https goes through
    `proxy` where one is given.
    """

    path = Path.DIRECT_BEDROCK

    def __init__(
        self,
        *,
        environment: EnvironmentName,
        region: str,
        model: str,
        endpoint: Callable[[], str | None],
        local: bool,
        transport: BedrockTransport = BedrockTransport.ASYNCIO,
        manners: Manners | None = None,
        purse: Purse | None = None,
        authorities: str = "",
        proxy: Origin | None = None,
        clock: Callable[[], datetime] = get_current_datetime,
    ) -> None:
        self.target = f"{region}/{model}"
        self._model = model
        self._manners = manners or {}
        self._purse = purse
        self._clock = clock
        usual: dict[str, Any] = {
            "name": str(environment),
            "region": region,
            "local": local,
            "endpoint": endpoint,
            "authorities": authorities or str(get_cert_path(True)),
            "proxy": proxy,
        }
        if transport is BedrockTransport.BOTO3:
            self._carrier: Carrier = OnThreads(**usual)
        else:
            self._carrier = OnLoop(**usual, clock=clock)

    async def call(self, call: Call) -> Answer:
        """Return the whole answer; raises PathError."""
        manner = self._manners.get(call.operation, PLAIN)
        base.check(call)
        document, model = self._document(call, manner)
        try:
            if manner.whole:
                patience = bedrock_patience.of_whole(call)
                reply = await self._carrier.reply("converse", document, patience)
                return bedrock_answer.whole(reply, model)
            patience = bedrock_patience.of_stream(call)
            events = self._carrier.events(document, patience)
            return await bedrock_answer.gathered(events, model, patience)
        except PathError as error:
            raise base.discreet(error, call) from error.__cause__

    def stream(self, call: Call) -> AsyncGenerator[str | Answer]:
        """Yield the answer as it comes, then whole; raises PathError. Closing it hangs up."""
        manner = self._manners.get(call.operation, PLAIN)
        return base.in_one_piece(self, call) if manner.whole else self._pieces(call, manner)

    async def probe(self) -> Probe:
        """Look for credentials, count the tokens of one word (free), pay for one if allowed."""
        return await bedrock_probe.climb(self._carrier, self._model, self._purse, self._clock)

    def warm(self) -> None:
        """Begin to find credentials and make what calls need, so that none waits for it."""
        self._carrier.warm()

    async def close(self) -> None:
        """End the calls under way, their threads and all connections."""
        await self._carrier.close()

    async def _pieces(self, call: Call, manner: Manner) -> AsyncGenerator[str | Answer]:
        base.check(call)
        document, model = self._document(call, manner)
        patience = bedrock_patience.of_stream(call)
        events = self._carrier.events(document, patience)
        try:
            async with aclosing(bedrock_answer.pieces(events, model, patience)) as pieces:
                async for piece in pieces:
                    yield piece
        except PathError as error:
            raise base.discreet(error, call) from error.__cause__

    def _document(self, call: Call, manner: Manner) -> tuple[dict[str, Any], str]:
        model = manner.model or self._model
        return bedrock_request.document(call, manner, model), model
