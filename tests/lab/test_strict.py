"""What is rendered is accepted unchanged by a real API server that checks fields strictly."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
import yaml
from support import Workspace

from config.attachment import AnyAttachment, Bridge, ClusterUserDefinedNetwork, Ipvlan, Localnet, Macvlan
from config.attachment.ipam import Dhcp, HostLocal, Static, Whereabouts
from config.hyperconverged import LiveMigration
from config.types.model import Model

SEGMENT = {
    "subnet": "10.200.5.0/24",
    "vlan": 2001,
    "mtu": 9000,
    "gateway": "10.200.5.1",
    "reserved": ["10.200.5.250-10.200.5.254"],
}
SLICE = {"rangeStart": "10.200.5.10", "rangeEnd": "10.200.5.60"}

WHEREABOUTS = {
    "type": "whereabouts",
    "split": "range",
    "exclude": ["10.200.5.32/28"],
    "networkName": "blue",
    "enableOverlappingRanges": True,
}
ROUTES = [{"dst": "10.9.0.0/16", "gw": "10.200.5.1"}]
IPAMS: dict[type[Model], dict[str, Any]] = {
    Whereabouts: WHEREABOUTS,
    Dhcp: {"type": "dhcp", "daemonSocketPath": "/run/cni/dhcp.sock"},
    Static: {
        "type": "static",
        "addresses": [{"address": "10.200.5.10/24", "gateway": "10.200.5.1"}],
        "routes": ROUTES,
    },
    HostLocal: {"type": "host-local", "routes": ROUTES, "resolvConf": "/etc/resolv.conf", "dataDir": "/run/ipam"},
}

COMMON = {
    "name": "migration",
    "cniName": "migration-net",
    "cniVersion": "1.0.0",
    "mtu": 1500,
    "adopt": True,
    "rollout": "rename",
}
ATTACHMENTS: dict[type[Model], dict[str, Any]] = {
    Macvlan: COMMON | {"type": "macvlan", "master": "eth1", "mode": "vepa", "ipam": WHEREABOUTS},
    Ipvlan: COMMON | {"type": "ipvlan", "master": "eth1", "mode": "l2", "ipam": WHEREABOUTS},
    Bridge: COMMON
    | {
        "type": "cnv-bridge",
        "bridge": "br-mig",
        "isGateway": True,
        "isDefaultGateway": True,
        "forceAddress": True,
        "ipMasq": True,
        "ipMasqBackend": "nftables",
        "hairpinMode": False,
        "promiscMode": True,
        "vlan": 2001,
        "preserveDefaultVlan": False,
        "vlanTrunk": [{"id": 2001}, {"minID": 7, "maxID": 9}],
        "enabledad": True,
        "macspoofchk": True,
        "portIsolation": True,
        "ipam": WHEREABOUTS,
    },
    Localnet: COMMON | {"type": "localnet", "physicalNetworkName": "physnet", "vlanID": 2001},
    ClusterUserDefinedNetwork: {key: COMMON[key] for key in ("name", "mtu", "adopt", "rollout")}
    | {
        "type": "clusterUserDefinedNetwork",
        "physicalNetworkName": "physnet",
        "vlanID": 2001,
        "namespaceSelector": {
            "matchLabels": {"team": "virtualization"},
            "matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["test"]}],
        },
        # All but the slice, 10.200.5.10 to 60.
        "excludeSubnets": [
            *("10.200.5.0/29", "10.200.5.8/31", "10.200.5.61/32", "10.200.5.62/31", "10.200.5.64/26"),
            "10.200.5.128/25",
        ],
    },
}
LIMITS = {
    "parallelMigrationsPerCluster": 5,
    "parallelOutboundMigrationsPerNode": 2,
    "bandwidthPerMigration": "2048Mi",
    "completionTimeoutPerGiB": 800,
    "progressTimeout": 150,
    "allowAutoConverge": True,
    "allowPostCopy": True,
}
NEWEST = {"allowWorkloadDisruption": True}
"""Releases up to 1.18 do not have it."""

EVERY: list[dict[str, Any]] = [
    *ATTACHMENTS.values(),
    ATTACHMENTS[Bridge] | {"type": "bridge"},
    *(ATTACHMENTS[Macvlan] | {"ipam": ipam} for ipam in IPAMS.values()),
]


@pytest.mark.parametrize(("model", "example"), [*ATTACHMENTS.items(), *IPAMS.items(), (LiveMigration, LIMITS | NEWEST)])
def test_the_examples_here_set_every_key(model: type[Model], example: dict[str, Any]) -> None:
    assert example.keys() == {field.alias or name for name, field in model.model_fields.items()}


def test_the_examples_here_have_every_type() -> None:
    union, *_ = get_args(AnyAttachment)
    assert set(get_args(union)) == set(ATTACHMENTS)


@pytest.mark.parametrize("attachment", EVERY, ids=lambda each: f"{each['type']}-{each.get('ipam', {}).get('type')}")
def test_every_object_is_accepted_unchanged(workspace: Workspace, attachment: dict[str, Any]) -> None:
    site = workspace.site
    with_slice = attachment.get("ipam", {}).get("type") not in {"dhcp", "static"}
    workspace.config |= {"segment": SEGMENT, "attachment": attachment, "hyperConverged": {"liveMigration": LIMITS}}
    workspace.config.pop("slice")
    workspace.config |= {"slice": SLICE} if with_slice else {}
    workspace.write()
    rendered = workspace.run("mignet", "render", workspace.stack)
    assert rendered.code == 0, rendered.err
    for manifest in yaml.safe_load_all(rendered.out):
        site.accepts(manifest)
        if manifest["kind"] == "ClusterUserDefinedNetwork":
            site.kube.call("DELETE", f"/apis/k8s.ovn.org/v1/clusteruserdefinednetworks/{manifest['metadata']['name']}")
    for definition in site.live()["attachments"].values():
        assert json.loads(definition["spec"]["config"])["cniVersion"] == "1.0.0"
    assert len(site.live()["attachments"]) == (attachment["type"] != "clusterUserDefinedNetwork")


def test_what_the_schema_does_not_know_is_refused_there(workspace: Workspace) -> None:
    """Else the tests above would prove nothing."""
    workspace.config["hyperConverged"] = {"liveMigration": LIMITS | NEWEST}
    workspace.write()
    rendered = workspace.run("mignet", "render", workspace.stack)
    *_, patch = yaml.safe_load_all(rendered.out)
    with pytest.raises(AssertionError, match=r"allowWorkloadDisruption: field not declared in schema"):
        workspace.site.accepts(patch)
