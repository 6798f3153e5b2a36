"""What every client of a path owes the router, whatever is behind it.

A test class inherits `Contract` and gives a `subject`: a client, and the levers of its other side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from routing.core.values import Failure, Path
from routing.paths.base import Answer, PathClient, PathError
from tests.verified_fakes.asked import LATE_S, call, failed, outcomes, until


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """`hang`: the other side answers nothing from now on; `fail`: it says no; `mend`: neither.

    `arrived` counts the calls that the other side has seen.
    """

    client: PathClient
    path: Path
    hang: Callable[[], object]
    fail: Callable[[], object]
    mend: Callable[[], object]
    arrived: Callable[[], int]


class Contract:
    """The claims; each is about any client."""

    async def test_it_names_its_path_and_target(self, subject: Subject) -> None:
        assert subject.client.path is subject.path
        assert subject.client.target

    async def test_an_answer_has_text_and_says_why_it_ended(self, subject: Subject) -> None:
        answer = await subject.client.call(call(nonce="n", system="s", temperature=0.1))
        assert answer.text
        assert answer.stop_reason
        assert answer.model
        assert answer.usage is None or answer.usage.output_tokens > 0

    async def test_a_stream_ends_with_the_answer_that_its_pieces_make(
        self, subject: Subject
    ) -> None:
        *pieces, answer = [part async for part in subject.client.stream(call())]
        assert isinstance(answer, Answer)
        assert "".join(map(str, pieces)) == answer.text

    async def test_one_call_is_one_request(self, subject: Subject) -> None:
        await subject.client.call(call())
        before = subject.arrived()
        await subject.client.call(call())
        subject.fail()
        await failed(subject.client)
        assert subject.arrived() - before == 2

    async def test_a_failure_is_a_path_error_with_words(self, subject: Subject) -> None:
        subject.fail()
        problem = await failed(subject.client)
        assert problem.failure in Failure
        assert problem.detail.isprintable()
        assert str(problem.failure) == problem.facts["failure"]
        subject.mend()
        assert (await subject.client.call(call())).text

    async def test_its_time_is_all_that_a_call_takes(self, subject: Subject) -> None:
        await subject.client.call(call())
        subject.hang()
        problem = await failed(subject.client, timeout_s=0.4)
        assert problem.failure is Failure.TIMEOUT

    async def test_a_cancelled_call_ends_at_once_and_the_others_go_on(
        self, subject: Subject
    ) -> None:
        await subject.client.call(call())
        subject.hang()
        before = subject.arrived()
        tasks = [asyncio.create_task(subject.client.call(call(timeout_s=2))) for _ in range(3)]
        await until(lambda: subject.arrived() - before == 3)
        began = time.monotonic()
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        assert time.monotonic() - began < LATE_S
        assert not any(task.done() for task in tasks[1:])
        await subject.client.close()
        assert len(await outcomes(*tasks[1:])) == 2

    async def test_concurrent_calls_all_end(self, subject: Subject) -> None:
        found = await outcomes(*(subject.client.call(call(f"number {n}")) for n in range(20)))
        assert all(isinstance(one, Answer) for one in found)

    async def test_what_no_json_can_hold_is_the_callers_fault_and_not_sent(
        self, subject: Subject
    ) -> None:
        before = subject.arrived()
        problem = await failed(subject.client, text="\ud800")
        assert (problem.failure, problem.sent) == (Failure.VALIDATION, False)
        assert subject.arrived() == before

    async def test_a_probe_tells_stages_and_does_not_raise(self, subject: Subject) -> None:
        probe = await subject.client.probe()
        assert probe.ok
        assert all(stage.name and stage.ms >= 0 and not stage.detail for stage in probe.stages)

    async def test_closing_ends_what_waits_and_refuses_what_comes(self, subject: Subject) -> None:
        await subject.client.call(call())
        subject.hang()
        before = subject.arrived()
        task = asyncio.create_task(subject.client.call(call(timeout_s=30)))
        await until(lambda: subject.arrived() - before == 1)
        await subject.client.close()
        [end] = await outcomes(task)
        assert isinstance(end, PathError)
        problem = await failed(subject.client)
        assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
        await subject.client.close()  # twice is once
