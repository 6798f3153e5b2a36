from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Any

from routing.core.values import EnvironmentName, Path
from routing.upstreams.journal import Journal, Seen

NOW = datetime(2026, 3, 4, 5, 6, 7, 89_000, tzinfo=UTC)
DEV = EnvironmentName.DEVELOPMENT
SEEN = Seen(
    kind="converse",
    target="a.model",
    nonce="n-1",
    operation="standard",
    decision="d-1",
    prompt_sha256="ab" * 32,
    prompt_bytes=12,
)


def journal(home: FilePath, life: str = "1", **more: Any) -> Journal:
    return Journal(home=home, path=Path.DIRECT_BEDROCK, life=life, **more)


def lines(home: FilePath, suffix: str = "") -> list[dict[str, Any]]:
    file = home / "run" / "journal" / f"development-direct_bedrock.jsonl{suffix}"
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_tells_what_came_before_how_it_ended(tmp_path: FilePath) -> None:
    book = journal(tmp_path)
    request = book.arrived(DEV, SEEN, NOW)
    [arrived] = lines(tmp_path)  # while it is still open: every line is flushed
    assert arrived == {
        "at": "2026-03-04T05:06:07.089+00:00",
        "event": "arrived",
        "request": "1-1",
        "environment": "development",
        "path": "direct_bedrock",
        "kind": "converse",
        "model": "a.model",
        "nonce": "n-1",
        "operation": "standard",
        "decision": "d-1",
        "prompt_sha256": "ab" * 32,
        "prompt_bytes": 12,
    }
    book.ended(request, DEV, SEEN, NOW, status=None, ms=7, fault="hang")
    assert lines(tmp_path)[1] == arrived | {
        "event": "ended",
        "status": None,
        "ms": 7,
        "fault": "hang",
    }
    book.close()


def test_a_new_life_appends(tmp_path: FilePath) -> None:
    for life in ("1", "2"):
        book = journal(tmp_path, life)
        book.arrived(DEV, SEEN, NOW)
        book.close()
    assert [line["request"] for line in lines(tmp_path)] == ["1-1", "2-1"]


def test_a_torn_line_spoils_no_other(tmp_path: FilePath) -> None:
    folder = tmp_path / "run" / "journal"
    folder.mkdir(parents=True)
    (folder / "development-direct_bedrock.jsonl").write_text('{"at":"20')
    book = journal(tmp_path)
    book.arrived(DEV, SEEN, NOW)
    book.close()
    torn, mine = (folder / "development-direct_bedrock.jsonl").read_text().splitlines()
    assert (torn, json.loads(mine)["nonce"]) == ('{"at":"20', "n-1")


def test_a_full_file_is_put_aside_whole(tmp_path: FilePath) -> None:
    book = journal(tmp_path, turn_bytes=700)
    for _ in range(5):
        book.arrived(DEV, SEEN, NOW)
    book.close()
    kept = lines(tmp_path, ".1") + lines(tmp_path)
    assert [line["request"] for line in kept] == ["1-3", "1-4", "1-5"]


def test_a_word_from_outside_is_cut_to_size(tmp_path: FilePath) -> None:
    book = journal(tmp_path)
    book.arrived(DEV, Seen(kind="converse", nonce="n" * 10_000), NOW)
    book.close()
    assert lines(tmp_path)[0]["nonce"] == "n" * 300
