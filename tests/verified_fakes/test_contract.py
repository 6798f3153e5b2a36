"""All clients of a path keep one contract: the real ones, and the one that stands in for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from routing.core.settings import BedrockTransport
from routing.core.values import Failure, Path
from routing.paths.base import Answer, Call
from routing.paths.scripted import ECHO, ScriptedClient, fails, waits
from tests.verified_fakes import asked
from tests.verified_fakes.contract import Contract, Subject
from tests.verified_fakes.standin import StandIn
from tests.verified_fakes.test_direct_bedrock_client import connect as to_bedrock
from tests.verified_fakes.test_mcp_router import at
from tests.verified_fakes.test_mcp_router import connect as to_mcp


class Rude(ScriptedClient):
    """Takes as long as it likes and lets its own errors through."""

    async def call(self, call: Call) -> Answer:
        self.calls.append(call)
        if self.otherwise.after is not None:
            await self.otherwise.after.wait()
        if self.otherwise.failure is not None:
            raise ConnectionError("a vendor's word")
        return Answer(text="", stop_reason="", model="")


async def test_the_contract_notices_a_client_that_breaks_it() -> None:
    client = Rude(path=Path.MCP)
    subject = about(client)
    contract = Contract()
    with pytest.raises(AssertionError):
        await contract.test_an_answer_has_text_and_says_why_it_ended(subject)
    with pytest.raises(AssertionError):
        await contract.test_what_no_json_can_hold_is_the_callers_fault_and_not_sent(subject)
    subject.fail()
    with pytest.raises(ConnectionError):
        await contract.test_a_failure_is_a_path_error_with_words(subject)
    subject.mend()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await contract.test_its_time_is_all_that_a_call_takes(subject)


def about(client: ScriptedClient) -> Subject:
    return Subject(
        client=client,
        path=Path.MCP,
        hang=lambda: setattr(client, "otherwise", waits(asyncio.Event())),
        fail=lambda: setattr(client, "otherwise", fails(Failure.PROVIDER)),
        mend=lambda: setattr(client, "otherwise", ECHO),
        arrived=lambda: len(client.calls),
    )


class TestScriptedClient(Contract):
    @pytest.fixture
    async def subject(self) -> AsyncIterator[Subject]:
        async with asked.nothing_left():
            client = ScriptedClient(path=Path.MCP)
            yield about(client)
            await client.close()


class TestDirectBedrockClient(Contract):
    @pytest.fixture
    async def subject(
        self, bedrock: StandIn, transport: BedrockTransport
    ) -> AsyncIterator[Subject]:
        async with asked.nothing_left():
            client, before = to_bedrock(bedrock.url, transport), asked.mark(bedrock)
            yield Subject(
                client=client,
                path=Path.DIRECT_BEDROCK,
                hang=lambda: bedrock.fault(kind="hang"),
                fail=lambda: bedrock.fault(kind="error"),
                mend=lambda: bedrock.ask(do="clear"),
                arrived=lambda: len(before.since("converse_stream")),
            )
            await client.close()


class TestMCPRouter(Contract):
    @pytest.fixture
    async def subject(self, mcp: StandIn) -> AsyncIterator[Subject]:
        async with asked.nothing_left():
            client, before = to_mcp(lambda: at(mcp)), asked.mark(mcp)
            await client.probe()
            yield Subject(
                client=client,
                path=Path.MCP,
                hang=lambda: mcp.fault(kind="hang"),
                fail=lambda: mcp.fault(kind="error"),
                mend=lambda: mcp.ask(do="clear"),
                arrived=lambda: len(before.since("tools/call")),
            )
            await client.close()
