"""The gateways that are compared: how each is installed, started and asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import stub
from bench.ground import ROOT, free_port, wait_for
from bench.load import Target

MODEL = "anthropic.claude-3-haiku-20240307-v1:0"
LITELLM, PORTKEY = "1.108.7", "1.15.2"
KEY = "sk-bench-0123456789abcdef0123456789abcdef"
_QUIET = subprocess.DEVNULL


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running gateway: the process to account for and what to send it."""

    name: str
    pid: int
    target: Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is compared: the prompt, and whether the answer is streamed."""

    prompt: str
    stream: bool = False


Start = Callable[[Path, int, Wanted], Iterator[Gateway]]


def ours(folder: Path, upstream: int, wanted: Wanted) -> Iterator[Gateway]:
    """HybridOps itself, as it is shipped: flags, breakers, gate and durable decision log on."""
    home = folder / "home"
    port = free_port()
    env = {name: value for name, value in os.environ.items() if not name.startswith("HYBRIDOPS_")}
    env |= {
        "HYBRIDOPS_HOME": str(home),
        "HYBRIDOPS_PORT": str(port),
        "HYBRIDOPS_SYNTHETIC": "0",
        "HYBRIDOPS_FIRST_DEPLOYMENT": "0",
    }
    home.mkdir(exist_ok=True)
    with _served(env, port):  # lays the environments on the local stand-ins
        secret = _manage(
            env,
            *("create_token", "--environment", "development", "--role", "operator"),
            *("--name", "bench", "--per-second", "100000", "--at-once", "10000"),
            *("--tokens-per-minute", "1000000000"),
        )["secret"]
    # From here on the stub is the stand-in, and the server keeps none of its own.
    (home / "run" / "upstreams.json").write_text(json.dumps({"bedrock": {"port": upstream}}))
    env["HYBRIDOPS_EMBEDDED"] = "0"
    body: dict[str, object] = {"operation": "infrastructure", "prompt": wanted.prompt}
    if wanted.stream:
        body |= {"stream": True}
    with _served(env, port) as pid:
        yield Gateway(
            name="HybridOps",
            pid=pid,
            target=Target(
                url=f"http://127.0.0.1:{port}/api/v1/route",
                body=json.dumps(body),
                headers={
                    "Authorization": f"Bearer {secret}",
                    "Content-Type": "application/json",
                },
            ),
        )


@contextmanager
def _served(env: Mapping[str, str], port: int) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "manage.py", "serve"], cwd=ROOT, env=env, stdout=_QUIET, stderr=_QUIET
    )
    try:
        wait_for(f"http://127.0.0.1:{port}/readyz", process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _manage(env: Mapping[str, str], *arguments: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments, "--json"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    said: dict[str, str] = json.loads(done.stdout)
    return said


def litellm(folder: Path, upstream: int, wanted: Wanted) -> Iterator[Gateway]:
    """LiteLLM's proxy with a Bedrock model, one worker, no database, as its manual has it."""
    venv = folder / "litellm"
    if not (venv / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        wanted_packages = [f"litellm[proxy]=={LITELLM}", "boto3"]
        subprocess.run([str(venv / "bin" / "pip"), "install", "-qq", *wanted_packages], check=True)
    config = folder / "litellm.json"  # it reads YAML, of which JSON is a part
    config.write_text(
        json.dumps(
            {
                "model_list": [
                    {
                        "model_name": "m",
                        "litellm_params": {
                            "model": f"bedrock/converse/{MODEL}",
                            "aws_access_key_id": "AKIDEXAMPLE",
                            "aws_secret_access_key": "secret",
                            "aws_region_name": "eu-central-1",
                            "aws_bedrock_runtime_endpoint": f"http://127.0.0.1:{upstream}",
                        },
                    }
                ]
            }
        )
    )
    port = free_port()
    env = os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MASTER_KEY": KEY}
    command = [str(venv / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1"]
    with _process(command, env, f"http://127.0.0.1:{port}/health/liveliness") as pid:
        yield Gateway(
            name=f"LiteLLM {LITELLM}",
            pid=pid,
            target=_chat(port, wanted, {"Authorization": f"Bearer {KEY}"}),
        )


def portkey_openai(folder: Path, upstream: int, wanted: Wanted) -> Iterator[Gateway]:
    """Portkey's gateway in front of an OpenAI-shaped upstream, its cheapest way."""
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1",
        "Authorization": "Bearer x",
    }
    yield from _portkey(folder, wanted, headers, "openai", "m")


def portkey_bedrock(folder: Path, upstream: int, wanted: Wanted) -> Iterator[Gateway]:
    """Portkey's gateway in front of Bedrock's wire format."""
    headers = {
        "x-portkey-provider": "bedrock",
        "x-portkey-aws-access-key-id": "AKIDEXAMPLE",
        "x-portkey-aws-secret-access-key": "secret",
        "x-portkey-aws-region": "eu-central-1",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream}",
    }
    yield from _portkey(folder, wanted, headers, "bedrock", MODEL)


def _portkey(
    folder: Path, wanted: Wanted, headers: Mapping[str, str], kind: str, model: str
) -> Iterator[Gateway]:
    place = folder / "portkey"
    program = place / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not program.exists():
        place.mkdir(exist_ok=True)
        install = ["npm", "install", "--silent", "--prefix", str(place)]
        subprocess.run([*install, f"@portkey-ai/gateway@{PORTKEY}"], check=True)
    port = free_port()
    command = ["node", str(program), "--headless", f"--port={port}"]
    with _process(command, dict(os.environ), f"http://127.0.0.1:{port}/") as pid:
        yield Gateway(
            name=f"Portkey {PORTKEY}, {kind}", pid=pid, target=_chat(port, wanted, headers, model)
        )


@contextmanager
def _process(command: list[str], env: Mapping[str, str], url: str) -> Iterator[int]:
    process = subprocess.Popen(command, env=dict(env), stdin=_QUIET, stdout=_QUIET, stderr=_QUIET)
    try:
        wait_for(url, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _chat(port: int, wanted: Wanted, headers: Mapping[str, str], model: str = "m") -> Target:
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": wanted.prompt}],
    }
    if wanted.stream:
        body |= {"stream": True}
    return Target(
        url=f"http://127.0.0.1:{port}/v1/chat/completions",
        body=json.dumps(body),
        headers={"Content-Type": "application/json", **headers},
    )


def bare(folder: Path, upstream: int, wanted: Wanted) -> Iterator[Gateway]:
    """The stub itself: the ceiling of the harness."""
    way = "converse-stream" if wanted.stream else "converse"
    yield Gateway(
        name="stub alone",
        pid=int((folder / "stub" / "pid").read_text()),
        target=Target(
            url=f"http://127.0.0.1:{upstream}/model/m/{way}",
            body=json.dumps(
                {"messages": [{"role": "user", "content": [{"text": wanted.prompt}]}]}
            ),
            headers={"Content-Type": "application/json"},
        ),
    )


ALL: Mapping[str, Start] = {
    "stub": bare,
    "hybridops": ours,
    "litellm": litellm,
    "portkey-openai": portkey_openai,
    "portkey-bedrock": portkey_bedrock,
}
__all__ = ["ALL", "Gateway", "Wanted", "stub"]
