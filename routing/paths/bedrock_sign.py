"""AWS Signature Version 4 for one kind of request, with the day's key kept.

What boto3 sends for a call is learnt from boto3 itself, once per endpoint, verb and model
(`Pattern`); only time, body and keys are new with each call. The documentation calls it "Create a
signed AWS API request". A pattern proves itself: it must give the very signature that boto3 gave.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import SplitResult, quote, urlsplit

from botocore.utils import normalize_url_path

from routing.core.values import Failure
from routing.paths.base import PathError

ALGORITHM = "AWS4-HMAC-SHA256"
AGENT = "hybridops"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_OWN = frozenset({"user-agent", "amz-sdk-invocation-id", "amz-sdk-request"})
_SIGNED = ("content-type", "x-amz-date", "authorization", "content-length")
_BEARER = ("content-type", "authorization", "content-length")
_TOKEN = "x-amz-security-token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Credentials as they are at one moment; `renewable` ones run out and are found anew."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    renewable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a connection leads."""

    host: str
    port: int
    tls: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A request but for what changes with each call. `bearer`: it is not signed at all.

    `head` ends before the date, `canonical` is the part of the canonical request before it.
    """

    origin: Origin
    head: bytes
    canonical: str
    scope: str
    bearer: bytes = field(default=b"", repr=False)


class Signer:
    """Makes whole requests; keeps the signing key of the day."""

    def __init__(self) -> None:
        self._made_for: tuple[str, str, str] = ("", "", "")
        self._keyed = hmac.new(b"", digestmod="sha256")
        self._second: datetime | None = None
        self._stamp = ""

    def request(self, pattern: Pattern, keys: Keys | None, body: bytes, now: datetime) -> bytes:
        """Return the bytes to send; `keys` None only for a bearer's pattern."""
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        if keys is None or pattern.bearer:
            return pattern.head + pattern.bearer + length + body
        stamp = self._time(now)
        signature = self.signature(pattern, keys, body, stamp)
        token = f"X-Amz-Security-Token: {keys.token}\r\n" if keys.token else ""
        signed = _signed_headers(keys.token)
        middle = (
            f"X-Amz-Date: {stamp}\r\n{token}Authorization: {ALGORITHM} Credential="
            f"{keys.access_key}/{stamp[:8]}/{pattern.scope}, SignedHeaders={signed}, "
            f"Signature={signature}\r\n"
        )
        return pattern.head + middle.encode() + length + body

    def signature(self, pattern: Pattern, keys: Keys, body: bytes, stamp: str) -> str:
        """Return the signature of a request made at `stamp` (`20261129T120000Z`)."""
        token = f"{_TOKEN}:{keys.token}\n" if keys.token else ""
        digest = hashlib.sha256(body).hexdigest()
        canonical = (
            f"{pattern.canonical}x-amz-date:{stamp}\n{token}\n"
            f"{_signed_headers(keys.token)}\n{digest}"
        )
        scope = f"{stamp[:8]}/{pattern.scope}"
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashed}"
        signed = self._signing(keys, scope).copy()
        signed.update(text.encode())
        return signed.hexdigest()

    def _signing(self, keys: Keys, scope: str) -> hmac.HMAC:
        """Return what signs under the day's key: a copy of it costs less than the key again."""
        made_for = (keys.access_key, keys.secret_key, scope)
        if made_for != self._made_for:
            key = b"AWS4" + keys.secret_key.encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._keyed, self._made_for = hmac.new(key, digestmod="sha256"), made_for
        return self._keyed

    def _time(self, now: datetime) -> str:
        second = now.replace(microsecond=0)
        if second != self._second:
            utc = now if now.tzinfo is None else now.astimezone(UTC)  # botocore's own is naive
            self._stamp = utc.strftime("%Y%m%dT%H%M%SZ")
            self._second = second
        return self._stamp


def url(origin: Origin) -> str:
    """Return `origin` as a URL."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    return f"http{'s' * origin.tls}://{host}:{origin.port}"


def learn(url: str, headers: Mapping[str, str], body: bytes, keys: Keys | None) -> Pattern:
    """Return the pattern of the request that boto3 made to `url`.

    Raises PathError (disabled) where this version of boto3 sends what is not known here.
    """
    said = {name.lower(): value for name, value in headers.items()}
    names = tuple(name for name in said if name not in _OWN)
    parts = urlsplit(url)
    if keys is None:
        _insist(names == _BEARER, names)
        bearer = f"Authorization: {plain(said['authorization'])}\r\n".encode()
        return _pattern(parts, said, scope="", bearer=bearer)
    _insist(tuple(name for name in names if name != _TOKEN) == _SIGNED, names)
    scope = said["authorization"].partition("Credential=")[2].partition(",")[0]
    pattern = _pattern(parts, said, scope="/".join(scope.split("/")[2:]))
    signature = Signer().signature(pattern, keys, body, said["x-amz-date"])
    signed = _signed_headers(keys.token)
    own = said["authorization"].endswith(f"SignedHeaders={signed}, Signature={signature}")
    _insist(own, names)
    return pattern


def _pattern(
    parts: SplitResult, said: Mapping[str, str], *, scope: str, bearer: bytes = b""
) -> Pattern:
    _insist(not parts.query, ("a query",))
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    name = parts.hostname or ""
    host = f"[{name}]" if ":" in name else name
    if port != _DEFAULT_PORTS[parts.scheme]:
        host += f":{port}"
    kind = said["content-type"]
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {host}\r\nAccept-Encoding: identity\r\n"
        f"Content-Type: {kind}\r\nUser-Agent: {AGENT}\r\n"
    )
    path = quote(normalize_url_path(parts.path), safe="/~")
    return Pattern(
        origin=Origin(host=name, port=port, tls=parts.scheme == "https"),
        head=head.encode(),
        canonical=f"POST\n{path}\n\ncontent-type:{kind}\nhost:{host}\n",
        scope=scope,
        bearer=bearer,
    )


def _signed_headers(token: str) -> str:
    return f"content-type;host;x-amz-date{';' + _TOKEN if token else ''}"


def plain(value: str) -> str:
    """Return `value` where it may stand in a header; raises PathError (refused credentials)."""
    if not value.isascii() or not value.isprintable():
        detail = "The AWS credentials hold characters that no header may; mend them."
        raise PathError(Failure.REFUSED_CREDENTIALS, detail, sent=False)
    return value


def _insist(fits: bool, found: Sequence[str]) -> None:
    if not fits:
        detail = (
            f"This boto3 asks in a way that is not known here ({', '.join(found)}); set "
            "HYBRIDOPS_BEDROCK_TRANSPORT=boto3."
        )
        raise PathError(Failure.DISABLED, detail, sent=False)
