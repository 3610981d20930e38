"""What limits of live migrations mean together. Pure: texts and numbers in, sentences out.

Source: KubeVirt, pkg/virt-launcher/virtwrap/live-migration-source.go (newMigrationMonitor, shouldTriggerTimeout).
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

_GIB = 2**30
_SMALL = {"": Decimal(1), "m": Decimal("1e-3"), "u": Decimal("1e-6"), "n": Decimal("1e-9")}
_FACTORS = _SMALL | {
    letter: Decimal(base) ** power
    for power, name in enumerate("KMGTPE", 1)
    for letter, base in ((name if power > 1 else "k", 1000), (f"{name}i", 1024))
}
_QUANTITY = re.compile(r"((?:\d+(?:\.\d*)?|\.\d+))(?:([eE][+-]?\d{1,2})|([numkMGTPE]|[KMGTPE]i)?)")


def quantity(text: object) -> float | None:
    """Return a quantity of Kubernetes in units, such as bytes; None when it is none.

    Source: Kubernetes, apimachinery, pkg/api/resource/quantity.go.

    >>> quantity("2048Mi"), quantity("1e7"), quantity("10000000000m"), quantity("64 MB")
    (2147483648.0, 10000000.0, 10000000.0, None)
    """
    found = _exactly(text)
    return None if found is None else float(found)


def same_quantity(one: object, other: object) -> bool:
    """Tell whether two values are one quantity in two spellings (2048Mi as 2Gi)."""
    found = _exactly(one)
    return found is not None and found == _exactly(other)


def _exactly(text: object) -> Decimal | None:
    match = _QUANTITY.fullmatch(str(text))
    return None if match is None else Decimal(match[1] + (match[2] or "")) * _FACTORS[match[3] or ""]


def too_slow(bandwidth: object, timeout: object) -> tuple[str, str] | None:
    """Say why no GiB is copied in the time that it has, and the way out; None when it is, or nothing limits it.

    `bandwidth` is bandwidthPerMigration, a quantity per second, and 0 for no limit; `timeout` completionTimeoutPerGiB,
    seconds, and 0 for none.

    >>> too_slow("32Mi", 20)[1]
    'Raise bandwidthPerMigration to 52Mi or more, or completionTimeoutPerGiB to 32 or more'
    """
    rate = quantity(bandwidth)
    if not rate or not isinstance(timeout, int) or timeout <= 0 or rate * timeout >= _GIB:
        return None
    takes = math.ceil(_GIB / rate)
    rule = (
        f"lets 1 GiB take {takes} s, and completionTimeoutPerGiB allows {timeout} s: even an idle virtual machine does"
        " not migrate. Disks that are copied count as memory does, and between clusters they always are"
    )
    least = math.ceil(1024 / timeout)
    return rule, f"Raise bandwidthPerMigration to {least}Mi or more, or completionTimeoutPerGiB to {takes} or more"


def of_zero(key: str) -> str | None:
    """Say what a limit of 0 means; None for a key of which 0 says nothing special."""
    meanings: dict[str, str] = {
        "completionTimeoutPerGiB": "is no limit: a migration that does not converge is never cancelled, nor helped by"
        " post-copy or a pause",
        "progressTimeout": "is no limit: a migration that is stuck is never cancelled",
        "parallelMigrationsPerCluster": "lets no migration start",
        "parallelOutboundMigrationsPerNode": "lets no migration start",
    }
    return meanings.get(key)
