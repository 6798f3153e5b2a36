"""DirectBedrockClient: one attempt by boto3 per call, one deadline, our own words.

boto3 is synchronous: calls run on threads of this client's own. A thread ends with its call: who
stops waiting also ends the exchange beneath (`bedrock_transport`).
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.httpsession import get_cert_path

from routing.core.values import EnvironmentName, Failure, Path
from routing.paths import base, bedrock_words
from routing.paths.base import Answer, Call, PathError, Probe, Stage
from routing.paths.bedrock_transport import Exchange, Lines, Whole

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

THREADS = 64
PROBE_THREADS = 2
MOST_WAITING = 256
LATE_S = 0.15  # how much later than the thread the waiting side ends a call
END_S = 2.0
PROBE_S = 3.5  # both stages together
FORGET_S = 5.0
BEARER = "AWS_BEARER_TOKEN_BEDROCK"  # Bedrock API keys; botocore prefers it to a signature
# Two requests ask for a machine's own role; with botocore's second for each, 2 s would be over.
_USUAL: dict[str, Any] = {
    "metadata_service_timeout": (
        "metadata_service_timeout",
        "AWS_METADATA_SERVICE_TIMEOUT",
        0.8,
        float,
    ),
}
# A stand-in needs nothing of the machine's AWS settings, so none of them can break it.
_NOTHING: dict[str, Any] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class DirectBedrockClient:
    """One environment's client of one region and model.

    `endpoint` returns the endpoint URL at every call, None for the region's own; only a `local`
    one may be http. The keys of a stand-in are literal: it checks that a signature is there, not
    whose it is.
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
    ) -> None:
        self.target = f"{region}/{model}"
        self._environment = environment
        self._model = model
        self._region = region
        self._endpoint = endpoint
        self._local = local
        self._session: boto3.Session | None = None
        self._client: tuple[str | None, BedrockRuntimeClient] | None = None
        self._lines = Lines(most=THREADS, authorities=str(get_cert_path(True)))
        self._found_none_at = float("-inf")
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(
            THREADS + PROBE_THREADS, thread_name_prefix=f"bedrock-{environment}"
        )
        self._slots = asyncio.Semaphore(THREADS)
        self._waiting = 0
        self._under_way: dict[Future[Any], Exchange] = {}
        self._closed = False

    async def call(self, call: Call) -> Answer:
        """Return the whole answer by Converse; raises PathError."""
        base.check(call)
        ends = time.monotonic() + call.timeout_s
        await self._take_slot(call.timeout_s)
        try:
            work = partial(self._converse, call)
            reply = await self._run(work, ends - time.monotonic(), self._slots.release)
            return bedrock_words.answer(reply, self._model)
        except PathError as error:
            raise base.discreet(error, call) from error.__cause__

    def stream(self, call: Call) -> AsyncGenerator[str | Answer]:
        """Yield the answer of Converse in one piece."""
        return base.in_one_piece(self, call)

    async def probe(self) -> Probe:
        """Look for credentials, then count the tokens of one word: a call that costs nothing."""
        stages: list[Stage] = []
        ends = time.monotonic() + PROBE_S
        for name, look in (("credentials", self._credentials), ("count_tokens", self._count)):
            began = time.monotonic()
            problem = ""
            try:
                await self._run(look, max(0.0, ends - time.monotonic()))
            except PathError as error:
                problem = error.detail
            ms = (time.monotonic() - began) * 1000
            stages.append(Stage(name=name, ok=not problem, ms=ms, detail=problem))
            if problem:
                break
        return Probe(stages=tuple(stages))

    def warm(self) -> None:
        """Begin to find credentials and make the boto3 client, so that no call waits for it."""
        self._threads.submit(self._made)

    async def close(self) -> None:
        """End the calls under way, their threads and all connections."""
        self._closed = True
        for exchange in self._under_way.values():
            exchange.give_up()
        ended = await asyncio.to_thread(futures.wait, list(self._under_way), END_S)
        # A thread that waits for the name service cannot be ended; it ends by itself.
        await asyncio.to_thread(self._threads.shutdown, wait=not ended.not_done)
        self._lines.close()
        if self._client is not None:
            self._client[1].close()

    async def _take_slot(self, timeout_s: float) -> None:
        """Wait for one of the threads, within the call's time and in a line of bounded length."""
        full = PathError(Failure.QUEUE_FULL, "All threads of this client are taken.", sent=False)
        if self._waiting >= MOST_WAITING:
            raise full
        self._waiting += 1
        try:
            async with asyncio.timeout(timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            raise full from None
        finally:
            self._waiting -= 1

    async def _run(
        self, work: Callable[[], Any], left_s: float, done: Callable[[], None] | None = None
    ) -> Any:
        """Return what `work` does on a thread; `done` is told when the thread is free again."""
        loop = asyncio.get_running_loop()
        exchange = Exchange(left_s)
        if self._closed:
            if done is not None:
                done()
            raise PathError(Failure.UNREACHABLE, "The client is closed.", sent=False)
        future = self._threads.submit(self._under, exchange, work)
        self._under_way[future] = exchange
        future.add_done_callback(lambda _: _tell(loop, self._ended, future, done))
        try:
            async with asyncio.timeout(left_s + LATE_S):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise PathError(Failure.TIMEOUT, "No answer in the time of the call.") from None
        except Exception as error:
            if self._closed:
                text = "The client was closed."
                raise PathError(Failure.UNREACHABLE, text) from error
            raise bedrock_words.translate(error) from error
        finally:
            exchange.give_up()

    def _under(self, exchange: Exchange, work: Callable[[], Any]) -> Any:
        with self._lines.under(exchange):
            return work()

    def _ended(self, future: Future[Any], done: Callable[[], None] | None) -> None:
        self._under_way.pop(future, None)
        if done is not None:
            done()

    def _converse(self, call: Call) -> Mapping[str, Any]:
        inference: dict[str, Any] = {"maxTokens": call.max_tokens}
        if call.temperature is not None:
            inference["temperature"] = call.temperature
        words: dict[str, Any] = {
            "modelId": self._model,
            "messages": [{"role": m.role, "content": [{"text": m.text}]} for m in call.messages],
            "inferenceConfig": inference,
            "requestMetadata": {"hybridops-decision": call.decision_id},
        }
        if call.nonce:
            words["requestMetadata"]["hybridops-nonce"] = call.nonce
        if call.system:
            words["system"] = [{"text": call.system}]
        return self._made().converse(**words)

    def _count(self) -> None:
        messages: Any = [{"role": "user", "content": [{"text": "ping"}]}]
        self._made().count_tokens(modelId=self._model, input={"converse": {"messages": messages}})

    def _credentials(self) -> None:
        """Raise PathError when there are none; that is remembered for some seconds.

        A client keeps the credentials that it was made with, also none, so it is made afterwards.
        """
        if self._local or os.environ.get(BEARER):
            return
        nothing = PathError(
            Failure.REFUSED_CREDENTIALS,
            "No AWS credentials were found; give this server a role or set a profile.",
            sent=False,
        )
        if time.monotonic() < self._found_none_at + FORGET_S:
            raise nothing
        if self._in_session().get_credentials() is None:
            self._found_none_at = time.monotonic()
            raise nothing

    def _made(self) -> BedrockRuntimeClient:
        endpoint = self._endpoint()
        if endpoint is not None and not self._local and not endpoint.startswith("https://"):
            text = "Only a local stand-in may be reached by http; write the endpoint as https://."
            raise PathError(Failure.DISABLED, text, sent=False)
        with self._making:
            if self._client is None or self._client[0] != endpoint:
                self._credentials()
                self._client = (endpoint, self._make(endpoint))
            return self._client[1]

    def _make(self, endpoint: str | None) -> BedrockRuntimeClient:
        client: BedrockRuntimeClient = self._in_session().client(
            "bedrock-runtime", endpoint_url=endpoint, config=_config(local=self._local)
        )
        sending: Any = self._send  # the stubs know no handler that answers
        client.meta.events.register("before-send.bedrock-runtime", sending)
        return client

    def _in_session(self) -> boto3.Session:
        if self._session is None:
            core = botocore.session.Session(_NOTHING if self._local else _USUAL)
            if self._local:
                core.set_credentials("local", "local")
            self._session = boto3.Session(region_name=self._region, botocore_session=core)
        return self._session

    def _send(self, request: Any, **_: Any) -> AWSResponse:
        reply = self._lines.send(request.method, request.url, request.headers, request.body)
        headers: Any = reply.headers
        return AWSResponse(request.url, reply.status, headers, Whole(reply.body))


def load_sdk() -> None:
    """Read botocore's model of the service now (0.3 s); else the first call waits for it."""
    boto3.Session(botocore_session=botocore.session.Session(_NOTHING)).client(
        "bedrock-runtime",
        region_name="local",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106 - nothing is signed
    ).close()


def _config(*, local: bool) -> Config:
    """Return botocore's settings: the router retries, and no environment variable redirects."""
    ours: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "ignore_configured_endpoint_urls": True,
    }
    if local:
        ours["signature_version"] = "v4"  # not with an API key of the environment
    return Config(**ours)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *about: Any) -> None:
    try:
        loop.call_soon_threadsafe(what, *about)
    except RuntimeError:
        return  # the loop has ended, and with it everybody who would have listened
