"""What an uplink meets on the nodes: addresses of theirs, interfaces and mappings that are not ours, other policies.

nmstate makes of an interface what the policy says, whoever made it: `up` would take over what is there, and `destroy`
remove it from under its users. Two policies of one node that disagree are applied one after the other, at each reboot
anew and in no order that somebody controls. Pure, given the objects. Source: nmstate's and OpenShift's documents.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

from components.ownership import labels
from config.attachment.localnet import OvnLocalnet
from config.attachment.tags import attachment_tags
from config.finding import Finding, Subject, few, shown
from config.uplink import made
from config.uplink.rendering import desired_state
from mignet.kube.kinds import NODE_POLICY
from mignet.kube.network.node_network import PORTS, addresses_of, port_settings, ports_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from ipaddress import IPv4Interface, IPv6Interface

    from config.finding import Severity
    from config.stack import Stack
    from config.uplink import NodeGroup
    from mignet.kube.kinds import Object
    from mignet.kube.network.node_network import Node

_WORDS = {"name", "description", "profile-name", "identifier", "lldp"}
"""What says nothing about how an interface carries traffic."""


@dataclass(frozen=True)
class Policy:
    """A policy of kubernetes-nmstate as somebody declared it: what it says of interfaces and of localnets."""

    live: Object

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.live["metadata"]["name"])

    @cached_property
    def interfaces(self) -> dict[str, Mapping[str, Any]]:
        """What it says of each interface, by name."""
        listed = self._state.get("interfaces") or ()
        return {each["name"]: each for each in listed if isinstance(each, dict) and "name" in each}

    @cached_property
    def mappings(self) -> dict[str, str]:
        """The bridge that it maps each localnet to; "" where it takes the mapping away."""
        section = self._state.get("ovn")
        listed = (section.get("bridge-mappings") or ()) if isinstance(section, dict) else ()
        return {
            each["localnet"]: "" if each.get("state") == "absent" else str(each.get("bridge"))
            for each in listed
            if "localnet" in each
        }

    @cached_property
    def ports(self) -> dict[str, str]:
        """The bond or bridge that it makes each of its ports a part of."""
        return {port: name for name, each in self.interfaces.items() for port in ports_of(each) if _is_there(each)}

    @property
    def _state(self) -> Mapping[str, Any]:
        state = self.live.get("spec", {}).get("desiredState")
        # A policy of captures may be one text.
        return state if isinstance(state, dict) else {}

    def selects(self, node: Node) -> bool:
        """Tell whether it is for a node."""
        selector: dict[str, str] = self.live.get("spec", {}).get("nodeSelector") or {}
        return all(node.labels.get(key) == value for key, value in selector.items())

    def is_of(self, stack: Stack) -> bool:
        """Tell whether it is one of a stack's own, of this or of an earlier content."""
        carried: dict[str, str] = self.live["metadata"].get("labels") or {}
        return all(carried.get(key) == value for key, value in labels(stack.name).items())


@dataclass(frozen=True, slots=True)
class Claim:
    """One name that the uplink of a node declares. `declared` is what it says of it."""

    node: Node
    group: NodeGroup
    name: str
    declared: Mapping[str, Any]
    is_made: bool
    part_of: str | None
    """The bond or the bridge that the uplink makes it a port of."""


def host_addresses(stack: Stack, nodes: Iterable[Node], policies: Iterable[Object]) -> Iterator[Finding]:
    """Yield the interfaces whose addresses the uplink would take off the nodes."""
    others = _foreign(stack, policies)
    own = _own(stack, policies)
    found: defaultdict[tuple[str, str, str], list[tuple[Node, list[IPv4Interface | IPv6Interface]]]] = defaultdict(list)
    for claim in _claims(stack, nodes):
        if addresses := _taken(claim, own):
            makers = ", ".join(each.name for each in others if _declares(each, claim))
            by = f" (declared by {NODE_POLICY.kind} {makers})" if makers else ""
            how = f"makes it a port of {claim.part_of}" if claim.part_of else "turns IP off there"
            found[claim.name, by, how].append((claim.node, addresses))
    for (name, by, how), where in found.items():
        carried = [f"{', '.join(map(str, addresses))} on {node.name}" for node, addresses in where]
        yield Finding(
            f"NIC {name}",
            None,
            f"carries {_few(carried)}{by}: the uplink {how}, and takes {'it' if len(carried) == 1 else 'them'} away",
            f"Remove uplink and attach to {name} as it is, or let the uplink use another NIC, name and VLAN",
            code="uplink-host-address",
            stack=stack.name,
        )


