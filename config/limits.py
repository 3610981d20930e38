"""What limits of live migrations mean together. Pure: texts and numbers in, sentences out.

Source: KubeVirt, pkg/virt-launcher/virtwrap/live-migration-source.go (newMigrationMonitor, shouldTriggerTimeout).
"""

from __future__ import annotations

import math
import re

_GIB = 2**30
_FACTORS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
    "P": 10**15,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
    "Pi": 2**50,
}


def quantity(text: object) -> float | None:
    """Return a quantity of Kubernetes in units, such as bytes; None when it is none.

    >>> quantity("2048Mi")
    2147483648.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", str(text))
    return None if match is None else float(match[1]) * _FACTORS[match[2] or ""]


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
