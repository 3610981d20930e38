"""Routed sites: which segment a stack is on, its route, and what must hold between the sites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.attachment import Attachment, Localnet, Macvlan
from config.files.fleet_files import read_fleet
from config.files.project_files import Project
from config.files.source_location import place_of
from config.finding import Finding
from config.loading import load_stack, read_segment, read_stack
from config.sites import RoutedSegment, SiteSegment, values_of
from config.stack import Stack, gateways_between, path_mtu

EAST = {"subnet": "10.200.5.0/24", "gateway": "10.200.5.1", "vlan": 2001, "mtu": 9000}
WEST = {"subnet": "10.200.6.0/24", "gateway": "10.200.6.1", "vlan": 2002, "mtu": 8000}
ROUTED = {"supernet": "10.200.0.0/16", "sites": {"east": EAST, "west": WEST}}
BOTH = {
    "supernet": ["10.200.0.0/16", "fd00:200::/32"],
    "sites": {
        "east": {"subnet": ["fd00:200:5::/64", "10.200.5.0/24"], "gateway": ["10.200.5.1", "fd00:200:5::1"]},
        "west": {"subnet": ["10.200.6.0/24", "fd00:200:6::/64"], "gateway": ["fd00:200:6::1", "10.200.6.1"]},
    },
}
MACVLAN = {"type": "macvlan", "name": "migration", "master": "eth1"}


def values(site: str | None = "east", **changes: Any) -> dict[str, Any]:
    own = {"segment": ROUTED, "cluster": {"context": "c"}, "attachment": MACVLAN} | changes
    return own if site is None else own | {"site": site}


def stack(site: str = "east", name: str = "prod-1", **changes: Any) -> Stack:
    return load_stack(name, values(site, **changes))


def found(site: str | None = "east", **changes: Any) -> list[Finding]:
    return list(read_stack("prod-1", values(site, **changes))[1])


def codes(site: str | None = "east", **changes: Any) -> list[str]:
    return [each.code for each in found(site, **changes)]


def test_a_stack_has_the_segment_of_its_site() -> None:
    west = stack("west").segment
    assert (str(west.subnet), str(west.gateway), west.vlan, west.mtu) == ("10.200.6.0/24", "10.200.6.1", 2002, 8000)
    assert (west.site, west.key) == ("west", "segment.sites.west")
    assert [str(each) for each in west.supernets] == ["10.200.0.0/16"]


@pytest.mark.parametrize("type_", ["whereabouts", "host-local"])
def test_an_attachment_carries_one_route_to_the_supernet(type_: str) -> None:
    config = stack(attachment=MACVLAN | {"ipam": {"type": type_}}, waivers={"ipam-duplicates": "a test"}).cni_config
    assert config["ipam"]["routes"] == [{"dst": "10.200.0.0/16", "gw": "10.200.5.1"}]


def test_of_two_families_it_carries_one_of_each_whatever_the_order_of_the_gateways() -> None:
    assert stack("west", segment=BOTH).cni_config["ipam"]["routes"] == [
        {"dst": "10.200.0.0/16", "gw": "10.200.6.1"},
        {"dst": "fd00:200::/32", "gw": "fd00:200:6::1"},
    ]


def test_without_sites_there_is_no_route() -> None:
    plain = load_stack("prod-1", values(None, segment={"subnet": "10.200.5.0/24", "gateway": "10.200.5.1"}))
    assert "routes" not in plain.cni_config["ipam"]
    assert (plain.segment.site, plain.segment.routes, plain.segment.key) == (None, (), "segment")


def test_routes_of_the_attachments_own_stay_and_one_to_the_supernet_is_not_written_twice() -> None:
    own = [{"dst": "192.0.2.0/24"}, {"dst": "10.200.0.0/16", "gw": "10.200.5.9"}]
    static = {"type": "static", "addresses": [{"address": "10.200.5.7/24"}], "routes": own}
    waived = {"ipam-duplicates": "a test"}
    assert stack(attachment=MACVLAN | {"ipam": static}, waivers=waived).cni_config["ipam"]["routes"] == own


def test_a_new_site_changes_no_attachment_that_exists_and_a_wider_supernet_renames_it() -> None:
    rename = MACVLAN | {"rollout": "rename"}
    before = stack(attachment=rename)
    north = {"subnet": "10.200.7.0/24", "gateway": "10.200.7.1"}
    more = stack(attachment=rename, segment=ROUTED | {"sites": {**ROUTED["sites"], "north": north}})  # type: ignore[dict-item]
    wider = stack(attachment=rename, segment=ROUTED | {"supernet": "10.200.0.0/15"})
    assert (more.cni_json, more.network) == (before.cni_json, before.network)
    assert wider.network != before.network


def test_only_attachments_that_give_routes_may_be_in_a_site() -> None:
    assert (Attachment.gives_routes, Localnet.gives_routes, Macvlan.gives_routes) == (False, False, True)
    assert "site-no-routes" in codes(attachment={"type": "localnet", "name": "migration"})
    assert "site-no-routes" not in codes()
    assert "site-dhcp" in codes(attachment=MACVLAN | {"ipam": {"type": "dhcp"}})


@pytest.mark.parametrize(
    ("site", "expected"),
    [
        (None, "site is required: the segment has sites. Write the one that this cluster is in: east, west"),
        ("eastt", "site eastt is no site of the segment. Did you mean east? Sites: east, west"),
        (7, "site 7 is not text. Put it in quotes"),
        ({}, "site {} is not text"),
    ],
)
def test_a_stack_without_a_site_of_the_segment_cannot_be_read(site: Any, expected: str) -> None:
    (one,) = found(site)
    assert str(one).startswith(f"prod-1: {expected}")
    assert read_segment("prod-1", values(site)) == (one,)


def test_a_site_without_sites_is_said() -> None:
    (one,) = found("east", segment={"subnet": "10.200.5.0/24"})
    assert str(one).startswith("prod-1: site east is named, and the segment has no sites")


def test_a_mistake_inside_a_site_names_its_key() -> None:
    broken = {"supernet": "10.200.0.0/16", "sites": {"east": EAST | {"gatway": "x"}, "west": WEST | {"vlan": 5000}}}
    keys = [(each.key, each.code) for each in found(segment=broken)]
    assert keys == [("segment.sites.east.gatway", "key-unknown"), ("segment.sites.west.vlan", "value-less-than-equal")]


def test_what_a_rule_says_of_the_segment_names_the_key_in_the_site_and_its_line_in_the_file(tmp_path: Path) -> None:
    content = {"name": "net", "config": {"segment": {"default": ROUTED}}}
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    own = {"site": "west", "cluster": {"context": "c"}, "attachment": MACVLAN, "otherNetworks": {"m": "10.200.6.0/25"}}
    (tmp_path / "Pulumi.prod-1.yaml").write_text(yaml.safe_dump({"config": own}))
    project = Project.find(tmp_path)
    (one,) = read_fleet(project).findings
    assert (one.code, one.key) == ("subnet-overlap", "segment.sites.west.subnet")
    place = place_of(project, one)
    lines = (tmp_path / "Pulumi.yaml").read_text().splitlines()
    assert (place.path.name, lines[place.line - 1].strip()) == ("Pulumi.yaml", "subnet: 10.200.6.0/24")


def test_a_network_of_the_cluster_must_not_lie_in_the_supernet() -> None:
    (one,) = found(otherNetworks={"machine": "10.200.128.0/20"})
    assert (one.code, one.key, one.value) == ("subnet-overlap", "segment.supernet", "10.200.0.0/16")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"supernet": ["10.200.0.0/16", "10.201.0.0/16"]}, {"supernet-families"}),
        ({"sites": {"east": EAST, "west": {"subnet": "10.200.6.0/24"}}}, {"site-gateway"}),
        (
            {"sites": {"east": EAST, "west": WEST | {"subnet": "10.201.6.0/24", "gateway": "10.201.6.1"}}},
            {"site-outside"},
        ),
        ({"sites": {"east": EAST, "west": WEST | {"subnet": "10.200.0.0/20"}}}, {"site-overlap"}),
        ({"supernet": ["10.200.0.0/16", "fd00:200::/32"]}, {"site-families"}),
        ({"mtu": 8500}, {"site-mtu"}),
        ({"mtu": 1500}, {"site-path-mtu"}),
        ({"mtu": 8000}, {"site-path-mtu"}),
        ({"sites": {}}, {"value-too-short"}),
    ],
)
def test_what_must_hold_between_sites(changes: dict[str, Any], expected: set[str]) -> None:
    assert set(codes(segment=ROUTED | changes)) == expected


def test_a_slice_lies_in_the_subnet_of_its_site() -> None:
    west = {"rangeStart": "10.200.6.10", "rangeEnd": "10.200.6.20"}
    assert codes("west", slice=west) == []
    assert set(codes("east", slice=west)) == {"slice-outside"}


def fleet(folder: Path, **stacks: dict[str, Any]) -> Any:
    (folder / "Pulumi.yaml").write_text(json.dumps({"name": "net", "config": {"segment": {"default": ROUTED}}}))
    for name, own in stacks.items():
        config = {"cluster": {"context": name}, "attachment": MACVLAN} | own
        (folder / f"Pulumi.{name}.yaml").write_text(json.dumps({"config": config}))
    return read_fleet(Project.find(folder))


def test_stacks_of_two_sites_share_a_segment_and_no_addresses(tmp_path: Path) -> None:
    files = fleet(tmp_path, a={"site": "east"}, b={"site": "west"})
    assert (files.findings, files.between()) == ((), ())
    assert [[each.name for each in group] for group in files.fleet.segments] == [["a", "b"]]
    assert [[each.name for each in group] for group in files.fleet.links] == [["a"], ["b"]]


def test_stacks_of_one_site_need_slices_of_their_own(tmp_path: Path) -> None:
    files = fleet(tmp_path, a={"site": "east"}, b={"site": "east"}, c={"site": "west"})
    assert [(each.code, each.stack) for each in files.between()] == [("slice-missing", "a"), ("slice-missing", "b")]


def test_a_stack_that_has_its_own_copy_of_the_sites_is_reported(tmp_path: Path) -> None:
    files = fleet(tmp_path, a={"site": "east", "segment": ROUTED}, b={"site": "west"})
    assert [(each.code, each.stack) for each in files.between()] == [("segment-overridden", "a")]
    apart = fleet(tmp_path, a={"segment": {"subnet": "192.0.2.0/24"}}, b={"site": "west"})
    (one,) = apart.between()
    assert "takes the place of the whole segment of Pulumi.yaml (10.200.0.0/16)" in one.rule


def test_the_mtu_of_a_path_is_the_least_on_it() -> None:
    east, west = stack("east"), stack("west")
    assert (path_mtu(east, west), path_mtu(east, east)) == (8000, 9000)
    waived = {"site-path-mtu": "routers may speak"}
    lesser = ROUTED | {"mtu": 1500}
    between = [stack(site, segment=lesser, waivers=waived) for site in ("east", "west")]
    assert (path_mtu(*between), path_mtu(between[0], between[0])) == (1500, 9000)
    small = stack("west", attachment=MACVLAN | {"mtu": 1400})
    assert path_mtu(east, small) == 1400


def test_an_mtu_that_nobody_says_is_not_known_unless_the_segment_says_what_passes_between() -> None:
    silent = {"supernet": "10.200.0.0/16", "sites": {"east": EAST, "west": WEST | {"mtu": None}}}
    assert path_mtu(stack("east", segment=silent), stack("west", segment=silent)) is None
    told = silent | {"mtu": 1500}
    waived = {"site-path-mtu": "routers may speak"}
    east, west = stack("east", segment=told, waivers=waived), stack("west", segment=told)
    assert (path_mtu(east, west), path_mtu(west, west)) == (1500, None)


def test_a_path_leads_through_both_gateways_of_the_family_that_migrations_use() -> None:
    east, west = stack("east", segment=BOTH), stack("west", segment=BOTH)
    assert [str(each) for each in gateways_between(east, west)] == ["10.200.5.1", "10.200.6.1"]
    assert [str(each) for each in gateways_between(west, east)] == ["10.200.6.1", "10.200.5.1"]
    assert gateways_between(east, east) == ()


@pytest.mark.parametrize("segment", [ROUTED, BOTH, {"subnet": "10.200.5.0/24", "mtu": 9000}])
def test_a_segment_is_written_as_the_values_that_it_is_read_from(segment: dict[str, Any]) -> None:
    one = load_stack("prod-1", values("east" if "sites" in segment else None, segment=segment)).segment
    assert read_segment("prod-1", values_of(one)) == one


def test_sites_are_the_same_values_as_json_text() -> None:
    routed = RoutedSegment.model_validate_json(json.dumps(ROUTED))
    text = values("east") | {"segment": json.dumps(ROUTED)}
    assert load_stack("prod-1", text).segment == routed.by_name["east"]
    assert isinstance(routed.by_name["east"], SiteSegment)
    assert len({*routed.by_name.values()}) == 2
