"""What must hold between an uplink, the segment, the attachment and the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.attachment import Bridge, Ipvlan, Macvlan
from config.attachment.localnet import OvnLocalnet
from config.attachment.tags import attachment_tags
from config.finding import Finding, Rule, rule
from config.uplink import port_filters, uses
from config.uplink.bond_options import UNUSED_ELSEWHERE
from config.uplink.rendering import policy_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from config.attachment import AnyAttachment
    from config.rules.draft import Draft
    from config.segment import Segment
    from config.uplink import NodeGroup

_CONTROL_PLANE = {"node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"}
_NOT_CONTROL_PLANE = {"node-role.kubernetes.io/worker", "node-role.kubernetes.io/infra"}


def _groups(draft: Draft) -> Iterator[tuple[str, NodeGroup, Segment]]:
    if draft.uplink is None or draft.segment is None:
        return
    for index, group in enumerate(draft.uplink.groups):
        key = "uplink" if draft.uplink.node_groups is None else f"uplink.nodeGroups[{index}]"
        yield key, group, draft.segment


def attached_to(attachment: AnyAttachment) -> tuple[str, str] | None:
    """Return the key and the interface (or localnet) that an attachment needs on the node; None when it names none."""
    match attachment:
        case Macvlan() | Ipvlan():
            return "master", attachment.master
        case OvnLocalnet():
            return "physicalNetworkName", attachment.physical_network
        case _:
            return None if attachment.bridge is None else ("bridge", attachment.bridge)


def _unnamed(group: NodeGroup, segment: Segment) -> bool:
    """Tell whether the VLAN interface has no name that it could have: that has a finding of its own."""
    if group.vlan is None or group.vlan.name is not None:
        return False
    return group.vlan_id(segment) is None or len(str(group.vlan_name(segment))) > 15


def _offered(key: str, group: NodeGroup, segment: Segment) -> tuple[str, ...]:
    """Return what attachments may use of what a group makes, by the key that names it there."""
    if key == "physicalNetworkName":
        return tuple(each.localnet for each in group.mappings)
    top = group.top(segment)
    return () if top is None else (top,)


def _tags(draft: Draft) -> tuple[int, ...]:
    if draft.attachment is None or draft.segment is None:
        return ()
    return attachment_tags(draft.attachment, draft.segment)


# These two have no code: nothing could be made of a stack that waives them.
@rule()
def _vlan_known(draft: Draft) -> Iterator[Finding]:
    """A VLAN interface has a tag, of its own or the segment's."""
    for key, group, segment in _groups(draft):
        if group.vlan and group.vlan_id(segment) is None:
            yield Finding(
                f"{key}.vlan.id",
                None,
                "is required while segment.vlan is not set",
                "Set segment.vlan in Pulumi.yaml, so that all stacks share it",
                code="uplink-vlan-missing",
            )


@rule()
def _names_fit(draft: Draft) -> Iterator[Finding]:
    """Derived names keep the limits: an interface's is at most 15 characters long, a policy's 63 (a label's value)."""
    for key, group, segment in _groups(draft):
        name = group.vlan_name(segment)
        if name is not None and len(name) > 15 and group.vlan_id(segment) is not None:
            yield Finding(
                f"{key}.vlan.name",
                group.vlan.name if group.vlan else None,
                f"is {len(name)} characters long, and the kernel takes 15"
                if group.vlan and group.vlan.name
                else f"is not set, and {name} is {len(name)} characters long: the kernel takes 15",
                "Write a shorter vlan.name, such as mig0",
                code="uplink-name-long",
            )
        policy = policy_name(draft.name, group, segment)
        if len(policy) > 63:
            yield Finding(
                f"{key}.name" if group.name else key,
                group.name,
                f"makes the policy's name {policy} {len(policy)} characters long, and nmstate labels with at most 63",
                "Shorten the group's or the stack's name",
                code="uplink-policy-name",
            )


