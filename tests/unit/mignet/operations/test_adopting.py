"""What `mignet init` writes for a cluster that migrates over a network of its own already."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from published import PUBLISHED, Published

from components.ownership import labels
from config.files.project_files import Project
from config.files.stack_schema import stack_schema
from config.loading import load_stack
from config.segment import Segment
from mignet.kube.hyperconverged_versions import limits_path
from mignet.kube.kubevirt.take_over import network_named
from mignet.kube.network.cni_configuration import meaning_changes
from mignet.operations import init
from mignet.operations.adopting import Kept, NotKeptError, kept
from mignet.operations.init import Wanted

SEGMENT = {"subnet": "10.200.5.0/24", "mtu": 9000, "gateway": "10.200.5.1"}
# The case adopt-unnamed of a published set-up.
UNNAMED: dict[str, Any] = {
    "cniVersion": "0.3.1",
    "type": "macvlan",
    "master": "eth1",
    "mode": "bridge",
    "ipam": {
        "type": "whereabouts",
        "range": "10.88.31.0/24",
        "exclude": ["10.88.31.222/32", "10.88.31.223/32"],
    },
}
OURS = UNNAMED | {
    "mtu": 9000,
    "ipam": {
        "type": "whereabouts",
        "range": "10.200.5.0/24",
        "range_start": "10.200.5.10",
        "range_end": "10.200.5.60",
    },
}


def made(folder: Path, segment: dict[str, Any]) -> Project:
    """Return a project with this segment."""
    text = f"name: migration-network\nconfig: {{segment: {{default: {json.dumps(segment)}}}}}\n"
    (folder / "Pulumi.yaml").write_text(text)
    return Project.find(folder)


def hyperconverged(version: str = "v1beta1", **limits: Any) -> dict[str, Any]:
    api = f"hco.kubevirt.io/{version}"
    spec: dict[str, Any] = {"network": "cnv-mig", "progressTimeout": 150, "allowPostCopy": False} | limits
    for key in reversed(limits_path(api).split(".")):
        spec = {key: spec}
    return {"apiVersion": api, "kind": "HyperConverged", "metadata": {"name": "kubevirt-hyperconverged"}} | spec


def attachment(config: object, **metadata: Any) -> dict[str, Any]:
    text = config if isinstance(config, str) else json.dumps(config)
    metadata = {"name": "cnv-mig", "namespace": "openshift-cnv"} | metadata
    return {"kind": "NetworkAttachmentDefinition", "metadata": metadata, "spec": {"config": text}}


def keep(config: object, above: dict[str, Any] | None = None, **metadata: Any) -> Kept:
    segment = Segment.model_validate(SEGMENT)
    return kept("dev", {"context": "dev"}, segment, above or hyperconverged(), attachment(config, **metadata))


def test_name_range_excludes_and_limits_are_written_and_change_nothing() -> None:
    found = keep(UNNAMED, hyperconverged(completionTimeoutPerGiB=800, parallelMigrationsPerCluster=5))
    assert found.changes == ()
    assert found.values == {
        "segment": {"subnet": "10.88.31.0/24"},
        "attachment": {
            "type": "macvlan",
            "name": "cnv-mig",
            "cniVersion": "0.3.1",
            "master": "eth1",
            "mode": "bridge",
            "adopt": True,
            "ipam": {"type": "whereabouts", "exclude": ["10.88.31.222/31"]},
        },
        "hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 800}},
    }
    assert found.remark.endswith("the first preview shows ownership, labels and formatting only")


def test_on_the_projects_segment_a_slice_is_what_is_given() -> None:
    found = keep(OURS | {"name": "migration-bridge"})
    assert found.changes == ()
    assert "segment" not in found.values
    assert found.values["slice"] == {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"}
    assert found.values["attachment"]["cniName"] == "migration-bridge"


@pytest.mark.parametrize("version", ["v1beta1", "v1"])
def test_the_network_is_read_at_the_path_of_each_version(version: str) -> None:
    above = hyperconverged(version)
    assert network_named(above) == "cnv-mig"
    written = keep(OURS, above).values.get("hyperConverged")
    assert written == ({"apiVersion": "v1"} if version == "v1" else None)
    assert network_named(None) is None


SAME = {
    "two families": UNNAMED
    | {"ipam": {"type": "whereabouts", "ipRanges": [{"range": "10.88.31.0/24"}, {"range": "fd00:88::/64"}]}},
    "a bridge": {k: v for k, v in UNNAMED.items() if k not in {"master", "mode"}} | {"type": "bridge", "bridge": "br1"},
    "books of its own": UNNAMED | {"ipam": UNNAMED["ipam"] | {"network_name": "mig"}},
    "no check across ranges": UNNAMED | {"ipam": UNNAMED["ipam"] | {"enable_overlapping_ranges": False}},
    "the short form of a range": UNNAMED | {"ipam": {"type": "whereabouts", "range": "10.88.31.5-10.88.31.9/24"}},
    "a chain of one": {"cniVersion": "0.3.1", "name": "cnv-mig", "plugins": [UNNAMED]},
    "dhcp": UNNAMED | {"ipam": {"type": "dhcp"}, "mtu": 9000},
}


@pytest.mark.parametrize("case", SAME)
def test_what_can_be_written_changes_nothing(case: str) -> None:
    assert keep(SAME[case]).changes == ()


@pytest.mark.parametrize("published", PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_network_is_kept_as_it_is_and_its_stack_renders_it(published: Published, tmp_path: Path) -> None:
    project = made(tmp_path, SEGMENT | {"vlan": 2001})
    name, config = published.name, published.config
    above = hyperconverged(network=name, completionTimeoutPerGiB=800)
    cluster = {"context": "dev", "nodes": 6}
    segment = init.segment_of(project, "dev")
    found = kept("dev", cluster, segment, above, attachment(config, name=name))
    assert found.changes == ()
    assert found.values["attachment"].items() >= published.attachment.items()
    assert found.values["segment"] == published.segment
    assert found.values.get("waivers", {}) == published.waivers
    # The other direction: what the stack declares is that network.
    init.write(project, "dev", Wanted("dev"), init.Seen(kept=found, nodes=6), None, on_wait=pytest.fail)
    stack = load_stack("dev", project.stack_values("dev"))
    assert stack.network == name
    assert meaning_changes(json.dumps(config), stack.cni_json, name=name) == []
    again = kept("dev", cluster, segment, above, attachment(stack.cni_json, name=name))
    assert again == found


def test_a_network_whose_rules_are_broken_says_so_in_a_waiver_that_can_be_read(tmp_path: Path) -> None:
    project = made(tmp_path, SEGMENT)
    seen = init.Seen(kept=keep(UNNAMED | {"mode": "bridge"}), nodes=3, networks={"storage": ("10.88.0.0/16",)})
    init.write(project, "dev", Wanted("dev"), seen, None, on_wait=pytest.fail)
    text = project.stack_file("dev").read_text()
    assert "  # What the network breaks as it is. Correct it in a second step, and take the waiver out.\n" in text
    (waived,) = [each for each in load_stack("dev", project.stack_values("dev")).findings if each.waived]
    assert waived.code == "subnet-overlap"


FREE = st.lists(st.booleans(), min_size=62, max_size=62).filter(any)


@given(free=FREE, vlan=st.sampled_from([0, 2001]), mtu=st.sampled_from([None, 1400, 9000]))
def test_any_localnet_is_kept_with_the_addresses_it_gives(free: list[bool], vlan: int, mtu: int | None) -> None:
    spared = [f"10.200.5.{last}/32" for last, is_free in enumerate(free, start=1) if not is_free]
    config = {
        "cniVersion": "0.3.1",
        "name": "cnv-mig",
        "type": "ovn-k8s-cni-overlay",
        "netAttachDefName": "openshift-cnv/cnv-mig",
        "topology": "localnet",
        "physicalNetworkName": "physnet",
        "subnets": "10.200.5.0/26",
        "excludeSubnets": ",".join(spared),
    }
    config |= {"mtu": mtu} if mtu else {}
    assert keep(config | ({"vlanID": vlan} if vlan else {})).changes == ()


@given(
    span=st.tuples(st.integers(1, 254), st.integers(1, 254)).map(sorted),
    spared=st.lists(st.integers(0, 255), max_size=5),
    mtu=st.sampled_from([None, 1400, 9000, 9100]),
    subnet=st.sampled_from(["10.200.5.0/24", "10.88.31.0/24"]),
)
def test_any_range_is_kept_with_the_addresses_it_gives(
    span: list[int], spared: list[int], mtu: int | None, subnet: str
) -> None:
    first = ipaddress.ip_network(subnet).network_address
    ipam = {
        "type": "whereabouts",
        "range": subnet,
        "range_start": str(first + span[0]),
        "range_end": str(first + span[1]),
        "exclude": [f"{first + last}/32" for last in spared],
    }
    config = UNNAMED | {"ipam": ipam} | ({"mtu": mtu} if mtu else {})
    if all(last in spared for last in range(span[0], span[1] + 1)):
        return
    assert keep(config).changes == ()


def test_what_a_stack_cannot_say_is_told_as_a_change() -> None:
    found = keep(UNNAMED | {"ipam": UNNAMED["ipam"] | {"log_level": "debug"}})
    assert found.changes == ("ipam.log_level",)
    assert found.remark.endswith("up changes ipam.log_level")


NOT = {
    "has no ipam": {"type": "bridge", "bridge": "br1"},
    "has no subnets that can be read": {"type": "ovn-k8s-cni-overlay", "topology": "localnet"},
    "is an OVN network of topology layer2, which ends at": {"type": "ovn-k8s-cni-overlay", "topology": "layer2"},
    "is a chain of plugins": {"plugins": [UNNAMED, {"type": "tuning"}]},
    "holds no CNI configuration": "no json",
    "has a range that cannot be read": UNNAMED | {"ipam": {"type": "whereabouts", "range": "10.88.31.0/33"}},
    "has an exclude that cannot be read": UNNAMED | {"ipam": UNNAMED["ipam"] | {"exclude": ["x"]}},
    "has no range": UNNAMED | {"ipam": {"type": "whereabouts"}},
    "cannot be written as a stack": UNNAMED | {"unknown": 5},
}


@pytest.mark.parametrize("why", NOT)
def test_what_cannot_be_kept_says_why(why: str) -> None:
    with pytest.raises(NotKeptError, match=why):
        keep(NOT[why])


def test_a_controllers_and_another_stacks_attachment_is_not_kept() -> None:
    owner = {"kind": "ClusterUserDefinedNetwork", "name": "lm", "controller": True}
    with pytest.raises(NotKeptError, match="is kept by ClusterUserDefinedNetwork lm"):
        keep(UNNAMED, ownerReferences=[owner])
    with pytest.raises(NotKeptError, match="belongs to stack prod-7"):
        keep(UNNAMED, labels=labels("prod-7"))
    assert keep(UNNAMED, labels=labels("dev")).changes == ()
    with pytest.raises(NotKeptError, match="has no NetworkAttachmentDefinition"):
        kept("dev", {"context": "dev"}, Segment.model_validate(SEGMENT), hyperconverged(), None)


LOCALNET: dict[str, Any] = {
    "role": "Secondary",
    "physicalNetworkName": "physnet",
    "subnets": ["10.200.5.0/24"],
    "excludeSubnets": ["10.200.5.0/28", "10.200.5.64/26", "10.200.5.128/25"],
    "vlan": {"mode": "Access", "access": {"id": 2001}},
    "mtu": 9000,
}


def keep_network(selector: dict[str, Any] | None = None, **localnet: Any) -> Kept:
    """Keep a ClusterUserDefinedNetwork, with the attachment that its controller made of it."""
    spec = {key: value for key, value in (LOCALNET | localnet).items() if value is not None}
    network = {
        "apiVersion": "k8s.ovn.org/v1",
        "kind": "ClusterUserDefinedNetwork",
        "metadata": {"name": "cnv-mig"},
        "spec": {
            "namespaceSelector": selector or {"matchLabels": {"kubernetes.io/metadata.name": "openshift-cnv"}},
            "network": {"topology": "Localnet", "localnet": spec},
        },
    }
    config = {
        "cniVersion": "1.0.0",
        "type": "ovn-k8s-cni-overlay",
        "name": "cluster.udn.cnv-mig",
        "netAttachDefName": "openshift-cnv/cnv-mig",
        "topology": "localnet",
        "role": "secondary",
        "physicalNetworkName": "physnet",
        "subnets": ",".join(spec["subnets"]),
        "excludeSubnets": ",".join(spec.get("excludeSubnets", ())),
        "vlanID": spec.get("vlan", {}).get("access", {}).get("id", 0),
        "mtu": spec.get("mtu", 0),
    }
    owner = {"kind": "ClusterUserDefinedNetwork", "name": "cnv-mig", "controller": True}
    made_ = attachment({key: value for key, value in config.items() if value}, ownerReferences=[owner])
    segment = Segment.model_validate(SEGMENT)
    found = kept("dev", {"context": "dev"}, segment, hyperconverged(), made_, user_network=network)
    stack = load_stack("dev", {"segment": SEGMENT, "cluster": {"context": "dev"}} | dict(found.values))
    assert stack.network == "cnv-mig"
    assert stack.user_network == network["spec"], "nothing of it can be changed"
    return found


@pytest.mark.parametrize(
    ("selector", "localnet", "keys"),
    [
        (None, {}, set()),
        ({"matchLabels": {"team": "virt"}}, {}, {"namespaceSelector"}),
        (None, {"excludeSubnets": ["10.200.5.128/25", "10.200.5.64/26", "10.200.5.0/28"]}, {"excludeSubnets"}),
        (None, {"subnets": ["10.7.0.0/20"], "excludeSubnets": None, "mtu": None, "vlan": None}, set()),
    ],
    ids=["plain", "of other namespaces", "blocks in another order", "of another subnet"],
)
def test_a_user_defined_network_is_kept_to_the_letter(
    selector: dict[str, Any] | None, localnet: dict[str, Any], keys: set[str]
) -> None:
    found = keep_network(selector, **localnet)
    own = found.values["attachment"]
    assert (own["type"], own["rollout"], own["adopt"]) == ("clusterUserDefinedNetwork", "in-place", True)
    assert own.keys() & {"namespaceSelector", "excludeSubnets"} == keys
    assert found.changes == ()


def test_a_user_defined_network_that_no_stack_can_say_is_not_kept() -> None:
    with pytest.raises(NotKeptError, match=r"cannot say as it is \(spec.network.localnet.ipam.*nothing changes one"):
        keep_network(ipam={"lifecycle": "Persistent"})


def test_the_file_is_valid_and_renders_what_stands_there(tmp_path: Path) -> None:
    project = made(tmp_path, SEGMENT)
    found = keep(UNNAMED, hyperconverged(completionTimeoutPerGiB=800))
    remark = init.write(project, "dev", Wanted("dev"), init.Seen(kept=found, nodes=3), None, on_wait=pytest.fail)
    assert remark.startswith("dev keeps cnv-mig, over which the cluster migrates: ")
    text = project.stack_file("dev").read_text()
    Draft202012Validator(stack_schema("migration-network")).validate(yaml.safe_load(text))
    stack = load_stack("dev", project.stack_values("dev"))
    assert stack.network == "cnv-mig"
    assert meaning_changes(json.dumps(UNNAMED), stack.cni_json, name="cnv-mig") == []
    assert stack.hyper_converged.live_migration.completion_timeout_per_gib == 800


def test_a_network_of_a_site_is_kept_with_its_route_and_one_without_it_gets_it(tmp_path: Path) -> None:
    sites = {"east": {"subnet": "10.88.31.0/24", "gateway": "10.88.31.1"}}
    project = made(tmp_path, {"supernet": "10.88.0.0/16", "sites": sites})
    segment = init.segment_of(project, "dev", "east")
    ipam = {"type": "whereabouts", "range": "10.88.31.0/24", "exclude": ["10.88.31.1/32"]}
    ipam |= {"range_start": "10.88.31.10", "range_end": "10.88.31.20"}
    route = {"routes": [{"dst": "10.88.0.0/16", "gw": "10.88.31.1"}]}
    cluster = {"context": "dev", "nodes": 3}
    with_route, without = (
        kept("dev", cluster, segment, hyperconverged(), attachment(UNNAMED | {"ipam": ipam | more}))
        for more in (route, {})
    )
    assert "segment" not in with_route.values
    assert "ipam.routes" not in str(with_route.changes)
    # As it is, it is a network of its own: no other site is reached over it.
    assert "segment" in without.values or "routes" in str(without.changes)
    init.write(project, "dev", Wanted("dev"), init.Seen(kept=with_route, site="east"), None, on_wait=pytest.fail)
    assert project.stack_values("dev")["site"] == "east"
    assert load_stack("dev", project.stack_values("dev")).segment.site == "east"