def existing(stack: Stack, nodes: Iterable[Node], policies: Iterable[Object]) -> Iterator[Finding]:
    """Yield what is on the nodes already under a name that the uplink makes, and that no policy tells whose it is."""
    nodes, policies = list(nodes), list(policies)
    others, own = _foreign(stack, policies), _own(stack, policies)
    found: defaultdict[tuple[str, str], list[Node]] = defaultdict(list)
    for claim in _claims(stack, nodes):
        if _is_own(claim, own) or _taken(claim, own) or any(_declares(each, claim) for each in others):
            continue
        node, kind = claim.node, claim.node.kind(claim.name)
        if claim.is_made and kind:
            top = node.carries_default_route().get(claim.name)
            route = (
                "" if top is None else " and carries the default route" + (f" of {top}" if top != claim.name else "")
            )
            found[f"NIC {claim.name}", f"is there already ({kind}){route}"].append(node)
        elif claim.is_made and (other := _same_tag(claim)):
            tag = f"VLAN {claim.declared['vlan']['id']} of {claim.declared['vlan']['base-iface']}"
            found[f"NIC {claim.name}", f"would be a second interface of {tag}, after {other}"].append(node)
    for group, node in _selected(stack, nodes):
        for localnet in (each.localnet for each in group.mappings):
            bridge = node.mappings.get(localnet)
            declared = any(localnet in policy.mappings for policy in (*own, *others) if policy.selects(node))
            if bridge and not declared:
                found[f"localnet {localnet}", f"is mapped to {bridge} already"].append(node)
    for (key, why), where in found.items():
        name = key.partition(" ")[2]
        consequence = (
            "the kernel refuses it"
            if "second interface" in why
            else "up would take it over, and destroy remove it from under its users"
        )
        yield Finding(
            key,
            None,
            f"{why} on {_few([node.name for node in where])}, and no policy of this stack made it: {consequence}",
            "Leave it out of uplink and build upon it or attach to it, name another one, or waive uplink-existing"
            f" where {name} is to become this stack's",
            code="uplink-existing",
            stack=stack.name,
        )


def shared(stack: Stack, nodes: Iterable[Node], policies: Iterable[Object]) -> Iterator[Finding]:
    """Yield the policies of others that declare something which this stack's uplink declares on the same nodes."""
    nodes, policies = list(nodes), list(policies)
    own = _own(stack, policies)
    claims = list(_claims(stack, nodes))
    mapped = [
        (mapping.localnet, str(group.mapped_bridge(mapping)), node)
        for group, node in _selected(stack, nodes)
        for mapping in group.mappings
    ]
    for policy in _foreign(stack, policies):
        said: dict[str, None] = {}
        where: dict[str, None] = {}
        severity: Severity = "info"
        for claim in claims:
            if not policy.selects(claim.node) or _taken(claim, own):
                continue
            differs = list(_disagreements(policy, claim))
            if differs or claim.name in policy.interfaces:
                said[f"{claim.name} ({', '.join(differs)})" if differs else claim.name] = None
                where[claim.node.name] = None
                severity = _worse(severity, "error" if differs else "warning" if claim.is_made else "info")
        for localnet, bridge, node in mapped:
            if policy.selects(node) and localnet in policy.mappings:
                theirs = policy.mappings[localnet]
                differs_ = "" if theirs == bridge else f" (to {theirs}, not {bridge})" if theirs else " (absent)"
                said[f"localnet {localnet}{differs_}"] = None
                where[node.name] = None
                severity = _worse(severity, "error" if differs_ else "warning")
        # A bond that somebody else's policy makes, and that we only build upon as it is, is how layers are shared.
        if severity != "info":
            yield _shared(stack, policy, severity, list(said), list(where))


