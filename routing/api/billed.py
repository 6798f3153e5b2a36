"""A request carried out within what its caller may spend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from routing.access.tokens import TokenFacts
from routing.api.quota import Quota
from routing.core import allowance
from routing.core.values import Operation
from routing.router import Ask, Routed

Carry = Callable[[Ask], Awaitable[Routed]]


async def carry_out(carry: Carry, quota: Quota, token: TokenFacts, ask: Ask) -> Routed:
    """Return what became of `ask`; an emergency is counted and not refused. Raises TooMany."""
    estimated = allowance.estimate(ask.texts, ask.max_tokens)
    calm = ask.operation is not Operation.EMERGENCY
    with quota.spend(token, estimated, refuse=calm) as bill:
        done = await carry(ask)
        bill.used = allowance.used(
            estimated,
            texts=ask.texts,
            answer=done.answer.text if done.answer else None,
            told=done.usage,
            untold=done.charge is not None and done.charge.open,
        )
    return done


async def go_on(carry: Carry, quota: Quota, token: TokenFacts, ask: Ask) -> Routed:
    """Return the same; it may go on without its caller, so it holds a place of its own."""
    with quota.hold(token, alone=True):
        return await carry_out(carry, quota, token, ask)
