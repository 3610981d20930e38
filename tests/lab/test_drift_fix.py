"""`mignet drift --fix`: it asks a person, waits for what it has set off, and ends with 0 when nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import threading

import pytest
import yaml
from operated import ATTACHMENTS, HCO, Operated, state, until
from support import BIN, Kube, Site, Workspace, beside


@pytest.mark.parametrize(("answer", "code", "value"), [("n", 7, 99), ("y", 0, 800)])
def test_on_a_terminal_a_repair_is_asked_for_after_the_drift_is_shown(
    workspace: Workspace, answer: str, code: int, value: int
) -> None:
    site = workspace.site
    assert workspace.mignet("up", "direct").code == 0
    site.kube.merge(
        site.hyperconverged, {"spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 99}}}, "kubectl-edit"
    )
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [BIN / "mignet", "drift", workspace.stack, "--engine", "direct", "--fix", "--wait", "0"],
        cwd=workspace.folder,
        env=workspace.environment,
        stdin=theirs,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    os.close(ours)
    os.close(theirs)
    assert done.returncode == code, done.stdout + done.stderr
    shown, asked, _ = done.stderr.partition(f"run up for {workspace.stack}? [y/N]")
    assert asked
    assert "completionTimeoutPerGiB: 99 → 800   set by kubectl-edit" in shown
    assert site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]["completionTimeoutPerGiB"] == value


def test_a_repair_waits_for_the_rollout_that_it_sets_off(operated: Operated) -> None:
    operated.up("dev")
    patch = {"spec": {"liveMigrationConfig": {"network": None}}}
    operated.dev.kube.merge(HCO, patch, "Mozilla")
    fixed = operated.run("drift", "dev", "--engine", "direct", "--fix", "--yes", "--json")
    assert fixed.code == 0, fixed.out + fixed.err
    assert fixed.findings == []
    assert operated.dev.settled("my-secondary-network")


def test_with_names_that_carry_the_hash_an_edit_is_put_back_and_nothing_is_left(operated: Operated) -> None:
    path = operated.folder / "Pulumi.dev.yaml"
    attachment = yaml.safe_load(path.read_text())["config"]["migration-network:attachment"]
    operated.change("dev", attachment=attachment | {"rollout": "rename"})
    operated.up("dev")
    (name,) = [key[1] for key in state(operated.dev.kube) if key[0] == ATTACHMENTS]
    config = json.loads(operated.dev.get(f"{ATTACHMENTS}/{name}")["spec"]["config"])
    operated.dev.merge(f"{ATTACHMENTS}/{name}", {"spec": {"config": json.dumps(config | {"mtu": 1400})}})
    fixed = operated.run("drift", "dev", "--engine", "direct", "--fix", "--yes", "--json")
    assert fixed.code == 0, fixed.out + fixed.err
    # In the same second, the pods are not older than the repair.
    assert {each["code"] for each in fixed.findings} <= {"pods-keep-old-network"}
    assert operated.run("verify", "dev").code == 0


def test_what_a_user_accepts_is_shown_as_waived_and_is_no_drift(workspace: Workspace) -> None:
    reason = "the two are the same team's"
    assert workspace.mignet("up", "direct").code == 0
    live = workspace.site.live()["attachments"]["migration"]
    ours = {key: live[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "migration"}}
    workspace.site.kube.call(
        "PATCH",
        f"{workspace.site.attachments}/migration",
        content=json.dumps(ours),
        headers={"content-type": "application/apply-patch+yaml"},
        params={"fieldManager": "argocd-controller"},
    )
    before = workspace.mignet("drift", "direct")
    workspace.config["waivers"] = {"field-co-owned": reason}
    workspace.write()
    after = workspace.mignet("drift", "direct")
    table = workspace.run("mignet", "drift", workspace.stack, "--engine", "direct")
    assert (before.code, [each["code"] for each in before.findings]) == (7, ["field-co-owned"])
    assert (after.code, [each["waived"] for each in after.findings]) == (0, [reason])
    assert "waived: field-co-owned: " in table.out
    assert f"(waived: {reason})" in table.out
    assert workspace.run("mignet", "check", workspace.stack).out.endswith(" rules: no problems\n")


def golden(site: Site, value: int) -> contextlib.AbstractContextManager[None]:
    """Have a controller that declares a limit, and writes it back as soon as it sees another value there."""
    manifest = {
        "apiVersion": site.api,
        "kind": "HyperConverged",
        "metadata": {"name": "kubevirt-hyperconverged"},
        "spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": value}},
    }
    kube = Kube(site.kubeconfig, site.context)

    def keep(stop: threading.Event) -> None:
        headers = {"content-type": "application/apply-patch+yaml"}
        params = {"fieldManager": "virt-platform-autopilot", "force": "true"}
        # A watch, as the real one has: who polls may come after a look at what it keeps, when there is much to do.
        watch = {"watch": "true", "timeoutSeconds": "1"}
        while not stop.is_set():
            with kube.http.stream("GET", site.hyperconverged.rpartition("/")[0], params=watch) as events:
                for line in events.iter_lines():
                    live = json.loads(line)["object"]
                    if live["spec"]["liveMigrationConfig"]["completionTimeoutPerGiB"] != value:
                        kube.call(
                            "PATCH", site.hyperconverged, content=json.dumps(manifest), headers=headers, params=params
                        )

    return beside(keep)


def test_a_repair_ends_no_edit_war_and_says_who_won(workspace: Workspace, engine: str) -> None:
    site = workspace.site
    assert workspace.mignet("up", engine).code == 0
    with golden(site, 99):
        until(lambda: site.live()["hyperconverged"]["spec"]["liveMigrationConfig"]["completionTimeoutPerGiB"] == 99)
        fixed = workspace.mignet("drift", engine, "--fix", "--yes")
    (report,) = fixed.reports
    assert fixed.code == 7, fixed.out + fixed.err
    told = [each for each in report["warnings"] if "stopped after 2 rounds" in each]
    limit = "spec.liveMigrationConfig.completionTimeoutPerGiB"
    assert len(told) == 1
    assert f"kubevirt-hyperconverged {limit} is 99 again, not 800: virt-platform-autopilot (Apply) at " in told[0]
    assert told[0].endswith(
        "writes it back, and has won. Annotate the object with platform.kubevirt.io/ignore-fields:"
        " /spec/liveMigrationConfig/completionTimeoutPerGiB, or with platform.kubevirt.io/mode: unmanaged"
    )
    # Only that field was fought for.
    assert workspace.mignet("drift", engine, "--fix", "--yes").code == 0
