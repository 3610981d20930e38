"""The names and keys of the stand-ins' books, which are those of whereabouts, and who is made under which fault."""

from __future__ import annotations

import pytest

from mignet.lab.operators import faults
from mignet.lab.operators.network.pools import pool_name, reservation_name
from mignet.lab.operators.templates import annotated, fingerprint

NODES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("network", "network_name", "name"),
    [
        ("10.200.5.0/24", "", "10.200.5.0-24"),
        ("10.200.5.0/24", "migration", "migration-10.200.5.0-24"),
        ("fd00:5::/64", "", "fd00-5---64"),
    ],
)
def test_a_pool_is_named_after_its_range_and_network_name(network: str, network_name: str, name: str) -> None:
    assert pool_name(network, network_name) == name


@pytest.mark.parametrize(
    ("address", "network_name", "name"),
    [("10.200.5.10", "", "10.200.5.10"), ("fd00::a", "m", "m-fd00--a"), ("fd00::", "", "fd00--0")],
)
def test_a_reservation_is_named_after_its_address(address: str, network_name: str, name: str) -> None:
    assert reservation_name(address, network_name) == name


def test_a_fault_of_one_virt_handler_is_that_of_the_last_node_unless_it_is_about_another() -> None:
    def shapes(**on: str) -> list[str]:
        renamed = {name.replace("_", "-"): about for name, about in on.items()}
        return [faults.shape(renamed, "virt-handler", node, NODES) for node in NODES]

    assert shapes(handler_mtu="") == ["", "", "handler-mtu"]
    assert shapes(handler_mtu="a", handler_held="") == ["handler-mtu", "", "handler-held"]
    assert shapes(operator_asleep="") == ["", "", ""]


def test_a_fault_of_the_control_plane_is_one_of_the_sync_controller_only() -> None:
    on = {"control-plane-without-nic": ""}
    assert faults.shape(on, "virt-synchronization-controller", "x", ["x"]) == "control-plane-without-nic"
    assert faults.shape(on, "virt-handler", "c", NODES) == ""


def test_a_template_is_another_one_when_it_asks_for_another_network() -> None:
    bare = {"metadata": {"annotations": {"kept": "yes"}}, "spec": {}}
    one, two = annotated(bare, "one"), annotated(bare, "two")
    assert one["metadata"]["annotations"] == {"kept": "yes", "k8s.v1.cni.cncf.io/networks": "one@migration0"}
    assert len({fingerprint(each) for each in (bare, one, two)}) == 3
    assert annotated(one, None) == bare
