"""Gateways side by side, in one run: `python -m bench.gateway`.

All of them stand in front of the same stub on this machine and are asked in turn, so that what
is compared was measured within the same minutes. Needs wrk, nginx, node and npm (Debian has all
four); peers are installed once under `--home`. Latency added is a quantile less the stub's own.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import peers, stub
from bench.ground import ROOT, cpu_s, family, machine, rss_mib
from bench.load import Seen, drive
from bench.peers import Gateway, Wanted

SENTENCE = "Say in one sentence how the cluster is doing and what changed in the last hour. "


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One gateway at one concurrency in one run."""

    run: int
    gateway: str
    at_once: int
    per_s: float
    p50_ms: float
    p99_ms: float
    bad: int
    requests: int
    cpu_ms: float
    rss_mib: float


def measure(gateway: Gateway, run: int, at_once: int, seconds: float, folder: Path) -> Row:
    """Drive one gateway once and return what it did and what it cost."""
    pids = family(gateway.pid)
    before = cpu_s(pids)
    seen: Seen = drive(gateway.target, at_once=at_once, seconds=seconds, folder=folder)
    spent = cpu_s(pids) - before
    return Row(
        run=run,
        gateway=gateway.name,
        at_once=at_once,
        per_s=round(seen.per_s, 1),
        p50_ms=seen.p50_ms,
        p99_ms=seen.p99_ms,
        bad=seen.bad,
        requests=seen.requests,
        cpu_ms=round(spent * 1000 / max(1, seen.requests), 4),
        rss_mib=round(rss_mib(pids), 1),
    )


def compare(
    names: Sequence[str],
    wanted: Wanted,
    runs: int,
    sweep: Sequence[int],
    seconds: float,
    home: Path,
) -> list[Row]:
    """Return every row; the gateways run all the while and are asked one after the other."""
    rows: list[Row] = []
    with ExitStack() as stack:
        upstream = stack.enter_context(stub.running(home / "stub"))
        started = [
            stack.enter_context(contextmanager(peers.ALL[name])(home, upstream, wanted))
            for name in names
        ]
        for gateway in started:  # connections, pools and compilers warm
            drive(gateway.target, at_once=4, seconds=2, folder=home)
        for run in range(1, runs + 1):
            for at_once in sweep:
                for gateway in started:
                    rows.append(measure(gateway, run, at_once, seconds, home))
                    print(_line(rows[-1]), file=sys.stderr, flush=True)
    return rows


def _line(row: Row) -> str:
    return (
        f"run {row.run}  c={row.at_once:<3} {row.gateway:<28} {row.per_s:>9.0f}/s  "
        f"p50 {row.p50_ms:.2f} ms  p99 {row.p99_ms:.2f} ms  cpu {row.cpu_ms:.3f} ms  bad {row.bad}"
    )


def table(rows: Sequence[Row]) -> str:
    """Return the comparison in Markdown: medians over the runs, with least and most."""
    sweep = sorted({row.at_once for row in rows})
    names = list(dict.fromkeys(row.gateway for row in rows))
    head = "| gateway | c | requests/s | added p50 ms | added p99 ms | CPU ms | MiB | bad |"
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    for name in names:
        for at_once in sweep:
            own = _of(rows, name, at_once)
            floor = _of(rows, "stub alone", at_once)
            lines.append(
                f"| {name} | {at_once} | {_spread([r.per_s for r in own], 0)} | "
                f"{_added(own, floor, 'p50_ms')} | {_added(own, floor, 'p99_ms')} | "
                f"{_spread([r.cpu_ms for r in own], 2)} | {max(r.rss_mib for r in own):.0f} | "
                f"{sum(r.bad for r in own)} |"
            )
    return "\n".join(lines)


def ratios(rows: Sequence[Row]) -> list[str]:
    """Return how many times as many requests a second ours carries, run by run."""
    said: list[str] = []
    if not any(row.gateway == "HybridOps" for row in rows):
        return said
    peers_seen = [n for n in dict.fromkeys(r.gateway for r in rows) if n not in _OWN]
    for name in peers_seen:
        for at_once in sorted({row.at_once for row in rows}):
            pairs = zip(_of(rows, "HybridOps", at_once), _of(rows, name, at_once), strict=True)
            times = [mine.per_s / max(theirs.per_s, 0.001) for mine, theirs in pairs]
            said.append(f"HybridOps / {name} at c={at_once}: {_spread(times, 1)} times")
    return said


_OWN = ("HybridOps", "stub alone")


def _of(rows: Iterable[Row], name: str, at_once: int) -> list[Row]:
    return [row for row in rows if row.gateway == name and row.at_once == at_once]


def _added(own: Sequence[Row], floor: Sequence[Row], what: str) -> str:
    if not floor:
        return "–"
    pairs = zip(own, floor, strict=True)
    return _spread([getattr(a, what) - getattr(b, what) for a, b in pairs], 2)


def _spread(values: Sequence[float], digits: int) -> str:
    middle = statistics.median(values)
    return f"{middle:.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateways", default=",".join(peers.ALL), help="which, by commas")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--sweep", default="1,16,64", help="connections at once, by commas")
    parser.add_argument("--bytes", type=int, default=200, help="the size of the prompt")
    parser.add_argument("--stream", action="store_true", help="ask for streamed answers")
    parser.add_argument("--home", type=Path, default=ROOT / "var" / "bench")
    parser.add_argument("--csv", type=Path, help="where to keep every row")
    chosen = parser.parse_args(arguments)
    home: Path = chosen.home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    prompt = (SENTENCE * (chosen.bytes // len(SENTENCE) + 1))[: chosen.bytes].strip()
    rows = compare(
        chosen.gateways.split(","),
        Wanted(prompt=prompt, stream=chosen.stream),
        chosen.runs,
        [int(c) for c in chosen.sweep.split(",")],
        chosen.seconds,
        home,
    )
    print(f"{machine()}\nprompt {len(prompt)} bytes, {'streamed' if chosen.stream else 'whole'}, ")
    print(f"{chosen.runs} runs of {chosen.seconds:.0f} s; median (least-most)\n\n{table(rows)}\n")
    print("\n".join(ratios(rows)))
    if chosen.csv:
        with chosen.csv.open("w", newline="", encoding="utf-8") as file:
            out = csv.DictWriter(file, fieldnames=list(asdict(rows[0])))
            out.writeheader()
            out.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()
