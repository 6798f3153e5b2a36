"""The budgets and manners of house style that no linter knows, each with a sample it must catch.

A rule looks at one file and returns what is wrong with it, in words. Samples are a file's path
and its text: `bad` must be caught, `good` must be spared.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

Sample = tuple[str, str]
NO_NAMES = {"services", "helpers", "utils", "common", "manager", "types"}
PAGE_LINES, PARTIAL_LINES, FILE_LINES, RECORD_LINES = 60, 40, 400, 45
# Put together here, so that this file does not break its own rule.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:root|work|home)" + r"/\w")
PROMISE = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
BANNER = re.compile(r"^\s*(?:#|//|/\*)\s*[-=*#~]{4,}", re.MULTILINE)
INLINE = {
    "an inline script": re.compile(r"<script(?![^>]*\b(?:src=|type=\"application/json\"))", re.I),
    "an inline style sheet": re.compile(r"<style\b", re.I),
    "a style attribute": re.compile(r"<[^>]*\sstyle\s*=", re.I),
    "an on... attribute": re.compile(r"<[^>]*\s(?:hx-)?on[:\w-]*\s*=", re.I),
    "a javascript: address": re.compile(r"javascript:", re.I),
}
SLEEP = re.compile(r"\btime\.sleep\(|\basyncio\.sleep\((?!0\))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: the files it is about, what it finds in one, and its samples."""

    name: str
    about: Callable[[PurePosixPath], bool]
    problems: Callable[[PurePosixPath, str], list[str]]
    bad: tuple[Sample, ...]
    good: tuple[Sample, ...] = ()

    def check(self, path: str, text: str) -> list[str]:
        file = PurePosixPath(path)
        if not self.about(file):
            return []
        return [f"{path}: {problem}" for problem in self.problems(file, text)]


def is_vendor(file: PurePosixPath) -> bool:
    return "vendor" in file.parts


def is_code(file: PurePosixPath) -> bool:
    return file.suffix in {".py", ".js"} and not is_vendor(file) and "migrations" not in file.parts


def is_template(file: PurePosixPath) -> bool:
    return file.suffix == ".html" and "templates" in file.parts


def is_text(file: PurePosixPath) -> bool:
    return not is_vendor(file) and file.parts[:2] != ("tests", "house")


def is_test(file: PurePosixPath) -> bool:
    return file.suffix == ".py" and file.parts[0] == "tests" and is_text(file)


def long_file(file: PurePosixPath, text: str) -> list[str]:
    return _longer_than(FILE_LINES, text)


def long_template(file: PurePosixPath, text: str) -> list[str]:
    return _longer_than(PARTIAL_LINES if file.name.startswith("_") else PAGE_LINES, text)


def long_record(file: PurePosixPath, text: str) -> list[str]:
    return _longer_than(RECORD_LINES, text)


def _longer_than(limit: int, text: str) -> list[str]:
    lines = len(text.splitlines())
    return [f"{lines} lines, at most {limit}; split it by what it is about"] * (lines > limit)


def empty_name(file: PurePosixPath, _: str) -> list[str]:
    said = {file.stem, *file.parts[:-1]} & NO_NAMES
    return [f"the name {name!r} says nothing; name what it is about" for name in sorted(said)]


def inline(_: PurePosixPath, text: str) -> list[str]:
    found = [name for name, pattern in INLINE.items() if pattern.search(text)]
    return [f"{name}: the content policy forbids it; use a file under static" for name in found]


def machine_path(_: PurePosixPath, text: str) -> list[str]:
    return [f"names a folder of one machine: {m[0]!r}" for m in MACHINE_PATH.finditer(text)]


def lock_source(_: PurePosixPath, text: str) -> list[str]:
    lines = [line for line in text.splitlines() if "://" in line or line.startswith("-")]
    return [f"a lock names packages and hashes, not where they come from: {x!r}" for x in lines]


def promise(_: PurePosixPath, text: str) -> list[str]:
    return [f"{found[0]} is a promise; keep it or drop it" for found in PROMISE.finditer(text)]


