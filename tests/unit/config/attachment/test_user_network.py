"""A ClusterUserDefinedNetwork: what is declared of it, and what it cannot be."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from support import ROOT

from config.finding import ConfigError
from config.loading import load_stack
from config.stack import Stack
from mignet.kube.network.cni_configuration import ovn_parts

SEGMENT = {
    "subnet": "10.200.5.0/24",
    "vlan": 2001,
    "mtu": 9000,
    "gateway": "10.200.5.1",
    "reserved": ["10.200.5.250-10.200.5.254"],
}
ATTACHMENT = {"type": "clusterUserDefinedNetwork", "name": "migration", "physicalNetworkName": "physnet"}
SLICE = {"rangeStart": "10.200.5.16", "rangeEnd": "10.200.5.63"}
TWO = ["10.200.5.0/24", "fd00:200:5::/64"]
SLICES = [SLICE, {"rangeStart": "fd00:200:5::10", "rangeEnd": "fd00:200:5::3f"}]


def stack(keys: dict[str, Any] | None = None, **sections: Any) -> Stack:
    values = {"segment": SEGMENT, "cluster": {"context": "dev"}, "slice": SLICE} | sections
    values["attachment"] = ATTACHMENT | (keys or {})
    return load_stack("dev", {key: value for key, value in values.items() if value is not None})


def broken(keys: dict[str, Any] | None = None, **sections: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        stack(keys, **sections)
    return [each.code for each in caught.value.findings]


def test_the_segment_gives_subnet_tag_and_mtu_and_the_slice_what_is_excluded() -> None:
    assert stack().user_network == {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "openshift-cnv"}},
        "network": {
            "topology": "Localnet",
            "localnet": {
                "role": "Secondary",
                "physicalNetworkName": "physnet",
                "subnets": ["10.200.5.0/24"],
                "excludeSubnets": ["10.200.5.0/28", "10.200.5.64/26", "10.200.5.128/25"],
                "vlan": {"mode": "Access", "access": {"id": 2001}},
                "mtu": 9000,
            },
        },
    }


def test_without_tag_mtu_and_excludes_their_keys_are_left_out() -> None:
    bare = stack({"vlanID": 0}, segment={"subnet": "fd00:200:5::/64"}, slice=None)
    assert bare.user_network is not None
    assert bare.user_network["network"]["localnet"] == {
        "role": "Secondary",
        "physicalNetworkName": "physnet",
        "subnets": ["fd00:200:5::/64"],
    }


def test_two_families_are_two_subnets_in_one_network() -> None:
    both = stack(segment={"subnet": TWO}, slice=SLICES)
    localnet = (both.user_network or {})["network"]["localnet"]
    assert localnet["subnets"] == TWO
    assert {block.partition("/")[0].count(":") > 0 for block in localnet["excludeSubnets"]} == {True, False}


def test_the_controllers_configuration_gives_what_the_slice_says() -> None:
    config = stack().cni_config
    parts = ovn_parts(config)
    assert parts is not None
    assert [str(each) for _, free in parts for each in free] == ["10.200.5.16-10.200.5.63"]
    assert (config["role"], config["vlanID"], config["mtu"]) == ("secondary", 2001, 9000)


def test_every_change_is_another_name_the_slice_included() -> None:
    first = stack().network
    assert re.fullmatch(r"migration-[0-9a-f]{8}", first)
    assert stack({"adopt": True}).network == first
    assert stack({"namespaceSelector": {"matchLabels": {"a": "b"}}}).network == first, "that can be changed"
    moved = SLICE | {"rangeEnd": "10.200.5.62"}
    others = {stack({"mtu": 1500}).network, stack({"vlanID": 2001}, slice=moved).network}
    assert len({first, *others}) == 3
    assert stack({"rollout": "in-place"}).network == "migration"


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"cniName": "x"}, "cudn-cni"),
        ({"cniVersion": "1.0.0"}, "cudn-cni"),
        ({"ipam": {"type": "whereabouts"}}, "localnet-ipam"),
        ({"vlan": 5}, "localnet-vlan"),
        ({"vlanID": 5}, "localnet-vlan-differs"),
        ({"physicalNetworkName": "a,b"}, "name-cni"),
        ({"subnets": ["10.200.5.0/24"]}, "key-unknown"),
        ({"excludeSubnets": ["10.200.5.0/24"]}, "cudn-excludes-differ"),
        ({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}, "selector-values"),
        (
            {"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}},
            "selector-values",
        ),
    ],
)
def test_what_it_has_no_place_for_is_refused(keys: dict[str, Any], code: str) -> None:
    assert broken(keys) == [code]


def test_blocks_in_another_form_are_kept_as_they_are_written() -> None:
    blocks = ["10.200.5.128/25", "10.200.5.64/27", "10.200.5.96/27", "10.200.5.0/28"]
    network = stack({"excludeSubnets": blocks}).user_network
    assert (network or {})["network"]["localnet"]["excludeSubnets"] == blocks


def test_a_slice_that_needs_more_than_25_blocks_is_refused_with_the_nearest_that_fits() -> None:
    wide = {"subnet": ["10.200.0.0/16", "fd00:200:5::/64"]}
    slices = [
        {"rangeStart": "10.200.85.83", "rangeEnd": "10.200.85.170"},
        {"rangeStart": "fd00:200:5::55", "rangeEnd": "fd00:200:5::155"},
    ]
    with pytest.raises(ConfigError) as caught:
        stack(segment=wide, slice=slices)
    (found,) = caught.value.findings
    assert found.code == "cudn-excludes"
    assert "takes 31 excludeSubnets, and a ClusterUserDefinedNetwork may have 25" in str(found)
    said = re.search(r"fits is (\S+)-(\S+) and (\S+)-(\S+)$", str(found))
    assert said is not None, str(found)
    first, last, first6, last6 = said.groups()
    near = [{"rangeStart": first, "rangeEnd": last}, {"rangeStart": first6, "rangeEnd": last6}]
    network = stack(segment=wide, slice=near).user_network or {}
    assert len(network["network"]["localnet"]["excludeSubnets"]) <= 25


def test_reserved_addresses_that_need_too_many_blocks_are_said_of_the_segment() -> None:
    reserved = [f"10.200.{n}.1" for n in range(30)]
    with pytest.raises(ConfigError) as caught:
        stack(segment={"subnet": "10.200.0.0/16", "reserved": reserved}, slice=None)
    (found,) = caught.value.findings
    assert (found.code, found.key) == ("cudn-excludes", "segment.reserved")


def test_the_labs_definition_takes_what_is_declared() -> None:
    """Every key is one that the slim definition knows, and the list is no longer than it allows."""
    crd = yaml.safe_load((ROOT / "mignet/lab/crds/clusteruserdefinednetwork.crd.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    known = schema["network"]["properties"]["localnet"]["properties"]
    network = stack().user_network or {}
    assert network["network"]["localnet"].keys() <= known.keys()
    assert known["excludeSubnets"]["maxItems"] == 25
    assert json.loads(stack().cni_json) == stack().cni_config
