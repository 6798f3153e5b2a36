"""The load: wrk, closed loop, one thread; what it saw comes back as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# What wrk runs: one fixed request, and its own figures in µs as one line of JSON at the end.
_SCRIPT = """
wrk.method = "POST"
wrk.body = {body}
{headers}
done = function(summary, latency, requests)
  io.write(string.format(
    '\\n{{"requests":%d,"us":%d,"p50":%d,"p90":%d,"p99":%d,"max":%d,"bad":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.timeout))
end
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One request, the same each time."""

    url: str
    body: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one run saw; latencies in ms, `bad` counts answers that were none."""

    requests: int
    per_s: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    bad: int


def drive(target: Target, *, at_once: int, seconds: float, folder: Path) -> Seen:
    """Send `target` over `at_once` connections for `seconds`; raises RuntimeError if wrk fails."""
    script = folder / "post.lua"
    script.write_text(
        _SCRIPT.format(
            body=_lua(target.body),
            headers="\n".join(
                f"wrk.headers[{_lua(k)}] = {_lua(v)}" for k, v in target.headers.items()
            ),
        )
    )
    done = subprocess.run(
        [
            *("wrk", "-t", "1", "-c", str(at_once), "-d", f"{max(1, round(seconds))}s"),
            *("--timeout", "60s", "-s", str(script), target.url),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"wrk: {done.stderr or done.stdout}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    return Seen(
        requests=said["requests"],
        per_s=said["requests"] / (said["us"] / 1e6),
        p50_ms=said["p50"] / 1000,
        p90_ms=said["p90"] / 1000,
        p99_ms=said["p99"] / 1000,
        max_ms=said["max"] / 1000,
        bad=said["bad"],
    )


def _lua(text: str) -> str:
    return json.dumps(text)  # of ASCII without \\u, Lua reads it the same
