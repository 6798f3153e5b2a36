"""Settings that make no sense are refused with the mend, and no command shows a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from hybridops import settings
from routing.core.settings import BedrockTransport

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a@host:port/name",
        "postgresql://a@host:70000/name",
        "postgresql://a@host",
        "mysql://a@host/name",
    ],
)
def test_a_database_url_that_makes_no_sense_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL must look like"):
        settings.read_database(url, tmp_path)


def test_a_database_url_may_leave_the_port_out(tmp_path: Path) -> None:
    read = settings.read_database("postgresql://a:b%40c@host/name", tmp_path)
    assert (read["HOST"], read["PORT"], read["PASSWORD"]) == ("host", "", "b@c")


@pytest.mark.parametrize(
    ("name", "said", "mend"),
    [
        ("HYBRIDOPS_PORT", "abc", "set it to a number from 1 to 65535"),
        ("HYBRIDOPS_HOME", "/proc/nowhere", "a folder that you may write to"),
        ("HYBRIDOPS_BEDROCK_TRANSPORT", "aiohttp", "set it to asyncio or boto3"),
    ],
)
def test_a_command_says_in_one_line_what_the_environment_says_wrongly(
    name: str, said: str, mend: str, tmp_path: Path
) -> None:
    env = os.environ | {"HYBRIDOPS_HOME": str(tmp_path), name: said}
    done = subprocess.run(
        [sys.executable, "manage.py", "status"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert mend in line


def test_the_transports_are_those_that_the_product_has() -> None:
    assert set(settings.BEDROCK_TRANSPORTS) == set(BedrockTransport)
    read = settings.read_choice("HYBRIDOPS_NOT_SET", settings.BEDROCK_TRANSPORTS, default="boto3")
    assert read == "boto3"
