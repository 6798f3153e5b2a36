"""The Markdown form of a deployment document, read strictly: every line has its place.

The grammar: the title, then eight sections in order. Blank lines mean nothing outside of the
process text. Lists are bullets; the lists of what was deployed and tested may be empty, errors
and warnings then say None. An error may go on over further lines, up to a blank one; one that
cannot stand so is a JSON string. Everything after the heading of the process is kept as written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from routing.core.flags import FlagName
from routing.core.values import Component, EnvironmentName, TestStatus, Verdict
from routing.core.verdict import Suite, TestResult
from routing.deployments import parsed, shapes
from routing.deployments.parsed import Drift, IntegrationTest, Parsed, Place, SmokeTest, shown

TITLE = "# Hybrid Routing Deployment Documentation"
NONE = "None"
INFORMATION = "Deployment Information"
COMPONENTS = "Components Deployed"
FLAGS = "Feature Flags Enabled"
SMOKE = "Smoke Test Results"
INTEGRATION = "Integration Test Results"
ERRORS = "Errors"
WARNINGS = "Warnings"
PROCESS = "Deployment Process"
SECTIONS = (
    INFORMATION, COMPONENTS, FLAGS, SMOKE, INTEGRATION, ERRORS, WARNINGS, PROCESS
)  # fmt: skip
LABELS = ("Deployment ID", "Environment", "Timestamp", "Status")

_LABELLED = re.compile(r"\*\*(?P<label>[^*]+)\*\*: (?P<value>\S.*)")
_TEST = re.compile(r"(?P<name>\S+): (?P<status>\S+) \((?P<ms>[0-9]{1,10})ms\)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    text: str
    at: Place

    @property
    def blank(self) -> bool:
        return not self.text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and the lines below it."""

    title: str
    at: Place
    lines: tuple[Line, ...]


def parse(text: str, *, file: str = "the document") -> Parsed:
    """Read the document `text`, lines ending in LF, or all in CRLF.

    Raises Invalid, naming `file` and line, for everything that the grammar does not know.
    """
    lines = _lines(text, file)
    sections = _sections(lines, file)
    drift: list[Drift] = []
    noted: list[Drift] = []  # PASS and FAILED are how this form spells our words, not drift
    about = _information(sections[INFORMATION])
    status = about["Status"]
    parsed.word(Verdict, status.text, status.at, noted)
    return Parsed(
        deployment_id=parsed.deployment_id(*_said(about["Deployment ID"])),
        environment=parsed.word(EnvironmentName, *_said(about["Environment"]), drift),
        timestamp=parsed.timestamp(*_said(about["Timestamp"])),
        recorded_status=status.text,
        components=tuple(_components(sections[COMPONENTS], drift)),
        flags=_flags(sections[FLAGS]),
        tests=(
            *_tests(sections[SMOKE], Suite.SMOKE, SmokeTest, noted),
            *_tests(sections[INTEGRATION], Suite.INTEGRATION, IntegrationTest, noted),
        ),
        errors=tuple(_free(sections[ERRORS])),
        warnings=tuple(_free(sections[WARNINGS])),
        process="\n".join(line.text for line in sections[PROCESS].lines),
        drift=tuple(drift),
    )


def _lines(text: str, file: str) -> list[Line]:
    """Split `text`; a CR may stand only at the end of a line, and then of every line."""
    rows = text.split("\n")
    if len(rows) > parsed.MOST_LINES:
        beyond = parsed.MOST_LINES + 1
        at = Place(file=file, where=f"line {beyond}", line=beyond)
        raise at.wrong("the end of the document", "more lines")
    crlf = len(rows) > 1 and all(row.endswith("\r") for row in rows[:-1])
    found = []
    for number, row in enumerate(rows, start=1):
        at = Place(file=file, where=f"line {number}", line=number)
        told = row[:-1] if crlf and number < len(rows) else row
        bad = parsed.unfit(told)
        if bad is not None:
            raise at.wrong("text without control or direction characters", bad.group())
        found.append(Line(text=told, at=at))
    return found


def _sections(lines: Sequence[Line], file: str) -> dict[str, Section]:
    written = [line for line in lines if not line.blank]
    if not written or written[0].text != TITLE:
        at = written[0].at if written else lines[0].at
        found = written[0].text if written else ""
        raise at.refuse(f"expected {TITLE!r}, found {shown(found)}. {shapes.markdown(found)}")
    heads = [n for n, line in enumerate(lines) if line.text.startswith("## ")]
    first = heads[0] if heads else len(lines)
    for line in lines[:first]:
        if not line.blank and line is not written[0]:
            raise line.at.wrong(f"'## {INFORMATION}'", line.text)
    sections: dict[str, Section] = {}
    for start, end in zip(heads, [*heads[1:], len(lines)], strict=True):
        _check_order(lines[start], sections)
        title = SECTIONS[len(sections)]
        below = tuple(lines[start + 1 : end])
        sections[title] = Section(title=title, at=lines[start].at, lines=below)
    if len(sections) < len(SECTIONS):
        raise lines[-1].at.wrong(f"'## {SECTIONS[len(sections)]}'", "the end of the document")
    return sections


