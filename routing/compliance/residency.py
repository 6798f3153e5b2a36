"""Where a path's requests are processed, judged from what its client really talks to.

Names of places are read from the endpoint first, then from the client's region; a declaration
counts only where neither says anything. Under `eu` what is not known to be inside is outside.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from routing.core.values import Path, Residency
from routing.fleet.queries import EnvironmentRow

# AWS regions on EU soil. London (eu-west-2) and Zurich (eu-central-2) are not in the EU.
EU_REGIONS = frozenset(
    {
        "eu-central-1",  # Frankfurt
        "eu-north-1",  # Stockholm
        "eu-south-1",  # Milan
        "eu-south-2",  # Zaragoza
        "eu-west-1",  # Dublin
        "eu-west-3",  # Paris
        "eusc-de-east-1",  # Brandenburg, the European Sovereign Cloud
    }
)
_EU_COUNTRY = re.compile(
    "AT|BE|BG|CY|CZ|DE|DK|EE|ES|FI|FR|GR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK"
)
OWN_ENDPOINT = "aws"  # the region's own endpoint
STAND_IN = "local:"

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]+){1,2}-\d{1,2}")
_AWS_HOST = re.compile(r"(?:.+\.)?(?:amazonaws\.(?:com(?:\.cn)?|eu)|api\.aws|on\.aws)")
# Makers whose models run where the client's region is; an id that starts otherwise and has
# three parts is a cross-region inference profile (AWS user guide, "Cross-Region inference").
_MAKER = re.compile(
    "ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai"
    "|nvidia|openai|qwen|stability|twelvelabs|writer|zai"
)
_GEOGRAPHY = re.compile("us|us-gov|apac|global|jp|au|ca|sa|me|af|uk|in|eu")
# Resources of an ARN that run in the ARN's own region.
_REGIONAL = frozenset(
    {"provisioned-model", "custom-model", "custom-model-deployment", "imported-model"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Residence:
    """`sentence` says where the path runs, and where that is not allowed, what to do next."""

    allowed: bool
    sentence: str


def _yes(sentence: str) -> Residence:
    return Residence(allowed=True, sentence=sentence)


def _no(sentence: str) -> Residence:
    return Residence(allowed=False, sentence=sentence)


def _host(target: str) -> str:
    """Return the host that a client of `target` would connect to, empty if it cannot be read."""
    try:
        return (urlsplit(target if "://" in target else f"//{target}").hostname or "").lower()
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _local(path: Path, target: str) -> Residence:
    if target.startswith(STAND_IN):
        return _yes(f"{path} runs on the built-in stand-in on this machine.")
    if target != OWN_ENDPOINT and _is_loopback(_host(target)):
        return _yes(f"{path} stays on this machine.")
    return _no(
        f"Residency local allows only this machine, and {path} would leave it; use "
        f"local:{'bedrock' if path is Path.DIRECT_BEDROCK else 'mcp'} as the target, or change "
        "the environment's residency."
    )


def _declared(path: Path, declared: str) -> Residence:
    """Judge a place that only the operator knows: an AWS region, a country code, or `eu`."""
    place = declared.strip()
    if (
        place.lower() in EU_REGIONS
        or _EU_COUNTRY.fullmatch(place.upper())
        or place.lower() == "eu"
    ):
        return _yes(f"{path} runs in {place}, as declared in the environment's settings.")
    if place:
        return _no(
            f"{path} is declared to run in {place!r}, which is not known to be in the EU; move "
            "it to an EU region, or switch the path off for this environment."
        )
    return _no(
        f"Nothing tells where {path} runs; declare it in the environment's settings "
        f"({'mcp.region' if path is Path.MCP else 'bedrock.endpoint_region'}: an AWS region, a "
        "country code or eu), or switch the path off for this environment."
    )


def _in_region(path: Path, region: str) -> Residence:
    if region in EU_REGIONS:
        return _yes(f"{path} runs in {region}, in the EU.")
    return _no(
        f"{path} runs in {region or 'no known region'}, which is not in the EU; use one of "
        f"{', '.join(sorted(EU_REGIONS))}, or switch the path off for this environment."
    )


def _eu_host(path: Path, host: str, declared: str) -> Residence:
    """Judge the host: AWS names its region in it, any other must be declared."""
    if not host:
        return _no(f"The target of {path} has no host to judge; write it as https://host/path.")
    if not _AWS_HOST.fullmatch(host):
        return _declared(path, declared)
    regions = [label for label in host.split(".") if _REGION.fullmatch(label)]
    outside = [region for region in regions if region not in EU_REGIONS]
    if outside or not regions:
        return _in_region(path, outside[0] if outside else "")
    return _in_region(path, regions[0])


def _eu_model(model: str) -> Residence:
    """Judge where a model id may send a request beyond the client's own region."""
    if model.startswith("arn:"):
        return _eu_arn(model)
    maker, *rest = model.split(".")
    if maker == "eu" and len(rest) > 1:
        return _yes("The model is an inference profile of EU regions.")
    if _MAKER.fullmatch(maker) or (len(rest) == 1 and not _GEOGRAPHY.fullmatch(maker)):
        return _yes("The model runs in the client's own region.")
    return _no(
        f"The model id {model} may send requests beyond the EU; use the plain model id in an EU "
        "region, or its inference profile that starts with eu."
    )


