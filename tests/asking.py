"""Commands beside a running server, in one process: `python -m tests.asking` with JSON on stdin.

It reads a list of command lines and prints, for each, its exit status and the objects it printed.
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import django
from django.core.management import call_command


def run(words: list[str]) -> dict[str, Any]:
    """Run one command with `--json`."""
    out, status = io.StringIO(), 0
    try:
        call_command(*words, "--json", stdout=out, stderr=io.StringIO())
    except SystemExit as end:
        status = int(end.code or 0)
    return {"status": status, "objects": [json.loads(s) for s in out.getvalue().splitlines()]}


if __name__ == "__main__":
    django.setup()
    json.dump([run(words) for words in json.load(sys.stdin)], sys.stdout)
