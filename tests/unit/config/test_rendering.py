"""What the models render: the CNI configuration of every attachment and IPAM, and the HyperConverged's spec."""

from typing import Any

import pytest

from config.stack import Stack, load_stack

SEGMENT = {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1", "reserved": ["10.200.5.250-10.200.5.254"]}
MACVLAN = {"type": "macvlan", "name": "migration", "master": "eth1"}


def stack(attachment: dict[str, Any], **sections: Any) -> Stack:
    return load_stack("dev", {"segment": SEGMENT, "cluster": {"context": "dev"}, "attachment": attachment, **sections})


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


def test_every_key_of_the_bridge_plugin_is_rendered_under_its_own_name() -> None:
    bridge = {
        "type": "bridge",
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
    spec = one.hyper_converged.spec(one.attachment.name)
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
