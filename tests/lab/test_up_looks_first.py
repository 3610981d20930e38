"""`mignet up` looks first whether the clusters are fit: a stack that is not is refused, and the others go on."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from preflight_traps import CONFIG
from support import BIN, ROOT, Kube, Outcome, Site, Workspace

from mignet.lab.lab import Lab

NAMESPACE = "openshift-cnv"


@pytest.fixture
def project(own: Lab, tmp_path: Path) -> Iterator[Workspace]:
    """A project of two stacks: the cluster of one is fit, that of the other cannot be reached."""
    kube = Kube(own.kubeconfig, "dev")
    one = Workspace(tmp_path / "project", Site(kube, own.kubeconfig, "dev", NAMESPACE))
    one.folder.mkdir()
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(ROOT / name, one.folder)
    (one.folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        content = yaml.safe_load(own.kubeconfig.read_text())
        for entry in content["clusters"]:
            entry["cluster"]["server"] = f"https://127.0.0.1:{closed.getsockname()[1]}"
        (one.folder / "elsewhere").write_text(yaml.safe_dump(content))
        write(one, "dev", str(own.kubeconfig), "10.200.5.10", "10.200.5.60")
        write(one, "gone", "elsewhere", "10.200.5.70", "10.200.5.90")
        yield one
    kube.merge(one.site.hyperconverged, {"spec": {"liveMigrationConfig": {"network": None}}}, "test")
    kube.call("DELETE", one.site.attachments)


def write(workspace: Workspace, stack: str, kubeconfig: str, start: str, end: str, **more: object) -> None:
    config = {
        **{key: value for key, value in CONFIG.items() if key != "segment"},
        "cluster": {"context": "dev", "kubeconfig": kubeconfig},
        "slice": {"rangeStart": start, "rangeEnd": end},
        **more,
    }
    written = {f"migration-network:{key}": value for key, value in config.items()}
    (workspace.folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": written}))


def up(workspace: Workspace, engine: str, *more: str) -> Outcome:
    return workspace.run("mignet", "up", "--yes", "--engine", engine, "--json", *more)


def test_a_stack_that_is_not_fit_is_refused_and_the_others_go_on(project: Workspace, engine: str) -> None:
    outcome = up(project, engine, "--all")
    assert outcome.code == 1
    done, refused = outcome.reports
    assert (done["stack"], done["error"], done["engine"]) == ("dev", None, engine)
    assert [change["operation"] for change in done["changes"]] == ["create", "update"]
    assert (refused["stack"], refused["changes"], refused["engine"]) == ("gone", [], engine)
    assert refused["error"].startswith("cluster.context dev (https://127.0.0.1:")
    assert len(refused["error"].splitlines()) == 1
    assert "migration" in project.site.live()["attachments"]


def test_nothing_is_done_for_a_stack_that_is_not_fit_and_every_reason_is_a_line(project: Workspace) -> None:
    attachment = {"type": "macvlan", "name": "migration", "master": "eth7"}
    short = ("10.200.5.10", "10.200.5.13")
    write(project, "dev", str(project.site.kubeconfig), *short, attachment=attachment)
    before = project.site.content()
    outcome = up(project, "direct", "dev")
    assert outcome.code == 1
    (report,) = outcome.reports
    assert [line.split(" is ")[0].split(" has ")[0] for line in report["error"].splitlines()] == [
        "slice 10.200.5.10-10.200.5.13",
        "Node dev-control-plane-0 NIC eth7",
        "NIC eth7",
    ]
    assert project.site.content() == before


def test_what_nobody_looked_at_is_said(project: Workspace) -> None:
    attachment = {"type": "macvlan", "name": "migration", "master": "eth7"}
    write(project, "dev", str(project.site.kubeconfig), "10.200.5.10", "10.200.5.60", attachment=attachment)
    outcome = up(project, "direct", "dev", "--skip-preflight")
    assert outcome.code == 0, outcome.out + outcome.err
    assert "--skip-preflight: no check of rights, APIs, NICs, ranges and owners on dev" in outcome.err
