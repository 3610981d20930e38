"""How fast guests wrote their memory in past migrations, by what Prometheus kept of them.

What a migration has processed and what remains grow together by what the guest has written meanwhile: their sum's slope
is its dirty rate. KubeVirt's own metric of dirty rates is not used: on some builds it is wrong by orders of magnitude.
Source: KubeVirt, pkg/monitoring/metrics/virt-handler/migrationdomainstats.
"""

from __future__ import annotations

import json
import math
import os
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from config.finding import ConfigError, Finding
from mignet.capacity.estimate import CLASSES, Range, Writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOKEN = "MIGNET_PROMETHEUS_TOKEN"  # noqa: S105 - its name
"""The environment variable with the bearer token."""
_SUM = "(kubevirt_vmi_migration_data_processed_bytes + kubevirt_vmi_migration_data_remaining_bytes)"
_SLOPE = f"clamp_min(deriv({_SUM}[2m:15s]), 0)"
QUERIES = {"low": f"avg_over_time({_SLOPE}[30d:1m])", "high": f"max_over_time({_SLOPE}[30d:1m])"}
"""What is asked for: the last 30 days."""
_SECONDS = 60.0
MOST_BYTES = 64 * 2**20
"""The largest answer that is read."""


def measured(url: str) -> dict[str, Writing]:
    """Return what Prometheus knows, by `namespace/name`. Raises ConfigError when it does not answer."""
    found: dict[str, dict[str, float]] = {}
    try:
        for end, query in QUERIES.items():
            for name, rate in _rates(_asked(url, query)):
                found.setdefault(name, {})[end] = rate
    except (OSError, HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
        why = str(error).split("\n", maxsplit=1)[0] or type(error).__name__
        finding = Finding(
            f"--prometheus {url}",
            None,
            f"does not answer as Prometheus does: {why}",
            f"See whether it can be reached from here, and whether {TOKEN} signs in",
            code="prometheus-no-answer",
            stack="mignet",
        )
        raise ConfigError([finding]) from error
    working_set = CLASSES["typical"].working_set
    return {
        name: Writing(Range(each["low"], each["high"]), working_set, "measured in past migrations")
        for name, each in found.items()
        if each.keys() == QUERIES.keys()
    }


def _asked(url: str, query: str) -> Any:
    if not url.startswith(("http://", "https://")):
        msg = "an address begins with http:// or https://"
        raise ValueError(msg)
    token = os.environ.get(TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    where = f"{url.rstrip('/')}/api/v1/query?{urlencode({'query': query})}"
    with urlopen(Request(where, headers=headers), timeout=_SECONDS) as answer:  # noqa: S310 - judged above
        return json.loads(answer.read(MOST_BYTES))


def _rates(answer: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if answer["status"] != "success":
        raise ValueError(str(answer.get("error")))
    for each in answer["data"]["result"]:
        labels = each["metric"]
        rate = float(each["value"][1])
        if "name" in labels and math.isfinite(rate):
            yield f"{labels['namespace']}/{labels['name']}", rate
