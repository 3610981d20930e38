"""multus and the plugins behind it: the interfaces of a new pod, or why its sandbox cannot be made."""

from __future__ import annotations

import dataclasses
import hashlib
import ipaddress
import json
from typing import TYPE_CHECKING, Any

from mignet.kube.kinds import NETWORK_ATTACHMENT, NODE_NETWORK_STATE, NODE_POLICY, OPENSHIFT_NETWORK, POD
from mignet.lab import whereabouts
from mignet.lab.operators import faults
from mignet.lab.operators.network import pools
from mignet.lab.operators.pods import interface_addresses
from mignet.lab.operators.templates import HANDLER, INTERFACE, NETWORK_STATUS, NETWORKS

if TYPE_CHECKING:
    from mignet.kube.kinds import Object
    from mignet.lab.operators.cluster_view import World

PLUGINS = {"macvlan", "ipvlan", "bridge", "cnv-bridge", "ovn-k8s-cni-overlay"}
WITH_MASTER = {"macvlan", "ipvlan"}

DHCP_POOL = ipaddress.ip_network("10.200.5.128/26")
"""What the segment's DHCP server gives: there is one for all clusters, and nothing in a cluster says what it gives."""

DHCP_LEASES = 16
"""Addresses of that pool for each cluster, as the stand-ins of one know nothing of the others' pods."""


class SandboxError(Exception):
    """Why the kubelet cannot make the sandbox of a pod; `not_found` when its attachment does not exist."""

    def __init__(self, message: str, *, not_found: bool = False) -> None:
        self.not_found = not_found
        super().__init__(message)


@dataclasses.dataclass(frozen=True)
class Attachment:
    """The NetworkAttachmentDefinition that a pod asks for, read."""

    namespace: str
    name: str
    interface: str
    config: dict[str, Any]

    @property
    def type(self) -> str:
        """The CNI plugin."""
        return str(self.config.get("type", ""))

    @property
    def ipam(self) -> dict[str, Any]:
        """The IPAM configuration; empty when there is none."""
        return dict(self.config.get("ipam") or {})


async def attach(world: World, pod: Object) -> list[Object]:
    """Return the network-status of a new pod: its interface on the pod network and the one it asks for.

    Raises SandboxError.
    """
    shape = set(pod["metadata"].get("annotations", {}).get(faults.SHAPE, "").split(","))
    found = [_pod_network(world, pod)]
    asked = pod["metadata"].get("annotations", {}).get(NETWORKS)
    if not asked or "handler-on-pod-network" in shape or "multus-missing" in world.faults:
        return found
    attachment = _attachment(world, pod, asked)
    if "handler-stuck" in shape:
        raise SandboxError(_plugin_missing(pod, attachment, attachment.type))
    _check_plugin(world, pod, attachment)
    addresses = [] if "handler-without-address" in shape else await _addresses(world, pod, attachment, shape)
    found.append(
        {
            "name": f"{attachment.namespace}/{attachment.name}",
            "interface": attachment.interface,
            **({"ips": addresses} if addresses else {}),
            "mac": _mac(pod),
            "mtu": 1500 if "handler-mtu" in shape else _mtu(world, pod, attachment),
            "dns": {},
        }
    )
    return found


def _attachment(world: World, pod: Object, asked: str) -> Attachment:
    reference, _, interface = asked.partition("@")
    namespace, _, name = reference.rpartition("/")
    namespace = namespace or pod["metadata"]["namespace"]
    definition = world.one(NETWORK_ATTACHMENT, name, namespace)
    delegates = (
        f"Multus: [{pools.reference(pod)}/{pod['metadata']['uid']}]: error loading k8s delegates k8s args: "
        "TryLoadPodDelegates: error in getting k8s network for pod: GetNetworkDelegates: failed getting the delegate: "
    )
    if definition is None:
        text = (
            f"cannot find a network-attachment-definition ({name}) in namespace ({namespace}): "
            f'network-attachment-definitions.k8s.cni.cncf.io "{name}" not found'
        )
        raise SandboxError(f"{delegates}getKubernetesDelegate: {text}", not_found=True)
    try:
        config = json.loads(definition.get("spec", {}).get("config", ""))
    except ValueError as error:
        text = f"GetCNIConfig: err in getCNIConfigFromSpec: failed to unmarshal Spec.Config: {error}"
        raise SandboxError(delegates + text) from error
    if not isinstance(config, dict) or not config.get("type"):
        raise SandboxError(f"{delegates}GetCNIConfig: plugin list or a plugin of a type is required in Spec.Config")
    return Attachment(namespace, name, interface or "net1", config)


