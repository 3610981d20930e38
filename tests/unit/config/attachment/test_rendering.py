"""What the models render: the CNI configuration of every attachment and IPAM, and the HyperConverged's spec."""

import ipaddress
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.attachment.localnet import OvnIpam
from config.loading import load_stack
from config.segment import Segment
from config.slice import Slice
from config.stack import Stack

SEGMENT = {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1", "reserved": ["10.200.5.250-10.200.5.254"]}
MACVLAN = {"type": "macvlan", "name": "migration", "master": "eth1"}


def stack(attachment: dict[str, Any], **sections: Any) -> Stack:
    values = {"segment": SEGMENT, "cluster": {"context": "dev"}, "attachment": attachment}
    return load_stack("dev", values | sections)


def test_a_slice_becomes_the_inclusive_range_of_whereabouts() -> None:
    ipam = stack(MACVLAN, slice={"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"}).cni_config["ipam"]
    assert ipam == {
        "type": "whereabouts",
        "range": "10.200.5.0/24",
        "range_start": "10.200.5.10",
        "range_end": "10.200.5.60",
    }


def test_without_a_slice_the_gateway_and_the_reserved_addresses_are_excluded() -> None:
    """whereabouts reserves neither by itself."""
    ipam = stack(MACVLAN).cni_config["ipam"]
    assert ipam["exclude"] == ["10.200.5.1/32", "10.200.5.250/31", "10.200.5.252/31", "10.200.5.254/32"]


def test_every_key_of_whereabouts_that_the_model_has_is_rendered_as_the_plugin_reads_it() -> None:
    ipam = {
        "type": "whereabouts",
        "exclude": ["10.200.5.32/28"],
        "networkName": "blue",
        "enableOverlappingRanges": False,
    }
    one = stack(MACVLAN | {"ipam": ipam}, slice={"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"})
    assert one.cni_config["ipam"] == {
        "type": "whereabouts",
        "range": "10.200.5.0/24",
        "range_start": "10.200.5.10",
        "range_end": "10.200.5.60",
        "exclude": ["10.200.5.32/28"],
        "network_name": "blue",
        "enable_overlapping_ranges": False,
    }
    assert one.capacity == 51 - 16


@pytest.mark.parametrize("kind", ["bridge", "cnv-bridge"])
def test_every_key_of_the_bridge_plugin_is_rendered_under_its_own_name(kind: str) -> None:
    bridge = {
        "type": kind,
        "name": "migration",
        "cniVersion": "1.0.0",
        "bridge": "br-mig",
        "isGateway": True,
        "isDefaultGateway": True,
        "forceAddress": True,
        "ipMasq": True,
        "ipMasqBackend": "nftables",
        "hairpinMode": False,
        "promiscMode": True,
        "vlan": 5,
        "preserveDefaultVlan": False,
        "vlanTrunk": [{"id": 6}, {"minID": 7, "maxID": 9}],
        "mtu": 1500,
        "enabledad": True,
        "macspoofchk": True,
        "portIsolation": True,
        "ipam": {"type": "dhcp", "daemonSocketPath": "/run/cni/dhcp.sock"},
    }
    assert stack(bridge).cni_config == bridge


def test_ipvlan_is_rendered_with_its_mode_written_out() -> None:
    ipam = {"type": "host-local"}
    one = stack({"type": "ipvlan", "name": "migration", "master": "eth1", "mtu": 1500, "ipam": ipam})
    config = one.cni_config
    assert config.pop("ipam")["type"] == "host-local"
    assert config == {
        "cniVersion": "0.3.1",
        "name": "migration",
        "type": "ipvlan",
        "master": "eth1",
        "mode": "l2",
        "mtu": 1500,
    }


LOCALNET = {"type": "localnet", "name": "migration"}


def test_localnet_is_rendered_as_ovn_kubernetes_reads_it() -> None:
    values = {"segment": SEGMENT | {"vlan": 2001, "mtu": 9000}, "cluster": {"context": "dev", "namespace": "kubevirt"}}
    attachment = LOCALNET | {"cniName": "migration-net", "physicalNetworkName": "physnet"}
    slice_ = {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"}
    one = load_stack("dev", values | {"attachment": attachment, "slice": slice_})
    assert one.cni_config == {
        "cniVersion": "0.3.1",
        "name": "migration-net",
        "type": "ovn-k8s-cni-overlay",
        "topology": "localnet",
        "netAttachDefName": "kubevirt/migration",
        "physicalNetworkName": "physnet",
        "vlanID": 2001,
        "mtu": 9000,
        "subnets": "10.200.5.0/24",
        "excludeSubnets": "10.200.5.0/29,10.200.5.8/31,10.200.5.61/32,10.200.5.62/31,10.200.5.64/26,10.200.5.128/25",
    }
    assert one.capacity == 51


def test_localnet_without_a_slice_spares_the_gateway_and_the_reserved_addresses() -> None:
    config = stack(LOCALNET | {"vlanID": 0}).cni_config
    assert config["excludeSubnets"] == "10.200.5.1/32,10.200.5.250/31,10.200.5.252/31,10.200.5.254/32"
    assert config["physicalNetworkName"] == "migration"
    assert "vlanID" not in config
    assert "mtu" not in config


@given(
    prefix=st.integers(23, 30),
    bounds=st.tuples(st.integers(0, 2**9), st.integers(0, 2**9)),
    reserved=st.lists(st.tuples(st.integers(0, 2**9), st.integers(0, 2**9)), max_size=3),
)
def test_localnet_hands_out_the_slice_and_nothing_that_is_kept_free(
    prefix: int, bounds: tuple[int, int], reserved: list[tuple[int, int]]
) -> None:
    subnet = ipaddress.ip_network(f"10.16.0.0/{prefix}")
    first, last = sorted(1 + bound % (subnet.num_addresses - 2) for bound in bounds)
    kept_free = [sorted(end % subnet.num_addresses for end in ends) for ends in reserved]
    texts = [f"{subnet[begin]}-{subnet[end]}" for begin, end in kept_free]
    segment = Segment.model_validate_json(json.dumps({"subnet": str(subnet), "reserved": texts}))
    span = {"rangeStart": str(subnet[first]), "rangeEnd": str(subnet[last])}
    slice_ = Slice.model_validate_json(json.dumps(span))
    blocks = OvnIpam().excluded(segment, [slice_])
    excluded = [address for block in blocks for address in block]
    assert len(excluded) == len(set(excluded)), "an address that is excluded twice fails the whole network"
    assert blocks == sorted(blocks)
    assert blocks == list(ipaddress.collapse_addresses(blocks)), "they cannot be fewer"
    given_ = set(subnet.hosts()) - set(excluded)
    wanted = {address for address in subnet.hosts() if address in slice_.span}
    assert given_ == {address for address in wanted if not any(address in taken for taken in segment.kept_free)}
    assert OvnIpam().hands_out(segment, [slice_]) == len(given_)


def test_localnet_excludes_nothing_beyond_the_addresses_that_ovn_knows_of_ipv6() -> None:
    """OVN's allocator has the first 65,536 of a subnet; an excluded one beyond them fails the whole network."""
    segment = {"subnet": "fd00:5::/64", "gateway": "fd00:5::1", "reserved": ["fd00:5::1:0-fd00:5::2:0"]}
    values = {"segment": segment, "cluster": {"context": "dev"}, "attachment": LOCALNET}
    assert load_stack("dev", values).cni_config["excludeSubnets"] == "fd00:5::1/128"
    one = load_stack("dev", values | {"slice": {"rangeStart": "fd00:5::2", "rangeEnd": "fd00:5::7fff"}})
    assert one.cni_config["excludeSubnets"] == "fd00:5::/127,fd00:5::8000/113"


def test_renaming_puts_a_hash_of_the_content_behind_the_name() -> None:
    in_place, renamed = stack(MACVLAN), stack(MACVLAN | {"rollout": "rename"})
    assert in_place.network == "migration"
    assert re.fullmatch(r"migration-[0-9a-f]{8}", renamed.network)
    assert renamed.cni_config == in_place.cni_config, "the name of the object is not in it"
    spec = renamed.hyper_converged.spec(renamed.network)
    assert spec["liveMigrationConfig"]["network"] == renamed.network


@pytest.mark.parametrize("attachment", [MACVLAN, LOCALNET])
def test_a_change_of_the_content_is_another_name_and_nothing_else_is(attachment: dict[str, Any]) -> None:
    def named(one: dict[str, Any], **sections: Any) -> str:
        return stack(attachment | {"rollout": "rename"} | one, **sections).network

    first = named({})
    assert named({"adopt": True}) == first
    assert named({}, hyperConverged={"liveMigration": {"progressTimeout": 9}}) == first
    assert named({}, cluster={"context": "prod", "namespace": "elsewhere"}) == first
    assert named({}, slice={"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"}) == first, (
        "IPAM is asked once a pod"
    )
    others = {named({"mtu": 1500}), named({"cniName": "blue"}), named({"cniVersion": "1.0.0"})}
    assert len({first, *others}) == 4


def test_a_renamed_localnet_is_another_network_to_ovn_on_the_same_bridge_mapping() -> None:
    """OVN refuses a second configuration of one network name, and old and new exist side by side for a while."""
    one = stack(LOCALNET | {"rollout": "rename"})
    assert one.cni_config["name"] == one.network
    assert one.cni_config["netAttachDefName"] == f"openshift-cnv/{one.network}"
    assert one.cni_config["physicalNetworkName"] == "migration"


def test_a_renamed_attachments_name_still_is_a_dns_label() -> None:
    assert len(stack(MACVLAN | {"name": "m" * 54, "rollout": "rename"}).network) == 63


def test_host_local_is_kept_to_the_slice_and_off_the_reserved_addresses() -> None:
    ipam = stack(MACVLAN | {"ipam": {"type": "host-local", "dataDir": "/run/ipam"}}).cni_config["ipam"]
    both = {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1"}
    assert ipam == {
        "type": "host-local",
        "dataDir": "/run/ipam",
        "ranges": [[both | {"rangeStart": "10.200.5.2", "rangeEnd": "10.200.5.249"}]],
    }


def test_static_addresses_and_routes_are_rendered_as_the_plugin_reads_them() -> None:
    ipam = {
        "type": "static",
        "addresses": [{"address": "10.200.5.10/24", "gateway": "10.200.5.1"}],
        "routes": [{"dst": "10.9.0.0/16", "gw": "10.200.5.1"}, {"dst": "10.8.0.0/16"}],
    }
    assert stack(MACVLAN | {"ipam": ipam}).cni_config["ipam"] == ipam


def test_the_segments_mtu_is_every_attachments_unless_it_names_a_smaller_one() -> None:
    values = {"segment": SEGMENT | {"mtu": 9000}, "cluster": {"context": "dev"}}
    assert load_stack("dev", values | {"attachment": MACVLAN}).cni_config["mtu"] == 9000
    assert load_stack("dev", values | {"attachment": MACVLAN | {"mtu": 1500}}).cni_config["mtu"] == 1500


@pytest.mark.parametrize(("version", "path"), [("v1beta1", ()), ("v1", ("virtualization",))])
def test_the_limits_stand_at_the_path_of_the_api_version(version: str, path: tuple[str, ...]) -> None:
    limits = {
        "parallelMigrationsPerCluster": 5,
        "parallelOutboundMigrationsPerNode": 2,
        "bandwidthPerMigration": "2048Mi",
        "completionTimeoutPerGiB": 800,
        "progressTimeout": 150,
        "allowAutoConverge": True,
        "allowPostCopy": False,
        "allowWorkloadDisruption": True,
    }
    one = stack(MACVLAN, hyperConverged={"apiVersion": version, "liveMigration": limits})
    spec = one.hyper_converged.spec(one.network)
    for key in path:
        spec = spec.pop(key)
    assert spec == {"liveMigrationConfig": limits | {"network": "migration"}}


def test_only_keys_that_are_set_are_owned() -> None:
    one = stack(MACVLAN)
    assert one.hyper_converged.spec("migration") == {"liveMigrationConfig": {"network": "migration"}}


def test_the_demand_counts_nodes_sync_controllers_the_surge_of_a_rollout_and_headroom() -> None:
    assert stack(MACVLAN).demand is None
    values = {"segment": SEGMENT, "cluster": {"context": "dev", "nodes": 3}, "attachment": MACVLAN}
    one = load_stack("dev", values)
    assert one.demand == 3 + 2 + 1 + 1
    assert str(one.demand_sum) == "3 nodes + 2 sync controllers + 1 during a rollout + 1 headroom, 20 % of nodes"


@pytest.mark.parametrize(("percent", "total"), [(0, 103), (1, 104), (20, 123), (100, 203)])
def test_the_headroom_is_a_part_of_the_nodes_rounded_up(percent: int, total: int) -> None:
    cluster = {"context": "dev", "nodes": 100, "headroom": percent}
    assert load_stack("dev", {"segment": SEGMENT, "cluster": cluster, "attachment": MACVLAN}).demand == total
