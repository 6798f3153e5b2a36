"""A policy is strict about itself, tightens per operation, and says what a change lets out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.compliance import policy
from routing.compliance.policy import Policy, Rule, Treatment
from routing.core.errors import HybridOpsError, Invalid
from routing.core.guards import Answer
from routing.core.matrix import DEFAULT
from routing.core.values import Operation, Path

ALLOW, MASK, BLOCK = Treatment
EMERGENCY, STANDARD = Operation.EMERGENCY, Operation.STANDARD
DIRECT, MCP = Path.DIRECT_BEDROCK, Path.MCP


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    pii = draw(st.sampled_from(Treatment))
    stricter = [t for t in Treatment if list(Treatment).index(t) > list(Treatment).index(pii)]
    rule = st.builds(
        Rule,
        path=st.sampled_from([None, *Path]),
        pii=st.sampled_from([None, *stricter]),
    ).filter(lambda made: made != policy.FREE)
    rules = st.dictionaries(
        st.sampled_from(Operation), st.one_of(rule, st.just(Rule(forbidden=True))), max_size=4
    )
    return Policy(version=draw(st.integers(1, 9)), pii=pii, operations=draw(rules))


@given(made=policies())
def test_what_is_written_is_what_is_read(made: Policy) -> None:
    assert policy.decode(policy.encode(made), version=made.version) == made


@pytest.mark.parametrize(
    "kept",
    [
        None,
        [],
        {},
        {"form": 2, "pii": "mask", "operations": {}},
        {"form": 1, "pii": "hide", "operations": {}},
        {"form": 1, "pii": "mask"},
        {"form": 1, "pii": "mask", "operations": {}, "note": "x"},
        {"form": 1, "pii": "mask", "operations": {"chat": {"pii": "block"}}},
        {"form": 1, "pii": "mask", "operations": {"standard": {}}},
        {"form": 1, "pii": "mask", "operations": {"standard": {"forbidden": False}}},
        {"form": 1, "pii": "mask", "operations": {"standard": {"path": "s3"}}},
        {"form": 1, "pii": "mask", "operations": {"meta_monitor": {"forbidden": 1}}},
        {"form": 1, "pii": "mask", "operations": {"standard": {"pii": "mask"}}},
        {"form": 1, "pii": "block", "operations": {"emergency": {"pii": "mask"}}},
    ],
)  # fmt: skip
def test_what_cannot_be_obeyed_is_refused(kept: Any) -> None:
    with pytest.raises(HybridOpsError):
        policy.decode(kept, version=1)


def test_no_rule_lets_an_emergency_out_that_the_environment_blocks() -> None:
    with pytest.raises(Invalid, match="not stricter"):
        policy.check(Policy(pii=BLOCK, operations={EMERGENCY: Rule(pii=ALLOW)}))


@given(before=policies(), after=policies())
def test_whatever_is_let_out_or_refused_anew_is_listed(before: Policy, after: Policy) -> None:
    judged = policy.judge(before, after, DEFAULT)
    order = list(Treatment)
    for operation in Operation:
        was, now = before.rule(operation), after.rule(operation)
        looser = order.index(after.treatment(operation)) < order.index(before.treatment(operation))
        opened = was.forbidden and not now.forbidden
        shut = now.forbidden and not was.forbidden
        told = any(
            str(operation) in effect or " all " in f" {effect}" for effect in judged.effects
        )
        assert told or not (opened or shut or (looser and not now.forbidden))
    assert (judged.answer is Answer.ALLOW) is (not judged.effects)


def test_allowing_personal_data_is_confirmed_and_masking_it_again_is_not() -> None:
    masked, allowed = Policy(pii=MASK), Policy(pii=ALLOW)
    judged = policy.judge(masked, allowed, DEFAULT)
    assert (judged.answer, judged.rule) == (Answer.CONFIRM, policy.LOOSENED)
    assert judged.effects == ("Personal data in all requests leaves as it is.",)
    assert policy.judge(allowed, masked, DEFAULT).answer is Answer.ALLOW


def test_binding_an_operation_against_its_matrix_says_that_it_is_refused() -> None:
    bound = Policy(operations={STANDARD: Rule(path=DIRECT)})
    (effect,) = policy.judge(Policy(), bound, DEFAULT).effects
    assert "sends to mcp first are refused" in effect
    along = Policy(operations={STANDARD: Rule(path=MCP)})
    (effect,) = policy.judge(Policy(), along, DEFAULT).effects
    assert effect == "standard no longer moves away from mcp when that is down."
