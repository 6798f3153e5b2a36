"""A claim is borne out by the other side's own record with the same nonce, or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path as Folder
from typing import Any

import pytest

from routing.core.values import EnvironmentName, Path
from routing.deployments.evidence import Claim, Journal, Journals

AT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
DEV = EnvironmentName.DEVELOPMENT


@pytest.fixture
def journals(tmp_path: Folder) -> Journals:
    (tmp_path / "run" / "journal").mkdir(parents=True)
    return Journals(home=tmp_path, environment=DEV, since=AT)


def write(journals: Journals, *records: Any, name: str = "development-mcp.jsonl") -> None:
    file = journals.home / "run" / "journal" / name
    lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
    file.write_text("".join(f"{line}\n" for line in lines))


def record(**more: Any) -> dict[str, Any]:
    return {
        "at": "2026-11-23T03:00:01.000+00:00",
        "event": "ended",
        "nonce": "n-1",
        "decision": "d1",
        "status": 200,
    } | more


def claim(**more: Any) -> Claim:
    said = {"decision": "d1", "event": "ended", "status": 200}
    facts: dict[str, Any] = {
        "journal": Journal.UPSTREAM,
        "nonce": "n-1",
        "says": said,
        "path": Path.MCP,
    }
    return Claim(**(facts | more))


def test_finds_what_the_other_side_wrote(journals: Journals) -> None:
    write(journals, record(event="arrived", status=None), record())
    assert journals.find(claim(), 0) == record()


def test_finds_it_in_the_file_that_was_put_aside(journals: Journals) -> None:
    write(journals, record(), name="development-mcp.jsonl.1")
    write(journals, record(nonce="n-2"))
    assert journals.find(claim(), 0) == record()


@pytest.mark.parametrize(
    "other",
    [{"nonce": "n-2"}, {"decision": "d2"}, {"status": 503}, {"event": "arrived"}, {"nonce": ""}],
)
def test_takes_no_other_record_for_it(journals: Journals, other: dict[str, Any]) -> None:
    write(journals, record(**other))
    assert journals.find(claim(), 0) is None


def test_looks_in_the_log_of_that_path_alone(journals: Journals) -> None:
    write(journals, record(), name="development-direct_bedrock.jsonl")
    write(journals, record(), name="staging-mcp.jsonl")
    assert journals.find(claim(), 0) is None


def test_a_claim_without_a_nonce_is_never_borne_out(journals: Journals) -> None:
    write(journals, record(nonce=""))
    assert journals.find(claim(nonce=""), 0) is None


def test_passes_over_torn_lines_and_missing_files(journals: Journals) -> None:
    assert journals.find(claim(), 0) is None
    write(journals, '{"torn', "[1]", record())
    assert journals.find(claim(), 0) == record()
