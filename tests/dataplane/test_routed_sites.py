"""Two sites behind a router: what mignet renders for each, attached by the real macvlan, reaches the other site.

Real: the attachments with their route, macvlan, the kernels of nodes, pods and router, the probe. `host-local`,
restricted to the slice, stands in for whereabouts, and returns the same routes.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import forked
import pytest
import yaml
from support import ROOT
from wired import INTERFACE, SYNC, Handler, reaches

from config.files.project_files import Project
from config.finding import Finding
from config.loading import load_stack
from config.stack import Stack, path_mtu
from mignet.checkup import causes
from mignet.checkup.measurements import Measured, Probed, Way
from mignet.checkup.probe_protocol import Report, read_report
from mignet.checkup.result import End
from mignet.kube.snapshot import judge
from mignet.lab.dataplane import cni, filters
from mignet.lab.dataplane.fabric import Fabric, Host, Port
from mignet.lab.dataplane.namespaces import Namespace

PROBE = ROOT / "mignet/checkup/probe.py"
PORTS = (SYNC, 40001)
FAMILIES = {
    4: ("10.200.0.0/16", "10.200.5", "10.200.6", ".", "/24"),
    6: ("fd00:200::/32", "fd00:200:5:", "fd00:200:6:", ":", "/64"),
}


def segment(families: tuple[int, ...], mtu: int = 9000) -> dict[str, Any]:
    def site(index: int) -> dict[str, Any]:
        subnets = [
            FAMILIES[each][index] + FAMILIES[each][3] + "0" * (each == 4) + FAMILIES[each][4] for each in families
        ]
        gateways = [FAMILIES[each][index] + FAMILIES[each][3] + "1" for each in families]
        return {"subnet": subnets, "gateway": gateways, "vlan": 2000 + index, "mtu": mtu}

    return {"supernet": [FAMILIES[each][0] for each in families], "sites": {"east": site(1), "west": site(2)}}


@dataclasses.dataclass
class Sites:
    """A pod in each of two sites, and the router between them."""

    stacks: dict[str, Stack]
    pods: dict[str, Handler]
    router: Host

    def address(self, name: str, family: int) -> str:
        addresses = [ip_interface(each["address"]).ip for each in self.pods[name].result["ips"]]
        return next(str(each) for each in addresses if each.version == family)

    def small_link(self, mtu: int) -> None:
        """Give the router's link to the west a smaller MTU than the sites have."""
        self.router.space.ip(f"link set west mtu {mtu}")

    def without_icmp(self) -> None:
        """Drop what the router says of packets that are too large."""
        for nic in ("east", "west"):
            self.router.space.run("tc", "qdisc", "add", "dev", nic, "clsact")
            dropped = ["bpf", "direct-action", "bytecode", filters.without_sizes()]
            self.router.space.run("tc", "filter", "add", "dev", nic, "egress", *dropped)

    def checkup(self, folder: Path, family: int = 4) -> list[Finding]:
        """Run the probe in both pods as a checkup does, and return what is found."""
        ends = {name: End(name, f"{name}-0") for name in self.pods}
        running = {}
        for name, pod in self.pods.items():
            (other,) = self.pods.keys() - {name}
            target = {
                "address": self.address(other, family),
                "token": f"t-{other}",
                "mac": None,
                "mtu": path_mtu(self.stacks[name], self.stacks[other]),
                "routed": True,
                "ports": PORTS,
                "first": True,
            }
            content = {"address": self.address(name, family), "seconds": 25, "sources": [f"t-{other}"]}
            targets = folder / f"{name}-targets"
            targets.write_text(json.dumps(content | {"targets": [target]}))
            environment = {
                "MIGNET_TOKEN": f"t-{name}",
                "MIGNET_PORTS": ",".join(map(str, PORTS)),
                "MIGNET_SECONDS": "40",
                "MIGNET_TARGETS": str(targets),
                "MIGNET_RESULT": str(folder / name),
            }
            command = pod.space.enter(sys.executable, "-c", PROBE.read_text())
            running[name] = subprocess.Popen(command, env=os.environ | environment)
        assert [each.wait(timeout=60) for each in running.values()] == [0, 0]
        reports: dict[str, Report] = {}
        for name in self.pods:
            report = read_report((folder / name).read_text())
            assert report is not None
            reports[name] = report
        ways = []
        for name, other in (("east", "west"), ("west", "east")):
            (entry,) = reports[name].entries
            assert entry is not None
            declared = path_mtu(self.stacks[name], self.stacks[other])
            ways.append(Way(ends[name], ends[other], entry, declared, len(PORTS)))
        probes = {
            end: Probed(
                end,
                f"t-{name}",
                address=ip_interface(self.address(name, family)).ip,
                report=reports[name],
            )
            for name, end in ends.items()
        }
        return list(judge(causes.RULES, Measured(self.stacks, probes, tuple(ways))).findings)


