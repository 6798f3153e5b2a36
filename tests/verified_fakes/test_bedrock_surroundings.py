"""DirectBedrockClient in surroundings that mislead: variables, credentials, certificates."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from routing.core.settings import BedrockTransport
from routing.core.values import Failure
from routing.paths import bedrock_account
from tests.verified_fakes import asked, hostile
from tests.verified_fakes.asked import call, failed
from tests.verified_fakes.hostile import Server, reply
from tests.verified_fakes.standin import StandIn
from tests.verified_fakes.test_bedrock_hostile import GOOD
from tests.verified_fakes.test_direct_bedrock_client import connect


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with hostile.serving(hostile.saying(reply(200, GOOD))) as one:
        yield one


async def test_only_a_stand_in_may_be_reached_by_http(
    server: Server, monkeypatch: pytest.MonkeyPatch, transport: BedrockTransport
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    client = connect(lambda: server.url, transport, local=False)
    problem = await failed(client)
    assert (problem.failure, problem.sent) == (Failure.DISABLED, False)
    assert server.connections == 0
    await client.close()


async def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: BedrockTransport
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    certificate = self_signed(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate))  # is not asked
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    async with hostile.serving(hostile.saying(reply(200, GOOD)), tls) as server:
        client = connect(lambda: f"https://127.0.0.1:{server.port}", transport, local=False)
        problem = await failed(client)
        assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
        assert "certificate" in problem.detail.lower()
        assert not server.requests
        await client.close()


def self_signed(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    begins = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begins)
        .not_valid_after(begins.replace(year=2120))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    file = folder / "certificate.pem"
    file.write_bytes(key.private_bytes(pem, form, plain) + made.public_bytes(pem))
    return file


async def test_no_environment_variable_leads_a_call_elsewhere(
    bedrock: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: BedrockTransport
) -> None:
    async with hostile.serving(hostile.saying(reply(200, GOOD))) as trap:
        mislead(monkeypatch, tmp_path, trap.url)
        client = connect(bedrock.url, transport)
        before = asked.mark(bedrock)
        assert "stand-in" in (await client.call(call())).text
        assert (await client.probe()).ok
        assert len(before.since()) == 2
        await client.close()
        own = connect(lambda: None, transport, local=False)
        monkeypatch.delenv("AWS_PROFILE")
        await asyncio.to_thread(own.warm)
        problem = await failed(own, timeout_s=3)
        assert "bedrock-runtime.eu-central-1.amazonaws.com" in problem.detail
        await own.close()
        assert trap.connections == 0


async def test_a_proxy_that_is_not_used_is_named(
    transport: BedrockTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing leads out but a proxy, an operator must not have to guess."""
    async with hostile.serving(hostile.saying(reply(200, GOOD))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = connect(lambda: "http://127.0.0.1:9", transport)
        problem = await failed(client)
        assert (problem.failure, problem.sent) == (Failure.UNREACHABLE, False)
        assert "HTTPS_PROXY is set and not used" in problem.detail
        assert proxy.connections == 0
        await client.close()


def mislead(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, url)
        monkeypatch.setenv(name.lower(), url)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    config = folder / "config"
    config.write_text(f"[default]\nendpoint_url = {url}\nregion = us-east-1\n")
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": url,
        "AWS_CONFIG_FILE": str(config),
        "AWS_PROFILE": "nobody",
        "AWS_REGION": "us-west-2",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_BEARER_TOKEN_BEDROCK": "bedrock-api-key-1",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEEXAMPLE12",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():
        monkeypatch.setenv(name, value)


def without_credentials(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    for name in tuple(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))


async def test_without_credentials_it_says_so_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: BedrockTransport
) -> None:
    without_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = connect(lambda: None, transport, local=False)
    began = time.monotonic()
    problem = await failed(client)
    assert (problem.failure, problem.sent) == (Failure.REFUSED_CREDENTIALS, False)
    probe = await client.probe()
    assert [(stage.name, stage.ok) for stage in probe.stages] == [("credentials", False)]
    assert time.monotonic() - began < 1
    await client.close()


async def test_a_machine_without_a_role_is_no_long_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: BedrockTransport
) -> None:
    without_credentials(monkeypatch, tmp_path)
    async with hostile.serving(hostile.hanging()) as metadata:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata.url)
        client = connect(lambda: None, transport, local=False)
        for most_s in (10.0, 0.9):  # the second call knows it already: it waits for no answer
            began = time.monotonic()
            problem = await failed(client)
            assert problem.failure is Failure.REFUSED_CREDENTIALS
            assert time.monotonic() - began < most_s
        assert 0 < len(metadata.requests) <= 2
        await client.close()


async def test_credentials_that_come_later_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: BedrockTransport
) -> None:
    without_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(bedrock_account, "FORGET_S", 0.0)
    client = connect(lambda: "https://127.0.0.1:9", transport, local=False)
    assert (await failed(client)).failure is Failure.REFUSED_CREDENTIALS
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert (await failed(client)).failure is Failure.UNREACHABLE
    await client.close()


async def test_a_profile_that_does_not_exist_is_a_matter_of_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, transport: BedrockTransport
) -> None:
    without_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    client = connect(lambda: None, transport, local=False)
    problem = await failed(client)
    assert (problem.failure, problem.sent) == (Failure.REFUSED_CREDENTIALS, False)
    assert "nobody" in problem.detail
    await client.close()
