"""Write a new stack file: commented, valid, and with what the live cluster says when it is asked."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml

from config import cluster as cluster_config
from config.files.stack_schema import FILE, MODELINE
from config.files.yaml_text import load_yaml
from config.finding import ConfigError, Finding
from config.hyperconverged import NAME
from config.loading import load_stack, parse_segment, read_segment
from config.planning.demand import SYNC_CONTROLLERS, demand_of
from config.sites import RoutedSegment
from config.types.model import parse
from mignet.fleet import stack_files
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import (
    CLUSTER_USER_NETWORK,
    HYPERCONVERGED_V1,
    HYPERCONVERGED_V1BETA1,
    KUBEVIRT,
    NETWORK_ATTACHMENT,
    NODE,
    NODE_NETWORK_STATE,
    NODE_POLICY,
    OPENSHIFT_NETWORK,
)
from mignet.kube.kubevirt.sync_controllers import sync_controllers
from mignet.kube.kubevirt.take_over import network_named
from mignet.kube.network import nic_choice as nics
from mignet.kube.network.localnets import localnets
from mignet.kube.network.nic_choice import Nic
from mignet.kube.network.node_network import Node, addresses_of, machine_networks
from mignet.kube.network.user_network import made_of_a_network
from mignet.operations import allocate, new_links
from mignet.operations.adopting import Kept, NotKeptError, kept, waivers_of
from mignet.operations.new_links import Links
from mignet.operations.read_uplinks import ReadUplink, read_uplinks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from config.files.project_files import Project
    from config.segment import Segment
    from mignet.kube.kinds import Kind, Object
    from mignet.kube.network.localnets import Mapped
    from mignet.kube.network.nic_choice import Layer


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says of the new stack."""

    context: str
    kubeconfig: str | None = None
    namespace: str = "openshift-cnv"
    links: Links = field(default_factory=Links)
    nodes: int | None = None
    site: str | None = None
    """The site of the segment that the cluster is in, where it has sites."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the live cluster says: its NICs, the number of nodes that run virt-handler, and its networks by name.

    `sync_controllers` is their number where it is not the usual one, `uid` what tells the cluster from every other.
    `kept` is the network over which it migrates already; `not_kept` says why such a one, `in_use`, cannot be kept.
    """

    nics: tuple[Nic, ...] = ()
    localnets: tuple[Mapped, ...] = ()
    interfaces: frozenset[str] = frozenset()
    """The names of all that the nodes have."""
    nodes: int | None = None
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sync_controllers: int | None = None
    uid: str | None = None
    site: str | None = None
    """The one site whose addresses, or VLAN, the nodes or the network in use have."""
    kept: Kept | None = None
    in_use: str | None = None
    not_kept: str | None = None
    uplink: ReadUplink | None = None
    """What policies on the cluster declare of it, where the user names them."""

    @property
    def lines(self) -> list[str]:
        """What was seen of each NIC, and of each localnet."""
        names = (*((nic.name, str(nic)) for nic in self.nics), *((each.name, str(each)) for each in self.localnets))
        return [*(f"{name:<15} {text}" for name, text in names), *(self.uplink.lines if self.uplink else ())]


def look(project: Project, stack: str, wanted: Wanted) -> Seen:
    """Look at the live cluster; nothing of it is changed. Raises ClusterError, or ConfigError."""
    sections = {"context": wanted.context, "kubeconfig": wanted.kubeconfig, "namespace": wanted.namespace}
    config = parse(cluster_config.Cluster, sections, stack=stack, key="cluster")
    if isinstance(config, tuple):
        raise ConfigError(config)
    routed = _routed(project, stack)
    if routed is None or wanted.site is not None:
        segment_of(project, stack, wanted.site)

    nodes, states, network, kubevirts, policies, uid, (hyperconverged, attachment), made_of = asyncio.run(
        _read(project, config)
    )
    site = wanted.site
    if site is None and routed is not None:
        site = site_seen(routed, nodes, states, attachment)
    segment = segment_of(project, stack, site)
    count = wanted.nodes or sum(Node.read(node, None).schedulable for node in nodes)
    keeps: Kept | None = None
    not_kept = None
    name = network_named(hyperconverged)
    if hyperconverged is not None and name:
        try:
            cluster = {"context": wanted.context, "namespace": wanted.namespace} | ({"nodes": count} if count else {})
            keeps = kept(stack, cluster, segment, hyperconverged, attachment, user_network=made_of)
        except NotKeptError as error:
            not_kept = f"the cluster migrates over {name} now, which {error}: up switches it to another network"
    if keeps is not None:
        own = _parsed(stack, {"segment": keeps.values["segment"]}) if "segment" in keeps.values else segment
        if wanted.links.keeps(keeps.values["attachment"], own):
            segment = own
        else:
            not_kept = f"the cluster migrates over {name} now, on another path: up switches it to another network"
            keeps = None
    if keeps is None:
        new_links.against_segment(wanted.links, segment)
    under: Layer | None = "bond" if wanted.links.bond else "vlan" if wanted.links.makes else None
    found = seen(nodes, states, network, segment, kubevirt=next(iter(kubevirts), None), policies=policies, under=under)
    if keeps is None:
        new_links.against_nodes(wanted.links, found.nics, found.localnets)
    uplink = None
    if wanted.links.policies:
        uplink = read_uplinks(
            wanted.links.policies,
            policies,
            segment,
            end=wanted.links.localnet or wanted.links.master,
            name=_new_name(name),
            kept=None if keeps is None else keeps.values["attachment"],
        )
    return replace(found, uid=uid, site=site, kept=keeps, in_use=name, not_kept=not_kept, uplink=uplink)


