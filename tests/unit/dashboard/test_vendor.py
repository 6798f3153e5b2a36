from __future__ import annotations

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parents[3] / "dashboard" / "static" / "vendor"
LINE = re.compile(r"^\| (\S+) \| .* \| (\S+) \| .* \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def listed() -> dict[str, tuple[str, str]]:
    text = (VENDOR / "README.md").read_text()
    return {name: (version, digest) for name, version, digest in LINE.findall(text)}


def test_every_vendored_file_is_listed() -> None:
    kept = {
        str(path.relative_to(VENDOR))
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name not in {"README.md", "LICENSE", "VERSION"}
    }
    assert kept
    assert kept == set(listed())


def test_every_vendored_file_is_unmodified() -> None:
    for name, (version, digest) in listed().items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest
        assert (VENDOR / name).with_name("VERSION").read_text().strip() == version
        assert (VENDOR / name).with_name("LICENSE").stat().st_size > 1000
