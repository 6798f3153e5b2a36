"""The machine door: who may ask what, and what is answered when something is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path as Folder

import pytest

from routing.api import door
from routing.api.booking import Unknown
from routing.core.values import Failure, Health, Path
from routing.paths.base import Usage
from routing.paths.scripted import Step, fails, says, waits
from tests.unit.api import calls
from tests.unit.api.calls import HOST, PROMPT, Caller
from tests.unit.stage import NOW

MCP, DIRECT = Path.MCP, Path.DIRECT_BEDROCK
OPERATION, PRIORITY = "X-HybridOps-Operation", "X-HybridOps-Priority"
PATH, NONCE = "X-HybridOps-Path", "X-HybridOps-Nonce"


async def test_answers_with_the_text_and_the_whole_decision(caller: Caller) -> None:
    caller.stage.mcp.otherwise = says("All well.", usage=Usage(input_tokens=3, output_tokens=2))
    given = await caller.post()
    assert given.status == 200
    body = given.body
    assert {**body, "duration_ms": 0, "attempts": 0} == {
        "decision_id": given.headers["x-hybridops-decision"],
        "operation": "standard",
        "matrix_path": "mcp",
        "intended": "mcp",
        "effective": "mcp",
        "reason": "rule",
        "candidates": [["mcp", None], ["direct_bedrock", None]],
        "attempts": 0,
        "repeats": None,
        "text": "All well.",
        "usage": {"input_tokens": 3, "output_tokens": 2},
        "stop_reason": "end_turn",
        "model": "scripted",
        "pii": [],
        "duration_ms": 0,
    }
    (attempt,) = body["attempts"]
    assert (attempt["path"], attempt["failure"]) == ("mcp", None)
    assert given.headers["content-type"] == "application/json"
    assert given.headers["cache-control"] == "no-store"
    assert len(given.headers["x-request-id"]) == 16


async def test_usage_that_nobody_knows_is_null(caller: Caller) -> None:
    assert (await caller.post()).body["usage"] is None


async def test_half_a_surrogate_from_a_provider_does_not_break_the_answer(caller: Caller) -> None:
    caller.stage.mcp.otherwise = says("\ud800!")
    assert (await caller.post()).body["text"] == "?!"


async def test_environment_and_tenant_come_from_the_token_alone(caller: Caller) -> None:
    await caller.post(PROMPT, ("X-HybridOps-Environment", "development"))
    (kept,) = caller.stage.records()
    assert (kept["environment"], kept["tenant"], kept["token"]) == (
        "production",
        "acme",
        "tok_plain",
    )
    assert kept["synthetic"] is False


async def test_the_groups_of_a_caller_come_from_its_token_alone(caller: Caller) -> None:
    await caller.post(
        PROMPT, ("X-HybridOps-Tenant", "other"), ("X-HybridOps-Groups", "role:admin")
    )
    (who,) = caller.stage.subjects
    assert who.groups == {"tenant:acme", "token:plain", "role:viewer"}


async def test_the_record_and_the_answer_carry_the_same_request_id(caller: Caller) -> None:
    given = await caller.post()
    (kept,) = caller.stage.records()
    assert kept["request_id"] == given.headers["x-request-id"]


async def test_the_edges_request_id_is_kept(caller: Caller) -> None:
    request = calls.scope("GET", "/api/nothing", [HOST])
    request["request_id"] = "0123456789abcdef"
    assert (await caller.send(request, [])).error["request_id"] == "0123456789abcdef"


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic cGxhaW46", "plain", "Bearer nobody", "Bearer old"],
)
async def test_without_a_token_in_force_nothing_is_answered(
    caller: Caller, header: str | None
) -> None:
    more = () if header is None else (("Authorization", header),)
    given = await caller.post(PROMPT, *more, secret=None)
    assert (given.status, given.error["code"]) == (401, "not_signed_in")
    assert given.headers["www-authenticate"] == "Bearer"
    assert not caller.stage.mcp.calls


async def test_a_secret_that_no_token_has_is_counted_by_network(caller: Caller) -> None:
    await caller.post(PROMPT, secret="nobody")
    caller.booking.close()
    assert caller.booked == [Unknown(network="192.0.2.0/24", now=NOW)]


async def test_two_tokens_are_none(caller: Caller) -> None:
    given = await caller.post(PROMPT, ("Authorization", "Bearer urgent"))
    assert given.status == 400


async def test_an_emergency_needs_its_own_scope_and_the_denial_is_booked(caller: Caller) -> None:
    given = await caller.post({**PROMPT, "operation": "emergency"})
    assert (given.status, given.error["code"]) == (403, "forbidden")
    assert not caller.stage.direct.calls
    (denial,) = caller.denials()
    assert (str(denial.action), denial.object_id) == ("route.ask", "emergency")
    assert (denial.by.id, denial.by.peer) == (calls.TOKENS["plain"].actor().id, "192.0.2.0/24")
    assert denial.by.request_id == given.headers["x-request-id"]


async def test_with_the_scope_an_emergency_goes(caller: Caller) -> None:
    given = await caller.post(PROMPT, (OPERATION, "emergency"), secret="urgent")
    assert (given.status, given.body["effective"]) == (200, "direct_bedrock")


async def test_an_operation_outside_the_allow_list_is_refused_and_booked(caller: Caller) -> None:
    given = await caller.post(PROMPT, (OPERATION, "infrastructure"), secret="narrow")
    assert given.status == 403
    assert "it may for standard." in given.error["message"]
    assert [d.object_id for d in caller.denials()] == ["infrastructure"]


async def test_explaining_needs_the_scope_too(caller: Caller) -> None:
    given = await caller.post({**PROMPT, "operation": "emergency"}, path=door.EXPLAIN)
    assert given.status == 403


@pytest.mark.parametrize("header", [(PATH, "direct_bedrock"), (NONCE, "n1")])
async def test_only_a_run_may_pin_a_path_or_carry_a_nonce(
    caller: Caller, header: tuple[str, str]
) -> None:
    assert (await caller.post(PROMPT, header)).status == 403
    assert len(caller.denials()) == 1
    assert not caller.stage.mcp.calls + caller.stage.direct.calls


async def test_a_runs_traffic_is_pinned_marked_and_synthetic(caller: Caller) -> None:
    given = await caller.post(PROMPT, (PATH, "direct_bedrock"), (NONCE, "n-1"), secret="run")
    assert (given.body["effective"], given.body["reason"]) == ("direct_bedrock", "override")
    assert caller.stage.direct.calls[0].nonce == "n-1"
    (kept,) = caller.stage.records()
    assert (kept["synthetic"], kept["nonce"]) == (True, "n-1")


@pytest.mark.parametrize("header", [(PATH, "direct"), (NONCE, "a b"), (NONCE, "x" * 129)])
async def test_a_runs_headers_are_checked_like_everything_else(
    caller: Caller, header: tuple[str, str]
) -> None:
    assert (await caller.post(PROMPT, header, secret="run")).status == 400


@pytest.mark.parametrize(
    ("first", "second"), [(OPERATION, "standard"), (PRIORITY, "low"), ("Content-Type", "text/a")]
)
async def test_a_header_that_stands_twice_is_refused(
    caller: Caller, first: str, second: str
) -> None:
    assert (await caller.post(PROMPT, (first, second), (first, second))).status == 400


async def test_an_unknown_operation_names_the_known_ones(caller: Caller) -> None:
    given = await caller.post(PROMPT, (OPERATION, "STANDARD"))
    assert given.status == 400
    assert "kiro_communication" in given.error["known"]


async def test_a_failure_carries_code_advice_and_the_same_facts(caller: Caller) -> None:
    caller.stage.mcp.otherwise = fails(Failure.UNREACHABLE)
    caller.stage.direct.otherwise = fails(Failure.THROTTLED)
    given = await caller.post()
    assert (given.status, given.error["code"]) == (503, "no_path")
    assert int(given.headers["retry-after"]) >= 1
    assert given.body["candidates"] == [["mcp", "tried"], ["direct_bedrock", "tried"]]
    assert [a["failure"] for a in given.body["attempts"]][:2] == ["unreachable", "throttled"]
    assert (given.body["text"], given.body["effective"]) == (None, None)


async def test_the_status_of_a_final_failure_reaches_the_caller(caller: Caller) -> None:
    caller.stage.mcp.otherwise = fails(Failure.VALIDATION)
    given = await caller.post()
    assert (given.status, given.error["code"]) == (400, "validation")


async def test_a_log_that_cannot_be_written_is_a_503_but_not_for_emergencies(
    tmp_path: Folder,
) -> None:
    with calls.opened(tmp_path, logged=False) as caller:
        given = await caller.post()
        assert (given.status, given.error["code"]) == (503, "unavailable")
        assert given.headers["retry-after"] == "5"
        urgent = await caller.post(PROMPT, (OPERATION, "emergency"), secret="urgent")
        assert urgent.status == 200


async def test_a_server_that_only_starts_says_so(tmp_path: Folder) -> None:
    with calls.opened(tmp_path, running=False) as caller:
        assert (await caller.post()).status == 503
        assert (await caller.report((NONCE, "n"))).status == 503


async def test_what_nobody_foresaw_is_a_500_without_detail(
    caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    caller.stage.mcp.otherwise = Step(broken=ZeroDivisionError("secret detail"))
    given = await caller.post()
    assert (given.status, given.error["code"]) == (500, "broken")
    assert given.error["request_id"] == given.headers["x-request-id"]
    assert b"secret detail" not in given.raw
    assert given.headers["x-request-id"] in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_explains_without_a_call(caller: Caller) -> None:
    caller.stage.health = {MCP: Health.UNHEALTHY}
    given = await caller.post({**PROMPT, "priority": "low"}, path=door.EXPLAIN)
    assert given.status == 200
    body = given.body
    assert body["candidates"] == [["mcp", "unhealthy"], ["direct_bedrock", None]]
    assert (body["intended"], body["reason"]) == ("mcp", "fallback_unhealthy")
    assert (body["priority"], body["row"]["budget_ms"]) == ("low", 30_000)
    assert body["state"]["paths"]["mcp"]["health"] == "unhealthy"
    assert body["state"]["flags"]["ENABLE_INTELLIGENT_ROUTING"] is True
    assert not caller.stage.mcp.calls + caller.stage.direct.calls
    assert not caller.stage.records()


async def test_a_report_says_what_runs_and_logs_its_nonce(caller: Caller) -> None:
    caller.stage.trip(DIRECT)
    given = await caller.report((NONCE, "n-77"))
    assert given.status == 200
    body = given.body
    assert (body["process"], body["boot"], body["nonce"]) == ("host:b1", "b1", "n-77")
    assert (body["environment"], body["versions"]) == ("production", {"tokens": 7})
    assert body["breakers"][0]["state"] == "open"
    assert body["health"] == [{"path": "mcp", "status": "healthy"}]
    assert body["support_mode"] is None
    (kept,) = caller.stage.records("report")
    assert (kept["nonce"], kept["seq"], kept["token"]) == ("n-77", body["seq"], "tok_run")
    assert "connection" not in given.headers


async def test_a_report_without_a_nonce_proves_nothing(caller: Caller) -> None:
    assert (await caller.report()).status == 400
    assert not caller.stage.records("report")


async def test_nobody_but_a_run_reads_a_report(caller: Caller) -> None:
    assert (await caller.report(secret="urgent")).status == 403
    (denial,) = caller.denials()
    assert str(denial.action) == "report.read"


async def test_a_caller_that_leaves_while_it_sends_gets_nothing(caller: Caller) -> None:
    caller.leave.set()
    given = await caller.post(chunks=[])
    assert not given.messages


async def test_a_caller_that_leaves_cancels_its_call_and_leaves_a_record(caller: Caller) -> None:
    caller.stage.mcp.otherwise = waits(asyncio.Event())
    task = asyncio.create_task(caller.post())
    await caller.stage.mcp.arrived()
    caller.leave.set()
    given = await task
    assert not given.messages
    assert caller.stage.mcp.given_up == 1
    (kept,) = caller.stage.records()
    assert (kept["status"], kept["failure"]) == (499, "outcome_unknown")
    caller.leave.clear()
    caller.stage.mcp.otherwise = Step()
    assert (await caller.post()).status == 200


async def test_a_server_that_ends_takes_the_call_along_and_tells_the_caller(
    caller: Caller,
) -> None:
    caller.stage.mcp.otherwise = waits(asyncio.Event())
    task = asyncio.create_task(caller.post())
    await caller.stage.mcp.arrived()
    task.cancel()
    given = await task
    assert (given.status, given.error["code"]) == (503, "unavailable")
    assert given.headers["retry-after"] == "1"
    assert caller.stage.mcp.given_up == 1
    assert [r["status"] for r in caller.stage.records()] == [499]
