"""`manage.py import_deployments`: read recorded deployments; each file stands on its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path as File
from typing import Any

from django.core.management.base import CommandParser

from routing.core.rights import Actor
from routing.core.verdict import TestResult
from routing.deployments import document, importing
from routing.deployments.importing import Imported, Incoming, Stored
from routing.management import base


class Command(base.OperatorCommand):
    help = (
        "Import deployment documents (Markdown, or their JSON summary). What they say are claims: "
        "kept, judged, never applied. Exits with 1 when a file was refused; the others are "
        "imported."
    )

    def add(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE")

    def run(
        self, options: Mapping[str, Any], by: Actor, now: datetime
    ) -> Iterator[Mapping[str, Any]]:
        files = [_incoming(name) for name in options["files"]]
        done = importing.import_batch(by=by, now=now, files=files)
        for one in done:
            if one.stored is Stored.REFUSED:
                self.say(f"Refused: {one.problem}")
            yield told(one)
        refused = sum(one.stored is Stored.REFUSED for one in done)
        if refused:
            kept = "nothing of it" if refused == 1 else "nothing of them"
            self.say(f"{refused} of {len(done)} refused; {kept} was stored.")
            raise SystemExit(1)  # after the last line: the lines have no key that could say it

    def show(self, result: Mapping[str, Any]) -> str:
        if result["stored"] == Stored.REFUSED:
            return f"refused    {result['file']}"
        said = (
            f"{result['stored']:<9}  {result['deployment_id']} ({result['environment']}): "
            f"recorded {result['recorded_status']}, derived {result['derived_verdict']}; "
            f"0 of {len(result['tests'])} tests proven"
        )
        found = [f"             {one['code']}: {one['message']}" for one in result["findings"]]
        return "\n".join([said, *found])


def _incoming(name: str) -> Incoming:
    """Read a file; what keeps it from being read becomes its problem."""
    path = File(name)
    try:
        if path.is_dir():
            return Incoming(name=name, problem="this is a folder; name the files in it.")
        if path.exists() and not path.is_file():
            return Incoming(name=name, problem="this is no regular file.")
        with path.open("rb") as opened:
            # One byte more than may be imported: enough to tell that it is too much.
            return Incoming(name=name, data=opened.read(document.MAX_BYTES + 1))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Incoming(name=name, problem=f"it cannot be read: {why}.")


def told(one: Imported) -> dict[str, Any]:
    """Return the line of JSON for one file; a refused one has no facts but its error."""
    said = one.said
    line: dict[str, Any] = {
        "file": one.file.encode(errors="backslashreplace").decode(),
        "deployment_id": said and said.deployment_id,
        "environment": said and str(said.environment),
        "recorded_status": said and said.recorded_status,
        "derived_verdict": one.derived and str(one.derived),
        "components": [str(component) for component in said.components] if said else [],
        "flags": {str(name): on for name, on in said.flags.items()} if said else {},
        "tests": [_test(test) for test in said.tests] if said else [],
        "errors": list(said.errors) if said else [],
        "findings": [{"code": f.code, "message": f.message} for f in one.findings],
        "stored": str(one.stored),
    }
    return {**line, "error": one.problem} if one.stored is Stored.REFUSED else line


def _test(test: TestResult) -> dict[str, Any]:
    return {
        "suite": str(test.suite),
        "name": test.name,
        "status": str(test.status),
        "duration_ms": test.duration_ms,
        "evidence": str(test.evidence),
    }
