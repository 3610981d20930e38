"""What `mignet init` writes for a cluster that migrates over a network of its own already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from components.ownership import labels
from config.files.project_files import Project
from config.files.stack_schema import stack_schema
from config.loading import load_stack
from config.segment import Segment
from mignet.kube.hyperconverged_versions import limits_path
from mignet.kube.network.cni_configuration import meaning_changes
from mignet.operations import init
from mignet.operations.adopting import Kept, NotKeptError, kept, named
from mignet.operations.init import Wanted

SEGMENT = {"subnet": "10.200.5.0/24", "mtu": 9000, "gateway": "10.200.5.1"}
# The case adopt-unnamed of a published set-up.
UNNAMED: dict[str, Any] = {
    "cniVersion": "0.3.1",
    "type": "macvlan",
    "master": "eth1",
    "mode": "bridge",
    "ipam": {
        "type": "whereabouts",
        "range": "10.88.31.0/24",
        "exclude": ["10.88.31.222/32", "10.88.31.223/32"],
    },
}
OURS = UNNAMED | {
    "mtu": 9000,
    "ipam": {
        "type": "whereabouts",
        "range": "10.200.5.0/24",
        "range_start": "10.200.5.10",
        "range_end": "10.200.5.60",
    },
}


def hyperconverged(version: str = "v1beta1", **limits: Any) -> dict[str, Any]:
    api = f"hco.kubevirt.io/{version}"
    spec: dict[str, Any] = {"network": "cnv-mig", "progressTimeout": 150, "allowPostCopy": False} | limits
    for key in reversed(limits_path(api).split(".")):
        spec = {key: spec}
    return {"apiVersion": api, "kind": "HyperConverged", "metadata": {"name": "kubevirt-hyperconverged"}} | spec


def attachment(config: object, **metadata: Any) -> dict[str, Any]:
    text = config if isinstance(config, str) else json.dumps(config)
    metadata = {"name": "cnv-mig", "namespace": "openshift-cnv"} | metadata
    return {"kind": "NetworkAttachmentDefinition", "metadata": metadata, "spec": {"config": text}}


def keep(config: object, above: dict[str, Any] | None = None, **metadata: Any) -> Kept:
    segment = Segment.model_validate(SEGMENT)
    return kept("dev", {"context": "dev"}, segment, above or hyperconverged(), attachment(config, **metadata))


def test_name_range_excludes_and_limits_are_written_and_change_nothing() -> None:
    found = keep(UNNAMED, hyperconverged(completionTimeoutPerGiB=800, parallelMigrationsPerCluster=5))
    assert found.changes == ()
    assert found.values == {
        "segment": {"subnet": "10.88.31.0/24"},
        "attachment": {
            "type": "macvlan",
            "name": "cnv-mig",
            "cniVersion": "0.3.1",
            "master": "eth1",
            "mode": "bridge",
            "adopt": True,
            "ipam": {"type": "whereabouts", "exclude": ["10.88.31.222/31"]},
        },
        "hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 800}},
    }
    assert found.remark.endswith("the first preview shows ownership, labels and formatting only")


def test_on_the_projects_segment_a_slice_is_what_is_given() -> None:
    found = keep(OURS | {"name": "migration-bridge"})
    assert found.changes == ()
    assert "segment" not in found.values
    assert found.values["slice"] == {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"}
    assert found.values["attachment"]["cniName"] == "migration-bridge"


@pytest.mark.parametrize("version", ["v1beta1", "v1"])
def test_the_network_is_read_at_the_path_of_each_version(version: str) -> None:
    above = hyperconverged(version)
    assert named(above) == "cnv-mig"
    written = keep(OURS, above).values.get("hyperConverged")
    assert written == ({"apiVersion": "v1"} if version == "v1" else None)
    assert named(None) is None


SAME = {
    "two families": UNNAMED
    | {"ipam": {"type": "whereabouts", "ipRanges": [{"range": "10.88.31.0/24"}, {"range": "fd00:88::/64"}]}},
    "a bridge": {k: v for k, v in UNNAMED.items() if k not in {"master", "mode"}} | {"type": "bridge", "bridge": "br1"},
    "books of its own": UNNAMED | {"ipam": UNNAMED["ipam"] | {"network_name": "mig"}},
    "no check across ranges": UNNAMED | {"ipam": UNNAMED["ipam"] | {"enable_overlapping_ranges": False}},
    "the short form of a range": UNNAMED | {"ipam": {"type": "whereabouts", "range": "10.88.31.5-10.88.31.9/24"}},
    "a chain of one": {"cniVersion": "0.3.1", "name": "cnv-mig", "plugins": [UNNAMED]},
    "dhcp": UNNAMED | {"ipam": {"type": "dhcp"}, "mtu": 9000},
}


@pytest.mark.parametrize("case", SAME)
def test_what_can_be_written_changes_nothing(case: str) -> None:
    assert keep(SAME[case]).changes == ()


def test_what_a_stack_cannot_say_is_told_as_a_change() -> None:
    found = keep(UNNAMED | {"ipam": UNNAMED["ipam"] | {"log_level": "debug"}})
    assert found.changes == ("ipam.log_level",)
    assert found.remark.endswith("up changes ipam.log_level")


NOT = {
    "has no ipam": {"type": "ovn-k8s-cni-overlay", "topology": "localnet"},
    "is a chain of plugins": {"plugins": [UNNAMED, {"type": "tuning"}]},
    "holds no CNI configuration": "no json",
    "has a range that cannot be read": UNNAMED | {"ipam": {"type": "whereabouts", "range": "10.88.31.0/33"}},
    "has an exclude that cannot be read": UNNAMED | {"ipam": UNNAMED["ipam"] | {"exclude": ["x"]}},
    "has no range": UNNAMED | {"ipam": {"type": "whereabouts"}},
    "cannot be written as a stack": UNNAMED | {"unknown": 5},
}


@pytest.mark.parametrize("why", NOT)
def test_what_cannot_be_kept_says_why(why: str) -> None:
    with pytest.raises(NotKeptError, match=why):
        keep(NOT[why])


def test_a_controllers_and_another_stacks_attachment_is_not_kept() -> None:
    owner = {"kind": "ClusterUserDefinedNetwork", "name": "lm", "controller": True}
    with pytest.raises(NotKeptError, match="is kept by ClusterUserDefinedNetwork lm"):
        keep(UNNAMED, ownerReferences=[owner])
    with pytest.raises(NotKeptError, match="belongs to stack prod-7"):
        keep(UNNAMED, labels=labels("prod-7"))
    assert keep(UNNAMED, labels=labels("dev")).changes == ()
    with pytest.raises(NotKeptError, match="has no NetworkAttachmentDefinition"):
        kept("dev", {"context": "dev"}, Segment.model_validate(SEGMENT), hyperconverged(), None)


def test_the_file_is_valid_and_renders_what_stands_there(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text(
        f"name: migration-network\nconfig: {{segment: {{default: {json.dumps(SEGMENT)}}}}}\n"
    )
    project = Project.find(tmp_path)
    found = keep(UNNAMED, hyperconverged(completionTimeoutPerGiB=800))
    remark = init.write(project, "dev", Wanted("dev"), init.Seen(kept=found, nodes=3), None, on_wait=pytest.fail)
    assert remark.startswith("dev keeps cnv-mig, over which the cluster migrates: ")
    text = project.stack_file("dev").read_text()
    Draft202012Validator(stack_schema("migration-network")).validate(yaml.safe_load(text))
    stack = load_stack("dev", project.stack_values("dev"))
    assert stack.network == "cnv-mig"
    assert meaning_changes(json.dumps(UNNAMED), stack.cni_json, name="cnv-mig") == []
    assert stack.hyper_converged.live_migration.completion_timeout_per_gib == 800
