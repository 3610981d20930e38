"""Preflight against a real API server: each trap is set, gives its code and no other, and is taken back."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diagnosed
import forked
import pytest
import yaml
from preflight_traps import (
    CONFIG,
    FITS,
    HYPERCONVERGED,
    NODES,
    TRAPS,
    Edit,
    Place,
    Trap,
    edit,
    gone,
    merged,
    path,
    stack,
)
from support import ROOT, Kube

from config.files.project_files import Project
from mignet.checks.preflight import RULES, preflight
from mignet.fleet.loading import Readable
from mignet.fleet.run_context import Course
from mignet.kube import kinds
from mignet.kube.client import Cluster
from mignet.kube.snapshot import Judged
from mignet.lab.lab import Lab
from mignet.operations.diagnose import diagnose
from mignet.operations.roles import to_observe
from mignet.outputs import as_json

Object = dict[str, Any]


@pytest.fixture
def kube(own: Lab) -> Kube:
    """The cluster, whose HyperConverged stands as its operator has seen it last."""
    one = Kube(own.kubeconfig, "dev")
    live = one.call("GET", path(HYPERCONVERGED))
    live["status"]["observedGeneration"] = live["metadata"]["generation"]
    one.call("PUT", f"{path(HYPERCONVERGED)}/status", json=live)
    return one


@pytest.fixture
def put(kube: Kube) -> Iterator[Callable[[Edit], None]]:
    """Edit an object on the cluster; afterwards all are as they were before."""
    undo: list[tuple[Place, Object | None]] = []

    def apply(edit: Edit) -> None:
        place, change = edit
        old = kube.call("GET", path(place))
        undo.append((place, copy.deepcopy(old)))
        _write(kube, place, old, change(copy.deepcopy(old)))

    def back() -> None:
        while undo:
            place, before = undo.pop()
            _write(kube, place, kube.call("GET", path(place)), before)

    apply.back = back  # type: ignore[attr-defined]
    yield apply
    back()


def _write(kube: Kube, place: Place, old: Object | None, new: Object | None) -> None:
    where = path(place)
    # A definition remembers the versions it has stored, and refuses to lose one.
    if old is not None and (new is None or place[0] == kinds.DEFINITION):
        if old["metadata"].get("finalizers"):
            kube.merge(where, {"metadata": {"finalizers": None}}, "test")
        kube.call("DELETE", where)
        while kube.call("GET", where) is not None:
            time.sleep(0.02)
        old = None
    if new is None:
        return
    new = copy.deepcopy(new)
    for key in ("resourceVersion", "uid", "managedFields", "generation", "creationTimestamp"):
        new["metadata"].pop(key, None)
    if old is None:
        params = {"fieldManager": "kubectl-create"}
        stored = kube.call("POST", where.rpartition("/")[0], json=new, params=params)
    else:
        fresh = {"resourceVersion": kube.call("GET", where)["metadata"]["resourceVersion"]}
        stored = kube.call("PUT", where, json=new | {"metadata": new["metadata"] | fresh})
    if new.get("status", {}).get("observedGeneration"):
        # What an operator at work would say, unless the trap is that it does not.
        new["status"]["observedGeneration"] = stored["metadata"]["generation"]
    if "status" in new and stored.get("status") != new["status"] and place[0] != kinds.DEFINITION:
        fresh = {"resourceVersion": stored["metadata"]["resourceVersion"]}
        kube.call("PUT", f"{where}/status", json=new | {"metadata": stored["metadata"] | fresh})
    if place[0] == kinds.DEFINITION:
        _served(kube, place)


def _served(kube: Kube, place: Place) -> None:
    """Wait until a definition is served as it says."""
    spec = kube.call("GET", path(place))["spec"]
    collection = spec["names"]["plural"]
    for version in spec["versions"]:
        root = f"/apis/{spec['group']}/{version['name']}"
        while version["served"] != (
            collection in {r["name"] for r in (kube.call("GET", root) or {}).get("resources", [])}
        ):
            time.sleep(0.02)


def judged(lab: Lab, config: Object | None = None) -> Judged:
    place = {"cluster": {"kubeconfig": str(lab.kubeconfig)}}
    one = stack(merged(config or {}, place))

    async def look() -> Judged:
        async with Cluster(one.cluster, base=Path("/")) as cluster:
            return await preflight(one, cluster, needed=to_observe(one))

    return asyncio.run(look())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project without stack files: what is diagnosed is the only stack."""
    folder = tmp_path_factory.mktemp("diagnosed")
    for name in ("Pulumi.yaml", "__main__.py"):
        (folder / name).write_text((ROOT / name).read_text())
    return Project(folder, "migration-network", {})


