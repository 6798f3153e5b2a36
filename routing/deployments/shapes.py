"""Documents that are not ours to import, recognised so that a refusal can say what they are."""

from __future__ import annotations

from collections.abc import Mapping

from routing.deployments.parsed import shown

WANTED = "What is imported: a hybrid routing deployment document (Markdown) or its summary (JSON)."
_PRODUCTION = (
    "This looks like the production deployment report: it names no deployment, and its gates and "
    "health checks carry no measured value, so nothing in it can be held against anything."
)
_TITLES: Mapping[str, str] = {
    "# Bedrock Activation - Production Deployment Report": _PRODUCTION,
    "# Bedrock Activation - Production Deployment Completion Report": _PRODUCTION,
}
_KEYS: Mapping[frozenset[str], str] = {
    frozenset({"deployedComponents", "enabledFeatureFlags"}): (
        "This looks like the result of the staging script, which records no id, time or "
        "environment."
    ),
    frozenset({"phase", "status", "outputs"}): (
        "This looks like the output of an infrastructure deployment, not of hybrid routing."
    ),
    frozenset({"gdprCompliant"}): "This looks like a compliance report.",
}


def markdown(first_line: str) -> str:
    """Return what a document that begins with `first_line` looks like, and what is wanted."""
    known = _TITLES.get(first_line.strip())
    if known is None:
        known = _title(first_line.strip())
    return f"{known} {WANTED}"


def _title(line: str) -> str:
    if line.startswith(("{", "[")):
        return "This looks like JSON; give it a name that ends in .json."
    if line.startswith("# "):
        return f"This looks like another document, titled {shown(line[2:])}."
    if line.startswith("<"):
        return "This looks like HTML or XML."
    return "This has no title that is known here."


def json(value: object) -> str:
    """Return what a JSON document looks like that is not a summary, and what is wanted."""
    if not isinstance(value, Mapping):
        return f"This is {shown(value)}, not an object. {WANTED}"
    for keys, looks in _KEYS.items():
        if keys <= value.keys():
            return f"{looks} {WANTED}"
    names = ", ".join(shown(key) for key in list(value)[:6]) or "no keys"
    return f"This is an object of another kind, with {names}. {WANTED}"
