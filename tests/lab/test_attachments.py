"""Every way to attach and to give addresses, brought up on the lab: each look at the cluster works for it."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any, get_args

import pytest
from operated import Operated, interface, migrated, phase, until

from config.attachment import AnyAttachment
from config.attachment.ipam import Ipam

NAME = "my-secondary-network"
MACVLAN = {"type": "macvlan", "name": NAME, "master": "eth1"}
BRIDGE = {"name": NAME, "bridge": "br-mig", "vlan": 2001, "preserveDefaultVlan": False}
LOCALNET = {"type": "localnet", "name": NAME, "physicalNetworkName": "mig"}
LINUX_UPLINK = {"bridge": {"name": "br-mig", "port": "eth1"}}
USER_NETWORK = {"type": "clusterUserDefinedNetwork", "name": "mig", "physicalNetworkName": "mig"}
OVS_UPLINK = {"ovsBridge": {"name": "br-phy", "port": "eth1"}, "localnet": {"localnet": "mig"}}
TWO = {"subnet": ["10.200.5.0/24", "fd00:200:5::/64"], "vlan": 2001, "mtu": 9000}

SETUPS: dict[str, dict[str, Any]] = {
    "macvlan": {"attachment": MACVLAN},
    "whereabouts by exclusion": {"attachment": MACVLAN | {"ipam": {"type": "whereabouts", "split": "exclude"}}},
    "whereabouts of two families": {
        "attachment": MACVLAN | {"ipam": {"type": "whereabouts", "networkName": "mig"}},
        "segment": TWO,
    },
    "dhcp": {"attachment": MACVLAN | {"ipam": {"type": "dhcp"}}, "slice": None},
    "static": {
        "attachment": MACVLAN | {"ipam": {"type": "static", "addresses": [{"address": "10.200.5.7/24"}]}},
        "slice": None,
    },
    "host-local": {"attachment": MACVLAN | {"ipam": {"type": "host-local"}}},
    "ipvlan": {"attachment": {"type": "ipvlan", "name": NAME, "master": "eth1"}},
    "bridge": {"attachment": {"type": "bridge"} | BRIDGE, "uplink": LINUX_UPLINK},
    "cnv-bridge": {"attachment": {"type": "cnv-bridge"} | BRIDGE, "uplink": LINUX_UPLINK},
    "localnet": {"attachment": LOCALNET, "uplink": OVS_UPLINK},
    "localnet in a part of a /16": {
        "attachment": LOCALNET,
        "uplink": OVS_UPLINK | {"nodeSelector": {"kubernetes.io/os": "linux"}},
        "segment": {"subnet": "10.250.0.0/16", "vlan": 100, "mtu": 9000},
    },
    "localnet of two families": {"attachment": LOCALNET, "uplink": OVS_UPLINK, "segment": TWO},
    "user-defined network of two families": {"attachment": USER_NETWORK, "uplink": OVS_UPLINK, "segment": TWO},
}

GIVEN_TWICE = {"static", "host-local"}
"""Every node gives the same addresses there, which `check` warns of; verify sees it come true."""


def test_every_type_of_attachment_and_of_ipam_is_one_of_them() -> None:
    def types(union: Any) -> set[str]:
        return {
            kind for model in get_args(get_args(union)[0]) for kind in get_args(model.model_fields["type"].annotation)
        }

    attachments = [setup["attachment"] for setup in SETUPS.values()]
    assert {each["type"] for each in attachments} == types(AnyAttachment)
    assert {each.get("ipam", {"type": "whereabouts"})["type"] for each in attachments} == types(Ipam)


def declare(operated: Operated, setup: dict[str, Any]) -> None:
    """Give both stacks the same set-up, each with a slice and a fixed address of its own."""
    for stack, first, last in (("dev", 10, 60), ("dev-peer", 61, 110)):
        mine = json.loads(json.dumps(setup).replace("10.200.5.7/", f"10.200.5.{first}/"))
        nets = {"10.200.5.0/24": "10.200.5.", "fd00:200:5::/64": "fd00:200:5::", "10.250.0.0/16": "10.250.10."}
        if "segment" in mine:
            mine["slice"] = [
                {"rangeStart": f"{net}{first}", "rangeEnd": f"{net}{last}"}
                for subnet, net in nets.items()
                if subnet in mine["segment"]["subnet"]
            ]
        operated.change(stack, **mine, waivers={"ipam-not-cluster-wide": "one node each, in this test"})


@pytest.mark.parametrize("name", SETUPS)
def test_verify_drift_peers_and_report_work_for_each(operated: Operated, name: str) -> None:
    declare(operated, SETUPS[name])
    operated.up()

    pods = [*operated.dev.pods(), *operated.dev.pods("virt-synchronization-controller")]
    verified = operated.run("verify", "--all", "-o", "json")
    drift = operated.run("drift", "--all", "-o", "json", "--engine", "direct")
    peers = operated.run("peers", "-o", "json")
    report = operated.run("report", "--all", "-o", "markdown")

    given = [tuple((interface(pod) or {})["ips"]) for pod in pods]
    assert len(set(given)) == len(pods) or name in GIVEN_TWICE, given
    codes = {each["code"] for each in verified.findings}
    assert codes == ({"address-duplicate"} if name in GIVEN_TWICE else set()), verified.out + verified.err
    assert ("Use ipam type whereabouts: " in verified.out) is (name in GIVEN_TWICE)
    assert (drift.code, peers.code, report.code) == (0, 0, 0), drift.out + peers.out + report.out + report.err
    assert [each.document["kind"] for each in (verified, drift, peers)] == ["CheckResult", "DriftResult", "PeersResult"]
    for outcome in (verified, drift, peers, report):
        assert "not judged" not in outcome.out + outcome.err


def test_with_ipv6_first_migrations_use_ipv4_all_the_same(operated: Operated) -> None:
    declare(operated, {"attachment": MACVLAN, "segment": TWO | {"subnet": TWO["subnet"][::-1]}})
    operated.up()
    warned = operated.run("check", "dev")
    path = migrated(operated.dev)
    until(lambda: phase(operated.dev, path) == "Succeeded")
    state = operated.dev.get(path)["status"]["migrationState"]
    given = {pod["spec"]["nodeName"]: (interface(pod) or {})["ips"] for pod in operated.dev.pods()}

    assert (warned.code, "migrations use IPv4" in warned.out) == (0, True), warned.out
    assert [ip_address(each).version for each in given[state["targetNode"]]] == [6, 4]
    assert ip_address(state["targetNodeAddress"]) in ip_network("10.200.5.0/24")
    assert operated.run("peers").code == 0
    assert operated.run("verify", "dev", "--no-peers").code == 0
