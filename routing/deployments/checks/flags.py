"""Flags: what the serving process runs against the tables, and against the release."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from routing.core.flags import FlagName
from routing.core.values import TestStatus
from routing.core.verdict import Mismatch
from routing.deployments.checks import base
from routing.deployments.checks.base import Ground, Looked
from routing.flags import store
from routing.flags.snapshot import Mark
from routing.fleet import queries as fleet
from routing.runs import Reply

SEEN_WITHIN_S = 5.0
LOOK_EVERY_S = 0.2


async def feature_flags_system(ground: Ground) -> Looked:
    """Hold the flags and the version that every process runs to the tables."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while True:
        reply = await ground.run.report(ground.nonce)
        if not reply.ok:
            return Looked(status=TestStatus.FAIL, error=base.refused(reply))
        found = await ground.db(_tables, ground, reply.body)
        if not found or time.monotonic() > deadline:
            break
        await asyncio.sleep(LOOK_EVERY_S)
    good = "every process runs the flags of the tables"
    return base.compared(
        expected=good,
        actual="; ".join(found) or good,
        claims=(base.reported(ground, reply),),
        kind=Mismatch.FLAG,
    )


async def flag_configuration(ground: Ground) -> Looked:
    """Hold the flags that the serving process runs to the release."""
    reply = await _settled(ground)
    if not reply.ok:
        return Looked(status=TestStatus.FAIL, error=base.refused(reply))
    released = ground.content.flags[ground.environment]
    wanted = ground.content.shares(ground.environment)
    states = await ground.db(store.read, ground.environment)
    ours = {flag: states[flag].share if flag in states else 0 for flag in FlagName}
    off = [f for f in FlagName if f not in states or not states[f].gives_as(released[f])]
    running = reply.body["flags"]
    strange = [f for f in FlagName if f not in off and running[str(f)] != (wanted[f] > 0)]
    return base.compared(
        expected="; ".join(f"{f} {_share(wanted[f])}" for f in (*off, *strange)) or "as released",
        actual="; ".join(
            [
                *(f"{f} {_share(ours[f])}{ground.conflicts.get(str(f), '')}" for f in off),
                *(f"{f} runs {'on' if running[str(f)] else 'off'}" for f in strange),
            ]
        )
        or "as released",
        claims=(base.reported(ground, reply),),
        kind=Mismatch.FLAG,
    )


async def _settled(ground: Ground) -> Reply:
    """Return a report of the version that the tables hold, as soon as there is one."""
    deadline = time.monotonic() + SEEN_WITHIN_S
    while True:
        reply = await ground.run.report(ground.nonce)
        kept = (await ground.db(store.versions)).get(ground.environment, 0)
        if not reply.ok or _version(ground, reply.body) == kept or time.monotonic() > deadline:
            return reply
        await asyncio.sleep(LOOK_EVERY_S)


def _tables(ground: Ground, body: Mapping[str, Any]) -> list[str]:
    """Return how the processes differ from the tables."""
    mark = store.marks().get(ground.environment, Mark())
    kept, states = mark.version, store.read(ground.environment)
    found = ["somebody changed flags around us"] if mark.is_drifted else []
    found += [
        f"{flag} runs {'on' if body['flags'][str(flag)] else 'off'}, "
        f"the table says {_share(state.share)}"
        for flag, state in states.items()
        if state.share in (0, 100) and body["flags"][str(flag)] != (state.share == 100)
    ]
    name = f"flags:{ground.environment}"
    for row in fleet.alive(ground.environment, now=ground.clock()):
        if row.kind == "server" and row.versions.get(name) != kept:
            found.append(f"{row.id} runs version {row.versions.get(name)}, not {kept}")
    if _version(ground, body) != kept:
        found.append(f"the report says version {_version(ground, body)}, not {kept}")
    return found


def _version(ground: Ground, body: Mapping[str, Any]) -> int:
    return int(body["versions"].get(f"flags:{ground.environment}", -1))


def _share(percent: int) -> str:
    return {0: "off", 100: "on"}.get(percent, f"on at {percent} %")