@rule("uplink-vlan-differs")
def _vlan_agrees(draft: Draft) -> Iterator[Finding]:
    """The uplink tags with the segment's VLAN: any other is another network."""
    for key, group, segment in _groups(draft):
        tag = group.vlan_id(segment)
        if tag and segment.vlan and tag != segment.vlan:
            yield Finding(
                f"{key}.vlan.id",
                tag,
                f"is not segment.vlan {segment.vlan}; this cluster would be alone on its VLAN",
                "Leave it out to use the segment's",
            )


@rule("uplink-layer-unused")
def _layers_stack(draft: Draft) -> Iterator[Finding]:
    """Each layer stands upon the one below it: a bond or VLAN that nothing uses is a mistake, or carries nothing."""
    for key, group, segment in _groups(draft):
        if group.bond and group.vlan and group.vlan.base_interface not in {None, group.bond.name}:
            yield Finding(
                f"{key}.vlan.baseInterface",
                group.vlan.base_interface,
                f"passes by bond {group.bond.name}, which nothing uses then",
                "Leave it out, or remove the bond",
            )
        below, ports = group.below_bridge(segment), group.bridge_ports(segment)
        if below and ports and below not in ports:
            several = group.ovs_bridge is not None and group.ovs_bridge.ports is not None
            yield Finding(
                f"{key}.{'bridge' if group.bridge else 'ovsBridge'}.{'ports' if several else 'port'}",
                list(ports) if several else ports[0],
                f"{'pass' if several else 'passes'} by {below}, which nothing uses then",
                f"Name {below} among them, or remove it" if several else f"Leave it out to use {below}",
            )


@rule("uplink-top-differs")
def _one_top(draft: Draft) -> Iterator[Finding]:
    """All groups end in one interface name (and one localnet): one attachment serves all nodes."""
    groups = [each for each in _groups(draft) if not _unnamed(*each[1:])]
    wanted = draft.attachment.physical_network if isinstance(draft.attachment, OvnLocalnet) else None
    if wanted is not None:
        # Each group may lead there by a bridge of another name.
        ends = [(key, wanted if group.bridge_of(wanted) else _named(group), "localnet") for key, group, _ in groups]
    else:
        ends = [(key, group.top(segment), "interface") for key, group, segment in groups]
        ends += [(key, _named(group), "localnet") for key, group, _ in groups]
    for what in ("interface", "localnet"):
        first, *others = [each for each in ends if each[2] == what] or [("", None, what)]
        for key, end, _ in others:
            if end != first[1]:
                yield Finding(
                    key,
                    None,
                    f"ends in {what} {end or 'none'} and {first[0]} in {first[1] or 'none'}; one attachment serves"
                    " all nodes",
                    "Give both the same name, such as vlan.name: mig0",
                )


def _named(group: NodeGroup) -> str | None:
    """Return the localnets that a group maps, as one text."""
    return ", ".join(sorted(each.localnet for each in group.mappings)) or None


@rule("uplink-not-attached", "uplink-port-master")
def _attachment_meets_uplink(draft: Draft) -> Iterator[Finding]:
    """The attachment uses what the uplink makes, and no NIC that a bridge or bond has taken."""
    end = None if draft.attachment is None else attached_to(draft.attachment)
    if end is None:
        return
    key, wanted = end
    groups = list(_groups(draft))
    # Where it is what one group makes, the others have to follow: that is the matter of uplink-top-differs.
    if any(wanted in _offered(key, group, segment) for _, group, segment in groups):
        return
    for where, group, segment in groups:
        offered = " or ".join(_offered(key, group, segment))
        if _unnamed(group, segment):
            continue
        ports = {*group.bridge_ports(segment), *(group.bond.ports if group.bond else ())}
        if key == "master" and wanted in ports:
            yield Finding(
                "attachment.master",
                wanted,
                f"is a port of the bridge or bond that {where} makes, which takes all its traffic",
                f"Write {offered}" if group.bridge is None else "Use type bridge, or leave the bridge out",
                code="uplink-port-master",
            )
        else:
            yield Finding(
                f"attachment.{_written(draft.attachment, key)}",
                wanted,
                f"is not what {where} makes ({offered or 'nothing of that kind'})",
                f"Write {offered}, or rename it in the uplink" if offered else "Correct the uplink or attachment.type",
                code="uplink-not-attached",
            )
        # One sentence for each group would say the same again.
        return


