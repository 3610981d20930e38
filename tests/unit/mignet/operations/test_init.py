"""`mignet init` writes a stack file that is valid and commented, and never over one that exists."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from jsonschema import Draft202012Validator

from config.files.project_files import Project
from config.files.stack_schema import FILE, MODELINE, stack_schema
from config.finding import ConfigError
from config.loading import load_stack
from mignet.kube.network.localnets import Mapped
from mignet.kube.network.nic_choice import Nic
from mignet.operations import init
from mignet.operations.init import Wanted
from mignet.operations.new_links import Links

ETH1 = Links(master="eth1")
SEGMENT = "{subnet: 10.200.5.0/24, mtu: 9000, gateway: 10.200.5.1}"


def project(folder: Path, segment: str | None = SEGMENT) -> Project:
    config = f"config: {{segment: {{default: {segment}}}}}\n" if segment else ""
    (folder / "Pulumi.yaml").write_text(f"name: migration-network\n{config}")
    return Project.find(folder)


def mignet(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return forked.mignet(*arguments, cwd=folder)


def write(one: Project, stack: str, wanted: Wanted, seen: init.Seen | None = None, nic: Nic | None = None) -> str:
    return init.write(one, stack, wanted, seen or init.Seen(), nic, on_wait=pytest.fail)


def test_from_flags_alone_the_file_is_valid_and_says_what_each_part_is(tmp_path: Path) -> None:
    one = project(tmp_path)
    (tmp_path / FILE).write_text("{}")
    result = mignet(tmp_path, "init", "prod-1", "--context", "prod-1", "--master", "ens2f0", "--nodes", "3")
    assert result.returncode == 0, result.stderr
    assert result.stdout == (
        "wrote Pulumi.prod-1.yaml: prod-1 has slice 10.200.5.2-10.200.5.15 (14 addresses: 3 nodes + 2 sync controllers"
        " + 1 during a rollout + 1 headroom, 20 % of nodes, and 7 to grow and for a checkup)\n"
    )
    assert one.stack_file("prod-1").read_text() == (
        f"{MODELINE}\n"
        "# The cluster prod-1. For completion of keys in an editor: mignet schema --write\n"
        "config:\n"
        "  # How the cluster is reached. The kubeconfig is named, never copied in here.\n"
        "  migration-network:cluster:\n"
        "    context: prod-1\n"
        "    namespace: openshift-cnv\n"
        "    nodes: 3 # that run virt-handler\n"
        "  # How pods attach to the segment, which stands in Pulumi.yaml.\n"
        "  migration-network:attachment:\n"
        "    type: macvlan\n"
        "    name: migration\n"
        "    master: ens2f0\n"
        "    mode: bridge\n"
        "  # This cluster's own part of the segment, both ends inclusive. mignet allocate lets it grow.\n"
        "  migration-network:slice:\n"
        "    rangeStart: 10.200.5.2\n"
        "    rangeEnd: 10.200.5.15\n"
        "  # The limits of live migrations. A key that stands here is owned by this stack, with its value.\n"
        "  # migration-network:hyperConverged:\n"
        "  #   liveMigration:\n"
        "  #     completionTimeoutPerGiB: 800 # seconds\n"
        "  #     parallelMigrationsPerCluster: 5\n"
        "  #     parallelOutboundMigrationsPerNode: 2\n"
        "  #     progressTimeout: 150 # seconds\n"
    )
    stack = load_stack("prod-1", one.stack_values("prod-1"))
    assert (stack.cluster.nodes, stack.hyper_converged.live_migration.progress_timeout) == (3, None)


def test_what_pulumi_keeps_of_a_new_stack_stays_in_its_file(tmp_path: Path) -> None:
    one = project(tmp_path)
    one.stack_file("dev").write_text("encryptionsalt: v1:x\n")
    result = mignet(tmp_path, "init", "dev", "--context", "dev", "--master", "eth1")
    assert result.returncode == 0, result.stderr
    assert "dev is alone on the segment" in result.stdout
    content = yaml.safe_load(one.stack_file("dev").read_text())
    assert content["encryptionsalt"] == "v1:x"
    assert content["config"]["migration-network:attachment"]["master"] == "eth1"
    again = mignet(tmp_path, "init", "dev", "--context", "dev", "--master", "eth1")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "exists, and is never overwritten" in again.stderr


def test_its_commented_limits_are_valid_when_the_comment_signs_go(tmp_path: Path) -> None:
    one = project(tmp_path)
    write(one, "dev", Wanted("dev", links=ETH1))
    file = one.stack_file("dev")
    head, _, limits = file.read_text().partition("  # migration-network:hyperConverged")
    file.write_text(
        head + ("  # migration-network:hyperConverged" + limits).replace("  # ", "  ", 99).replace(" # ", " #")
    )
    text = file.read_text()
    assert "progressTimeout: 150" in text
    stack = load_stack("dev", one.stack_values("dev"))
    assert stack.hyper_converged.live_migration.progress_timeout == 150


def test_the_first_one_has_room_to_grow_and_for_a_checkup_and_the_second_one_gets_the_next_slice(
    tmp_path: Path,
) -> None:
    one = project(tmp_path)
    write(one, "a", Wanted("a", links=ETH1, nodes=3))
    assert write(one, "b", Wanted("b", links=ETH1, nodes=5)) == (
        "b has slice 10.200.5.16-10.200.5.36 (21 addresses: 5 nodes + 2 sync controllers + 1 during a rollout"
        " + 1 headroom, 20 % of nodes, and 12 to grow and for a checkup)"
    )
    assert str(load_stack("b", one.stack_values("b")).span) == "10.200.5.16-10.200.5.36"
    assert write(one, "c", Wanted("c", links=ETH1)).endswith("on the segment: mignet allocate c --nodes N")
    from mignet.operations import allocate as addresses

    (grown,) = addresses.allocate(one, ["a"], nodes=8)
    assert grown.before == grown.after, "nodes that are added change nothing"


@pytest.mark.parametrize(
    ("subnet", "nodes", "span"),
    [
        # More than half of what is free goes to nobody who does not need it.
        ("10.200.5.0/26", 12, "10.200.5.1-10.200.5.31"),
        ("10.200.5.0/27", 12, "10.200.5.1-10.200.5.18"),
        ("[10.200.5.0/24, fd00:200:5::/64]", 3, "10.200.5.1-10.200.5.14"),
    ],
)
def test_room_to_grow_leaves_half_of_what_is_free(tmp_path: Path, subnet: str, nodes: int, span: str) -> None:
    one = project(tmp_path, f"{{subnet: {subnet}}}")
    write(one, "a", Wanted("a", links=ETH1, nodes=nodes))
    assert str(load_stack("a", one.stack_values("a")).span) == span


def test_without_a_number_of_nodes_a_first_stack_has_no_slice(tmp_path: Path) -> None:
    one = project(tmp_path)
    assert write(one, "a", Wanted("a", links=ETH1)) == (
        "a is alone on the segment and hands out all of it; before a second cluster: mignet allocate"
    )
    assert load_stack("a", one.stack_values("a")).slices == ()


def test_what_the_cluster_says_goes_into_the_file_with_the_reasons_for_the_nic(tmp_path: Path) -> None:
    one = project(tmp_path)
    networks = {
        "machine": ("192.168.10.0/24",),
        "cluster": ("10.128.0.0/14", "fd01::/48"),
        "service": ("172.30.0.0/16",),
    }
    nic = Nic("eth1", ("is up on all 3 nodes", "MTU 9000"), (), 1)
    write(one, "dev", Wanted("dev"), init.Seen((nic,), nodes=3, networks=networks), nic)
    text = one.stack_file("dev").read_text()
    assert "    master: eth1 # is up on all 3 nodes; MTU 9000\n" in text
    assert yaml.safe_load(text)["config"]["migration-network:otherNetworks"] == {
        "machine": "192.168.10.0/24",
        "cluster": ["10.128.0.0/14", "fd01::/48"],
        "service": "172.30.0.0/16",
    }
    Draft202012Validator(stack_schema("migration-network")).validate(yaml.safe_load(text))


@pytest.mark.parametrize("context", ["default/api-prod:6443/kube:admin", "yes", "5", "a # b", "ü", "- x", "{a: 1}"])
def test_a_context_of_any_spelling_is_written_so_that_it_reads_back(tmp_path: Path, context: str) -> None:
    one = project(tmp_path)
    write(one, "dev", Wanted(context, kubeconfig="~/.kube/my config", links=ETH1))
    cluster = load_stack("dev", one.stack_values("dev")).cluster
    assert (cluster.context, cluster.kubeconfig) == (context, "~/.kube/my config")


def test_a_file_that_exists_is_never_overwritten(tmp_path: Path) -> None:
    one = project(tmp_path)
    one.stack_file("dev").write_text("# mine\n")
    result = mignet(tmp_path, "init", "dev", "--context", "dev", "--master", "eth1")
    assert result.returncode == 2
    assert result.stderr == (
        "dev: Pulumi.dev.yaml exists, and is never overwritten. Edit it, or choose another name for the stack\n"
    )
    with pytest.raises(ConfigError):
        write(one, "dev", Wanted("dev", links=ETH1))
    assert one.stack_file("dev").read_text() == "# mine\n"


def test_a_file_that_comes_up_meanwhile_is_not_overwritten_either(tmp_path: Path) -> None:
    from mignet.fleet import stack_files

    one = project(tmp_path)
    one.stack_file("dev").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="exists, and is never overwritten"):
        stack_files.create(one, "dev", "config: {}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Pulumi.dev.yaml", "Pulumi.yaml"]


@pytest.mark.parametrize(
    ("arguments", "segment", "line"),
    [
        (
            [],
            SEGMENT,
            "mignet: --master is required. Name the NIC (or --bond, or --localnet), or say --from-cluster to",
        ),
        (["--vlan", "5"], SEGMENT, "mignet: --master is required. Name the NIC"),
        (["--master", "a/b"], SEGMENT, "dev: attachment.master a/b is not an interface name"),
        (["--master", "eth1", "--namespace", "A.B"], SEGMENT, "dev: cluster.namespace A.B is not a DNS-1123 label"),
        (["--from-cluster"], None, "dev: segment is required. Set it in Pulumi.yaml under config.segment.default"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], segment: str | None, line: str
) -> None:
    one = project(tmp_path, segment)
    result = mignet(tmp_path, "init", "dev", "--context", "dev", *arguments)
    assert result.returncode == 2, result.stderr
    (only,) = result.stderr.splitlines()
    assert only.startswith(line)
    assert not one.stack_file("dev").exists()


def test_a_segment_that_overlaps_what_the_cluster_uses_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    one = project(tmp_path)
    with pytest.raises(ConfigError, match=r"overlaps otherNetworks.cluster 10.200.0.0/16"):
        write(one, "dev", Wanted("dev", links=ETH1), init.Seen(networks={"cluster": ("10.200.0.0/16",)}))
    assert not one.stack_file("dev").exists()


def test_a_cluster_that_cannot_be_reached_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    project(tmp_path)
    arguments = ("--context", "dev", "--kubeconfig", "nope", "--from-cluster")
    result = mignet(tmp_path, "init", "dev", *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("dev: kubeconfig ")
    assert "nope does not exist" in result.stderr


FREE = Mapped("physnet", ("br-mig",))
SHARED = Mapped("outside", ("br-ex",), shared=True)
PARTLY = Mapped("some", ("br-x",), missing=("b",))


@pytest.mark.parametrize(
    ("nics", "localnets", "message"),
    [
        ((), (), "cannot be chosen: no node with the label kubevirt.io/schedulable=true reports a NIC"),
        ((("eth1", ()), ("eth2", ())), (), "cannot be chosen: eth1, eth2 are equally good. Name one with --master"),
        (
            (("eth0", ("is down",)),),
            (PARTLY,),
            "cannot be chosen: something speaks against each of eth0, and no localnet",
        ),
        ((("eth0", ("is down",)),), (FREE, replace(FREE, name="b")), "no NIC is free, and localnets physnet, b are"),
    ],
)
def test_when_none_is_better_than_all_others_the_user_is_asked(nics: Any, localnets: Any, message: str) -> None:
    seen = init.Seen(tuple(Nic(name, (), against, 1) for name, against in nics), localnets)
    with pytest.raises(ConfigError, match=message):
        init.choose("dev", Wanted("dev"), seen)


@pytest.mark.parametrize(
    ("nics", "localnets", "chosen"),
    [
        ((Nic("eth1", (), (), 1),), (FREE,), "eth1"),
        ((Nic("eth0", (), ("is down",), 1),), (PARTLY, FREE, SHARED), "physnet"),
        ((), (PARTLY, SHARED), "outside"),
    ],
)
def test_a_localnet_is_taken_where_no_nic_is_free(nics: Any, localnets: Any, chosen: str) -> None:
    found = init.choose("dev", Wanted("dev"), init.Seen(nics, localnets))
    assert found is not None
    assert found.name == chosen


def test_a_localnet_that_is_taken_is_written_with_what_it_shares(tmp_path: Path) -> None:
    one = project(tmp_path, "{subnet: 10.200.5.0/24, vlan: 2001}")
    remark = write(one, "dev", Wanted("dev"), init.Seen((), (SHARED,), nodes=3), SHARED)
    assert remark.endswith("; no NIC is free, and migrations go over localnet outside")
    text = one.stack_file("dev").read_text()
    said = "localnet by br-ex, which carries the default route: migrations share its NIC"
    line = f"    physicalNetworkName: outside # {said}"
    assert line in text.splitlines()
    stack = load_stack("dev", one.stack_values("dev"))
    assert stack.cni_config["vlanID"] == 2001
    assert str(stack.span) == "10.200.5.1-10.200.5.14"


def test_the_subnets_of_other_interfaces_are_other_networks_too() -> None:
    def node(name: str, internal: str, storage: str) -> tuple[dict[str, Any], dict[str, Any]]:
        interfaces = [
            {"name": "eth0", "type": "ethernet", "ipv4": {"address": [{"ip": internal, "prefix-length": 24}]}},
            {"name": "eth2", "type": "ethernet", "ipv4": {"address": [{"ip": storage, "prefix-length": 24}]}},
            {"name": "pods", "type": "veth", "ipv4": {"address": [{"ip": "10.128.2.2", "prefix-length": 23}]}},
            {"name": "lo", "type": "loopback", "ipv4": {"address": [{"ip": "127.0.0.1", "prefix-length": 8}]}},
            {"name": "mig", "type": "ethernet", "ipv4": {"address": [{"ip": "10.200.5.9", "prefix-length": 24}]}},
        ]
        labels = {"kubevirt.io/schedulable": "true"}
        return (
            {
                "metadata": {"name": name, "labels": labels},
                "status": {"addresses": [{"type": "InternalIP", "address": internal}]},
            },
            {"metadata": {"name": name}, "status": {"currentState": {"interfaces": interfaces}}},
        )

    pairs = [node("a", "192.168.10.20", "10.9.0.5"), node("b", "192.168.11.21", "10.9.0.6")]
    network = {"status": {"clusterNetwork": [{"cidr": "10.128.0.0/14"}], "serviceNetwork": ["172.30.0.0/16"]}}
    nodes, states = [list(each) for each in zip(*pairs, strict=True)]
    from config.segment import Segment
    from config.types.model import parse

    segment = parse(Segment, {"subnet": "10.200.5.0/24"}, stack="dev", key="segment")
    assert isinstance(segment, Segment)
    assert init.seen(nodes, states, network, segment).networks == {
        "machine": ("192.168.10.0/24", "192.168.11.0/24"),
        "cluster": ("10.128.0.0/14",),
        "service": ("172.30.0.0/16",),
        "eth2": ("10.9.0.0/24",),
    }
    assert init.seen(nodes, states, None, segment).networks["pods"] == ("10.128.2.0/23",)


def test_the_number_of_sync_controllers_is_written_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    from config.segment import Segment
    from config.types.model import parse

    segment = parse(Segment, {"subnet": "10.200.5.0/24"}, stack="dev", key="segment")
    assert isinstance(segment, Segment)
    for infra, expected in (({}, None), ({"replicas": 2}, None), ({"nodePlacement": {}, "replicas": 1}, 1)):
        kubevirt = {"spec": {"infra": infra}}
        assert init.seen([], [], None, segment, kubevirt=kubevirt).sync_controllers == expected
    one = project(tmp_path)
    write(one, "dev", Wanted("dev", links=ETH1), init.Seen(nodes=1, sync_controllers=1))
    assert "    syncControllers: 1" in one.stack_file("dev").read_text()


def test_a_network_of_hosts_in_the_segment_is_no_other_network() -> None:
    from config.segment import Segment
    from config.types.model import parse

    segment = parse(Segment, {"subnet": "192.168.22.0/24"}, stack="dev", key="segment")
    assert isinstance(segment, Segment)
    interfaces = [{"name": "eth1.3876", "ipv4": {"address": [{"ip": "192.168.22.71", "prefix-length": 23}]}}]
    addresses = [{"type": "InternalIP", "address": "192.168.22.71"}]
    nodes = [{"metadata": {"name": "a"}, "status": {"addresses": addresses}}]
    states = [{"metadata": {"name": "a"}, "status": {"currentState": {"interfaces": interfaces}}}]
    assert init.seen(nodes, states, None, segment).networks == {}


ROUTED = (
    "{supernet: 10.200.0.0/16, sites: {east: {subnet: 10.200.5.0/24, gateway: 10.200.5.1, vlan: 5},"
    " west: {subnet: 10.200.6.0/26, gateway: 10.200.6.1, vlan: 6}}}"
)


def test_a_stack_in_a_site_names_it_and_has_a_slice_of_its_subnet(tmp_path: Path) -> None:
    one = project(tmp_path, ROUTED)
    remark = write(one, "prod-1", Wanted("prod-1", links=ETH1, nodes=3, site="west"))
    assert "prod-1 has slice 10.200.6.2-10.200.6.15" in remark
    assert "\n  migration-network:site: west\n" in one.stack_file("prod-1").read_text()
    write(one, "prod-2", Wanted("prod-2", links=ETH1, nodes=3, site="east"))
    assert one.stack_values("prod-2")["slice"] == {"rangeStart": "10.200.5.2", "rangeEnd": "10.200.5.15"}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "prod-1: --site is required: the segment has sites. Name the one that this cluster is in: east, west"),
        (["--site", "esat"], "prod-1: site esat is no site of the segment."),
    ],
)
def test_a_site_is_asked_for(tmp_path: Path, arguments: list[str], expected: str) -> None:
    project(tmp_path, ROUTED)
    result = mignet(tmp_path, "init", "prod-1", "--context", "c", "--master", "eth1", *arguments)
    assert (result.returncode, result.stderr.startswith(expected)) == (2, True), result.stderr
    assert not (tmp_path / "Pulumi.prod-1.yaml").exists()


def test_a_site_has_no_room_where_its_own_subnet_is_full(tmp_path: Path) -> None:
    one = project(tmp_path, ROUTED)
    write(one, "prod-1", Wanted("prod-1", links=ETH1, nodes=30, site="west"))
    with pytest.raises(ConfigError) as caught:
        write(one, "prod-2", Wanted("prod-2", links=ETH1, nodes=30, site="west"))
    assert "Widen segment.sites.west.subnet where no other site is, or put this cluster in another site" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("interface", "range_", "expected"),
    [
        ({"ipv4": {"address": [{"ip": "10.200.6.9", "prefix-length": 26}]}}, None, "west"),
        ({"type": "vlan", "vlan": {"id": 5, "base-iface": "eth1"}}, None, "east"),
        ({"ipv4": {"address": [{"ip": "10.200.6.9", "prefix-length": 26}]}}, "10.200.5.0/24", "east"),
        ({}, None, None),
        ({"ipv4": {"address": [{"ip": "10.200.0.9", "prefix-length": 16}]}}, None, None),
    ],
)
def test_the_site_of_a_cluster_is_seen_where_only_one_fits(
    interface: dict[str, Any], range_: str | None, expected: str | None
) -> None:
    from config.loading import parse_segment
    from config.sites import RoutedSegment

    routed = parse_segment("s", yaml.safe_load(ROUTED))
    assert isinstance(routed, RoutedSegment)
    nodes = [{"metadata": {"name": "n", "labels": {}}, "status": {}}]
    states = [
        {
            "metadata": {"name": "n"},
            "status": {"currentState": {"interfaces": [{"name": "mig0", "type": "ethernet"} | interface]}},
        }
    ]
    attachment = {"spec": {"config": json.dumps({"ipam": {"range": range_}})}} if range_ else None
    assert init.site_seen(routed, nodes, states, attachment) == expected
