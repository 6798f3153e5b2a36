"""Credentials that run out, are renewed, are refused; on both transports."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from routing.core.settings import BedrockTransport
from routing.core.values import Failure
from routing.paths import bedrock_account, bedrock_asyncio
from routing.paths.bedrock import DirectBedrockClient
from tests.verified_fakes import hostile
from tests.verified_fakes.asked import call, failed, until
from tests.verified_fakes.certificates import self_signed, server_side
from tests.verified_fakes.hostile import Server, reply
from tests.verified_fakes.recorder import STREAM
from tests.verified_fakes.test_bedrock_surroundings import without_credentials
from tests.verified_fakes.test_direct_bedrock_client import connect

GIVER = """
import datetime, json, pathlib, select, sys
runs = pathlib.Path({runs!r})
number = len(runs.read_text()) + 1 if runs.exists() else 1
if number > {quick}:
    select.select([], [], [], 0.8)
runs.write_text("x" * number)
ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds={lasts_s})
said = {{"Version": 1, "AccessKeyId": f"AKIAEXAMPLE{{number:09}}", "SecretAccessKey": "secret",
         "SessionToken": "token"}}
if {lasts_s}:
    said["Expiration"] = ends.isoformat()
json.dump(said, sys.stdout)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    server: Server
    client: DirectBedrockClient
    runs: Callable[[], int]

    def signed_by(self) -> list[int]:
        """The numbers of the keys by which the requests were signed, in order."""
        said = (request.headers["authorization"] for request in self.server.requests)
        return [int(re.findall(r"Credential=AKIAEXAMPLE(\d+)/", one)[0]) for one in said]


@pytest.fixture
def giver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Let a program give out keys: the n-th run gives the n-th key, quickly at first."""
    without_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    script = tmp_path / "giver.py"
    (tmp_path / "config").write_text(
        f"[default]\ncredential_process = {sys.executable} -S -E {script}\n"
    )

    def give(lasts_s: int, quick: int = 99) -> None:
        runs = str(tmp_path / "runs")
        script.write_text(GIVER.format(runs=runs, lasts_s=lasts_s, quick=quick))

    return give


@pytest.fixture
async def ground(tmp_path: Path, transport: BedrockTransport) -> AsyncIterator[Ground]:
    certificate = self_signed(tmp_path)
    async with hostile.serving(hostile.saying(STREAM), server_side(certificate)) as server:
        client = connect(
            lambda: f"https://127.0.0.1:{server.port}",
            transport,
            local=False,
            authorities=str(certificate),
        )
        kept = tmp_path / "runs"
        yield Ground(
            server=server,
            client=client,
            runs=lambda: len(kept.read_text()) if kept.exists() else 0,
        )
        await client.close()


async def test_keys_are_renewed_ahead_of_their_end(
    giver: Callable[..., None], ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """botocore renews what lasts less than a quarter of an hour; nobody waits for an expiry."""
    monkeypatch.setattr(bedrock_asyncio, "LOOK_S", 0.0)
    giver(lasts_s=12 * 60)
    deadline = time.monotonic() + 10
    while len(set(ground.signed_by())) < 3:
        assert time.monotonic() < deadline, ground.signed_by()
        assert (await ground.client.call(call())).text == "well"
    assert ground.signed_by() == sorted(ground.signed_by())


@pytest.mark.parametrize("transport", [BedrockTransport.ASYNCIO])
async def test_no_call_waits_while_keys_that_hold_are_renewed(
    giver: Callable[..., None], ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    giver(lasts_s=12 * 60)
    await ground.client.call(call())
    used, runs = ground.signed_by()[-1], ground.runs()
    giver(lasts_s=12 * 60, quick=0)  # from now on it takes 0.8 s
    monkeypatch.setattr(bedrock_asyncio, "LOOK_S", 0.0)
    began = time.monotonic()
    await ground.client.call(call())
    assert time.monotonic() - began < 0.5
    assert ground.signed_by()[-1] == used
    await until(lambda: ground.runs() > runs)
    deadline = time.monotonic() + 5
    while ground.signed_by()[-1] == used:
        assert time.monotonic() < deadline
        await ground.client.call(call())


@pytest.mark.parametrize("transport", [BedrockTransport.ASYNCIO])
async def test_keys_that_may_have_run_out_are_not_used(
    giver: Callable[..., None], ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    giver(lasts_s=12 * 60)
    await ground.client.call(call())
    used = ground.signed_by()[-1]
    for name in ("LOOK_S", "LATE_LOOK_S"):
        monkeypatch.setattr(bedrock_asyncio, name, 0.0)
    await ground.client.call(call())
    assert ground.signed_by()[-1] > used


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
async def test_refused_keys_are_looked_for_once(
    giver: Callable[..., None], ground: Ground, code: str
) -> None:
    giver(lasts_s=0)
    ground.server.behave = hostile.saying(reply(403, {"message": "no"}, x_amzn_errortype=code))
    for _ in range(5):
        assert (await failed(ground.client)).failure is Failure.REFUSED_CREDENTIALS
    assert ground.signed_by() == [1, 2, 2, 2, 2]
    assert ground.runs() == 2
    ground.server.behave = hostile.saying(STREAM)
    assert (await ground.client.call(call())).text == "well"


async def test_a_refusal_of_another_kind_renews_nothing(
    giver: Callable[..., None], ground: Ground
) -> None:
    giver(lasts_s=0)
    refusal = reply(403, {"message": "no"}, x_amzn_errortype="AccessDeniedException")
    ground.server.behave = hostile.saying(refusal)
    for _ in range(3):
        assert (await failed(ground.client)).failure is Failure.REFUSED_CREDENTIALS
    assert ground.runs() == 1


@pytest.mark.parametrize(
    "name", ["AWS_SESSION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK", "AWS_ACCESS_KEY_ID"]
)
async def test_keys_that_no_header_can_hold_are_named_and_not_sent(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE12")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv(name, "a\r\nx-evil: b")
    problem = await failed(ground.client)
    assert (problem.failure, problem.sent) == (Failure.REFUSED_CREDENTIALS, False)
    assert "evil" not in problem.detail
    assert not ground.server.requests


async def test_a_bearer_token_needs_no_other_credentials(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_credentials(monkeypatch, tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv(bedrock_account.BEARER, "bedrock-api-key-1")
    assert (await ground.client.call(call())).text == "well"
    assert ground.server.requests[0].headers["authorization"] == "Bearer bedrock-api-key-1"
    assert (await ground.client.probe()).stages[0].ok
