"""A server is killed after an answer under an idempotency key; its successor must know the key."""

from __future__ import annotations

from pathlib import Path

import httpx2

from tests.e2e import serving
from tests.e2e.serving import Server


def test_a_key_outlives_the_process_that_was_asked(tmp_path: Path) -> None:
    first = serving.start(tmp_path)
    try:
        (made,) = first.manage(
            *("create_token", "--environment", "production", "--role", "viewer"),
            *("--reason", "a key over a restart"),
        )
        answered = _post(first, made["secret"], "order-7")
        assert answered.status_code == 200
    finally:
        serving.kill(first)
    (tmp_path / "run" / "server.json").unlink()  # the killed one's, which says that it is ready
    second = serving.start(tmp_path)
    try:
        again = _post(second, made["secret"], "order-7")
        assert (again.status_code, again.json()["error"]["code"]) == (409, "repeated")
        assert again.json()["error"]["decision_id"] == answered.json()["decision_id"]
        assert _post(second, made["secret"], "order-8").status_code == 200
    finally:
        serving.kill(second)


def _post(server: Server, secret: str, key: str) -> httpx2.Response:
    with httpx2.Client(base_url=server.url, timeout=60, trust_env=False) as http:
        return http.post(
            "/api/v1/route",
            headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": key},
            json={"operation": "infrastructure", "prompt": "Carry this out once."},
        )