def _written(attachment: AnyAttachment | None, key: str) -> str:
    """Return the key by which the user named what an attachment needs: a localnet has its own, or is called so."""
    return attachment.physical_network_key if isinstance(attachment, OvnLocalnet) else key


@rule("uplink-double-tag")
def _one_tag(draft: Draft) -> Iterator[Finding]:
    """Either the uplink tags or the attachment does: two tags reach no other cluster."""
    tags = _tags(draft)
    for key, group, segment in _groups(draft):
        tag = group.vlan_id(segment)
        if tag and tags and draft.attachment is not None:
            where, remedy = tagging_key(draft.attachment)
            yield Finding(
                where, tags[0], f"tags what {key}.vlan tags with {tag} again", f"{remedy}, or remove the vlan layer"
            )
            return


def tagging_key(attachment: AnyAttachment) -> tuple[str, str]:
    """Return the key by which an attachment tags, as the user wrote it, and how it stops."""
    match attachment:
        case OvnLocalnet(vlan_id=None):
            return "segment.vlan", "Set attachment.vlanID: 0, so that OVN adds no tag of the segment's"
        case OvnLocalnet():
            return "attachment.vlanID", "Write 0"
        case Bridge(vlan=None | 0):
            return "attachment.vlanTrunk", "Leave it out"
        case _:
            return "attachment.vlan", "Leave it out"


@rule("uplink-bond-bridged", severity="warning")
def _bond_mode_bears_a_bridge(draft: Draft) -> Iterator[Finding]:
    """Under a bridge, a bond of modes 0, 3, 5, 6 loses frames: it sends one address from several ports, or rewrites it.

    The switch, and the bridge itself, then learn the pods' addresses on the wrong port. Source: the documentation of
    OpenShift Virtualization (bond modes), the kernel's bonding documentation.
    """
    for key, group, _ in _groups(draft):
        bridge = "bridge" if group.bridge else "ovsBridge" if group.ovs_bridge else None
        if bridge and group.bond and group.bond.mode in NOT_UNDER_A_BRIDGE:
            yield Finding(
                f"{key}.bond.mode", group.bond.mode, f"does not go with {bridge} upon it: {LOSES}", BRIDGED_REMEDY
            )


LOSES = "pods lose frames when their addresses move between its ports"
BRIDGED_REMEDY = "Use active-backup, 802.3ad or balance-xor, or an attachment of type macvlan without a bridge"
NOT_UNDER_A_BRIDGE = {"balance-rr", "broadcast", "balance-tlb", "balance-alb"}


@rule("uplink-bond-option-unused", severity="warning")
def _bond_options_do_something(draft: Draft) -> Iterator[Finding]:
    """An option of another bond mode is written to the nodes and does nothing there."""
    for key, group, _ in _groups(draft):
        if group.bond is None:
            continue
        for name, value in group.bond.options.written().items():
            modes = UNUSED_ELSEWHERE.get(name)
            if modes and group.bond.mode not in modes:
                yield Finding(
                    f"{key}.bond.options.{name}",
                    value,
                    f"does nothing in mode {group.bond.mode}",
                    f"Leave it out, or use {' or '.join(modes)}",
                )


