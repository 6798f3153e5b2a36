"""Settings, all of them. The environment may say HYBRIDOPS_HOME, HYBRIDOPS_PORT, HYBRIDOPS_URL,
HYBRIDOPS_ENVIRONMENTS, HYBRIDOPS_ENVIRONMENT, HYBRIDOPS_EMBEDDED, HYBRIDOPS_SYNTHETIC,
HYBRIDOPS_FIRST_DEPLOYMENT, HYBRIDOPS_AT_ONCE, HYBRIDOPS_BEDROCK_TRANSPORT,
HYBRIDOPS_ALLOWED_HOSTS, HYBRIDOPS_MODELS, HYBRIDOPS_SECRET_KEY, DATABASE_URL and REDIS_URL;
anything it says that makes no sense stops the start with the mend.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from hybridops import sqlite

sqlite.swap_in()

MODEL_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,80}")
ENVIRONMENT_NAMES = ("development", "staging", "production")
BEDROCK_TRANSPORTS = ("asyncio", "boto3")


def read_port(text: str) -> int:
    """Return the TCP port that `text` names (1 to 65535)."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ImproperlyConfigured(
            f"HYBRIDOPS_PORT is {text!r}; set it to a number from 1 to 65535, such as 8000."
        )
    return int(text)


def read_at_once(text: str) -> int:
    """Return how many requests may be under way in this process (1 to 10000)."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= 10_000:
        raise ImproperlyConfigured(
            f"HYBRIDOPS_AT_ONCE is {text!r}; set it to a number from 1 to 10000, such as 1024."
        )
    return int(text)


def read_switch(name: str, *, default: bool) -> bool:
    """Return whether the variable `name` says on (1) or off (0); unset is `default`."""
    said = os.environ.get(name, "")
    if said not in ("", "0", "1"):
        raise ImproperlyConfigured(f"{name} is {said!r}; set it to 1 for on or 0 for off.")
    return said == "1" if said else default


def read_choice(name: str, choices: tuple[str, ...], *, default: str) -> str:
    """Return which of `choices` the variable `name` says; unset is `default`."""
    said = os.environ.get(name) or default
    if said not in choices:
        raise ImproperlyConfigured(f"{name} is {said!r}; set it to {' or '.join(choices)}.")
    return said


def read_environments(text: str) -> tuple[str, ...]:
    """Return the environments that this process serves, in order, from `a,b`."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [n for n in names if n not in ENVIRONMENT_NAMES]
    if not names or unknown or len(set(names)) != len(names):
        raise ImproperlyConfigured(
            f"HYBRIDOPS_ENVIRONMENTS is {text!r}; name each of "
            f"{', '.join(ENVIRONMENT_NAMES)} at most once, separated by commas."
        )
    return names


def read_models(text: str) -> tuple[str, ...]:
    """Return the names that callers may send for the model, from `a,b`."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names or not all(MODEL_NAME.fullmatch(name) for name in names):
        raise ImproperlyConfigured(
            f"HYBRIDOPS_MODELS is {text!r}; give one or more names of 1 to 80 letters, digits, "
            "dots, dashes, colons or slashes, separated by commas."
        )
    return names


def read_database(url: str, home: Path) -> dict[str, Any]:
    """Return Django's settings for `url`, or for SQLite under `home` when it is empty."""
    if not url:
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": home / "hybridops.sqlite3",
            "CONN_MAX_AGE": 0,
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "timeout": 5,
                "init_command": "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; "
                "PRAGMA recursive_triggers=ON; PRAGMA trusted_schema=OFF;",
            },
        }
    from hybridops import postgres

    parts = urlsplit(url)
    name = unquote(parts.path.lstrip("/"))
    if parts.scheme not in ("postgres", "postgresql") or not name or not _has_port(parts):
        raise ImproperlyConfigured(
            "DATABASE_URL must look like postgresql://user:password@host:5432/name; "
            "leave it unset for SQLite."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,  # the pool must not lend a connection that the server ended
        # Each background loop keeps one; the rest is for pages. Who waits longer for one waits for
        # a database that is away, also at the end of the server. The pool tries anew whenever
        # somebody asks, not ever more rarely.
        "OPTIONS": {
            "pool": {
                "connection_class": postgres.Connection,
                "min_size": 1,
                "max_size": 20,
                "timeout": 1.5,
                "reconnect_timeout": 2,
            },
            # A peer that vanished without a word is noticed, by whoever waits for it and later.
            "connect_timeout": 2,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10_000,
        }
        | dict(parse_qsl(parts.query)),
    }


