"""Waffle reads our state and nothing else: no visitor and no row of its own can flip a flag.

Each attack is first shown to work on Waffle's own rule, so that a pass means something.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import waffle
from django.conf import settings
from django.contrib.auth.models import AnonymousUser, Group
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.template import Context, Template
from django.test import RequestFactory
from django.urls import NoReverseMatch, reverse
from waffle.decorators import waffle_flag
from waffle.models import AbstractBaseFlag
from waffle.testutils import override_flag

from routing.changes import drift
from routing.core.flags import FlagName
from routing.flags.models import Flag, Sample, Switch
from tests.integration.changes.ground import DEV, STG, apply, entries, is_on, lay, to

pytestmark = pytest.mark.django_db(transaction=True)
SUPPORT = str(FlagName.SUPPORT_MODE)  # off everywhere: whoever gets True broke in


def waffles_own(request: HttpRequest, **state: Any) -> bool | None:
    """Return what Waffle's own rule would say with `state` in its row."""
    row = Flag(pk=1, name=SUPPORT, **state)
    row.is_active_for_user = partial(AbstractBaseFlag.is_active_for_user, row)  # type: ignore[method-assign]
    if not hasattr(request, "user"):
        request.user = AnonymousUser()
    return AbstractBaseFlag.is_active(row, request)


def by_cookie() -> HttpRequest:
    request = RequestFactory().get("/")
    request.COOKIES[f"dwf_{SUPPORT}"] = "True"
    return request


def by_query() -> HttpRequest:
    return RequestFactory().get("/", {f"dwft_{SUPPORT}": "1"})


def by_header() -> HttpRequest:
    return RequestFactory().get("/", headers={f"dwft-{SUPPORT}".replace("_", "-"): "1"})


def by_test_cookie() -> HttpRequest:
    request = RequestFactory().get("/")
    request.COOKIES[f"dwft_{SUPPORT}"] = "True"
    return request


@pytest.mark.parametrize(
    ("request_", "state"),
    [
        (by_cookie(), {"percent": 1}),
        (by_query(), {"testing": True}),
        (by_header(), {"testing": True}),
        (by_test_cookie(), {"testing": True}),
        (RequestFactory().get("/"), {"everyone": True}),
    ],
    ids=["cookie", "query", "header", "test-cookie", "everyone"],
)
def test_a_visitor_flips_waffles_own_flag_and_never_ours(
    request_: HttpRequest, state: dict[str, Any]
) -> None:
    lay()
    assert waffles_own(request_, **state) is True
    assert waffle.flag_is_active(request_, SUPPORT) is False
    assert Flag(pk=1, name=SUPPORT, **state).is_active(request_) is False


def test_the_override_by_query_is_closed_even_when_switched_on(settings: Any) -> None:
    lay()
    settings.WAFFLE_OVERRIDE = True
    request = RequestFactory().get("/", {SUPPORT: "1"})
    assert waffles_own(request) is True
    assert waffle.flag_is_active(request, SUPPORT) is False


def test_superusers_get_no_flag_for_free() -> None:
    lay()
    request = RequestFactory().get("/")
    request.user = type("Root", (), {"is_superuser": True, "is_staff": True, "pk": 1})()
    assert waffles_own(request, superusers=True) is True
    assert waffle.flag_is_active(request, SUPPORT) is False
    assert Flag(name="x").superusers is False


@pytest.mark.parametrize(
    "state",
    [
        {"everyone": True},
        {"everyone": False},
        {"percent": 50},
        {"testing": True},
        {"superusers": True},
        {"staff": True},
        {"authenticated": True},
        {"rollout": True},
        {"languages": "en"},
    ],
    ids=lambda state: next(iter(state)),
)
def test_the_database_keeps_waffles_row_neutral(state: dict[str, Any]) -> None:
    lay()
    with pytest.raises(IntegrityError), transaction.atomic():
        Flag.objects.filter(name=SUPPORT).update(**state)
    assert Flag.objects.filter(name=SUPPORT).update(note="neutral columns may change") == 1


def test_the_override_for_tests_meets_the_same_wall() -> None:
    lay()
    with pytest.raises(IntegrityError), override_flag(SUPPORT, active=True):
        pass


