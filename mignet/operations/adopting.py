"""What a stack says that keeps the network over which a cluster migrates already: its name, range and limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.finding import ConfigError, shown
from config.hyperconverged import LiveMigration
from config.loading import load_stack
from config.types.addressing import AddressRange
from config.types.json_text import parse_json
from mignet.kube.hyperconverged_versions import limits_path
from mignet.kube.network.cni_configuration import PATH, meaning_changes, whereabouts_range
from mignet.kube.objects import controller_of, kept_by, stack_of, value_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.segment import Segment
    from mignet.kube.kinds import Object

_DEFAULTS: dict[str, tuple[object, ...]] = {
    "parallelMigrationsPerCluster": (5,),
    "parallelOutboundMigrationsPerNode": (2, 1),
    "completionTimeoutPerGiB": (150, 20),
    "progressTimeout": (150,),
    "allowAutoConverge": (False,),
    "allowPostCopy": (False,),
    "allowWorkloadDisruption": (False,),
}
"""The operator's defaults, in the releases 1.17 to 1.19: who pins them drifts when the next release has others."""
_OF_ITSELF = {"cniVersion", "name", "ipam", "plugins"}
_WHEREABOUTS = {"network_name": "networkName", "enable_overlapping_ranges": "enableOverlappingRanges"}


class NotKeptError(Exception):
    """The network cannot be kept as a stack of this project: why, as the rest of a sentence that begins with it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A network that a stack keeps: the sections of its file, and what the first apply changes of the meaning."""

    name: str
    values: Mapping[str, Any]
    changes: tuple[str, ...]

    @property
    def remark(self) -> str:
        """What to tell the user of it, as the rest of a sentence that begins with the stack."""
        if self.changes:
            return f"keeps the name {self.name}, over which the cluster migrates; up changes {', '.join(self.changes)}"
        return (
            f"keeps {self.name}, over which the cluster migrates: the first preview shows ownership, labels and"
            " formatting only"
        )


def named(hyperconverged: Object | None) -> str | None:
    """Return the network that a HyperConverged names, None when it names none."""
    if hyperconverged is None:
        return None
    found = value_at(hyperconverged, f"{limits_path(hyperconverged['apiVersion'])}.network")
    return found if isinstance(found, str) and found else None


def kept(
    stack: str, cluster: Mapping[str, Any], segment: Segment, hyperconverged: Object, attachment: Object | None
) -> Kept:
    """Return what keeps the network that the HyperConverged names, on the cluster of that section of a stack file.

    `segment` is the project's; the stack gets one of its own where its subnets differ. Raises NotKeptError.
    """
    name = named(hyperconverged)
    if attachment is None or name is None:
        msg = "has no NetworkAttachmentDefinition"
        raise NotKeptError(msg)
    if controller := controller_of(attachment):
        raise NotKeptError(kept_by(controller))
    if (other := stack_of(attachment)) not in {None, stack}:
        msg = f"belongs to stack {other}"
        raise NotKeptError(msg)
    text = str(value_at(attachment, PATH) or "")
    values = _sections(_config(text), name, segment)
    api_version = hyperconverged["apiVersion"].rpartition("/")[2]
    limits = _limits(hyperconverged)
    # v1beta1, which every release serves, is the default.
    operator = {"apiVersion": "v1"} if api_version == "v1" else {}
    if operator or limits:
        values["hyperConverged"] = operator | ({"liveMigration": limits} if limits else {})
    shared = {"segment": segment.model_dump(by_alias=True, exclude_none=True, exclude_defaults=True, mode="json")}
    try:
        loaded = load_stack(stack, shared | values | {"cluster": dict(cluster)})
    except ConfigError as error:
        msg = f"cannot be written as a stack ({error.findings[0]})"
        raise NotKeptError(msg) from error
    changes = meaning_changes(text, loaded.cni_json, name=name) or []
    return Kept(name, values, tuple(each.path for each in changes))


