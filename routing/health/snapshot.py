"""The last judgements, in memory: what a decision reads. They age: an old one is unknown."""

from __future__ import annotations

from collections.abc import Mapping

from routing.core.values import EnvironmentName, Health, Path

STALE_US = 15_000_000
_PATHS = tuple(Path)  # every decision goes through them

_judged: dict[tuple[EnvironmentName, Path], tuple[Health, int]] = {}


def put(environment: EnvironmentName, path: Path, status: Health, at_us: int) -> None:
    """Keep a judgement made at `at_us` (µs of wall time), unless a later one is known."""
    kept = _judged.get((environment, path))
    if kept is None or kept[1] <= at_us or kept[1] - at_us > STALE_US:
        _judged[(environment, path)] = (status, at_us)


def of(environment: EnvironmentName, now_us: int) -> Mapping[Path, Health]:
    """Return both paths' health as known at `now_us`; older than 15 s is unknown."""
    return {path: _fresh(_judged.get((environment, path)), now_us) for path in _PATHS}


def _fresh(kept: tuple[Health, int] | None, now_us: int) -> Health:
    if kept is None or now_us - kept[1] > STALE_US:
        return Health.UNKNOWN
    return kept[0]