def _eu_arn(arn: str) -> Residence:
    parts = arn.split(":", 5)
    resource, _, name = parts[5].partition("/") if len(parts) == 6 else ("", "", "")
    region = parts[3] if len(parts) == 6 else ""
    if region not in EU_REGIONS:
        return _in_region(Path.DIRECT_BEDROCK, region)
    if resource in _REGIONAL:
        return _yes(f"The model runs in {region}.")
    if resource in {"foundation-model", "inference-profile"}:
        return _eu_model(name)
    return _no(
        f"The ARN of a {resource or 'resource'} hides which regions it sends requests to; use "
        "the model id, or an inference profile that starts with eu."
    )


def _eu_bedrock(target: str, region: str, model: str, declared: str) -> Residence:
    path = Path.DIRECT_BEDROCK
    judged = [_in_region(path, region)]
    if target != OWN_ENDPOINT:
        judged.append(_eu_host(path, _host(target), declared))
    if model:
        judged.append(_eu_model(model))
    return next((each for each in judged if not each.allowed), judged[0])


def of(row: EnvironmentRow, path: Path) -> Residence:
    """Judge `path` by the settings that its client is made from."""
    bedrock = path is Path.DIRECT_BEDROCK
    return judge_all(
        residency=row.residency,
        path=path,
        target=row.target(path),
        region=row.bedrock_region if bedrock else "",
        models=row.bedrock_models if bedrock else ("",),
        declared_region=str(
            row.thresholds.get("bedrock.endpoint_region" if bedrock else "mcp.region", "")
        ),
    )


def judge(
    *,
    residency: Residency,
    path: Path,
    target: str,
    region: str,
    model: str = "",
    declared_region: str = "",
) -> Residence:
    """Judge one path of one environment; total, no input raises.

    `target` is `local:...`, `aws` (the region's own endpoint) or a URL; `region` is the actual
    client's, empty for mcp; `model` is an id or an ARN. `declared_region` is the operator's word
    for a host that does not name its region.
    """
    if residency is Residency.ANY:
        return _yes(f"Residency any: {path} may run anywhere.")
    if residency is Residency.LOCAL:
        return _local(path, target)
    if target.startswith(STAND_IN):
        return _no(
            f"The built-in stand-in of {path} is for residency local only; set a real target in "
            "the EU, or change the environment's residency to local."
        )
    if path is Path.MCP:
        return _eu_host(path, _host(target), declared_region)
    return _eu_bedrock(target, region, model, declared_region)


def judge_all(
    *,
    residency: Residency,
    path: Path,
    target: str,
    region: str,
    models: Sequence[str],
    declared_region: str = "",
) -> Residence:
    """Judge a path whose calls may go to any of `models`: one that breaks the rule, breaks it."""
    judged = [
        judge(
            residency=residency,
            path=path,
            target=target,
            region=region,
            model=model,
            declared_region=declared_region,
        )
        for model in models
    ]
    return next((one for one in judged if not one.allowed), judged[0])
