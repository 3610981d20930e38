"""What of an attachment's content a pod keeps: all of it but the addresses that its IPAM may give.

IPAM plugins read their ranges when a pod is made, and OVN-Kubernetes its excludes when the attachment changes. A pod
that runs has its address, and takes no harm when others may get more of them. Sources: the CNI specification (ADD is
once in a container's life), and ovn-kubernetes, go-controller/pkg/networkmanager/nad_controller.go: a network whose
only attachment changes is set up anew, and its pods keep what their annotations say.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HASH_DIGITS = 8
_RANGE_KEYS = {
    # whereabouts
    "range_start",
    "range_end",
    "exclude",
    "enable_overlapping_ranges",
    # host-local
    "rangeStart",
    "rangeEnd",
}


def canonical_json(config: Mapping[str, Any]) -> str:
    """Write a CNI configuration the one way this project writes it: sorted keys, no blanks.

    A NetworkAttachmentDefinition holds it as a string, so any other spelling would count as a change.
    """
    return json.dumps(config, sort_keys=True, separators=(",", ":"))


def fingerprint(config: Mapping[str, Any]) -> str:
    """Return a hash of what pods keep of a CNI configuration, in eight hexadecimal digits."""
    return hashlib.sha256(canonical_json(_kept(config)).encode()).hexdigest()[:HASH_DIGITS]


def fingerprint_of_all(config: Mapping[str, Any]) -> str:
    """Return a hash of the whole of what nobody can change in place, in eight hexadecimal digits."""
    return hashlib.sha256(canonical_json(config).encode()).hexdigest()[:HASH_DIGITS]


def is_of_ranges(keys: Sequence[str]) -> bool:
    """Tell whether what the keys lead to in a CNI configuration is about the addresses that may be given alone.

    >>> is_of_ranges(["ipam", "range_end"]), is_of_ranges(["ipam", "range"])
    (True, False)
    """
    match keys:
        case ["excludeSubnets"]:
            return True
        case ["ipam", key]:
            return key in _RANGE_KEYS or key in _LISTS
        case _:
            return False


_LISTS = {"ipRanges", "ranges"}
"""Lists of ranges: whereabouts' and host-local's."""


def _kept(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key != "excludeSubnets"}
    ipam = config.get("ipam")
    if isinstance(ipam, dict):
        kept["ipam"] = _without_ranges(ipam)
    return kept


def _without_ranges(ipam: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in ipam.items() if key not in _RANGE_KEYS}
    for key in _LISTS & kept.keys():
        kept[key] = _subnets(kept[key])
    return kept


def _subnets(ranges: Any) -> Any:
    """Return what is left of a list of ranges: each subnet once, in order, however many pieces of it are given."""
    if isinstance(ranges, dict):
        return {key: value for key, value in ranges.items() if key not in _RANGE_KEYS}
    if not isinstance(ranges, list):
        return ranges
    found: list[Any] = []
    for each in map(_subnets, ranges):
        if each not in found:
            found.append(each)
    return found
