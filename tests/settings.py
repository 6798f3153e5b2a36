"""The product's settings, kept away from any real installation.

A folder of its own unless HYBRIDOPS_HOME names one; nothing else that the shell says about a real
installation gets in. DATABASE_URL and REDIS_URL choose what the tests run on.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

for _name in (
    "HYBRIDOPS_ALLOWED_HOSTS",
    "HYBRIDOPS_ENVIRONMENT",
    "HYBRIDOPS_ENVIRONMENTS",
    "HYBRIDOPS_MODELS",
    "HYBRIDOPS_PORT",
    "HYBRIDOPS_SECRET_KEY",
    "HYBRIDOPS_URL",
):
    os.environ.pop(_name, None)
if not os.environ.get("HYBRIDOPS_HOME"):
    _home = tempfile.mkdtemp(prefix="hybridops-tests-")
    os.environ["HYBRIDOPS_HOME"] = _home
    atexit.register(shutil.rmtree, _home, ignore_errors=True)

from hybridops.settings import *  # noqa: E402, F403
from hybridops.settings import DATABASES, HYBRIDOPS_HOME, STORAGES  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # In memory, SQLite has one connection for all threads: no race could ever show.
    DATABASES["default"]["TEST"] = {"NAME": str(HYBRIDOPS_HOME / f"test-{os.getpid()}.sqlite3")}

# Pages are rendered without the manifest that serving makes; tests/e2e has the real one.
STORAGES["staticfiles"] = {
    "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
}
PASSWORD_HASHERS = [
    "tests.hashers.QuickPBKDF2",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
# A process that a test forked may be told to die at a named point; no other settings know this.
HYBRIDOPS_CRASHPOINTS = True