def causes_of(lab: Lab, project: Project, config: Object | None = None) -> list[dict[str, Any]]:
    """Diagnose the cluster, on which the stack was never applied; return the causes."""
    place = {"cluster": {"kubeconfig": str(lab.kubeconfig)}}
    one = stack(merged(config or {}, place))
    found = asyncio.run(diagnose(project, Readable((one,)), Course()))
    causes: list[dict[str, Any]] = json.loads(as_json.diagnosis(found))["causes"]
    return causes


def lines(found: Judged) -> list[str]:
    return [f"{each.code}: {each}" for each in found.findings]


@pytest.mark.parametrize("trap", TRAPS, ids=str)
def test_a_trap_on_a_cluster_gives_its_code_and_no_other(
    own: Lab, kube: Kube, put: Callable[[Edit], None], project: Project, trap: Trap
) -> None:
    for each in trap.edits:
        put(each)
    before = _everything(kube)
    found = judged(own, trap.config)
    assert {each.code for each in found.findings} == {trap.code}, lines(found)
    assert any(trap.says in str(each) for each in found.findings), lines(found)
    if trap.code not in {"limit-unmanaged", "pool-shared"}:
        # Information, where the stack was never applied, comes after that.
        diagnosed.first(causes_of(own, project, trap.config), trap.code)
    assert _everything(kube) == before, "nothing was changed"
    put_right(own, put)


def put_right(lab: Lab, put: Callable[[Edit], None]) -> None:
    """Carry the way out out: have the cluster and the stack as they should be. Nothing is found then."""
    put.back()  # type: ignore[attr-defined]
    assert lines(judged(lab)) == []


@pytest.mark.parametrize("name", FITS)
def test_a_fit_cluster_gives_nothing(own: Lab, put: Callable[[Edit], None], name: str) -> None:
    edits, config = FITS[name]
    for each in edits:
        put(each)
    assert lines(judged(own, config)) == []


def _everything(kube: Kube) -> Any:
    found = {}
    for kind in (kinds.HYPERCONVERGED_V1BETA1, kinds.NETWORK_ATTACHMENT, kinds.NODE_POLICY, kinds.NODE):
        where = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        found[kind.kind] = kube.call("GET", f"{where}/{kind.plural}")["items"]
    return found