@rule("uplink-trunk")
def _trunk_passes(draft: Draft) -> Iterator[Finding]:
    """The bridge's port lets through what the attachment sends; anything else is dropped without a word."""
    tags = _tags(draft)
    for key, group, _ in _groups(draft):
        filters = [] if group.vlan else list(port_filters(group))
        for at, port in filters:
            # One port that leads to the segment is enough.
            if any(all(each.lets_pass(tag) for tag in tags) for _, each in filters) and tags:
                break
            mode = "access" if port.access is not None else "trunk"
            passing = port.access or [item.id or f"{item.min_id}-{item.max_id}" for item in port.trunk or ()]
            missing = [tag for tag in tags if not port.lets_pass(tag)]
            if missing:
                yield Finding(
                    f"{key}.{at}.{mode}",
                    passing,
                    f"does not let VLAN {missing[0]} of the attachment pass",
                    "Leave it out to let exactly the attachment's VLANs pass"
                    if mode == "trunk" and group.bridge
                    else f"Write {missing[0]}, or leave it out",
                )
            elif not tags:
                first = passing[0] if isinstance(passing, list) else passing
                yield Finding(
                    f"{key}.{at}.{mode}",
                    passing,
                    "lets only tagged frames pass, and the attachment sends untagged ones"
                    if mode == "trunk"
                    else "lets only frames of that tag inside the bridge pass, and the attachment sends untagged ones",
                    f"Set attachment.{'vlanID' if isinstance(draft.attachment, OvnLocalnet) else 'vlan'}: {first},"
                    f" or leave {mode} out",
                )


@rule("uplink-untagged", severity="warning")
def _somebody_tags(draft: Draft) -> Iterator[Finding]:
    """Where the segment has a VLAN and nothing on the node tags, or the port takes the tag off, the switch must."""
    tags = _tags(draft)
    for key, group, segment in _groups(draft):
        if not segment.vlan or group.vlan is not None:
            continue
        untagging = next((at for at, port in port_filters(group) if port.untags in tags), None)
        if tags and untagging is None:
            continue
        yield Finding(
            key if untagging is None else f"{key}.{untagging}",
            None,
            f"{'sends untagged frames' if untagging is None else 'takes the tag off'}, and segment.vlan is"
            f" {segment.vlan}; right only where the switch ports of these nodes are access ports of"
            f" VLAN {segment.vlan}",
            "Add a vlan layer where they are trunk ports"
            if untagging is None
            else "Leave it out where they are trunk ports",
        )


@rule("uplink-mtu")
def _mtu_fits(draft: Draft) -> Iterator[Finding]:
    """The uplink carries packets as large as the pods send."""
    pods = getattr(draft.attachment, "mtu", None)
    for key, group, segment in _groups(draft):
        mtu, wanted = group.mtu_on(segment), pods or segment.mtu
        # Where the uplink says nothing, it is the segment's, and mtu-above-segment's matter.
        if group.mtu and wanted and wanted > group.mtu:
            yield Finding(
                f"{key}.mtu", group.mtu, f"is below the {wanted} of the pods", "Leave it out to use the segment's"
            )
        if group.base_mtu and mtu and group.base_mtu < mtu and group.mtu is None:
            yield Finding(
                f"{key}.baseMtu",
                group.base_mtu,
                f"is below the {mtu} of what stands upon it; the kernel refuses it",
                "Raise it, or leave it out",
            )


def covers_control_plane(selector: Mapping[str, str]) -> bool | None:
    """Tell whether a node selector takes control-plane nodes in; None when its labels do not say."""
    if not selector or selector.keys() & _CONTROL_PLANE:
        return True
    return False if selector.keys() & _NOT_CONTROL_PLANE else None


@rule("uplink-control-plane", severity="warning")
def _control_plane_covered(draft: Draft) -> Iterator[Finding]:
    """The sync controllers of cross-cluster migration run on control-plane nodes, unless `spec.infra` says otherwise.

    Offline nobody knows that placement (hosted control planes have no such nodes): preflight reads it and judges.
    """
    if draft.uplink is None or draft.cluster is None or draft.cluster.cross_cluster is False:
        return
    if any(covers_control_plane(group.node_selector) for group in draft.uplink.groups):
        return
    remedy = "Add a group for node-role.kubernetes.io/control-plane, or waive this where they run elsewhere"
    yield Finding(
        "uplink",
        None,
        "has no group for control-plane nodes, where the sync controllers of cross-cluster migration run unless"
        " spec.infra.nodePlacement of the HyperConverged names others; they would stay in ContainerCreating",
        remedy if draft.cluster.cross_cluster else f"{remedy}, or set cluster.crossCluster: false",
    )


