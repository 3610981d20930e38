"""What mignet renders, attached by the real plugins to nodes of two clusters: every handler reaches every other.

Real: the attachments, the plugins macvlan and bridge, the kernel. `host-local`, restricted to the slice, stands in for
whereabouts; a fabric of its own for the VLAN; a plain bridge for the switch.
"""

import itertools
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest
from wired import SYNC, Handler, Wired, carried, cut_off, reaches

Configs = dict[str, dict[str, Any]]


@pytest.fixture(scope="module", params=["macvlan", "bridge"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def fleet(kind: str, rendered: Callable[[str], Configs], wire: Callable[[Configs], Wired]) -> Wired:
    return wire(rendered(kind))


def pairs(fleet: Wired) -> list[tuple[Handler, Handler]]:
    """Return every handler of one cluster with every one of the other, both ways."""
    found = list(itertools.product(*fleet.handlers.values()))
    return found + [(target, source) for source, target in found]


@pytest.mark.parametrize("port", [SYNC, 0], ids=["9185", "high"])
def test_every_handler_reaches_every_handler_of_the_other_cluster(fleet: Wired, port: int) -> None:
    broken = [(source.name, target.name) for source, target in pairs(fleet) if not reaches(source, target, port)]
    assert broken == []
    assert len(pairs(fleet)) == 8


def test_the_path_carries_the_declared_mtu_in_one_piece_and_not_a_byte_more(fleet: Wired) -> None:
    for source, target in pairs(fleet):
        assert source.mtu == 9000
        assert carried(source, target, 9000) == [9000]
        with pytest.raises(OSError, match="Message too long"):
            carried(source, target, 9001)


def test_a_link_that_is_too_small_loses_packets_of_the_declared_mtu_and_no_others(fleet: Wired) -> None:
    behind, beside = fleet.handlers["dev-peer"]
    with fleet.disturbed(behind.node, mtu=1500):
        for handler in fleet.handlers["dev"]:
            assert carried(handler, behind, 1500, 1501, 9000) == [1500]
            assert carried(behind, handler, 1500, 1501, 9000) == [1500]
            assert carried(handler, beside, 1500, 9000) == [1500, 9000]


def test_every_address_is_of_the_slice_of_its_cluster_and_nobody_elses(
    fleet: Wired, kind: str, rendered: Callable[[str], Configs]
) -> None:
    seen = set()
    for name, handlers in fleet.handlers.items():
        ipam = rendered(kind)[name]["ipam"]
        for handler in handlers:
            first, last = ip_address(ipam["range_start"]), ip_address(ipam["range_end"])
            assert first <= ip_address(handler.address) <= last
            seen.add(handler.address)
    assert len(seen) == 4


def test_a_node_on_another_vlan_reaches_nobody(fleet: Wired) -> None:
    (neighbour, alone), (other, _) = fleet.handlers["dev"], fleet.handlers["dev-peer"]
    with fleet.disturbed(alone.node, vlan="another"):
        assert cut_off(alone, other, 0)
        assert reaches(neighbour, other, 0)


def test_a_node_without_its_cable_reaches_nobody(fleet: Wired) -> None:
    (neighbour, alone), (other, _) = fleet.handlers["dev"], fleet.handlers["dev-peer"]
    with fleet.disturbed(alone.node, plugged=False):
        assert cut_off(alone, other, 0)
        assert reaches(neighbour, other, 0)


def test_a_blocked_port_keeps_new_connections_out_and_lets_all_else_pass(fleet: Wired) -> None:
    source, target = fleet.handlers["dev"][0], fleet.handlers["dev-peer"][1]
    with fleet.disturbed(target.node, blocked=((SYNC, SYNC, 0),)):
        assert cut_off(source, target, SYNC)
        assert cut_off(target, source, SYNC)
        assert reaches(source, target, 0)
        assert carried(source, target, 9000) == [9000]


def test_blocked_high_ports_leave_the_sync_controllers_port_open(fleet: Wired) -> None:
    source, target = fleet.handlers["dev"][0], fleet.handlers["dev-peer"][1]
    with fleet.disturbed(target.node, blocked=((1024, 65535, SYNC),)):
        assert reaches(source, target, SYNC)
        assert cut_off(source, target, 0)