LIMIT = {"hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 800}}}
UPLINK = {
    "attachment": {"type": "macvlan", "name": "migration", "master": "mig0"},
    "uplink": {"vlan": {"baseInterface": "eth1", "name": "mig0"}},
}


def only(found: Judged, code: str, severity: str = "error") -> str:
    assert [(each.code, each.severity) for each in found.findings] == [(code, severity)], lines(found)
    return str(found.findings[0])


def test_a_limit_of_somebody_else_is_shown_before_it_is_taken(own: Lab, kube: Kube, project: Project) -> None:
    diagnosed.first(causes_of(own, project, LIMIT), "limit-taken")
    told = only(judged(own, LIMIT), "limit-taken", "info")
    assert "completionTimeoutPerGiB 150 is owned by " in told
    assert "and becomes 800: up takes it over" in told


def test_a_limit_of_somebody_else_is_refused_where_the_stack_says_so(own: Lab, kube: Kube, project: Project) -> None:
    config = {"hyperConverged": LIMIT["hyperConverged"] | {"onConflict": "fail"}}
    diagnosed.first(causes_of(own, project, config), "limit-owned")
    assert "and the stack wants 800" in only(judged(own, config), "limit-owned")
    agreed = {"hyperConverged": {"onConflict": "fail", "liveMigration": {"completionTimeoutPerGiB": 150}}}
    assert lines(judged(own, agreed)) == []


def test_a_network_of_another_name_is_said_to_be_switched(
    own: Lab, kube: Kube, put: Callable[[Edit], None], project: Project
) -> None:
    put(edit(HYPERCONVERGED, spec={"liveMigrationConfig": {"network": "cnv-mig"}}))
    diagnosed.first(causes_of(own, project), "network-switched")
    # Whose it is, is said as well.
    found = {each.code: each for each in judged(own).findings}
    assert found.keys() == {"limit-taken", "network-switched"}
    assert found["network-switched"].severity == "warning"
    assert "is cnv-mig: up switches from cnv-mig to migration: every virt-handler" in str(found["network-switched"])
    put_right(own, put)


def test_a_controller_that_declares_a_limit_writes_it_back(own: Lab, kube: Kube, project: Project) -> None:
    manifest = {
        "apiVersion": "hco.kubevirt.io/v1beta1",
        "kind": "HyperConverged",
        "metadata": {"name": "kubevirt-hyperconverged"},
        "spec": {"liveMigrationConfig": {"completionTimeoutPerGiB": 150}},
    }
    golden = {"fieldManager": "virt-platform-autopilot", "force": "true"}
    headers = {"content-type": "application/apply-patch+yaml"}

    def applied(content: Object) -> None:
        kube.call("PATCH", path(HYPERCONVERGED), content=json.dumps(content), headers=headers, params=golden)

    applied(manifest)
    try:
        pinned = {"hyperConverged": {"liveMigration": {"completionTimeoutPerGiB": 150}}}
        told = only(judged(own, pinned), "field-written-back", "warning")
        pinned |= {"waivers": {"completion-timeout-default": "another trap"}}
        diagnosed.first(causes_of(own, project, pinned), "field-written-back")
        assert "has spec.liveMigrationConfig.completionTimeoutPerGiB from OpenShift Virtualization's autopilot" in told
        assert "platform.kubevirt.io/ignore-fields: /spec/liveMigrationConfig/completionTimeoutPerGiB" in told
        others = {"hyperConverged": {"liveMigration": {"progressTimeout": 150}}}
        assert lines(judged(own, others)) == []
    finally:
        applied({key: manifest[key] for key in ("apiVersion", "kind", "metadata")})


def test_a_field_that_the_release_does_not_know_is_refused(own: Lab, kube: Kube, project: Project) -> None:
    config = {"hyperConverged": {"liveMigration": {"allowWorkloadDisruption": True}}}
    diagnosed.first(causes_of(own, project, config), "hyperconverged-refuses")
    assert "field not declared in schema" in only(judged(own, config), "hyperconverged-refuses")
    assert lines(judged(own)) == [], "without the field"


def test_a_policy_of_somebody_else_is_refused(
    own: Lab, kube: Kube, put: Callable[[Edit], None], project: Project
) -> None:
    (policy,) = stack(UPLINK).policies
    put(edit((kinds.NODE_POLICY, "", policy.name), spec=policy.spec))
    diagnosed.first(causes_of(own, project, UPLINK), "policy-foreign")
    assert "was made by somebody else (field manager kubectl-create)" in only(judged(own, UPLINK), "policy-foreign")
    put_right(own, put)


def test_without_multus_there_is_one_finding(
    own: Lab, kube: Kube, put: Callable[[Edit], None], project: Project
) -> None:
    put(gone((kinds.DEFINITION, "", "network-attachment-definitions.k8s.cni.cncf.io")))
    only(judged(own), "multus-missing")
    diagnosed.first(causes_of(own, project), "multus-missing")
    put_right(own, put)


@pytest.mark.usefixtures("kube")
@pytest.mark.parametrize(("config", "severity"), [({}, "info"), (UPLINK, "error")])
def test_without_nmstate_it_is_said_once_and_counts_where_an_uplink_is_declared(
    own: Lab, put: Callable[[Edit], None], project: Project, config: Object, severity: str
) -> None:
    for node in NODES:
        put(gone((kinds.NODE_NETWORK_STATE, "", node)))
    for plural in ("nodenetworkstates", "nodenetworkconfigurationpolicies"):
        put(gone((kinds.DEFINITION, "", f"{plural}.nmstate.io")))
    found = judged(own, config)
    only(found, "nmstate-missing", severity)
    if severity == "error":
        diagnosed.first(causes_of(own, project, config), "nmstate-missing")
    assert "nic-missing" in found.left_out
    assert found.not_judged == 0, "what the cluster does not have is not the same as what could not be read"
    put_right(own, put)


def test_a_cluster_without_openshift_is_judged_in_full(
    own: Lab, kube: Kube, put: Callable[[Edit], None], tmp_path: Path
) -> None:
    for group in ("config.openshift.io", "operator.openshift.io"):
        for kind in (kinds.OPENSHIFT_NETWORK, kinds.OPENSHIFT_OPERATOR_NETWORK):
            if kind.group == group:
                put(gone((kind, "", "cluster")))
        put(gone((kinds.DEFINITION, "", f"networks.{group}")))
    config = merged(CONFIG, {"cluster": {"kubeconfig": str(own.kubeconfig)}})
    for name in ("Pulumi.yaml", "__main__.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    written = {f"migration-network:{key}": value for key, value in config.items()}
    (tmp_path / "Pulumi.dev.yaml").write_text(yaml.safe_dump({"config": written}))
    done = forked.mignet("preflight", "dev", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"1 stack, {len(RULES)} rules: no problems\n"), done.stderr


def test_a_version_that_is_not_the_stored_one_is_mentioned(newest: Lab, project: Project) -> None:
    diagnosed.first(causes_of(newest, project), "api-version-converted")
    assert "is not v1, in which this cluster stores" in only(judged(newest), "api-version-converted", "info")
    assert lines(judged(newest, {"hyperConverged": {"apiVersion": "v1"}})) == []


def test_post_copy_that_this_release_does_nothing_with_is_a_warning(newest: Lab, project: Project) -> None:
    limits = {"allowPostCopy": True}
    inert = {"hyperConverged": {"apiVersion": "v1", "liveMigration": limits}}
    found = judged(newest, inert)
    diagnosed.first(causes_of(newest, project, inert), "post-copy-inert")
    both = {"hyperConverged": {"apiVersion": "v1", "liveMigration": limits | {"allowWorkloadDisruption": True}}}
    put_right = judged(newest, both)
    assert {each.code for each in found.findings} - {"limit-taken"} == {"post-copy-inert"}, lines(found)
    assert {each.code for each in put_right.findings} <= {"limit-taken"}, lines(put_right)


def test_a_default_of_older_releases_is_said_to_be_rewritten(newest: Lab, project: Project) -> None:
    old = {"hyperConverged": {"apiVersion": "v1", "liveMigration": {"completionTimeoutPerGiB": 150}}}
    found = judged(newest, old)
    diagnosed.first(causes_of(newest, project, old), "limit-default")
    # Which of both is in the object already is another matter: somebody owns it.
    codes = {each.code: str(each) for each in found.findings if each.code != "limit-taken"}
    assert set(codes) == {"limit-default"}, lines(found)
    assert "its operator rewrites 150 to it" in codes["limit-default"]
