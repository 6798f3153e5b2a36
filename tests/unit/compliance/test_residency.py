"""Where a path runs is judged from what its client talks to; the unknown is outside the EU."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from routing.compliance import residency
from routing.compliance.residency import EU_REGIONS
from routing.core.values import Path, Residency

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
WHERE = st.text(max_size=60)


def bedrock(region: str, *, target: str = "aws", model: str = MODEL, declared: str = "") -> bool:
    return residency.judge(
        residency=Residency.EU,
        path=Path.DIRECT_BEDROCK,
        target=target,
        region=region,
        model=model,
        declared_region=declared,
    ).allowed


def mcp(target: str, declared: str = "") -> residency.Residence:
    return residency.judge(
        residency=Residency.EU, path=Path.MCP, target=target, region="", declared_region=declared
    )


@pytest.mark.parametrize("region", sorted(EU_REGIONS))
def test_eu_allows_the_regions_of_the_eu(region: str) -> None:
    assert bedrock(region)


@pytest.mark.parametrize(
    "region",
    [
        "eu-west-2",
        "eu-central-2",
        "us-east-1",
        "eu-west-9",
        "EU-CENTRAL-1",
        " eu-west-1",
        "eu",
        "",
    ],
)
def test_eu_refuses_london_zurich_and_what_it_does_not_know(region: str) -> None:
    assert not bedrock(region)


@settings(max_examples=300, deadline=None)
@given(region=WHERE, target=WHERE, model=WHERE, path=st.sampled_from(Path))
def test_an_unknown_region_is_never_allowed_under_eu(
    region: str, target: str, model: str, path: Path
) -> None:
    assume(region not in EU_REGIONS)
    assume(not any(known in target.lower() for known in EU_REGIONS))
    judged = residency.judge(
        residency=Residency.EU, path=path, target=target, region=region, model=model
    )
    assert not judged.allowed and judged.sentence


@settings(max_examples=300, deadline=None)
@given(
    wanted=st.sampled_from(Residency),
    path=st.sampled_from(Path),
    target=st.one_of(WHERE, WHERE.map("http://{}".format), st.just("http://[::1")),
    region=WHERE,
    model=st.one_of(WHERE, WHERE.map("arn:{}".format)),
    declared=WHERE,
)
def test_every_input_gets_a_sentence(
    *, wanted: Residency, path: Path, target: str, region: str, model: str, declared: str
) -> None:
    judged = residency.judge(
        residency=wanted,
        path=path,
        target=target,
        region=region,
        model=model,
        declared_region=declared,
    )
    assert judged.sentence.endswith(".")
    assert judged.allowed or wanted is not Residency.ANY


@pytest.mark.parametrize(
    ("model", "allowed"),
    [
        ("eu.anthropic.claude-sonnet-4-20250514-v1:0", True),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", False),
        ("us-gov.anthropic.claude-3-haiku-20240307-v1:0", False),
        ("apac.anthropic.claude-sonnet-4-20250514-v1:0", False),
        ("global.anthropic.claude-sonnet-4-20250514-v1:0", False),
        ("jp.anthropic.claude-sonnet-4-5-20250929-v1:0", False),
        ("moon.anthropic.claude-sonnet-4-5-20250929-v1:0", False),
        ("us.x", False),
        (MODEL, True),
        ("zai.glm-4.6", True),
        ("newmaker.model-1-v1:0", True),
        ("arn:aws:bedrock:eu-central-1::foundation-model/" + MODEL, True),
        ("arn:aws:bedrock:us-east-1::foundation-model/" + MODEL, False),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-lite-v1:0", True),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/global.amazon.nova-lite-v1:0", False),
        ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/abc123", False),
        ("arn:aws:bedrock:eu-west-1:1:provisioned-model/abc123", True),
        ("arn:aws:bedrock:eu-west-2:1:provisioned-model/abc123", False),
        ("arn:aws", False),
    ],
)
def test_eu_judges_where_a_model_may_send_a_request(model: str, allowed: bool) -> None:
    assert bedrock("eu-central-1", model=model) is allowed


@pytest.mark.parametrize(
    ("target", "declared", "allowed"),
    [
        ("https://bedrock-runtime.eu-central-1.amazonaws.com", "", True),
        ("https://vpce-1-a.bedrock-runtime.eu-west-1.vpce.amazonaws.com", "", True),
        ("https://bedrock-runtime.us-east-1.amazonaws.com", "eu", False),
        ("https://bedrock-runtime.us-east-1.amazonaws.com/eu-central-1", "", False),
        ("https://eu-central-1.amazonaws.com.example.net", "", False),
        ("https://eu-central-1@bedrock-runtime.us-east-1.amazonaws.com", "", False),
        ("https://proxy.example.net", "", False),
        ("https://proxy.example.net", "DE", True),
        ("http://127.0.0.1:9000", "", False),
        ("local:bedrock", "eu", False),
    ],
)
def test_eu_judges_the_endpoint_before_the_region(
    target: str, declared: str, allowed: bool
) -> None:
    assert bedrock("eu-central-1", target=target, declared=declared) is allowed


def test_an_eu_endpoint_does_not_mend_a_region_outside() -> None:
    assert not bedrock("us-east-1", target="https://bedrock-runtime.eu-west-1.amazonaws.com")


@pytest.mark.parametrize(
    ("declared", "allowed"),
    [
        ("eu-west-1", True),
        ("de", True),
        ("EU", True),
        ("GB", False),
        ("CH", False),
        ("eu-west-2", False),
        ("the EU, honestly", False),
    ],
)
def test_eu_takes_the_operators_word_for_an_mcp_server(declared: str, allowed: bool) -> None:
    assert mcp("https://mcp.example.net/mcp", declared).allowed is allowed


def test_an_undeclared_mcp_server_is_refused_with_the_way_to_declare_it() -> None:
    judged = mcp("https://mcp.example.net/mcp")
    assert not judged.allowed
    assert "mcp.region" in judged.sentence


def test_an_mcp_server_on_aws_says_itself_where_it_runs() -> None:
    assert mcp("https://x.execute-api.eu-north-1.amazonaws.com/mcp").allowed
    assert not mcp("https://x.lambda-url.us-east-1.on.aws/mcp", "eu").allowed
    assert not mcp("https://d111.amazonaws.com/mcp", "eu").allowed


@pytest.mark.parametrize(
    ("target", "allowed"),
    [
        ("local:bedrock", True),
        ("http://127.0.0.1:8000/x", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:8000", True),
        ("localhost:8000", True),
        ("http://localhost.example.net", False),
        ("http://127.0.0.1@example.net", False),
        ("http://10.0.0.1", False),
        ("https://mcp.example.net", False),
        ("aws", False),
        ("http://[::1", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("path", Path)
def test_local_allows_this_machine_only(path: Path, target: str, allowed: bool) -> None:
    judged = residency.judge(residency=Residency.LOCAL, path=path, target=target, region="")
    assert judged.allowed is allowed
    assert allowed or "local:" in judged.sentence


@pytest.mark.parametrize("path", Path)
def test_any_allows_anywhere(path: Path) -> None:
    assert residency.judge(
        residency=Residency.ANY, path=path, target="https://example.net", region="us-east-1"
    ).allowed
