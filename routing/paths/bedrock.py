"""DirectBedrockClient: one attempt by boto3 per call, explicit timeouts, our own words.

boto3 is synchronous: calls run on threads of this client's own. botocore's timeouts are per
client, not per call, so clients are kept per whole second of read timeout, on one session; the
total deadline is the caller's `asyncio.timeout` beside it.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore import exceptions as aws
from botocore.config import Config
from botocore.parsers import ResponseParserError

from routing.core.values import EnvironmentName, Failure, Path
from routing.paths.base import Answer, Call, PathError, Probe, Stage, Usage

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

CONNECT_S = 1.0
THREADS = 64
PROBE_S = 3
MOST_TOKENS = 10**9

# Error code of the service -> how the call failed. Sources: the service model of
# bedrock-runtime in botocore; common errors of the AWS query protocol.
_BY_CODE: Mapping[str, Failure] = {
    "ThrottlingException": Failure.THROTTLED,
    "ModelNotReadyException": Failure.THROTTLED,
    "ServiceQuotaExceededException": Failure.THROTTLED,
    "ServiceUnavailableException": Failure.PROVIDER,
    "InternalServerException": Failure.PROVIDER,
    "ModelErrorException": Failure.PROVIDER,
    "ModelTimeoutException": Failure.TIMEOUT,
    "ValidationException": Failure.VALIDATION,
    "ResourceNotFoundException": Failure.REFUSED_CREDENTIALS,
    "AccessDeniedException": Failure.REFUSED_CREDENTIALS,
    "UnrecognizedClientException": Failure.REFUSED_CREDENTIALS,
    "ExpiredTokenException": Failure.REFUSED_CREDENTIALS,
    "ExpiredToken": Failure.REFUSED_CREDENTIALS,
    "InvalidSignatureException": Failure.REFUSED_CREDENTIALS,
    "IncompleteSignature": Failure.REFUSED_CREDENTIALS,
}


class DirectBedrockClient:
    """One environment's client of one region and model.

    `endpoint` returns the endpoint URL at every connect, None for the region's own. The keys of
    the stand-in are literal: it checks that a signature is there, not whose it is.
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
        key = "local" if local else None
        self._session = boto3.Session(
            region_name=region, aws_access_key_id=key, aws_secret_access_key=key
        )
        self._clients: dict[tuple[str | None, int], BedrockRuntimeClient] = {}
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="bedrock")

    async def call(self, call: Call) -> Answer:
        """Return the whole answer by Converse; raises PathError."""
        reply = await self._run(partial(self._converse, call))
        return _answer(reply, self._model)

    async def probe(self) -> Probe:
        """Look for credentials, then count the tokens of one word: a call that costs nothing."""
        stages = []
        for name, look in (("credentials", self._credentials), ("count_tokens", self._count)):
            began = time.monotonic()
            try:
                async with asyncio.timeout(PROBE_S):
                    await self._run(look)
                problem = ""
            except TimeoutError:
                problem = f"no answer within {PROBE_S} s"
            except PathError as error:
                problem = error.detail
            ms = (time.monotonic() - began) * 1000
            stages.append(Stage(name=name, ok=not problem, ms=ms, detail=problem))
            if problem:
                break
        return Probe(stages=tuple(stages))

    async def close(self) -> None:
        """Let go of the connections; calls under way end by their own timeouts."""
        with self._lock:
            clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            client.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], Any]) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except PathError:
            raise
        except Exception as error:
            raise translate(error) from error

    def _client(self, timeout_s: float) -> BedrockRuntimeClient:
        read_s = max(1, math.ceil(timeout_s))
        endpoint = self._endpoint()
        with self._lock:
            client = self._clients.get((endpoint, read_s))
            if client is None:
                client = self._session.client(
                    "bedrock-runtime", endpoint_url=endpoint, config=_config(read_s)
                )
                self._clients[(endpoint, read_s)] = client
            return client

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
        return self._client(call.timeout_s).converse(**words)

    def _credentials(self) -> None:
        if self._session.get_credentials() is None:
            raise PathError(
                Failure.REFUSED_CREDENTIALS,
                "No AWS credentials were found; give this server a role or set a profile.",
                sent=False,
            )

    def _count(self) -> None:
        messages: Any = [{"role": "user", "content": [{"text": "ping"}]}]
        self._client(PROBE_S).count_tokens(
            modelId=self._model, input={"converse": {"messages": messages}}
        )


