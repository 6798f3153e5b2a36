"""Access keys for signed requests: the id is kept, the secret is derived when it is needed.

The secret follows from a key of this installation, the token and its generation, so there is
nothing in the database that could be turned back into it. Servers that share a database share
that key too: a copy of the file in each HYBRIDOPS_HOME.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import secrets
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from routing.core.errors import Broken

PREFIX = "HYO"
KEY_BYTES = 32
SECRET_BYTES = 30  # forty characters, as AWS has them
_MARK = 5


def new_id(server: bytes) -> str:
    """Return a fresh access key id of twenty characters; five of them name the server key."""
    return f"{PREFIX}{mark(server)}{_letters(secrets.token_bytes(8))[:12]}"


def made_here(access_key_id: str, server: bytes) -> bool:
    """Tell whether the secret of `access_key_id` follows from this server key."""
    return access_key_id.startswith(PREFIX + mark(server))


def mark(server: bytes) -> str:
    """Return five characters that tell server keys apart and say nothing about them."""
    return _letters(hashlib.sha256(b"hybridops/server-key-mark\0" + server).digest())[:_MARK]


def secret(server: bytes, *, token_id: str, generation: int) -> str:
    """Return the secret access key of that generation of a token."""
    info = f"hybridops/access-key/1\0{token_id}\0{generation}".encode()
    derived = HKDF(algorithm=SHA256(), length=SECRET_BYTES, salt=None, info=info).derive(server)
    return base64.b64encode(derived).decode()


def server_key() -> bytes:
    """Return the key of this installation, made once; raises Broken for a file of other length."""
    return _kept(Path(settings.HYBRIDOPS_HOME) / "keys" / "access_key")


@cache
def _kept(file: Path) -> bytes:
    if not file.exists():
        _make(file)
    found = file.read_bytes()
    if len(found) != KEY_BYTES:
        raise Broken(
            f"{file.name} under HYBRIDOPS_HOME/keys holds {len(found)} bytes and not {KEY_BYTES}; "
            "put the right one back from the backup."
        )
    return found


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mine = file.with_name(f"access_key.{os.getpid()}.{secrets.token_hex(4)}")
    mine.touch(mode=0o600)
    mine.write_bytes(secrets.token_bytes(KEY_BYTES))
    mine.chmod(0o400)
    with contextlib.suppress(FileExistsError):
        os.link(mine, file)  # the first process wins; the others read its key
    mine.unlink()


def _letters(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")
