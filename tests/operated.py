"""A lab whose operators are at work, for tests that may change anything in it: it is healed between two of them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forked
import yaml
from support import BIN, ROOT, Kube, Outcome

from mignet.lab.lab import Lab

NAMESPACE = "openshift-cnv"
HCO = f"/apis/hco.kubevirt.io/v1beta1/namespaces/{NAMESPACE}/hyperconvergeds/kubevirt-hyperconverged"
KUBEVIRT = f"/apis/kubevirt.io/v1/namespaces/{NAMESPACE}/kubevirts/kubevirt-kubevirt-hyperconverged"
ATTACHMENTS = f"/apis/k8s.cni.cncf.io/v1/namespaces/{NAMESPACE}/network-attachment-definitions"
HANDLER = f"/apis/apps/v1/namespaces/{NAMESPACE}/daemonsets/virt-handler"
SYNCHRONIZER = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/virt-synchronization-controller"
VMS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstances"
MIGRATIONS = "/apis/kubevirt.io/v1/namespaces/default/virtualmachineinstancemigrations"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
EVENTS = f"/api/v1/namespaces/{NAMESPACE}/events"
SWITCHBOARD = f"/api/v1/namespaces/{NAMESPACE}/configmaps/lab-faults"
AUTHORITIES = f"/api/v1/namespaces/{NAMESPACE}/configmaps/kubevirt-ca"
POOLS = "/apis/whereabouts.cni.cncf.io/v1alpha1/ippools"
STATUS = "k8s.v1.cni.cncf.io/network-status"

PATIENCE = 60.0
"""Seconds to wait for what takes tenths of one."""

RESTORED = {
    "/api/v1": ("namespaces", "nodes", "configmaps", "serviceaccounts", "pods", "events"),
    "/apis/apps/v1": ("daemonsets", "deployments"),
    "/apis/batch/v1": ("cronjobs", "jobs"),
    "/apis/rbac.authorization.k8s.io/v1": ("clusterroles", "clusterrolebindings", "roles", "rolebindings"),
    "/apis/k8s.cni.cncf.io/v1": ("network-attachment-definitions",),
    "/apis/nmstate.io/v1": ("nodenetworkconfigurationpolicies",),
    "/apis/nmstate.io/v1beta1": ("nodenetworkconfigurationenactments", "nodenetworkstates"),
    "/apis/config.openshift.io/v1": ("networks",),
    "/apis/operator.openshift.io/v1": ("networks",),
    "/apis/hco.kubevirt.io/v1beta1": ("hyperconvergeds",),
    "/apis/kubevirt.io/v1": ("kubevirts", "virtualmachineinstances", "virtualmachineinstancemigrations"),
    "/apis/forklift.konveyor.io/v1beta1": ("forkliftcontrollers",),
    "/apis/whereabouts.cni.cncf.io/v1alpha1": ("ippools", "overlappingrangeipreservations"),
}
"""Everything that a test may create, change or delete."""

REMADE = {"pods", "daemonsets", "deployments", "kubevirts", "events", "ippools", "overlappingrangeipreservations"}
"""What the operators make, and make again."""


@dataclass
class Cluster:
    """One cluster of the lab, and a look at what its operators left there."""

    name: str
    kube: Kube

    def get(self, path: str) -> Any:
        return self.kube.call("GET", path)

    def merge(self, path: str, patch: dict[str, Any]) -> Any:
        return self.kube.merge(path, patch, "test")

    def attach(self, name: str, config: dict[str, Any] | str) -> None:
        """Create a NetworkAttachmentDefinition."""
        text = config if isinstance(config, str) else json.dumps(config)
        definition = {"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}
        definition |= {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"config": text}}
        self.kube.call("POST", ATTACHMENTS, json=definition)

    def use(self, network: str | None) -> None:
        """Tell the HyperConverged to use a network."""
        self.merge(HCO, {"spec": {"liveMigrationConfig": {"network": network}}})

    def fault(self, name: str, about: str = "") -> None:
        """Switch a fault on."""
        if self.get(SWITCHBOARD) is None:
            body = {"metadata": {"name": "lab-faults", "namespace": NAMESPACE}, "data": {name: about}}
            self.kube.call("POST", SWITCHBOARD.rpartition("/")[0], json=body)
        else:
            self.merge(SWITCHBOARD, {"data": {name: about}})

    def heal(self) -> None:
        """Switch every fault off."""
        self.kube.call("DELETE", SWITCHBOARD)

    def pods(self, workload: str = "virt-handler") -> list[dict[str, Any]]:
        """Return the pods of a workload, in the order of their nodes."""
        items = self.kube.call("GET", PODS, params={"labelSelector": f"kubevirt.io={workload}"})["items"]
        return sorted(items, key=lambda pod: (pod["spec"]["nodeName"], pod["metadata"]["name"]))

    def migration0(self, workload: str = "virt-handler") -> dict[str, dict[str, Any] | None]:
        """Return what each pod has as migration0, by its name; None for a pod without."""
        return {pod["metadata"]["name"]: interface(pod) for pod in self.pods(workload)}

    def settled(self, network: str | None) -> bool:
        """Whether the operators are done, and say so, with this network."""
        hyperconverged, kubevirt = self.get(HCO), self.get(KUBEVIRT)
        if kubevirt is None or kubevirt["spec"]["configuration"]["migrations"].get("network") != network:
            return False
        return all(
            item.get("status", {}).get("observedGeneration") == item["metadata"]["generation"]
            and condition(item, "Available") == "True"
            for item in (hyperconverged, kubevirt)
        )


def interface(pod: dict[str, Any], name: str = "migration0") -> dict[str, Any] | None:
    statuses = json.loads(pod["metadata"].get("annotations", {}).get(STATUS, "[]"))
    return next((each for each in statuses if each["interface"] == name), None)


def ready(pod: dict[str, Any]) -> bool:
    return condition(pod, "Ready") == "True"


def condition(item: dict[str, Any], name: str) -> str | None:
    found = item.get("status", {}).get("conditions", [])
    return next((str(each["status"]) for each in found if each["type"] == name), None)


def events(cluster: Cluster, pod: dict[str, Any]) -> dict[str, str]:
    """Return what was said about a pod: the message of each reason."""
    return {
        event["reason"]: event["message"]
        for event in cluster.get(EVENTS)["items"]
        if event["involvedObject"]["uid"] == pod["metadata"]["uid"]
    }


def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Wait for a condition, and return what it returned."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what or condition} did not come true within {PATIENCE:.0f} s"
        time.sleep(0.05)
    return found


def migrated(cluster: Cluster) -> str:
    """Start a virtual machine, ask for a migration, and return the path of that."""
    instance = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "metadata": {"name": "vm"}}
    cluster.kube.call("POST", VMS, json=instance | {"spec": {"domain": {"devices": {}}}})
    until(lambda: cluster.get(f"{VMS}/vm").get("status", {}).get("phase") == "Running")
    migration = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstanceMigration"}
    migration |= {"metadata": {"name": "move"}, "spec": {"vmiName": "vm"}}
    cluster.kube.call("POST", MIGRATIONS, json=migration)
    return f"{MIGRATIONS}/move"


def phase(cluster: Cluster, path: str) -> str:
    return str(cluster.get(path).get("status", {}).get("phase"))


def past_pods(cluster: Cluster) -> None:
    """Wait until the API server's clock, which has whole seconds, is past all that its pods went through."""
    pods = [*cluster.pods(), *cluster.pods("virt-synchronization-controller")]
    last = max(str(each["lastTransitionTime"]) for pod in pods for each in pod["status"]["conditions"])
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
    clock = {"metadata": {"generateName": "clock-", "namespace": NAMESPACE}}
    until(lambda: cluster.kube.call("POST", path, json=clock)["metadata"]["creationTimestamp"] > last, "a later second")


