"""Signature Version 4 from the other side: what a signed request must show to be believed.

As AWS documents it ("Create a signed AWS API request"): the client hashes the request as it goes
out and signs the hash with a key made from its secret, the day, the region and the service.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from routing.api.refusals import BadSignature

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "bedrock"
WINDOW = timedelta(minutes=5)
_AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 +Credential=([A-Z0-9]{1,32})/(\d{8})/([a-z0-9-]{1,32})/([a-z0-9-]{1,32})"
    r"/aws4_request *, *SignedHeaders=([a-z0-9;_-]{1,2000}) *, *Signature=([0-9a-f]{64})",
    re.ASCII,
)
_DATE = re.compile(r"\d{8}T\d{6}Z", re.ASCII)
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What an Authorization header claims: whose key, for which day and place, over what."""

    access_key_id: str
    day: str
    region: str
    service: str
    names: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        return f"{self.day}/{self.region}/{self.service}/aws4_request"


def read(authorization: str) -> Signed:
    """Return what `authorization` claims; raises BadSignature for another form or service."""
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        raise BadSignature("The Authorization header is no signature of Signature Version 4.")
    key, day, region, service, names, signature = found.groups()
    if service != SERVICE:
        raise BadSignature(f"The request is signed for {service}; this door is {SERVICE}.")
    return Signed(
        access_key_id=key,
        day=day,
        region=region,
        service=service,
        names=tuple(names.split(";")),
        signature=signature,
    )


def check(signed: Signed, headers: Headers, now: datetime) -> None:
    """Raise BadSignature unless the claim is about this request and this moment.

    What the door acts on must be signed: the host, the body's type, and every header of AWS or
    ours. A header that stands twice says two things, so it says nothing.
    """
    if list(signed.names) != sorted(set(signed.names)):
        raise BadSignature("SignedHeaders must name each header once, in order.")
    names = [name.decode("latin-1") for name, _ in headers]
    wanted = {"host", "x-amz-date"} | {name for name in names if _must_be_signed(name)}
    unsigned = sorted(wanted.difference(signed.names))
    if unsigned:
        raise BadSignature(f"These headers must be sent and signed: {', '.join(unsigned)}.")
    odd = sorted(name for name in signed.names if names.count(name) != 1)
    if odd:
        raise BadSignature(f"These signed headers must be sent once: {', '.join(odd)}.")
    if "x-amz-security-token" in names:
        raise BadSignature("This door knows no session tokens; sign without one.")
    _check_date(signed, _value(headers, "x-amz-date"), now)


def _must_be_signed(name: str) -> bool:
    return name == "content-type" or name.startswith(("x-amz-", "x-hybridops-"))


def _check_date(signed: Signed, said: str, now: datetime) -> None:
    if not _DATE.fullmatch(said) or said[:8] != signed.day:
        raise BadSignature("X-Amz-Date must be the time of the signature, and of its day.")
    try:
        at = datetime.strptime(said, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadSignature("X-Amz-Date is no time.") from None
    if abs(at - now) > WINDOW:
        raise BadSignature(
            f"The signature is of {said}, and it is {now:%Y%m%dT%H%M%SZ} here; at most 5 minutes "
            "may lie between. Set the clock right and sign again."
        )


def verify(
    signed: Signed, *, secret: str, method: str, raw_path: bytes, headers: Headers, body: bytes
) -> None:
    """Raise BadSignature unless the request is the one that was signed, with `secret`.

    Takes the same time for every wrong signature.
    """
    digest = hashlib.sha256(body).hexdigest()
    said = _value(headers, "x-amz-content-sha256", digest)
    lines = "".join(f"{name}:{_value(headers, name)}\n" for name in signed.names)
    # Every service but S3 has its path encoded once more, which is already encoded.
    path = quote(raw_path.decode("latin-1"), safe="/~")
    canonical = "\n".join([method, path, "", lines, ";".join(signed.names), digest])
    date = _value(headers, "x-amz-date")
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([ALGORITHM, date, signed.scope, hashed])
    key = b"AWS4" + secret.encode()
    for part in (signed.day, signed.region, signed.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, text.encode(), "sha256").hex()
    holds = hmac.compare_digest(expected, signed.signature)
    if not holds or said != digest:
        raise BadSignature(
            "The signature does not fit the request; check the secret access key, and that "
            "nothing between you and this server changes the request, its Host header included."
        )


def _value(headers: Headers, name: str, missing: str = "") -> str:
    wanted = name.encode()
    found = next((value for key, value in headers if key == wanted), None)
    return missing if found is None else " ".join(found.decode("utf-8", "replace").split())
