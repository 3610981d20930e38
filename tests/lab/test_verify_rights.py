"""`mignet verify` and `mignet report` as one who has the observing role and no other right."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from operated import POOLS, Operated, kubeconfig_of
from support import ROOT

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ACCOUNT = "observer"
POOL = f"{POOLS.replace('/ippools', '/namespaces/openshift-multus/ippools')}/10.200.5.0-24"


@pytest.fixture
def observer(operated: Operated) -> Operated:
    """The healthy lab, whose stack dev is looked at with a token of an account that may observe."""
    return observing(operated)


def observing(operated: Operated, *without: str) -> Operated:
    """Have an account with the observing role look at the healthy lab; without the role's rules for these resources."""
    operated.up("dev")
    kube = operated.dev.kube
    accounts = "/api/v1/namespaces/openshift-cnv/serviceaccounts"
    kube.call("POST", accounts, json={"metadata": {"name": ACCOUNT}})
    subject = {"kind": "ServiceAccount", "name": ACCOUNT, "namespace": "openshift-cnv"}
    for role in yaml.safe_load_all((ROOT / "docs/roles/observe.yaml").read_text()):
        kind, metadata = role["kind"], role["metadata"]
        if kind == "ClusterRole":
            role["rules"] = [rule for rule in role["rules"] if rule["resources"] != list(without)]
        where = f"{RBAC}/namespaces/{metadata['namespace']}" if "namespace" in metadata else RBAC
        kube.call("POST", f"{where}/{kind.lower()}s", json=role)
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"]}
        binding = {"metadata": metadata, "roleRef": reference, "subjects": [subject]}
        kube.call("POST", f"{where}/{kind.lower()}bindings", json=binding)
    path = operated.folder / "observer.kubeconfig"
    path.write_text(kubeconfig_of(f"{accounts}/{ACCOUNT}", operated.lab, kube))
    operated.change("dev", cluster={"context": "dev", "kubeconfig": str(path)})
    return operated


def verify(operated: Operated) -> dict[str, Any]:
    outcome = operated.run("verify", "dev", "-o", "json", "--no-peers", "--timeout", "30")
    assert outcome.out, outcome.err
    found: dict[str, Any] = outcome.document | {"code": outcome.code}
    return found


def test_the_role_that_observes_is_enough_to_prove_a_healthy_network(observer: Operated) -> None:
    found = verify(observer)
    assert (found["code"], found["findings"], found["leftOut"]) == (0, [], [])
    assert "3 virt-handlers and 2 sync controllers use" in found["proven"][0]["sentence"]


LEASE = {"50": {"id": "x", "podref": "elsewhere/vm", "ifname": "net1"}}


def test_a_leaked_lease_of_another_namespaces_pod_is_found_with_it(observer: Operated) -> None:
    observer.dev.merge(POOL, {"spec": {"allocations": LEASE}})
    found = verify(observer)
    assert ([each["code"] for each in found["findings"]], found["notJudged"]) == (["lease-leaked"], {})


def test_whether_a_lease_of_another_namespaces_pod_is_leaked_is_not_judged_and_counts(operated: Operated) -> None:
    observer = observing(operated, "pods")
    observer.dev.merge(POOL, {"spec": {"allocations": LEASE}})
    found = verify(observer)
    assert (found["code"], found["findings"], found["notJudged"]) == (1, [], {"dev": 1})
    (sentence,) = (each["sentence"] for each in found["leftOut"])
    assert sentence.startswith("not judged: lease-leaked for namespace elsewhere, as ")


def test_the_role_that_observes_is_enough_for_a_report_of_a_healthy_network(observer: Operated) -> None:
    outcome = observer.run("report", "dev", "-o", "markdown")
    assert outcome.code == 0, outcome.err
    assert "seen from 1 of 1 clusters" in outcome.out
    assert "5 of 51 leased" in outcome.out
    assert "every station of 4 nodes is healthy" in outcome.out
    assert outcome.out.startswith("## ✓ Migration network: The cluster is on the network"), "to apply is another role's"
    assert "### What was not seen" not in outcome.out