class Operated:
    """The lab, a project folder with its two stacks, and the operators at work behind both."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.dev, self.peer = (Cluster(name, Kube(lab.kubeconfig, name)) for name in lab.clusters)
        self.clusters = (self.dev, self.peer)

    def create(self) -> None:
        """Copy this project's own two stacks, with the kubeconfig of this lab."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("Pulumi.yaml", "__main__.py"):
            (self.folder / name).write_text((ROOT / name).read_text())
        (self.folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)
        for name in ("dev", "dev-peer"):
            content = yaml.safe_load((ROOT / f"Pulumi.{name}.yaml").read_text())
            content["config"]["migration-network:cluster"]["kubeconfig"] = str(self.lab.kubeconfig)
            (self.folder / f"Pulumi.{name}.yaml").write_text(yaml.safe_dump(content))

    def change(self, stack: str, **config: Any) -> None:
        """Change keys of a stack's file; None removes one."""
        path = self.folder / f"Pulumi.{stack}.yaml"
        content = yaml.safe_load(path.read_text())
        for key, value in config.items():
            content["config"].pop(f"migration-network:{key}", None)
            if value is not None:
                content["config"][f"migration-network:{key}"] = value
        path.write_text(yaml.safe_dump(content))

    def run(self, *command: str, timeout: float = 120) -> Outcome:
        """Run mignet in the project folder."""
        environment = os.environ | self.lab.pulumi_environment()
        done = forked.mignet(*command, cwd=self.folder, env=environment, timeout=timeout)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def up_without_waiting(self, *stacks: str) -> None:
        """Apply stacks with the direct engine, and leave the operators to it."""
        outcome = self.run("up", *stacks, "--yes", "--engine", "direct")
        assert outcome.code == 0, outcome.out + outcome.err

    def up(self, *stacks: str) -> None:
        """Bring stacks up (both when none is named), with the direct engine, and wait until the operators are done."""
        names = stacks or ("dev", "dev-peer")
        self.up_without_waiting(*names)
        for cluster in self.clusters:
            if cluster.name in names:
                network = cluster.get(HCO)["spec"]["liveMigrationConfig"]["network"]
                until(lambda one=cluster, name=network: one.settled(name), f"{cluster.name} settled")  # type: ignore[misc]


