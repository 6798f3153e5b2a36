from __future__ import annotations

from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.core import aliases, values
from routing.core.errors import UnknownWord
from routing.core.values import (
    EnvironmentName,
    Operation,
    Path,
    Priority,
    TestStatus,
    Verdict,
)

WORDS = [(kind, word) for kind in aliases.ALIASES for word in kind]
FOREIGN = [(kind, text) for kind, known in aliases.ALIASES.items() for text in known]


@pytest.mark.parametrize(("kind", "word"), WORDS)
def test_the_exact_word_passes_undrifted(kind: type[StrEnum], word: StrEnum) -> None:
    found = aliases.canonical(kind, str(word))
    assert (found.word, found.original, found.drifted) == (word, str(word), False)


@pytest.mark.parametrize(("kind", "text"), FOREIGN)
def test_an_alias_drifts_and_keeps_its_original(kind: type[StrEnum], text: str) -> None:
    found = aliases.canonical(kind, text)
    assert isinstance(found.word, kind)
    assert (found.original, found.drifted) == (text, True)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("direct", Path.DIRECT_BEDROCK),
        ("direct-bedrock", Path.DIRECT_BEDROCK),
        ("DirectBedrock", Path.DIRECT_BEDROCK),
        ("mcp_integration", Path.MCP),
        ("infrastructure_audit", Operation.INFRASTRUCTURE),
        ("kiro_bridge", Operation.KIRO_COMMUNICATION),
        ("standard_analysis", Operation.STANDARD),
        ("dev", EnvironmentName.DEVELOPMENT),
        ("SUCCESS", Verdict.SUCCEEDED),
        ("FAILED", Verdict.FAILED),
        ("SKIP", TestStatus.SKIP),
    ],
)
def test_the_recorded_spellings_mean(text: str, word: StrEnum) -> None:
    assert aliases.canonical(type(word), text).word is word


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Path, "hybrid"),
        (Path, "fallback"),
        (Path, "Hybrid"),
        (Path, "Fallback"),
        (Path, "bedrock"),
        (Path, "google"),
        (Path, "undefined"),
        (Priority, "emergency"),
        (Operation, "unknown"),
        (Operation, "test"),
        (Operation, "complianceValidation"),
        (TestStatus, "Pass"),
        (Path, ""),
        (Path, " mcp"),
    ],
)
def test_what_is_ambiguous_or_unknown_is_refused(kind: type[StrEnum], text: str) -> None:
    with pytest.raises(UnknownWord) as refused:
        aliases.canonical(kind, text)
    assert list(refused.value.facts["known"]) == [
        *(str(word) for word in kind),
        *aliases.ALIASES[kind],
    ]


def test_a_kind_without_aliases_takes_its_own_words_only() -> None:
    assert aliases.canonical(values.Role, "admin").word is values.Role.ADMIN
    with pytest.raises(UnknownWord, match="viewer"):
        aliases.canonical(values.Role, "root")


@given(st.sampled_from(list(aliases.ALIASES)), st.text(max_size=30))
def test_any_text_is_a_word_or_refused(kind: type[StrEnum], text: str) -> None:
    accepted = text in [*kind, *aliases.ALIASES[kind]]
    try:
        found = aliases.canonical(kind, text)
    except UnknownWord:
        assert not accepted
    else:
        assert accepted and found.original == text


@pytest.mark.parametrize(("kind", "text"), FOREIGN)
def test_no_alias_is_accepted_outside_the_import_boundary(kind: type[StrEnum], text: str) -> None:
    with pytest.raises(UnknownWord):
        values.parse(kind, text)
