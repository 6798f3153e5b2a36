"""What `set_flag` prints with `--json`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.house.contract_times import EFFECT
from tests.house.printed import DEV, FLAG_SET, FLAG_SPREAD, REFUSED, STG, WHY, Printed

SUPPORT_FLAG = ("--flag", "ENABLE_BEDROCK_SUPPORT_MODE")
SETTING: Mapping[str, tuple[Printed, ...]] = {
    "set_flag": (
        Printed(
            when="one object for each flag that was changed; with --at as `schedule list`",
            ask=(*DEV, *SUPPORT_FLAG, "--on"),
            keys={**FLAG_SET, **FLAG_SPREAD},
        ),
        Printed(
            when="--preview: one object",
            ask=(*STG, "--set", "ai.caching.enabled=off", "--preview"),
            keys=EFFECT,
        ),
        Printed(
            when="--ends-after: the same as without",
            ask=(*STG, "--set", "ai.caching.enabled=off", "--ends-after", "60", *WHY),
            keys={**FLAG_SET, **FLAG_SPREAD},
        ),
        Printed(
            when="refused: one object; `rule` and `effects` where a guard said no",
            ask=(*DEV, "--flag", "ai.provider.bedrock.enabled", "--off"),
            keys={**REFUSED, "rule": "the guard's rule", "effects": "what would stop"},
            status=1,
        ),
    ),
}
