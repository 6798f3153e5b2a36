"""The upstream of a comparison: nginx with fixed answers, quicker than anything in front of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.ground import free_port, wait_for
from routing.core import eventstream

TEXT = "Hello from the stub. This is a short answer of a few words."
USAGE = {"inputTokens": 50, "outputTokens": 14, "totalTokens": 64}

CONF = """
worker_processes 1;
pid {folder}/pid;
error_log {folder}/error.log;
daemon off;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600;
  default_type application/json;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_body_buffer_size 64k;
  server {{
    listen 127.0.0.1:{port};
    location ~ /converse$ {{ return 200 '{converse}'; }}
    location ~ /count-tokens$ {{ return 200 '{{"inputTokens":1}}'; }}
    location ~ /chat/completions$ {{ return 200 '{chat}'; }}
    location ~ /converse-stream$ {{
      root {folder}/files;
      types {{ }}
      default_type application/vnd.amazon.eventstream;
      error_page 405 =200 /answer.bin;
      try_files /none =405;
    }}
    location = /answer.bin {{
      internal;
      root {folder}/files;
      types {{ }}
      default_type application/vnd.amazon.eventstream;
    }}
  }}
}}
"""


def converse() -> str:
    return json.dumps(
        {
            "metrics": {"latencyMs": 1},
            "output": {"message": {"content": [{"text": TEXT}], "role": "assistant"}},
            "stopReason": "end_turn",
            "usage": USAGE,
        }
    )


def chat() -> str:
    message = {"role": "assistant", "content": TEXT}
    return json.dumps(
        {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 50, "completion_tokens": 14, "total_tokens": 64},
        }
    )


def streamed() -> bytes:
    """Return the whole answer of ConverseStream, a word a piece."""
    words = [word + " " for word in TEXT.split()]
    pieces = [
        eventstream.event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}})
        for word in words
    ]
    return b"".join(
        (
            eventstream.event("messageStart", {"role": "assistant"}),
            *pieces,
            eventstream.event("contentBlockStop", {"contentBlockIndex": 0}),
            eventstream.event("messageStop", {"stopReason": "end_turn"}),
            eventstream.event("metadata", {"metrics": {"latencyMs": 1}, "usage": USAGE}),
        )
    )


@contextmanager
def running(folder: Path) -> Iterator[int]:
    """Run the stub with its files in `folder`; yields its port on 127.0.0.1."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    files = folder / "files"
    files.mkdir(parents=True, exist_ok=True)
    (files / "answer.bin").write_bytes(streamed())
    conf = folder / "nginx.conf"
    conf.write_text(CONF.format(folder=folder, port=port, converse=converse(), chat=chat()))
    process = subprocess.Popen([binary, "-c", str(conf)], stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}/count-tokens", process)
        yield port
    finally:
        process.terminate()
        process.wait(10)
