from __future__ import annotations

import inspect
from typing import Any

import pytest
from botocore import exceptions as aws
from botocore.eventstream import ChecksumMismatch
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from routing.core.values import Failure
from routing.paths import bedrock_words
from routing.paths.base import Billed, PathError


def modelled() -> list[str]:
    service = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "x")
    names = ("Converse", "ConverseStream", "CountTokens")
    return sorted({shape.name for n in names for shape in service.operation_model(n).error_shapes})


def client_error(code: str, status: int, **more: Any) -> aws.ClientError:
    said: Any = {
        "Error": {"Code": code, "Message": more.get("message", "no")},
        "ResponseMetadata": {
            "HTTPStatusCode": status,
            "HTTPHeaders": {"retry-after": more.get("hint", "")},
        },
    }
    return aws.ClientError(said, "Converse")


@pytest.mark.parametrize("code", modelled())
def test_every_error_of_the_service_model_is_known_by_name(code: str) -> None:
    by_name = bedrock_words.translate(client_error(code, 599)).failure
    assert by_name is bedrock_words.translate(client_error(code, 200)).failure
    assert code in bedrock_words.translate(client_error(code, 599)).detail


def test_the_service_model_names_what_was_expected() -> None:
    assert {"ThrottlingException", "ModelErrorException", "ValidationException"} <= {*modelled()}


@given(st.text(), st.integers(min_value=0, max_value=999), st.text())
def test_every_answer_of_a_service_is_some_failure(code: str, status: int, said: str) -> None:
    problem = bedrock_words.translate(client_error(code, status, message=said))
    assert problem.failure in Failure
    assert len(problem.detail) <= 300


def test_a_refused_signature_is_not_quoted() -> None:
    said = "The Canonical String should have been 'POST /model x-amz-security-token:abc'"
    for code in ("InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignature"):
        problem = bedrock_words.translate(client_error(code, 403, message=said))
        assert problem.detail == code


def raised() -> list[Exception]:
    """One of each error that botocore can raise."""
    found: list[Exception] = []
    for kind in vars(aws).values():
        if not inspect.isclass(kind) or not issubclass(kind, aws.BotoCoreError):
            continue
        error = kind.__new__(kind)
        Exception.__init__(error, getattr(kind, "fmt", "x").split("{")[0] or "x")
        found.append(error)
    return found


@pytest.mark.parametrize("error", raised(), ids=lambda error: type(error).__name__)
def test_every_error_of_botocore_is_some_failure(error: Exception) -> None:
    assert bedrock_words.translate(error).failure in Failure


@pytest.mark.parametrize(
    ("error", "failure", "sent"),
    [
        (aws.NoCredentialsError(), Failure.REFUSED_CREDENTIALS, False),
        (aws.ProfileNotFound(profile="x"), Failure.REFUSED_CREDENTIALS, False),
        (aws.UnauthorizedSSOTokenError(), Failure.REFUSED_CREDENTIALS, False),
        (aws.EndpointConnectionError(endpoint_url="x"), Failure.UNREACHABLE, False),
        (aws.ReadTimeoutError(endpoint_url="x"), Failure.TIMEOUT, True),
        (ResponseParserError("{secret"), Failure.PROTOCOL, True),
        (ZeroDivisionError("x"), Failure.PROTOCOL, True),
    ],
)
def test_what_botocore_raises_by_itself(error: Exception, failure: Failure, sent: bool) -> None:
    problem = bedrock_words.translate(error)
    assert (problem.failure, problem.sent) == (failure, sent)
    assert "{secret" not in problem.detail


@pytest.mark.parametrize("error", [ResponseParserError("x"), ChecksumMismatch(1, 2)])
def test_an_answer_that_botocore_cannot_read_may_be_billed(error: Exception) -> None:
    problem = bedrock_words.translate(error)
    assert (problem.failure, problem.billed) == (Failure.PROTOCOL, Billed())
    assert bedrock_words.translate(ZeroDivisionError("x")).billed is None
    assert bedrock_words.translate(client_error("ValidationException", 400)).billed is None


def test_a_refused_parameter_is_named_without_its_value() -> None:
    report = "Invalid length for parameter messages[0].content[0].text, value: private, valid: 1"
    problem = bedrock_words.translate(aws.ParamValidationError(report=report))
    assert (problem.failure, problem.sent) == (Failure.VALIDATION, False)
    assert "private" not in problem.detail
    assert "messages[0]" in problem.detail


def test_our_own_errors_pass() -> None:
    own = PathError(Failure.TRUNCATED, "x")
    assert bedrock_words.translate(own) is own
