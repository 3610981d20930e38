"""The exported workflow, carried out on the lab: each job's commands, in order, as the code host runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from operated import HCO, Operated

from config.rules import fleet_rules, stack_rules
from mignet.operations import new_project

STACKS = ("dev", "dev-peer")


@dataclass
class Runner:
    """A machine that carries out a job's steps: those of others are played, as far as the next steps need them."""

    folder: Path
    temporary: Path
    secrets: dict[str, str]
    tools: list[str]
    """Folders of programs that a step of others installs."""
    environment: dict[str, str] = field(default_factory=dict)

    def job(self, job: dict[str, Any], stack: str = "") -> list[subprocess.CompletedProcess[str]]:
        """Carry a job out; it ends at the first step that fails."""
        done = []
        for step in job["steps"]:
            if "run" not in step:
                self._play(step)
            elif step["name"] == "Install":
                assert step["run"].endswith("pip install --quiet --requirement requirements.txt\n")
            elif not done or done[-1].returncode == 0:
                done.append(self._run(step, stack, job.get("env", {})))
        return done

    def _play(self, step: dict[str, Any]) -> None:
        match step["uses"].partition("@")[0]:
            case "actions/upload-artifact":
                shutil.copytree(self.folder / step["with"]["path"], self.temporary / "plans", dirs_exist_ok=True)
                shutil.rmtree(self.folder / step["with"]["path"])
            case "actions/download-artifact":
                assert step["with"]["merge-multiple"] is True
                shutil.copytree(self.temporary / "plans", self.folder / step["with"]["path"])
            case other:
                assert other in {"actions/checkout", "actions/setup-python", "pulumi/actions"}

    def _run(self, step: dict[str, Any], stack: str, of_job: dict[str, str]) -> subprocess.CompletedProcess[str]:
        values = self.secrets | {"${{ matrix.stack }}": stack, "${{ github.event.number }}": "7"}
        given = {name: values[text] for name, text in (of_job | step.get("env", {})).items()}
        noted = self.temporary / "env"
        noted.touch()
        standing = dict(line.split("=", 1) for line in noted.read_text().splitlines())
        environment = {
            "PATH": os.pathsep.join([str(self.temporary / "bin"), *self.tools, "/usr/bin", "/bin"]),
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "1",
            "HOME": str(self.temporary),
            "RUNNER_TEMP": str(self.temporary),
            "GITHUB_ENV": str(noted),
        }
        # As GitHub runs a step without a shell of its own.
        return subprocess.run(
            ["bash", "-e", "-c", step["run"]],
            cwd=self.folder,
            env=environment | standing | given,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


@pytest.fixture
def runner(operated: Operated, tmp_path: Path) -> Runner:
    """A repository with the two stacks in two waves; the code host's own program notes what it is told."""
    for stack in STACKS:
        content = yaml.safe_load((operated.folder / f"Pulumi.{stack}.yaml").read_text())
        cluster = content["config"]["migration-network:cluster"]
        operated.change(stack, cluster={key: value for key, value in cluster.items() if key != "kubeconfig"})
    project = yaml.safe_load((operated.folder / "Pulumi.yaml").read_text())
    waves = {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}
    project["config"]["waves"] = waves | {"default": [["dev"], ["*"]]}
    (operated.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    temporary = tmp_path / "runner"
    (temporary / "bin").mkdir(parents=True)
    code_host = temporary / "bin" / "gh"
    code_host.write_text('#!/bin/sh\necho "$@" > "$HOME/told"\n')
    code_host.chmod(0o755)
    secrets = {"${{ secrets.KUBECONFIG }}": operated.lab.kubeconfig.read_text(), "${{ github.token }}": "token"}
    backend = tmp_path / "backend"
    backend.mkdir()
    secrets |= {"${{ vars.PULUMI_BACKEND_URL }}": f"file://{backend}"}
    secrets |= {f"${{{{ secrets.PULUMI_{name} }}}}": "" for name in ("ACCESS_TOKEN", "CONFIG_PASSPHRASE")}
    pulumi = map(shutil.which, ("pulumi", "pulumi-language-python", "pulumi-resource-kubernetes"))
    return Runner(operated.folder, temporary, secrets, [str(Path(found).parent) for found in pulumi if found])


def exported(operated: Operated, engine: str = "direct") -> dict[str, Any]:
    outcome = operated.run("export", "ci", "--all", "--engine", engine)
    assert outcome.code == 0, outcome.err
    jobs: dict[str, Any] = yaml.safe_load(outcome.out)["jobs"]
    return jobs


def failures(done: list[subprocess.CompletedProcess[str]]) -> list[str]:
    return [each.stdout + each.stderr for each in done if each.returncode]


def test_a_pull_request_gets_its_plan_and_the_merge_is_applied_wave_by_wave(
    operated: Operated, runner: Runner, engine: str
) -> None:
    jobs = exported(operated, engine)
    assert list(jobs) == ["check", "plan", "comment", "drift", "apply-1", "apply-2"]
    assert failures(runner.job(jobs["check"])) == []
    assert jobs["plan"]["strategy"]["matrix"] == {"stack": list(STACKS)}
    for stack in STACKS:
        assert failures(runner.job(jobs["plan"], stack)) == []
    assert (runner.temporary / "kubeconfig").stat().st_mode & 0o077 == 0
    assert failures(runner.job(jobs["comment"])) == []
    assert (runner.temporary / "told").read_text().startswith("pr comment 7 --body-file comment.md")
    comment = (runner.folder / "comment.md").read_text()
    rules = len(stack_rules.RULES) + len(fleet_rules.RULES)
    for part in (
        f"## Migration network\n\n**2 stacks, {rules} rules each: no problems**\n",
        "```text\n10.200.5.0/24: 254 usable addresses",
        "### dev: 1 object will be created, 1 changed; 1 field taken over\n",
        "- ⚠️ dev: restarts every virt-handler on 3 nodes: ",
        "```diff\n+ NetworkAttachmentDefinition openshift-cnv/my-secondary-network will be created\n",
        "!       completionTimeoutPerGiB: 150 → 800   taken over from kubectl-create\n",
        "### dev-peer: 1 object will be created, 1 changed; 1 field taken over\n",
    ):
        assert part in comment, comment
    for cluster in operated.clusters:
        assert "network" not in cluster.get(HCO)["spec"]["liveMigrationConfig"], "a pull request changes nothing"

    before = "check"
    for number, stack in enumerate(STACKS, start=1):
        job = jobs[f"apply-{number}"]
        assert (job["needs"], job["strategy"]["matrix"]) == (before, {"stack": [stack]})
        before = f"apply-{number}"
        assert failures(runner.job(job, stack)) == []
        assert operated.clusters[number - 1].get(HCO)["spec"]["liveMigrationConfig"]["network"]
    assert failures(runner.job(jobs["drift"])) == []
    assert operated.run("peers").code == 0


def test_the_workflow_of_a_new_project_plans_and_looks_for_drift(operated: Operated, runner: Runner) -> None:
    workflow = yaml.safe_load((new_project.TEMPLATE / ".github/workflows/migration-network.yaml").read_text())
    jobs = workflow["jobs"]
    assert list(jobs) == ["plan", "drift"]
    assert failures(runner.job(jobs["plan"])) == []
    comment = (runner.folder / "comment.md").read_text()
    assert comment.count("### dev: ") == 1
    assert comment.count("### dev-peer: ") == 1
    assert [each.returncode for each in runner.job(jobs["drift"])] == [0, 7]


def test_what_preflight_finds_fails_the_job_and_stands_in_the_comment(operated: Operated, runner: Runner) -> None:
    content = yaml.safe_load((operated.folder / "Pulumi.dev.yaml").read_text())
    operated.change("dev", attachment=content["config"]["migration-network:attachment"] | {"master": "eth7"})
    jobs = exported(operated)
    assert len(failures(runner.job(jobs["plan"], "dev"))) == 1
    assert failures(runner.job(jobs["plan"], "dev-peer")) == []
    assert failures(runner.job(jobs["comment"])) == []
    comment = (runner.folder / "comment.md").read_text()
    assert "### dev: 1 object will be created" in comment
    assert "| error `" in comment.partition("### dev:")[2].partition("### dev-peer")[0]
    assert "### dev-peer: 1 object will be created" in comment
