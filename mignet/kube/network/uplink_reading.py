"""Read a policy of kubernetes-nmstate back into what a stack file says of an uplink, and what it cannot say.

What was read is rendered again and compared with the policy field by field, so that nothing is lost without a word.
Pure, given the object. Source: nmstate's state schema, with the names that it had in releases of old.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from config.finding import shown
from config.types.model import parse
from config.uplink import NodeGroup
from config.uplink.rendering import desired_state
from mignet.kube.network.node_network import PORTS, port_settings, ports_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from config.finding import Finding
    from config.segment import Segment
    from mignet.kube.kinds import Object

_KINDS = ("ovs-bridge", "linux-bridge", "vlan", "bond")
"""What an uplink makes, from the top down."""
_SELECTING = {"nodeSelector", "maxUnavailable", "desiredState"}
_TOP = {"interfaces", "ovn"}
_FAMILIES = ("ipv4", "ipv6")
_WITHIN = "\0"
"""Stands in a path between the name of what it is about, which may have dots, and the rest."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a policy says, in a stack file's words. `refused` are mistakes that a stack file may not have."""

    group: dict[str, Any]
    """The keys of a node group, as a stack file writes them."""
    lost: tuple[str, ...] = ()
    """What the policy says and the stack file cannot, or says otherwise: a path and a value each."""
    added: tuple[str, ...] = ()
    """What the stack's own policy says beyond: a path and a value each."""
    refused: tuple[Finding, ...] = ()


def read(policy: Object, segment: Segment, *, end: str | None = None, tags: tuple[int, ...] = ()) -> Reading:
    """Read a NodeNetworkConfigurationPolicy.

    `end` is the interface or the localnet that the attachment uses; the topmost layer when left out. `tags` are those
    that the attachment puts on.
    """
    try:
        return _read(policy, segment, end, tags)
    except (AttributeError, KeyError, TypeError, ValueError):
        # What stands there is anybody's, and no API server checks it.
        return Reading({}, lost=(f"spec: {shown(policy.get('spec'))}",))


def _read(policy: Object, segment: Segment, end: str | None, tags: tuple[int, ...]) -> Reading:
    spec = policy["spec"]
    state = spec["desiredState"]
    group = {key: spec[key] for key in ("nodeSelector", "maxUnavailable") if spec.get(key)}
    group |= _Layers(state, segment).read(end)
    parsed = parse(NodeGroup, group, stack=policy["metadata"]["name"], key="uplink")
    if isinstance(parsed, tuple):
        return Reading(group, refused=parsed)
    lost, added = differences(state, desired_state(parsed, segment, tags))
    lost += [f"{key}: {shown(spec[key])}" for key in sorted(spec.keys() - _SELECTING) if spec[key]]
    return Reading(group, tuple(lost), tuple(added))


