"""`manage.py import_deployments`: its lines, its messages, its exit status."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from routing.deployments import queries
from tests.integration.deployments import recorded
from tests.unit.deployments.papers import FILE, ID, SUMMARY, markdown, results, summary, text_of

pytestmark = pytest.mark.usefixtures("ground")

KEYS = [
    "file", "deployment_id", "environment", "recorded_status", "derived_verdict", "components",
    "flags", "tests", "errors", "findings", "stored",
]  # fmt: skip


def run(capsys: Any, *files: object) -> tuple[int, list[dict[str, Any]], str]:
    """Return exit status, JSON lines and what was said to the person."""
    capsys.readouterr()
    status = 0
    try:
        call_command("import_deployments", *map(str, files), "--json")
    except SystemExit as ended:
        status = int(str(ended.code))
    told = capsys.readouterr()
    return status, [json.loads(line) for line in told.out.splitlines()], told.err


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    path = tmp_path / FILE
    path.write_text(markdown(tests=results(duration_ms=0)))
    return path


def test_a_line_says_what_is_in_the_file_and_what_became_of_it(capsys: Any, paper: Path) -> None:
    status, [line], said = run(capsys, paper)
    assert (status, said) == (0, "")
    assert list(line) == KEYS
    assert (line["file"], line["deployment_id"]) == (str(paper), ID)
    assert (line["environment"], line["stored"]) == ("development", "created")
    assert (line["recorded_status"], line["derived_verdict"]) == ("SUCCESS", "inconclusive")
    assert line["flags"] == {"ENABLE_INTELLIGENT_ROUTING": True, "ai.caching.enabled": True}
    assert line["tests"][0] == {
        "suite": "smoke",
        "name": "IntelligentRouter.routing_decision_basic",
        "status": "pass",
        "duration_ms": 0,
        "evidence": "unproven",
    }
    assert line["findings"] == [
        {"code": "zero_ms_tests", "message": "10 of 10 tests took 0 ms: they prove nothing."}
    ]
    assert run(capsys, paper)[1] == [line | {"stored": "unchanged"}]


def test_what_cannot_be_read_is_refused_and_the_rest_goes_on(
    capsys: Any, paper: Path, tmp_path: Path
) -> None:
    pipe, binary = tmp_path / "pipe.md", tmp_path / "binary.md"
    os.mkfifo(pipe)
    binary.write_bytes(b"\xff\xfe\x00")
    big = tmp_path / "big.md"
    big.write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    gone, odd = tmp_path / "gone.md", str(tmp_path / "odd\udcff.md")
    status, lines, said = run(capsys, tmp_path, pipe, gone, odd, binary, big, paper)
    assert status == 1
    assert [line["stored"] for line in lines] == ["refused"] * 6 + ["created"]
    assert [line["file"] for line in lines][:3] == [str(tmp_path), str(pipe), str(gone)]
    reasons = ["folder", "no regular file", "No such file", "printable", "byte-order", "larger"]
    for line, reason in zip(lines, reasons, strict=False):
        assert reason in line["error"]
        assert line["error"] in said
        empty = {key: line[key] for key in KEYS if key not in ("file", "stored")}
        assert not any(empty.values()) and list(line) == [*KEYS, "error"]
    assert "6 of 7 refused" in said
    assert [row.id for row in queries.page(filters=queries.Filters()).rows] == [ID]


def test_a_conflict_is_exit_1_and_names_what_differs(
    capsys: Any, paper: Path, tmp_path: Path
) -> None:
    run(capsys, paper)
    other = tmp_path / "other.md"
    other.write_text(markdown(tests=results(duration_ms=0), warnings=("one",)))
    status, [line], _ = run(capsys, other)
    assert (status, line["stored"]) == (1, "refused")
    assert "warnings (none there, 'one' here)" in line["error"]


def test_people_are_told_in_words(capsys: Any, paper: Path, tmp_path: Path) -> None:
    twin = tmp_path / SUMMARY
    twin.write_text(text_of(summary(tests=results(duration_ms=0))))
    call_command("import_deployments", str(paper), str(twin))
    told = capsys.readouterr().out
    assert told.count("recorded SUCCESS, derived inconclusive; 0 of 10 tests proven") == 2
    assert "zero_ms_tests: 10 of 10" in told


def test_no_file_is_misuse() -> None:
    with pytest.raises(CommandError):
        call_command("import_deployments")


def test_the_recorded_documents(capsys: Any) -> None:
    status, lines, said = run(capsys, *recorded.paths())
    assert status == 1, "the production report is among them"
    assert [line["stored"] for line in lines].count("created") == 7
    by_id = {line["deployment_id"]: line for line in lines}
    seed = by_id[recorded.SEED]
    assert (seed["recorded_status"], seed["derived_verdict"]) == ("FAILED", "failed")
    assert len(seed["components"]) == len(seed["flags"]) == 5 and len(seed["tests"]) == 10
    assert list(seed["flags"].values()).count(False) == 1
    assert [test["status"] for test in seed["tests"]].count("fail") == 2
    assert {test["evidence"] for test in seed["tests"]} == {"unproven"}
    assert "production deployment report" in said