def test_nobody_and_no_group_can_be_put_on_a_flag() -> None:
    lay()
    flag, group = Flag.objects.get(name=SUPPORT), Group.objects.create(name="testers")
    with pytest.raises(IntegrityError, match="stays empty"), transaction.atomic():
        flag.groups.add(group)
    with (
        pytest.raises(IntegrityError, match="stays empty"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "INSERT INTO routing_flag_users (flag_id, user_id) VALUES (%s, 1)", [flag.pk]
        )


def test_waffle_answers_per_environment_right_after_a_change() -> None:
    lay()
    apply([to(FlagName.SUPPORT_MODE, True)])
    answers = {}
    for environment in (DEV, STG):
        request = RequestFactory().get("/")
        request.hybridops_environment = str(environment)  # type: ignore[attr-defined]
        answers[environment] = waffle.flag_is_active(request, SUPPORT)
    assert answers == {DEV: False, STG: True}


def test_waffle_asks_no_table(django_assert_num_queries: Any) -> None:
    lay()
    with django_assert_num_queries(0):
        assert waffle.flag_is_active(RequestFactory().get("/"), str(FlagName.CACHING)) is True


def test_a_missing_flag_is_off_and_not_made() -> None:
    lay()
    before = Flag.objects.count()
    assert waffle.flag_is_active(RequestFactory().get("/"), "ENABLE_ALL") is False
    assert Flag.objects.count() == before == len(FlagName)


def test_waffle_lists_every_flag(capsys: Any) -> None:
    lay()
    assert {flag.name for flag in Flag.get_all()} == set(FlagName)
    call_command("waffle_flag", "--list")
    assert {line.split()[-1] for line in capsys.readouterr().out.splitlines()} == set(FlagName)


def test_the_template_tag_asks_our_state() -> None:
    lay()
    text = (
        "{% load waffle_tags %}{% flag 'ai.caching.enabled' %}on{% else %}off{% endflag %} "
        "{% flag 'ENABLE_BEDROCK_SUPPORT_MODE' %}on{% else %}off{% endflag %}"
    )
    for request in (RequestFactory().get("/"), by_cookie(), by_query(), by_header()):
        request.user = AnonymousUser()
        assert Template(text).render(Context({"request": request})) == "on off"


def test_the_decorator_of_a_view_asks_our_state() -> None:
    lay()

    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse("seen")

    request = by_query()
    request.user = AnonymousUser()
    assert waffle_flag(str(FlagName.CACHING))(view)(request).content == b"seen"
    with pytest.raises(Http404):
        waffle_flag(SUPPORT)(view)(request)


async def test_a_coroutine_may_ask() -> None:
    """Waffle's own model reads its cache or the database there, and fails by chance."""
    assert await async_answer() is False


async def async_answer() -> bool | None:
    answer: bool | None = waffle.flag_is_active(RequestFactory().get("/"), SUPPORT)
    return answer


def test_no_answer_sets_a_cookie_by_which_waffle_would_know_a_visitor_again(client: Any) -> None:
    lay()
    apply([to(FlagName.SUPPORT_MODE, True, percentage=50)])
    asked = by_query()
    asked.user = AnonymousUser()
    waffle.flag_is_active(asked, SUPPORT)
    assert not hasattr(asked, "waffles")
    assert not hasattr(asked, "waffle_tests")
    answer = client.get("/sign-in/", {f"dwft_{SUPPORT}": "1"})
    assert not [name for name in answer.cookies if name.startswith("dwf")]
    assert not [name for name in settings.MIDDLEWARE if "waffle" in name]


def test_no_switch_and_no_sample_is_laid() -> None:
    lay()
    assert not Switch.objects.exists() and not Sample.objects.exists()
    assert waffle.switch_is_active(str(FlagName.CACHING)) is False
    assert waffle.sample_is_active(str(FlagName.CACHING)) is False


def test_waffles_command_to_set_a_flag_goes_through_ours() -> None:
    lay()
    where = ("--environment", "staging", "--reason", "asked by the old name")
    call_command("waffle_flag", SUPPORT, "--everyone", *where)
    entry = entries()[0]
    assert (entry.action, entry.actor_kind, entry.reason) == (
        "flag.change",
        "shell",
        "asked by the old name",
    )
    assert not drift.look(STG).is_open
    assert is_on(FlagName.SUPPORT_MODE)


@pytest.mark.parametrize("name", ["waffle_status", "wafflejs"])
def test_the_pages_that_publish_flags_are_not_there(client: Any, name: str) -> None:
    with pytest.raises(NoReverseMatch):
        reverse(name)
    assert client.get(f"/{name}").status_code == 404


@pytest.mark.parametrize(
    "command",
    [
        ["waffle_switch", "x", "on", "--create"],
        ["waffle_sample", "x", "50", "--create"],
        ["waffle_delete", "--flags", SUPPORT],
        ["waffle_flag", SUPPORT, "--testing", "--environment", "staging"],
        ["waffle_flag", SUPPORT, "--percent", "10", "--environment", "staging"],
        ["waffle_flag", SUPPORT, "--user", "olivia", "--environment", "staging"],
        ["waffle_flag", "ENABLE_ALL", "--everyone", "--create", "--environment", "staging"],
        ["waffle_flag", SUPPORT, "--everyone"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_waffles_writing_commands_write_nothing_and_say_why(
    command: list[str], capsys: Any
) -> None:
    lay()
    before = list(Flag.objects.order_by("name").values())
    with pytest.raises(SystemExit) as ended:
        call_command(*command)
    assert ended.value.code == 1
    told = capsys.readouterr().err
    assert "manage.py" in told or "--environment" in told
    assert list(Flag.objects.order_by("name").values()) == before
