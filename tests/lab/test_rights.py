"""The roles of docs/roles under the API server's own access control: enough for the job, and not a right too many."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diagnosed
import pytest
import yaml
from nmstate_operator import NmstateOperator
from preflight_traps import CONFIG
from support import BIN, ROOT, Kube, Outcome, Site, Workspace

from config.loading import load_stack
from mignet.checks import capacity, drift_rules
from mignet.checks.preflight import preflight
from mignet.kube.client import Cluster, ClusterError
from mignet.kube.rbac import Right, grouped, to_apply, to_look
from mignet.kube.snapshot import Judged
from mignet.kube.watched import Store, Tally
from mignet.lab.lab import Lab
from mignet.operations.roles import granted, manifests, to_observe

RBAC = "/apis/rbac.authorization.k8s.io/v1"
NAMESPACE = "openshift-cnv"


@dataclass
class Account:
    """A ServiceAccount with what a role's manifests grant, and a project whose stack uses it."""

    kube: Kube
    folder: Path
    name: str

    def grant(self, documents: list[dict[str, Any]]) -> None:
        subject = {"kind": "ServiceAccount", "name": self.name, "namespace": "default"}
        for document in documents:
            namespace = document["metadata"].get("namespace")
            where = f"{RBAC}/namespaces/{namespace}" if namespace else RBAC
            kind = document["kind"]
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": self.name}
            metadata = document["metadata"] | {"name": self.name}
            binding = {"apiVersion": document["apiVersion"], "kind": f"{kind}Binding", "metadata": metadata}
            for plural, item in (
                (f"{kind.lower()}s", document | {"metadata": metadata}),
                (f"{kind.lower()}bindings", binding | {"roleRef": reference, "subjects": [subject]}),
            ):
                self.kube.call("DELETE", f"{where}/{plural}/{self.name}")
                self.kube.call("POST", f"{where}/{plural}", json=item)

    def run(self, *command: str) -> Outcome:
        return self._workspace.run("mignet", *command, "dev")

    @property
    def _workspace(self) -> Workspace:
        return Workspace(self.folder, Site(self.kube, self.folder / "kubeconfig", "dev", NAMESPACE))


