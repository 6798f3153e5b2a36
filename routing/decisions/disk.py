"""The few calls by which a segment reaches the disk; a test puts another disk in their place."""

from __future__ import annotations

import errno
import os
from pathlib import Path


class Disk:
    """Files of a real file system; every call raises OSError."""

    def create(self, path: Path) -> int:
        """Create the file and its name, so that both outlive a power loss; return the handle."""
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return file

    def write(self, file: int, block: bytes, at: int) -> None:
        """Write all of `block` at the offset `at`."""
        view = memoryview(block)
        while view:
            done = os.pwrite(file, view, at)
            if not done:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            view, at = view[done:], at + done

    def sync(self, file: int) -> None:
        """Return when what was written would outlive a power loss."""
        os.fdatasync(file)

    def cut(self, file: int, size: int) -> None:
        """Forget what stands behind `size`."""
        os.ftruncate(file, size)

    def close(self, file: int) -> None:
        """Let go of the file."""
        os.close(file)
