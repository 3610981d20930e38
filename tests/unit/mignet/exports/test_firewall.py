"""What must be open for migrations: within a cluster, between clusters, for both families, and as text."""

from __future__ import annotations

import csv
import io
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import BIN

from config.loading import load_stack
from config.stack import Stack
from mignet.exports import firewall
from mignet.exports.firewall import Opening

PORTS = (32768, 60999)
DUAL = {"subnet": ["10.200.5.0/24", "fd00:200::/64"]}


def stack(name: str, first: int, segment: dict[str, Any] | None = None, **cluster: Any) -> Stack:
    slices: Any = {"rangeStart": f"10.200.5.{first}", "rangeEnd": f"10.200.5.{first + 9}"}
    if segment is DUAL:
        slices = [slices, {"rangeStart": f"fd00:200::{first}", "rangeEnd": f"fd00:200::{first + 9}"}]
    return load_stack(
        name,
        {
            "segment": segment or {"subnet": "10.200.5.0/24"},
            "cluster": {"context": name} | cluster,
            "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
            "slice": slices,
        },
    )


def found(*stacks: Stack, sync_port: int = 9185) -> list[Opening]:
    return list(firewall.openings(stacks, sync_port=sync_port, handler_ports=PORTS))


def ways(openings: list[Opening], purpose: str) -> set[tuple[str, str]]:
    return {(each.source, each.target) for each in openings if each.purpose == purpose}


def test_within_a_cluster_handlers_talk_and_between_two_the_sync_controllers_do_too() -> None:
    openings = found(stack("a", 10), stack("b", 30))
    assert ways(openings, firewall.HANDLERS) == {("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")}
    assert ways(openings, firewall.SYNC) == {("a", "b"), ("b", "a")}
    assert ways(openings, firewall.SIZE) == {("any", "a"), ("any", "b")}
    assert {each.port_text for each in openings} == {"9185", "32768-60999", "fragmentation-needed"}
    assert {each.port_text for each in found(stack("a", 10), stack("b", 30), sync_port=9186)} >= {"9186"}


def test_a_cluster_that_migrates_to_no_other_opens_nothing_to_it() -> None:
    openings = found(stack("a", 10), stack("b", 30, crossCluster=False))
    assert ways(openings, firewall.HANDLERS) == {("a", "a"), ("b", "b")}
    assert ways(openings, firewall.SYNC) == set()


def test_segments_that_share_no_address_open_nothing_to_each_other() -> None:
    other = load_stack(
        "c",
        {
            "segment": {"subnet": "10.201.0.0/24"},
            "cluster": {"context": "c"},
            "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
        },
    )
    assert ways(found(stack("a", 10), other), firewall.HANDLERS) == {("a", "a"), ("c", "c")}


def test_dual_stack_opens_the_same_for_both_families_and_never_from_one_to_the_other() -> None:
    openings = found(stack("a", 10, DUAL), stack("b", 30, DUAL))
    for version in (4, 6):
        of_family = [each for each in openings if each.takes.first.version == version]
        assert ways(of_family, firewall.SYNC) == {("a", "b"), ("b", "a")}
        assert all(each.sends is None or each.sends.first.version == version for each in of_family)
    text = firewall.as_nftables(openings, hook="forward")
    assert "ip6 daddr fd00:200::30-fd00:200::39 icmpv6 type packet-too-big accept" in text
    assert "nd-neighbor-solicit" in text


def test_the_csv_has_a_row_for_each_opening() -> None:
    openings = found(stack("a", 10), stack("b", 30))
    head, *rows = csv.reader(io.StringIO(firewall.as_csv(openings)))
    assert tuple(head) == firewall.HEAD
    assert len(rows) == len(openings)
    assert ["a", "10.200.5.10-10.200.5.19", "b", "10.200.5.30-10.200.5.39", "tcp", "9185", "synchronization"] in rows


@pytest.mark.parametrize("ports", ["1", "a-b", "2000-1000", "0-10", "1-70000"])
def test_ports_that_are_none_are_a_mistake_in_one_line(tmp_path: Path, ports: str) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: network\nruntime: python\n")
    content = {"cluster": {"context": "a"}, "segment": {"subnet": "10.200.5.0/24"}}
    content["attachment"] = {"type": "macvlan", "name": "migration", "master": "eth1"}
    config = {f"network:{key}": value for key, value in content.items()}
    (tmp_path / "Pulumi.a.yaml").write_text(yaml.safe_dump({"config": config}))
    command = [str(BIN / "mignet"), "export", "firewall", "--handler-ports", ports]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_what_passes_routers_names_the_sites_from_which_to_which() -> None:
    sites = {
        site: {"subnet": f"10.200.{at}.0/24", "gateway": f"10.200.{at}.1"} for at, site in ((5, "east"), (6, "west"))
    }
    values = {
        "segment": {"supernet": "10.200.0.0/16", "sites": sites},
        "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
    }
    one, other = (
        load_stack(name, values | {"site": site, "cluster": {"context": name}})
        for name, site in (("a", "east"), ("b", "west"))
    )
    openings = found(one, other)
    assert ways(openings, "migrations") == {("a", "a"), ("b", "b")}
    assert ways(openings, "migrations, site east to west") == {("a", "b")}
    assert ways(openings, "synchronization, site west to east") == {("b", "a")}
    assert 'comment "migrations, site east to west: a to b"' in firewall.as_nftables(openings, hook="forward")


@pytest.mark.parametrize(
    ("attachment", "code"),
    [
        ({"type": "macvlan", "master": "eth1"}, 0),
        ({"type": "localnet", "physicalNetworkName": "physnet"}, 0),
        ({"type": "bridge", "bridge": "br-mig"}, 2),
        ({"type": "cnv-bridge", "bridge": "br-mig"}, 2),
    ],
)
def test_a_policy_is_written_where_one_works(tmp_path: Path, attachment: dict[str, Any], code: int) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: network\nruntime: python\n")
    content = {"cluster": {"context": "a"}, "segment": {"subnet": "10.200.5.0/24"}}
    content["attachment"] = attachment | {"name": "migration"}
    config = {f"network:{key}": value for key, value in content.items()}
    (tmp_path / "Pulumi.a.yaml").write_text(yaml.safe_dump({"config": config}))
    command = [str(BIN / "mignet"), "export", "multinetworkpolicy"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == bool(code), done.stderr
    if code:
        assert f"attachment.type {attachment['type']} is an attachment to which no MultiNetworkPolicy" in done.stderr
    else:
        assert yaml.safe_load(done.stdout)["kind"] == "MultiNetworkPolicy"
