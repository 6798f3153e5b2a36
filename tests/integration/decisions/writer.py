"""A process that is killed: it writes decisions as fast as it can, or takes over and ships them.

`write FOLDER BOOT` prints the number of each record as it is acknowledged. `ship FOLDER BOOT` is
the next server of that home: it closes what the dead left, ships it, and ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import django

from routing.core.chain import Json

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hybridops.settings")

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CALLERS = 64
BODY: dict[str, Json] = {
    "v": 1,
    "kind": "decision",
    "at": "2026-11-23T11:59:00.000000Z",
    "environment": "production",
    "operation": "standard",
    "tenant": "acme",
    "usage": [3, 2],
    "cost": {
        "model": "m",
        "currency": "EUR",
        "nanos": 7,
        "policy": 1,
        "open": False,
        "cached": False,
    },
    "pad": "x" * 200,
}


async def write(folder: Path, boot: str) -> None:
    from routing.decisions.log import DecisionLog

    log = DecisionLog(folder, process="p", boot=boot, part_bytes=60_000)
    log.open(NOW)

    async def caller(number: int) -> None:
        turn = 0
        while True:
            turn += 1
            body = BODY | {"id": f"d{number}-{turn}"}
            seq = await log.record(body)
            # One write call: a kill leaves a whole line or none.
            os.write(1, f"{seq}\n".encode())

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))


def ship(folder: Path, boot: str) -> None:
    from routing.cost import spend
    from routing.decisions import shipper
    from routing.decisions.shipper import Shipper

    shipper.AT_ONCE = 40  # many rounds, so that a kill strikes among them
    successor = Shipper(folder, live=f"decision:p:{boot}", synced=lambda: 0, count=spend.add)
    os.write(1, b"begun\n")
    successor.close_the_dead(NOW)
    os.write(1, b"closed\n")
    while successor.ship():
        os.write(1, b"copied\n")
    assert not successor.broken, successor.broken


def main() -> None:
    what, folder, boot = sys.argv[1:]
    django.setup()
    if what == "write":
        asyncio.run(write(Path(folder), boot))
    else:
        ship(Path(folder), boot)


if __name__ == "__main__":
    main()