Objects = dict[tuple[str, str], dict[str, Any]]
"""Every object by its collection and its path."""


def state(kube: Kube) -> Objects:
    """Return everything of RESTORED that a cluster holds."""
    found: Objects = {}
    for root, plurals in RESTORED.items():
        for plural in plurals:
            listed = kube.call("GET", f"{root}/{plural}")
            for item in (listed or {"items": []})["items"]:
                namespace = item["metadata"].get("namespace")
                collection = f"{root}/namespaces/{namespace}/{plural}" if namespace else f"{root}/{plural}"
                whole = item | {"apiVersion": listed["apiVersion"], "kind": listed["kind"].removesuffix("List")}
                found[collection, item["metadata"]["name"]] = whole
    return found


def restore(cluster: Cluster, seeds: Objects) -> None:
    """Bring a cluster back to the seeds' state: the operators do their part of it when they see what they should."""
    kube = cluster.kube
    cluster.heal()
    there = state(kube)
    for collection, name in changed(there, seeds):
        plural = collection.rpartition("/")[2]
        if plural == "namespaces":
            continue  # No controller finalizes one here.
        if (collection, name) in there:
            if there[collection, name]["metadata"].get("finalizers"):
                kube.merge(f"{collection}/{name}", {"metadata": {"finalizers": None}}, "test")
            kube.call("DELETE", f"{collection}/{name}", params={"gracePeriodSeconds": "0"})
        if (collection, name) in seeds and plural not in REMADE:
            recreate(kube, collection, seeds[collection, name])
    until(lambda: cluster.settled(None), f"{cluster.name} healed")
    until(lambda: whole(cluster), f"{cluster.name} without migration0")


def changed(there: Objects, seeds: Objects) -> Iterator[tuple[str, str]]:
    """Yield what is not as it was; a status does not count, but for a node's interfaces."""
    for key in {**there, **seeds}:
        labels = there.get(key, {"metadata": {}})["metadata"].get("labels", {})
        if "lab.migration-network/stand-in" in labels and key[0].endswith(
            ("/pods", "/daemonsets", "/deployments", "/configmaps")
        ):
            continue
        if key in there and key in seeds and content(there[key]) == content(seeds[key]):
            continue
        yield key