def _check_plugin(world: World, pod: Object, attachment: Attachment) -> None:
    config = attachment.config
    if attachment.type not in PLUGINS:
        raise SandboxError(_plugin_missing(pod, attachment, attachment.type))
    master = config.get("master")
    if attachment.type in WITH_MASTER and master and master not in _nics(world, pod["spec"]["nodeName"]):
        plugin = f'plugin type="{attachment.type}" failed (add)'
        raise SandboxError(_added(pod, attachment, f'{plugin}: failed to lookup master "{master}": Link not found'))


def _plugin_missing(pod: Object, attachment: Attachment, plugin: str) -> str:
    return _added(pod, attachment, f'failed to find plugin "{plugin}" in path [/var/lib/cni/bin]')


def _added(pod: Object, attachment: Attachment, text: str) -> str:
    """Return the error of a plugin with multus' words before it."""
    name = attachment.config.get("name", attachment.name)
    where = f"[{pools.reference(pod)}/{pod['metadata']['uid']}:{name}]"
    return f'{where}: error adding container to network "{name}": {text}'


async def _addresses(world: World, pod: Object, attachment: Attachment, shape: set[str]) -> list[str]:
    ipam = attachment.ipam
    match attachment.type, ipam.get("type"):
        case "ovn-k8s-cni-overlay", _:
            return _ovn_addresses(world, pod, attachment)
        case _, None | "":
            return []
        case _, "whereabouts":
            return await _whereabouts_addresses(world, pod, attachment, shape)
        case _, "dhcp":
            return [_dhcp_address(world, pod, attachment)]
        case _, "static":
            return [str(each["address"]).partition("/")[0] for each in ipam.get("addresses", ())]
        case _, "host-local":
            return _host_local_addresses(world, pod, attachment)
        case _, other:
            raise SandboxError(_added(pod, attachment, f"the lab does not simulate IPAM of type {other}"))


async def _whereabouts_addresses(world: World, pod: Object, attachment: Attachment, shape: set[str]) -> list[str]:
    ipam = attachment.ipam
    if "whereabouts-missing" in world.faults:
        raise SandboxError(_plugin_missing(pod, attachment, "whereabouts"))
    others: list[Object] = []
    if "handler-duplicate" in shape:
        # Not the one before it on this node, whose address is free again.
        node = pod["spec"]["nodeName"]
        others = [each for each in world.all(POD, **{"kubevirt.io": HANDLER}) if each["spec"]["nodeName"] != node]
    elif "handler-duplicate-peer" in shape:
        others = await world.peers()
    if taken := next(filter(None, map(interface_addresses, others)), None):
        return taken
    try:
        if "handler-outside-slice" in shape:
            return [str(await _outside(world, pod, ipam))]
        given = await pools.lease(world, pod, ipam, interface=attachment.interface)
    except whereabouts.RefusedError as error:
        text = f'plugin type="{attachment.type}" failed (add): {error}'
        raise SandboxError(_added(pod, attachment, text)) from error
    return [str(interface.ip) for interface in given]


async def _outside(world: World, pod: Object, ipam: dict[str, Any]) -> whereabouts.Address:
    """Book an address in the last quarter of the range, whatever its start and end are."""
    whole = {key: value for key, value in ipam.items() if key not in {"range_start", "range_end", "exclude"}}
    network = ipaddress.ip_network(str(ipam.get("range", ipam.get("ipRanges", [{}])[0].get("range"))), strict=False)
    quarter = network.network_address + network.num_addresses * 3 // 4
    first, *_ = await pools.lease(
        world, pod, whole | {"range": str(network), "range_start": str(quarter)}, interface=INTERFACE
    )
    return first.ip


def _dhcp_address(world: World, pod: Object, attachment: Attachment) -> str:
    """Return the lowest address of the server's pool that no other pod has; it serves the lab's own segment only."""
    first, taken = DHCP_POOL.network_address + world.number * DHCP_LEASES, _taken(world, pod)
    for number in range(DHCP_LEASES):
        if (address := first + number) in DHCP_POOL and str(address) not in taken:
            return str(address)
    raise SandboxError(_added(pod, attachment, "error calling DHCP.Allocate: no more tries"))


def _taken(world: World, pod: Object) -> set[str]:
    """Return what the other pods have on the migration network."""
    others = (each for each in world.all(POD) if each["metadata"]["uid"] != pod["metadata"]["uid"])
    return {address for each in others for address in interface_addresses(each)}


def _booked(world: World, pod: Object, attachment: Attachment) -> set[str]:
    """Return what the other pods have by one attachment: OVN keeps books of each network, and knows of no other."""
    named = f"{attachment.namespace}/{attachment.name}"
    return {
        address
        for each in world.all(POD)
        if each["metadata"]["uid"] != pod["metadata"]["uid"]
        for link in json.loads((each["metadata"].get("annotations") or {}).get(NETWORK_STATUS, "[]"))
        if link["name"] == named
        for address in link.get("ips", ())
    }