async def _read(project: Project, config: cluster_config.Cluster) -> tuple[Any, ...]:
    """Read what a stack file is written from. Raises ClusterError."""
    async with Cluster(config, base=project.directory) as cluster:
        nodes, states = await asyncio.gather(cluster.list(NODE), cluster.list(NODE_NETWORK_STATE))
        try:
            network = await cluster.get(OPENSHIFT_NETWORK, "cluster")
        except ClusterError as error:
            # Kubernetes without OpenShift has no such object, and says nowhere what its ranges are.
            if error.reason != "not-served":
                raise
            network = None
        # What these would say has a default, and preflight looks again.
        kubevirts = await _listed(cluster, KUBEVIRT, namespace=config.namespace)
        policies = await _listed(cluster, NODE_POLICY)
        in_use = await _in_use(cluster, config.namespace)
        made_of = await _made_of(cluster, in_use[1])
        return nodes, states, network, kubevirts, policies, await _identity(cluster), in_use, made_of


def _new_name(in_use: str | None) -> str:
    """Return the name of a new attachment; one that is not kept stays until the last virt-handler has left it."""
    return "migration" if in_use != "migration" else "live-migration"


async def _in_use(cluster: Cluster, namespace: str) -> tuple[Object | None, Object | None]:
    """Return the HyperConverged and the attachment that it names, as far as both are there and may be read."""
    for kind in (HYPERCONVERGED_V1BETA1, HYPERCONVERGED_V1):
        try:
            hyperconverged = await cluster.get(kind, NAME, namespace)
            name = network_named(hyperconverged)
            return hyperconverged, await cluster.get(NETWORK_ATTACHMENT, name, namespace) if name else None
        except ClusterError as error:
            if error.reason not in {"not-served", "forbidden"}:
                raise
    return None, None


async def _made_of(cluster: Cluster, attachment: Object | None) -> Object | None:
    """Return the ClusterUserDefinedNetwork whose controller keeps an attachment, as far as it may be read."""
    if attachment is None or not made_of_a_network(attachment):
        return None
    try:
        return await cluster.get(CLUSTER_USER_NETWORK, attachment["metadata"]["name"])
    except ClusterError as error:
        if error.reason not in {"not-served", "forbidden"}:
            raise
        return None


async def _identity(cluster: Cluster) -> str | None:
    try:
        return await cluster.identity()
    except ClusterError as error:
        if error.reason != "forbidden":
            raise
        return None


async def _listed(cluster: Cluster, kind: Kind, *, namespace: str | None = None) -> list[Object]:
    try:
        return await cluster.list(kind, namespace=namespace)
    except ClusterError as error:
        if error.reason not in {"not-served", "forbidden"}:
            raise
        return []


