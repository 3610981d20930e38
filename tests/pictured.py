"""Fleets as plain objects, for reports: sound clusters, and some that one thing is wrong with. No cluster, no lab."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import healthy
import yaml

from config.addressing import AddressRange
from config.project_files import Project
from config.stack import Stack
from mignet import looks, preflight
from mignet.cluster import ClusterError
from mignet.lab.operators.authorities import issue
from mignet.peers import side
from mignet.preflight import nodes
from mignet.preflight.seen import Seen
from mignet.report import Report, assemble, files_of
from mignet.report.sighting import Sighting
from mignet.snapshot import Snapshot, judge
from mignet.verify import PROOF, Verdict
from mignet.verify.declared import declared
from mignet.verify.pools import pool_name
from mignet.verify.sight import Sight

Object = dict[str, Any]
NODES = 3
GATE = "DecentralizedLiveMigration"


def fleet(
    folder: Path,
    names: Mapping[str, str],
    *,
    subnet: str = "10.200.5.0/24",
    each: int = 32,
    asked: bool = True,
    nodes_of: Callable[[str], int] = lambda _: NODES,
    own: Mapping[str, Any] | None = None,
    without: tuple[str, ...] = (),
    checkup: Path | None = None,
    hours: float = 24,
) -> Report:
    """Return the report of these clusters: each name with what is wrong with it, or nothing (an empty text)."""
    folder.mkdir(parents=True, exist_ok=True)
    gateway = str(ip_address(subnet.partition("/")[0]) + 1)
    segment = {"subnet": subnet, "vlan": 2001, "mtu": 9000, "gateway": gateway}
    project = {"name": "migration-network", "runtime": "python"}
    project |= {"config": {"segment": {"type": "object", "default": segment}}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (folder / "__main__.py").touch()
    for number, name in enumerate(names):
        first = ip_address(subnet.partition("/")[0]) + 16 + number * each
        values: dict[str, Any] = {
            "cluster": {"context": name, "nodes": nodes_of(name)},
            "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
            "slice": {"rangeStart": str(first), "rangeEnd": str(first + each - 1)},
            "uplink": {
                "bond": {"name": "bond1", "ports": ["ens1f0", "ens1f1"], "mode": "802.3ad"},
                "vlan": {"name": "mig0"},
            },
        }
        config = {
            f"migration-network:{key}": value for key, value in (values | dict(own or {})).items() if key not in without
        }
        (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}))
    read = Project.find(folder)
    files, stacks = files_of(read, list(names))
    sightings = (
        [sighting(stack, names[stack.name], nodes_of(stack.name)) for stack in stacks]
        if asked
        else [Sighting(stack, side=side.Side(stack)) for stack in stacks]
    )
    return assemble(read, list(names), files, sightings, asked=asked, checkup=checkup, hours=hours)


def sighting(stack: Stack, ailment: str, count: int) -> Sighting:
    """Return what is seen of a cluster with one thing wrong."""
    if ailment == "unreachable":
        error = ClusterError("unreachable", f"context {stack.cluster.context} is unreachable: no answer in 10 s")
        return Sighting(stack, side=side.Side(stack, error), findings=(looks.trouble(stack, error),))
    objects = world(stack, count)
    AILMENTS[ailment](stack, objects)
    seen = Seen(stack, _answered(preflight.reads(stack), objects))
    sight = Sight(healthy.snapshot(stack, objects), tuple(_declared(stack)))
    judged = judge((declared,), sight)
    rolled_out = not judged.findings
    judged = judge(PROOF, sight) if rolled_out else judged
    verdict = Verdict(judged, sight, rolled_out=rolled_out)
    own = judge(nodes.RULES, seen).findings
    snapshot = Snapshot(stack, _answered(side.reads(stack), objects))
    return Sighting(stack, seen, verdict, side=side.Side(stack, snapshot), findings=(*own, *judged.findings))


def world(stack: Stack, count: int) -> list[Object]:
    """Return the objects of a cluster whose network is rolled out over a VLAN on a bond."""
    objects = healthy.cluster(stack, nodes=count)
    kubevirt = healthy.find(objects, "KubeVirt")
    kubevirt["spec"]["configuration"]["developerConfiguration"] = {"featureGates": [GATE]}
    kubevirt["status"] |= {
        "observedKubeVirtVersion": "v1.8.4",
        "synchronizationAddresses": [f"{stack.span.first + count}:9185"],
    }
    objects.append(_node("control-0", {"node-role.kubernetes.io/control-plane": ""}))
    objects += [_state(name) for name in (*(f"node-{number}" for number in range(count)), "control-0")]
    bundle = {"name": "kubevirt-ca", "namespace": healthy.NAMESPACE}
    objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": bundle, "data": {"ca-bundle": _bundle()}})
    return objects


@cache
def _bundle() -> str:
    return issue() + issue()


def _node(name: str, labels: Mapping[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": dict(labels)}}


def _state(name: str) -> Object:
    interfaces: list[Object] = [
        {"name": "br-ex", "type": "ovs-interface", "state": "up", "mtu": 1500},
        {"name": "ens3", "type": "ethernet", "state": "up", "mtu": 1500},
        {"name": "ens1f0", "type": "ethernet", "state": "up", "mtu": 9000, "controller": "bond1"},
        {"name": "ens1f1", "type": "ethernet", "state": "up", "mtu": 9000, "controller": "bond1"},
        {
            "name": "bond1",
            "type": "bond",
            "state": "up",
            "mtu": 9000,
            "link-aggregation": {"mode": "802.3ad", "port": ["ens1f0", "ens1f1"]},
        },
        {"name": "mig0", "type": "vlan", "state": "up", "mtu": 9000, "vlan": {"id": 2001, "base-iface": "bond1"}},
    ]
    routes = {"running": [{"destination": "0.0.0.0/0", "next-hop-interface": "br-ex"}]}
    return {
        "apiVersion": "nmstate.io/v1beta1",
        "kind": "NodeNetworkState",
        "metadata": {"name": name},
        "status": {"currentState": {"interfaces": interfaces, "routes": routes}},
    }


def _declared(stack: Stack) -> list[Object]:
    metadata = {"name": stack.network, "namespace": stack.cluster.namespace}
    kind = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
    return [kind | {"metadata": metadata, "spec": {"config": stack.cni_json}}]


def _answered(reads: Any, objects: list[Object]) -> dict[Any, tuple[Object, ...]]:
    return {read: tuple(each for each in objects if healthy.answers(read, each)) for read in reads}


# --- ailments


def _cable(_stack: Stack, objects: list[Object]) -> None:
    for each in healthy.find(objects, "NodeNetworkState", "node-1")["status"]["currentState"]["interfaces"]:
        if each["name"] == "ens1f1":
            each["state"] = "down"


def _nic(_stack: Stack, objects: list[Object]) -> None:
    state = healthy.find(objects, "NodeNetworkState", "node-2")["status"]["currentState"]
    state["interfaces"] = [each for each in state["interfaces"] if each["name"] != "ens1f0"]


def _attachment(_stack: Stack, objects: list[Object]) -> None:
    objects.remove(healthy.find(objects, "NetworkAttachmentDefinition"))


def _pod_network(_stack: Stack, objects: list[Object]) -> None:
    healthy.link(healthy.find(objects, "Pod", "virt-handler-1"), None)


def _full(stack: Stack, objects: list[Object]) -> None:
    pool = healthy.find(objects, "IPPool", pool_name(stack.segment.subnet, None))
    base = int(stack.segment.subnet.network_address)
    for address in range(int(stack.span.first), int(stack.span.last) + 1):
        pool["spec"]["allocations"].setdefault(str(address - base), {"id": "x", "podref": "openshift-cnv/gone"})


def _gate(_stack: Stack, objects: list[Object]) -> None:
    healthy.find(objects, "KubeVirt")["spec"]["configuration"]["developerConfiguration"]["featureGates"] = []


def _version(_stack: Stack, objects: list[Object]) -> None:
    healthy.find(objects, "KubeVirt")["status"]["observedKubeVirtVersion"] = "v1.7.2"


AILMENTS: dict[str, Callable[[Stack, list[Object]], None]] = {
    "": lambda _stack, _objects: None,
    "cable": _cable,
    "nic": _nic,
    "attachment": _attachment,
    "pod-network": _pod_network,
    "full": _full,
    "gate": _gate,
    "version": _version,
}


def three(folder: Path, **more: Any) -> Report:
    """Return a small fleet of which one node is not on the network."""
    return fleet(folder, {"prod-berlin": "", "prod-madrid": "pod-network", "prod-oslo": ""}, each=64, **more)


def measured(folder: Path) -> Report:
    """Return the small fleet with a checkup that found one way broken."""
    seen = three(folder)
    broken = {("prod-berlin/node-1", "prod-oslo/node-0"): "no answer"}
    return three(folder, checkup=checkup(seen, folder / "checkup.json", broken=broken))


def many(folder: Path, count: int = 300) -> Report:
    """Return a large fleet in which every tenth cluster or so has something wrong."""
    ailing = ["gate", "unreachable", "cable", "nic", "pod-network", "full", "version", "attachment"]
    names = {f"site-{number:03}": "" for number in range(count)}
    for number in range(0, count, 11):
        names[f"site-{number:03}"] = ailing[number // 11 % len(ailing)]
    return fleet(folder, names, subnet="10.200.0.0/16", each=64, nodes_of=lambda name: 3 + int(name[-1]) % 3)


def checkup(
    report: Report,
    path: Path,
    *,
    broken: Mapping[tuple[str, str], str],
    problems: Mapping[str, str] | None = None,
    begun: datetime | None = None,
) -> Path:
    """Write a result as mignet checkup keeps it: every node of one cluster to every node of the others.

    `problems` are codes by `stack/node`; it has just `begun` unless that is given.
    """
    ends = [
        (row.stack, node) for row in report.paths for lane in row.lanes for node in lane.nodes if node[:4] == "node"
    ]
    pairs = [
        {
            "source": {"stack": source[0], "node": source[1]},
            "target": {"stack": target[0], "node": target[1]},
            "ok": ("/".join(source), "/".join(target)) not in broken,
            "reason": broken.get(("/".join(source), "/".join(target))),
            "rttMs": 0.21 + 0.01 * index,
            "pathMtu": 9000,
            "throughput": None,
        }
        for index, (source, target) in enumerate((a, b) for a in ends for b in ends if a[0] != b[0])
    ]
    coverage = {"possible": len(ends) * (len(ends) - 1), "planned": len(pairs), "measured": len(pairs), "share": 0.7}
    content = {
        "run": "r1",
        "seed": 1,
        "begun": f"{begun or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "ended": f"{begun or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "mtu": {},
        "ports": [9185],
        "clusters": [
            {
                "stack": stack,
                "nodes": [
                    {"name": node, "problem": (problems or {}).get(f"{stack}/{node}")}
                    for on, node in ends
                    if on == stack
                ],
            }
            for stack in sorted({stack for stack, _ in ends})
        ],
        "pairs": pairs,
        "coverage": coverage,
        "findings": [],
        "leftOut": [],
    }
    path.write_text(json.dumps(content))
    return path


def span(first: str, size: int) -> AddressRange:
    """Return so many addresses."""
    return AddressRange(ip_address(first), ip_address(first) + (size - 1))
