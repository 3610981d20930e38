"""How a new stack reaches the segment: the attachment and the uplink that flags ask for, or that the nodes suggest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn

from config.attachment.localnet import Localnet
from config.finding import ConfigError, Finding, few
from config.types.model import parse
from config.uplink import Bond
from mignet.kube.network.nic_choice import Nic

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from config.segment import Segment
    from mignet.kube.network.localnets import Mapped

BOND = "bond-mig"
"""The name of a bond that init makes."""
LONGEST = 15
"""Characters of an interface's name, in the kernel."""


@dataclass(frozen=True, slots=True)
class Links:
    """What the user says of it: a NIC that is there, a VLAN on it, a bond of NICs, or a localnet of OVN."""

    master: str | None = None
    vlan: int | None = None
    bond: Bond | None = None
    localnet: str | None = None
    policies: tuple[str, ...] = ()
    """Policies on the cluster that declare the uplink already."""

    @property
    def makes(self) -> bool:
        """Whether an uplink is to be made, on NICs that it sets up."""
        return self.localnet is None and (self.vlan is not None or self.bond is not None)

    def keeps(self, attachment: dict[str, Any], segment: Segment) -> bool:
        """Tell whether an attachment that is there, as a stack file says it, is what the user asks for."""
        if self.policies and (self.master, self.localnet) == (None, None):
            return True
        if attachment.get("type") not in {"localnet", "clusterUserDefinedNetwork"}:
            return not self.makes and self.localnet is None and self.master in {None, attachment.get("master")}
        there = attachment.get("physicalNetworkName") or attachment.get("cniName") or attachment["name"]
        return (
            (self.master, self.bond) == (None, None)
            and self.localnet in {None, there}
            and self.vlan in {None, attachment.get("vlanID", segment.vlan)}
        )


def read(
    *,
    master: str | None = None,
    vlan: str | None = None,
    bond: str | None = None,
    localnet: str | None = None,
    policies: Sequence[str] = (),
) -> Links:
    """Read the flags. Raises ConfigError, with the first mistake, also of two that exclude each other."""
    for flag, given in (("--vlan", vlan), ("--bond", bond)) if policies else ():
        if given is not None:
            rule = f"excludes {flag}: the policy says what is made"
            _mistake("--uplink-from", rule, "Give one of them", policies[0])
    if localnet is not None:
        for flag, given in (("--master", master), ("--bond", bond)):
            if given is not None:
                rule = f"excludes {flag}: OVN reaches it through a bridge of the nodes, not through a NIC of its own"
                _mistake("--localnet", rule, "Give one of them", localnet)
    if master is not None and bond is not None:
        _mistake("--bond", "excludes --master: the bond is the interface", "Give one of them", bond)
    return Links(master, _vlan(vlan, master), _bond(bond), _localnet(localnet), tuple(dict.fromkeys(policies)))


def _vlan(text: str | None, master: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 4094):
        _mistake("--vlan", "is no VLAN ID, which is a number from 1 to 4094", "Write it as --vlan 2001", text)
    if master is not None and master.endswith(f".{int(text)}"):
        rule = f"is put on by --master {master} already, as its name says"
        _mistake("--vlan", rule, "Leave --vlan out, or name the NIC below it", text)
    return int(text)


def _bond(text: str | None) -> Bond | None:
    if text is None:
        return None
    names, _, mode = text.partition(":")
    ports = names.split(",")
    if len(ports) < 2:
        _mistake("--bond", "is one NIC, and a bond is made of two or more", "Write it as --bond ens1f0,ens1f1", text)
    raw = {"name": BOND, "ports": ports, "mode": mode or "active-backup"}
    found = parse(Bond, raw, stack="mignet", key="--bond")
    if isinstance(found, Bond):
        return found
    raise ConfigError([replace(found[0], key="--bond", code="usage")])


def _localnet(text: str | None) -> str | None:
    if text is None:
        return None
    raw = {"type": "localnet", "name": "migration", "physicalNetworkName": text}
    found = parse(Localnet, raw, stack="mignet", key="attachment")
    if isinstance(found, tuple):
        raise ConfigError([replace(found[0], key="--localnet", code="usage")])
    return text


