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
from config.loading import load_stack
from config.planning.demand import SYNC_CONTROLLERS, demand_of
from config.segment import Segment
from config.types.model import parse
from mignet.fleet import stack_files
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.kinds import (
    HYPERCONVERGED_V1,
    HYPERCONVERGED_V1BETA1,
    KUBEVIRT,
    NETWORK_ATTACHMENT,
    NODE,
    NODE_NETWORK_STATE,
    OPENSHIFT_NETWORK,
)
from mignet.kube.kubevirt.sync_controllers import sync_controllers
from mignet.kube.network import nic_choice as nics
from mignet.kube.network.node_network import Node, addresses_of, machine_networks
from mignet.operations import allocate
from mignet.operations.adopting import Kept, NotKeptError, kept, named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from config.files.project_files import Project
    from mignet.kube.kinds import Object
    from mignet.kube.network.nic_choice import Nic


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user says of the new stack."""

    context: str
    kubeconfig: str | None = None
    namespace: str = "openshift-cnv"
    master: str | None = None
    nodes: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the live cluster says: its NICs, the number of nodes that run virt-handler, and its networks by name.

    `sync_controllers` is their number where it is not the usual one, `uid` what tells the cluster from every other.
    `kept` is the network over which it migrates already; `not_kept` says why such a one cannot be kept.
    """

    nics: tuple[Nic, ...] = ()
    nodes: int | None = None
    networks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sync_controllers: int | None = None
    uid: str | None = None
    kept: Kept | None = None
    not_kept: str | None = None


def look(project: Project, stack: str, wanted: Wanted) -> Seen:
    """Look at the live cluster; nothing of it is changed. Raises ClusterError, or ConfigError."""
    sections = {"context": wanted.context, "kubeconfig": wanted.kubeconfig, "namespace": wanted.namespace}
    config = parse(cluster_config.Cluster, sections, stack=stack, key="cluster")
    if isinstance(config, tuple):
        raise ConfigError(config)
    segment = segment_of(project, stack)

    async def read() -> tuple[Any, ...]:
        async with Cluster(config, base=project.directory) as cluster:
            nodes, states = await asyncio.gather(cluster.list(NODE), cluster.list(NODE_NETWORK_STATE))
            try:
                network = await cluster.get(OPENSHIFT_NETWORK, "cluster")
            except ClusterError as error:
                # Kubernetes without OpenShift has no such object, and says nowhere what its ranges are.
                if error.reason != "not-served":
                    raise
                network = None
            kubevirt = await _kubevirt(cluster, wanted.namespace)
            return nodes, states, network, kubevirt, await _identity(cluster), await _in_use(cluster, wanted.namespace)

    nodes, states, network, kubevirt, uid, (hyperconverged, attachment) = asyncio.run(read())
    keeps: Kept | None = None
    not_kept = None
    if hyperconverged is not None and (name := named(hyperconverged)):
        try:
            keeps = kept(stack, {"context": wanted.context}, segment, hyperconverged, attachment)
        except NotKeptError as error:
            not_kept = f"the cluster migrates over {name} now, which {error}: up switches it to another network"
    if keeps is not None and wanted.master not in {None, keeps.values["attachment"].get("master")}:
        not_kept = f"the cluster migrates over {keeps.name} now, on another NIC: up switches it to another network"
        keeps = None
    if keeps is not None and "segment" in keeps.values:
        segment = Segment.model_validate(keeps.values["segment"])
    found = seen(nodes, states, network, segment, kubevirt=kubevirt)
    return replace(found, uid=uid, kept=keeps, not_kept=not_kept)


async def _in_use(cluster: Cluster, namespace: str) -> tuple[Object | None, Object | None]:
    """Return the HyperConverged and the attachment that it names, as far as both are there and may be read."""
    for kind in (HYPERCONVERGED_V1BETA1, HYPERCONVERGED_V1):
        try:
            hyperconverged = await cluster.get(kind, NAME, namespace)
            name = named(hyperconverged)
            return hyperconverged, await cluster.get(NETWORK_ATTACHMENT, name, namespace) if name else None
        except ClusterError as error:
            if error.reason not in {"not-served", "forbidden"}:
                raise
    return None, None


async def _identity(cluster: Cluster) -> str | None:
    try:
        return await cluster.identity()
    except ClusterError as error:
        if error.reason != "forbidden":
            raise
        return None


async def _kubevirt(cluster: Cluster, namespace: str) -> Object | None:
    try:
        return next(iter(await cluster.list(KUBEVIRT, namespace=namespace)), None)
    except ClusterError as error:
        # What it would say has a default, and preflight looks again.
        if error.reason not in {"not-served", "forbidden"}:
            raise
        return None


