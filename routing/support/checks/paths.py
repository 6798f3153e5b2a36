"""Are both paths configured, allowed where they lead, let in, and measured lately?"""

from __future__ import annotations

from collections.abc import Iterator

from routing.compliance import residency
from routing.core import pinning
from routing.core.chain import Json
from routing.core.findings import Found, Severity
from routing.core.pinning import Drift
from routing.core.values import Health, Path
from routing.fleet import queries as fleet
from routing.fleet.queries import EnvironmentRow
from routing.health import queries as health
from routing.health.queries import Row
from routing.health.snapshot import STALE_US
from routing.pins import queries as pins
from routing.pins.queries import PinRow
from routing.support.site import Site

STALE_S = STALE_US // 1_000_000
_BAD = {
    Health.UNHEALTHY: Severity.HIGH,
    Health.DEGRADED: Severity.MEDIUM,
    Health.UNKNOWN: Severity.MEDIUM,
}
_SERVER = "Start the server of this environment, or look in its log for what stops the monitor."


def settings(site: Site) -> Iterator[Found]:
    """Look for paths that lead nowhere, or that lack what a client needs."""
    row = fleet.environment(site.environment)
    lacks = [
        name
        for name, value in (("region", row.bedrock_region), ("model", row.bedrock_model))
        if not value
    ]
    if row.bedrock_target and lacks:
        yield Found(
            severity=Severity.HIGH,
            title=f"direct_bedrock has a target and no {' and no '.join(lacks)}: nobody calls it.",
            remediation="Complete the path settings of this environment.",
            evidence={"target": row.bedrock_target, "lacks": lacks},
        )
    for path in Path:
        if not row.target(path):
            yield Found(
                severity=Severity.INFO,
                title=f"{path} is not configured in {site.environment}.",
                remediation="Set its target in the environment's settings if it is to be used.",
                evidence={"path": str(path), "settings_version": row.version},
            )


def residence(site: Site) -> Iterator[Found]:
    """Judge where each configured path leads against the residency of this environment."""
    row = fleet.environment(site.environment)
    for path in Path:
        if not row.target(path):
            continue
        judged = residency.of(row, path)
        if not judged.allowed:
            yield Found(
                severity=Severity.CRITICAL,
                title=f"{path} breaks the residency {row.residency} of {site.environment}.",
                remediation=judged.sentence,
                evidence={
                    "path": str(path),
                    "target": row.target(path),
                    "region": row.bedrock_region if path is Path.DIRECT_BEDROCK else "",
                    "residency": str(row.residency),
                },
            )


def credentials(site: Site) -> Iterator[Found]:
    """Read from the last probe whether direct_bedrock has credentials."""
    row = fleet.environment(site.environment)
    if not (row.bedrock_target and row.bedrock_region and row.bedrock_model):
        return
    measured = _rows(site).get(Path.DIRECT_BEDROCK)
    stages = measured.stages if measured else ()
    stage = next((one for one in stages if one.get("name") == "credentials"), None)
    if measured is None or stage is None or _age_s(measured, site) > STALE_S:
        yield Found(
            severity=Severity.HIGH,
            title="No probe looked lately whether direct_bedrock has credentials.",
            remediation=_SERVER,
            evidence={"measured": measured.observed_at.isoformat() if measured else "never"},
            unchecked=True,
        )
    elif not stage.get("ok"):
        yield Found(
            severity=Severity.CRITICAL,
            title="direct_bedrock has no usable credentials: emergencies have no other path.",
            remediation=str(stage.get("detail") or "Give the server an AWS role or profile.")[
                :500
            ],
            evidence={"stage": "credentials", "measured": measured.observed_at.isoformat()},
        )


def tools(site: Site) -> Iterator[Found]:
    """Compare what the MCP server lists with what was accepted of it."""
    place = fleet.environment(site.environment)
    row = pins.pin(site.environment, place.mcp_target, place.mcp_tool)
    if row is None or row.pin.drift is Drift.NONE:
        return
    command = f"`manage.py mcp tools --environment {site.environment}`"
    if row.pin.drift is Drift.TOOL:
        yield Found(
            severity=Severity.HIGH,
            title=f"The MCP tool {row.pin.tool} changed since it was accepted: nobody calls it.",
            remediation=f"Compare the two with {command}; accept what is there with --accept and "
            "--reason if it is right, else mend the server and then accept.",
            evidence=_drift(row),
        )
        return
    yield Found(
        severity=Severity.LOW,
        title="The MCP server's other tools changed since they were accepted; ours did not.",
        remediation=f"Look at them with {command}, and accept them there if they are right.",
        evidence=_drift(row),
    )


def _drift(row: PinRow) -> dict[str, Json]:
    return {
        "target": row.target,
        "accepted": row.pin.digest,
        "there_now": row.seen.digest,
        "seen_at": row.seen_at.isoformat(timespec="seconds"),
        "parts": list(row.difference.parts),
        "added": pinning.named(row.difference.added),
        "removed": pinning.named(row.difference.removed),
        "changed": pinning.named(row.difference.changed),
    }


def measured(site: Site) -> Iterator[Found]:
    """Look how old the last judgement of each configured path is, and what it says."""
    row, rows = fleet.environment(site.environment), _rows(site)
    for path in Path:
        if row.target(path):
            yield from _measured(site, row, path, rows.get(path))


def _measured(site: Site, row: EnvironmentRow, path: Path, last: Row | None) -> Iterator[Found]:
    facts = {"path": str(path), "target": row.target(path)}
    if last is None:
        yield Found(
            severity=Severity.HIGH,
            title=f"{path} was never measured in {site.environment}.",
            remediation=_SERVER,
            evidence=facts,
        )
        return
    age_s = _age_s(last, site)
    facts |= {"status": str(last.status), "measured": last.observed_at.isoformat()}
    if age_s > STALE_S:
        yield Found(
            severity=Severity.HIGH,
            title=f"The health of {path} was measured {age_s} s ago: nobody knows how it is.",
            remediation=_SERVER,
            evidence={**facts, "age_s": age_s, "at_most_s": STALE_S},
        )
    elif last.status in _BAD:
        why = " ".join(last.why)
        yield Found(
            severity=_BAD[last.status],
            title=f"{path} is {last.status}. {why}"[:300],
            remediation="Look at its probe stages on the Overview; the stage that fails says "
            "what is wrong on the other side.",
            evidence={**facts, "age_s": age_s, "why": list(last.why), "score": last.score},
        )


def _rows(site: Site) -> dict[Path, Row]:
    return {row.path: row for row in health.rows(site.environment)}


def _age_s(row: Row, site: Site) -> int:
    """Return the age either way: a time ahead of ours is as little a measurement of now."""
    return abs(int((site.now - row.observed_at).total_seconds()))
