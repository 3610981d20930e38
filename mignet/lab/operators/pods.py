"""What a pod tells of itself: whether it is ready, and its interfaces as multus reported them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mignet.lab.operators.templates import INTERFACE, NETWORK_STATUS

if TYPE_CHECKING:
    from mignet.kube.kinds import Object


def interface_addresses(pod: Object) -> list[str]:
    """Return the addresses of a pod on the migration network, as multus reported them."""
    text = pod["metadata"].get("annotations", {}).get(NETWORK_STATUS, "[]")
    found: Object = next((each for each in json.loads(text) if each["interface"] == INTERFACE), {})
    return list(found.get("ips", ()))


def is_ready(pod: Object) -> bool:
    """Whether a pod's condition Ready is true."""
    found = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found)


def network_status(statuses: list[Object]) -> dict[str, str]:
    """Return the annotation in which multus reports the interfaces of a pod."""
    return {NETWORK_STATUS: json.dumps(statuses, indent=4)}
