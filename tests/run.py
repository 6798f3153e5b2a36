"""Every test, leg by leg: `python -m tests.run`, or `make test`.

A leg that cannot run says so in one line; under HYBRIDOPS_REQUIRE_ALL=1 that is a failure. All
legs run even when one fails. The last line counts what happened, and the exit status is honest.
Those that time little go on beside one another in two lanes, where there are two processors.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import IO

from tests import needs

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS = 5  # pytest's exit status when it found none


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One run of pytest: its name, places, surroundings, and why it cannot run ("" if it can).

    Places are folders or files below tests/. Legs that run `beside` share two lanes with the leg
    before them, one after another in each; what they print follows when all have ended.
    """

    name: str
    places: tuple[str, ...]
    surroundings: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    beside: bool = False


def legs() -> list[Leg]:
    two = (os.cpu_count() or 1) > 1
    return [
        Leg(name="integration on SQLite", places=("integration",)),
        Leg(
            name="integration on PostgreSQL and Redis",
            places=("integration",),
            surroundings={"DATABASE_URL": needs.DATABASE_URL, "REDIS_URL": needs.REDIS_URL},
            missing=needs.postgresql() or needs.redis(),
            beside=two,
        ),
        Leg(name="verified fakes", places=("verified_fakes",), beside=two),
        Leg(name="unit", places=("unit",), beside=two),
        Leg(name="chaos sample", places=("chaos",)),
        Leg(name="browser", places=("e2e",), missing=needs.chromium()),
    ]


def install_chromium() -> None:
    """Install the browser where that takes no more than asking the system."""
    if not needs.chromium() or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    say("installing the package chromium ...")
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    quiet = subprocess.DEVNULL
    install = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
    for command in (["apt-get", "update"], install):
        subprocess.run(command, env=env, stdin=quiet, stdout=quiet, stderr=quiet, check=False)


def run(leg: Leg, seed: str, tally: Path, arguments: list[str], printed: IO[bytes] | None) -> bool:
    """Run one leg and tell whether it passed; what it prints goes into `printed` if given."""
    away = {"DATABASE_URL", "REDIS_URL"}
    env = {name: value for name, value in os.environ.items() if name not in away}
    env |= {"HYBRIDOPS_TALLY": str(tally), **leg.surroundings}
    places = [f"tests/{place}" for place in leg.places]
    command = [sys.executable, "-m", "pytest", f"--hypothesis-seed={seed}", "-q", *places]
    done = subprocess.run(
        [*command, *arguments], cwd=ROOT, env=env, check=False, stdout=printed, stderr=printed
    )
    return done.returncode in (0, NO_TESTS)


def abreast(
    front: Leg, beside: Sequence[Leg], seed: str, tally: Path, arguments: list[str]
) -> list[str]:
    """Run `front`, and the others in a lane next to it and in its own; return who did not pass."""
    waiting, passed = deque(beside), dict[str, bool]()
    with tempfile.TemporaryDirectory(prefix="hybridops-printed-") as folder:

        def lane() -> None:
            while True:
                try:
                    leg = waiting.popleft()
                except IndexError:
                    return
                with Path(folder, leg.name).open("wb") as printed:
                    passed[leg.name] = run(leg, seed, tally, arguments, printed)

        with ThreadPoolExecutor(1) as other:
            going_on = other.submit(lane)
            say(f"{front.name} (seed {seed})")
            passed[front.name] = run(front, seed, tally, arguments, None)
            lane()
            going_on.result()
        for leg in beside:
            say(f"{leg.name} (seed {seed})")
            print(Path(folder, leg.name).read_text(encoding="utf-8", errors="replace"), flush=True)
    return [leg.name for leg in (front, *beside) if not passed[leg.name]]


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def counted(tally: Path) -> tuple[int, int, int]:
    """Return passed, failed and skipped over all legs."""
    lines = tally.read_text().splitlines() if tally.exists() else []
    rows = [[int(count) for count in line.split()] for line in lines]
    passed, failed, errors, skipped = (sum(column) for column in zip(*rows, strict=True))
    return passed, failed + errors, skipped


def main(arguments: list[str], chosen: Sequence[Leg]) -> int:
    """Run the legs, pytest's arguments added to each, and return the exit status for all."""
    begun = time.monotonic()
    seed = os.environ.get("HYBRIDOPS_SEED") or str(secrets.randbelow(2**32))
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="hybridops-tally-") as folder:
        tally = Path(folder) / "tally"
        tally.write_text("0 0 0 0\n")
        able = [leg for leg in chosen if not leg.missing]
        for leg in chosen:
            if leg.missing:
                say(f"{'MISSING' if needs.required() else 'skipped'}: {leg.name}: {leg.missing}")
                wrong += [leg.name] if needs.required() else []
        while able:
            front = able.pop(0)
            behind = list(takewhile(lambda leg: leg.beside, able))
            wrong += abreast(front, behind, seed, tally, arguments)
            del able[: len(behind)]
        passed, failed, skipped = counted(tally)
    if not passed:
        wrong.append("no test ran")
    verdict = f"wrong: {'; '.join(wrong)}" if wrong else "all well"
    say(f"{verdict}; {time.monotonic() - begun:.0f} s; seed {seed}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    install_chromium()
    sys.exit(main(sys.argv[1:], legs()))
