"""The gate masks by default, blocks where told to, and never quotes what it refuses."""

from __future__ import annotations

import pytest

from routing.compliance import gate, policy
from routing.compliance.gate import Policy, Treatment
from routing.compliance.pii import PiiClass
from routing.compliance.policy import Broken
from routing.core.values import EnvironmentName, Operation

TEXTS = ("Who is max@example.com?", "Card 4111 1111 1111 1111", "Nothing here.")


def check(policy: Policy, texts: tuple[str, ...] = TEXTS) -> gate.Verdict:
    return gate.check(
        environment=EnvironmentName.PRODUCTION,
        operation=Operation.STANDARD,
        texts=texts,
        policy=policy,
    )


@pytest.mark.parametrize("environment", EnvironmentName)
@pytest.mark.parametrize("operation", Operation)
def test_masks_everywhere_unless_told_otherwise(
    environment: EnvironmentName, operation: Operation
) -> None:
    verdict = gate.check(
        environment=environment, operation=operation, texts=TEXTS, policy=Policy()
    )
    assert verdict.refusal == ""
    assert verdict.texts == ("Who is [email]?", "Card [card]", "Nothing here.")
    assert verdict.classes == (PiiClass.CARD, PiiClass.EMAIL)


def test_blocks_without_quoting_or_passing_on_anything() -> None:
    verdict = check(Policy(treatments={EnvironmentName.PRODUCTION: Treatment.BLOCK}))
    assert verdict.texts == ()
    assert verdict.classes == (PiiClass.CARD, PiiClass.EMAIL)
    assert "card, email" in verdict.refusal and "production" in verdict.refusal
    assert "max" not in verdict.refusal and "4111" not in verdict.refusal


def test_a_block_lets_through_what_carries_nothing() -> None:
    policy = Policy(treatments={EnvironmentName.PRODUCTION: Treatment.BLOCK})
    verdict = check(policy, texts=("Nothing here.", "Version 1.2.3 of 2025-11-23"))
    assert verdict.refusal == ""
    assert verdict.texts == ("Nothing here.", "Version 1.2.3 of 2025-11-23")


def test_allow_changes_nothing_and_still_says_what_it_saw() -> None:
    verdict = check(Policy(treatments={EnvironmentName.PRODUCTION: Treatment.ALLOW}))
    assert (verdict.refusal, verdict.texts) == ("", TEXTS)
    assert verdict.classes == (PiiClass.CARD, PiiClass.EMAIL)


def test_a_treatment_of_one_environment_is_not_anothers() -> None:
    verdict = check(Policy(treatments={EnvironmentName.DEVELOPMENT: Treatment.ALLOW}))
    assert verdict.texts[0] == "Who is [email]?"


class Rules:
    """One policy for every environment."""

    def __init__(self, **rules: policy.Rule) -> None:
        operations = {Operation(name): rule for name, rule in rules.items()}
        self.policy = policy.Policy(version=7, operations=operations)

    def of(self, _: EnvironmentName) -> policy.Policy:
        return self.policy


def test_a_forbidden_operation_is_refused_and_still_told_what_it_carried() -> None:
    rules = Rules(standard=policy.Rule(forbidden=True))
    verdict = gate.check(
        environment=EnvironmentName.PRODUCTION,
        operation=Operation.STANDARD,
        texts=TEXTS,
        policy=rules,
    )
    assert (verdict.broken, verdict.texts, verdict.masked) == (Broken.OPERATION_FORBIDDEN, (), ())
    assert verdict.classes == (PiiClass.CARD, PiiClass.EMAIL)
    assert verdict.policy == 7
    assert "max" not in verdict.refusal


def test_an_operations_own_rule_is_stricter_than_its_environments() -> None:
    rules = Rules(standard=policy.Rule(pii=Treatment.BLOCK))

    def broken(operation: Operation) -> Broken | None:
        return gate.check(
            environment=EnvironmentName.PRODUCTION,
            operation=operation,
            texts=TEXTS,
            policy=rules,
        ).broken

    assert broken(Operation.STANDARD) is Broken.PII_BLOCKED
    assert broken(Operation.EMERGENCY) is None


def test_what_a_record_is_made_from_holds_no_personal_data_even_where_it_is_allowed() -> None:
    verdict = check(Policy(treatments={EnvironmentName.PRODUCTION: Treatment.ALLOW}))
    assert verdict.texts == TEXTS
    assert verdict.masked == ("Who is [email]?", "Card [card]", "Nothing here.")
