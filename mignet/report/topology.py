"""The way from the nodes to virt-handler, cluster by cluster: NIC or bond, VLAN, attachment, pod; and where it breaks.

Seen from the live nodes where nmstate reports them; from the stack file alone, it is what the stack declares. What the
rules of preflight and verify call an error is broken; a NIC that is merely seen to be down is doubtful.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from config.attachment import Bridge, attached_to
from config.attachment.localnet import OvnLocalnet
from config.attachment.tags import attachment_tags
from config.finding import shown
from config.uplink import made, uses
from mignet.checks.preflight import nodes as node_rules
from mignet.checks.preflight.links import Place, attached, group_of, groups_of
from mignet.checks.verify.pools import used
from mignet.fleet.last_checkup import NOTHING, outcome
from mignet.kube.kinds import DAEMON_SET, DEPLOYMENT, KUBEVIRT, NETWORK_ATTACHMENT, NODE, NODE_NETWORK_STATE
from mignet.kube.kubevirt.pods import HANDLER, INTERFACE, SYNC
from mignet.kube.snapshot import UnreadError, judge
from mignet.report import status as tones
from mignet.report.status import RANK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from config.finding import Finding
    from config.stack import Stack
    from config.types.addressing import Address
    from config.uplink import NodeGroup
    from mignet.checks.preflight.seen import Seen
    from mignet.checks.verify.sight import Sight
    from mignet.fleet.last_checkup import Checkup
    from mignet.kube.kubevirt.pods import Pod
    from mignet.kube.network.node_network import Node
    from mignet.report.collect import Sighting
    from mignet.report.status import Tone

Kind = Literal["node", "NIC", "bond", "VLAN", "bridge", "attachment", "pod"]

_KINDS: dict[str, Kind] = {
    "bond": "bond",
    "vlan": "VLAN",
    "linux-bridge": "bridge",
    "ovs-bridge": "bridge",
    "ovs-interface": "bridge",
}
_OF_NODES = tuple(each for each in node_rules.RULES if each not in {node_rules.handlers_none, node_rules.slice_short})
"""The rules that speak of single nodes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One station of the way. `why` says what is wrong with it, and `code` is the rule that says so."""

    kind: Kind
    name: str
    detail: str = ""
    tone: Tone = "idle"
    why: str = ""
    code: str = ""

    @property
    def trouble(self) -> str:
        """What is wrong, with the station's name; of several ports, `why` names the one."""
        ports = self.name.split(" + ")
        named = len(ports) > 1 and self.why.startswith(tuple(f"{port} " for port in ports))
        return f"{self.kind} {self.why}" if named else f"{self.kind} {self.name} {self.why}"

    def marked(self, finding: Finding) -> Step:
        """Return it with what a finding says of it, unless something worse is known."""
        tone = tones.of(finding)
        if RANK[tone] <= max(RANK[self.tone], RANK["idle"]) and self.code:
            return self
        if tone == "good":
            return self
        why = finding.rule if finding.value is None else f"{shown(finding.value)} {finding.rule}"
        return replace(self, tone=tone, why=why, code=finding.code)


