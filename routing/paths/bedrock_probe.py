"""The ladder of a probe: credentials, a call that is free, now and then one that is paid for."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from routing.core.values import Failure
from routing.paths import bedrock_answer, bedrock_request
from routing.paths.base import PathError, Probe, Stage
from routing.paths.bedrock_patience import Patience
from routing.paths.bedrock_purse import Purse

PROBE_S = 3.5  # all rungs together
ONE_TOKEN = 1


class Prober(Protocol):
    """What a probe needs of a carrier."""

    async def credentials(self, patience: Patience) -> None: ...

    async def reply(
        self, verb: str, document: Mapping[str, Any], patience: Patience
    ) -> Mapping[str, Any]: ...


async def climb(
    carrier: Prober, model: str, purse: Purse | None, clock: Callable[[], datetime]
) -> Probe:
    """Return the rungs that were reached, the last of them perhaps failed, and what each cost."""
    patience = Patience(PROBE_S, None, None)
    counted: list[int] = []

    async def count() -> int:
        reply = await carrier.reply("count_tokens", bedrock_request.counting(model), patience)
        tokens = reply.get("inputTokens")
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise PathError(Failure.PROTOCOL, "The answer holds no number of tokens.")
        counted.append(tokens)
        return 0

    stages = [await _rung("credentials", lambda: _free(carrier.credentials(patience)))]
    if stages[-1].ok:
        stages.append(await _rung("count_tokens", count))
    if stages[-1].ok and purse is not None:
        cost = purse.price.microusd(counted[-1], ONE_TOKEN)
        if purse.take(cost, clock()):
            pay = _paying(carrier, model, purse, cost, patience)
            stages.append(await _rung("converse", pay, at_most=cost))
    return Probe(stages=tuple(stages))


async def _free(work: Awaitable[None]) -> int:
    await work
    return 0


def _paying(
    carrier: Prober, model: str, purse: Purse, at_most: int, patience: Patience
) -> Callable[[], Awaitable[int]]:
    """Return the call for one token, which tells what it cost; booked as `at_most` before."""

    async def pay() -> int:
        asked = {
            "modelId": model,
            "messages": [{"role": "user", "content": [{"text": "ping"}]}],
            "inferenceConfig": {"maxTokens": ONE_TOKEN},
        }
        reply = await carrier.reply("converse", asked, patience)
        if "stopReason" not in reply:
            raise PathError(Failure.PROTOCOL, "The reply is not as Converse answers.")
        used = bedrock_answer.usage(reply.get("usage"))
        if used is None:
            return at_most
        return purse.price.microusd(used.input_tokens, used.output_tokens)

    return pay


async def _rung(name: str, work: Callable[[], Awaitable[int]], *, at_most: int = 0) -> Stage:
    began = time.monotonic()
    problem, cost = "", at_most
    try:
        cost = await work()
    except PathError as error:
        problem = error.detail
    ms = (time.monotonic() - began) * 1000
    return Stage(name=name, ok=not problem, ms=ms, detail=problem, cost_microusd=cost)