def _ovn_addresses(world: World, pod: Object, attachment: Attachment) -> list[str]:
    """Return the lowest address of each subnet that is not excluded, nor any other pod's of the same network."""
    taken = _booked(world, pod, attachment)
    excluded = [
        ipaddress.ip_network(text.strip(), strict=False)
        for text in str(attachment.config.get("excludeSubnets", "")).split(",")
        if text.strip()
    ]
    found = []
    for text in filter(None, str(attachment.config.get("subnets", "")).replace(" ", "").split(",")):
        network = ipaddress.ip_network(text, strict=False)
        free = (
            str(address)
            for address in network.hosts()
            if str(address) not in taken and not any(address in block for block in excluded)
        )
        address = next(free, None)
        if address is None:
            raise SandboxError(_added(pod, attachment, f"failed to allocate: no address left in subnet {network}"))
        found.append(address)
    return found


def _host_local_addresses(world: World, pod: Object, attachment: Attachment) -> list[str]:
    """Return the lowest address that no other pod of this node has: nodes know nothing of each other."""
    ipam = attachment.ipam
    taken = {
        address
        for each in world.all(POD)
        if each["spec"].get("nodeName") == pod["spec"]["nodeName"] and each["metadata"]["uid"] != pod["metadata"]["uid"]
        for address in interface_addresses(each)
    }
    sets = ipam.get("ranges") or [[ipam]]
    found = []
    for one in sets:
        subnet = ipaddress.ip_network(one[0]["subnet"], strict=False)
        first = ipaddress.ip_address(one[0].get("rangeStart", subnet.network_address + 1))
        last = ipaddress.ip_address(one[0].get("rangeEnd", subnet.broadcast_address - 1))
        free = (str(first + n) for n in range(int(last) - int(first) + 1) if str(first + n) not in taken)
        address = next(free, None)
        if address is None:
            text = f"failed to allocate for range 0: no IP addresses available in range set: {first}-{last}"
            raise SandboxError(_added(pod, attachment, text))
        found.append(address)
    return found


def _pod_network(world: World, pod: Object) -> Object:
    """Return the interface of the pod network: a free address of the part that the pod's node has of it."""
    network = world.one(OPENSHIFT_NETWORK, "cluster") or {}
    entry = (network.get("status", {}).get("clusterNetwork") or [{"cidr": "10.128.0.0/14", "hostPrefix": 23}])[0]
    whole = ipaddress.ip_network(entry["cidr"])
    nodes = sorted(each["metadata"]["name"] for each in world.all(NODE_NETWORK_STATE))
    node = pod["spec"]["nodeName"]
    number = nodes.index(node) if node in nodes else len(nodes)
    first = int(whole.network_address) + number * 2 ** (whole.max_prefixlen - entry["hostPrefix"])
    taken = {each.get("status", {}).get("podIP") for each in world.all(POD)}
    # A real node has some pods before these.
    address = next(text for host in range(20, 500) if (text := str(ipaddress.ip_address(first + host))) not in taken)
    mac = "0a:58:" + ":".join(f"{int(part):02x}" for part in address.split(".")) if "." in address else _mac(pod)
    return {"name": "ovn-kubernetes", "interface": "eth0", "ips": [address], "mac": mac, "default": True, "dns": {}}


def _nics(world: World, node: str) -> dict[str, int]:
    """Return the interfaces of a node and their MTUs: those it reports, and those that a policy wants it to have."""
    state = world.one(NODE_NETWORK_STATE, node) or {}
    current = state.get("status", {}).get("currentState", {}).get("interfaces", [])
    wanted = [
        each
        for policy in world.all(NODE_POLICY)
        for each in policy["spec"].get("desiredState", {}).get("interfaces", ())
        if each.get("state", "up") == "up" and each.get("type") in {"vlan", "bond", "linux-bridge"}
    ]
    return {each["name"]: each.get("mtu", 1500) for each in [*wanted, *current]}


def _mtu(world: World, pod: Object, attachment: Attachment) -> int:
    """Return the MTU that the plugin sets: the configured one, else that of the master."""
    configured = attachment.config.get("mtu")
    if configured:
        return int(configured)
    master = attachment.config.get("master") or attachment.config.get("bridge")
    return _nics(world, pod["spec"]["nodeName"]).get(str(master), 1500)


def _mac(pod: Object) -> str:
    digest = hashlib.sha256(pod["metadata"]["uid"].encode()).hexdigest()
    return ":".join(["02", *(digest[n : n + 2] for n in range(0, 10, 2))])