@contextlib.contextmanager
def two_sites(folder: Path, plugins: Path, segment: dict[str, Any]) -> Iterator[Sites]:
    (folder / "Pulumi.yaml").write_text(
        yaml.safe_dump(
            {"name": "net", "runtime": "python", "config": {"segment": {"type": "object", "default": segment}}}
        )
    )
    (folder / "__main__.py").write_text((ROOT / "__main__.py").read_text())
    for name in ("east", "west"):
        config = {
            "net:cluster": {"context": name},
            "net:site": name,
            "net:attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
        }
        (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": config}))
    done = forked.mignet("render", "--all", "-o", folder / "out", cwd=folder)
    assert done.returncode == 0, done.stderr
    project = Project.find(folder)
    fabric = Fabric()
    with contextlib.ExitStack() as stack:
        stack.callback(fabric.close)
        router = Host(fabric)
        stack.callback(router.close)
        router.space.setting("ipv4.ip_forward", 1)
        router.space.setting("ipv6.conf.all.forwarding", 1)
        pods, stacks = {}, {}
        for name in ("east", "west"):
            stacks[name] = load_stack(name, project.stack_values(name))
            here = stacks[name].segment
            router.plug(name, Port(vlan=here.vlan))
            for subnet in here.subnets:
                nodad = " nodad" if subnet.version == 6 else ""
                router.space.ip(f"address add {here.gateway_of(subnet)}/{subnet.prefixlen} dev {name}{nodad}")
            documents = yaml.safe_load_all((folder / "out" / f"{name}.yaml").read_text())
            attachment = next(each for each in documents if each["kind"] == "NetworkAttachmentDefinition")
            config = json.loads(attachment["spec"]["config"])
            # A range without its gateway: host-local knows no exclude.
            for each in config["ipam"].get("ipRanges", [config["ipam"]]):
                assert each.pop("exclude")
            node = Host(fabric)
            stack.callback(node.close)
            node.plug("eth1", Port(vlan=here.vlan))
            space = Namespace()
            space.setting("ipv6.conf.default.accept_dad", 0)
            ranges = cni.host_local(config["ipam"], folder / "books" / name)
            for (one,) in ranges["ranges"]:
                subnet = next(each for each in here.subnets if str(each) == one["subnet"])
                one["rangeStart"] = str(subnet.network_address + 10)
            pod = Handler(name, node, space, cni.stand_in(config, ranges), cni.Runtime(plugins, node.space))
            stack.callback(space.close)
            pod.attach()
            stack.callback(pod.detach)
            pods[name] = pod
        yield Sites(stacks, pods, router)


@pytest.fixture
def sites(request: pytest.FixtureRequest, tmp_path: Path, plugin_folder: Path) -> Iterator[Sites]:
    with two_sites(tmp_path, plugin_folder, getattr(request, "param", segment((4,)))) as made:
        yield made


def test_pods_of_two_sites_reach_each_other_through_the_one_route_that_comes_with_the_address(sites: Sites) -> None:
    east, west = sites.pods["east"], sites.pods["west"]
    routes = json.loads(east.space.run("ip", "-json", "route", "show", "dev", INTERFACE))
    assert {each["dst"]: each.get("gateway") for each in routes} == {
        "10.200.0.0/16": "10.200.5.1",
        "10.200.5.0/24": None,
    }
    for port in (SYNC, 0):
        assert reaches(east, west, port)
        assert reaches(west, east, port)
    east.space.ip("route delete 10.200.0.0/16")
    assert not reaches(west, east, SYNC, patience=0.5), "there is no other way"


@pytest.mark.parametrize(
    "sites", [segment((4,)), segment((6,)), segment((4, 6))], indirect=True, ids=["4", "6", "both"]
)
def test_a_checkup_finds_nothing_where_the_declared_mtu_passes(sites: Sites, tmp_path: Path) -> None:
    for subnet in sites.stacks["east"].segment.subnets:
        assert sites.checkup(tmp_path, subnet.version) == []


@pytest.mark.parametrize("sites", [segment((4, 6))], indirect=True)
@pytest.mark.parametrize("family", [4, 6])
def test_a_checkup_reports_a_black_hole_between_sites(sites: Sites, family: int, tmp_path: Path) -> None:
    sites.small_link(1500)
    sites.without_icmp()
    (found,) = sites.checkup(tmp_path, family)
    assert (found.code, found.severity, {found.stack, found.peer}) == ("checkup-path-mtu", "error", {"east", "west"})
    assert "carries 1500 bytes in one piece, not 9000, and what is larger is lost without a word" in found.rule
    assert "a black hole" in found.rule


def test_where_the_router_says_what_is_too_large_tcp_gets_along_and_the_checkup_warns(
    sites: Sites, tmp_path: Path
) -> None:
    sites.small_link(1500)
    (found,) = sites.checkup(tmp_path)
    assert (found.code, found.severity) == ("checkup-path-mtu", "warning")
    assert "TCP gets along" in found.rule


@pytest.mark.parametrize("sites", [segment((4,)) | {"mtu": 1500}], indirect=True)
def test_a_black_hole_is_found_as_well_where_the_files_know_the_smaller_mtu(sites: Sites, tmp_path: Path) -> None:
    sites.small_link(1500)
    assert sites.checkup(tmp_path) == []
    sites.without_icmp()
    for pod in sites.pods.values():
        pod.space.ip("route flush cache")
    (found,) = sites.checkup(tmp_path)
    assert (found.code, found.severity) == ("checkup-path-mtu", "error")
