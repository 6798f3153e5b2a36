"""Every test, leg by leg: `python -m tests.run`, or `make test`.

A leg that cannot run says so in one line; under HYBRIDOPS_REQUIRE_ALL=1 that is a failure. All
legs run even when one fails. The last line counts what happened, and the exit status is honest.
Two legs that time little run side by side where there are two processors.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tests import needs

ROOT = Path(__file__).resolve().parent.parent
NO_TESTS = 5  # pytest's exit status when it found none


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """One run of pytest: its name, places, surroundings, and why it cannot run ("" if it can).

    Places are folders or files below tests/. A leg that runs `beside` starts with the leg before
    it, and what it prints follows when both have ended.
    """

    name: str
    places: tuple[str, ...]
    surroundings: Mapping[str, str] = field(default_factory=dict)
    missing: str = ""
    beside: bool = False


def legs() -> list[Leg]:
    return [
        Leg(
            name="unit and integration on SQLite", places=("unit", "verified_fakes", "integration")
        ),
        Leg(
            name="integration on PostgreSQL and Redis",
            places=("integration",),
            surroundings={"DATABASE_URL": needs.DATABASE_URL, "REDIS_URL": needs.REDIS_URL},
            missing=needs.postgresql() or needs.redis(),
            beside=(os.cpu_count() or 1) > 1,
        ),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A leg under way; `printed` holds what it prints where that is kept for later."""

    leg: Leg
    process: subprocess.Popen[bytes]
    printed: IO[bytes] | None

    def end(self, seed: str) -> bool:
        """Wait for the end, print what was kept, tell whether the leg passed."""
        status = self.process.wait()
        if self.printed is not None:
            say(f"{self.leg.name} (seed {seed})")
            self.printed.seek(0)
            sys.stdout.write(self.printed.read().decode(errors="replace"))
            self.printed.close()
        return status in (0, NO_TESTS)


def start(leg: Leg, seed: str, tally: Path, arguments: list[str]) -> Running:
    """Start one leg."""
    if not leg.beside:
        say(f"{leg.name} (seed {seed})")
    away = {"DATABASE_URL", "REDIS_URL"}
    env = {name: value for name, value in os.environ.items() if name not in away}
    env |= {"HYBRIDOPS_TALLY": str(tally), **leg.surroundings}
    places = [f"tests/{place}" for place in leg.places]
    command = [sys.executable, "-m", "pytest", f"--hypothesis-seed={seed}", "-q", *places]
    printed = tempfile.TemporaryFile() if leg.beside else None  # noqa: SIM115 - `end` closes it
    process = subprocess.Popen(
        [*command, *arguments], cwd=ROOT, env=env, stdout=printed, stderr=printed
    )
    return Running(leg=leg, process=process, printed=printed)


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
        running: list[Running] = []
        for leg in chosen:
            if leg.missing:
                say(f"{'MISSING' if needs.required() else 'skipped'}: {leg.name}: {leg.missing}")
                wrong += [leg.name] if needs.required() else []
                continue
            if not leg.beside:
                wrong += _wrong(running, seed)
            running.append(start(leg, seed, tally, arguments))
        wrong += _wrong(running, seed)
        passed, failed, skipped = counted(tally)
    if not passed:
        wrong.append("no test ran")
    verdict = f"wrong: {'; '.join(wrong)}" if wrong else "all well"
    say(f"{verdict}; {time.monotonic() - begun:.0f} s; seed {seed}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if wrong else 0


def _wrong(running: list[Running], seed: str) -> list[str]:
    """Return the names of those that did not pass, once all have ended."""
    failed = [one.leg.name for one in running if not one.end(seed)]
    running.clear()
    return failed


if __name__ == "__main__":
    install_chromium()
    sys.exit(main(sys.argv[1:], legs()))