def seen(
    nodes: list[Object],
    states: list[Object],
    network: Object | None,
    segment: Segment,
    *,
    kubevirt: Object | None = None,
    policies: Iterable[Object] = (),
    under: Layer | None = None,
) -> Seen:
    """Make out of the cluster's objects what a stack file needs."""
    by_name = {state["metadata"]["name"]: state for state in states}
    all_nodes = [Node.read(node, by_name.get(node["metadata"]["name"])) for node in nodes]
    status = {} if network is None else network.get("status", {})
    networks = {
        "machine": tuple(str(each) for each in machine_networks(all_nodes) if not _meets(each, segment)),
        "cluster": tuple(each["cidr"] for each in status.get("clusterNetwork", [])),
        "service": tuple(status.get("serviceNetwork", [])),
    }
    return Seen(
        tuple(nics.judge(all_nodes, segment, under=under)),
        tuple(localnets(all_nodes, policies)),
        frozenset(name for node in all_nodes for name in node.interfaces),
        sum(node.schedulable for node in all_nodes),
        {name: cidrs for name, cidrs in networks.items() if cidrs} | _of_interfaces(all_nodes, networks, segment),
        None if (replicas := sync_controllers(kubevirt, None).replicas) == SYNC_CONTROLLERS else replicas,
    )


def _of_interfaces(
    nodes: list[Node], known: Mapping[str, tuple[str, ...]], segment: Segment
) -> dict[str, tuple[str, ...]]:
    """Return the subnets of the other interfaces, by their names: storage, say.

    None of them is the segment's: hosts may have addresses in it, and preflight says when they are given twice.
    """
    covered = [ipaddress.ip_network(cidr) for cidrs in known.values() for cidr in cidrs]
    found: dict[str, dict[str, None]] = {}
    for node in nodes:
        for name, interface in sorted(node.interfaces.items()):
            for address in addresses_of(interface):
                if address.is_loopback or _meets(address.network, segment):
                    continue
                if not any(_within(address.network, each) for each in covered):
                    found.setdefault(name, {})[str(address.network)] = None
    return {name: tuple(cidrs) for name, cidrs in sorted(found.items())}


def _meets(network: IPv4Network | IPv6Network, segment: Segment) -> bool:
    return any(network.version == subnet.version and network.overlaps(subnet) for subnet in segment.subnets)


