"""Deployment documents: bytes to facts and back, in both forms (Markdown, JSON)."""

from __future__ import annotations

from routing.deployments import jsonform, markdown, render
from routing.deployments.parsed import Format, Parsed, Place

MAX_BYTES = 2 * 1024 * 1024
_ENDINGS = {".md": Format.MARKDOWN, ".markdown": Format.MARKDOWN, ".json": Format.JSON}


def read(file: str, data: bytes) -> tuple[Format, Parsed]:
    """Return the form of the document `data` and what it says.

    The end of the name `file` says the form; where it says nothing, the first character does.
    Raises Invalid, naming the file and the line, for anything but a whole, well-formed document
    in UTF-8 of at most 2 MiB.
    """
    text = decode(file, data)
    form = format_of(file, text)
    if form is Format.JSON:
        return form, parse_json(text, file=file)
    return form, parse_markdown(text, file=file)


def decode(file: str, data: bytes) -> str:
    """Return the text of the document `data`; raises Invalid."""
    first = Place(file=file, where="line 1", line=1)
    if len(data) > MAX_BYTES:
        raise first.refuse(f"the document is larger than {MAX_BYTES} bytes; split or trim it")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise first.refuse("the document begins with a byte-order mark; save it as plain UTF-8")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        at = Place(file=file, where=f"line {line}", line=line)
        raise at.refuse(f"this is not UTF-8: byte {error.start + 1} cannot stand") from None
    if not text.strip():
        raise first.refuse("the document is empty")
    return text


def format_of(file: str, text: str) -> Format:
    """Return the form that the name `file` announces, or that `text` begins like."""
    dot = file.rfind(".")
    named = _ENDINGS.get(file[dot:].lower()) if dot >= 0 else None
    if named is not None:
        return named
    return Format.JSON if text.lstrip().startswith(("{", "[")) else Format.MARKDOWN


def parse_markdown(text: str, *, file: str = "the document") -> Parsed:
    """Return what a Markdown document says; raises Invalid with file and line."""
    return markdown.parse(text, file=file)


def parse_json(text: str, *, file: str = "the document") -> Parsed:
    """Return what a JSON summary says; raises Invalid with file, line and place."""
    return jsonform.parse(text, file=file, max_bytes=MAX_BYTES)


def render_markdown(document: Parsed) -> str:
    """Return `document` as Markdown: read again, it says the same."""
    return render.markdown(document)


def render_json(document: Parsed) -> str:
    """Return `document` as its JSON summary: read again, it says the same."""
    return render.summary(document)