@rule("uplink-default-route")
def _default_route_spared(draft: Draft) -> Iterator[Finding]:
    """The NIC of the default route is not taken: as a port of a bond or a bridge it takes the node off the network."""
    nic = draft.cluster.default_route_interface if draft.cluster else None
    for key, group, segment in _groups(draft):
        if nic in uses(group, segment) and nic != group.vlan_base:
            yield Finding(f"{key}.{_naming(group, nic)}", nic, "is the NIC of the default route", "Use another NIC")
    if nic is not None and nic == getattr(draft.attachment, "master", None):
        yield Finding(
            "attachment.master",
            nic,
            "is the NIC of the default route: migrations would starve the cluster's own traffic",
            "Use another NIC",
        )


def _naming(group: NodeGroup, nic: str | None) -> str:
    """Return the key by which the user gave a NIC to a bond or a bridge."""
    return next((key for key, name in group.named if name == nic), "bridge.port" if group.bridge else "ovsBridge.port")


@rule("default-route-shared", severity="warning")
def _default_route_shared(draft: Draft) -> Iterator[Finding]:
    """A VLAN on what carries the default route works, and shares it: Red Hat's documents advise against it."""
    nic = draft.cluster.default_route_interface if draft.cluster else None
    if nic is None:
        return
    # An interface that is there already tells by its name what it stands on.
    carrier = nic.rpartition(".")[0] or nic
    found: list[tuple[str, str]] = []
    for key, group, segment in _groups(draft):
        if group.vlan_base in {nic, carrier}:
            found.append((f"{key}.vlan.baseInterface", str(group.vlan_base)))
        found += [
            (f"{key}.{_naming(group, name)}", name)
            for name in sorted(uses(group, segment))
            if name != nic and name.rpartition(".")[0] in {nic, carrier}
        ]
        for at, mapping in group.keyed_mappings:
            if group.mapped_bridge(mapping) == nic:
                rule_, remedy = f"has the default route: {OVN_SHARES}", f"{SHARED_REMEDY}; or map it to another bridge"
                yield Finding(f"{key}.{at}.bridge", nic, rule_, remedy)
    end = None if draft.attachment is None else attached_to(draft.attachment)
    if end is not None and not found and end[1] != nic and end[1].rpartition(".")[0] in {nic, carrier}:
        found = [(f"attachment.{end[0]}", end[1])]
    for key, name in found:
        base = name if name in {nic, carrier} else name.rpartition(".")[0]
        yield Finding(key, name, shares(base, nic, itself=name), SHARED_REMEDY)


OVN_SHARES = "OVN shares that bridge between the cluster's own traffic and migrations, which works, and slows both"
SHARED_REMEDY = "Use another NIC, or waive default-route-shared with the reason and set bandwidthPerMigration"


def shares(nic: str, top: str, *, itself: str) -> str:
    """Say what holds for a VLAN interface on a NIC that carries the default route, `top` being what has that route."""
    route = "has the default route" if top == nic else f"carries the default route of {top}"
    stands = f"is to carry a VLAN interface, and {route}" if nic == itself else f"stands on {nic}, which {route}"
    return (
        f"{stands}: the kernel passes tagged frames there, but Red Hat's documents advise against it, and migrations"
        " fill the link of the nodes' own traffic"
    )


UPLINK_RULES: tuple[Rule[Draft], ...] = (
    _vlan_known,
    _names_fit,
    _vlan_agrees,
    _layers_stack,
    _one_top,
    _attachment_meets_uplink,
    _one_tag,
    _bond_mode_bears_a_bridge,
    _bond_options_do_something,
    _trunk_passes,
    _somebody_tags,
    _mtu_fits,
    _control_plane_covered,
    _default_route_spared,
    _default_route_shared,
)
