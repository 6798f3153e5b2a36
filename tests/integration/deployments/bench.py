"""A process beside a real server, in its home and on its tables: plants faults, runs checks.

Reads one JSON order a line, answers with one JSON line: {"do": "plant" | "check" | "heal"}.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path as Folder
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "hybridops.settings"
django.setup()

from routing import runs, wiring  # noqa: E402
from routing.core.rights import shell_actor, system_actor  # noqa: E402
from routing.core.values import EnvironmentName  # noqa: E402
from routing.core.verdict import Suite  # noqa: E402
from routing.deployments import faults, ledger, record, release  # noqa: E402
from routing.deployments.checks import runner  # noqa: E402
from routing.deployments.checks.base import Ground  # noqa: E402
from routing.deployments.evidence import Journals  # noqa: E402
from routing.deployments.faults import Heal, Site  # noqa: E402
from routing.fleet import queries as fleet  # noqa: E402

DEV = EnvironmentName.DEVELOPMENT
BY = shell_actor(user="ada", host="bench")
HOME = Folder(os.environ["HYBRIDOPS_HOME"])


async def look(suite: Suite, name: str, ground: Any) -> dict[str, Any]:
    async with runs.open(
        environment=DEV, by=system_actor("deployments"), now=wiring.now(), purpose="a bench"
    ) as run:
        check = runner.SUITES[suite][name]
        return record.as_json(await runner.one(suite, name, check, ground(run=run)))


def check(suite: Suite, name: str) -> dict[str, Any]:
    last = ledger.last(DEV)
    assert last is not None
    ground = partial(
        Ground,
        environment=DEV,
        row=fleet.environment(DEV),
        nonce="",
        content=release.read(last.release),
        by=BY,
        clock=wiring.now,
        journals=Journals(home=HOME, environment=DEV, since=wiring.now()),
        board=None,
        operation="bench",
    )
    return runs.wait(partial(look, suite, name, ground))


def obey(order: dict[str, Any], planted: list[Heal]) -> dict[str, Any]:
    if order["do"] == "plant":
        site = Site(environment=DEV, home=HOME, by=BY, clock=wiring.now)
        planted.append(faults.FAULTS[order["name"]].plant(site))
        return {}
    if order["do"] == "heal":
        while planted:
            planted.pop()()
        return {}
    return check(Suite(order["suite"]), order["name"])


def main() -> None:
    planted: list[Heal] = []
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line), planted)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
