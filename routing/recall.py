"""Answers from the cache what was answered before, else has the attempts made.

It stands between the router's decision and its attempts, behind the gate: what is looked up is
what would be sent. A hit is a decision like any other; it names the one whose answer it repeats.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

from routing.attempts import LEAST_S, Run
from routing.cache.store import ResponseCache
from routing.core import caching
from routing.core.decision import State
from routing.core.flags import FlagName
from routing.core.values import EnvironmentName, Path
from routing.paths.base import Answer, PathClient


class Recall:
    """One instance a process. What is in force is part of each key: a change forgets all."""

    def __init__(
        self,
        *,
        carry_out: Callable[[Run], Awaitable[None]],
        cache: ResponseCache,
        client: Callable[[EnvironmentName, Path], PathClient | None],
    ) -> None:
        self._anew = carry_out
        self._cache = cache
        self._client = client

    async def carry_out(self, run: Run) -> None:
        """Give `run` its answer: a kept one, that of an equal question under way, or a new one.

        An answer in pieces may take longer than who waits for it has, so nobody waits for one.
        """
        key = self._key(run)
        if key is None:
            await self._anew(run)
            return
        found = await self._cache.get(key)
        if found is None and run.flow is None:
            found = await self._cache.wait_for_leader(key, run.left_s() - LEAST_S)
        if found is not None:
            repeat(run, found)
            return
        with self._cache.leading(key) if run.flow is None else nullcontext() as flight:
            await self._anew(run)
            # Who waited in line may have been decided anew, under what is in force now.
            kept = _worth_keeping(run) if self._key(run) == key else None
            if kept is not None and flight is not None:
                flight.land(kept)
        if kept is not None:
            await self._cache.put(key, kept, caching.ttl_s(run.ask.operation))

    def _key(self, run: Run) -> bytes | None:
        """Return the key of `run`'s answer, None where none may be looked for.

        Without a subject nobody knows whose answer it is, so it is given to nobody else. A run's
        own traffic proves things about the paths, so it always goes there.
        """
        ask, decision = run.ask, run.decision
        if not run.state.flags[FlagName.CACHING] or not caching.may_repeat(decision):
            return None
        if not ask.subject or ask.fresh or ask.caller.synthetic:
            return None
        client = self._client(ask.caller.environment, decision.intended)
        if client is None:
            return None
        return caching.key(
            (
                str(ask.caller.environment),
                _in_force(run.state),
                ask.caller.tenant,
                ask.subject,
                str(ask.operation),
                str(decision.intended),
                client.target,
                str(ask.max_tokens),
                repr(ask.temperature),
                *(message.role for message in ask.messages),
                *run.verdict.texts,
            )
        )


def _in_force(state: State) -> str:
    seen = state.versions
    return f"{state.matrix.version}.{seen.flags}.{seen.overrides}.{seen.settings}"


def repeat(run: Run, kept: bytes) -> None:
    """Give `run` a kept answer. It used no tokens now, and none are told."""
    said = json.loads(kept)
    run.answer = Answer(text=said["text"], stop_reason=said["stop"], model=said["model"])
    run.repeats = said["decision"]


def _worth_keeping(run: Run) -> bytes | None:
    """Return the answer as it is kept, None unless the intended path gave a whole one."""
    answer = run.answer
    if answer is None or not caching.is_whole(answer.stop_reason):
        return None
    if run.attempts[-1].path is not run.decision.intended or run.resorted:
        return None
    said = {
        "text": answer.text,
        "stop": answer.stop_reason,
        "model": answer.model,
        "decision": run.decision_id,
    }
    return json.dumps(said).encode()
