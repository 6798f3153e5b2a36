"""Named points at which a test may kill the process, to see what is left and resumed.

Deaf unless the settings in force say HYBRIDOPS_CRASHPOINTS, which only those of tests do.
"""

from __future__ import annotations

import os
import signal

from django.conf import settings

VARIABLE = "HYBRIDOPS_CRASHPOINT"
STOP = "stop:"


def point(name: str) -> None:
    """End this process as `kill -9` does if it was told to die at `name`.

    `stop:<name>` suspends it there instead, as SIGSTOP does: how a runner becomes a zombie.
    """
    if not getattr(settings, "HYBRIDOPS_CRASHPOINTS", False):
        return
    wanted = os.environ.get(VARIABLE, "")
    if wanted == name:
        os.kill(os.getpid(), signal.SIGKILL)
    if wanted == STOP + name:
        os.environ.pop(VARIABLE)
        os.kill(os.getpid(), signal.SIGSTOP)