def load_sdk() -> None:
    """Read botocore's model of the service now (0.3 s); else the first call waits for it."""
    boto3.Session().client(
        "bedrock-runtime",
        region_name="local",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106 - nothing is signed
    ).close()


def _config(read_s: int) -> Config:
    return Config(
        connect_timeout=CONNECT_S,
        read_timeout=read_s,
        retries={"mode": "standard", "total_max_attempts": 1},  # the router retries, not the SDK
        max_pool_connections=THREADS,
        tcp_keepalive=True,
        proxies={},
    )


def translate(error: Exception) -> PathError:
    """Return what `error`, raised by boto3, is in our words."""
    if isinstance(error, aws.ClientError):
        return _from_service(error)
    if isinstance(error, aws.NoCredentialsError | aws.PartialCredentialsError):
        text = "No complete AWS credentials were found; give this server a role."
        return PathError(Failure.REFUSED_CREDENTIALS, text, sent=False)
    if isinstance(error, aws.ConnectTimeoutError | aws.EndpointConnectionError):
        return PathError(Failure.UNREACHABLE, _short(error), sent=False)
    if isinstance(error, aws.ReadTimeoutError):
        return PathError(Failure.TIMEOUT, _short(error))
    if isinstance(error, aws.ParamValidationError):
        return PathError(Failure.VALIDATION, _short(error), sent=False)
    if isinstance(error, ResponseParserError):
        return PathError(Failure.PROTOCOL, _short(error))
    if isinstance(error, aws.ConnectionError | aws.HTTPClientError):
        return PathError(Failure.UNREACHABLE, _short(error))
    return PathError(Failure.PROTOCOL, f"{type(error).__name__}: {_short(error)}")


def _from_service(error: aws.ClientError) -> PathError:
    said = error.response.get("Error", {})
    code = said.get("Code", "")
    meta = error.response.get("ResponseMetadata", {})
    status = int(meta.get("HTTPStatusCode", 0))
    failure = _BY_CODE.get(code)
    if failure is None:
        failure = Failure.PROVIDER if status >= 500 or not status else Failure.VALIDATION
    retry = meta.get("HTTPHeaders", {}).get("retry-after", "")
    return PathError(
        failure,
        f"{code or status}: {said.get('Message', '')}"[:300],
        retry_after_s=float(retry) if retry.isascii() and retry.isdigit() else None,
    )


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _answer(reply: Mapping[str, Any], model: str) -> Answer:
    """Return the text of a Converse reply; an answer without text is no answer."""
    try:
        content = reply["output"]["message"]["content"]
        text = "".join(block["text"] for block in content if "text" in block)
        stop = reply["stopReason"]
    except (KeyError, TypeError) as error:
        raise PathError(Failure.PROTOCOL, f"The reply lacks {error}.") from error
    if not text:
        raise PathError(Failure.PROTOCOL, "The reply holds no text.")
    return Answer(text=text, stop_reason=str(stop), model=model, usage=_usage(reply))


def _usage(reply: Mapping[str, Any]) -> Usage | None:
    usage = reply.get("usage") or {}
    into, out = usage.get("inputTokens"), usage.get("outputTokens")
    if not isinstance(into, int) or not isinstance(out, int):
        return None
    # Negative or enormous figures are no measurement.
    sane = 0 <= into < MOST_TOKENS and 0 <= out < MOST_TOKENS
    return Usage(input_tokens=into, output_tokens=out) if sane else None