@dataclass(frozen=True, slots=True)
class Lane:
    """Nodes whose way is the same, station by station, from the NIC to the pod."""

    nodes: tuple[str, ...]
    steps: tuple[Step, ...]
    addresses: tuple[Address, ...] = ()
    measured: str = ""
    """What a checkup measured of the paths from and to them, in words; empty when nothing."""

    @property
    def tone(self) -> Tone:
        """How the worst station stands; one that cannot be seen does not spoil a way that ends well."""
        worst = max(self.steps, key=lambda step: RANK[step.tone]).tone
        return "good" if worst == "idle" and self.steps[-1].tone == "good" else worst

    @property
    def breaks_at(self) -> Step | None:
        """The first station that is broken."""
        return next((step for step in self.steps if step.tone == "bad"), None)

    @property
    def shape(self) -> tuple[tuple[str, ...], ...]:
        """What makes two lanes the same but for their nodes and addresses."""
        return tuple((step.kind, step.name, step.tone, step.code) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Path:
    """The lanes of one cluster. What is not `seen` is only declared."""

    stack: str
    lanes: tuple[Lane, ...]
    seen: bool
    measured: str = NOTHING
    """What a checkup measured of its nodes, in words; all else is derived from objects."""

    @property
    def tone(self) -> Tone:
        """How the worst lane stands."""
        return max((lane.tone for lane in self.lanes), key=lambda tone: RANK[tone], default="idle")


@dataclass(frozen=True, slots=True)
class Lanes:
    """One cluster's lanes before anything was measured: of each node, where they are seen, else as declared."""

    lanes: tuple[Lane, ...]
    seen: bool


def lanes_of(seen: Sighting) -> Lanes:
    """Return the lanes of a cluster: as its nodes show them, else as its file declares them."""
    sight = seen.verdict.sight if seen.verdict else None
    found = tuple(_of_nodes(seen, sight)) if seen.fitness else ()
    return Lanes(found, seen=True) if found else Lanes(tuple(_declared(seen, sight)), seen=False)


def path_of(stack: Stack, found: Lanes, checkup: Checkup | None = None) -> Path:
    """Return the path of a cluster, with what a checkup measured.

    A node that a checkup found broken is broken here, too, as long as the checkup counts.
    """
    if not found.seen:
        return Path(stack.name, found.lanes, seen=False)
    words = _measured(stack.name, found.lanes, checkup)
    measured: Iterable[Lane] = found.lanes
    if checkup and checkup.counts:
        measured = [_as_measured(stack.name, lane, checkup) for lane in found.lanes]
    lanes = _merged(stack, measured)
    if checkup:
        lanes = (replace(lane, measured=checkup.measured_of(stack.name, lane.nodes)) for lane in lanes)
    return Path(stack.name, tuple(lanes), seen=True, measured=words)


def _measured(stack: str, lanes: Sequence[Lane], checkup: Checkup | None) -> str:
    if checkup is None or not checkup.counts:
        return outcome(checkup)
    nodes = [node for lane in lanes for node in lane.nodes]
    count = sum((stack, node) in checkup.nodes for node in nodes)
    return f"{count} of {len(nodes)} nodes were measured {checkup.when}"


def _as_measured(stack: str, lane: Lane, checkup: Checkup) -> Lane:
    """Return a lane of one node with what the checkup found wrong with that node, at its first station."""
    (node,) = lane.nodes
    code = checkup.problems.get((stack, node))
    if code is None:
        return lane
    said = next((each.rule for each in checkup.findings if (each.stack, each.code) == (stack, code)), code)
    first, *rest = lane.steps
    if first.tone != "bad":
        first = replace(first, tone="bad", why=f"{said} (measured {checkup.when})", code=code)
    return replace(lane, steps=(first, *rest))


def _of_nodes(seen: Sighting, sight: Sight | None) -> Iterator[Lane]:
    """Yield a lane for each node that needs the network, as far as the nodes can be read."""
    fitness = seen.fitness
    if fitness is None:
        return
    try:
        nodes, syncs = fitness.nodes, fitness.sync_controllers
    except UnreadError:
        return
    known: dict[object, tuple[Finding, ...]] = {}
    for node in nodes:
        if not node.schedulable and (syncs is None or not syncs.may_run_on(node)):
            continue
        pods = HANDLER if node.schedulable else "the sync controller"
        place = Place(node, pods, "error", group_of(seen.stack, node))
        # Hundreds of nodes are set up alike, and judged once.
        alike = _setup(seen.stack, node)
        if alike not in known:
            known[alike] = judge(_OF_NODES, _only(fitness, node.name)).findings
        findings = known[alike]
        below = _marked(list(_below(seen.stack, place)), findings)
        pod, addresses = _pod(seen, sight, place)
        yield Lane((node.name,), (*below, _attachment(seen, sight), pod), addresses)


def _setup(stack: Stack, node: Node) -> tuple[object, ...]:
    """Return all of a node that the rules of nodes look at."""
    links = tuple(
        (name, *(repr(each.get(key)) for key in _LOOKED_AT))
        for name, each in node.interfaces.items()
        # A pod's end of a veth pair has a name of its own on every node.
        if each.get("type") != "veth"
    )
    mappings = repr(node.state.get("ovn"))
    groups = tuple(group.name for group in groups_of(stack, node))
    return node.schedulable, groups, links, tuple(sorted(node.default_route)), mappings


_LOOKED_AT = ("type", "state", "mtu", "max-mtu", "controller", "vlan", "link-aggregation", "bridge", "patch")


def _only(fitness: Seen, name: str) -> Seen:
    """Return the same look with one node in it."""
    found = {
        read: tuple(each for each in outcome if each["metadata"]["name"] == name)
        if read.kind in {NODE, NODE_NETWORK_STATE} and isinstance(outcome, tuple)
        else outcome
        for read, outcome in fitness.found.items()
    }
    return replace(fitness, found=found)


def _below(stack: Stack, place: Place) -> Iterator[Step]:
    """Yield what is below the attachment on a node, from the NIC up: live, or declared where it is not there yet."""
    top, _ = attached(stack, place)
    node, group = place.node, place.group
    if not node.state or (group is not None and top not in node.interfaces):
        steps = list(_layers(stack, group))
        for step in steps:
            yield _live(step.name, node) if node.kind(step.name) else step
    else:
        steps = list(_live_layers(node, top)) if top else [Step("bridge", "no mapping")]
        yield from steps
    if all(step.kind != "VLAN" for step in steps):
        yield from _tag(stack)


def _live_layers(node: Node, top: str) -> list[Step]:
    """Return the interfaces below `top` on a node, from the bottom up, as nmstate reports them."""
    steps: list[Step] = []
    names = [top]
    known: set[str] = set()
    while names:
        name, *others = names
        step = _live(name, node)
        if others:
            # Ports of one bond or bridge stand side by side.
            beside = [_live(each, node) for each in others]
            down = next((each for each in [step, *beside] if each.tone != "good"), None)
            step = replace(step, name=" + ".join(names))
            if down:
                step = replace(step, tone=down.tone, why=f"{down.name} {down.why}")
        steps.append(step)
        known.update(names)
        names = [each for each in node.under(name) if each not in known]
    return steps[::-1]


def _live(name: str, node: Node) -> Step:
    interface = node.interfaces.get(name)
    if interface is None:
        if node.kind(name):
            # A bond inside an OVS bridge: what it is made of says how it is.
            return Step("bond", name, tone="good")
        return Step("NIC", name, tone="warn", why="is missing") if node.state else Step("NIC", name)
    kind = _KINDS.get(str(interface.get("type")), "NIC")
    details = [
        f"VLAN {interface['vlan']['id']}" if interface.get("vlan", {}).get("id") is not None else "",
        str(interface.get("link-aggregation", {}).get("mode", "")),
        f"MTU {interface['mtu']}" if interface.get("mtu") else "",
    ]
    state = str(interface.get("state", "down"))
    up = state == "up"
    return Step(
        kind,
        name,
        ", ".join(each for each in details if each),
        "good" if up else "warn",
        "" if up else f"is {state}",
    )


def _layers(stack: Stack, group: NodeGroup | None) -> Iterator[Step]:
    """Yield what a stack declares below its attachment."""
    segment = stack.segment
    if group is None:
        if name := attached_to(stack.attachment):
            yield Step("bridge" if isinstance(stack.attachment, Bridge) else "NIC", name)
        return
    mtu, below = group.mtu_on(segment), group.mtu_on(segment, base=True)
    size = f"MTU {mtu}" if mtu else ""
    making = made(group, segment)
    base = sorted(uses(group, segment))
    if base:
        yield Step("NIC", " + ".join(base), f"MTU {below}" if below else "")
    if group.bond:
        yield Step("bond", group.bond.name, group.bond.mode)
    if group.vlan:
        tag = f"VLAN {group.vlan_id(segment)}"
        yield Step("VLAN", str(group.vlan_name(segment)), f"{tag}, {size}" if size else tag)
    for port in (group.ovs_bridge and group.ovs_bridge.ports) or ():
        if port.link_aggregation:
            yield Step("bond", port.name, port.link_aggregation.mode)
    wanted = stack.attachment.physical_network if isinstance(stack.attachment, OvnLocalnet) else None
    mapped = wanted and group.bridge_of(wanted)
    bridge = group.bridge or group.ovs_bridge
    if mapped or (bridge and bridge.name in making):
        yield Step("bridge", mapped or str(bridge and bridge.name))


def _tag(stack: Stack) -> Iterator[Step]:
    """Yield who puts the VLAN's tag on, where no interface of the nodes does."""
    tags = attachment_tags(stack.attachment, stack.segment)
    if tags:
        yield Step("VLAN", f"VLAN {', '.join(map(str, tags))}", "tagged by the attachment", "good")
    elif stack.segment.vlan is not None:
        yield Step("VLAN", f"VLAN {stack.segment.vlan}", "untagged here: the switch port's")


def _marked(steps: list[Step], findings: Iterable[Finding]) -> list[Step]:
    """Return the stations below the attachment with what the rules say of them."""
    for finding in findings:
        name = finding.subject.interface
        at = next((index for index, step in enumerate(steps) if name and name in step.name.split(" + ")), 0)
        if not steps:
            steps.append(Step("NIC", name or "none"))
        step = steps[at].marked(finding)
        if step is not steps[at] and name and step.name != name:
            step = replace(step, why=f"{name} {step.why}")
        steps[at] = step
    return steps


def _attachment(seen: Sighting, sight: Sight | None) -> Step:
    stack = seen.stack
    mtu = stack.mtu
    step = Step("attachment", stack.network, f"{stack.attachment.type}{f', MTU {mtu}' if mtu else ''}")
    named = (NETWORK_ATTACHMENT.kind, f"{stack.cluster.namespace}/{stack.network}")
    about = [each for each in seen.findings if (each.subject.kind, each.subject.name) == named]
    if sight is not None:
        live = sight.attachment
        step = replace(step, tone="bad", why="does not exist") if live is None else replace(step, tone="good")
    for finding in about:
        step = step.marked(finding)
    return step


def _pod(seen: Sighting, sight: Sight | None, place: Place) -> tuple[Step, tuple[Address, ...]]:
    """Return the pod that migrates on a node, with its addresses."""
    handler = place.node.schedulable
    role = HANDLER if handler else SYNC
    name = "virt-handler" if handler else "sync controller"
    if sight is None:
        return Step("pod", name), ()
    pods = [pod for pod in sight.of(role) if pod.node == place.node.name]
    if not pods:
        if not handler:
            # The scheduler chooses among the nodes of their placement.
            return Step("pod", name, "may run here", "good" if sight.of(role) else "idle"), ()
        step = Step("pod", name, tone="bad", why="does not run here")
        here = (place.node.name,)
        about = [each for each in seen.findings if each.subject.nodes == here and each.code == "node-without-handler"]
    else:
        step = _state(seen.stack, name, pods)
        known = {pod.reference for pod in pods}
        about = [each for each in seen.findings if each.subject.kind == "Pod" and each.subject.name in known]
    wide = {"HyperConverged", KUBEVIRT.kind, (DAEMON_SET if handler else DEPLOYMENT).kind}
    ours = seen.verdict.judged.findings if seen.verdict else ()
    about += [each for each in ours if each.blocks and each.subject.kind in wide]
    for finding in about:
        step = step.marked(finding)
    return step, tuple(address for pod in pods if pod.link for address in pod.link.addresses)


def _state(stack: Stack, name: str, pods: Sequence[Pod]) -> Step:
    if any(pod.link is None for pod in pods):
        why = f"has no {INTERFACE}: it migrates over the pod network"
        return Step("pod", name, tone="bad", why=why, code="pod-network-fallback")
    if not all(pod.ready for pod in pods):
        return Step("pod", name, tone="warn", why="is not ready")
    if not all(pod.asks_for(stack.network) for pod in pods):
        return Step("pod", name, tone="bad", why=f"asks for another network than {stack.network}")
    return Step("pod", name, tone="good")


def _merged(stack: Stack, lanes: Iterable[Lane]) -> Iterator[Lane]:
    """Yield lanes of one shape as one, the worst first."""
    by_shape: defaultdict[tuple[tuple[str, ...], ...], list[Lane]] = defaultdict(list)
    for lane in lanes:
        by_shape[lane.shape].append(lane)
    merged = []
    for same in by_shape.values():
        addresses = tuple(address for lane in same for address in lane.addresses)
        *below, pod = same[0].steps
        if addresses:
            pod = replace(pod, detail=used(stack, addresses))
        nodes = tuple(node for lane in same for node in lane.nodes)
        merged.append(Lane(nodes, (*below, pod), addresses))
    # virt-handler before the sync controller, as migrations need it everywhere.
    yield from sorted(merged, key=lambda lane: (-RANK[lane.tone], lane.steps[-1].name != "virt-handler"))


def _declared(seen: Sighting, sight: Sight | None) -> Iterator[Lane]:
    """Yield a lane for each group of nodes that a stack names, as far as its file tells."""
    stack = seen.stack
    groups: Sequence[NodeGroup | None] = stack.uplink.groups if stack.uplink else (None,)
    for group in groups:
        steps = list(_layers(stack, group))
        if all(step.kind != "VLAN" for step in steps):
            steps += [replace(step, tone="idle") for step in _tag(stack)]
        named = group.name if group and group.name else "all nodes"
        pods = list(sight.of(HANDLER)) if sight else []
        pod = _state(stack, "virt-handler", pods) if pods else Step("pod", "virt-handler")
        addresses = tuple(address for each in pods if each.link for address in each.link.addresses)
        if addresses:
            pod = replace(pod, detail=used(stack, addresses))
        yield Lane((named,), (*steps, _attachment(seen, sight), pod), addresses)
