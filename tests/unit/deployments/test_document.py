"""From bytes: sizes, encodings, which of the two forms, and what is not ours at all."""

from __future__ import annotations

import pytest

from routing.core.errors import Invalid
from routing.deployments import document, parsed
from routing.deployments.parsed import Format
from tests.unit.deployments.papers import clean, markdown, summary, text_of


def refused(file: str, data: bytes) -> Invalid:
    with pytest.raises(Invalid) as error:
        document.read(file, data)
    assert file in error.value.message
    return error.value


@pytest.mark.parametrize("name", ["a.md", "a.MD", "a.markdown", "a.txt", "a", ".md"])
def test_reads_markdown(name: str) -> None:
    assert document.read(name, markdown().encode()) == (Format.MARKDOWN, clean())


@pytest.mark.parametrize("name", ["a.json", "a.JSON", "a.txt", "summary"])
def test_reads_json(name: str) -> None:
    form, said = document.read(name, text_of(summary()).encode())
    assert (form, said.deployment_id) == (Format.JSON, clean().deployment_id)


@pytest.mark.parametrize(
    ("data", "line", "said"),
    [
        (b"", 1, "empty"),
        (b" \n\n", 1, "empty"),
        (b"\xef\xbb\xbf# x", 1, "byte-order mark"),
        ("# x".encode("utf-16"), 1, "byte-order mark"),
        (b"# x\n\ny \xff", 3, "not UTF-8: byte 8"),
        (b"\xed\xa0\x80", 1, "not UTF-8"),
        (b"\x00" * 9, 1, "control or direction"),
        (b"\x1f\x8b\x08\x00\x00\xff", 1, "not UTF-8"),
        (b"x" * (document.MAX_BYTES + 1), 1, "larger than 2097152 bytes"),
        (b"{}", 1, "looks like JSON; give it a name that ends in .json"),
        (b"<html>", 1, "HTML"),
        (b"# Notes\n", 1, "another document, titled 'Notes'"),
        (b"# Bedrock Activation - Production Deployment Report\n", 1, "production deployment rep"),
    ],
)
def test_refuses(data: bytes, line: int, said: str) -> None:
    error = refused("run.md", data)
    assert error.facts["line"] == line
    assert said in error.message


def test_exactly_the_cap_is_read_to_the_end() -> None:
    room = document.MAX_BYTES - len(markdown().encode())
    big = markdown() + "x" * room
    assert len(big.encode()) == document.MAX_BYTES
    assert document.read("a.md", big.encode())[1].process.endswith("x")


@pytest.mark.parametrize(
    ("text", "clean_text"),
    [
        ("a\r\nb", "a\nb"),
        ("a\x1b[1m\x00", "a\ufffd[1m\ufffd"),
        ("ok\tok", "ok\tok"),
        ("\ud800", "?"),
    ],
)
def test_a_text_of_ours_can_be_made_fit(text: str, clean_text: str) -> None:
    assert parsed.harmless(text) == clean_text
    said = document.parse_markdown(markdown(errors=(parsed.harmless(text),)))
    assert said.errors == (clean_text,)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("run-1700000000000", 1_700_000_000_000),
        ("run-170000000000", None),
        ("run-17000000000001", None),
        ("run-1700000000000-b", None),
        ("1700000000000", None),
    ],
)
def test_the_milliseconds_of_an_id(text: str, ms: int | None) -> None:
    assert parsed.id_ms(text) == ms
