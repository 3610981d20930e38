"""The uplink that policies on the cluster declare already, as the section of a stack file, and what goes with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, cast

from pydantic import TypeAdapter

from config.attachment import AnyAttachment
from config.attachment.tags import attachment_tags
from config.finding import ConfigError, Finding, few
from config.uplink import NodeGroup
from mignet.kube.kinds import NODE_POLICY
from mignet.kube.network.uplink_reading import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from config.segment import Segment
    from mignet.kube.kinds import Object
    from mignet.kube.network.uplink_reading import Reading

FLAG = "--uplink-from"


@dataclass(frozen=True, slots=True)
class ReadUplink:
    """What the policies say, and a line for each thing of theirs that a stack file cannot say."""

    policies: tuple[str, ...]
    uplink: Mapping[str, Any]
    attachment: Mapping[str, Any]
    """The attachment that uses it, where none is kept."""
    lines: tuple[str, ...]


def read_uplinks(
    names: Sequence[str],
    policies: Iterable[Object],
    segment: Segment,
    *,
    end: str | None,
    name: str,
    kept: Mapping[str, Any] | None = None,
) -> ReadUplink:
    """Read policies by their names. Raises ConfigError where one is not there, or is nothing that a stack can say.

    `end` is the interface or localnet that the user names, `name` that of a new attachment, `kept` one that is there
    and stays.
    """
    there = {policy["metadata"]["name"]: policy for policy in policies}
    for each in names:
        if each not in there:
            _mistake(
                each, f"is no {NODE_POLICY.kind} of the cluster", f"Policies there: {few(sorted(there)) or 'none'}"
            )
    ends = end or (None if kept is None else _end(kept))
    first = read(there[names[0]], segment, end=ends)
    attachment = dict(kept) if kept is not None else _attachment(_group(names[0], first), segment, end, name)
    tags = attachment_tags(_AS_MODEL.validate_python(attachment), segment)
    readings = {each: read(there[each], segment, end=ends or _end(attachment), tags=tags) for each in names}
    for each, reading in readings.items():
        _group(each, reading)
    if len(readings) == 1:
        uplink = next(iter(readings.values())).group
    else:
        uplink = {"nodeGroups": [{"name": _label(each)} | reading.group for each, reading in readings.items()]}
    lines = tuple(line for each, reading in readings.items() for line in _lines(each, reading))
    return ReadUplink(tuple(names), uplink, attachment, lines)


_AS_MODEL: TypeAdapter[AnyAttachment] = TypeAdapter(AnyAttachment)


def _group(policy: str, reading: Reading) -> NodeGroup:
    """Return what was read as a model. Raises ConfigError, with each mistake that a stack file may not have."""
    if reading.refused:
        raise ConfigError(
            [replace(each, stack="mignet", key=f"{FLAG} {policy}: {each.key}") for each in reading.refused]
        )
    group = NodeGroup.model_validate(reading.group, strict=False)
    if not group.has_layers:
        what = f", only {few(reading.lost)}" if reading.lost else ""
        _mistake(policy, f"makes no bond, VLAN, bridge or bridge mapping{what}", "Attach to it as it is, with --master")
    return group


def _attachment(group: NodeGroup, segment: Segment, end: str | None, name: str) -> dict[str, Any]:
    """Return an attachment that uses what was read."""
    localnets = [each.localnet for each in group.mappings]
    if end in localnets or (localnets and end is None):
        return {"type": "localnet", "name": name, "physicalNetworkName": end or localnets[0]}
    if group.bridge is not None:
        tag = {} if group.vlan or not segment.vlan else {"vlan": segment.vlan, "preserveDefaultVlan": False}
        return {"type": "bridge", "name": name, "bridge": group.bridge.name} | tag
    if group.ovs_bridge is not None:
        rule = f"makes the Open vSwitch bridge {group.ovs_bridge.name}, and maps no localnet to it"
        _mistake(
            group.ovs_bridge.name, rule, "Add the mapping to the policy, as ovn.bridge-mappings, and run init again"
        )
    return {"type": "macvlan", "name": name, "master": str(group.top(segment)), "mode": "bridge"}


def _end(attachment: Mapping[str, Any]) -> str | None:
    if attachment.get("type") == "localnet":
        named = attachment.get("physicalNetworkName") or attachment.get("cniName") or attachment["name"]
        return cast("str", named)
    return attachment.get("master") or attachment.get("bridge")


def _label(policy: str) -> str:
    """Return a policy's name as that of a group, which is a DNS label."""
    return re.sub(r"[^a-z0-9-]+", "-", policy)[:40].strip("-")


def _lines(policy: str, reading: Reading) -> Iterator[str]:
    for path in reading.lost:
        yield f"policy {policy}: not in the stack file: {path}"
    for path in reading.added:
        yield f"policy {policy}: says nothing of it, and the stack does: {path}"


def _mistake(value: str, rule: str, remedy: str) -> NoReturn:
    raise ConfigError([Finding(f"{FLAG} {value}", None, rule, remedy, code="usage", stack="mignet")])
