"""Write the documents that are generated from the code: `python tools/docs/generate.py`."""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["MIGNET_FIELD_DOCS"] = "1"

import catalogue
import troubleshooting
import yaml

from config.attachment import Bridge, ClusterUserDefinedNetwork, Ipvlan, Localnet, Macvlan, VlanTrunkItem
from config.attachment.ipam import Dhcp, HostLocal, Route, Static, StaticAddress, Whereabouts
from config.attachment.user_network import MatchExpression, NamespaceSelector
from config.cluster import Cluster
from config.hyperconverged import HyperConverged, LiveMigration
from config.loading import load_stack
from config.migration_policy import MigrationPolicy, PolicyLimits
from config.segment import Segment
from config.sites import RoutedSegment
from config.slice import Slice
from config.uplink import Bond, LinuxBridge, NodeGroup, OvsBridge, Uplink, Vlan
from config.uplink import Localnet as BridgeMapping
from config.uplink.bond_options import BondOptions
from config.uplink.bridge_ports import OvsBond, OvsPort
from mignet.exports.text import as_yaml
from mignet.exports.workflow import first_workflow
from mignet.operations.new_project import TEMPLATE
from mignet.operations.roles import ROLES, Role, granted, manifests
from mignet.outputs import documents

if TYPE_CHECKING:
    from pydantic import BaseModel

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

_HEAD = """# Configuration

What a stack file may say, generated from the models (`python tools/docs/generate.py`). Keys stand under `config:`, with
the project's name before them: `migration-network:cluster`. Unknown keys are refused. `segment` stands in
`Pulumi.yaml`, so that all stacks share it.

`migration-network:site` is the site that the cluster is in, where the segment has sites ([sites.md](sites.md)).

`migration-network:otherNetworks` is a mapping of names to subnets (or lists of them) that the segment must not overlap,
such as `machine: 10.0.0.0/16`: the cluster's machine, pod and service networks.

`migration-network:migrationPolicies` is a list of MigrationPolicies: other limits for some virtual machines
([limits.md](limits.md)). An empty list takes those of `Pulumi.yaml` away.

`migration-network:labels` is a mapping of labels, such as `tier: canary`, by which `mignet --select` chooses stacks;
nothing of them is applied. `waves` stands in `Pulumi.yaml`, as the segment does: a list of lists of stacks' names,
patterns (`prod-*`) and labels (`tier=canary,region!=eu`), the order in which a fleet is applied.
"""

_SECTIONS: list[tuple[str, type[BaseModel]]] = [
    ("segment", Segment),
    ("segment, of routed sites", RoutedSegment),
    ("cluster", Cluster),
    ("attachment, type: macvlan", Macvlan),
    ("attachment, type: ipvlan", Ipvlan),
    ("attachment, type: bridge", Bridge),
    ("attachment.vlanTrunk, an item", VlanTrunkItem),
    ("attachment, type: localnet", Localnet),
    ("attachment, type: clusterUserDefinedNetwork", ClusterUserDefinedNetwork),
    ("attachment.namespaceSelector", NamespaceSelector),
    ("attachment.namespaceSelector.matchExpressions, an item", MatchExpression),
    ("attachment.ipam, type: whereabouts", Whereabouts),
    ("attachment.ipam, type: dhcp", Dhcp),
    ("attachment.ipam, type: static", Static),
    ("attachment.ipam.addresses, an item", StaticAddress),
    ("attachment.ipam.routes, an item", Route),
    ("attachment.ipam, type: host-local", HostLocal),
    ("slice, or an item of it", Slice),
    ("uplink", Uplink),
    ("uplink.nodeGroups, an item", NodeGroup),
    ("uplink.bond", Bond),
    ("uplink.bond.options", BondOptions),
    ("uplink.vlan", Vlan),
    ("uplink.bridge", LinuxBridge),
    ("uplink.ovsBridge", OvsBridge),
    ("uplink.ovsBridge.ports, an item", OvsPort),
    ("uplink.ovsBridge.ports.linkAggregation", OvsBond),
    ("uplink.localnet, or an item of uplink.localnets", BridgeMapping),
    ("hyperConverged", HyperConverged),
    ("hyperConverged.liveMigration", LiveMigration),
    ("migrationPolicies, an item", MigrationPolicy),
    ("migrationPolicies.limits", PolicyLimits),
]


def configuration() -> str:
    """Return the reference of all config keys."""
    parts = [_HEAD]
    for title, model in _SECTIONS:
        about = " ".join((model.__doc__ or "").split())
        parts.append(f"\n## {title}\n\n{about}\n\n| key | value | default | |\n|---|---|---|---|\n")
        parts.extend(_row(name, field) for name, field in _fields(model))
    return "".join(parts)


def _fields(model: type[BaseModel]) -> list[tuple[str, dict[str, Any]]]:
    schema = model.model_json_schema(by_alias=True)
    required = schema.get("required", ())
    return [(key, field | {"required": key in required}) for key, field in schema["properties"].items()]


