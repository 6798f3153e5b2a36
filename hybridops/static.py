"""Static files, served beside Django from where `collectstatic` put them."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from servestatic.asgi import ServeStaticASGI

from hybridops.edge import App, Receive, Scope, Send

# Django's manifest storage puts twelve hex digits of the content into the name.
HASHED = r"^.+\.[0-9a-f]{12}\..+$"
PREFIX = "/static/"


def serve() -> App:
    """Return an app over STATIC_ROOT as it is now; names with a hash may be kept for ever.

    Raises ImproperlyConfigured when nothing was collected there.
    """
    root = Path(settings.STATIC_ROOT)
    if not root.is_dir():
        raise ImproperlyConfigured(
            f"There are no static files in {root}; run `manage.py collectstatic --noinput`."
        )
    files: App = ServeStaticASGI(
        _not_found,
        root=root,
        prefix=PREFIX,
        max_age=60,
        immutable_file_test=HASHED,
        allow_all_origins=False,
    )
    return files


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    body = f"No such file.\nRequest {scope['request_id']}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": body})