def content(item: dict[str, Any]) -> Any:
    metadata = {key: item["metadata"].get(key) for key in ("uid", "labels", "annotations", "finalizers")}
    owners = [
        (entry["manager"], entry["operation"], entry["fieldsV1"])
        for entry in item["metadata"].get("managedFields", ())
        if entry.get("subresource") != "status"
    ]
    rest = {key: value for key, value in item.items() if key not in {"metadata", "status"}}
    if item["kind"] in {"NodeNetworkState", "Network", "Node"}:
        rest["status"] = item.get("status")
    return metadata, owners, rest


def recreate(kube: Kube, collection: str, seed: dict[str, Any]) -> None:
    """Create an object as it was, under the field managers it was written by."""
    kept = ("name", "namespace", "labels", "annotations")
    metadata = {key: seed["metadata"][key] for key in kept if key in seed["metadata"]}
    if seed["kind"] == "HyperConverged":
        bare = {"apiVersion": seed["apiVersion"], "kind": seed["kind"], "spec": {}}
        bare["metadata"] = {key: metadata[key] for key in ("name", "namespace")}
        kube.call("POST", collection, json=bare, params={"fieldManager": "kubectl-create"})
        adopted = {"labels": metadata["labels"], "finalizers": seed["metadata"]["finalizers"]}
        # By patches: the operators are at work on it already.
        path, operator = f"{collection}/{metadata['name']}", "hyperconverged-cluster-operator"
        kube.merge(path, {"metadata": adopted, "spec": {"infra": {}, "workloads": {}}}, operator)
        kube.merge(f"{path}/status", {"status": seed["status"]}, operator)
        return
    params = {"fieldManager": "mignet-lab"}
    rest = {key: value for key, value in seed.items() if key != "metadata"}
    created = kube.call("POST", collection, json=rest | {"metadata": metadata}, params=params)
    if "status" in seed and "status" not in created:
        body = created | {"status": seed["status"]}
        kube.call("PUT", f"{collection}/{metadata['name']}/status", json=body, params=params)


def trusting(cluster: Cluster) -> bool:
    """Whether the cluster trusts its own two authorities and its peer's current one."""
    bundle = cluster.get(AUTHORITIES)
    return bundle is not None and bundle["data"]["ca-bundle"].count("BEGIN CERTIFICATE") == 3


def whole(cluster: Cluster) -> bool:
    """Whether all pods are there, none on the migration network, none left over."""
    handlers, others = cluster.pods(), cluster.pods("virt-synchronization-controller")
    nodes = cluster.get("/api/v1/nodes")["items"]
    workers = [node for node in nodes if "taints" not in node["spec"]]
    return (
        trusting(cluster)
        and len(handlers) == len(workers)
        and len(others) == 2
        and all(ready(pod) and interface(pod) is None for pod in [*handlers, *others])
        and not any(pool["spec"]["allocations"] for pool in cluster.get(POOLS)["items"])
    )


def renewed(lab: Lab, seeds: list[Objects], folder: Path) -> Operated:
    """Return the lab as it was at first, and a project folder with its two stacks."""
    one = Operated(lab, folder)
    for cluster, seed in zip(one.clusters, seeds, strict=True):
        restore(cluster, seed)
    one.create()
    return one


def kubeconfig_of(account: str, lab: Lab, kube: Kube) -> str:
    """Return the lab's kubeconfig with a new token of a service account (the path of its API object) as every user."""
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = kube.call("POST", f"{account}/token", json=wanted)["status"]["token"]
    content = yaml.safe_load(lab.kubeconfig.read_text())
    for entry in content["clusters"]:
        if (authority := entry["cluster"].get("certificate-authority")) is not None:
            entry["cluster"]["certificate-authority"] = str(lab.kubeconfig.parent / authority)
    for entry in content["users"]:
        entry["user"] = {"token": token}
    return yaml.safe_dump(content)
