"""The examples of the OpenShift Virtualization documents come out of config exactly."""

import json

import yaml

from config.loading import load_stack

SEGMENT = {"subnet": "10.200.5.0/24"}
CLUSTER = {"context": "dev"}


def test_the_documents_network_attachment_definition_comes_out_exactly() -> None:
    stack = load_stack(
        "dev",
        {
            "segment": SEGMENT,
            "cluster": CLUSTER,
            "attachment": {
                "type": "macvlan",
                "name": "my-secondary-network",
                "cniName": "migration-bridge",
                "master": "eth1",
                "mode": "bridge",
            },
        },
    )
    document = """
    apiVersion: "k8s.cni.cncf.io/v1"
    kind: NetworkAttachmentDefinition
    metadata: {name: my-secondary-network, namespace: openshift-cnv}
    spec:
      config: '{"cniVersion":"0.3.1","name":"migration-bridge","type":"macvlan","master":"eth1","mode":"bridge",
                "ipam":{"type":"whereabouts","range":"10.200.5.0/24"}}'
    """
    expected = yaml.safe_load(document)
    assert json.loads(stack.cni_json) == json.loads(expected["spec"]["config"])
    assert (stack.network, stack.cluster.namespace) == (
        expected["metadata"]["name"],
        expected["metadata"]["namespace"],
    )


def test_the_documents_bridge_configuration_comes_out_exactly() -> None:
    stack = load_stack(
        "dev",
        {
            "segment": SEGMENT,
            "cluster": CLUSTER,
            "attachment": {
                "type": "bridge",
                "name": "bridge-net",
                "isGateway": True,
                "vlan": 2,
                "ipam": {"type": "dhcp"},
            },
        },
    )
    document = (
        '{"cniVersion":"0.3.1","name":"bridge-net","type":"bridge","isGateway":true,"vlan":2,"ipam":{"type":"dhcp"}}'
    )
    assert json.loads(stack.cni_json) == json.loads(document)


def test_the_documents_hyperconverged_values_come_out_exactly() -> None:
    stack = load_stack(
        "dev",
        {
            "segment": SEGMENT,
            "cluster": CLUSTER,
            "attachment": {"type": "macvlan", "name": "my-secondary-network", "master": "eth1"},
            "hyperConverged": {
                "liveMigration": {
                    "completionTimeoutPerGiB": 800,
                    "parallelMigrationsPerCluster": 5,
                    "parallelOutboundMigrationsPerNode": 2,
                    "progressTimeout": 150,
                }
            },
        },
    )
    document = """
    spec:
      liveMigrationConfig:
        completionTimeoutPerGiB: 800
        network: my-secondary-network
        parallelMigrationsPerCluster: 5
        parallelOutboundMigrationsPerNode: 2
        progressTimeout: 150
    """
    assert stack.hyper_converged.spec(stack.network) == yaml.safe_load(document)["spec"]


def test_the_configuration_is_written_canonically() -> None:
    one = {"type": "macvlan", "name": "net", "master": "eth1", "mode": "bridge", "mtu": 9000}
    other = dict(reversed(one.items()))
    texts = {
        load_stack("dev", {"segment": SEGMENT, "cluster": CLUSTER, "attachment": attachment}).cni_json
        for attachment in (one, other)
    }
    assert texts == {
        '{"cniVersion":"0.3.1","ipam":{"range":"10.200.5.0/24","type":"whereabouts"},"master":"eth1","mode":"bridge",'
        '"mtu":9000,"name":"net","type":"macvlan"}'
    }