def _config(text: str) -> dict[str, Any]:
    try:
        config = parse_json(text)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        msg = "holds no CNI configuration"
        raise NotKeptError(msg)
    chain = config.get("plugins")
    if isinstance(chain, list) and len(chain) == 1 and isinstance(chain[0], dict):
        return {key: value for key, value in config.items() if key != "plugins"} | chain[0]
    if "plugins" in config:
        msg = "is a chain of plugins"
        raise NotKeptError(msg)
    return config


def _sections(config: Mapping[str, Any], name: str, segment: Segment) -> dict[str, Any]:
    ipam = config.get("ipam")
    if not isinstance(ipam, dict):
        msg = f"of type {config.get('type')} has no ipam; write it by hand (docs/how-to/adopt-an-existing-network.md)"
        raise NotKeptError(msg)
    attachment: dict[str, Any] = {"type": config.get("type"), "name": name}
    if config.get("name") not in (None, name):
        attachment["cniName"] = config["name"]
    if "cniVersion" in config:
        attachment["cniVersion"] = config["cniVersion"]
    attachment |= {key: value for key, value in config.items() if key not in {*_OF_ITSELF, "type"}}
    attachment["adopt"] = True
    if ipam.get("type") != "whereabouts":
        return {"attachment": attachment | {"ipam": ipam}}
    written, subnets, slices = _whereabouts(ipam)
    if written.keys() - {"type"}:
        attachment["ipam"] = written
    values: dict[str, Any] = {"attachment": attachment}
    if set(subnets) != set(map(str, segment.subnets)):
        own = {"subnet": subnets if len(subnets) > 1 else subnets[0]}
        values["segment"] = own | ({"mtu": attachment.pop("mtu")} if "mtu" in attachment else {})
    if slices:
        values["slice"] = slices if len(slices) > 1 else slices[0]
    return values


def _whereabouts(ipam: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[dict[str, str]]]:
    """Return the stack's `ipam`, the subnets, and the slices where not all that is usable of a subnet is given."""
    listed = ipam.get("ipRanges")
    ranges = [*([ipam] if ipam.get("range") else []), *(listed if isinstance(listed, list) else [])]
    subnets: list[str] = []
    slices: list[dict[str, str]] = []
    exclude: list[str] = []
    for each in ranges:
        if not isinstance(each, dict) or not isinstance(each.get("exclude") or [], list):
            msg = f"has a range that cannot be read: {shown(each)}"
            raise NotKeptError(msg)
        span = whereabouts_range(each.get("range"), each.get("range_start"), each.get("range_end"))
        if span is None:
            msg = f"has a range that cannot be read: {each.get('range')}"
            raise NotKeptError(msg)
        subnet, given = span
        subnets.append(str(subnet))
        if given != AddressRange.usable(subnet):
            slices.append({"rangeStart": str(given.first), "rangeEnd": str(given.last)})
        exclude += _joined(each.get("exclude") or ())
    if not ranges:
        msg = "has no range"
        raise NotKeptError(msg)
    rest = {key: value for key, value in ipam.items() if key in _WHEREABOUTS}
    written = {"type": "whereabouts"} | {_WHEREABOUTS[key]: value for key, value in rest.items()}
    return written | ({"exclude": exclude} if exclude else {}), subnets, slices


def _joined(blocks: Any) -> list[str]:
    """Write blocks in the fewest, as whereabouts reads them: with host bits, one is wider."""
    try:
        found = [ipaddress.ip_network(str(each), strict=False) for each in blocks]
    except ValueError as error:
        msg = f"has an exclude that cannot be read: {error}"
        raise NotKeptError(msg) from error
    joined = (
        *ipaddress.collapse_addresses(each for each in found if isinstance(each, ipaddress.IPv4Network)),
        *ipaddress.collapse_addresses(each for each in found if isinstance(each, ipaddress.IPv6Network)),
    )
    return [str(block) for block in joined]


def _limits(hyperconverged: Object) -> dict[str, Any]:
    """Return the limits that somebody has set to something else than a default."""
    found = value_at(hyperconverged, limits_path(hyperconverged["apiVersion"]))
    known = LiveMigration.model_json_schema(by_alias=True)["properties"]
    return {
        key: value
        for key, value in (found.items() if isinstance(found, dict) else ())
        if key in known and value is not None and value not in _DEFAULTS.get(key, ())
    }
