"""The shortened list of addresses: what our clients ask for comes out as from the whole one."""

from __future__ import annotations

from typing import Any

import boto3
import botocore.session
import pytest
from botocore.loaders import Loader, create_loader

from routing.paths import bedrock_account

WHOLE, OURS = create_loader(), bedrock_account.models()
REGIONS = sorted(
    {
        region
        for partition in WHOLE.load_data("endpoints")["partitions"]
        for region in partition["regions"]
    }
)


def address(loader: Loader, service: str, region: str) -> str:
    core = botocore.session.Session(
        {"config_file": (None, None, "/dev/null", None), "profile": (None, None, None, None)}
    )
    core.register_component("data_loader", loader)
    session: Any = boto3.Session(botocore_session=core)  # its stubs name services one by one
    client = session.client(
        service, region_name=region, aws_access_key_id="k", aws_secret_access_key="s"
    )
    signs = client.meta.config.signature_version
    return f"{client.meta.endpoint_url} {client.meta.partition} {signs}"


@pytest.mark.parametrize("service", ["bedrock-runtime", "sts", "sso", "sso-oidc"])
def test_each_region_has_the_same_address(service: str) -> None:
    assert len(REGIONS) > 30
    for region in [*REGIONS, "eu-nowhere-9"]:
        assert address(OURS, service, region) == address(WHOLE, service, region)


def test_the_list_is_short_and_the_whole_one_is_not_touched() -> None:
    ours = OURS.load_data("endpoints")["partitions"]
    assert sum(len(partition["services"]) for partition in ours) < 40
    assert (
        sum(len(p["services"]) for p in create_loader().load_data("endpoints")["partitions"]) > 300
    )