def against_segment(links: Links, segment: Segment) -> None:
    """Refuse a VLAN other than the segment's. Raises ConfigError."""
    if links.vlan is not None and segment.vlan not in {None, links.vlan}:
        rule = f"is not segment.vlan {segment.vlan} of Pulumi.yaml: this cluster would be alone on its VLAN"
        _mistake("--vlan", rule, "Correct one of the two", links.vlan)


def against_nodes(links: Links, nics: Sequence[Nic], localnets: Sequence[Mapped]) -> None:
    """Refuse what the nodes cannot do. Raises ConfigError."""
    if links.localnet is not None:
        mapped = next((each for each in localnets if each.name == links.localnet), None)
        known = few(each.name for each in localnets) or "none"
        if mapped is None:
            rule = "is the localnet of no bridge mapping on the nodes"
            _mistake("--localnet", rule, f"Localnets there: {known}", links.localnet)
        if mapped.missing:
            rule = f"has no bridge mapping on {few(mapped.missing)}"
            _mistake("--localnet", rule, "Map it on every node that runs virt-handler", links.localnet)
    judged = {each.name: each for each in nics}
    for port in links.bond.ports if links.bond else ():
        if port not in judged:
            _mistake("--bond", "is a NIC of no node", f"NICs there: {few(judged) or 'none'}", port)
        if judged[port].against:
            _mistake("--bond", "; ".join(judged[port].against), "Name NICs that nothing else uses", port)


def against_interfaces(sections: Mapping[str, Any], there: Collection[str]) -> None:
    """Refuse to make an interface under a name that one has on the nodes. Raises ConfigError."""
    uplink = sections.get("uplink", {})
    made = {"--bond": BOND if "bond" in uplink else None}
    made["--vlan"] = sections["attachment"].get("master") if "vlan" in uplink else None
    for flag, name in made.items():
        if name in there:
            rule = f"would make {name}, which is on nodes already, and may be in use"
            _mistake(flag, rule, f"Attach to it as it is, without {flag}: --master {name}")


def best_localnet(localnets: Iterable[Mapped]) -> Mapped | None:
    """Return the localnet that every node has, one apart from the default route first; None where several are equal."""
    whole = [each for each in localnets if not each.missing]
    apart = [each for each in whole if not each.shared]
    fit = apart or whole
    return fit[0] if len(fit) == 1 else None


def sections(links: Links, segment: Segment, chosen: Nic | Mapped | None, *, name: str) -> dict[str, Any]:
    """Return the sections `attachment` and `uplink` of a stack file. `chosen` counts where no flag names anything."""
    localnet = links.localnet or (chosen.name if chosen is not None and not isinstance(chosen, Nic) else None)
    own_vlan = {} if links.vlan in {None, segment.vlan} else {"id": links.vlan}
    if localnet is not None:
        attachment: dict[str, Any] = {"type": "localnet", "name": name, "physicalNetworkName": localnet}
        return {"attachment": attachment | ({"vlanID": links.vlan} if own_vlan else {})}
    master = links.master or (chosen.name if chosen is not None else None)
    uplink: dict[str, Any] = {}
    if links.bond is not None:
        uplink["bond"] = {"name": BOND, "ports": [*links.bond.ports], "mode": links.bond.mode}
        master = BOND
    if links.vlan is not None and master is not None:
        vlan: dict[str, Any] = {} if links.bond else {"baseInterface": master}
        usual = f"{master}.{links.vlan}"
        master = _vlan_name(master, links.vlan)
        vlan |= own_vlan | ({} if master == usual else {"name": master})
        uplink["vlan"] = vlan or {"id": links.vlan}
    found = {"attachment": {"type": "macvlan", "name": name, "master": master, "mode": "bridge"}}
    return found | ({"uplink": uplink} if uplink else {})


def _vlan_name(base: str, vlan: int) -> str:
    """Return the interface's name: the usual one, or a short one where the kernel does not take it."""
    name = f"{base}.{vlan}"
    return name if len(name.encode()) <= LONGEST else f"mig{vlan}"


def _mistake(key: str, rule: str, remedy: str, value: object = None) -> NoReturn:
    # As it was typed: a number in quotes would look like a text.
    given = key if value is None else f"{key} {value}"
    raise ConfigError([Finding(given, None, rule, remedy, code="usage", stack="mignet")])