def _shared(stack: Stack, policy: Policy, severity: Severity, said: Sequence[str], where: Sequence[str]) -> Finding:
    consequence = (
        "nmstate applies both, in an order that nobody controls, at each reboot anew"
        if severity == "error"
        else "destroy leaves it there, and a change in one of the two is undone by the other"
    )
    return Finding(
        Subject.of(NODE_POLICY.kind, policy.name),
        None,
        f"declares {'; '.join(said)}, as this stack's uplink does on {_few(where)}: {consequence}",
        "Let one of the two declare it: take it out of that policy, or out of uplink",
        code="policy-shared",
        severity=severity,
        stack=stack.name,
    )


def disagreeing(
    stack: Stack, used: Iterable[tuple[Node, Collection[str]]], policies: Iterable[Object]
) -> Iterator[Finding]:
    """Yield pairs of other policies that disagree about what the attachment uses, which is given node by node."""
    others = _foreign(stack, policies)
    found: defaultdict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    localnet = stack.attachment.physical_network if isinstance(stack.attachment, OvnLocalnet) else ""
    for node, names in used:
        here = [policy for policy in others if policy.selects(node)]
        for name in names:
            about = [policy for policy in here if name in policy.interfaces or name in policy.ports]
            for pair in combinations(about, 2):
                # The one whose word about a port is another is named second.
                for one, two in (pair, pair[::-1]):
                    if differs := ", ".join(_at_odds(one, two, name, names)):
                        found[one.name, two.name, name, differs].append(node.name)
                        break
        mapping = [policy for policy in here if localnet in policy.mappings]
        for one, two in combinations(mapping, 2):
            bridge = two.mappings[localnet]
            if one.mappings[localnet] != bridge:
                differs = f"a mapping to {bridge}" if bridge else "state absent"
                found[one.name, two.name, f"localnet {localnet}", differs].append(node.name)
    for (one_, two_, name, differs), where in found.items():
        yield Finding(
            Subject.of(NODE_POLICY.kind, one_),
            None,
            f"declares {name}, which the attachment uses, and so does {two_} with {differs} on {_few(where)}: the one"
            " that nmstate applies last holds, at each reboot anew",
            "Let one policy declare it",
            code="policies-disagree",
            severity="warning",
            stack=stack.name,
        )


def _at_odds(one: Policy, two: Policy, name: str, used: Collection[str]) -> Iterator[str]:
    """Yield what the second policy says otherwise than the first of an interface that is used."""
    if name in one.interfaces and name in two.interfaces:
        yield from _differences(one.interfaces[name], two.interfaces[name])
    ours, theirs = one.ports.get(name), two.ports.get(name)
    # A port of what is used, too, is how layers are shared.
    about = name in one.interfaces or ours is not None
    if about and theirs is not None and theirs != ours and (ours is not None or theirs not in used):
        yield f"it as a port of {theirs}"


def findings(stack: Stack, nodes: Iterable[Node], policies: Iterable[Object]) -> Iterator[Finding]:
    """Yield all that the uplink meets; what is an error, and not waived, must not be applied."""
    nodes, policies = list(nodes), list(policies)
    for rule in (host_addresses, existing, shared):
        yield from rule(stack, nodes, policies)


def _selected(stack: Stack, nodes: Iterable[Node]) -> Iterator[tuple[NodeGroup, Node]]:
    for group in stack.uplink.groups if stack.uplink else ():
        for node in nodes:
            if group.node_selector.items() <= node.labels.items():
                yield group, node


def _claims(stack: Stack, nodes: Iterable[Node]) -> Iterator[Claim]:
    """Yield what the uplink declares, node by node."""
    segment = stack.segment
    tags = attachment_tags(stack.attachment, segment)
    nodes = list(nodes)
    for group in stack.uplink.groups if stack.uplink else ():
        making = made(group, segment)
        declared = {each["name"]: each for each in desired_state(group, segment, tags).get("interfaces", ())}
        parts = {port: name for name, each in declared.items() for port in ports_of(each)}
        for node in nodes:
            if group.node_selector.items() <= node.labels.items():
                for name, each in declared.items():
                    yield Claim(node, group, name, each, name in making, parts.get(name))


def _foreign(stack: Stack, policies: Iterable[Object]) -> list[Policy]:
    names = {policy.name for policy in stack.policies}
    return [each for each in map(Policy, policies) if not each.is_of(stack) and each.name not in names]


