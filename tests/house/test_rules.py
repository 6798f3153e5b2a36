"""The tree keeps the house rules, and each rule catches what it is there for."""

from __future__ import annotations

import pytest

from tests.house import tree
from tests.house.rules import RULES, Rule, Sample

BAD = [pytest.param(rule, s, id=f"{rule.name}: {s[0]}") for rule in RULES for s in rule.bad]
GOOD = [pytest.param(rule, s, id=f"{rule.name}: {s[0]}") for rule in RULES for s in rule.good]


def test_tree_is_there_to_be_looked_at() -> None:
    assert {"Makefile", ".ci/run", "hybridops/settings.py", "requirements.txt"} <= set(
        tree.texts()
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_tree_keeps(rule: Rule) -> None:
    found = [p for path, text in tree.texts().items() for p in rule.check(path, text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("rule", "sample"), BAD)
def test_rule_catches(rule: Rule, sample: Sample) -> None:
    assert rule.check(*sample)


@pytest.mark.parametrize(("rule", "sample"), GOOD)
def test_rule_spares(rule: Rule, sample: Sample) -> None:
    assert not rule.check(*sample)
