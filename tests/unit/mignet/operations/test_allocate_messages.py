"""docs/addresses.md shows every message of allocate, release and init as it really prints."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from config.files.project_files import Project
from config.finding import ConfigError
from config.segment import Segment
from mignet.fleet import stack_files
from mignet.kube.network.localnets import Mapped
from mignet.kube.network.nic_choice import Nic
from mignet.operations import allocate, init, new_links
from mignet.operations.init import Wanted
from mignet.operations.read_uplinks import read_uplinks

DOCUMENT = ROOT / "docs" / "addresses.md"
MESSAGES = re.search(r"^## Messages\n.*?^```text\n(.*?)^```$", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)

CLUSTER = (
    "cluster: {{context: prod, nodes: {nodes}, headroom: 0}}, "
    "attachment: {{type: macvlan, name: m, master: eth1{ipam}}}"
)


def stack(folder: Path, name: str, *, nodes: int = 3, span: str | None = None, ipam: str = "", more: str = "") -> None:
    content = CLUSTER.format(nodes=nodes, ipam=ipam)
    if span:
        first, _, last = span.partition("-")
        content += f", slice: &s {{rangeStart: {first}, rangeEnd: {last}}}"
    (folder / f"Pulumi.{name}.yaml").write_text(f"config: {{{content}{more}}}\n")


def project(folder: Path, subnet: str = "10.200.5.0/24") -> Project:
    (folder / "Pulumi.yaml").write_text(
        f"name: migration-network\nconfig: {{segment: {{default: {{subnet: '{subnet}'}}}}}}\n"
    )
    return Project.find(folder)


def no_room(folder: Path) -> None:
    stack(folder, "prod-1", nodes=300)
    allocate.allocate(project(folder), ["prod-1"])


def no_room_at_all(folder: Path) -> None:
    stack(folder, "prod-1", nodes=5000)
    stack(folder, "prod-2", span="192.168.128.0-192.168.128.99")
    allocate.allocate(project(folder, "192.168.0.0/20"), ["prod-1"], headroom=1000)


def no_growth(folder: Path) -> None:
    stack(folder, "prod-1", span="10.200.5.2-10.200.5.15")
    stack(folder, "prod-2", span="10.200.5.16-10.200.5.40")
    allocate.allocate(project(folder), ["prod-1"], nodes=15)


def no_growth_at_all(folder: Path) -> None:
    stack(folder, "prod-1", span="10.200.5.10-10.200.5.15")
    stack(folder, "prod-2", span="10.200.5.16-10.200.5.40")
    stack(folder, "prod-3", span="10.200.5.2-10.200.5.7")
    allocate.allocate(project(folder), ["prod-1"], nodes=9)


def unknown_nodes(folder: Path) -> None:
    stack(folder, "prod-1")
    file = folder / "Pulumi.prod-1.yaml"
    file.write_text(file.read_text().replace(", nodes: 3, headroom: 0", ""))
    allocate.allocate(project(folder), ["prod-1"])


def no_use(folder: Path) -> None:
    stack(folder, "prod-1", ipam=", ipam: {type: dhcp}")
    allocate.allocate(project(folder), ["prod-1"])


def repeated(folder: Path) -> None:
    stack(folder, "prod-1", span="10.200.5.10-10.200.5.15", more=", other:key: *s")
    allocate.release(project(folder), ["prod-1"])


def no_config(folder: Path) -> None:
    (folder / "Pulumi.prod-1.yaml").write_text("encryptionsalt: v1\n")
    allocate.release(project(folder), ["prod-1"])


def disk_full(folder: Path) -> None:
    def full(fd: int) -> None:
        raise OSError(28, os.strerror(28))

    stack(folder, "prod-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        allocate.allocate(project(folder), ["prod-1"])


def exists(folder: Path) -> None:
    stack(folder, "prod-1")
    stack_files.create(project(folder), "prod-1", "")


def chosen(nics: tuple[Nic, ...] = (), localnets: tuple[Mapped, ...] = ()) -> None:
    init.choose("prod-1", Wanted("prod-1"), init.Seen(nics, localnets))


BUSY = Nic("eth0", (), ("has the default route on all 3 nodes",), 1)
PHYSNET = Mapped("physnet", ("br-mig",))


def no_nic(_: Path) -> None:
    chosen()


def equal_nics(_: Path) -> None:
    chosen((Nic("eth1", (), (), 1), Nic("eth2", (), (), 1)))


def no_fit_nic(_: Path) -> None:
    chosen((BUSY,))


def equal_localnets(_: Path) -> None:
    chosen((BUSY,), (PHYSNET, Mapped("storage", ("br-st",))))


def flags(**given: Any) -> Callable[[Path], None]:
    return lambda _: (new_links.read(**given), None)[1]


def other_vlan(_: Path) -> None:
    new_links.against_segment(new_links.read(vlan="7"), Segment.model_validate({"subnet": "10.0.0.0/24", "vlan": 5}))


def on_nodes(**given: str) -> Callable[[Path], None]:
    return lambda _: new_links.against_nodes(
        new_links.read(**given), (BUSY,), (PHYSNET, Mapped("some", ("br-x",), missing=("worker-2",)))
    )


def made_already(_: Path) -> None:
    found = new_links.sections(
        new_links.read(vlan="7", master="eth1"), Segment.model_validate({"subnet": "10.0.0.0/24"}), None, name="m"
    )
    new_links.against_interfaces(found, {"eth1.7"})


def uplink_from(name: str, **interface: Any) -> Callable[[Path], None]:
    state = {"interfaces": [{"name": "br-phy"} | interface]}
    policies = [{"metadata": {"name": "br-phy"}, "spec": {"desiredState": state}}]
    segment = Segment.model_validate({"subnet": "10.0.0.0/24"})
    return lambda _: (read_uplinks([name], policies, segment, end=None, name="m"), None)[1]


def no_segment(folder: Path) -> None:
    (folder / "Pulumi.yaml").write_text("name: migration-network\n")
    init.segment_of(Project.find(folder), "prod-1")


CASES: list[Callable[[Path], None]] = [
    no_room, no_room_at_all, no_growth, no_growth_at_all, unknown_nodes, no_use, repeated, no_config, disk_full,
    exists, no_nic, equal_nics, no_fit_nic, equal_localnets, no_segment,
    flags(vlan="4095"), flags(vlan="2001", master="eth1.2001"), other_vlan, made_already,
    flags(bond="eth1"), flags(bond="eth1,eth1"), flags(bond="eth1,eth2", master="eth3"),
    flags(bond="eth1,eth2:lacp"), on_nodes(bond="eth0,eth1"), on_nodes(bond="eth1,eth2"),
    flags(localnet="physnet", master="eth1"), on_nodes(localnet="phys"), on_nodes(localnet="some"),
    flags(policies=["one"], vlan="7"), uplink_from("one"),
    uplink_from("br-phy", type="ovs-bridge", bridge={"port": [{"name": "eth1"}]}),
]  # fmt: skip


def test_every_message_is_shown_as_it_prints_and_no_other(tmp_path: Path) -> None:
    printed = []
    for index, case in enumerate(CASES):
        folder = tmp_path / str(index)
        folder.mkdir()
        with pytest.raises(ConfigError) as caught:
            case(folder)
        printed.append(str(caught.value))
    assert MESSAGES is not None
    assert MESSAGES[1].splitlines() == printed, "in docs/addresses.md:\n" + "\n".join(printed)
