"""The AWS side of one environment: session, credentials, boto3's clients. It blocks: on threads.

boto3 is the source of credentials, configuration, endpoints and what a request looks like, for
both transports.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials
from botocore.loaders import Loader, create_loader

from routing.core.values import Failure
from routing.paths.base import PathError
from routing.paths.bedrock_sign import Keys, plain

if TYPE_CHECKING:
    from mypy_boto3_bedrock_runtime import BedrockRuntimeClient

FORGET_S = 5.0
RENEW_S = 60.0  # at most this often are credentials looked for that were refused
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
# Of botocore's list of all services' addresses (7 MiB) these are what a client of ours can ask
# for: the models, and who gives out keys.
ASKED = frozenset({"bedrock", "bedrock-runtime", "sts", "sso", "oidc", "portal.sso", "signin"})


def models() -> Loader:
    """Return a loader of botocore's data that keeps the addresses of these services alone."""
    loader = create_loader()
    for partition in loader.load_data("endpoints")[
        "partitions"
    ]:  # what it returns is what it keeps
        known = partition["services"]
        partition["services"] = {name: known[name] for name in known if name in ASKED}
    return loader


# Read once for all clients: another session of its own would read a megabyte of models again.
_models = models()
Send = Callable[[Any], AWSResponse]


class Account:
    """Session and credentials of one client; `send` carries the requests of its boto3 clients.

    The keys of a stand-in are literal: it checks that a signature is there, not whose it is.
    """

    def __init__(
        self, *, region: str, local: bool, endpoint: Callable[[], str | None], send: Send
    ) -> None:
        self._region = region
        self._local = local
        self._endpoint = endpoint
        self._send = send
        self._session: boto3.Session | None = None
        self._client: tuple[str | None, BedrockRuntimeClient] | None = None
        self._found_none_at = float("-inf")
        self._renewed_at = float("-inf")
        self._making = threading.Lock()

    def check(self) -> None:
        """Raise PathError when there are no credentials; that is remembered for some seconds.

        A client keeps the credentials that it was made with, also none, so it is made afterwards.
        """
        if self._local or plain(os.environ.get(BEARER, "")):
            return
        if time.monotonic() < self._found_none_at + FORGET_S:
            raise _nothing()
        found = self._in_session().get_credentials()
        if found is None:
            self._found_none_at = time.monotonic()
            raise _nothing()
        _read(found)

    def endpoint(self) -> str | None:
        """Return the endpoint as it is now, None for the region's own; raises PathError."""
        endpoint = self._endpoint()
        if endpoint is not None and not self._local and not endpoint.startswith("https://"):
            text = "Only a local stand-in may be reached by http; write the endpoint as https://."
            raise PathError(Failure.DISABLED, text, sent=False)
        return endpoint

    def client(self) -> BedrockRuntimeClient:
        """Return boto3's client for the endpoint as it is now."""
        endpoint = self.endpoint()
        with self._making:
            if self._client is None or self._client[0] != endpoint:
                self.check()
                self._client = (endpoint, self._make(endpoint))
            return self._client[1]

    def rehearsing(self, keys: Keys | None) -> BedrockRuntimeClient:
        """Return a client that signs with these very keys, so that what it signs can be compared.

        The other one may renew its credentials between two looks at them.
        """
        endpoint = self.endpoint()
        if keys is None:
            return self.client()
        fixed = {
            "aws_access_key_id": keys.access_key,
            "aws_secret_access_key": keys.secret_key,
            "aws_session_token": keys.token or None,
        }
        with self._making:
            return self._make(endpoint, **fixed)

    def keys(self) -> Keys | None:
        """Return the credentials as they are now, refreshed if it is time; None for a bearer."""
        if not self._local and os.environ.get(BEARER):
            return None
        with self._making:
            self.check()
            found = self._in_session().get_credentials()
            if found is None:
                raise _nothing()
            return _read(found)

    def renew(self) -> bool:
        """Forget credentials that were refused, so that the next call finds new ones; once.

        It does not wait: where a thread looks at them right now, that is as good.
        """
        now = time.monotonic()
        if self._local or now < self._renewed_at + RENEW_S:
            return False
        if not self._making.acquire(blocking=False):
            return False
        self._renewed_at = now
        self._session = self._client = None
        self._making.release()
        return True

    def close(self) -> None:
        """Close boto3's client."""
        if self._client is not None:
            self._client[1].close()

    def _make(self, endpoint: str | None, **keys: Any) -> BedrockRuntimeClient:
        client: BedrockRuntimeClient = self._in_session().client(
            "bedrock-runtime", endpoint_url=endpoint, config=_config(local=self._local), **keys
        )
        sending: Any = lambda request, **_: self._send(request)  # noqa: E731 - the stubs know none
        client.meta.events.register("before-send.bedrock-runtime", sending)
        return client

    def _in_session(self) -> boto3.Session:
        if self._session is None:
            core = botocore.session.Session(_NOTHING if self._local else _USUAL)
            core.register_component("data_loader", _models)
            if self._local:
                core.set_credentials("local", "local")
            self._session = boto3.Session(region_name=self._region, botocore_session=core)
        return self._session


def _read(found: Credentials) -> Keys:
    """Return the credentials as they are now; raises PathError for those that nothing can send."""
    frozen = found.get_frozen_credentials()
    return Keys(
        access_key=plain(frozen.access_key or ""),
        secret_key=frozen.secret_key or "",
        token=plain(frozen.token or ""),
        renewable=isinstance(found, RefreshableCredentials),
    )


def load_sdk() -> None:
    """Read botocore's model of the service now (0.3 s); else the first call waits for it."""
    core = botocore.session.Session(_NOTHING)
    core.register_component("data_loader", _models)
    boto3.Session(botocore_session=core).client(
        "bedrock-runtime",
        region_name="local",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106 - nothing is signed
    ).close()


def ask(client: BedrockRuntimeClient, verb: str, document: Mapping[str, Any]) -> Any:
    """Return what `client` answers to `verb`, such as `converse_stream`."""
    return getattr(client, verb)(**document)


def _nothing() -> PathError:
    return PathError(
        Failure.REFUSED_CREDENTIALS,
        "No AWS credentials were found; give this server a role or set a profile.",
        sent=False,
    )


def _config(*, local: bool) -> Config:
    """Return botocore's settings: the router retries, and no environment variable redirects."""
    ours: dict[str, Any] = {
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "ignore_configured_endpoint_urls": True,
    }
    if local:
        ours["signature_version"] = "v4"  # not with an API key of the environment
    return Config(**ours)