def _within(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    return one.version == other.version and one.subnet_of(other)  # type: ignore[arg-type]


def segment_of(project: Project, stack: str, site: str | None = None) -> Segment:
    """Read the project's segment, that of the site where it has sites. Raises ConfigError."""
    if "segment" not in project.defaults:
        remedy = "Set it in Pulumi.yaml under config.segment.default, so that all stacks share it"
        raise ConfigError([Finding("segment", None, "is required", remedy, code="key-missing", stack=stack)])
    return _parsed(stack, {"segment": project.defaults["segment"]} | ({} if site is None else {"site": site}))


def _parsed(stack: str, values: Mapping[str, object]) -> Segment:
    segment = read_segment(stack, values)
    if isinstance(segment, tuple):
        raise ConfigError([_with_flag(finding) for finding in segment])
    return segment


def _with_flag(finding: Finding) -> Finding:
    if finding.code != "site-missing":
        return finding
    return replace(finding, key="--site", remedy=finding.remedy.replace("Write", "Name", 1), code="usage")


def _routed(project: Project, stack: str) -> RoutedSegment | None:
    """Return the project's segment where it has sites. Raises ConfigError when it cannot be read."""
    if "segment" not in project.defaults:
        return None
    segment = parse_segment(stack, project.defaults["segment"])
    if isinstance(segment, tuple):
        raise ConfigError(segment)
    return segment if isinstance(segment, RoutedSegment) else None


def site_seen(
    routed: RoutedSegment, nodes: list[Object], states: list[Object], attachment: Object | None
) -> str | None:
    """Return the site that the cluster is in: the only one that its network in use, or else its nodes, have part in."""
    text = str((attachment or {}).get("spec", {}).get("config", ""))
    by_name = {state["metadata"]["name"]: state for state in states}
    interfaces = [
        interface
        for node in nodes
        for interface in Node.read(node, by_name.get(node["metadata"]["name"])).interfaces.values()
    ]
    tags = {interface.get("vlan", {}).get("id") for interface in interfaces}
    networks = [address.network for interface in interfaces for address in addresses_of(interface)]
    in_use = [name for name, site in routed.sites.items() if any(f'"{subnet}"' in text for subnet in site.subnets)]
    addressed = [name for name, site in routed.sites.items() if any(_meets(each, site) for each in networks)]
    tagged = [name for name, site in routed.sites.items() if site.vlan is not None and site.vlan in tags]
    return next((found[0] for found in (in_use, addressed, tagged) if len(found) == 1), None)


def choose(stack: str, wanted: Wanted, seen_: Seen) -> Nic | Mapped | None:
    """Choose the NIC, or a localnet where no NIC is free; None where that is settled.

    Raises ConfigError, naming those that could be meant, when none is better than all others.
    """
    links = wanted.links
    known = links.master
    if seen_.kept is not None:
        known = known or seen_.kept.values["attachment"].get("master")
    settled = known is not None or bool(links.policies) or links.bond is not None or links.localnet is not None
    if settled or seen_.kept is not None:
        return next((nic for nic in seen_.nics if nic.name == known), None)
    if (best := nics.best(seen_.nics)) is not None:
        return best
    if fit := [nic.name for nic in seen_.nics if not nic.against]:
        rule = f"cannot be chosen: {', '.join(fit)} are equally good"
        remedy = "Name one with --master, or several with --bond"
    elif (localnet := new_links.best_localnet(seen_.localnets)) is not None:
        return localnet
    elif whole := [each.name for each in seen_.localnets if not each.missing]:
        rule = f"cannot be chosen: no NIC is free, and localnets {', '.join(whole)} are equally good"
        remedy = "Name one with --localnet"
    elif not seen_.nics:
        rule = "cannot be chosen: no node with the label kubevirt.io/schedulable=true reports a NIC"
        remedy = "Install kubernetes-nmstate and OpenShift Virtualization first, or name the NIC with --master"
    else:
        against = ", ".join(nic.name for nic in seen_.nics)
        rule = f"cannot be chosen: something speaks against each of {against}, and no localnet is on every node"
        remedy = "Prepare one, correct the segment, or name one with --master all the same"
    raise ConfigError([Finding("attachment.master", None, rule, remedy, code="master-choice", stack=stack)])


def write(
    project: Project,
    stack: str,
    wanted: Wanted,
    seen_: Seen,
    chosen: Nic | Mapped | None,
    *,
    on_wait: Callable[[], None],
) -> str:
    """Write the stack's file and return a line about its slice. Raises ConfigError, and has written nothing then.

    `chosen` counts where the user names no NIC, bond or localnet. It gets a slice where the demand is known.
    """
    nodes = wanted.nodes or seen_.nodes or None
    values: dict[str, Any] = {
        "cluster": {
            key: value
            for key, value in {
                "context": wanted.context,
                "kubeconfig": wanted.kubeconfig,
                "uid": seen_.uid,
                "namespace": wanted.namespace,
                "nodes": nodes,
                "syncControllers": seen_.sync_controllers,
            }.items()
            if value is not None
        },
    }
    if seen_.networks:
        values["otherNetworks"] = {
            name: cidrs[0] if len(cidrs) == 1 else list(cidrs) for name, cidrs in seen_.networks.items()
        }
    site = wanted.site or seen_.site
    if seen_.kept is not None:
        values |= seen_.kept.values
        # A segment of the stack's own has no sites.
        values |= {"site": site} if site is not None and "segment" not in values else {}
        values |= {} if seen_.uplink is None else {"uplink": dict(seen_.uplink.uplink)}
        values |= waivers_of(stack, project.defaults | {key: values[key] for key in values if key != "waivers"})
    else:
        values |= {} if site is None else {"site": site}
        values |= _new_path(wanted.links, segment_of(project, stack, site), seen_, chosen)
    with stack_files.locked(project, on_wait=on_wait):
        of_pulumi = stack_files.unset(project, stack)
        if of_pulumi is None and project.stack_file(stack).exists():
            raise stack_files.exists(project, stack)
        if seen_.kept is not None:
            remark = f"{stack} {seen_.kept.remark}"
        else:
            remark = _with_slice(project, stack, values)
            if chosen is not None and not isinstance(chosen, Nic):
                remark += f"; no NIC is free, and migrations go over localnet {chosen.name}"
            if seen_.not_kept:
                remark += f"; {seen_.not_kept}"
        remark += _to_remove(seen_.uplink)
        text = _text(project, stack, values, chosen)
        load_stack(stack, project.defaults | _values(project, text))
        if of_pulumi is None:
            stack_files.create(project, stack, text)
        else:
            stack_files.write(project, {stack: text + of_pulumi})
    return remark


def _new_path(links: Links, segment: Segment, seen_: Seen, chosen: Nic | Mapped | None) -> dict[str, Any]:
    """Return the attachment and the uplink of a cluster that keeps nothing. Raises ConfigError."""
    new_links.against_segment(links, segment)
    if seen_.uplink is not None:
        return {"attachment": dict(seen_.uplink.attachment), "uplink": dict(seen_.uplink.uplink)}
    sections = new_links.sections(links, segment, chosen, name=_new_name(seen_.in_use))
    new_links.against_interfaces(sections, seen_.interfaces)
    return sections


def _to_remove(uplink: ReadUplink | None) -> str:
    """Say what becomes of the policies that the stack file was read from."""
    if uplink is None:
        return ""
    return (
        f"; its uplink is that of {', '.join(uplink.policies)}, so that after up two policies declare the same: then"
        f" oc delete nncp {' '.join(uplink.policies)}, which leaves the interfaces there"
    )


def _with_slice(project: Project, stack: str, values: dict[str, Any]) -> str:
    draft = load_stack(stack, project.defaults | values)
    held = [holding for holding in allocate.read(project) if holding.stack != stack]
    demand = demand_of(draft.cluster)
    if demand is None:
        if any(set(holding.segment.subnets) & set(draft.segment.subnets) for holding in held):
            return f"{stack} has no slice yet, and other stacks are on the segment: mignet allocate {stack} --nodes N"
        return f"{stack} is alone on the segment and hands out all of it; before a second cluster: mignet allocate"
    spans = allocate.place_roomy(held, draft, demand)
    values["slice"] = allocate.slice_value(spans)
    more = spans[0].size - demand.total
    room = f", and {more} to grow and for a checkup" if more else ""
    return f"{stack} has slice {', '.join(map(str, spans))} ({spans[0].size} addresses: {demand}{room})"


def _values(project: Project, text: str) -> dict[str, object]:
    content = load_yaml(text)
    config = content["config"] if isinstance(content, dict) else {}
    return {key.removeprefix(f"{project.name}:"): value for key, value in config.items()}


_ABOUT = {
    "cluster": "How the cluster is reached. The kubeconfig is named, never copied in here.",
    "site": "Where the cluster is: one of segment.sites in Pulumi.yaml, whose subnet it has its part of.",
    "attachment": "How pods attach to the segment, which stands in Pulumi.yaml.",
    "uplink": "What kubernetes-nmstate makes on the nodes, on which the attachment stands.",
    "slice": "This cluster's own part of the segment, both ends inclusive. mignet allocate lets it grow.",
    "otherNetworks": "Networks of this cluster, which the segment must not overlap.",
    "segment": "The segment as this cluster has it; it belongs into Pulumi.yaml where all share it.",
    "hyperConverged": "The limits that stand there, other than the operator's defaults.",
    "waivers": "What the network breaks as it is. Correct it in a second step, and take the waiver out.",
}
_LIMITS = """\
  # The limits of live migrations. A key that stands here is owned by this stack, with its value.
  # {project}:hyperConverged:
  #   liveMigration:
  #     completionTimeoutPerGiB: 800 # seconds
  #     parallelMigrationsPerCluster: 5
  #     parallelOutboundMigrationsPerNode: 2
  #     progressTimeout: 150 # seconds
"""


def _text(project: Project, stack: str, values: Mapping[str, Any], chosen: Nic | Mapped | None) -> str:
    lines = [MODELINE] if (project.directory / FILE).is_file() else []
    lines += [f"# The cluster {stack}. For completion of keys in an editor: mignet schema --write", "config:"]
    notes = {"nodes": "that run virt-handler"}
    if isinstance(chosen, Nic):
        key = "baseInterface" if "uplink" in values else "master"
        notes[key] = "; ".join(chosen.against or chosen.speaks_for)
    elif chosen is not None:
        notes["physicalNetworkName"] = str(chosen)
    order = (
        "cluster",
        "segment",
        "site",
        "attachment",
        "uplink",
        "slice",
        "otherNetworks",
        "hyperConverged",
        "waivers",
    )
    for key in order:
        if key in values:
            lines.append(f"  # {_ABOUT[key]}")
            if isinstance(values[key], str):
                lines.append(f"  {project.name}:{key}: {yaml.safe_dump(values[key]).splitlines()[0]}")
                continue
            lines.append(f"  {project.name}:{key}:")
            lines.extend(_lines(values[key], notes))
    return "\n".join(lines) + "\n" + ("" if "hyperConverged" in values else _LIMITS.format(project=project.name))


def _lines(section: Any, notes: Mapping[str, str]) -> Iterator[str]:
    text = yaml.safe_dump(section, sort_keys=False, default_flow_style=False, width=10**6, allow_unicode=True)
    for line in text.splitlines():
        note = notes.get(line.partition(":")[0].strip())
        yield f"    {line} # {note}" if note else f"    {line}"