class _Layers:
    """The interfaces of a policy, and the layers of one uplink among them."""

    def __init__(self, state: Mapping[str, Any], segment: Segment) -> None:
        self._segment = segment
        listed = [each for each in state.get("interfaces") or () if isinstance(each, dict) and "name" in each]
        self._there = [each for each in listed if each.get("state", "up") != "absent"]
        self._made = {each["name"]: each for each in self._there if each.get("type") in _KINDS}
        mappings = (state.get("ovn") or {}).get("bridge-mappings") or ()
        self._mappings = [each for each in mappings if each.get("state", "present") != "absent"]

    def read(self, end: str | None) -> dict[str, Any]:
        """Return the keys of a node group that say the same."""
        group: dict[str, Any] = {}
        top = self._top(end)
        below = None if top is None else top["name"]
        if top is not None and top["type"].endswith("bridge"):
            key, section = (
                ("ovsBridge", self._ovs(top)) if top["type"] == "ovs-bridge" else ("bridge", self._linux(top))
            )
            ports = ports_of(top)
            below = next((port for port in ports if port in self._made), None)
            group[key] = section
            if below is not None and section.get("port") == below:
                del section["port"]
        vlan = self._made.get(below or "")
        if vlan is not None and vlan["type"] == "vlan":
            below = str(vlan["vlan"].get("base-iface"))
        bond = self._made.get(below or "")
        if bond is not None and bond["type"] == "bond":
            group["bond"] = _bond(bond)
        if vlan is not None and vlan["type"] == "vlan":
            group["vlan"] = self._vlan(vlan, "bond" in group)
        group |= self._localnets(top)
        return group | self._mtus(group)

    def _top(self, end: str | None) -> Mapping[str, Any] | None:
        """Return what the attachment ends in, or the topmost that the policy makes."""
        mapped = next((each for each in self._mappings if each.get("localnet") == end), None)
        if end is not None and (mapped is not None or end in self._made):
            return self._made.get(str(mapped.get("bridge")) if mapped else end)
        mapped_here = [str(each.get("bridge")) for each in self._mappings]
        order = sorted(
            self._made.values(), key=lambda each: (each["name"] not in mapped_here, _KINDS.index(each["type"]))
        )
        return next(iter(order), None)

    def _vlan(self, vlan: Mapping[str, Any], on_bond: bool) -> dict[str, Any]:  # noqa: FBT001
        base, tag = str(vlan["vlan"].get("base-iface")), _number(vlan["vlan"].get("id"))
        section: dict[str, Any] = {} if on_bond else {"baseInterface": base}
        section |= {} if tag == self._segment.vlan else {"id": tag}
        section |= {} if vlan["name"] == f"{base}.{tag}" else {"name": vlan["name"]}
        return section or {"id": tag}

    def _linux(self, bridge: Mapping[str, Any]) -> dict[str, Any]:
        inside = bridge.get("bridge") or {}
        options = inside.get("options") or {}
        section: dict[str, Any] = {"name": bridge["name"]}
        port = next(iter(ports_of(bridge)), None)
        section |= {} if port is None else {"port": port} | _filter(port_settings(bridge).get(port, {}))
        section |= {"stp": True} if _flag((options.get("stp") or {}).get("enabled")) else {}
        section |= _flagged("multicastSnooping", options.get("multicast-snooping"))
        return section | _mac(bridge)

    def _ovs(self, bridge: Mapping[str, Any]) -> dict[str, Any]:
        inside = bridge.get("bridge") or {}
        options = inside.get("options") or {}
        stp = options.get("stp")
        section: dict[str, Any] = {"name": bridge["name"]}
        section |= self._ovs_ports(bridge)
        section |= {"stp": True} if _flag(stp.get("enabled") if isinstance(stp, dict) else stp) else {}
        section |= _flagged("rstp", options.get("rstp"))
        return section | _flagged("multicastSnooping", options.get("mcast-snooping-enable"))

    def _ovs_ports(self, bridge: Mapping[str, Any]) -> dict[str, Any]:
        """Return its port, or ports; those that lead to no NIC, patches and internal ones, an uplink does not make."""
        inner = {each["name"] for each in self._there if each.get("type") == "ovs-interface"}
        listed = [
            port if isinstance(port, dict) else {"name": port}
            for key in PORTS
            for port in (bridge.get("bridge") or {}).get(key) or ()
        ]
        ports = []
        for port in listed:
            bond = port.get("link-aggregation") or port.get("bond")
            if port["name"] in inner or (port["name"] == bridge["name"] and not bond):
                continue
            aggregation = {"linkAggregation": _ovs_bond(bond)} if isinstance(bond, dict) else {}
            ports.append({"name": port["name"]} | aggregation | _filter(port))
        if len(ports) == 1 and ports[0].keys() == {"name"}:
            return {"port": ports[0]["name"]}
        return {"ports": ports} if ports else {}

    def _localnets(self, top: Mapping[str, Any] | None) -> dict[str, Any]:
        found = [
            {"localnet": each.get("localnet")}
            | ({} if top is not None and each.get("bridge") == top["name"] else {"bridge": each.get("bridge")})
            for each in self._mappings
        ]
        return {"localnet": found[0]} if len(found) == 1 else {"localnets": found} if found else {}

    def _mtus(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return the MTUs: of what stands above, and of NICs and bond."""
        names = {section["name"] for key in ("bond",) if (section := group.get(key))}
        lower = {
            _number(each["mtu"])
            for each in self._there
            if each.get("mtu") and (each["name"] in names or each.get("type") not in {*_KINDS, "ovs-interface"})
        }
        upper = {
            _number(each["mtu"]) for each in self._made.values() if each.get("mtu") and each["type"] in _KINDS[1:3]
        }
        above, base = max(upper, default=None), max(lower, default=None)
        above = above or base
        mtus = {} if above in {None, self._segment.mtu} else {"mtu": above}
        return mtus | ({} if base in {None, above} else {"baseMtu": base})


def _bond(bond: Mapping[str, Any]) -> dict[str, Any]:
    said = bond.get("link-aggregation") or {}
    section = {"name": bond["name"], "ports": list(ports_of(bond)), "mode": said.get("mode")}
    return section | ({"options": dict(said["options"])} if said.get("options") else {}) | _mac(bond)


def _ovs_bond(said: Mapping[str, Any]) -> dict[str, Any]:
    names = [each["name"] if isinstance(each, dict) else each for key in PORTS for each in said.get(key) or ()]
    section = {"mode": said.get("mode"), "ports": names}
    for key, name in (("updelay", "bond-updelay"), ("downdelay", "bond-downdelay")):
        section |= {key: _number(said[name])} if name in said else {}
    other = (said.get("ovs-db") or {}).get("other_config")
    return section | ({"otherConfig": {key: str(value) for key, value in other.items()}} if other else {})


def _filter(port: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a port's `vlan` is in a stack file."""
    said = port.get("vlan") or {}
    if said.get("mode") == "access":
        return {"access": _number(said.get("tag"))}
    trunk = [
        {"minID": _number(item["id-range"].get("min")), "maxID": _number(item["id-range"].get("max"))}
        if "id-range" in item
        else _number(item.get("id"))
        for item in said.get("trunk-tags") or ()
    ]
    native = {"native": _number(said.get("tag"))} if _flag(said.get("enable-native")) else {}
    return {"trunk": trunk} | native if trunk else {}


def _mac(interface: Mapping[str, Any]) -> dict[str, Any]:
    return {"copyMacFrom": interface["copy-mac-from"]} if interface.get("copy-mac-from") else {}


def _number(value: Any) -> Any:
    """Return a number that nmstate takes as a text, too."""
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _flag(value: object) -> bool | None:
    text = str(value).lower()
    return True if text in {"true", "1", "yes", "on"} else False if text in {"false", "0", "no", "off"} else None


def _flagged(key: str, value: object) -> dict[str, Any]:
    return {} if value is None else {key: _flag(value)}


def differences(declared: Mapping[str, Any], rendered: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return what a desired state says that the other one does not, or otherwise, and what only the other one says.

    Each is a path and a value. What nmstate takes for the same is the same: a default that is written out, names of
    old, a port's controller, IP that is off where there can be none.
    """
    one, two = dict(_leaves(declared)), dict(_leaves(rendered))
    lost: dict[str, None] = {}
    for path, value in one.items():
        whole, _, rest = path.partition(_WITHIN)
        if path not in two:
            known = not rest or any(other.startswith(f"{whole}{_WITHIN}") for other in two)
            lost[f"{path.replace(_WITHIN, '.')}: {shown(value)}" if known else f"all of {whole}"] = None
        elif str(two[path]).lower() != str(value).lower():
            lost[f"{path.replace(_WITHIN, '.')}: {shown(value)} (here {shown(two[path])})"] = None
    added = [f"{path.replace(_WITHIN, '.')}: {shown(value)}" for path, value in two.items() if path not in one]
    return list(lost), added


def _leaves(state: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    listed = [each for each in state.get("interfaces") or () if isinstance(each, dict) and "name" in each]
    controllers = {port: each["name"] for each in listed for port in ports_of(each)}
    kinds = {each["name"]: each.get("type") for each in listed if each.get("type") != "ovs-interface"}
    for each in listed:
        name, kind = each["name"], each.get("type", "ethernet")
        path = f"{name} ({kind})" if kind == "ovs-interface" and name in kinds else name
        for inner, value in _plain(each, controllers.get(name)).items():
            yield from _flat(f"{path}{_WITHIN}{inner}", value)
    for mapping in (state.get("ovn") or {}).get("bridge-mappings") or ():
        rest = {"state": "present"} | {key: value for key, value in mapping.items() if key != "localnet"}
        for inner, value in rest.items():
            yield f"localnet {mapping.get('localnet')}{_WITHIN}{inner}", value
    for key in sorted(state.keys() - _TOP):
        yield key, state[key]


def _plain(interface: Mapping[str, Any], controller: str | None) -> dict[str, Any]:
    """Return what an interface's declaration says, without what nmstate takes for granted."""
    kind = interface.get("type", "ethernet")
    plain = {"state": "up"} | {key: value for key, value in interface.items() if key != "name"}
    if kind == "ethernet":
        plain.pop("type", None)
    if plain.get("controller") == controller:
        plain.pop("controller", None)
    if kind == "ovs-bridge":
        plain.pop("mtu", None)
    for family in _FAMILIES:
        if isinstance(said := plain.get(family), dict) and not said.get("enabled", True):
            # Without IP there is neither DHCP nor an address, and no port and no OVS bridge has any.
            plain[family] = {"enabled": False}
            if controller is not None or kind == "ovs-bridge":
                del plain[family]
    for section in ("bridge", "link-aggregation"):
        if isinstance(said := plain.get(section), dict):
            plain[section] = _sectioned(said)
    return plain


def _sectioned(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a bridge's or bond's section with its ports by name."""
    section = {key: value for key, value in said.items() if key not in PORTS}
    if isinstance(stp := (section.get("options") or {}).get("stp"), dict) and stp.keys() == {"enabled"}:
        section["options"] = section["options"] | {"stp": stp["enabled"]}
    for key in PORTS:
        for port in said.get(key) or ():
            rest = {name: value for name, value in port.items() if name != "name"} if isinstance(port, dict) else {}
            if isinstance(bond := rest.pop("link-aggregation", None) or rest.pop("bond", None), dict):
                rest["link-aggregation"] = _sectioned(bond)
            section[f"port {port['name'] if isinstance(port, dict) else port}"] = rest or "there"
    return section


def _flat(path: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{path}.{key}", inner)
    else:
        yield path, _sorted(value) if isinstance(value, list | tuple) else value


def _sorted(listed: Iterable[object]) -> list[object]:
    return sorted(listed, key=str)