def banner(_: PurePosixPath, text: str) -> list[str]:
    return [f"banner {found[0].strip()!r}" for found in BANNER.finditer(text)]


def sleep(_: PurePosixPath, text: str) -> list[str]:
    return [f"{m[0]}...) waits for time; wait for the event" for m in SLEEP.finditer(text)]


def _lines(count: int) -> str:
    return "x = 1\n" * count


HOME = "/" + "root/x"
RULES = (
    Rule(
        name="files are at most 400 lines",
        about=is_code,
        problems=long_file,
        bad=(("routing/audit/ledger.py", _lines(401)),),
        good=(
            ("routing/audit/ledger.py", _lines(400)),
            ("routing/migrations/0001_initial.py", _lines(900)),
        ),
    ),
    Rule(
        name="a page is at most 60 lines, a partial 40",
        about=is_template,
        problems=long_template,
        bad=(
            ("templates/dashboard/flags.html", _lines(61)),
            ("templates/dashboard/_flag_row.html", _lines(41)),
        ),
        good=(("templates/dashboard/flags.html", _lines(60)),),
    ),
    Rule(
        name="a decision record is half a page",
        about=lambda file: file.parts[:2] == ("docs", "adr"),
        problems=long_record,
        bad=(("docs/adr/0001-x.md", _lines(46)),),
    ),
    Rule(
        name="a file is named for what it is about",
        about=is_code,
        problems=empty_name,
        bad=(("routing/utils.py", ""), ("dashboard/helpers/dates.py", "")),
        good=(("routing/core/values.py", ""),),
    ),
    Rule(
        name="templates hold no script and no style",
        about=is_template,
        problems=inline,
        bad=(
            ("templates/a.html", "<script>go()</script>"),
            ("templates/a.html", "<style>p {}</style>"),
            ("templates/a.html", '<p class="x" style="color: red">'),
            ("templates/a.html", '<button onclick="go()">'),
            ("templates/a.html", "<button\n  hx-on:click='go()'>"),
            ("templates/a.html", '<a href="javascript:go()">'),
        ),
        good=(
            ("templates/a.html", '<script src="/static/a.js" defer></script>'),
            ("templates/a.html", '<p class="on">Turn it on = yes</p>'),
        ),
    ),
    Rule(
        name="no file names a folder of one machine",
        about=is_text,
        problems=machine_path,
        bad=(("docs/runbook.md", f"cd {HOME}"), ("hybridops/a.py", f"HOME = '{HOME}'")),
        good=(("docs/runbook.md", "see docs/home/index.md"),),
    ),
    Rule(
        name="a lock names no source",
        about=lambda file: file.name.startswith("requirements") and file.suffix == ".txt",
        problems=lock_source,
        bad=(
            ("requirements.txt", "--index-" + "url http://example.invalid/simple"),
            ("requirements.txt", "x @ https://example.invalid/x.whl"),
            ("requirements-dev.txt", "--find-links wheels"),
        ),
        good=(("requirements.txt", "x==1 \\\n    --hash=sha256:00\n    # via y"),),
    ),
    Rule(
        name="no promise is left in the code",
        about=lambda file: is_code(file) and is_text(file),
        problems=promise,
        bad=(("routing/a.py", "# TO" + "DO later"),),
    ),
    Rule(
        name="no banner",
        about=lambda file: is_code(file) and is_text(file),
        problems=banner,
        bad=(("routing/a.py", "x = 1\n# ------ part two ------"),),
        good=(("routing/a.py", "# -1 means unlimited"),),
    ),
    Rule(
        name="tests wait for events, not for time",
        about=is_test,
        problems=sleep,
        bad=(
            ("tests/unit/core/test_x.py", "time.sleep(1)"),
            ("tests/integration/test_x.py", "await asyncio.sleep(0.1)"),
        ),
        good=(("tests/unit/core/test_x.py", "await asyncio.sleep(0)"),),
    ),
)
