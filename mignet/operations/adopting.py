"""What a stack says that keeps the network over which a cluster migrates already: its name, range and limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.attachment.localnet import OvnIpam
from config.finding import ConfigError, shown
from config.hyperconverged import LiveMigration
from config.loading import WAIVABLE, load_stack
from config.sites import values_of
from config.types.addressing import AddressRange
from config.types.json_text import parse_json
from mignet.kube.diff import differences
from mignet.kube.hyperconverged_versions import limits_path
from mignet.kube.kubevirt.take_over import network_named
from mignet.kube.network.cni_configuration import OVN, PATH, meaning_changes, ovn_parts, whereabouts_range
from mignet.kube.network.user_network import made_of_a_network
from mignet.kube.objects import controller_of, kept_by, stack_of, value_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
_OF_OVN = {"topology", "netAttachDefName", "subnets", "excludeSubnets"}
"""What a localnet says by itself."""
_OF_THE_CONTROLLER = {"cniName", "cniVersion", "role"}
"""What the controller of a ClusterUserDefinedNetwork says by itself."""
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


def kept(
    stack: str,
    cluster: Mapping[str, Any],
    segment: Segment,
    hyperconverged: Object,
    attachment: Object | None,
    *,
    user_network: Object | None = None,
) -> Kept:
    """Return what keeps the network that the HyperConverged names, on the cluster of that section of a stack file.

    `segment` is the project's; the stack gets one of its own where only that says what is there. `user_network` is the
    ClusterUserDefinedNetwork of that name, whose controller keeps the attachment. Raises NotKeptError.
    """
    name = network_named(hyperconverged)
    if attachment is None or name is None:
        msg = "has no NetworkAttachmentDefinition"
        raise NotKeptError(msg)
    made = user_network if user_network is not None and made_of_a_network(attachment) else None
    if made is None and (controller := controller_of(attachment)):
        raise NotKeptError(kept_by(controller))
    if (other := stack_of(made or attachment)) not in {None, stack}:
        msg = f"belongs to stack {other}"
        raise NotKeptError(msg)
    text = str(value_at(attachment, PATH) or "")
    limits = _limits(hyperconverged)
    # v1beta1, which every release serves, is the default.
    operator = {"apiVersion": "v1"} if hyperconverged["apiVersion"].endswith("/v1") else {}
    more = {"hyperConverged": operator | ({"liveMigration": limits} if limits else {})} if operator or limits else {}
    shared = values_of(segment)
    found: list[Kept] = []
    refused: list[ConfigError] = []
    unchanged: list[str] = []
    config = _config(text)
    for values in _written(config, name, segment) if made is None else _of_user_network(made, config, name, segment):
        try:
            # A segment of the stack's own has no sites.
            whole = ({} if "segment" in values else shared) | values | more | {"cluster": dict(cluster)}
            waivers = waivers_of(stack, whole)
            loaded = load_stack(stack, whole | waivers)
        except ConfigError as error:
            refused.append(error)
            continue
        if made is not None and (changed := [*differences(made["spec"], loaded.user_network, "spec")]):
            unchanged.append(", ".join(each.path for each in changed))
            continue
        changes = meaning_changes(text, loaded.cni_json, name=name) or []
        found.append(Kept(name, values | more | waivers, tuple(each.path for each in changes)))
    if not found and unchanged:
        what = f"a ClusterUserDefinedNetwork that a stack cannot say as it is ({unchanged[-1]})"
        msg = f"is {what}, and nothing changes one"
        raise NotKeptError(msg)
    if not found:
        msg = f"cannot be written as a stack ({refused[0].findings[0]})"
        raise NotKeptError(msg) from refused[0]
    return min(found, key=lambda each: (len(each.changes), "waivers" in each.values))


def waivers_of(stack: str, values: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the section of a stack file that accepts what its values break, none where they break nothing.

    Raises ConfigError where a rule is broken that nobody may break.
    """
    try:
        load_stack(stack, values)
    except ConfigError as error:
        codes = sorted({each.code for each in error.findings})
        if not WAIVABLE.issuperset(codes):
            raise
        return {"waivers": dict.fromkeys(codes, "It was so when this stack took the network over")}
    return {}


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


@dataclass(frozen=True, slots=True)
class _Given:
    """Which addresses a network gives: all of its subnets but what is reserved, or the slices of them."""

    subnets: list[str]
    slices: list[dict[str, str]]
    reserved: list[str]


