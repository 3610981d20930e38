"""The stand-ins for the operators: what they leave on a real API server, in order and in trouble."""

from __future__ import annotations

from operated import HCO, KUBEVIRT, Operated, until

NETWORK = "my-secondary-network"


def test_every_pod_gets_an_address_of_its_clusters_slice(operated: Operated) -> None:
    operated.up()
    for cluster, first in ((operated.dev, 10), (operated.peer, 61)):
        found = cluster.migration0() | cluster.migration0("virt-synchronization-controller")
        addresses = sorted(address for each in found.values() if each for address in each["ips"])
        assert addresses == [f"10.200.5.{first + n}" for n in range(5)]
        assert {each["mtu"] for each in found.values() if each} == {9000}


def test_the_settings_of_the_hyperconverged_are_those_of_the_kubevirt(operated: Operated) -> None:
    operated.up("dev")
    wanted = operated.dev.get(HCO)["spec"]["liveMigrationConfig"]
    assert operated.dev.get(KUBEVIRT)["spec"]["configuration"]["migrations"] == wanted


def test_a_network_that_is_taken_away_sends_the_pods_back_to_the_pod_network(operated: Operated) -> None:
    operated.up("dev")
    operated.dev.use(None)
    until(lambda: operated.dev.settled(None))
    assert set(operated.dev.migration0().values()) == {None}