@pytest.fixture
def account(fit: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Account]:
    kube = Kube(fit.kubeconfig, "dev")
    folder = tmp_path / "project"
    folder.mkdir()
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(ROOT / name, folder)
    (folder / ".venv").symlink_to(BIN.parent, target_is_directory=True)
    one = Account(kube, folder, f"r{abs(hash(request.node.name)) % 10**8}")
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    if kube.call("GET", "/api/v1/namespaces/default") is None:
        kube.call("POST", "/api/v1/namespaces", json={"metadata": {"name": "default"}})
    kube.call("POST", accounts, json={"metadata": {"name": one.name}})
    wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = kube.call("POST", f"{accounts}/{one.name}/token", json=wanted)["status"]["token"]
    content = yaml.safe_load(fit.kubeconfig.read_text())
    for entry in content["clusters"]:
        if (authority := entry["cluster"].get("certificate-authority")) is not None:
            entry["cluster"]["certificate-authority"] = str(fit.kubeconfig.parent / authority)
    for entry in content["users"]:
        entry["user"] = {"token": token}
    (folder / "kubeconfig").write_text(yaml.safe_dump(content))
    config = CONFIG | {"cluster": {"context": "dev", "kubeconfig": str(folder / "kubeconfig")}}
    written = {f"migration-network:{key}": value for key, value in config.items()}
    (folder / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": written}))
    yield one
    hyperconverged = f"/apis/hco.kubevirt.io/v1beta1/namespaces/{NAMESPACE}/hyperconvergeds/kubevirt-hyperconverged"
    kube.merge(hyperconverged, {"spec": {"liveMigrationConfig": {"network": None}}}, "test")
    kube.call("DELETE", f"/apis/k8s.cni.cncf.io/v1/namespaces/{NAMESPACE}/network-attachment-definitions")


STACK = load_stack("dev", CONFIG)


def documents(role: str) -> list[dict[str, Any]]:
    # As the head says: the Lease's name ends in that of the stack.
    text = (ROOT / f"docs/roles/{role}.yaml").read_text().replace("migration-network-prod-1", "migration-network-dev")
    return list(yaml.safe_load_all(text))


def test_the_role_that_observes_is_enough_to_watch(account: Account) -> None:
    account.grant(documents("observe"))

    async def until_all_are_kept() -> list[ClusterError | None]:
        stack = load_stack("dev", CONFIG | {"cluster": {"context": "dev", "kubeconfig": "kubeconfig"}})
        watches = drift_rules.watches(stack)
        async with Cluster(stack.cluster, base=account.folder) as cluster:
            stores = [Store(each, lambda: None, Tally()) for each in watches]
            tasks = [asyncio.create_task(each.keep(cluster, gate=asyncio.Semaphore(8))) for each in stores]
            try:
                async with asyncio.timeout(30):
                    while not all(each.known for each in stores):  # noqa: ASYNC110
                        await asyncio.sleep(0.05)
                for each in watches:
                    _, version = await cluster.listed(each.kind, **each.selector)
                    async with contextlib.aclosing(
                        cluster.watch(each.kind, **each.selector, since=version, seconds=1)
                    ) as events:
                        async for _ in events:
                            pass
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return [each.error for each in stores]

    assert not any(asyncio.run(until_all_are_kept()))
    # What the watch reads beside with the eyes of the report; that the role is enough for it, the next one shows.
    assert to_look(capacity.reads(STACK)) <= to_observe(STACK)


def test_the_role_that_observes_is_enough_to_look_and_what_up_takes_is_named(account: Account) -> None:
    account.grant(documents("observe"))
    outcome = account.run("preflight", "--output", "json")
    (finding,) = outcome.findings
    assert finding["code"] == "right-missing"
    diagnosed.first(account.run("diagnose", "--output", "json").document["causes"], "right-missing")
    missing = granted("apply", STACK) - granted("observe", STACK)
    assert missing
    assert finding["rule"] == f"may not ({len(missing)} rights): {'; '.join(grouped(sorted(missing)))}"
    refused = account.run("up", "--yes", "--engine", "direct")
    assert refused.code == 1
    assert "may not (" in refused.out


def test_the_role_that_applies_is_enough_for_the_whole_job(account: Account, engine: str) -> None:
    account.grant(documents("apply"))
    looked = account.run("preflight")
    assert looked.code == 0, looked.out + looked.err
    assert "right-missing" not in looked.out
    assert "not judged" not in looked.out
    for verb in ("preview", "up", "drift", "destroy"):
        yes = ["--yes"] if verb in {"up", "destroy"} else []
        outcome = account.run(verb, "--engine", engine, *yes)
        assert outcome.code == 0, f"{verb}: {outcome.out}{outcome.err}"


UPLINK = {"attachment": {"type": "macvlan", "name": "migration", "master": "mig0"}}
UPLINK |= {"uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}}}


def test_it_is_enough_for_an_uplink_too(account: Account, engine: str) -> None:
    account.grant(documents("apply"))
    path = account.folder / "Pulumi.dev.yaml"
    written = yaml.safe_load(path.read_text())
    written["config"] |= {f"migration-network:{key}": value for key, value in UPLINK.items()}
    path.write_text(yaml.safe_dump(written))
    with NmstateOperator(account.kube, "dev") as operator:
        for verb in ("up", "drift", "destroy"):
            yes = ["--yes"] if verb in {"up", "destroy"} else []
            outcome = account.run(verb, "--engine", engine, *yes)
            assert outcome.code == 0, f"{verb}: {outcome.out}{outcome.err}"
        assert operator.on_nodes() == {"eth1": "up", "mig0": "absent"}


RIGHTS = sorted(granted("apply", STACK))


# Without the right in one namespace, the same one in all of them is enough.
ALONE = [each for each in RIGHTS if not each.namespace or replace(each, namespace="") not in RIGHTS]


@pytest.mark.parametrize("taken", ALONE, ids=str)
def test_a_right_that_is_taken_away_is_the_one_that_is_named(account: Account, taken: Right) -> None:
    account.grant(manifests("apply", set(RIGHTS) - {taken}))
    stack = load_stack("dev", CONFIG | {"cluster": {"context": "dev", "kubeconfig": "kubeconfig"}})

    async def look() -> Judged:
        async with Cluster(stack.cluster, base=account.folder) as cluster:
            return await preflight(stack, cluster, needed=to_observe(stack))

    named = [each for each in asyncio.run(look()).findings if each.code == "right-missing"]
    assert [each.rule.partition("; looking at")[0] for each in named] == [f"may not: {taken}"]
    assert [each.severity for each in named] == ["error" if taken in to_apply(STACK) else "warning"]


def test_without_the_right_to_plans_of_the_toolkit_they_are_said_to_be_unknown_and_stop_nothing(
    account: Account,
) -> None:
    plans = {right for right in RIGHTS if right.resource == "plans"}
    assert plans
    account.grant(manifests("apply", set(RIGHTS) - plans))

    shown = account.run("preview", "--engine", "direct")
    looked = account.run("migrations")
    done = account.run("up", "--yes", "--engine", "direct")

    assert "no migration is running now; whether plans of the migration toolkit run is not known" in shown.out
    assert "dev: whether plans of the migration toolkit run is not known" in looked.out
    assert (looked.code, done.code) == (0, 0), looked.out + done.out + done.err
