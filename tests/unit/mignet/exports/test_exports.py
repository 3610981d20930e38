"""What is exported is valid for those who run it, and holds names of secrets, never what they hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml
from support import BIN, ROOT, Outcome

from config.files.project_files import Project
from mignet.cli import app
from mignet.fleet.loading import load
from mignet.operations import roles


def stack_file(folder: Path, name: str, first: int, **cluster: str) -> None:
    config = {
        "cluster": {"context": name} | cluster,
        "attachment": {"type": "macvlan", "name": "migration", "master": "eth1"},
        "slice": {"rangeStart": f"10.200.5.{first}", "rangeEnd": f"10.200.5.{first + 40}"},
    }
    content = {"config": {f"migration-network:{key}": value for key, value in config.items()}}
    (folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(content))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    stack_file(tmp_path, "prod-1", 10)
    stack_file(tmp_path, "Prod_2", 60)
    return tmp_path


def export(project: Path, *arguments: str) -> Outcome:
    done = subprocess.run(
        [str(BIN / "mignet"), "export", *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


ELSEWHERE = ("operator", "--all", "--kubeconfig-secret", "clusters:config")
OPERATOR = (*ELSEWHERE, "--repo", "https://git.example/fleet.git")


def stacks(outcome: Outcome) -> dict[str, dict[str, Any]]:
    documents = list(yaml.safe_load_all(outcome.out))
    return {each["metadata"]["name"]: each["spec"] for each in documents if each["kind"] == "Stack"}


def test_each_stack_becomes_an_object_that_looks_for_drift_on_a_schedule(project: Path) -> None:
    found = stacks(export(project, *OPERATOR, "--every", "300"))
    assert list(found) == ["prod-2", "prod-1"]
    one = found["prod-1"]
    assert one["stack"] == "organization/migration-network/prod-1"
    assert (one["refresh"], one["continueResyncOnCommitMatch"], one["resyncFrequencySeconds"]) == (True, True, 300)
    assert one["destroyOnFinalize"] is False
    assert "preview" not in one


def test_what_only_detects_never_applies(project: Path) -> None:
    for spec in stacks(export(project, *OPERATOR, "--detect-only")).values():
        assert (spec["preview"], spec["expectNoRefreshChanges"]) == (True, True)


def with_waves(project: Path) -> None:
    text = (project / "Pulumi.yaml").read_text()
    waves = "  waves: {type: array, default: [[prod-1], [Prod_2]]}\n"
    (project / "Pulumi.yaml").write_text(text.replace("config:\n", f"config:\n{waves}", 1))


def test_a_later_wave_waits_for_the_one_before(project: Path) -> None:
    assert all("prerequisites" not in spec for spec in stacks(export(project, *OPERATOR)).values())
    with_waves(project)
    found = stacks(export(project, *OPERATOR, "--every", "300"))
    assert "prerequisites" not in found["prod-1"]
    assert found["prod-2"]["prerequisites"] == [{"name": "prod-1", "requirement": {"succeededWithinDuration": "300s"}}]


def test_flux_esc_and_a_key_are_named(project: Path) -> None:
    more = ("--flux-source", "GitRepository/fleet", "--dir", "net", "--environment", "fleet/prod", "--environment", "b")
    spec = stacks(export(project, *ELSEWHERE, *more, "--secrets-provider", "hashivault://fleet"))["prod-1"]
    reference = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "name": "fleet"}
    assert spec["fluxSource"] == {"sourceRef": reference, "dir": "net"}
    assert {"projectRepo", "branch", "repoDir"}.isdisjoint(spec)
    assert (spec["environment"], spec["secretsProvider"]) == (["fleet/prod", "b"], "hashivault://fleet")


def test_without_files_each_stacks_values_are_its_program(project: Path) -> None:
    with_waves(project)
    path = project / "Pulumi.prod-1.yaml"
    content = yaml.safe_load(path.read_text())
    content["config"] |= {"migration-network:labels": {"a": "b"}, "migration-network:waivers": {"slice-short": "${x}"}}
    path.write_text(yaml.safe_dump(content))
    outcome = export(project, *ELSEWHERE, "--component", "https://git.example/component@v1")
    documents = list(yaml.safe_load_all(outcome.out))
    programs = {each["metadata"]["name"]: each["program"] for each in documents if each["kind"] == "Program"}
    assert {name: spec["programRef"] for name, spec in stacks(outcome).items()} == {
        name: {"name": name} for name in programs
    }
    one = programs["prod-1"]
    assert one["packages"] == {"migration-network": "https://git.example/component@v1"}
    given = one["resources"]["live"]["properties"]
    assert set(given) == {"segment", "cluster", "attachment", "slice", "waivers"}
    assert given["slice"] == {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.50"}
    # Not a reference of the program's.
    assert given["waivers"] == {"slice-short": "$${x}"}


@pytest.mark.parametrize(
    "more", [(), ("--repo", "a", "--component", "b"), ("--flux-source", "fleet"), ("--flux-source", "Chart/fleet")]
)
def test_the_program_is_from_one_place_that_there_is(project: Path, more: tuple[str, ...]) -> None:
    outcome = export(project, *ELSEWHERE, *more)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)


def test_secrets_and_kubeconfig_are_references(project: Path) -> None:
    spec = stacks(export(project, *OPERATOR, "--secret", "PULUMI_CONFIG_PASSPHRASE=mignet:passphrase"))["prod-1"]
    assert spec["envRefs"]["PULUMI_CONFIG_PASSPHRASE"] == {
        "type": "Secret",
        "secret": {"name": "mignet", "key": "passphrase"},
    }
    (volume,) = spec["workspaceTemplate"]["spec"]["podTemplate"]["spec"]["volumes"]
    assert volume["secret"] == {"secretName": "clusters", "items": [{"key": "config", "path": "kubeconfig"}]}


@pytest.mark.parametrize("given", ["TOKEN=s3cret-value", "s3cret-value"])
def test_a_secret_given_in_place_of_its_name_is_refused_and_not_repeated(project: Path, given: str) -> None:
    outcome = export(project, *OPERATOR, "--secret", given)
    assert outcome.code == 2
    assert "s3cret-value" not in outcome.out + outcome.err


def test_a_kubeconfig_of_this_machine_is_refused(project: Path) -> None:
    stack_file(project, "prod-3", 110, kubeconfig="~/.kube/prod-3")
    outcome = export(project, *OPERATOR)
    assert outcome.code == 2
    assert "prod-3: cluster.kubeconfig ~/.kube/prod-3 is a file of this machine" in outcome.err


def test_two_stacks_that_become_one_object_are_refused(project: Path) -> None:
    stack_file(project, "prod-2", 110)
    outcome = export(project, *OPERATOR)
    assert outcome.code == 2
    assert outcome.err.count("becomes the object prod-2, as another stack does") == 2


@pytest.mark.skipif(
    not os.environ.get("MIGNET_STACK_CRD"),
    reason="MIGNET_STACK_CRD names no file with the definition of Stack (pulumi-kubernetes-operator 2)",
)
def test_the_objects_have_no_field_that_the_operator_does_not_know(project: Path) -> None:
    definition = yaml.safe_load(Path(os.environ["MIGNET_STACK_CRD"]).read_text())
    version = next(each for each in definition["spec"]["versions"] if each["name"] == "v1")
    schema = closed(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    for spec in stacks(
        export(project, *OPERATOR, "--detect-only", "--image", "mirror/pulumi:3", "--backend", "s3://b", "--dir", "x")
    ).values():
        jsonschema.validate(spec, schema)


def closed(schema: Any) -> Any:
    """Refuse what a schema does not name: an API server prunes it."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if "properties" in inner and "additionalProperties" not in inner and isinstance(inner["properties"], dict):
        inner["additionalProperties"] = False
    return inner