def _has_port(parts: SplitResult) -> bool:
    """Tell whether the port is a number, or left out."""
    try:
        return parts.port != 0
    except ValueError:
        return False


def read_secret(home: Path) -> str:
    """Return the key from the environment, or the one kept under `home`, made once (0400)."""
    said = os.environ.get("HYBRIDOPS_SECRET_KEY", "")
    if said:
        if len(said) < 50:
            raise ImproperlyConfigured("HYBRIDOPS_SECRET_KEY needs at least 50 characters.")
        return said
    kept = home / "keys" / "secret_key"
    try:
        return kept.read_text()
    except FileNotFoundError:
        pass
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mine = kept.with_name(f"secret_key.{os.getpid()}")
    mine.write_text(secrets.token_urlsafe(64))
    mine.chmod(0o400)
    with contextlib.suppress(FileExistsError):
        os.link(mine, kept)  # the first process wins; the others read its key
    mine.unlink()
    return kept.read_text()


HYBRIDOPS_VERSION = "0.1.0"
BASE_DIR = Path(__file__).resolve().parent.parent
HYBRIDOPS_HOME = Path(os.environ.get("HYBRIDOPS_HOME") or BASE_DIR / "var").resolve()
try:
    HYBRIDOPS_HOME.mkdir(parents=True, exist_ok=True, mode=0o700)
except OSError as error:
    raise ImproperlyConfigured(
        f"HYBRIDOPS_HOME is {HYBRIDOPS_HOME}, which cannot be used ({error.strerror}); set it to "
        "a folder that you may write to."
    ) from None
HYBRIDOPS_PORT = read_port(os.environ.get("HYBRIDOPS_PORT") or "8000")
HYBRIDOPS_URL = (os.environ.get("HYBRIDOPS_URL") or f"http://127.0.0.1:{HYBRIDOPS_PORT}").rstrip(
    "/"
)
HYBRIDOPS_ENVIRONMENTS = read_environments(
    os.environ.get("HYBRIDOPS_ENVIRONMENTS") or ",".join(ENVIRONMENT_NAMES)
)
HYBRIDOPS_ENVIRONMENT = os.environ.get("HYBRIDOPS_ENVIRONMENT") or HYBRIDOPS_ENVIRONMENTS[0]
if HYBRIDOPS_ENVIRONMENT not in HYBRIDOPS_ENVIRONMENTS:
    raise ImproperlyConfigured(
        f"HYBRIDOPS_ENVIRONMENT is {HYBRIDOPS_ENVIRONMENT!r}; this process serves "
        f"{', '.join(HYBRIDOPS_ENVIRONMENTS)}."
    )
# What programs may name as the model; which one answers is the environment's to say.
HYBRIDOPS_MODELS = read_models(os.environ.get("HYBRIDOPS_MODELS") or "hybridops")
REDIS_URL = os.environ.get("REDIS_URL", "")
# The local stand-ins serve as the paths of a first run; beside a real database only if asked.
HYBRIDOPS_EMBEDDED = read_switch("HYBRIDOPS_EMBEDDED", default=not os.environ.get("DATABASE_URL"))
# Labelled traffic of our own on both paths; never beside real ones unless asked.
HYBRIDOPS_SYNTHETIC = read_switch("HYBRIDOPS_SYNTHETIC", default=HYBRIDOPS_EMBEDDED)
# A first run deploys to development once, for real, so that the page has something to show.
HYBRIDOPS_FIRST_DEPLOYMENT = read_switch("HYBRIDOPS_FIRST_DEPLOYMENT", default=HYBRIDOPS_EMBEDDED)
# What carries the calls to Bedrock: our client on the loop, or boto3 on threads (ADR 0016).
HYBRIDOPS_BEDROCK_TRANSPORT = read_choice(
    "HYBRIDOPS_BEDROCK_TRANSPORT", BEDROCK_TRANSPORTS, default="asyncio"
)

