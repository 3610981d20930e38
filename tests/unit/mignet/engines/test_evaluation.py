"""The program, evaluated in process: what it declares, in which order, and what it exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pulumi.runtime.mocks import MockResourceArgs
from pulumi.runtime.settings import get_root_resource
from support import ROOT

from config.files.project_files import Project
from config.loading import load_stack
from mignet.engines import evaluation
from mignet.engines.evaluation import Declaration, evaluate
from mignet.operations.manifests import as_yaml

PROJECT = Project.find(ROOT)


def declared(stack: str = "dev") -> Declaration:
    return evaluate(PROJECT.directory / "__main__.py", PROJECT.name, stack, PROJECT.stack_values(stack))


def test_the_patch_comes_after_the_attachment_and_is_none_of_our_objects() -> None:
    attachment, patch = declared().objects
    assert (attachment.manifest["kind"], attachment.patch) == ("NetworkAttachmentDefinition", False)
    assert (patch.manifest["kind"], patch.patch) == ("HyperConverged", True)


def test_the_objects_are_what_the_config_says() -> None:
    stack = load_stack("dev", PROJECT.stack_values("dev"))
    attachment, patch = (each.manifest for each in declared().objects)
    assert attachment["spec"] == {"config": stack.cni_json}
    assert attachment["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "migration-network",
        "app.kubernetes.io/part-of": "migration-network",
        "app.kubernetes.io/instance": "dev",
    }
    assert attachment["metadata"]["annotations"] == {
        "pulumi.com/patchFieldManager": "migration-network",
        "pulumi.com/patchForce": "true",
        "pulumi.com/deletionPropagationPolicy": "background",
    }
    assert patch["metadata"]["name"] == "kubevirt-hyperconverged"
    assert "labels" not in patch["metadata"], "the object is not ours"
    assert patch["spec"] == stack.hyper_converged.spec("my-secondary-network")
    assert json.dumps(patch["spec"]).count(".0") == 0, "whole numbers stay whole"


def test_pulumis_provider_is_told_to_apply_what_it_creates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since 4.29 it makes new objects by POST otherwise; the one that the tests build always applies."""
    seen: dict[str, dict[str, object]] = {}
    answer = evaluation._Echo.new_resource

    def note(echo: evaluation._Echo, args: MockResourceArgs) -> tuple[str | None, dict[str, object]]:
        seen[args.typ] = args.inputs
        return answer(echo, args)

    monkeypatch.setattr(evaluation._Echo, "new_resource", note)
    declared()
    told = {"upsertExistingObjects": "true", "enableServerSideApply": "true", "clusterIdentifier": "dev"}
    assert seen["pulumi:providers:kubernetes"].items() >= told.items()


def test_the_guards_note_stands_on_the_attachment_and_on_nothing_else(tmp_path: Path) -> None:
    for name in ("Pulumi.yaml", "Pulumi.dev.yaml", "__main__.py"):
        (tmp_path / name).write_text((PROJECT.directory / name).read_text())
    main = tmp_path / "__main__.py"
    main.write_text(main.read_text().replace("program.guard(stack)", "program.noted({'note': 'x'})"))
    try:
        attachment, patch = (
            each.manifest for each in evaluate(tmp_path / "__main__.py", "migration-network", "dev", VALUES).objects
        )
    finally:
        # A program of Pulumi's has a process of its own; here the next test has the same stack.
        get_root_resource()._transformations.clear()  # type: ignore[union-attr]
    plain, _ = (each.manifest for each in declared().objects)
    assert attachment["metadata"]["annotations"] == plain["metadata"]["annotations"] | {"note": "x"}
    assert "note" not in patch["metadata"]["annotations"]


VALUES = PROJECT.stack_values("dev")


def test_the_outputs_are_what_a_user_looks_up() -> None:
    stack = load_stack("dev", PROJECT.stack_values("dev"))
    assert declared().outputs == {
        "network": "my-secondary-network",
        "namespace": "openshift-cnv",
        "cniConfig": stack.cni_json,
        "slice": "10.200.5.10-10.200.5.60",
        "demand": {"nodes": 3, "syncControllers": 2, "surge": 1, "headroom": 1, "total": 7},
    }


def test_stacks_evaluated_one_after_the_other_do_not_mix() -> None:
    first, peer, again = declared("dev"), declared("dev-peer"), declared("dev")
    assert first == again
    assert peer.outputs["slice"] == "10.200.5.61-10.200.5.110"
    assert len(peer.objects) == 2


def test_rendered_manifests_have_no_directives_for_pulumi_and_hold_the_rest() -> None:
    documents = list(yaml.safe_load_all(as_yaml("dev", declared())))
    for document, one in zip(documents, declared().objects, strict=True):
        metadata = dict(one.manifest["metadata"])
        metadata.pop("annotations")
        assert document == one.manifest | {"metadata": metadata}


def test_a_program_of_ones_own_imports_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_a_program.py").write_text("VALUE = 42\n")
    program = tmp_path / "__main__.py"
    program.write_text("import beside_a_program, pulumi\npulumi.export('value', beside_a_program.VALUE)\n")
    assert evaluate(program, "migration-network", "dev", {}).outputs == {"value": 42}
