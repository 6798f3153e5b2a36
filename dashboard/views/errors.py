"""Pages for what went wrong before or beside a view: words and the request id, nothing else."""

from __future__ import annotations

import logging
import sys

from django.contrib.sessions.backends.base import UpdateError
from django.contrib.sessions.exceptions import SessionInterrupted
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from routing import wiring

log = logging.getLogger(__name__)
AGAIN_S = 5
_AWAY = OperationalError | InterfaceError


def _page(request: HttpRequest, status: int, title: str, words: str) -> HttpResponse:
    context = {
        "title": title,
        "words": words,
        "request_id": getattr(request, "request_id", "unknown"),
    }
    return render(request, "error.html", context, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 400, or 503 for a session that could not be saved because the database went away."""
    error: BaseException | None = exception
    while isinstance(error, SessionInterrupted | UpdateError):
        error = error.__context__  # Django takes every failed save for a session that is gone
    if isinstance(error, _AWAY):
        return _away(request, error)
    return _page(
        request, 400, "Not understood", "The request makes no sense here. Nothing was changed."
    )


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 403."""
    return _page(request, 403, "Not allowed", "You may not do this. Nothing was changed.")


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403 for a form that did not come from a page of ours, or from an old one."""
    return _page(
        request,
        403,
        "Page too old",
        "This form was opened before you last signed in, or came from elsewhere. "
        "Nothing was changed: go back, reload the page and send it again.",
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Answer 404."""
    return _page(
        request,
        404,
        "Not here",
        "There is no such page, or none that you may see. Check the address or start over.",
    )


def failed(request: HttpRequest) -> HttpResponse:
    """Answer 500, or 503 for a database that went away beside the view; neither needs it.

    Django calls this while it handles what went wrong.
    """
    error = sys.exception()
    if isinstance(error, _AWAY):
        return _away(request, error)
    return _page(
        request,
        500,
        "Something broke on our side",
        "It is not certain what was done. Reload the page to see what holds; "
        "give the request id to whoever looks into it.",
    )


def _known() -> str:
    """Word how old it is what requests are routed by; it tells of no environment."""
    age_s = wiring.stale_s()
    if age_s is None:
        return ""
    return ", by what was known" + (f" {age_s} s ago" if age_s >= 0 else " when it was last seen")


def _away(request: HttpRequest, error: BaseException) -> HttpResponse:
    response = _page(
        request,
        503,
        "The database does not answer",
        "It is busy or away, so it is not certain that anything was changed; requests are "
        f"routed all the same{_known()}. Wait a moment, then reload the page to see what "
        "holds before you try again.",
    )
    log.error("request %s: %s", getattr(request, "request_id", "unknown"), error)
    response["Retry-After"] = str(AGAIN_S)
    return response


class DatabaseAway(MiddlewareMixin):
    """Answers 503 in words where a view found the database busy or gone: no fault of the page."""

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return _away(request, exception) if isinstance(exception, _AWAY) else None