def _written(config: Mapping[str, Any], name: str, segment: Segment) -> Iterator[dict[str, Any]]:
    """Yield the sections that may say the same, those on the project's segment first."""
    attachment: dict[str, Any] = {"type": config.get("type"), "name": name}
    if config.get("name") not in (None, name):
        attachment["cniName"] = config["name"]
    if "cniVersion" in config:
        attachment["cniVersion"] = config["cniVersion"]
    attachment |= {key: value for key, value in config.items() if key not in {*_OF_ITSELF, "type"}}
    attachment["adopt"] = True
    if config.get("type") == OVN:
        attachment, given = _localnet(attachment, config)
        vlan = attachment.pop("vlanID", 0)
        tagged = {} if vlan == (segment.vlan or 0) else {"vlanID": vlan}
    else:
        attachment, given = _delegating(attachment, config, segment)
        vlan, tagged = attachment.get("vlan"), {}
    slices = {"slice": given.slices if len(given.slices) > 1 else given.slices[0]} if given.slices else {}
    if set(given.subnets) == set(map(str, segment.subnets)) and not given.reserved:
        yield {"attachment": attachment | tagged} | slices
    own: dict[str, Any] = {"subnet": given.subnets if len(given.subnets) > 1 else given.subnets[0]}
    own |= {"vlan": vlan} if vlan else {}
    own |= {"mtu": attachment.pop("mtu")} if "mtu" in attachment else {}
    own |= {"reserved": given.reserved} if given.reserved else {}
    yield {"segment": own, "attachment": attachment} | slices


def _of_user_network(
    network: Object, config: Mapping[str, Any], name: str, segment: Segment
) -> Iterator[dict[str, Any]]:
    """Yield the sections that may say the same as a ClusterUserDefinedNetwork, in the fewest words first.

    `config` is what its controller has made of it.
    """
    blocks = value_at(network, "spec.network.localnet.excludeSubnets")
    selector = {"namespaceSelector": value_at(network, "spec.namespaceSelector") or {}}
    for values in _written(config, name, segment):
        attachment = {key: value for key, value in values["attachment"].items() if key not in _OF_THE_CONTROLLER}
        attachment |= {"type": "clusterUserDefinedNetwork", "rollout": "in-place"}
        as_is = {"excludeSubnets": blocks} if blocks else {}
        for more in ({}, selector, as_is, selector | as_is):
            yield values | {"attachment": attachment | more}


def _delegating(
    attachment: dict[str, Any], config: Mapping[str, Any], segment: Segment
) -> tuple[dict[str, Any], _Given]:
    ipam = config.get("ipam")
    if not isinstance(ipam, dict):
        msg = f"of type {config.get('type')} has no ipam; write it by hand (docs/how-to/adopt-an-existing-network.md)"
        raise NotKeptError(msg)
    if ipam.get("type") != "whereabouts":
        return attachment | {"ipam": ipam}, _Given([*map(str, segment.subnets)], [], [])
    written, subnets, slices = _whereabouts(ipam)
    return attachment | ({"ipam": written} if written.keys() - {"type"} else {}), _Given(subnets, slices, [])


def _localnet(attachment: dict[str, Any], config: Mapping[str, Any]) -> tuple[dict[str, Any], _Given]:
    """Return the attachment without what OVN says of addresses: of several parts of a subnet, the gaps are reserved."""
    if config.get("topology") != "localnet":
        msg = f"is an OVN network of topology {config.get('topology')}, which ends at its cluster"
        raise NotKeptError(msg)
    parts = ovn_parts(config)
    if not parts:
        msg = "has no subnets that can be read: OVN gives no addresses then"
        raise NotKeptError(msg)
    attachment = {key: value for key, value in attachment.items() if key not in _OF_OVN} | {"type": "localnet"}
    attachment.setdefault("physicalNetworkName", config.get("name"))
    subnets = [str(subnet) for subnet, _ in parts]
    spans = [(OvnIpam.usable(subnet), free) for subnet, free in parts]
    if all(len(free) == 1 for _, free in spans):
        return attachment, _Given(subnets, _slices([(usable, free[0]) for usable, free in spans]), [])
    return attachment, _Given(subnets, [], [str(gap) for usable, free in spans for gap in usable.without(free)])


def _slices(spans: Iterable[tuple[AddressRange, AddressRange]]) -> list[dict[str, str]]:
    """Write what is given of each subnet, given what is usable of it; nothing where all of each is."""
    spans = list(spans)
    if all(usable == given for usable, given in spans):
        return []
    return [{"rangeStart": str(given.first), "rangeEnd": str(given.last)} for _, given in spans]


def _whereabouts(ipam: Mapping[str, Any]) -> tuple[dict[str, Any], list[str], list[dict[str, str]]]:
    """Return the stack's `ipam`, the subnets, and the slices where not all that is usable of a subnet is given."""
    listed = ipam.get("ipRanges")
    ranges = [*([ipam] if ipam.get("range") else []), *(listed if isinstance(listed, list) else [])]
    subnets: list[str] = []
    spans: list[tuple[AddressRange, AddressRange]] = []
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
        spans.append((AddressRange.usable(subnet), given))
        exclude += _joined(each.get("exclude") or ())
    if not ranges:
        msg = "has no range"
        raise NotKeptError(msg)
    rest = {key: value for key, value in ipam.items() if key in _WHEREABOUTS}
    written = {"type": "whereabouts"} | {_WHEREABOUTS[key]: value for key, value in rest.items()}
    return written | ({"exclude": exclude} if exclude else {}), subnets, _slices(spans)


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