def _row(key: str, field: dict[str, Any]) -> str:
    default = "required" if field["required"] else _default(field.get("default"))
    about = " ".join(field.get("description", "").split())
    return f"| `{key}` | {_value(field)} | {default} | {about} |\n"


def _default(value: object) -> str:
    match value:
        case None | [] | dict():
            return ""
        case bool():
            return str(value).lower()
        case _:
            return f"`{value}`"


def _value(field: dict[str, Any]) -> str:
    choices = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
    return " or ".join(_one(each) for each in choices)


def _one(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "integer":
        return f"{schema['minimum']} to {schema['maximum']}"
    if schema.get("type") == "boolean":
        return "true or false"
    if schema.get("type") == "array":
        return "list"
    return "text" if schema.get("type") == "string" else "mapping"


_ROLE_HEAD = {
    "observe": "Preflight, verify, drift, peers and report: reading only.",
    "apply": "up and destroy, on either engine, and all that observe has: up looks first.",
    "crossing": "verify --migrate --to: a machine of its own in KubeVirt's namespace, and all that observe has.",
    "checkup": "mignet checkup: a Job and pods of its own in KubeVirt's namespace; neither exec nor logs.",
}
_WIDEST = {
    "segment": {"subnet": "10.200.5.0/24", "vlan": 2001},
    "cluster": {"context": "prod-1"},
    "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
    "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
    "migrationPolicies": [
        {"name": "databases", "namespaceSelector": {"team": "db"}, "limits": {"allowPostCopy": True}},
    ],
}
"""A stack that takes every right that any stack takes."""


def role(name: Role) -> str:
    """Return the manifests of a role."""
    head = (
        f"# {_ROLE_HEAD[name]}\n# Generated (python tools/docs/generate.py). Bind the ClusterRole with a"
        " ClusterRoleBinding, each Role with a RoleBinding.\n"
        "# Write cluster.namespace in place of openshift-cnv, where it is another.\n"
    )
    if name in {"apply", "crossing"}:
        head += "# The Lease's name ends in that of the stack.\n"
    documents = manifests(name, granted(name, load_stack("prod-1", _WIDEST)))
    return head + yaml.safe_dump_all(
        documents, explicit_start=True, sort_keys=False, default_flow_style=None, width=110
    )


def schemas() -> dict[str, str]:
    """Return the JSON Schema of each kind of document that verbs print, by the file's name."""
    return {f"{kind}.schema.json": documents.schema_text(kind) for kind in documents.KINDS}


_PINNED = {"": "", "../component/": "", "../policy-pack/": "pulumi-policy==1.21.0\n"}
"""What the requirements of each template have besides this project, by its folder beside the first."""


def template() -> dict[str, str]:
    """Return what the templates have from here, by the file's name: program, pins and workflow."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    comment = (
        "A plan as a comment on each pull request, and a look for drift each day. It needs the secret KUBECONFIG: a\n"
        "kubeconfig with the contexts that the stack files name, of accounts that may read. `mignet export ci`\n"
        "writes a workflow to take the place of this one, which also applies what is merged."
    )
    return {
        "__main__.py": (ROOT / "__main__.py").read_text(encoding="utf-8"),
        **{f"{folder}requirements.txt": f"migration-network=={version}\n{more}" for folder, more in _PINNED.items()},
        ".github/workflows/migration-network.yaml": as_yaml([first_workflow()], comment=comment),
    }


def topics() -> str:
    """Return what `mignet help` knows: the codes, and what each version changes in plans, by the changelog."""
    plans = []
    for release in re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        version, _, text = release.partition("\n")
        _, heading, section = text.partition("### Changes in plans\n")
        changes = [" ".join(item.split()) for item in section.partition("\n### ")[0].split("\n- ")[1:]]
        if heading:
            plans.append({"version": version.split()[0], "changes": changes})
    codes = catalogue.topics() | troubleshooting.topics()
    return json.dumps({"codes": codes, "plans": plans}, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (DOCS / "schemas").mkdir(exist_ok=True)
    for name, text in schemas().items():
        (DOCS / "schemas" / name).write_text(text, encoding="utf-8")
    (DOCS / "roles").mkdir(exist_ok=True)
    for each in ROLES:
        (DOCS / "roles" / f"{each}.yaml").write_text(role(each), encoding="utf-8")
    (DOCS / "configuration.md").write_text(configuration(), encoding="utf-8")
    (DOCS / "rules.md").write_text(catalogue.rules(), encoding="utf-8")
    (DOCS / "troubleshooting.md").write_text(troubleshooting.troubleshooting(), encoding="utf-8")
    for name, text in template().items():
        (TEMPLATE / name).write_text(text, encoding="utf-8")
    (ROOT / "mignet" / "outputs" / "topics.json").write_text(topics(), encoding="utf-8")