def _own(stack: Stack, policies: Iterable[Object]) -> list[Policy]:
    return [each for each in map(Policy, policies) if each.is_of(stack)]


def _is_own(claim: Claim, own: Iterable[Policy]) -> bool:
    """Whether a policy of ours has made it: what is on the node is ours then."""
    return any(claim.name in each.interfaces and each.selects(claim.node) for each in own)


def _declares(policy: Policy, claim: Claim) -> bool:
    return claim.name in policy.interfaces and policy.selects(claim.node)


def _taken(claim: Claim, own: Iterable[Policy]) -> list[IPv4Interface | IPv6Interface]:
    """Return the addresses that a node loses: IP is turned off where we make an interface, and lost in a port."""
    if _is_own(claim, own) or not (claim.is_made or claim.part_of):
        return []
    return list(addresses_of(claim.node.interfaces.get(claim.name, {})))


def _same_tag(claim: Claim) -> str | None:
    """Return an interface of another name that is the same VLAN of the same base."""
    wanted = claim.declared.get("vlan", {})
    for name, each in claim.node.interfaces.items() if wanted else ():
        vlan = each.get("vlan", {})
        if (vlan.get("id"), vlan.get("base-iface")) == (wanted["id"], wanted["base-iface"]):
            return name
    return None


def _disagreements(policy: Policy, claim: Claim) -> Iterator[str]:
    """Yield in what another policy says otherwise than the uplink."""
    if claim.name in policy.interfaces:
        theirs = policy.interfaces[claim.name]
        yield from _differences(claim.declared, theirs)
        for family in ("ipv4", "ipv6") if claim.part_of else ():
            # A port has no addresses, whatever our policy says of it.
            said = _plain(theirs).get(family)
            if isinstance(said, dict) and said.get("enabled") and family not in claim.declared:
                yield f"{family}.enabled: true"
    master = policy.ports.get(claim.name)
    if master is not None and claim.part_of is not None and master != claim.part_of:
        yield f"a port of {master}"


def _differences(ours: object, theirs: object, path: str = "") -> Iterator[str]:
    """Yield what `theirs` says and `ours` says otherwise, by its path: where one of both is silent, nothing differs."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        one, two = (_plain(each) if not path else each for each in (ours, theirs))
        for key in sorted((one.keys() & two.keys()) - _WORDS):
            yield from _differences(one[key], two[key], f"{path}.{key}" if path else key)
    elif _comparable(ours) != _comparable(theirs) and "{{" not in str(theirs):
        yield f"{path}: {shown(theirs)}"


def _plain(interface: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an interface's declaration says, with what nmstate takes for granted in it."""
    plain = {"state": "up", **interface}
    for family in ("ipv4", "ipv6"):
        if isinstance(said := interface.get(family), dict):
            given = any(said.get(key) for key in ("dhcp", "autoconf", "address"))
            plain[family] = {"enabled": given, **said}
    if ports := ports_of(interface):
        plain["ports"] = tuple(ports)
    for key in ("bridge", "link-aggregation"):
        if isinstance(plain.get(key), dict):
            plain[key] = {name: value for name, value in plain[key].items() if name not in PORTS}
    for name, settings in port_settings(interface).items():
        plain[f"port {name}"] = {key: value for key, value in settings.items() if key not in {"name", *PORTS}}
        if isinstance(bond := settings.get("link-aggregation"), dict):
            plain[f"port {name}"]["link-aggregation"] = {k: v for k, v in bond.items() if k not in PORTS}
    return plain


def _comparable(value: object) -> object:
    if isinstance(value, (list, tuple)):
        return sorted(map(str, value))
    # A number may be written as a text, and nmstate takes both.
    return value if isinstance(value, bool) or value is None else str(value)


def _is_there(interface: Mapping[str, Any]) -> bool:
    return bool(interface.get("state", "up") != "absent")


def _worse(one: Severity, other: Severity) -> Severity:
    order: tuple[Severity, ...] = ("info", "warning", "error")
    return max(one, other, key=order.index)


def _few(names: Iterable[str]) -> str:
    return few(names, most=3)
