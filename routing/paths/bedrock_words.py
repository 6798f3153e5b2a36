"""What boto3 raises, and what the service calls its errors, in our words."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from botocore import exceptions as aws
from botocore.eventstream import ParserError as EventStreamParserError
from botocore.parsers import ResponseParserError

from routing.core.values import Failure
from routing.paths.base import Billed, PathError, seconds, words

# Error code of the service -> how the call failed. Sources: the service model of
# bedrock-runtime in botocore; common errors of the AWS APIs.
_BY_CODE: Mapping[str, Failure] = {
    "ThrottlingException": Failure.THROTTLED,
    "TooManyRequestsException": Failure.THROTTLED,
    "ModelNotReadyException": Failure.THROTTLED,
    "ServiceUnavailableException": Failure.PROVIDER,
    "InternalServerException": Failure.PROVIDER,
    "InternalFailure": Failure.PROVIDER,
    "ModelErrorException": Failure.PROVIDER,
    "ModelStreamErrorException": Failure.PROVIDER,
    "ModelTimeoutException": Failure.TIMEOUT,
    "ValidationException": Failure.VALIDATION,
    "ValidationError": Failure.VALIDATION,
    "ConflictException": Failure.VALIDATION,
    # The account lacks the model, or a quota that only a person can raise: waiting is no help.
    "ResourceNotFoundException": Failure.REFUSED_CREDENTIALS,
    "ServiceQuotaExceededException": Failure.REFUSED_CREDENTIALS,
    "AccessDeniedException": Failure.REFUSED_CREDENTIALS,
    "AccessDenied": Failure.REFUSED_CREDENTIALS,
    "UnrecognizedClientException": Failure.REFUSED_CREDENTIALS,
    "InvalidClientTokenId": Failure.REFUSED_CREDENTIALS,
    "ExpiredTokenException": Failure.REFUSED_CREDENTIALS,
    "ExpiredToken": Failure.REFUSED_CREDENTIALS,
    "RequestExpired": Failure.REFUSED_CREDENTIALS,
    "InvalidSignatureException": Failure.REFUSED_CREDENTIALS,
    "SignatureDoesNotMatch": Failure.REFUSED_CREDENTIALS,
    "IncompleteSignature": Failure.REFUSED_CREDENTIALS,
    "MissingAuthenticationToken": Failure.REFUSED_CREDENTIALS,
    "MissingAuthenticationTokenException": Failure.REFUSED_CREDENTIALS,
    "NotAuthorized": Failure.REFUSED_CREDENTIALS,
    "OptInRequired": Failure.REFUSED_CREDENTIALS,
    "UnknownOperationException": Failure.PROTOCOL,
}
# Their messages repeat the request that was signed, session token and all.
_QUOTES_THE_REQUEST = frozenset(
    {"InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature"}
)
# The service no longer knows our credentials; those that are found now may be other ones.
_STALE = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidClientTokenId",
        "UnrecognizedClientException",
    }
)
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
# A status without a code that is known: something between us and the service answered.
_BY_STATUS: Mapping[int, Failure] = {
    400: Failure.VALIDATION,
    401: Failure.REFUSED_CREDENTIALS,
    403: Failure.REFUSED_CREDENTIALS,
    408: Failure.TIMEOUT,
    413: Failure.VALIDATION,
    422: Failure.VALIDATION,
    429: Failure.THROTTLED,
    504: Failure.TIMEOUT,
}
_NO_CREDENTIALS = (
    aws.NoCredentialsError,
    aws.PartialCredentialsError,
    aws.CredentialRetrievalError,
    aws.ProfileNotFound,
    aws.ConfigParseError,
    aws.ConfigNotFound,
    aws.SSOError,
    aws.TokenRetrievalError,
    aws.NoAuthTokenError,
    aws.MetadataRetrievalError,
    aws.InvalidConfigError,
)
# Raised for an answer alone, so somebody may have been paid for it.
_UNREADABLE = (ResponseParserError, EventStreamParserError)

_BY_KIND: tuple[tuple[tuple[type[Exception], ...], Failure, bool], ...] = (
    (_NO_CREDENTIALS, Failure.REFUSED_CREDENTIALS, False),
    ((aws.ParamValidationError,), Failure.VALIDATION, False),
    (_UNREADABLE, Failure.PROTOCOL, True),
    ((aws.ConnectTimeoutError, aws.EndpointConnectionError), Failure.UNREACHABLE, False),
    ((aws.ReadTimeoutError,), Failure.TIMEOUT, True),
    ((aws.ConnectionError, aws.HTTPClientError), Failure.UNREACHABLE, True),
)


def translate(error: Exception) -> PathError:
    """Return what `error`, raised by boto3, is in our words."""
    if isinstance(error, PathError):
        return error
    if isinstance(error, aws.EventStreamError):
        said: Mapping[str, Any] = error.response.get("Error", {})
        return in_stream(str(said.get("Code") or ""), str(said.get("Message") or ""))
    if isinstance(error, aws.ClientError):
        return _from_service(error)
    for kinds, failure, sent in _BY_KIND:
        if isinstance(error, kinds):
            billed = Billed() if kinds is _UNREADABLE else None
            return PathError(failure, _words(error), sent=sent, billed=billed)
    return PathError(Failure.PROTOCOL, words(f"{type(error).__name__}: {error}"))


def stale(error: Exception) -> bool:
    """Tell whether `error` says that other credentials may have taken the place of ours."""
    said: Mapping[str, Any] = getattr(error, "response", None) or {}
    return str(said.get("Error", {}).get("Code")) in _STALE


def unreachable(detail: str) -> PathError:
    """Return the failure of a call that found nobody; a proxy of the environment is named."""
    named = next((name for name in _PROXIES if os.environ.get(name)), "")
    hint = f" ({named} is set and not used.)" if named else ""
    return PathError(Failure.UNREACHABLE, words(detail) + hint, sent=False)


def in_stream(code: str, message: str) -> PathError:
    """Return the failure that an answer names after it has begun (`throttlingException`)."""
    named = code[:1].upper() + code[1:]
    detail = f"{named or 'Error'}: {message}" if message else named or "The stream failed."
    return PathError(_BY_CODE.get(named, Failure.PROVIDER), words(detail))


def _words(error: Exception) -> str:
    if isinstance(error, aws.ParamValidationError):
        # botocore quotes the values that it refuses, and they are the caller's text.
        return words(str(error).partition(", value:")[0])
    if isinstance(error, ResponseParserError):
        return "The answer cannot be read as Bedrock's."
    return words(error)


def _from_service(error: aws.ClientError) -> PathError:
    said: Mapping[str, Any] = error.response.get("Error", {})
    meta: Mapping[str, Any] = error.response.get("ResponseMetadata", {})
    code, status = str(said.get("Code", "")), int(meta.get("HTTPStatusCode", 0))
    message = "" if code in _QUOTES_THE_REQUEST else str(said.get("Message", ""))
    return PathError(
        _BY_CODE.get(code) or by_status(status),
        words(f"{code or status}: {message}" if message else f"{code or status}"),
        retry_after_s=seconds(meta.get("HTTPHeaders", {}).get("retry-after", "")),
    )


def by_status(status: int) -> Failure:
    """Return how a call failed that was answered with an HTTP status and no code we know."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return Failure.PROVIDER if status >= 500 or not status else Failure.PROTOCOL
