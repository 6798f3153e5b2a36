"""The gate of every page: who asks, in which environment, and how a refusal is told."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import quote, urlsplit

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.deprecation import MiddlewareMixin
from django_htmx.http import HttpResponseClientRedirect

from routing import patience, wiring
from routing.access import signin
from routing.approvals import queries as approvals
from routing.core import rights
from routing.core.errors import MustChange, NotFound, NotSignedIn, Refused
from routing.core.rights import Actor, Right
from routing.core.values import EnvironmentName, Role
from routing.glass import queries as glass
from routing.glass.queries import GlassRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of the rail; `key` follows `g` on the keyboard."""

    name: str
    route: str
    key: str
    right: Right


PAGES = (
    Page(name="Overview", route="overview", key="o", right=Right.READ),
    Page(name="Flags", route="flags", key="f", right=Right.READ),
    Page(name="Routing", route="routing", key="r", right=Right.READ),
    Page(name="Breakers", route="breakers", key="k", right=Right.READ),
    Page(name="Cost", route="cost", key="c", right=Right.READ),
    Page(name="Deployments", route="deployments", key="d", right=Right.READ),
    Page(name="Rollback", route="rollback", key="b", right=Right.READ),
    Page(name="Approvals", route="approvals", key="p", right=Right.READ),
    Page(name="Audit", route="audit", key="a", right=Right.AUDIT_READ),
    Page(name="Support", route="support", key="s", right=Right.READ),
    Page(name="Settings", route="settings", key="t", right=Right.SETTINGS),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One signed-in person at one page of one environment.

    `waiting` counts the proposals that wait for a second person there.
    """

    actor: Actor
    environment: EnvironmentName
    section: str
    now: datetime
    waiting: int = 0
    glass: GlassRow | None = None  # the break-glass that holds here, for the banner

    @property
    def role(self) -> Role | None:
        return self.actor.role(self.environment)

    @property
    def environments(self) -> list[EnvironmentName]:
        """Return the environments that this person may see."""
        return environments_of(self.actor)

    @property
    def pages(self) -> list[Page]:
        """Return the pages that this person may open here."""
        return [p for p in PAGES if self.may(p.right)]

    def may(self, right: Right) -> bool:
        """Tell whether the person holds `right` in this environment."""
        return rights.can(self.actor, right, self.environment)


def environments_of(actor: Actor) -> list[EnvironmentName]:
    """Return the environments where `actor` has a role, development first."""
    return [e for e in EnvironmentName if actor.role(e) is not None]


View = Callable[..., HttpResponse]


class Patient(MiddlewareMixin):
    """Lets no question of any page wait for ever, those of sign-in and of its session included."""

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        with patience.within(_patience_s(request)):
            return self.get_response(request)

    async def __acall__(self, request: HttpRequest) -> Any:
        with patience.within(_patience_s(request)):
            return await cast("Awaitable[Any]", self.get_response(request))


def _patience_s(request: HttpRequest) -> float:
    is_change = request.method not in ("GET", "HEAD")
    return patience.CHANGE_S if is_change else patience.READ_S


def page(section: str, right: Right = Right.READ) -> Callable[[View], View]:
    """Call a view with a Visit in place of the environment's name.

    Without a session: to the sign-in page and back. Without a role there: 404, as if there were
    no such environment. Without `right`, and for any refusal that the view does not tell itself:
    a page in words.
    """

    def wrap(view: View) -> View:
        @functools.wraps(view)
        def gated(
            request: HttpRequest, environment: EnvironmentName, **named: Any
        ) -> HttpResponse:
            def show(visit: Visit) -> HttpResponse:
                signin.check(visit.actor, right, visit.environment, now=visit.now, page=section)
                return view(request, visit, **named)

            response = _enter(request, environment, section, show)
            patch_vary_headers(response, ["Cookie", "HX-Request"])
            return response

        return gated

    return wrap


def _enter(
    request: HttpRequest,
    environment: EnvironmentName,
    section: str,
    show: Callable[[Visit], HttpResponse],
) -> HttpResponse:
    now = wiring.now()
    try:
        actor = signin.actor(request, now=now)
    except MustChange:
        return HttpResponseRedirect(reverse("password"))
    except NotSignedIn as error:
        if error.message == signin.ENDED:
            messages.info(request, error.message)
        return to_sign_in(request)
    if actor.role(environment) is None:
        raise Http404
    visit = Visit(
        actor=actor,
        environment=environment,
        section=section,
        now=now,
        waiting=approvals.waiting(environment, now=now),
        glass=glass.active(environment, now),
    )
    try:
        return show(visit)
    except NotFound as error:
        raise Http404 from error
    except Refused as error:
        return refused(request, visit, error)


def refused(request: HttpRequest, visit: Visit, error: Refused) -> HttpResponse:
    """Return the page that says in words what was refused and what to do next."""
    context = {"visit": visit, "error": error}
    return render(request, "dashboard/refused.html", context, status=error.status)


def to_sign_in(request: HttpRequest) -> HttpResponse:
    """Send the person to sign in and, after a page was asked for, back to it."""
    asked = request.get_full_path() if request.method in ("GET", "HEAD") else ""
    if is_htmx(request):
        parts = urlsplit(request.headers.get("HX-Current-URL", ""))
        asked = parts.path + (f"?{parts.query}" if parts.query else "")
    target = reverse("sign-in") + (f"?next={quote(asked)}" if is_local(asked) else "")
    response: HttpResponse
    if is_htmx(request):
        response = HttpResponseClientRedirect(target)
    else:
        response = HttpResponseRedirect(target)
    patch_vary_headers(response, ["Cookie", "HX-Request"])
    return response


def is_htmx(request: HttpRequest) -> bool:
    """Tell whether htmx asks and wants a fragment; never a question of rights."""
    return bool(getattr(request, "htmx", False))


def is_local(target: str) -> bool:
    """Tell whether `target` is a plain path of this site, however a browser reads it."""
    printable = target.isascii() and target.isprintable()
    return (
        printable and target.startswith("/") and not target.startswith("//") and "\\" not in target
    )
