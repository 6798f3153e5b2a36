"""The product's settings with ears for crash points: a server that a test kills at one.

Nothing else differs from what is shipped, so that what resumes is what an operator runs.
"""

from __future__ import annotations

from hybridops.settings import *  # noqa: F403

HYBRIDOPS_CRASHPOINTS = True
