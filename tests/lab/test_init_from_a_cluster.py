"""`mignet init --from-cluster` against a real API server with the lab's nodes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import forked
from support import ROOT

from config.files.project_files import Project
from config.loading import load_stack
from mignet.lab.lab import Lab


def init(folder: Path, lab: Lab, stack: str, *more: str) -> subprocess.CompletedProcess[str]:
    given = ("--context", "dev", "--kubeconfig", lab.kubeconfig, "--from-cluster", *more)
    return forked.mignet("init", stack, *given, cwd=folder)


def test_the_nic_of_the_default_route_is_rejected_with_its_reasons_and_the_other_chosen(
    lab: Lab, tmp_path: Path
) -> None:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    result = init(tmp_path, lab, "prod-1")
    assert result.returncode == 0, result.stderr
    eth0, eth1, wrote = result.stdout.splitlines()
    assert eth0 == (
        "eth0            against: has the default route on all 3 nodes; has MTU 1500, below segment.mtu 9000, on all 3"
        " nodes; has an address of 192.168.10.0/24 on all 3 nodes"
    )
    assert eth1.startswith("eth1            for: is up on all 3 nodes; ")
    assert wrote.startswith("wrote Pulumi.prod-1.yaml: ")
    project = Project.find(tmp_path)
    stack = load_stack("prod-1", project.stack_values("prod-1"))
    assert stack.attachment.master == "eth1"
    assert stack.cluster.nodes == 3
    assert {name: [str(cidr) for cidr in cidrs] for name, cidrs in stack.other_networks.items()} == {
        "machine": ["192.168.10.0/24"],
        "cluster": ["10.128.0.0/14"],
        "service": ["172.30.0.0/16"],
    }

    second = init(tmp_path, lab, "prod-2", "--master", "eth1", "--nodes", "20")
    assert second.returncode == 0, second.stderr
    assert "prod-2 has slice 10.200.5.2-10.200.5.28 (27 addresses: " in second.stdout
