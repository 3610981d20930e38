"""The localnets of a cluster's nodes: as nmstate reports them, or as policies declare them where it does not."""

from __future__ import annotations

from typing import Any

from mignet.kube.network.localnets import Mapped, localnets
from mignet.kube.network.node_network import Node


def node(name: str, mappings: dict[str, str] | None = None, *, schedulable: bool = True, **labels: str) -> Node:
    state: dict[str, Any] = {
        "interfaces": [
            {"name": "br-ex", "type": "ovs-interface", "controller": "br-ex"},
            {"name": "br-ex", "type": "ovs-bridge", "bridge": {"port": [{"name": "eth0"}, {"name": "br-ex"}]}},
            {"name": "eth0", "type": "ethernet"},
            {"name": "br-mig", "type": "ovs-bridge", "bridge": {"port": [{"name": "eth1"}]}},
            {"name": "eth1", "type": "ethernet"},
        ],
        "routes": {"running": [{"destination": "0.0.0.0/0", "next-hop-interface": "br-ex"}]},
    }
    if mappings is not None:
        listed = [{"localnet": localnet, "bridge": bridge} for localnet, bridge in mappings.items()]
        state["ovn"] = {"bridge-mappings": listed}
    carried = labels | ({"kubevirt.io/schedulable": "true"} if schedulable else {})
    return Node.read({"metadata": {"name": name, "labels": carried}}, {"status": {"currentState": state}})


def policy(localnet: str, bridge: str, state: str = "present", **selector: str) -> dict[str, Any]:
    mapping = {"localnet": localnet, "bridge": bridge, "state": state}
    spec = {"nodeSelector": selector, "desiredState": {"ovn": {"bridge-mappings": [mapping]}}}
    return {"metadata": {"name": "p"}, "spec": spec}


def test_a_localnet_says_its_bridges_who_lacks_it_and_what_it_shares() -> None:
    nodes = [node("a", {"physnet": "br-ex", "mig": "br-mig"}), node("b", {"physnet": "br-ex"})]
    nodes.append(node("master", {}, schedulable=False))
    assert localnets(nodes) == [
        Mapped("mig", ("br-mig",), missing=("b",)),
        Mapped("physnet", ("br-ex",), shared=True),
    ]
    assert [str(each) for each in localnets(nodes)] == [
        "localnet by br-mig; against: is missing on b",
        "localnet by br-ex, which carries the default route: migrations share its NIC",
    ]


def test_policies_count_where_the_nodes_report_no_mapping() -> None:
    nodes = [node("a", zone="x"), node("b", zone="y")]
    assert localnets(nodes) == []
    assert localnets(nodes, [policy("mig", "br-mig")]) == [Mapped("mig", ("br-mig",))]
    assert localnets(nodes, [policy("mig", "br-mig", zone="x")]) == [Mapped("mig", ("br-mig",), missing=("b",))]
    assert localnets(nodes, [policy("mig", "br-mig", "absent")]) == []
    # What a node reports is what counts there.
    assert localnets([node("a", {"physnet": "br-ex"})], [policy("mig", "br-mig")]) == [
        Mapped("physnet", ("br-ex",), shared=True)
    ]