def seen(
    nodes: list[Object],
    states: list[Object],
    network: Object | None,
    segment: Segment,
    *,
    kubevirt: Object | None = None,
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
        tuple(nics.judge(all_nodes, segment)),
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


def segment_of(project: Project, stack: str) -> Segment:
    """Read the project's segment. Raises ConfigError."""
    if "segment" not in project.defaults:
        remedy = "Set it in Pulumi.yaml under config.segment.default, so that all stacks share it"
        raise ConfigError([Finding("segment", None, "is required", remedy, code="key-missing", stack=stack)])
    segment = parse(Segment, project.defaults["segment"], stack=stack, key="segment")
    if isinstance(segment, tuple):
        raise ConfigError(segment)
    return segment


def choose(stack: str, judged: tuple[Nic, ...]) -> Nic:
    """Choose the NIC. Raises ConfigError, naming those that could be meant, when none is better than all others."""
    chosen = nics.best(judged)
    if chosen is not None:
        return chosen
    if not judged:
        rule = "cannot be chosen: no node with the label kubevirt.io/schedulable=true reports a NIC"
        remedy = "Install kubernetes-nmstate and OpenShift Virtualization first, or name the NIC with --master"
    elif fit := [nic.name for nic in judged if not nic.against]:
        rule = f"cannot be chosen: {', '.join(fit)} are equally good"
        remedy = "Name one with --master"
    else:
        rule = f"cannot be chosen: something speaks against each of {', '.join(nic.name for nic in judged)}"
        remedy = "Prepare one, correct the segment, or name one with --master all the same"
    raise ConfigError([Finding("attachment.master", None, rule, remedy, code="master-choice", stack=stack)])


def write(
    project: Project, stack: str, wanted: Wanted, seen_: Seen, nic: Nic | None, *, on_wait: Callable[[], None]
) -> str:
    """Write the stack's file and return a line about its slice. Raises ConfigError, and has written nothing then.

    The master is `wanted.master`, else `nic`. Where other stacks share the segment, the new one gets a slice.
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
        "attachment": {
            "type": "macvlan",
            "name": "migration",
            "master": wanted.master or (nic.name if nic else None),
            "mode": "bridge",
        },
    }
    if seen_.networks:
        values["otherNetworks"] = {
            name: cidrs[0] if len(cidrs) == 1 else list(cidrs) for name, cidrs in seen_.networks.items()
        }
    if seen_.kept is not None:
        values |= seen_.kept.values
    with stack_files.locked(project, on_wait=on_wait):
        of_pulumi = stack_files.unset(project, stack)
        if of_pulumi is None and project.stack_file(stack).exists():
            raise stack_files.exists(project, stack)
        if seen_.kept is not None:
            remark = f"{stack} {seen_.kept.remark}"
        else:
            remark = _with_slice(project, stack, values) + (f"; {seen_.not_kept}" if seen_.not_kept else "")
        text = _text(project, stack, values, nic)
        load_stack(stack, project.defaults | _values(project, text))
        if of_pulumi is None:
            stack_files.create(project, stack, text)
        else:
            stack_files.write(project, {stack: text + of_pulumi})
    return remark


def _with_slice(project: Project, stack: str, values: dict[str, Any]) -> str:
    draft = load_stack(stack, project.defaults | values)
    held = [holding for holding in allocate.read(project) if holding.stack != stack]
    if not any(set(holding.segment.subnets) & set(draft.segment.subnets) for holding in held):
        return f"{stack} is alone on the segment and hands out all of it; before a second cluster: mignet allocate"
    demand = demand_of(draft.cluster)
    if demand is None:
        return f"{stack} has no slice yet, and other stacks are on the segment: mignet allocate {stack} --nodes N"
    (spans,) = allocate.place(held, {stack: (draft, demand.total)}).values()
    values["slice"] = allocate.slice_value(spans)
    return f"{stack} has slice {', '.join(map(str, spans))} ({demand.total} addresses: {demand})"


def _values(project: Project, text: str) -> dict[str, object]:
    content = load_yaml(text)
    config = content["config"] if isinstance(content, dict) else {}
    return {key.removeprefix(f"{project.name}:"): value for key, value in config.items()}


_ABOUT = {
    "cluster": "How the cluster is reached. The kubeconfig is named, never copied in here.",
    "attachment": "How pods attach to the segment, which stands in Pulumi.yaml.",
    "slice": "This cluster's own part of the segment, both ends inclusive. mignet allocate lets it grow.",
    "otherNetworks": "Networks of this cluster, which the segment must not overlap.",
    "segment": "The segment as this cluster has it; it belongs into Pulumi.yaml where all share it.",
    "hyperConverged": "The limits that stand there, other than the operator's defaults.",
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


def _text(project: Project, stack: str, values: Mapping[str, Any], nic: Nic | None) -> str:
    lines = [MODELINE] if (project.directory / FILE).is_file() else []
    lines += [f"# The cluster {stack}. For completion of keys in an editor: mignet schema --write", "config:"]
    notes = {"nodes": "that run virt-handler"}
    if nic is not None and nic.name == values["attachment"].get("master"):
        notes["master"] = "; ".join(nic.against or nic.speaks_for)
    for key in ("cluster", "segment", "attachment", "slice", "otherNetworks", "hyperConverged"):
        if key in values:
            lines.append(f"  # {_ABOUT[key]}")
            lines.append(f"  {project.name}:{key}:")
            lines.extend(_lines(values[key], notes))
    return "\n".join(lines) + "\n" + ("" if "hyperConverged" in values else _LIMITS.format(project=project.name))


def _lines(section: Any, notes: Mapping[str, str]) -> Iterator[str]:
    text = yaml.safe_dump(section, sort_keys=False, default_flow_style=False, width=10**6, allow_unicode=True)
    for line in text.splitlines():
        note = notes.get(line.partition(":")[0])
        yield f"    {line} # {note}" if note else f"    {line}"
