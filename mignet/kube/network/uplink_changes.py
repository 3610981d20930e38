"""What a change of an uplink does to running migrations and to the pods that stand on it: sentences for a preview.

The kernel cannot give a VLAN interface another tag or base: it is made anew, and macvlan and ipvlan interfaces on the
old one go with it. A macvlan's MTU follows a smaller one below it, and no larger one. nmstate changes a share of the
nodes at a time, and nobody moves the pods. Source: the Linux kernel (vlan_changelink, macvlan_device_event), nmstate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.attachment import Ipvlan, Macvlan
from config.attachment.localnet import OvnLocalnet
from config.uplink import made
from mignet.kube.kinds import NODE_POLICY
from mignet.kube.network.node_network import port_settings, ports_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from config.stack import Stack
    from mignet.kube.diff import FieldChange

_INTERFACES, _MAPPINGS = "spec.desiredState.interfaces", "spec.desiredState.ovn.bridge-mappings"
_APART = "until every node has changed, changed nodes and others do not reach each other"
_RESTART = "until their pods are deleted, node by node"


def effects(stack: Stack, policy: str, fields: Iterable[FieldChange], *, removed: bool = False) -> Iterator[str]:
    """Say what a change of a policy does to what stands on it, a sentence for each interface that changes.

    `fields` are the policy's fields that change; `removed` means that the policy goes while the attachment stays: what
    another policy of the uplink makes stays with it.
    """
    kept = {name for group in (stack.uplink.groups if stack.uplink else ()) for name in made(group, stack.segment)}
    for change in fields:
        if change.path == _INTERFACES:
            old, new = _by_name(change.old, "name"), _by_name(change.new, "name")
            for name in sorted(old.keys() - (kept if removed else set())):
                yield from _of_interface(stack, policy, name, old[name], new.get(name))
        elif change.path == _MAPPINGS and not removed:
            old, new = _by_name(change.old, "localnet"), _by_name(change.new, "localnet")
            for localnet, mapping in sorted(old.items()):
                bridge = new.get(localnet, {}).get("bridge")
                if bridge != mapping.get("bridge") and isinstance(stack.attachment, OvnLocalnet):
                    to = f"maps localnet {localnet} to {bridge}" if bridge else f"takes the mapping of {localnet} away"
                    yield _sentence(
                        policy,
                        f"{to} instead of {mapping.get('bridge')}",
                        "virt-handlers keep their addresses and are cut off from the old bridge, migrations that run"
                        f" fail, and {_APART}",
                    )


def _of_interface(
    stack: Stack, policy: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any] | None
) -> Iterator[str]:
    # What has no type was there before, and stays.
    if new is None or new.get("state") == "absent":
        if "type" in old:
            yield _sentence(policy, f"takes {name} off the nodes", _gone(stack))
        return
    vlan = [
        f"vlan.{key} {before} becomes {new['vlan'].get(key)}"
        for key, before in old.get("vlan", {}).items()
        if "vlan" in new and new["vlan"].get(key) != before
    ]
    if vlan:
        yield _sentence(policy, f"makes {name} anew ({', '.join(vlan)})", f"{_gone(stack)}; {_APART}")
    mtu, wanted = old.get("mtu"), new.get("mtu")
    if mtu is not None and wanted is not None and mtu != wanted:
        then = _smaller(stack) if wanted < mtu else f"virt-handlers that run keep their old one {_RESTART}"
        yield _sentence(policy, f"changes the MTU of {name} from {mtu} to {wanted}", then)
    before_, after = ports_of(old), ports_of(new)
    if sorted(before_) != sorted(after):
        yield _sentence(
            policy,
            f"changes the ports of {name} from {', '.join(before_) or 'none'} to {', '.join(after) or 'none'}",
            "virt-handlers keep their interface, the link is away for a moment, and a migration that makes no progress"
            " for progressTimeout seconds ends",
        )
    yield from _of_bonds(policy, name, old, new)
    for port, before in _filters(old).items():
        if port in ports_of(new) or port in port_settings(new):
            filtered = _filters(new).get(port, {})
            if before != filtered:
                yield _sentence(
                    policy,
                    f"lets other VLANs pass port {port} of {name} ({_told(filtered)} instead of {_told(before)})",
                    "frames of any other are dropped from then on, and migrations that run in such a VLAN hang",
                )


def _of_bonds(policy: str, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    bonds = {name: (old.get("link-aggregation"), new.get("link-aggregation"))}
    inside = port_settings(new)
    for port, settings in port_settings(old).items():
        bonds[port] = settings.get("link-aggregation"), inside.get(port, {}).get("link-aggregation")
    for bond, (before, after) in bonds.items():
        modes = [each.get("mode") if isinstance(each, dict) else None for each in (before, after)]
        if None not in modes and modes[0] != modes[1]:
            yield _sentence(
                policy,
                f"changes the mode of {bond} from {modes[0]} to {modes[1]}",
                "its link is away for a moment, and stays away where the switch's ports are not set up for that",
            )


def _filters(interface: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the VLAN filter of each port of a bridge; an empty one lets all pass."""
    return {port: settings.get("vlan") or {} for port, settings in port_settings(interface).items()}


def _told(filter_: Mapping[str, Any]) -> str:
    if not filter_:
        return "all"
    if filter_.get("mode") == "access":
        return f"{filter_.get('tag')} alone"
    ranges = [
        f"{each['id-range'].get('min')}-{each['id-range'].get('max')}" if "id-range" in each else each.get("id")
        for each in filter_.get("trunk-tags") or ()
    ]
    return ", ".join(map(str, ranges)) or "none"


def _gone(stack: Stack) -> str:
    if isinstance(stack.attachment, Macvlan | Ipvlan):
        kind = stack.attachment.type
        return (
            f"every {kind} interface on it goes, migrations that run fail, and virt-handlers that run have no"
            f" migration0 {_RESTART}"
        )
    return "virt-handlers keep their interface and reach nobody meanwhile, so that migrations that run fail"


def _smaller(stack: Stack) -> str:
    if isinstance(stack.attachment, Macvlan | Ipvlan):
        return (
            "interfaces of pods on it shrink at once, and migrations that run hang where the other side still sends"
            " larger packets"
        )
    return f"virt-handlers that run send larger packets {_RESTART}: these are dropped, and migrations hang"


def _sentence(policy: str, what: str, then: str) -> str:
    return f"{NODE_POLICY.kind} {policy} {what}: {then}"


def _by_name(listed: object, key: str) -> dict[str, Mapping[str, Any]]:
    items = listed if isinstance(listed, list) else []
    return {each[key]: each for each in items if isinstance(each, dict) and key in each}