@pytest.mark.parametrize("applies", ["pulumi", "direct"])
def test_the_workflow_is_one_that_the_code_host_accepts(project: Path, applies: str) -> None:
    workflow = yaml.safe_load(export(project, "ci", "--all", "--engine", applies).out)
    schema = json.loads(files("check_jsonschema").joinpath("builtin_schemas/vendor/github-workflows.json").read_bytes())
    jsonschema.validate(workflow, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(workflow | {"jobs": {"check": {"steps": []}}}, schema)


def test_the_commands_of_the_workflow_exist_with_their_options(project: Path) -> None:
    workflow = yaml.safe_load(export(project, "ci", "--all").out)
    runs = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    commands = [found for run in runs for found in re.findall(r"\.venv/bin/mignet ([^;|>\n]+)", run)]
    known = typer.main.get_command(app).commands
    verbs = set()
    for verb, *arguments in map(str.split, commands):
        verbs.add(verb)
        options = {option for parameter in known[verb].params for option in parameter.opts}
        assert {each for each in arguments if each.startswith("-")} <= options
    assert verbs == {"check", "preflight", "preview", "plan-addresses", "up", "verify", "drift"}


@pytest.mark.parametrize("role", roles.ROLES)
def test_a_role_has_the_rights_of_that_stack(project: Path, role: roles.Role) -> None:
    done = export(project, "role", role, "prod-1")
    assert done.code == 0, done.err
    (stack,) = load(Project.find(project), ["prod-1"])
    assert list(yaml.safe_load_all(done.out)) == roles.manifests(role, roles.granted(role, stack))


def test_a_role_is_for_one_cluster(project: Path) -> None:
    done = export(project, "role", "observe")
    assert done.code == 2
    assert done.err.startswith("mignet: STACK is one stack: a role is for its cluster. Name one of: ")
