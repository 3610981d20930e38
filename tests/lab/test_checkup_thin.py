"""A checkup on real API servers, its pods run in network namespaces by a thin kubelet."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from operated import Operated
from probes import Fabric, fabric, why_not
from support import Outcome
from thin_kubelet import JOBS, PODS, ThinKubelet, kubelets

from mignet.lab.definitions import SLIM
from mignet.lab.lab import Lab

REASON = why_not()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@pytest.fixture(scope="module")
def own_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("checkup") / "lab", crds=SLIM, operators=False)
    try:
        lab.up(lambda _: None)
        yield lab
    finally:
        lab.down()


@pytest.fixture
def site(own_lab: Lab, tmp_path: Path) -> Iterator[Operated]:
    one = Operated(own_lab, tmp_path / "project")
    one.create()
    for cluster in one.clusters:
        cluster.attach("my-secondary-network", {"type": "macvlan"})
    yield one
    for cluster in one.clusters:
        left = cluster.get(PODS)["items"], cluster.get(JOBS)["items"]
        cluster.kube.call("DELETE", PODS, params={"gracePeriodSeconds": "0"})
        cluster.kube.call("DELETE", JOBS)
        cluster.kube.call("DELETE", "/apis/k8s.cni.cncf.io/v1/namespaces/openshift-cnv/network-attachment-definitions")
        assert left == ([], [])


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Fabric]:
    (tmp_path / "wire").mkdir()
    with fabric(tmp_path / "wire") as made:
        yield made


def checkup(site: Operated, wire: Fabric, *arguments: str, **given: Any) -> tuple[dict[str, Any], Outcome, float]:
    dev = ThinKubelet(site.dev.kube, wire, "10.200.5.10", **given)
    peer = ThinKubelet(site.peer.kube, wire, "10.200.5.61", **given)
    with kubelets(dev, peer):
        begun = time.monotonic()
        outcome = site.run("checkup", "--all", "-o", "json", *arguments)
        took = time.monotonic() - begun
    print(outcome.err, took)
    return json.loads(outcome.out or "{}"), outcome, took


def test_a_healthy_fabric_has_no_finding(site: Operated, wire: Fabric) -> None:
    found, outcome, took = checkup(site, wire)
    assert outcome.code == 0, outcome
    assert found["findings"] == []
    assert found["coverage"] == {"possible": 30, "planned": 30, "measured": 30, "share": 1.0}
    assert took < 20
