"""What a run may and does cost: the budget asked before its attempts, the charge told after.

A cached answer asks no budget and costs nothing. What a model may have been paid for without
telling (a stream that its caller left, an attempt that ran out of time) leaves a charge open; an
attempt that failed and told its tokens (an answer that was filtered) is charged like an answer,
together with the one that followed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from datetime import datetime

from routing.attempts import Run
from routing.core import allowance, budget, cost
from routing.core.cost import Charge
from routing.core.telling import Spent
from routing.core.values import Operation
from routing.cost.meter import Meter
from routing.paths.base import Answer, Billed, Usage


class Till:
    """Between the router and the meter of its process."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def refuses(self, run: Run, now: datetime) -> bool:
        """Tell whether a budget refuses `run`, and note which; our own traffic asks for none."""
        caller = run.ask.caller
        if caller.synthetic:
            return False
        emergency = run.ask.operation is Operation.EMERGENCY
        run.stopped = None
        stop = self._meter.stop(caller.environment, caller.tenant, emergency=emergency, now=now)
        if stop is not None:
            run.stopped = Spent(
                advice=self._meter.words(caller.environment, stop),
                retry_after_s=budget.retry_after_s(stop, now),
            )
        return run.stopped is not None

    def charge(self, run: Run) -> Charge | None:
        """Return what `run` cost; None where nothing can have been billed."""
        answer, environment = run.answer, run.ask.caller.environment
        if answer is not None and run.repeats:
            return self._meter.charge(environment, model=answer.model, tokens=None, cached=True)
        told = [*([answer] if answer else ()), *(b for b in run.billed if b.usage)]
        is_open = _is_open(run, told)
        if not told and not is_open:
            return None
        charges = (
            self._meter.charge(
                environment, model=one.model, tokens=_tokens(one.usage), is_open=is_open
            )
            for one in told or [Billed()]
        )
        return functools.reduce(cost.both, charges)

    def take(self, run: Run, charge: Charge | None, seq: int | None, now: datetime) -> None:
        """Count what `run` cost against the limits; our own traffic counts against none."""
        caller = run.ask.caller
        if charge is not None and not caller.synthetic:
            self._meter.take(caller.environment, caller.tenant, charge, seq, now)


def _tokens(usage: Usage | None) -> cost.Tokens | None:
    return (usage.input_tokens, usage.output_tokens) if usage else None


def _is_open(run: Run, told: Sequence[Answer | Billed]) -> bool:
    """Tell whether an attempt beside those that are charged by what they `told` may be billed.

    One that did not fail and gave no answer was left by its caller on the way; one that broke off
    after it had begun to speak has used some all the same.
    """
    broke_off = not told and run.begun
    left = run.answer is None and any(a.failure is None for a in run.attempts)
    untold = any(a.failure in allowance.UNTOLD for a in run.attempts)
    return broke_off or left or untold or any(billed.usage is None for billed in run.billed)
