"""`mignet init --from-cluster` against a real API server with the lab's nodes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import forked
from operated import Operated, condition, until
from support import ROOT

from config.files.project_files import Project
from config.loading import load_stack
from mignet.lab.lab import Lab

POLICIES = "/apis/nmstate.io/v1/nodenetworkconfigurationpolicies"


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
    assert "prod-2 has slice 10.200.5.16-10.200.5.84 (69 addresses: " in second.stdout


def start(operated: Operated) -> None:
    """Begin without a stack, in the folder of the lab's own."""
    for name in ("dev", "dev-peer"):
        (operated.folder / f"Pulumi.{name}.yaml").unlink()


def test_a_vlan_comes_up_on_the_nic_that_was_chosen_and_is_made_once(operated: Operated) -> None:
    start(operated)
    made = init(operated.folder, operated.lab, "first", "--vlan", "2001")
    assert made.returncode == 0, made.stdout + made.stderr
    # Under a VLAN of its own, the NIC of the default route still is none to choose.
    assert made.stdout.startswith("eth0            against: has the default route on all 3 nodes\n")
    outcome = operated.run("up", "first", "--yes", "--engine", "direct")
    assert outcome.code == 0, outcome.out + outcome.err
    verified = operated.run("verify", "first", "--no-peers")
    assert verified.code == 0, verified.out + verified.err
    again = init(operated.folder, operated.lab, "second", "--vlan", "2001", "--master", "eth1")
    assert (again.returncode, again.stderr) == (
        2,
        "mignet: --vlan would make eth1.2001, which is on nodes already, and may be in use. Attach to it as it is,"
        " without --vlan: --master eth1.2001\n",
    )


def test_where_no_nic_is_free_a_localnet_of_the_nodes_is_found(operated: Operated) -> None:
    start(operated)
    interfaces = [{"name": "br-mig", "type": "ovs-bridge", "state": "up", "bridge": {"port": [{"name": "eth1"}]}}]
    mapping = {"localnet": "physnet", "bridge": "br-mig", "state": "present"}
    state = {"interfaces": interfaces, "ovn": {"bridge-mappings": [mapping]}}
    policy = {"apiVersion": "nmstate.io/v1", "kind": "NodeNetworkConfigurationPolicy", "metadata": {"name": "br-mig"}}
    operated.dev.kube.call("POST", POLICIES, json=policy | {"spec": {"desiredState": state}})
    until(lambda: condition(operated.dev.get(f"{POLICIES}/br-mig"), "Available") == "True")
    wrong = init(operated.folder, operated.lab, "first", "--localnet", "phys")
    assert (wrong.returncode, wrong.stderr) == (
        2,
        "mignet: --localnet phys is the localnet of no bridge mapping on the nodes. Localnets there: physnet\n",
    )
    made = init(operated.folder, operated.lab, "first")
    assert made.returncode == 0, made.stdout + made.stderr
    *_, localnet, wrote = made.stdout.splitlines()
    assert localnet == "physnet         localnet by br-mig"
    assert wrote.endswith("; no NIC is free, and migrations go over localnet physnet")
    outcome = operated.run("up", "first", "--yes", "--engine", "direct")
    assert outcome.code == 0, outcome.out + outcome.err
    verified = operated.run("verify", "first", "--no-peers")
    assert verified.code == 0, verified.out + verified.err