def _check_order(head: Line, before: dict[str, Section]) -> None:
    title = head.text[3:]
    if title in before:
        raise head.at.refuse(f"the section {shown(title)} stands twice")
    if title not in SECTIONS:
        known = ", ".join(SECTIONS)
        raise head.at.refuse(f"{shown(title)} is not a known section; in order: {known}")
    expected = SECTIONS[len(before)]
    if title != expected:
        raise head.at.wrong(f"the section '{expected}'", title)


def _bullets(section: Section) -> Iterator[Line]:
    """Yield what the bullets of `section` say."""
    for line in section.lines:
        if line.blank:
            continue
        if not line.text.startswith("- ") or not line.text[2:].strip():
            raise line.at.wrong(f"a bullet '- ...' of '{section.title}'", line.text)
        yield Line(text=line.text[2:], at=line.at)


def _information(section: Section) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for bullet in _bullets(section):
        match = _LABELLED.fullmatch(bullet.text)
        expected = LABELS[len(found)] if len(found) < len(LABELS) else None
        if expected is None:
            raise bullet.at.wrong(f"'## {COMPONENTS}'", bullet.text)
        if match is None or match["label"] != expected:
            raise bullet.at.wrong(f"'- **{expected}**: ...'", bullet.text)
        found[expected] = Line(text=match["value"], at=bullet.at)
    if len(found) < len(LABELS):
        last = section.lines[-1].at if section.lines else section.at
        raise last.wrong(f"'- **{LABELS[len(found)]}**: ...'", "the end of the section")
    return found


def _components(section: Section, drift: list[Drift]) -> Iterator[Component]:
    seen: set[Component] = set()
    for bullet in _bullets(section):
        found = parsed.word(Component, bullet.text, bullet.at, drift)
        if found in seen:
            raise bullet.at.refuse(f"{found} is listed twice")
        seen.add(found)
        yield found


def _flags(section: Section) -> dict[FlagName, bool]:
    found: dict[FlagName, bool] = {}
    for bullet in _bullets(section):
        name, on = parsed.flag(bullet.text, bullet.at)
        if name in found:
            raise bullet.at.refuse(f"{name} is listed twice")
        found[name] = on
    return found


def _tests(
    section: Section,
    suite: Suite,
    kind: type[SmokeTest] | type[IntegrationTest],
    noted: list[Drift],
) -> Iterator[TestResult]:
    seen: set[str] = set()
    for bullet in _bullets(section):
        match = _TEST.fullmatch(bullet.text)
        if match is None or int(match["ms"]) > parsed.LONGEST_MS:
            raise bullet.at.wrong("a test as 'name: PASS|FAIL|SKIP (Nms)'", bullet.text)
        name = parsed.test_name(kind, match["name"], bullet.at)
        if name in seen:
            raise bullet.at.refuse(f"{name} is listed twice")
        seen.add(name)
        status: TestStatus = parsed.status(match["status"], bullet.at, noted)
        yield TestResult(suite=suite, name=name, status=status, duration_ms=int(match["ms"]))


def _free(section: Section) -> Iterator[str]:
    """Yield the texts of a section of errors or warnings, lines that go on included."""
    written = [line for line in section.lines if not line.blank]
    if [line.text for line in written] == [NONE]:
        return
    if not written:
        raise section.at.wrong(f"bullets or {NONE} below '{section.title}'", "nothing")
    items: list[tuple[Place, list[str]]] = []
    open_item = False
    for line in section.lines:
        if line.text.startswith("- ") and line.text[2:].strip():
            if len(items) == parsed.MOST_TEXTS:
                raise line.at.refuse(f"more than {parsed.MOST_TEXTS} {section.title.lower()}")
            items.append((line.at, [line.text[2:]]))
            open_item = True
        elif line.blank:
            open_item = False
        elif open_item and line.text not in (NONE, "-", "- "):
            items[-1][1].append(line.text)
        else:
            raise line.at.wrong(f"a bullet '- ...' of '{section.title}'", line.text)
    yield from (_unquoted("\n".join(texts), at) for at, texts in items)


def quoted(text: str) -> str:
    """Return `text` as a bullet carries it: as it is, or as a JSON string where it has to be."""
    return json.dumps(text) if _needs_quotes(text) else text


def _unquoted(text: str, at: Place) -> str:
    inner = _literal(text)
    if inner is None or not _needs_quotes(inner):
        return text
    bad = parsed.unfit(inner)
    if bad is not None:
        raise at.wrong("text without control or direction characters", bad.group())
    return inner


def _needs_quotes(text: str) -> bool:
    """Tell whether `text` would not come back as itself from a bullet without quotes."""
    if "\n" in text or not text.strip():
        return True
    inner = _literal(text)
    return inner is not None and _needs_quotes(inner)


def _literal(text: str) -> str | None:
    """Return what `text` says if it is one whole JSON string."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return None
    try:
        inner = json.loads(text)
        inner.encode()
    except (ValueError, AttributeError):
        return None
    return str(inner)


def _said(line: Line) -> tuple[str, Place]:
    return line.text, line.at