# Requests under way in this process; what comes on top waits a moment or is sent away.
HYBRIDOPS_AT_ONCE = read_at_once(os.environ.get("HYBRIDOPS_AT_ONCE") or "1024")

_public = urlsplit(HYBRIDOPS_URL)
if _public.scheme not in ("http", "https") or not _public.hostname:
    raise ImproperlyConfigured(
        f"HYBRIDOPS_URL is {HYBRIDOPS_URL!r}; give the address people open, "
        "such as https://ops.example.org."
    )
_secure = _public.scheme == "https"
_local_hosts = ["127.0.0.1", "localhost"] if not _secure else []
ALLOWED_HOSTS = [
    *dict.fromkeys(
        [
            _public.hostname,
            *_local_hosts,
            *filter(None, os.environ.get("HYBRIDOPS_ALLOWED_HOSTS", "").split(",")),
        ]
    )
]
HYBRIDOPS_ORIGINS = [HYBRIDOPS_URL, *(f"http://{h}:{HYBRIDOPS_PORT}" for h in _local_hosts)]
CSRF_TRUSTED_ORIGINS = [HYBRIDOPS_URL]

SECRET_KEY = read_secret(HYBRIDOPS_HOME)
DEBUG = False

INSTALLED_APPS = [
    "routing",  # before waffle: our flag commands shadow its writing ones
    "dashboard",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "channels",
    "django_htmx",
    "waffle",
]
MIDDLEWARE = [
    "dashboard.views.gate.Patient",  # around the session's own questions as well
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "dashboard.views.errors.DatabaseAway",
]
ROOT_URLCONF = "hybridops.urls"
ASGI_APPLICATION = "hybridops.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

DATABASES = {"default": read_database(os.environ.get("DATABASE_URL", ""), HYBRIDOPS_HOME)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ATOMIC_REQUESTS = False

CHANNEL_LAYERS: dict[str, Any] = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "hybridops"},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
CACHES = {
    "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
    # Waffle's cache can serve a stale flag for minutes; ours is the snapshot.
    "waffle": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
}

WAFFLE_FLAG_MODEL = "routing.Flag"
WAFFLE_SWITCH_MODEL = "routing.Switch"
WAFFLE_SAMPLE_MODEL = "routing.Sample"
WAFFLE_CACHE_NAME = "waffle"
WAFFLE_OVERRIDE = False
WAFFLE_CREATE_MISSING_FLAGS = False
WAFFLE_LOG_MISSING_FLAGS = 30

AUTH_USER_MODEL = "routing.User"
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
]
LOGIN_URL = "sign-in"

# Cookies ignore the port: two servers on one host would sign each other out without it.
_prefix = "__Host-" if _secure else f"p{HYBRIDOPS_PORT}-"
SESSION_COOKIE_NAME = f"{_prefix}session"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _secure
SESSION_COOKIE_SAMESITE = "Lax"  # a link from the pager must find the person signed in
CSRF_COOKIE_SAMESITE = "Strict"
SESSION_COOKIE_AGE = 12 * 3600
CSRF_USE_SESSIONS = False
CSRF_COOKIE_NAME = f"{_prefix}csrf"
CSRF_COOKIE_HTTPONLY = True
CSRF_FAILURE_VIEW = "dashboard.views.errors.forged"
X_FRAME_OPTIONS = "DENY"
SECURE_SSL_REDIRECT = _secure
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _secure else None
SECURE_HSTS_SECONDS = 31_536_000 if _secure else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = _secure
SECURE_REFERRER_POLICY = "same-origin"

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "/static/"
STATIC_ROOT = HYBRIDOPS_HOME / "static"
STORAGES = {
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024

# The root handler stands before mcp's server calls logging.basicConfig.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # One line for every probe and call: the decision stream says it better.
        "httpx2": {"level": "WARNING"},
        "mcp": {"level": "WARNING"},
        "botocore": {"level": "WARNING"},
    },
}
